"""What GitHub runs is what the project says of itself. `actionlint` checks the rest (making.md)."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {p.name: yaml.safe_load(p.read_text("utf-8")) for p in FOLDER.glob("*.yml")}
FAST = (ROOT / "tests" / "fast.txt").read_text("utf-8").splitlines()


def commands(job):
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


def test_the_fast_tests_run_on_each_system_and_python_that_the_metadata_name():
    fast = WORKFLOWS["tests.yml"]["jobs"]["fast"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert fast["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"
    systems = {system.split("-")[0] for system in fast["strategy"]["matrix"]["system"]}
    assert systems == {"ubuntu", "windows", "macos"}
    assert "python -m pytest @tests/fast.txt" in commands(fast)


def test_all_tests_run_once_without_a_selection():
    assert commands(WORKFLOWS["tests.yml"]["jobs"]["all"]).splitlines()[-1] == "python -m pytest"


@pytest.mark.parametrize("line", FAST)
def test_the_fast_tests_are_there(line):
    assert (ROOT / line.removeprefix("--ignore=")).exists()


def test_each_job_installs_as_the_readme_says():
    readme = (ROOT / "README.md").read_text("utf-8")
    (torch,) = re.findall(r"python -m pip install torch==.*", readme)
    jobs = [job for workflow in WORKFLOWS.values() for job in workflow["jobs"].values()]
    assert len(jobs) == 3
    for job in jobs:
        assert torch in commands(job)
        assert "pip install -c constraints.txt -e " in commands(job)
