"""The stick for a classroom without a network: what is on it, and what a learner gets from it."""

import ast
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from tiny_wheels import DOCTOR, make_index, make_pip, make_wheel
from typer.testing import CliRunner

from tlcourse import (
    _stick_installer,
    _wheel_programs,
    _wheel_sources,
    _wheel_targets,
    _wheels,
    cli,
)
from tlcourse.errors import CourseError, DownloadError, UnknownNameError

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
HERE = f"linux-x86_64-python{PYTHON}"
on_linux = pytest.mark.skipif(
    _stick_installer.this_system() != "linux-x86_64", reason="the tiny wheels are for Linux"
)
NEEDS = [
    "torch>=2",
    'onlywindows>=1; sys_platform == "win32"',
    'onlytest>=1; extra == "test"',
]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Tiny wheels as an index has them, the course's own, and the addresses of two indexes."""
    place = tmp_path_factory.mktemp("packages")
    files, cpu = place / "files", place / "cpu"
    course = make_wheel(
        place,
        "tlcourse",
        "1.0",
        needs=NEEDS,
        files=[("tlcourse/__init__.py", ""), ("tlcourse/__main__.py", DOCTOR)],
    )
    wheels = [
        make_wheel(files, "torch", version, tag=f"cp{python}-cp{python}-{tag}", needs=["maths"])
        for version in ("2.1", "2.2")
        for python in {"312", PYTHON.replace(".", "")}
        for tag in ("win_amd64", "macosx_14_0_arm64", "manylinux_2_28_x86_64")
    ]
    wheels += [
        make_wheel(files, name, "1.0")
        for name in ("maths", "onlywindows", "onlytest", "torchvision")
    ]
    built = [
        make_wheel(
            cpu, "torch", "2.2+cpu", tag=f"cp{python}-cp{python}-linux_x86_64", needs=["maths"]
        )
        for python in {"312", PYTHON.replace(".", "")}
    ]
    wheels.append(make_pip(files))
    main = make_index(place / "simple", wheels)
    # The other index has packages besides PyTorch, as the real one; they are not to be taken.
    other = make_index(place / "cpu-simple", [*built, make_wheel(cpu, "maths", "9.0")])
    return course, main, other


@pytest.fixture(autouse=True)
def only_tiny_packages(packages, tmp_path, monkeypatch):
    """No index, no cache and no configuration of this machine."""
    _, main, cpu = packages
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": main,
        "PIP_NO_CACHE_DIR": "1",
        "UV_DEFAULT_INDEX": main,
        "UV_CACHE_DIR": str(tmp_path / "uv"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_wheel_sources, "CPU_INDEX", cpu)


def make(stick, packages, systems=("linux",), pythons=("3.12",), **options):
    wanted = _wheel_targets.targets(systems, pythons, **options)
    return list(_wheels.make_stick(stick, wanted, course=packages[0]))


def names(folder):
    """The packages whose wheels lie in a folder, with their versions."""
    return {"-".join(path.name.split("-")[:2]) for path in folder.glob("*.whl")}


def about(folder):
    return json.loads((folder / "folder.json").read_text())


PIP = f"pip-{_wheel_sources.metadata.version('pip')}"


# What is on the stick


def test_each_folder_is_complete_for_its_system_and_python(tmp_path, packages):
    stick = tmp_path / "stick"
    command = ["wheels", str(stick), "--course", str(packages[0]), "--python", "3.12"]
    for system in ("windows", "macos", "linux"):
        command += ["--system", system]
    ran = CliRunner().invoke(cli.app, command)
    assert ran.exit_code == 0, ran.output
    common = {"tlcourse-1.0", PIP, "maths-1.0"}
    windows, macos, linux = (
        stick / f"{name}-python3.12" for name in ("windows-x86_64", "macos-arm64", "linux-x86_64")
    )
    assert names(windows) == common | {"torch-2.2", "onlywindows-1.0"}
    assert names(macos) == common | {"torch-2.2"}
    assert names(linux) == common | {"torch-2.2+cpu"}
    assert [path.name for path in windows.glob("torch-*")] == [
        "torch-2.2-cp312-cp312-win_amd64.whl"
    ]
    assert sorted(path.name for path in stick.iterdir()) == sorted(
        ["README.txt", "install.py", windows.name, macos.name, linux.name]
    )
    readme = (stick / "README.txt").read_text()
    assert "macos-arm64, Python 3.12, macos 14.0 or newer" in readme
    # The table: wheels and megabytes of each folder, and their sum.
    rows = re.findall(r"^(\S+) +(\d*) +([\d,]+)( +[\d,]+)?$", ran.output, flags=re.MULTILINE)
    assert [row[:2] for row in rows] == [
        (windows.name, "5"),
        (macos.name, "4"),
        (linux.name, "4"),
        ("Total", ""),
    ]
    total = sum(path.stat().st_size for path in stick.glob("*/*.whl"))
    assert rows[-1][2] == f"{total / 1e6:,.0f}"


def test_with_cuda_linux_gets_what_the_usual_index_has(tmp_path, packages):
    make(tmp_path, packages, cuda=True)
    assert "torch-2.2" in names(tmp_path / "linux-x86_64-python3.12")
    make(tmp_path, packages)  # asked for otherwise, it is made again
    assert "torch-2.2+cpu" in names(tmp_path / "linux-x86_64-python3.12")


def test_without_options_it_is_for_this_machine():
    if _stick_installer.this_system() not in {s.system for s in _wheel_targets.SYSTEMS.values()}:
        pytest.skip("PyTorch has no wheels for this machine")
    (target,) = _wheel_targets.targets([], [])
    assert target.system == _stick_installer.this_system()
    assert (target.python, target.least_python) == (PYTHON, f"{PYTHON}.0")


def test_a_package_that_needs_a_later_release_of_python_is_noted(tmp_path, packages, monkeypatch):
    index = tmp_path / "late"
    late = make_wheel(tmp_path, "maths", "1.0", python=">=3.12.4")
    shutil.copytree(packages[1].removeprefix("file://"), index)
    shutil.rmtree(index / "maths")
    make_index(index, [late])
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.as_uri())
    monkeypatch.setenv("PIP_INDEX_URL", index.as_uri())
    make(tmp_path / "stick", packages)
    noted = about(tmp_path / "stick" / "linux-x86_64-python3.12")
    assert noted["least_python"] == "3.12.4"


def test_the_checkouts_exact_versions_are_kept_to(tmp_path, packages, monkeypatch):
    source = tmp_path / "source"
    (source / "tlcourse").mkdir(parents=True)
    (source / "tlcourse" / "__init__.py").touch()
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "tlcourse"\nversion = "2.0"\ndependencies = ["torch>=2"]\n'
    )
    (source / "constraints.txt").write_text("torch==2.1\n")
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # pip's way to say: without isolation
    wanted = _wheel_targets.targets(["windows"], ["3.12"])
    (found,) = _wheels.make_stick(tmp_path / "stick", wanted, course=source)
    assert found.tested
    assert names(found.path) == {"tlcourse-2.0", "torch-2.1", "maths-1.0", PIP}


# Again, interrupted, damaged


def test_a_complete_folder_is_used_again_without_a_network(tmp_path, packages, monkeypatch):
    make(tmp_path, packages)
    monkeypatch.setattr(_wheels, "resolve", lambda *_: pytest.fail("it asked the index"))
    (found,) = make(tmp_path, packages)
    assert found.reused


def test_a_damaged_wheel_is_fetched_again(tmp_path, packages):
    (found,) = make(tmp_path, packages)
    (torch,) = found.path.glob("torch-*")
    good = torch.read_bytes()
    torch.write_bytes(b"x" * len(good))
    (found,) = make(tmp_path, packages)
    assert not found.reused
    assert torch.read_bytes() == good


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError("the stick is gone")])
def test_stopped_half_way_it_leaves_what_was_there(tmp_path, packages, monkeypatch, stop):
    def half(lines, target, folder, earlier):
        (folder / "half.whl").write_bytes(b"half")
        raise stop

    (windows,) = make(tmp_path, packages, ["windows"])
    before = sorted(tmp_path.rglob("*"))
    newer = make_wheel(tmp_path / "newer", "tlcourse", "1.1", needs=NEEDS)
    monkeypatch.setattr(_wheels, "fetch", half)
    with pytest.raises((KeyboardInterrupt, CourseError)):
        make(tmp_path, [newer], ["windows"])
    shutil.rmtree(newer.parent)
    assert sorted(tmp_path.rglob("*")) == before
    assert "tlcourse-1.0" in names(windows.path)


def test_a_missing_wheel_is_found_before_the_classroom(tmp_path, packages, monkeypatch):
    def forgetful(lines, *others, **options):
        _wheel_sources.fetch([x for x in lines if not x.startswith("maths")], *others, **options)

    monkeypatch.setattr(_wheels, "fetch", forgetful)
    with pytest.raises(CourseError, match=r"Linux with Python 3.12 are not complete.*maths"):
        make(tmp_path, packages)
    assert [path.name for path in tmp_path.iterdir() if path.name != "uv"] == ["install.py"]


def test_a_wheel_for_another_machine_is_found_too(tmp_path, packages):
    (found,) = make(tmp_path, packages)
    (torch,) = found.path.glob("torch-*")
    torch.rename(str(torch).replace("linux_x86_64", "win_amd64"))
    (target,) = _wheel_targets.targets(["linux"], ["3.12"])
    with pytest.raises(CourseError, match=r"not complete.*torch"):
        _wheel_sources.verify(found.path, packages[0], target)


def test_a_download_that_is_not_what_the_index_says_is_not_kept(tmp_path, packages, monkeypatch):
    index = tmp_path / "changed"
    shutil.copytree(packages[1].removeprefix("file://"), index)
    page = index / "maths" / "index.html"
    page.write_text(re.sub("sha256=....", "sha256=0000", page.read_text()))
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.as_uri())
    with pytest.raises(CourseError, match="another SHA-256 than the index says"):
        make(tmp_path / "stick", packages)
    assert [path.name for path in (tmp_path / "stick").iterdir()] == ["install.py"]


# What cannot be


def test_without_a_network_one_sentence_says_so(tmp_path, packages, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(DownloadError, match=r"index cannot be reached\. Check the network"):
        make(tmp_path, packages)


def test_packages_that_do_not_fit_are_named(tmp_path, packages):
    with pytest.raises(
        CourseError, match=r"No set of packages fits Windows with Python 3.19.*torch"
    ):
        make(tmp_path, packages, ["windows"], ["3.19"])


@pytest.mark.parametrize(
    ("systems", "pythons", "said"),
    [
        (["Windwos"], ["3.12"], "'windwos'. Nearest: windows"),
        (["macos"], ["3.1"], "'3.1'. Nearest: 3.1"),
        (["macos"], ["2.7"], "'2.7'. Known: 3.11, 3.12|'2.7'. Nearest"),
        (["macos"], ["newest"], "'newest'. Known: 3.11, 3.12"),
    ],
)
def test_unknown_names_get_the_nearest(systems, pythons, said):
    with pytest.raises(UnknownNameError, match=said):
        _wheel_targets.targets(systems, pythons)


def test_uv_is_asked_for_where_it_is_missing(tmp_path, packages, monkeypatch):
    monkeypatch.setattr(_wheel_programs, "find_spec", lambda _: None)
    monkeypatch.setattr(_wheel_programs.shutil, "which", lambda _: None)
    with pytest.raises(CourseError, match="python -m pip install uv"):
        make(tmp_path, packages)


def test_the_courses_own_wheel_has_to_be_found(tmp_path, monkeypatch):
    with pytest.raises(CourseError, match="neither a wheel of the course nor"):
        make(tmp_path, [tmp_path / "other-1.0-py3-none-any.whl"])
    monkeypatch.setattr(_wheel_sources, "_installed_from", lambda: None)
    with pytest.raises(CourseError, match="--course PATH"):
        make(tmp_path, [None])


def test_a_course_installed_from_a_wheel_gives_this_wheel(packages, monkeypatch, tmp_path):
    class Installed:
        def read_text(self, name):
            assert name == "direct_url.json"
            return json.dumps({"url": packages[0].as_uri(), "archive_info": {}})

    monkeypatch.setattr(_wheel_sources.tlcourse, "__file__", str(tmp_path / "a" / "b.py"))
    monkeypatch.setattr(_wheel_sources.metadata, "distribution", lambda _: Installed())
    with _wheel_sources.course_wheel(None) as (wheel, exact):
        assert (wheel, exact) == (packages[0], None)


def test_a_full_disk_is_one_sentence():
    said = "many lines\nERROR: Could not install: [Errno 28] No space left on device\n"
    explained = _wheel_programs.explained(_wheel_programs.ProgramError(said), "pip could not")
    assert str(explained).startswith("The disk is full")


# On the learner's machine


@pytest.fixture(scope="module")
def stick(tmp_path_factory, packages):
    """A stick for this Python on Linux."""
    place = tmp_path_factory.mktemp("learner")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_wheel_sources, "CPU_INDEX", packages[2])
        patch.setenv("UV_DEFAULT_INDEX", packages[1])
        patch.setenv("PIP_INDEX_URL", packages[1])
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("UV_CACHE_DIR", str(place / "uv"))
        make(place / "stick", packages, pythons=[PYTHON])
    return place / "stick"


@pytest.fixture
def own_stick(stick, tmp_path):
    """A copy to change, and a function that changes its description."""

    def change(**values):
        path = tmp_path / "stick" / HERE / "folder.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    shutil.copytree(stick, tmp_path / "stick")
    return tmp_path / "stick", change


def install(stick, to, *options, **environment):
    return subprocess.run(
        [sys.executable, *options, stick / "install.py", "--to", to],
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
    )


@on_linux
def test_the_stick_alone_makes_an_environment(stick, tmp_path):
    # An index, options and a Python path of the machine would mislead pip.
    (tmp_path / "optparse.py").write_text("raise SystemExit('not the right one')")
    wrong = {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_USER": "1", "PYTHONPATH": str(tmp_path)}
    target = tmp_path / "a folder of mine"
    for _ in range(2):  # again, in place of the first
        ran = install(stick, target, **wrong)
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == ""
    python = target / "tlcourse-env" / "bin" / "python"
    has = subprocess.check_output([python, "-m", "pip", "freeze", "--all"], text=True)
    assert [line.split(" @ ")[0].split("==")[0] for line in has.split("\n") if line] == [
        "maths",
        "pip",
        "tlcourse",
        "torch",
    ]
    assert "tiny ['doctor']" in ran.stdout
    assert f'cd "{target}"\n    ./tlcourse-env/bin/tlcourse lab' in ran.stdout


@on_linux
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"python": "3.99"}, rf"This is Python {PYTHON}, .* Python 3.99.*python3.99 .*install.py"),
        (
            {"system": "windows-x86_64"},
            "This Python is for linux-x86_64, .* only for windows-x86_64",
        ),
        ({"least_python": f"{PYTHON}.99"}, rf"This is Python {PYTHON}.\d+, .* need {PYTHON}.99 or"),
        ({"needs": {"glibc": "9.1"}}, r"glibc 2.\d+, and the wheels need 9.1 or newer"),
        ({"installed_bytes": 10**16}, r"takes 10,000,000.0 GB, .* has [\d,.]+ GB free. Make space"),
        ({"wheels": {"gone.whl": [1, ""]}}, "gone.whl is missing or cut in .*linux"),
    ],
)
def test_what_does_not_fit_is_one_sentence(own_stick, tmp_path, values, said):
    stick, change = own_stick
    change(**values)
    ran = install(stick, tmp_path / "to")
    assert ran.returncode == 2
    assert re.search(f"^install.py: .*{said}", ran.stderr, flags=re.MULTILINE), ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "to" / "tlcourse-env").exists()


@on_linux
def test_a_stick_without_wheels_or_a_place_that_is_taken(own_stick, tmp_path):
    stick, _ = own_stick
    (tmp_path / "to" / "tlcourse-env").mkdir(parents=True)
    (tmp_path / "to" / "tlcourse-env" / "mine.txt").touch()
    ran = install(stick, tmp_path / "to")
    assert "is no environment of Python" in ran.stderr
    assert (tmp_path / "to" / "tlcourse-env" / "mine.txt").exists()
    (tmp_path / "file").touch()
    assert "Name another folder" in install(stick, tmp_path / "file").stderr
    shutil.rmtree(stick / HERE)
    assert "There is no wheel folder" in install(stick, tmp_path / "to").stderr


@on_linux
def test_what_pip_says_comes_through(own_stick, tmp_path):
    stick, change = own_stick
    (maths,) = (stick / HERE).glob("maths-*")
    maths.unlink()
    change(wheels={})
    ran = install(stick, tmp_path / "to")
    assert ran.returncode == 2
    assert (
        "pip could not install the course (No matching distribution found for maths)" in ran.stderr
    )


@on_linux
def test_something_to_do_is_no_success(own_stick, tmp_path):
    stick, change = own_stick
    files = [("tlcourse/__init__.py", ""), ("tlcourse/__main__.py", "raise SystemExit(1)")]
    course = make_wheel(stick / HERE, "tlcourse", "1.0", needs=NEEDS, files=files)
    change(wheels={course.name: [course.stat().st_size, ""]})
    ran = install(stick, tmp_path / "to")
    assert ran.returncode == 2
    assert "something is to do" in ran.stderr
    assert "Ready" not in ran.stdout


def test_paths_that_windows_does_not_take():
    _stick_installer._check_length("C:/tl/tlcourse-env", 161)
    with pytest.raises(_stick_installer.InstallError, match=r"would have 302.*--to C:/tl"):
        _stick_installer._check_length("C:/" + "x" * 119, 161)


@pytest.mark.parametrize(
    ("system", "machine", "build", "name"),
    [
        ("Windows", "AMD64", "win-amd64", "windows-x86_64"),
        ("Windows", "ARM64", "win-amd64", "windows-x86_64"),  # a Python for Intel on ARM
        ("Windows", "ARM64", "win-arm64", "windows-arm64"),
        ("Darwin", "arm64", "macosx-11.0-universal2", "macos-arm64"),
        ("Darwin", "x86_64", "macosx-11.0-universal2", "macos-x86_64"),
        ("Linux", "x86_64", "linux-x86_64", "linux-x86_64"),
    ],
)
def test_systems_have_one_name_on_both_sides(monkeypatch, system, machine, build, name):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(sysconfig, "get_platform", lambda: build)
    assert _stick_installer.this_system() == name
    known = {target.system for target in _wheel_targets.SYSTEMS.values()}
    assert (name in known) == (name not in ("windows-arm64", "macos-x86_64"))


def test_an_old_python_can_read_the_installer_and_be_refused():
    source = Path(_stick_installer.__file__).read_text()
    ast.parse(source, feature_version=(3, 7))
    modules = {
        name.name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert modules <= set(sys.stdlib_module_names)
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
