"""The stick for a classroom without a network: what is on it, and what a learner gets from it."""

import ast
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from tiny_wheels import DOCTOR, make_index, make_pip, make_wheel

from tlcourse.errors import CourseError
from tools.classroom import install, stick

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
HERE = f"linux-x86_64-python{PYTHON}"
PIP = f"pip-{metadata.version('pip')}"
NEEDS = ["torch>=2", 'onlywindows>=1; sys_platform == "win32"', 'onlytest>=1; extra == "test"']
on_linux = pytest.mark.skipif(
    install.this_system() != "linux-x86_64", reason="the tiny wheels are for Linux"
)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Tiny wheels as an index has them, the course's own, and the addresses of two indexes."""
    place = tmp_path_factory.mktemp("packages")
    inside = [("tlcourse/__init__.py", ""), ("tlcourse/__main__.py", DOCTOR)]
    course = make_wheel(place, "tlcourse", "1.0", needs=NEEDS, files=inside)
    pythons = {"312", PYTHON.replace(".", "")}
    wheels = [
        make_wheel(place / "files", "torch", "2.14.1", tag=f"cp{v}-cp{v}-{system}", needs=["maths"])
        for v in pythons
        for system in ("win_amd64", "macosx_14_0_arm64", "manylinux_2_28_x86_64")
    ]
    wheels += [
        make_wheel(place / "files", name, "1.0") for name in ("maths", "onlywindows", "onlytest")
    ]
    wheels.append(make_pip(place / "files"))
    built = [
        make_wheel(
            place / "cpu",
            "torch",
            "2.14.1+cpu",
            tag=f"cp{v}-cp{v}-linux_x86_64",
            needs=["maths"],
        )
        for v in pythons
    ]
    # The other index has packages besides PyTorch, as the real one; they are not to be taken.
    other = [*built, make_wheel(place / "cpu", "maths", "9.0")]
    return course, make_index(place / "simple", wheels), make_index(place / "cpu-simple", other)


@pytest.fixture(autouse=True)
def only_tiny_packages(packages, tmp_path, monkeypatch):
    """No index, no cache and no configuration of this machine."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", packages[1])
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("UV_DEFAULT_INDEX", packages[1])
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))


def names(folder):
    """The packages whose wheels lie in a folder, with their versions."""
    return {"-".join(path.name.split("-")[:2]) for path in folder.glob("*.whl")}


@pytest.fixture
def filled(tmp_path, packages, monkeypatch):
    """A stick for this machine, with the learners' program."""
    monkeypatch.setattr(stick, "course_wheel", lambda folder: packages[0])
    monkeypatch.setattr(stick, "CPU_INDEX", packages[2])
    assert stick.main([str(tmp_path / "stick"), "--system", "linux", "--python", PYTHON]) == 0
    return tmp_path / "stick"


def run_install(stick, home, *options):
    command = [sys.executable, stick / "install.py", *options]
    environment = os.environ | {"HOME": str(home), "PIP_INDEX_URL": "file:///nowhere"}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


# What is on the stick


@pytest.mark.parametrize(
    ("system", "torch"),
    [
        ("windows-x86_64", {"torch-2.14.1", "onlywindows-1.0"}),
        ("macos-arm64", {"torch-2.14.1"}),
        ("linux-x86_64", {"torch-2.14.1+cpu"}),
    ],
)
def test_a_folder_is_complete_for_its_system_and_python(tmp_path, packages, system, torch):
    index = packages[2] if system.startswith("linux") else None
    made = stick.fill(tmp_path, system, "3.12", packages[0], index=index)
    assert made.name == f"{system}-python3.12"
    assert names(made) == {"tlcourse-1.0", PIP, "maths-1.0"} | torch
    assert json.loads((made / "folder.json").read_text())["wheels"].keys() == {
        path.name for path in made.glob("*.whl")
    }


def test_the_command_names_the_folder_and_puts_the_installer_beside_it(filled):
    assert sorted(path.name for path in filled.iterdir()) == ["install.py", HERE]


def test_with_cuda_pytorch_comes_from_the_usual_index(tmp_path, packages, monkeypatch):
    monkeypatch.setattr(stick, "course_wheel", lambda folder: packages[0])
    arguments = [str(tmp_path), "--system", "linux", "--python", PYTHON, "--cuda"]
    assert stick.main(arguments) == 0
    assert "torch-2.14.1" in names(tmp_path / HERE)


def test_what_cannot_be_had_is_one_sentence_and_leaves_nothing(tmp_path, packages):
    with pytest.raises(
        CourseError, match=r"no set of packages for windows-x86_64 .* 3\.14: .*torch"
    ):
        stick.fill(tmp_path / "stick", "windows-x86_64", "3.14", packages[0])
    assert not list((tmp_path / "stick").iterdir())


def test_a_folder_that_could_not_be_made_again_stays_as_it_was(tmp_path, packages, monkeypatch):
    place = tmp_path / "stick"
    made = stick.fill(place, "macos-arm64", "3.12", packages[0])
    before = names(made)

    def cut(what, *command):
        raise CourseError("cut")

    monkeypatch.setattr(stick, "_run", cut)
    with pytest.raises(CourseError, match="cut"):
        stick.fill(place, "macos-arm64", "3.12", packages[0])
    assert [path.name for path in place.iterdir()] == [made.name]
    assert names(made) == before


def test_the_courses_own_wheel_comes_from_these_sources(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(stick, "_run", lambda what, *command: asked.extend(command))
    (tmp_path / "tlcourse-1.0-py3-none-any.whl").touch()
    assert stick.course_wheel(tmp_path).name == "tlcourse-1.0-py3-none-any.whl"
    assert asked[-1] == Path(__file__).parents[2]


# What a learner gets


@on_linux
def test_a_learner_installs_without_any_index_and_reads_how_to_start(filled, tmp_path):
    ran = run_install(filled, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "tiny ['doctor']" in ran.stdout
    assert f'cd "{tmp_path / "transfer-learning"}"' in ran.stdout
    assert "./tlcourse-env/bin/tlcourse lab" in ran.stdout
    (tmp_path / "transfer-learning" / "mine.txt").write_text("kept")
    assert run_install(filled, tmp_path).returncode == 0  # again: it begins afresh
    assert (tmp_path / "transfer-learning" / "mine.txt").read_text() == "kept"


@on_linux
def test_another_place_can_be_named(filled, tmp_path):
    assert run_install(filled, tmp_path, "--to", tmp_path / "else where").returncode == 0
    assert (tmp_path / "else where" / "tlcourse-env").is_dir()


@on_linux
def test_a_wheel_that_was_cut_is_named(filled, tmp_path):
    (torch,) = (filled / HERE).glob("torch-*.whl")
    torch.write_bytes(torch.read_bytes()[:-1])
    ran = run_install(filled, tmp_path)
    assert ran.returncode == 2
    assert f"{torch.name} is missing or cut" in ran.stderr
    assert not (tmp_path / "transfer-learning" / "tlcourse-env").exists()


@on_linux
@pytest.mark.parametrize("about", [{"system": "macos-arm64"}, {"python": "3.9"}, None])
def test_a_machine_that_nothing_fits_is_told_what_there_is(filled, tmp_path, about):
    path = filled / HERE / "folder.json"
    if about is None:
        path.unlink()
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | about))
    ran = run_install(filled, tmp_path)
    assert ran.returncode == 2
    assert f"This is linux-x86_64 with Python {PYTHON}" in ran.stderr
    expected = "copy the whole stick" if about is None else next(iter(about.values()))
    assert expected in ran.stderr


def test_the_installer_needs_nothing_but_an_old_python():
    """A learner with an old Python is to read a sentence, not a SyntaxError."""
    source = Path(install.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 7))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert imported <= set(sys.stdlib_module_names)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
