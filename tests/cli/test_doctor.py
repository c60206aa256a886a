"""The doctor: what it looks at, what it says to do, and that nothing stops it."""

import os
import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from tiny_notebooks import ROOT, tlcourse
from typer.testing import CliRunner

from tlcourse import CourseError, cli
from tlcourse.cli import doctor


def test_doctor_finds_all_that_the_course_needs(tmp_path):
    said = tlcourse("doctor", package=ROOT, cwd=tmp_path)
    assert said.returncode == 0, said.stdout
    assert not said.stderr
    lines = said.stdout.split("\n\n")[0].splitlines()
    assert {line[:6].strip() for line in lines} <= {"OK", "NOTE"}
    looked_at = {line[6:].partition(":")[0] for line in lines}
    assert {
        "torch",
        "timm",
        "weights",
        "task emoji",
        "photographs",
        "notebooks",
        "cache folder",
        "memory",
        "device",
        "engine",
    } <= looked_at
    assert "pytest" not in looked_at  # only the tests need it


def test_doctor_says_what_to_do_and_exits_with_1(here, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: iter([doctor.Finding("TO DO", "x", "do\nit")]))
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert result.exit_code == 1
    assert result.output.startswith("TO DO x: do it\n")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, r'^PyTorch; .*pip install "tlcourse\[fast\]"'),
        (True, r"^OpenVINO \d.*, else PyTorch$"),
    ],
)
def test_doctor_names_the_engine_or_how_to_get_one(monkeypatch, found, says):
    monkeypatch.setattr(doctor, "find_spec", lambda name: found)
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "2026.4.1")
    assert re.search(says, doctor._engine())


@pytest.mark.parametrize(
    ("requirement", "says"),
    [
        ("numpy>=99", r'; >=99 is needed\. Run: python -m pip install --upgrade "numpy>=99"'),
        ("no-such-package>=1", r'it is missing; >=1 is needed\. Run: .*"no-such-package>=1"'),
    ],
)
def test_doctor_names_the_package_to_install(requirement, says):
    with pytest.raises(CourseError, match=says):
        doctor._package(Requirement(requirement))


def test_doctor_meets_a_package_that_cannot_be_imported(monkeypatch):
    def broken(name):
        raise OSError("a library is missing")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    with pytest.raises(
        CourseError,
        match=r"cannot be imported \(OSError: a library is missing\)\. Try: .* --no-deps numpy",
    ):
        doctor._imports()


def test_pytorch_is_loaded_after_what_needs_none_is_told(tmp_path):
    """A machine where loading it takes long, or fails, shows all else before."""
    code = (
        "import sys\n"
        "from tlcourse.cli.doctor import examine\n"
        "for finding in examine():\n"
        "    print(finding.about, 'torch' in sys.modules, sep=',')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = dict(line.rsplit(",", 1) for line in ran.stdout.splitlines())
    early = {"Python", "torch", "task emoji", "notebooks", "kernel", "memory", "cache folder"}
    assert {loaded[about] for about in early} == {"False"}
    assert loaded["imports"] == "True"


def _finding(about):
    (found,) = [f for f in doctor.examine() if f.about == about]
    return found


@pytest.fixture
def no_packages(monkeypatch):
    """Leave the packages out, which take seconds to import."""
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: [])


def test_doctor_finds_missing_pictures(no_packages, monkeypatch):
    monkeypatch.setitem(doctor._TASKS, "digits", ("scikit-learn", "sklearn/no/such.csv"))
    found = _finding("task digits")
    assert found.level == "TO DO"
    assert "no/such.csv of scikit-learn is missing. Run: python -m pip install" in found.text
    assert _finding("task emoji").level == _finding("photographs").level == "OK"


def test_doctor_finds_altered_weights(no_packages, monkeypatch):
    monkeypatch.setattr("tlcourse.networks.load.sha256_of", lambda path: "0" * 64)
    found = _finding("weights")
    assert found.level == "TO DO"
    assert "altered" in found.text


def test_doctor_finds_a_cache_folder_that_cannot_be(no_packages, here, monkeypatch):
    (here / "file").touch()
    monkeypatch.setenv("TLCOURSE_CACHE", str(here / "file" / "cache"))
    found = _finding("cache folder")
    assert found.level == "TO DO"
    assert "Set TLCOURSE_CACHE" in found.text


def test_doctor_finds_a_device_that_is_not_there(no_packages, monkeypatch):
    monkeypatch.setenv("TLCOURSE_DEVICE", "cuda:99x")
    assert _finding("device").level == "TO DO"


@pytest.mark.parametrize(
    ("total", "available", "level"), [(1.0, 0.5, "TO DO"), (8.0, 1.0, "NOTE"), (8.0, 4.0, "OK")]
)
def test_doctor_compares_memory_with_what_a_notebook_takes(
    no_packages, monkeypatch, total, available, level
):
    monkeypatch.setattr(doctor, "memory", lambda: (total * 2**30, available * 2**30))
    assert _finding("memory").level == level


def test_doctor_survives_a_check_that_breaks(no_packages, monkeypatch):
    monkeypatch.setattr(doctor, "memory", lambda: 1 / 0)
    found = _finding("memory")
    assert found.level == "TO DO"
    assert "ZeroDivisionError" in found.text
