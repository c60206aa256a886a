"""Files of which some bytes are others: what a fuzzer does, in seconds and the same in each run."""

from hypothesis import strategies as st

from tools.fuzz.reader import seeds


def damaged(reader):
    """Strategy for the kept inputs of a reader's fuzzer, each with up to four changes."""
    kept = st.sampled_from(list(seeds(reader).values()))
    changes = st.lists(st.tuples(st.integers(0, 8000), st.binary(max_size=4)), max_size=4)
    return st.builds(_changed, kept, changes)


def _changed(content, changes):
    for at, put in changes:
        at %= len(content)
        content = content[:at] + put + content[at + len(put) :]
    return content
