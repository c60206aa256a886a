"""What the course wrote itself, changed by somebody else, is read or refused in a sentence."""

import os
import tempfile
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlcourse.errors import CourseError
from tools.fuzz import saved
from tools.fuzz.reader import seeds

TRIES = {
    "results": 12,
    "networks": 25,
    "adapters": 20,
    "features": 30,
    "progress": 15,
    "tars": 150,
    "parquets": 100,
    "extracted": 20,
    "requests": 40,
}


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """The readers work in a folder of their own, with a cache and a progress file of their own."""
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(tempfile, "tempdir", str(folder))
        for name in ("TLCOURSE_PROGRESS", "TLCOURSE_CACHE"):
            patch.setenv(name, os.environ[name])
        forget()  # what another file's tests have made elsewhere
        yield
    forget()


def forget():
    for made in (saved._scratch, saved.tiny_network, saved._app):
        made.cache_clear()


def changed_bytes(content, random):
    """One byte is another, is missing, or is there twice."""
    place = random.randrange(len(content) + 1)
    middle = random.choice((b"", bytes([random.randrange(256)]), content[place : place + 1] * 2))
    return content[:place] + middle + content[place + 1 :]


@pytest.mark.parametrize("name", sorted(saved.READERS))
def test_seeds_are_read(name):
    assert len(seeds(name)) > 0
    for content in seeds(name).values():
        saved.READERS[name].read(content)


@pytest.mark.parametrize("name", sorted(saved.READERS))
def test_a_saved_thing_that_was_changed_is_read_or_refused_in_a_sentence(name):
    reader, kept = saved.READERS[name], list(seeds(name).values())

    @settings(max_examples=TRIES[name])
    @given(st.integers(0, 2**32))
    def check(seed):
        random = Random(seed)
        content = random.choice(kept)
        for _ in range(random.choice((1, 1, 2))):
            if reader.change is None:
                content = changed_bytes(content, random)
            else:
                content = reader.change(content, random, lambda b: changed_bytes(b, random))
        with suppress(CourseError):
            reader.read(content)

    check()
