"""A stick for a classroom without a network; `tlcourse wheels` makes it.

One wheel folder for each operating system and version of Python, and `install.py` beside them.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from tlcourse import _stick_installer
from tlcourse._stick_installer import MANIFEST
from tlcourse._store import sha256_of, whole_file
from tlcourse._wheel_sources import course_wheel, fetch, needed_by, resolve, verify
from tlcourse._wheel_targets import Target
from tlcourse.errors import CourseError


@dataclass(frozen=True)
class WheelFolder:
    """A complete wheel folder.

    Attributes:
        path: Where it is.
        wheels: Number of wheels.
        size: Their bytes.
        installed_size: Bytes that they take on the disk, once installed.
        reused: It was there before.
        tested: The versions are those that the course's tests run with.
    """

    path: Path
    wheels: int
    size: int
    installed_size: int
    reused: bool
    tested: bool


def make_stick(
    folder: Path, wanted: Sequence[Target], *, course: Path | None = None
) -> Iterator[WheelFolder]:
    """Make the wheel folders, one by one, and the installer.

    A folder appears whole or not at all. One that is there, complete and made from the same
    course and versions, is kept as it is; an older one gives the wheels that did not change.

    Args:
        folder: The stick.
        wanted: From `targets`.
        course: The course's wheel or sources; by default what is installed.

    Yields:
        Each folder as soon as it is complete.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / "install.py") as part:
            shutil.copyfile(_stick_installer.__file__, part)
    except OSError as error:
        raise CourseError(
            f"Nothing can be written to the folder {folder} ({error.strerror}). Name another one."
        ) from error
    with course_wheel(course) as (wheel, exact):
        for target in wanted:
            yield _make_folder(
                folder / f"{target.system}-python{target.python}", target, wheel, exact
            )
    with whole_file(folder / "README.txt") as part:
        part.write_text(_readme(folder), encoding="utf-8")


def _make_folder(path: Path, target: Target, wheel: Path, exact: Path | None) -> WheelFolder:
    made_from = {
        "course": sha256_of(wheel),
        "versions": sha256_of(exact) if exact else "newest",
        "torch": "cpu" if target.cpu_index or target.system != "linux-x86_64" else "cuda",
        "asked_python": target.least_python,
    }
    there = _described(path)
    if there and there["made_from"] == made_from and _whole(path, there):
        return _found(path, there, reused=True)
    lines, target = resolve([*needed_by(wheel), "pip"], target, exact)
    try:
        with _whole_folder(path) as part:
            fetch(lines, target, part, earlier=path if path.is_dir() else None)
            shutil.copyfile(wheel, part / wheel.name)
            verify(part, wheel, target)
            about = {
                "system": target.system,
                "python": target.python,
                "least_python": target.least_python,
                "needs": target.needs,
                "made_from": made_from,
                **_measured(part),
            }
            (part / MANIFEST).write_text(json.dumps(about, indent=1), encoding="utf-8")
    except OSError as error:
        raise CourseError(
            f"The folder {path} could not be written ({error.strerror or error}). "
            "Nothing half-done was kept."
        ) from error
    return _found(path, about, reused=False)


@contextmanager
def _whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; if the block ends well it takes the place of `path`."""
    part, old = (path.with_name(f".{path.name}.{kind}") for kind in ("part", "old"))
    try:
        for rest in (part, old):
            shutil.rmtree(rest, ignore_errors=True)  # of a run that was killed
        part.mkdir()
        yield part
        try:
            if path.exists():
                path.replace(old)
            part.replace(path)
        except BaseException:
            if old.exists() and not path.exists():
                old.replace(path)
            raise
    finally:
        for rest in (part, old):
            shutil.rmtree(rest, ignore_errors=True)


def _measured(folder: Path) -> dict:
    """The wheels with size and SHA-256, and what they become when they are installed."""
    wheels, installed, longest = {}, 0, 0
    for path in sorted(folder.glob("*.whl")):
        wheels[path.name] = [path.stat().st_size, sha256_of(path)]
        with ZipFile(path) as held:
            for file in held.infolist():
                # Python keeps a compiled copy, about as large, of each of its files.
                installed += file.file_size * (2 if file.filename.endswith(".py") else 1)
                longest = max(longest, len(file.filename))
    return {"wheels": wheels, "installed_bytes": installed, "longest_path": longest}


def _described(folder: Path) -> dict | None:
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _whole(folder: Path, about: dict) -> bool:
    paths = {path.name: path for path in folder.glob("*.whl")}
    return paths.keys() == about["wheels"].keys() and all(
        sha256_of(paths[name]) == digest for name, (_, digest) in about["wheels"].items()
    )


def _found(path: Path, about: dict, *, reused: bool) -> WheelFolder:
    return WheelFolder(
        path,
        len(about["wheels"]),
        sum(size for size, _ in about["wheels"].values()),
        about["installed_bytes"],
        reused,
        about["made_from"]["versions"] != "newest",
    )


def _readme(folder: Path) -> str:
    """What lies here and how to use it, for the learner."""
    rows = []
    for path in sorted(folder.glob(f"*/{MANIFEST}")):
        if not path.parent.name.startswith(".") and (about := _described(path.parent)):
            least = "".join(f", {k} {v} or newer" for k, v in about["needs"].items())
            rows.append(f"  {about['system']}, Python {about['python']}{least}")
    return _README.format(folders="\n".join(rows))


_README = """\
Transfer learning from pre-trained models: the course without a network

1. Copy this whole folder to your disk, or leave the stick in.
2. Open a terminal in it (on Windows: right-click in the folder, "Open in Terminal") and type

     Windows:         py install.py
     macOS, Linux:    python3 install.py

3. Wait some minutes. At the end it says how you start the course.

Wheels are here for:
{folders}

With several versions of Python on your machine, choose one, for example:

     Windows:         py -3.12 install.py
     macOS, Linux:    python3.12 install.py

The course goes to the folder "transfer-learning" of your home. To have it elsewhere:

     python3 install.py --to FOLDER

To take it off your machine, delete that folder.
"""
