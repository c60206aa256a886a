"""What all explorers have in common: a thread, a busy state, errors one can see, a static figure."""

import html
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import ipywidgets as widgets
from IPython import get_ipython

from tlcourse.base.machine import give_memory_back
from tlcourse.errors import CourseError
from tlcourse.plots.figure import Figure, mime_bundle
from tlcourse.widgets.controls import Status

Stale = Callable[[], bool]
PAUSE = 0.1  # seconds from the beginning of one answer to the next, at least


class Latest:
    """Work in a thread of its own, one request at a time; of those that wait only the newest counts.

    So nothing piles up while a slider is dragged, and the kernel stays free to receive a click.
    While requests wait it pauses between two of them, so that a slow connection is not flooded.
    `work` must not raise; it is given a request and what tells whether a newer one has come.
    """

    def __init__(self, work: Callable[[Any, Stale], None]) -> None:
        self._work = work
        self._condition = threading.Condition()
        self._waiting: list[Any] = []  # none or one
        self._working = self.closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def ask(self, request: Any) -> None:
        """Put a request in the place of the one that waits."""
        with self._condition:
            if self.closed:
                return
            self._waiting = [request]
            if self._thread.ident is None:  # not begun
                self._thread.start()
            self._condition.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is done; tells whether it is."""
        with self._condition:
            return self._condition.wait_for(lambda: not (self._working or self._waiting), timeout)

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
                self._condition.wait_for(self._stale)  # until one waits
                if self.closed:
                    return
                request, self._working = self._waiting.pop(), True
            begun = time.monotonic()
            try:
                self._work(request, self._stale)
                if self._waiting:
                    time.sleep(max(0.0, begun + PAUSE - time.monotonic()))
            finally:
                with self._condition:
                    self._working = False
                    self._condition.notify_all()


_made: dict[str, WeakSet[widgets.Widget]] = {}  # cell -> what its last run made


class Explorer(widgets.VBox):
    """Controls above, and below them an answer that a thread computes.

    A subclass reads its controls in `_request` and fills its panels in `_answer`. What it is doing
    and what went wrong stands before part `at`, or at the end. When its cell is run again, the
    explorer is closed and forgets everything.
    """

    _held: Any = None  # pictures, networks and features, until it is closed

    def __init__(
        self, parts: Sequence[widgets.Widget], name: str, *, at: int | None = None
    ) -> None:
        self.status = Status()
        self.problem = widgets.HTML()
        self._name, self._summary = name, ""
        self._latest = Latest(self._work)
        at = len(parts) if at is None else at
        super().__init__([*parts[:at], self.status, self.problem, *parts[at:]])
        announce(self)

    def ask(self, *_: Any) -> None:
        """Read the controls and have the answer computed."""
        with self.showing_problems():
            self._latest.ask(self._request())

    def answer_now(self) -> None:
        """Compute the first answer at once in the caller's thread; errors are raised."""
        self._answer(self._request(), lambda: False)
        give_memory_back()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the newest request is answered; tells whether it is."""
        return self._latest.wait(timeout)

    def show_problem(self, sentence: str, details: str = "") -> None:
        """Show what went wrong; an empty sentence takes it away."""
        more = f"<details><summary>Details</summary><pre>{html.escape(details)}</pre></details>"
        self.problem.value = sentence and (
            '<div role="alert" style="border-left:5px solid #D55E00;padding:.3em .8em;'
            'overflow-wrap:anywhere;line-height:1.4">'
            f"{html.escape(sentence)}{more if details else ''}</div>"
        )

    @contextmanager
    def showing_problems(self, *, keep: bool = False) -> Iterator[None]:
        """Show the errors of a block in the widget; an older one goes first, or may be kept."""
        if self.problem.value and not keep:
            self.show_problem("")
        try:
            yield
        except CourseError as error:
            self.show_problem(str(error))
        except Exception as error:
            said = f"Something went wrong: {type(error).__name__}: {error}"
            self.show_problem(said, traceback.format_exc())

    def close(self) -> None:
        """End the thread and let go of everything, the parts too."""
        self._latest.close()
        self._held = None
        close_parts(self)
        super().close()

    def __del__(self) -> None:
        """Do nothing: ipywidgets would call `close`, but one that failed half-way has no parts."""

    def _request(self) -> Any:
        """Read what is asked for off the controls; runs in the main thread."""

    def _answer(self, request: Any, stale: Stale) -> None:
        """Fill the panels; runs in the explorer's thread. Long work ends early when `stale()`."""

    def _static(self) -> Figure | None:
        """Draw what stands in the notebook where no kernel runs; None for a sentence alone."""
        return None

    def _work(self, request: Any, stale: Stale) -> None:
        self._say("Computing ...")
        self._summary = ""
        with self.showing_problems():
            self._answer(request, stale)
        if self._latest.closed:  # meanwhile, and the panels were filled after that
            close_parts(self)
        elif not stale():
            self._say(self._summary)

    def _tell(self, sentence: str) -> None:
        """Decide, in `_answer`, what the status line says afterwards; a screen reader reads it."""
        self._summary = sentence

    def _say(self, text: str) -> None:
        self.status.value = text

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**options)
        figure = self._static()
        return bundle | mime_bundle(figure, figure.alt) if figure else bundle

    def __repr__(self) -> str:
        return f"[{self._name}: run this notebook to use it.]"


def panel(**layout: str) -> widgets.HTML:
    """Make an empty place for pictures and text."""
    return widgets.HTML(layout={"width": "auto"} | layout)


def on_change(call: Callable[..., None], *controls: widgets.Widget) -> None:
    """Call when the value of any of the controls changes."""
    for control in controls:
        control.observe(call, names="value")


def close_parts(box: widgets.Box) -> None:
    """Close what a box holds, and empty its panels, so that the kernel forgets it."""
    for part in box.children:
        if isinstance(part, widgets.Box):
            close_parts(part)
        part.close()
        part.unobserve_all()
        if isinstance(part, widgets.HTML):
            part.value = ""


def announce(widget: widgets.DOMWidget) -> None:
    """Give a new widget its keys (`keys.js`), and have it closed when its cell is run again."""
    widget.add_class("tlcourse-widget")
    shell = get_ipython()
    if shell is None or not hasattr(shell, "get_parent"):
        return
    parent = shell.get_parent() or {}
    code = parent.get("content", {}).get("code", "")
    _made.setdefault(parent.get("metadata", {}).get("cellId") or code, WeakSet()).add(widget)
    if _close_what_it_made not in shell.events.callbacks["pre_run_cell"]:
        shell.events.register("pre_run_cell", _close_what_it_made)


def _close_what_it_made(info: Any) -> None:
    """Close what the last run of a cell made, before the cell runs again."""
    for widget in list(_made.pop(getattr(info, "cell_id", None) or info.raw_cell, ())):
        widget.close()
