"""Execute a notebook without a browser, and measure its kernel."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from tlcourse.base.machine import MEMORY_LIMIT, MIB, peak_resident
from tlcourse.errors import CourseError

if TYPE_CHECKING:
    from nbclient import NotebookClient
    from nbformat import NotebookNode

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
    """What came of one notebook; its name is the file's without ending.

    Seconds are counted from the start of the kernel to the end of the last cell, or to the first
    picture shown. The peak is the largest resident set of the kernel.
    """

    name: str
    status: Literal["passed", "failed", "stopped", "not run"]
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

    A failing cell, a kernel that dies and Ctrl-C all end in an `Outcome`. `on_cell` is called after
    each code cell; the kernel's working folder is the notebook's unless another is named.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = read_notebook(path)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of an earlier run
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder or path.parent)}},
        on_cell_executed=lambda **_: on_cell(),
    )
    client.log.disabled = True  # what it would print comes in the report
    started = datetime.now(UTC)
    error, peak, stopped = _run_in_thread(client)
    begun = [cell for cell in code_cells(notebook) if "execution" in cell.metadata]
    replies = [cell.metadata.execution.get("shell.execute_reply") for cell in begun]
    ends = [datetime.fromisoformat(reply) for reply in replies if reply]
    if error and not isinstance(error, CellExecutionError):
        ends.append(datetime.now(UTC))
    figures = [end for cell, end in zip(begun, ends, strict=False) if _shows_picture(cell)]
    return Outcome(
        name=path.stem,
        status="stopped" if stopped else "failed" if error else "passed",
        seconds=(ends[-1] - started).total_seconds() if ends else 0.0,
        peak_bytes=peak,
        budget_seconds=notebook.metadata.get("tlcourse", {}).get("seconds"),
        first_figure_seconds=(figures[0] - started).total_seconds() if figures else None,
        failure=_failure(error, begun, peak, stopped) if error else None,
        executed=notebook,
    )


def _run_in_thread(client: "NotebookClient") -> tuple[BaseException | None, int, bool]:
    """Execute; return what was raised, the kernel's peak memory, and whether Ctrl-C was pressed."""
    peak, stopped = 0, False
    with ThreadPoolExecutor(1) as pool:  # in the main thread nbclient takes Ctrl-C for itself
        work = pool.submit(_run, client)
        while not work.done():
            try:
                wait([work], timeout=_POLL_SECONDS)
                if pid := getattr(getattr(client.km, "provisioner", None), "pid", None):
                    with suppress(psutil.Error, OSError):  # the kernel may just have ended
                        kernel = psutil.Process(pid)
                        peak = max(peak, peak_resident(kernel))
                        if stopped:
                            kernel.kill()
            except KeyboardInterrupt:
                stopped = True
    return work.exception(), peak, stopped


def _run(client: "NotebookClient") -> None:
    with tempfile.TemporaryDirectory(prefix="tlcourse-") as place:
        # Nobody answers here: what you answered shows in no output, and does not change.
        env = os.environ | {"TLCOURSE_PROGRESS": str(Path(place) / "progress.jsonl")}
        # What a kernel says on its own terminal, as when it is killed, is not part of the notebook.
        quiet = subprocess.DEVNULL
        asyncio.run(client.async_execute(env=env, stdout=quiet, stderr=quiet))


def _failure(
    error: BaseException, begun: list["NotebookNode"], peak: int, stopped: bool
) -> Failure:
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    traceback = ""
    if stopped:
        text = "Stopped by Ctrl-C."
    elif isinstance(error, CellExecutionError):
        text, traceback = f"{error.ename}: {error.evalue}", _plain(error.traceback)
    elif isinstance(error, DeadKernelError) and begun:
        text = (
            f"The kernel died while this cell ran, at {peak / MIB:.0f} MiB. Most often the "
            "machine had no memory left: close other programs and run it again."
        )
    else:
        text = f"{'' if begun else 'No kernel started. '}{type(error).__name__}: {error}"
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
