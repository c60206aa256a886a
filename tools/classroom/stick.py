"""Fill a stick: a folder of wheels for each system and Python, and `install.py` beside them.

uv finds the exact versions for another machine, pip fetches their wheels, and uv resolves the
course again from the folder alone, as pip will do in the classroom.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from tlcourse.base.files import whole_folder
from tlcourse.errors import CourseError

ROOT = Path(__file__).resolve().parents[2]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True)
class System:
    """A kind of machine: its name for uv, and the platform tags of the wheels that it takes."""

    platform: str
    tags: tuple[str, ...]


SYSTEMS = {
    "windows-x86_64": System("x86_64-pc-windows-msvc", ("win_amd64",)),
    "macos-arm64": System("aarch64-apple-darwin", ("macosx_14_0_arm64",)),
    "linux-x86_64": System(
        "x86_64-manylinux_2_28",
        (
            *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)),
            *(f"manylinux{year}_x86_64" for year in (2014, 2010, 1)),
            "linux_x86_64",
        ),
    ),
}


def course_wheel(folder: Path) -> Path:
    """Build the course's own wheel from these sources."""
    _run("wheel of the course", *_pip("wheel", "--no-deps", "--wheel-dir", folder, ROOT))
    return next(folder.glob("tlcourse-*.whl"))


def fill(stick: Path, system: str, python: str, wheel: Path, *, index: str | None = None) -> Path:
    """Make one folder of wheels, whole or not at all.

    Args:
        stick: Where the folder goes.
        system: A name of `SYSTEMS`.
        python: Such as "3.12", or "3.12.4" for this release and later ones.
        wheel: The course's own wheel.
        index: Index that PyTorch comes from, if it is another one than that of all else.

    Raises:
        CourseError: No set of packages fits, or they cannot be fetched.
    """
    minor = ".".join(python.split(".")[:2])
    target = stick / f"{system}-python{minor}"
    with whole_folder(target) as part, tempfile.TemporaryDirectory() as place:
        exact = Path(place) / "exact.txt"
        exact.write_text(resolve(Path(place), system, python, wheel, index), encoding="utf-8")
        options = ["--no-deps", "--only-binary", ":all:", "--dest", part, "-r", exact]
        options += ["--python-version", python, "--abi", f"cp{minor.replace('.', '')}"]
        options += [x for tag in SYSTEMS[system].tags for x in ("--platform", tag)]
        options += ["--implementation", "cp"] + (["--extra-index-url", index] if index else [])
        _run("wheels", *_pip("download", *options))
        shutil.copy(wheel, part)
        (Path(place) / "course.txt").write_text(f"tlcourse @ {(part / wheel.name).as_uri()}\npip\n")
        alone = ["--offline", "--no-config", "--no-index", "--find-links", part]
        _compile("complete folder", Path(place) / "course.txt", system, python, *alone)
        wheels = {path.name: path.stat().st_size for path in sorted(part.glob("*.whl"))}
        about = {"system": system, "python": python, "wheels": wheels}
        (part / "folder.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    return target


def resolve(place: Path, system: str, python: str, wheel: Path, index: str | None) -> str:
    """Find the exact versions for another machine, as the lines of a requirements file."""
    project = '[project]\nname = "stick"\nversion = "0"\n'
    project += f'requires-python = ">={python}"\ndependencies = {json.dumps(needed_by(wheel))}\n'
    if index:  # PyTorch, and nothing else, comes from there
        project += f'[[tool.uv.index]]\nname = "torch"\nurl = "{index}"\nexplicit = true\n'
        project += '[tool.uv.sources]\ntorch = { index = "torch" }\n'
        project += 'torchvision = { index = "torch" }\n'
    (place / "pyproject.toml").write_text(project, encoding="utf-8")
    keep = ["--constraints", ROOT / "constraints.txt"]
    return _compile("set of packages", place / "pyproject.toml", system, python, *keep)


def needed_by(wheel: Path) -> list[str]:
    """What a wheel requires without its extras, and pip, which some systems lack."""
    with ZipFile(wheel) as opened:
        (name,) = (n for n in opened.namelist() if n.endswith(".dist-info/METADATA"))
        lines = opened.read(name).decode().splitlines()
    required = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist")]
    return [text for text in required if "extra ==" not in text] + ["pip"]


def _pip(command: str, *options: object) -> list[object]:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    return [sys.executable, "-m", "pip", command, *quiet, *options]


def _compile(what: str, source: Path, system: str, python: str, *options: object) -> str:
    command = [sys.executable, "-m", "uv", "pip", "compile", source, "--quiet", "--no-header"]
    command += ["--no-annotate", "--only-binary", ":all:", "--python", sys.executable]
    command += ["--python-platform", SYSTEMS[system].platform, "--python-version", python]
    return _run(f"{what} for {system} with Python {python}", *command, *options)


def _run(what: str, *command: object) -> str:
    """Run pip or uv; their last lines say why it failed."""
    settings = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}  # PyTorch needs macOS 14
    ran = subprocess.run([str(x) for x in command], capture_output=True, text=True, env=settings)
    if ran.returncode:
        why = " ".join(ran.stderr.split()[-60:]) or "no reason was given"
        raise CourseError(f"There is no {what}: {why}")
    return ran.stdout


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, fill the stick, and turn an error into one sentence."""
    parser = argparse.ArgumentParser(prog="python -m tools.classroom", description=__doc__)
    parser.add_argument("stick", type=Path, help="the stick, or any folder")
    names = {name.partition("-")[0]: name for name in SYSTEMS}
    parser.add_argument("--system", action="append", required=True, choices=names)
    parser.add_argument("--python", action="append", required=True, metavar="3.12")
    parser.add_argument("--cuda", action="store_true", help="on Linux: PyTorch with CUDA, 3 GB")
    chosen = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as place:
            wheel = course_wheel(Path(place))
            for name in chosen.system:
                for python in chosen.python:
                    index = CPU_INDEX if name == "linux" and not chosen.cuda else None
                    made = fill(chosen.stick, names[name], python, wheel, index=index)
                    size = sum(path.stat().st_size for path in made.glob("*.whl"))
                    print(f"{made.name}: complete, {size / 1e6:,.0f} MB")
        shutil.copy(Path(__file__).with_name("install.py"), chosen.stick)
    except (CourseError, OSError) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    return 0
