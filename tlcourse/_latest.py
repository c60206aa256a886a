"""A thread that works on the newest request only."""

import threading
import time
from collections.abc import Callable
from typing import Any

Stale = Callable[[], bool]
PAUSE = 0.1  # seconds from the beginning of one answer to the next, at least


class Latest:
    """Work in a thread of its own, one request at a time; of those that wait only the newest counts.

    So a slider that is dragged piles nothing up, and the kernel stays free to receive a click.
    Where requests wait it pauses between two of them, so that a slow connection is not flooded.

    Attributes:
        closed: Whether it was closed.

    Args:
        work: Called in the thread with a request and a function that tells whether a newer one has
            come, so that long work may end early. It must not raise.
    """

    def __init__(self, work: Callable[[Any, Stale], None]) -> None:
        self._work = work
        self._condition = threading.Condition()
        self._waiting: list[Any] = []  # none or one
        self._working = self.closed = False
        self._thread: threading.Thread | None = None

    def ask(self, request: Any) -> None:
        """Put a request in the place of the one that waits."""
        with self._condition:
            if self.closed:
                return
            self._waiting = [request]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is done; tells whether it is."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._condition:
            while self._working or self._waiting:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._condition.wait(left)
        return True

    def close(self) -> None:
        """Drop what waits and let the thread end; what it works on is stale from now on."""
        with self._condition:
            self.closed = True
            self._waiting = []
            self._condition.notify_all()

    def _stale(self) -> bool:
        return self.closed or bool(self._waiting)

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self.closed:
                    self._condition.wait()
                if self.closed:
                    return
                request = self._waiting.pop()
                self._working = True
            begun = time.monotonic()
            try:
                self._work(request, self._stale)
                if self._waiting:
                    time.sleep(max(0.0, begun + PAUSE - time.monotonic()))
            finally:
                with self._condition:
                    self._working = False
                    self._condition.notify_all()
