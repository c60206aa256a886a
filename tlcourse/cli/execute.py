"""Execute a notebook without a browser, and measure its kernel."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

from tlcourse.base.machine import MEMORY_LIMIT, MIB, peak_resident
from tlcourse.errors import CourseError

if TYPE_CHECKING:
    from nbformat import NotebookNode

Status = Literal["passed", "failed", "stopped", "not run"]

_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Failure:
    """The cell at which a notebook ended.

    Attributes:
        cell: Number of the cell among the code cells, from 1, as JupyterLab counts them.
        source: Its code; empty if no cell had begun.
        error: What happened, in one line.
        traceback: Where, as plain text; may be empty.
    """

    cell: int
    source: str
    error: str
    traceback: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of one notebook.

    Attributes:
        name: File name without ending.
        status: "passed", "failed", "stopped" (by Ctrl-C) or "not run".
        seconds: From the start of the kernel to the end of the last cell.
        peak_bytes: Largest resident set of the kernel.
        budget_seconds: What the notebook says that it needs.
        first_figure_seconds: From the start of the kernel to the first picture shown.
        failure: Where it ended, if it did not pass.
        executed: The notebook with its outputs.
    """

    name: str
    status: Status
    seconds: float = 0.0
    peak_bytes: int = 0
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
    """Read a notebook file.

    Raises:
        CourseError: It is not a notebook.
    """
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        reason = str(error).splitlines()[0][:80]
        raise CourseError(f"{path.name} cannot be read as a notebook ({reason}).") from error


def code_cells(notebook: "NotebookNode") -> list["NotebookNode"]:
    """Cells that are executed."""
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def budget(notebook: "NotebookNode") -> float | None:
    """Seconds that a notebook says it needs on 2 slow cores."""
    return notebook.metadata.get("tlcourse", {}).get("seconds")


def execute(
    path: Path, *, folder: Path | None = None, on_cell: Callable[[], None] = lambda: None
) -> Outcome:
    """Execute a notebook in a kernel of its own; its file stays as it is.

    A failing cell, a kernel that dies and Ctrl-C all end in an `Outcome`.

    Args:
        path: The notebook file.
        folder: Working folder of the kernel; by default the notebook's.
        on_cell: Called after each code cell.

    Raises:
        CourseError: The file is not a notebook.
    """
    run = _Run(read_notebook(path), folder or path.parent, on_cell)
    # A thread, because nbclient takes Ctrl-C for itself when it is in the main one.
    threading.Thread(target=run.work, daemon=True).start()
    try:
        while not run.ended.wait(_POLL_SECONDS):
            run.measure()
    except KeyboardInterrupt:
        run.stop()
        run.ended.wait()
    return run.outcome(path.stem)


class _Run:
    """One notebook on its way: `work` runs in a thread, the rest in the main one."""

    def __init__(self, notebook: "NotebookNode", folder: Path, on_cell: Callable[[], None]) -> None:
        from nbclient import NotebookClient

        self.notebook = notebook
        self.on_cell = on_cell
        self.current: NotebookNode | None = None
        self.begun = 0
        self.peak = 0
        self.seconds = 0.0
        self.first_figure: float | None = None
        self.error: BaseException | None = None
        self.stopping = False
        # Not `Thread.join`: after Ctrl-C in it, Python 3.11 and 3.12 take the thread for ended.
        self.ended = threading.Event()
        self.client = NotebookClient(
            notebook,
            timeout=None,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            on_cell_execute=self._begin,
            on_cell_executed=self._end,
        )
        self.client.log.disabled = True  # what it would print comes in the report

    def work(self) -> None:
        from nbclient.exceptions import CellExecutionError

        self.started = time.perf_counter()
        try:
            # What a kernel says on its own terminal, such as a complaint when it is killed, is not
            # part of the notebook.
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            with tempfile.TemporaryDirectory(prefix="tlcourse-") as place:
                # Nobody answers here: what you answered shows in no output, and does not change.
                env = os.environ | {"TLCOURSE_PROGRESS": str(Path(place) / "progress.jsonl")}
                asyncio.run(self.client.async_execute(env=env, **quiet))
        except CellExecutionError as error:
            self.error = error
        except BaseException as error:
            self.error = error
            self.seconds = time.perf_counter() - self.started
        finally:
            self.ended.set()

    def measure(self) -> None:
        process = self._kernel()
        if process is not None:
            with suppress(psutil.Error, OSError):  # it may just have ended
                self.peak = max(self.peak, peak_resident(process))

    def stop(self) -> None:
        self.stopping = True
        process = self._kernel()
        if process is not None:
            process.kill()

    def outcome(self, name: str) -> Outcome:
        failure = self._failure()
        return Outcome(
            name=name,
            status="stopped" if self.stopping else "failed" if failure else "passed",
            seconds=self.seconds,
            peak_bytes=self.peak,
            budget_seconds=budget(self.notebook),
            first_figure_seconds=self.first_figure,
            failure=failure,
            executed=self.notebook,
        )

    def _kernel(self) -> psutil.Process | None:
        pid = getattr(getattr(self.client.km, "provisioner", None), "pid", None)
        try:
            return psutil.Process(pid) if pid else None
        except psutil.NoSuchProcess:
            return None

    def _begin(self, cell: "NotebookNode", cell_index: int) -> None:
        if self.stopping:
            raise KeyboardInterrupt
        self.current = cell
        self.begun += 1

    def _end(self, cell: "NotebookNode", cell_index: int, execute_reply: Any) -> None:
        self.measure()
        self.seconds = time.perf_counter() - self.started
        if self.first_figure is None and any(map(_shows_picture, cell.outputs)):
            self.first_figure = self.seconds
        self.on_cell()

    def _failure(self) -> Failure | None:
        from nbclient.exceptions import CellExecutionError, DeadKernelError

        if self.error is None:
            return None
        source = self.current.source if self.current else ""
        if self.stopping:
            return Failure(self.begun, source, "Stopped by Ctrl-C.")
        if isinstance(self.error, CellExecutionError):
            said = _plain(f"{self.error.ename}: {self.error.evalue}")
            return Failure(self.begun, source, said, _plain(self.error.traceback))
        if isinstance(self.error, DeadKernelError) and self.current is not None:
            said = (
                f"The kernel died while this cell ran, at {self.peak / MIB:.0f} MiB. Most often the "
                "machine had no memory left: close other programs and run it again."
            )
            return Failure(self.begun, source, said)
        said = _plain(f"{type(self.error).__name__}: {self.error}")
        return Failure(self.begun, source, said if self.begun else f"No kernel started. {said}")


def _shows_picture(output: "NotebookNode") -> bool:
    data = output.get("data", {})
    return "<img" in data.get("text/html", "") or any(kind.startswith("image/") for kind in data)


def _plain(text: str) -> str:
    """Text without colour codes, and without the folders that tell whose machine this is."""
    text = _COLOUR_CODES.sub("", text)
    for folder, name in ((sys.prefix, "(python)"), (str(Path.home()), "~")):
        if len(folder) > 1:
            text = text.replace(folder, name)
    return text
