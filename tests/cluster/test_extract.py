"""`tlcourse extract`: what it writes, and that nothing is lost when workers, machines or all of it die.

A Ray cluster takes half a minute to start, so there is one, of two machines that are processes
here, and the tests of this file are done in their order. All of them are started by a Python that
has imported Ray and PyTorch already.
"""

import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from ready import Program, Ready

from tlcourse.cluster.extract import Plan, _do
from tlcourse.cluster.shards import find_shards

ROOT = Path(__file__).parents[2]
LAYERS = ("stage2", "embedding")
OPTIONS = [
    "--backbone",
    "squeezenet1_1",
    "--size",
    "64",
    "--engine",
    "pytorch",
    "--layers",
    *LAYERS,
]
N, EACH = 8, 100  # shards, and pictures in each


def jpeg(rng):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def place():
    """A folder with shards; its path is short, since Ray's sockets may not have a long one."""
    with tempfile.TemporaryDirectory(prefix="tl-", ignore_cleanup_errors=True) as name:
        rng = np.random.default_rng(0)
        for i in range(N):
            with tarfile.open(Path(name) / f"{i}.tar", "w") as archive:
                for j in range(EACH):
                    for kind, content in (("jpg", jpeg(rng)), ("cls", str(j % 3).encode())):
                        about = tarfile.TarInfo(f"{i}/{j}.{kind}")
                        about.size = len(content)
                        archive.addfile(about, io.BytesIO(content))
        yield Path(name)


IMPORTED = ["torchvision", "tlcourse.cli.extract", "tlcourse.cluster.extract", "ray.data"]


@pytest.fixture(scope="module")
def ready(place):
    usual = {"PYTHONPATH": str(ROOT), "TLCOURSE_CACHE": str(place), "OMP_NUM_THREADS": "1"}
    ray = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}  # or it makes a file at home
    ray |= {"RAY_agent_register_timeout_ms": "60000"}
    one_core = {"LOKY_MAX_CPU_COUNT": "1"}  # a second worker takes as long to start as the rest
    with Ready(*IMPORTED, environment=os.environ | usual | ray | one_core) as ready:
        yield ready


def start(*arguments, ready, place):
    """Start `tlcourse extract`."""
    command = ["-m", "tlcourse", "extract", *arguments, *OPTIONS]
    return ready.start(*command, log=place / "run.log", cwd=place)


def end(run, *, status=0, seconds=150):
    """Wait for a run, and return what it printed."""
    try:
        assert run.wait(seconds) == status, run.said
    finally:
        kill([run.pid])
    return run.said


def kill(pids):
    """Kill processes and all that they started."""
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()


@dataclass
class Cluster:
    """Machines of one core each, as `ray start` makes them."""

    ready: Ready
    place: Path
    address: str = ""
    machines: list[Program] = field(default_factory=list)

    def add(self):
        """Start a machine; a busy one needs more than the half minute that Ray gives it."""
        log = self.place / f"machine{len(self.machines)}.log"
        for _ in range(4):
            machine = self.ready.start(*self.command(), log=log, cwd=self.place)
            self.machines.append(machine)  # it is killed at the end, also if it never answers
            wait_for(lambda m=machine: not m.running() or "Ray runtime started" in m.said)
            if machine.running():
                break
            self.machines.pop()
        else:
            pytest.fail(machine.said)
        self.address = self.address or re.search(r"--address='(.*?)'", machine.said)[1]

    def command(self):
        start = ["-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
        start += ["--object-store-memory=80000000", "--include-log-monitor=false"]
        if self.machines:
            return [*start, f"--address={self.address}"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        start += ["--head", f"--port={port}", f"--temp-dir={self.place}/ray", "--no-monitor"]
        return [*start, "--include-dashboard=false", "--disable-usage-stats"]


@pytest.fixture(scope="module")
def cluster(ready, place):
    cluster = Cluster(ready, place)
    try:
        cluster.add()
        cluster.add()
        yield cluster
    finally:
        for machine in cluster.machines:
            kill([machine.pid])


def state(out):
    """File -> what changes if it is written again."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.glob("*.parquet")}


def wait_for(what, seconds=90):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.05)
    return found


def at_work(out, machines):
    """A worker of some machines that has begun to write a shard."""
    for machine in machines:
        for process in psutil.Process(machine.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.name().startswith("ray::"):
                    files = [Path(file.path) for file in process.open_files()]
                    if any(file.parent == out and file.suffix == ".part" for file in files):
                        return process
    return None


@pytest.fixture(scope="module")
def expected(place):
    """Shard -> its table, as one process computes it to which nothing happens."""
    threads, out = torch.get_num_threads(), place / "expected"
    out.mkdir()
    plan = Plan(out, LAYERS, "squeezenet1_1", 64, engine="pytorch")
    for shard in find_shards([f"{place}/*.tar"]):
        _do(plan, plan.about()["fingerprint"], shard)
    torch.set_num_threads(threads)
    tables = {path.name: pq.read_table(path) for path in out.glob("*.parquet")}
    assert [table.num_rows for table in tables.values()] == [EACH] * N
    return tables


def check(out, expected, before):
    """Every shard is there once, with the same features; what was finished before is untouched."""
    assert {path.name: pq.read_table(path) for path in out.glob("*.parquet")} == expected
    assert [path.name for path in out.glob(".*")] == []  # what killed workers leave
    after = state(out)
    assert {path: after[path] for path in before} == before


def test_a_worker_and_a_machine_are_killed(ready, place, cluster, expected):
    out = place / "one"
    run = start("*.tar", "--out", out, "--address", cluster.address, ready=ready, place=place)
    wait_for(lambda: at_work(out, cluster.machines)).kill()
    wait_for(lambda: len(state(out)) >= 2)
    wait_for(lambda: at_work(out, cluster.machines[1:]))
    before = state(out)
    kill([cluster.machines[1].pid])
    assert f"{N * EACH:,} pictures in {N} of {N} shards, 0 left out" in end(run)
    assert len(before) < N
    check(out, expected, before)


def test_a_full_disk_ends_the_run_with_one_sentence(ready, place, cluster):
    out = place / "full"
    out.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(out)]
    if not shutil.which("mount") or subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        run = start("*.tar", "--out", out, "--address", cluster.address, ready=ready, place=place)
        said = end(run, status=2)
        assert f"tlcourse: The disk of {out} is full. Make room" in said
        assert "Traceback" not in said
        assert [path.name for path in out.glob(".*")] == []
        assert len(state(out)) < N
    finally:
        subprocess.run(["umount", "-l", str(out)], check=True)


def test_all_of_it_is_killed_and_started_again_on_one_machine(ready, place, cluster, expected):
    out = place / "all"
    run = start("*.tar", "--out", out, "--address", cluster.address, ready=ready, place=place)
    wait_for(lambda: len(state(out)) >= 2)
    wait_for(lambda: at_work(out, cluster.machines[:1]))
    kill([run.pid, *(machine.pid for machine in cluster.machines)])
    assert run.wait(30) == -signal.SIGKILL
    before = state(out)
    assert 2 <= len(before) < N
    (place / "damaged").mkdir()
    damaged = place / "damaged" / "d.tar"
    damaged.write_bytes((place / "0.tar").read_bytes()[:50_000])
    said = end(start("*.tar", damaged, "--out", out, ready=ready, place=place), status=1)
    assert f"{N + 1} shards, {len(before)} of them done already" in said
    assert "left out: d: the file is damaged or cut off (unexpected end of data)" in said
    assert f"{N * EACH:,} pictures in {N} of {N + 1} shards, 1 left out" in said
    check(out, expected, before)


def test_an_address_where_nobody_answers(ready, place):
    run = start("0.tar", "--out", "no", "--address", "127.0.0.1:1", ready=ready, place=place)
    said = end(run, status=2, seconds=60)
    assert "No Ray cluster answers at 127.0.0.1:1 ([Errno 111] Connection refused)" in said
    assert "Traceback" not in said
