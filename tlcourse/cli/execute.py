"""Execute a notebook without a browser, and measure its kernel."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

from tlcourse.base.machine import MEMORY_LIMIT, MIB, peak_resident
from tlcourse.course.notebooks import drop_live_views
from tlcourse.errors import CourseError

if TYPE_CHECKING:
    from nbclient import NotebookClient
    from nbformat import NotebookNode

Status = Literal["passed", "failed", "stopped", "not run"]
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Failure:
    """Where a notebook ended: the number of the code cell (0 if none had begun), and why."""

    cell: int
    source: str
    error: str
    traceback: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of one notebook."""

    name: str  # the file's without ending
    status: Status
    seconds: float = 0.0  # with the start and the end of the kernel
    peak_bytes: int = 0  # the largest resident set of the kernel
    budget_seconds: float | None = None
    first_figure_seconds: float | None = None
    failure: Failure | None = None
    executed: "NotebookNode | None" = None

    @property
    def over_time(self) -> bool:
        """Whether it took longer than its budget."""
        return self.budget_seconds is not None and self.seconds > self.budget_seconds

    @property
    def over_memory(self) -> bool:
        """Whether its kernel took more memory than the course allows."""
        return self.peak_bytes > MEMORY_LIMIT


def read_notebook(path: Path) -> "NotebookNode":
    """Read a notebook file; what is none is a `CourseError`."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        reason = str(error).splitlines()[0][:80]
        raise CourseError(f"{path.name} cannot be read as a notebook ({reason}).") from error


def code_cells(notebook: "NotebookNode") -> list["NotebookNode"]:
    """Cells that are executed."""
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def execute(
    path: Path, *, folder: Path | None = None, on_cell: Callable[[], None] = lambda: None
) -> Outcome:
    """Execute a notebook in a kernel of its own; its file stays as it is.

    A failing cell, a kernel that dies and Ctrl-C all end in an `Outcome`.
    """
    from nbclient import NotebookClient

    notebook = read_notebook(path)
    begun: list[NotebookNode] = []
    figures: list[float] = []
    started = time.monotonic()

    def end_cell(cell: "NotebookNode", **_: Any) -> None:
        if _shows_picture(cell):
            figures.append(time.monotonic() - started)
        on_cell()

    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder or path.parent)}},
        coalesce_streams=True,  # or what is printed comes in other pieces in each run
        on_cell_execute=lambda cell, **_: begun.append(cell),
        on_cell_executed=end_cell,
    )
    client.log.disabled = True  # what it would print comes in the report
    error, peak = _run_in_thread(client)
    seconds = time.monotonic() - started
    drop_live_views(notebook)
    status: Status = "failed" if error else "passed"
    return Outcome(
        name=path.stem,
        status="stopped" if isinstance(error, KeyboardInterrupt) else status,
        seconds=seconds,
        peak_bytes=peak,
        budget_seconds=notebook.metadata.get("tlcourse", {}).get("seconds"),
        first_figure_seconds=figures[0] if figures else None,
        failure=_failure(error, begun, peak) if error else None,
        executed=notebook,
    )


def _run_in_thread(client: "NotebookClient") -> tuple[BaseException | None, int]:
    """Execute; return what was raised, Ctrl-C included, and the kernel's peak memory."""
    peak, stop = 0, None
    with ThreadPoolExecutor(1) as pool:  # in the main thread nbclient takes Ctrl-C for itself
        work = pool.submit(_run, client)
        while not work.done():
            try:
                wait([work], timeout=_POLL_SECONDS)
                if pid := getattr(getattr(client.km, "provisioner", None), "pid", None):
                    with suppress(psutil.Error, OSError):  # the kernel may just have ended
                        kernel = psutil.Process(pid)
                        peak = max(peak, peak_resident(kernel))
                        if stop:
                            kernel.kill()
            except KeyboardInterrupt as pressed:
                stop = pressed
    return stop or work.exception(), peak


def _run(client: "NotebookClient") -> None:
    with tempfile.TemporaryDirectory(prefix="tlcourse-") as place:
        # Nobody answers here: what you answered shows in no output, and does not change.
        env = os.environ | {"TLCOURSE_PROGRESS": str(Path(place) / "progress.jsonl")}
        # What a kernel says on its own terminal, as when it is killed, is not part of the notebook.
        quiet = subprocess.DEVNULL
        asyncio.run(client.async_execute(env=env, stdout=quiet, stderr=quiet))


def _failure(error: BaseException, begun: list["NotebookNode"], peak: int) -> Failure:
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    traceback, text = "", f"{type(error).__name__}: {error}"
    if isinstance(error, KeyboardInterrupt):
        text = "Stopped by Ctrl-C."
    elif isinstance(error, CellExecutionError):
        text, traceback = f"{error.ename}: {error.evalue}", _plain(error.traceback)
    elif not begun:
        text = f"No kernel started. {text}"
    elif isinstance(error, DeadKernelError):
        text = (
            f"The kernel died while this cell ran, at {peak / MIB:.0f} MiB. Most often the "
            "machine had no memory left: close other programs and run it again."
        )
    return Failure(len(begun), begun[-1].source if begun else "", _plain(text), traceback)


def _shows_picture(cell: "NotebookNode") -> bool:
    shown = [output.get("data", {}) for output in cell.outputs]
    return any("image/" in " ".join(data) or "<img" in data.get("text/html", "") for data in shown)


def _plain(text: str) -> str:
    """Text without colour codes, and without the folders that tell whose machine this is."""
    text = _COLOUR_CODES.sub("", text)
    for folder, name in ((sys.prefix, "(python)"), (str(Path.home()), "~")):
        if len(folder) > 1:
            text = text.replace(folder, name)
    return text
