"""What this machine is; a container counts as what it is limited to."""

import getpass
import io
import os
import re
from pathlib import Path

import pytest
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
