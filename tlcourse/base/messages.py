"""Short notes to the learner that are neither results nor errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


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
