"""The command line: where the notebooks come from, what it leaves behind, what it says."""

import contextlib
import errno
import importlib.util
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib import metadata
from pathlib import Path

import jupyterlab.labapp
import pytest
from packaging.requirements import Requirement
from tiny_notebooks import write_notebook
from typer.testing import CliRunner

from tlcourse import CourseError, cli
from tlcourse.base import machine
from tlcourse.cli import doctor
from tlcourse.course import notebooks
from tlcourse.course.notebooks import FIRST

ROOT = Path(__file__).parents[2]
LITTER = "open('litter.txt', 'w').close()"


def tlcourse(*arguments, package, cwd, **options):
    """Run the command line of the package in a folder, as a learner does."""
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "tlcourse", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        **{"timeout": 120} | options,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout of the course whose notebooks take no time."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "tlcourse", folder / "tlcourse", ignore=shutil.ignore_patterns("__py*"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    write_notebook(folder / "notebooks" / FIRST, LITTER)
    write_notebook(folder / "notebooks" / "01_original.ipynb", "1")
    (folder / "notebooks" / "pictures").mkdir()
    (folder / "notebooks" / "pictures" / "plan.txt").write_text("plan")
    return folder


@pytest.fixture(scope="module")
def site(checkout, tmp_path_factory):
    """Where the wheel built from that checkout is installed."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    build = ["wheel", "--no-build-isolation", "--wheel-dir", wheels, checkout]
    subprocess.run([*pip, *build, *offline], check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--target", site, wheel, *offline], check=True)
    return site


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that the learner works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# Where notebooks come from


@pytest.mark.parametrize("origin", ["here", "checkout", "wheel"])
def test_run_takes_notebooks_here_else_the_checkouts_else_the_wheels(
    origin, checkout, site, tmp_path
):
    if origin == "here":
        write_notebook(tmp_path / "notebooks" / FIRST, "1")
        write_notebook(tmp_path / "notebooks" / "01_mine.ipynb", "1")
    package = checkout if origin == "checkout" else site
    installed = files(site)
    ran = tlcourse("run", package=package, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    page = (tmp_path / "tlcourse-report.html").read_text()
    assert "2 of 2 notebooks passed" in page
    assert ("01_mine" if origin == "here" else "01_original") in page
    assert files(site) == installed, "running wrote into the installed package"
    litter = checkout / "notebooks" / "litter.txt"
    assert litter.exists() == (origin == "checkout")  # their own folder is the working folder
    litter.unlink(missing_ok=True)


@pytest.mark.parametrize("origin", ["checkout", "wheel"])
def test_lab_copies_what_is_missing_and_overwrites_nothing(origin, checkout, site, tmp_path):
    mine = tmp_path / "notebooks" / FIRST
    mine.parent.mkdir()
    mine.write_text("my own work")
    copy = "from tlcourse.course.notebooks import *; print([str(p) for p in copy_notebooks(Path())[1]])"
    package = checkout if origin == "checkout" else site
    for missing in (["01_original.ipynb", "pictures/plan.txt"], []):
        done = subprocess.run(
            [sys.executable, "-c", copy],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(package)},
            capture_output=True,
            text=True,
        )
        assert done.stdout == f"{missing}\n", done.stderr
    assert mine.read_text() == "my own work"
    assert set(files(tmp_path / "notebooks")) == set(files(checkout / "notebooks"))


def test_lab_in_the_checkout_opens_the_originals(checkout, monkeypatch):
    monkeypatch.setattr(notebooks, "package_folder", lambda: checkout / "tlcourse")
    before = files(checkout)
    for place in (checkout, checkout / "notebooks"):
        assert notebooks.copy_notebooks(place) == (checkout / "notebooks", [])
    assert files(checkout) == before


def test_jupyterlabs_copies_and_checkpoints_are_not_the_courses(checkout, here, monkeypatch):
    monkeypatch.setattr(notebooks, "package_folder", lambda: checkout / "tlcourse")
    write_notebook(here / "notebooks" / "02_classifier-Copy1.ipynb", "1 / 0")
    write_notebook(here / "notebooks" / ".ipynb_checkpoints" / "02_classifier.ipynb", "1 / 0")
    assert notebooks.find_notebooks(here) == checkout / "notebooks"


def test_an_installation_without_notebooks_says_so(here, monkeypatch):
    monkeypatch.setattr(notebooks, "package_folder", lambda: here / "tlcourse")
    with pytest.raises(CourseError, match="holds no notebooks"):
        notebooks.find_notebooks(here)


def test_a_copy_that_breaks_off_leaves_no_half_a_file(here, monkeypatch):
    source = write_notebook(here / "source.ipynb", "1")
    target = here / "notebooks" / FIRST

    class FullDisk(io.BytesIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(notebooks.Path, "read_bytes", lambda path: b"content")
    monkeypatch.setattr(notebooks.Path, "open", lambda path, mode: path.touch() or FullDisk())
    with pytest.raises(OSError, match="No space"):
        notebooks._copy_new(source, target)
    assert not target.exists()


# JupyterLab


@pytest.fixture
def opened(monkeypatch):
    """What JupyterLab is started with."""
    started = []
    monkeypatch.setattr(jupyterlab.labapp, "main", started.append)
    return started


def test_lab_opens_the_first_notebook_and_passes_further_arguments_on(here, opened):
    write_notebook(here / "notebooks" / FIRST, "1")
    result = CliRunner().invoke(cli.app, ["lab", "--no-browser", "--port", "8899"])
    assert result.exit_code == 0, result.output
    shown = [f"--ServerApp.root_dir={here}", f"--LabApp.default_url=/lab/tree/notebooks/{FIRST}"]
    assert opened == [[*shown, "--no-browser", "--port", "8899"]]


def test_lab_leaves_the_root_folder_to_who_names_one(here, opened):
    write_notebook(here / "notebooks" / FIRST, "1")
    CliRunner().invoke(cli.app, ["lab", "--notebook-dir", "/"])
    assert opened == [[str(here / "notebooks" / FIRST), "--notebook-dir", "/"]]


def test_jupyterlab_really_starts_at_the_first_notebook(site, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ["--ip=127.0.0.1", f"--port={port}", "--no-browser", "--allow-root"]
    command = [sys.executable, "-m", "tlcourse", "lab", *server, "--IdentityProvider.token=tiny"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as lab:
        try:
            names = {entry["name"] for entry in _ask(lab, port, "contents/notebooks")["content"]}
            assert {FIRST, "01_original.ipynb", "pictures"} == names
        finally:
            with contextlib.suppress(OSError):
                _ask(lab, port, "shutdown", "POST")
            said, _ = lab.communicate(timeout=60)
    assert f"/lab/tree/notebooks/{FIRST}?token=" in said
    assert lab.returncode == 0


def _ask(lab, port, what, method="GET"):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = f"http://127.0.0.1:{port}/api/{what}"
    request = urllib.request.Request(url, method=method, headers={"Authorization": "token tiny"})
    for _ in range(120):
        try:
            with opener.open(request, timeout=30) as answer:
                return json.loads(answer.read() or "{}")
        except urllib.error.URLError:
            if lab.poll() is not None:
                break
            time.sleep(0.5)
    raise OSError("JupyterLab did not answer")


# Running


def test_run_goes_on_after_a_failing_notebook_and_exits_with_1(here):
    first = write_notebook(here / "notebooks" / FIRST, "1 / 0", "print('never')")
    write_notebook(here / "notebooks" / "01_fine.ipynb", "print('fine')")
    write_notebook(here / "notebooks" / "02_unwanted.ipynb", "1 / 0")
    before = first.read_bytes()
    options = ["--report", "out/page.html", "--html", "out", "--notebook", "1", "--notebook", "00"]
    result = CliRunner().invoke(cli.app, ["run", *options])
    assert result.exit_code == 1
    assert "FAILED  00_start_here" in result.output
    page = (here / "out" / "page.html").read_text()
    assert "ZeroDivisionError: division by zero" in page
    assert "1 of 2 notebooks passed" in page
    assert "fine" in (here / "out" / "01_fine.html").read_text()
    assert first.read_bytes() == before
    assert not (here / "tlcourse-report.html").exists()


def test_save_keeps_the_outputs_of_what_passed_but_nothing_that_is_dead_without_a_kernel(here):
    widget = "import ipywidgets; ipywidgets.IntSlider()"
    bar = "from tqdm.auto import tqdm\nfor _ in tqdm(range(3), desc='bar', leave=False): pass"
    passes = write_notebook(here / "notebooks" / FIRST, "print('kept')", widget, bar)
    fails = write_notebook(here / "notebooks" / "01_fails.ipynb", "print('lost')", "1 / 0")
    before = fails.read_bytes()
    assert CliRunner().invoke(cli.app, ["run", "--save", "--html", "pages"]).exit_code == 1
    page = (here / "pages" / FIRST).with_suffix(".html").read_text()
    assert "IntSlider" in page
    assert "widget-view" not in page
    saved = passes.read_text()
    assert "kept" in saved
    assert "IntSlider" in saved
    assert "0%|" not in saved
    assert "widget-view" not in saved
    assert "widget-state" not in saved
    assert "shell.execute_reply" not in saved
    assert fails.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent in another way there")
def test_ctrl_c_still_writes_the_report(site, tmp_path):
    write_notebook(tmp_path / "notebooks" / FIRST, "1")
    waits = "import time; open('waiting', 'w').close(); time.sleep(600)"
    write_notebook(tmp_path / "notebooks" / "01_waits.ipynb", waits)
    write_notebook(tmp_path / "notebooks" / "02_never.ipynb", "1")
    with subprocess.Popen(
        [sys.executable, "-m", "tlcourse", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as the tests may be, has Ctrl-C switched off for all its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        deadline = time.monotonic() + 120
        while not (tmp_path / "notebooks" / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert "Traceback" not in said
    page = (tmp_path / "tlcourse-report.html").read_text()
    assert "1 of 3 notebooks passed" in page
    assert "Stopped by Ctrl-C" in page
    assert "Not run" in page


def test_what_the_learner_can_put_right_is_one_sentence(site, tmp_path):
    ran = tlcourse("run", "--notebook", "00_strat_here", package=site, cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == (
        "tlcourse: There is no notebook '00_strat_here'. Nearest: 00_start_here.\n"
    )
    assert files(tmp_path) == {}


def test_a_report_that_cannot_be_written_is_told_before_anything_runs(here):
    write_notebook(here / "notebooks" / FIRST, LITTER)
    (here / "taken").write_text("a file, not a folder")
    result = CliRunner().invoke(cli.app, ["run", "--report", "taken/page.html"])
    assert isinstance(result.exception, CourseError)
    assert "cannot be made" in str(result.exception)
    assert not (here / "notebooks" / "litter.txt").exists()


def test_the_command_is_there_and_says_its_version(site, tmp_path):
    (script,) = metadata.Distribution.at(next(site.glob("*.dist-info"))).entry_points
    assert (script.name, script.value) == ("tlcourse", "tlcourse.cli:main")
    said = tlcourse("--version", package=site, cwd=tmp_path)
    assert said.stdout.startswith("tlcourse 1.")


def test_help_comes_without_loading_pytorch(here):
    code = "import sys, tlcourse.cli; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "False"


# Doctor


def test_doctor_finds_all_that_the_course_needs(site, tmp_path):
    said = tlcourse("doctor", package=site, cwd=tmp_path)
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
        "mps",
    } <= looked_at
    assert "pytest" not in looked_at  # only the tests need it


def test_doctor_says_what_to_do_and_exits_with_1(here, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: iter([doctor.Finding("TO DO", "x", "do\nit")]))
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert result.exit_code == 1
    assert result.output.startswith("TO DO x: do it\n")


@pytest.mark.parametrize(
    ("requirement", "says"),
    [
        ("numpy>=99", r'is not >=99\. Run: python -m pip install --upgrade "numpy>=99"'),
        ("no-such-package>=1", r'missing\. Run: .*"no-such-package>=1"'),
    ],
)
def test_doctor_names_the_package_to_install(requirement, says):
    with pytest.raises(CourseError, match=says):
        doctor._package(Requirement(requirement))


def test_doctor_meets_a_package_that_cannot_be_imported(monkeypatch):
    def broken(name):
        raise OSError("a library is missing")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    with pytest.raises(CourseError, match=r"cannot be imported \(OSError: a library is missing"):
        doctor._package(Requirement("numpy"))


def test_doctor_knows_how_each_package_is_imported():
    for text in metadata.requires("tlcourse") if _installed() else []:
        requirement = Requirement(text)
        if requirement.marker is None:
            assert importlib.util.find_spec(doctor._module(requirement.name)), requirement.name


def _installed():
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.distribution("tlcourse")
    return None


def _finding(about):
    (found,) = [f for f in doctor.examine() if f.about == about]
    return found


@pytest.fixture
def no_packages(monkeypatch):
    """Leave the packages out, which take seconds to import."""
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: [])


def test_doctor_finds_missing_pictures(no_packages, monkeypatch):
    monkeypatch.setitem(doctor._TASKS, "digits", ("scikit-learn", "no/such.csv"))
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


def test_a_container_is_taken_at_its_own_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    cores, (total, _) = machine.usable_cores(), machine.memory()
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("900\n")
    assert (machine.usable_cores(), machine.memory()[0]) == (cores, total)
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\n")
    assert machine.usable_cores() == 1
    assert machine.memory() == (1000, 400)
