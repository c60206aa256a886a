"""Short notes to the learner that are neither results nor errors, and names that are safe to print."""

import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_CONTROLS = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's names for what is not seen but acts
_JOINERS = "\u200c\u200d"  # parts of some scripts and emoji

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


def printable(text: object) -> str:
    """Write control characters as Python does, such as a line break as backslash and "n".

    A file's name may hold anything: printed as it is, it could break a list or steer a terminal.
    """
    return "".join(
        repr(char)[1:-1]
        if unicodedata.category(char) in _CONTROLS and char not in _JOINERS
        else char
        for char in str(text)
    )


def first_line(error: Exception) -> str:
    """What an error of a library says, cut to quote it in a sentence; of a silent one, its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def no_formula(name: str, before: str) -> str:
    """Put `before` in front of a name that a spreadsheet would compute as a formula."""
    return before + name if name.startswith(("=", "+", "-", "@")) else name


def say(text: str) -> None:
    """Print one sentence without disturbing a progress bar, or give it to who listens."""
    from tqdm import tqdm

    (_listener.get() or tqdm.write)(text)


@contextmanager
def notes_to(hear: Callable[[str], None]) -> Iterator[None]:
    """Give the notes of this thread to a function; what a thread prints stands under any cell."""
    before = _listener.set(hear)
    try:
        yield
    finally:
        _listener.reset(before)
