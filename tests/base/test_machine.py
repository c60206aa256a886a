"""What this machine is; a container counts as what it is limited to; random numbers are put back as they were."""

import getpass
import io
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from joblib.externals.loky.backend import context

from tlcourse.base import machine


@pytest.mark.parametrize(
    ("quota", "cores"), [("100000 100000", 1), ("50000 100000", 1), ("150000 100000", 2)]
)
def test_a_container_has_the_cores_that_its_quota_gives(monkeypatch, quota, cores):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(context, "_cpu_count_affinity", lambda count: count)
    monkeypatch.setattr(context.os.path, "exists", lambda path: path == "/sys/fs/cgroup/cpu.max")
    monkeypatch.setattr(context, "open", lambda path: io.StringIO(quota), raising=False)
    assert machine.usable_cores() == cores


def test_a_container_has_the_memory_that_it_is_limited_to(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    total, _ = machine.memory()
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("900\n")
    assert machine.memory()[0] == total
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\n")
    assert machine.memory() == (1000, 400)


def test_the_machine_is_described_but_not_whose_it_is():
    facts = machine.describe()
    text = " ".join(facts.values())
    assert set(facts) == {"Cores", "Memory", "Device", "System", "Versions"}
    assert str(Path.home()) not in text
    assert not re.search(rf"\b{re.escape(getpass.getuser())}\b", text)
    assert not re.search(r"(^|\s)/\w", text)


def test_inside_numbers_follow_from_the_seed_and_outside_they_stay():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with machine.fixed_seed(1, torch.device("cpu")):
        first = torch.rand(3)
    with machine.fixed_seed(1, torch.device("cpu")):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("device", "initialised", "forked"),
    [("cuda:1", False, [0, 1]), ("cpu", True, [0, 1]), ("cpu", False, [])],
)
def test_the_numbers_of_every_gpu_are_put_back(device, initialised, forked, monkeypatch):
    """`torch.manual_seed` seeds all of them, whichever one is computed on."""
    given = []

    def fork(devices):
        given.extend(devices)
        return nullcontext()

    monkeypatch.setattr(torch.random, "fork_rng", fork)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: initialised)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "manual_seed", lambda seed: None)
    with machine.fixed_seed(0, torch.device(device)):
        pass
    assert given == forked


def test_importing_it_imports_neither_pytorch_nor_numpy():
    """So that `tlcourse --help` and `tlcourse doctor` start fast."""
    look = (
        "import sys, tlcourse.base.machine; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
