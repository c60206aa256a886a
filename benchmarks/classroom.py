"""What a class needs of one server: seconds and memory when several learners start at once.

    python benchmarks/classroom.py --learners 1 2 4 --notebook 03

Each learner is a JupyterLab server, idle with the course's folder, and a kernel that runs the
notebook, with a home and a cache of their own. All begin in the same moment, which is the worst
case. Memory that several processes share, such as PyTorch's code, is counted once: this is the
proportional set size (PSS), which Linux knows. Add --shared FOLDER to try a shared cache.
"""

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient

from tlcourse.base.machine import MIB, peak_resident, usable_cores
from tlcourse.course.notebooks import choose, copy_notebooks, originals


@dataclass
class Learner:
    """One learner's folder, settings and processes, and what was measured of the kernel."""

    home: Path
    env: dict[str, str]
    notebooks: Path
    kernel: psutil.Process | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0


def learner(home: Path, threads: int, shared: Path | None) -> Learner:
    """Make a home with the notebooks in it, and the environment that a hub would set."""
    home.mkdir()
    env = os.environ | {
        "HOME": str(home),
        "TLCOURSE_CACHE": str(home / "cache"),
        "TLCOURSE_PROGRESS": str(home / "progress.jsonl"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
    }
    env.pop("TLCOURSE_SHARED_CACHE", None)
    if shared:
        env["TLCOURSE_SHARED_CACHE"] = str(shared)
    return Learner(home, env, copy_notebooks(home)[0])


@contextmanager
def server(one: Learner) -> Iterator[psutil.Process]:
    """Run this learner's JupyterLab until the block ends; its first page has been asked for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--IdentityProvider.token="]
    with (one.home / "lab.log").open("w") as log:
        started = subprocess.Popen(
            command, cwd=one.home, env=one.env, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        pages = ("lab/tree/notebooks/00_start_here.ipynb", "api/contents/notebooks", "api/sessions")
        for page in pages:
            _ask(f"http://127.0.0.1:{port}/{page}", started)
        yield psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait(30)


def _ask(address: str, started: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(address, timeout=30) as page:
                page.read()
            return
        except OSError as error:
            if time.monotonic() > until or started.poll() is not None:
                raise SystemExit(f"JupyterLab does not answer: {error}") from error
            time.sleep(0.5)


class Watch(threading.Thread):
    """Looks at the kernels' memory while they work: each one's, and the sum of their shares."""

    def __init__(self, learners: list[Learner]) -> None:
        super().__init__(daemon=True)
        self.learners, self.ended, self.most = learners, threading.Event(), 0

    def run(self) -> None:
        """Look twice a second until told to end."""
        while not self.ended.wait(0.5):
            self.most = max(self.most, sum(self._look(one) for one in self.learners))

    def _look(self, one: Learner) -> int:
        if one.kernel is None:
            return 0
        with suppress(psutil.Error, OSError):  # it may just have ended
            one.peak_bytes = max(one.peak_bytes, peak_resident(one.kernel))
            used = one.kernel.cpu_times()
            one.cpu_seconds = used.user + used.system
            return share(one.kernel)
        return 0


def share(process: psutil.Process) -> int:
    """Proportional set size: what it has alone, and its part of what it shares."""
    return process.memory_full_info().pss


async def work(one: Learner, path: Path) -> None:
    """Run a notebook from top to bottom in a kernel of its own."""
    client = NotebookClient(
        nbformat.read(path, as_version=4),
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(one.notebooks)}},
        on_cell_execute=lambda **_: _note_kernel(client, one),
    )
    began = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    await client.async_execute(env=one.env, **quiet)
    one.seconds = time.perf_counter() - began


def _note_kernel(client: NotebookClient, one: Learner) -> None:
    one.kernel = one.kernel or psutil.Process(client.km.provisioner.pid)


async def _all(learners: list[Learner], path: Path) -> None:
    await asyncio.gather(*(work(one, path) for one in learners))


def lesson(count: int, path: Path, threads: int, shared: Path | None) -> int:
    """Let some learners run a notebook at once, print one row, return the bytes of all."""
    with tempfile.TemporaryDirectory(prefix="classroom-") as place, ExitStack() as stack:
        learners = [learner(Path(place) / str(i), threads, shared) for i in range(count)]
        servers = [stack.enter_context(server(one)) for one in learners]
        idle = sum(map(share, servers))
        watch = Watch(learners)
        watch.start()
        asyncio.run(_all(learners, path))
        watch.ended.set()
        watch.join()
    seconds = sorted(one.seconds for one in learners)
    cpu = statistics.median(one.cpu_seconds for one in learners)
    print(
        f"{path.stem:24}{count:9}{statistics.median(seconds):9.0f}{seconds[-1]:8.0f}{cpu:9.0f}"
        f"{max(one.peak_bytes for one in learners) / MIB:12.0f}{watch.most / MIB:11.0f}"
        f"{idle / MIB:11.0f}{(watch.most + idle) / MIB:8.0f}",
        flush=True,
    )
    return watch.most + idle


def main() -> None:
    """Read the options, print the table and what each further learner adds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learners", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--notebook", nargs="+", default=["03"], help="numbers or names")
    parser.add_argument("--threads", type=int, default=1, help="OMP_NUM_THREADS of a learner")
    parser.add_argument("--shared", type=Path, help="a shared cache, TLCOURSE_SHARED_CACHE")
    options = parser.parse_args()
    if not psutil.LINUX:
        raise SystemExit("Only Linux tells how much memory processes share; run it on the server.")
    shared = options.shared.resolve() if options.shared else None
    print(
        f"{usable_cores()} cores, OMP_NUM_THREADS={options.threads}, shared cache: "
        f"{'yes' if shared else 'no'}. Memory in MiB; 'together' counts shared memory once.\n"
    )
    print(f"{'':33}{'seconds':>17}{'cpu':>9}{'one kernel':>12}{'together:':>11}")
    print(
        f"{'notebook':24}{'learners':>9}{'median':>9}{'worst':>8}{'seconds':>9}{'peak':>12}"
        f"{'kernels':>11}{'servers':>11}{'all':>8}"
    )
    for path in choose(originals(), options.notebook):
        totals = [lesson(n, path, options.threads, shared) for n in options.learners]
        if len(totals) > 1:
            more = (totals[-1] - totals[0]) / (options.learners[-1] - options.learners[0])
            print(f"{'':24}each further learner adds {more / MIB:.0f} MiB\n")


if __name__ == "__main__":
    main()
