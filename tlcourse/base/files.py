"""The cache folders, and files that appear whole or not at all.

Each learner has a cache of their own. A class may share a second one, which a teacher fills once:
it is only read, so it may be mounted read-only, and what is new always goes to the own one.
"""

import ctypes
import hashlib
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import platformdirs

from tlcourse.base.messages import printable, say
from tlcourse.errors import CourseError, UnreadableError

_ATTEMPTS = 50 if os.name == "nt" else 1  # to rename a file
_PAUSE = 0.02  # seconds between two of them
_MOST_JSON = 2**24  # bytes


def cache_dir() -> Path:
    """Folder for downloads and features: `TLCOURSE_CACHE`, else the system's cache folder."""
    named = os.environ.get("TLCOURSE_CACHE")
    folder = Path(named).expanduser() if named else platformdirs.user_cache_path("tlcourse")
    make_folder(folder, "Set TLCOURSE_CACHE to a folder that you may write to.")
    return folder


def make_folder(folder: Path, advice: str) -> None:
    """Make a folder that may be there already, or say in a sentence why it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"The folder {folder} cannot be made ({error.strerror})."
        raise CourseError(f"{reason} {advice}".rstrip()) from error


def shared_cache() -> Path | None:
    """Folder that a class only reads: `TLCOURSE_SHARED_CACHE`; None without one.

    The teacher who fills it may name it as both caches: then it counts as the own one.
    """
    named = os.environ.get("TLCOURSE_SHARED_CACHE")
    if not named:
        return None
    folder = Path(named).expanduser()
    if can_read(folder):
        return None if folder.samefile(cache_dir()) else folder
    tell_once(f"{no_shared_cache(folder)} The work goes on without it.")
    return None


def no_shared_cache(folder: Path) -> str:
    """The sentence for a shared cache that cannot be read."""
    what = f"The shared cache {folder} is not a folder that you can read"
    return f"{what}: correct or unset TLCOURSE_SHARED_CACHE."


def can_read(folder: Path) -> bool:
    """Whether this is a folder whose content may be read."""
    try:
        return folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
    except OSError:  # a folder above it is closed, or a network drive is gone
        return False


def tell_altered(what: str, shared: Path) -> None:
    """Say, once for each shared cache, that something in it cannot be used."""
    tell_once(
        f"{what} in the shared cache {shared} cannot be read, or were altered. You get your own "
        "instead, which takes longer. Tell your teacher: the shared cache must be filled again."
    )


@cache
def tell_once(text: str) -> None:
    """Print a note, unless this process has printed it before."""
    say(text)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Read a JSON file that somebody else may have made.

    Raises:
        OSError: It cannot be read.
        ValueError: It is a pipe or a device, which could be read for ever; or too large; or see
            `parse_json`.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is not a file")
    if path.stat().st_size > _MOST_JSON:
        raise ValueError(f"{path.name} is larger than {_MOST_JSON >> 20} MiB")
    return parse_json(path.read_text("utf-8"))


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text says.

    Halves of characters, which no file or page can hold, are written out as their numbers.

    Raises:
        ValueError: It is no JSON, or too deeply nested.
    """
    try:
        return _whole(json.loads(text))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _whole(said: Any) -> Any:
    """Replace halves of characters in all texts."""
    if isinstance(said, str):
        return said.encode("utf-8", "backslashreplace").decode()
    if isinstance(said, list):
        return [_whole(one) for one in said]
    if isinstance(said, dict):
        return {_whole(key): _whole(value) for key, value in said.items()}
    return said


def open_source(
    source: object, kind: str, error: type[UnreadableError]
) -> tuple[str, BytesIO | BufferedReader]:
    """Name of a source for sentences, and the source as an opened file.

    Args:
        source: Path, content (bytes) or opened binary file.
        kind: What it should be: "picture" or "sound".
        error: What is raised where it cannot be opened.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return f"The {kind}", BytesIO(source)
    if hasattr(source, "read"):
        content = source.read()
        if isinstance(content, bytes):
            return f"The {kind}", BytesIO(content)
        raise error(f"The {kind}'s file is opened as text; open it with mode 'rb'.")
    if not isinstance(source, str | os.PathLike):
        raise error(
            f"A {kind} is opened from a path, bytes or a file, not from {type(source).__name__}."
        )
    path = Path(source).expanduser()
    try:
        return path.name, path.open("rb")
    except (OSError, ValueError) as stopped:  # ValueError: a null character in the name
        why = "it is a folder" if path.is_dir() else getattr(stopped, "strerror", None) or stopped
        raise error(f"{printable(path)} cannot be opened: {why}.", f"{why}") from stopped


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path; what is written there becomes `path`, unless the block raises."""
    part = _beside(path)
    try:
        yield part
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                part.replace(path)
                break
            except PermissionError:  # on Windows somebody has the earlier file open for a moment
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a new folder beside `path`; at the end it becomes `path`, in place of an earlier one.

    If the block raises (Ctrl-C included) the new folder is removed and `path` is as it was. Linux
    and macOS exchange the two folders in one step. Elsewhere there is a moment between two renames:
    if the process is killed then, the next call brings the earlier folder back.
    """
    part = _beside(path)
    _bring_back(path)
    part.mkdir()
    try:
        yield part
        _take_place(part, path)
    finally:
        _bring_back(path)
        shutil.rmtree(part, ignore_errors=True)


def save_file(path: Path, content: bytes, advice: str = "") -> None:
    """Write a file, whole or not at all, or say in a sentence why it cannot be."""
    try:
        with whole_file(path) as part:
            part.write_bytes(content)
    except OSError as error:
        reason = f"{path} cannot be written ({error.strerror or error})."
        raise CourseError(f"{reason} {advice}".rstrip()) from error


def save_files(folder: Path, files: Mapping[str, bytes], what: str) -> None:
    """Write files as a folder, whole or not at all, in place of an earlier one of the same kind.

    Args:
        folder: Where to write.
        files: Name -> content.
        what: What they are together, in one word such as "result".

    Raises:
        CourseError: The folder holds something else, or cannot be written to.
    """
    if folder.is_file() or {path.name for path in folder.glob("*")} - set(files):
        raise CourseError(
            f"{folder} holds something else than a saved {what}. Name another folder."
        )
    try:
        with whole_folder(folder) as part:
            for name, content in files.items():
                (part / name).write_bytes(content)
    except OSError as error:
        reason = error.strerror or error
        raise CourseError(f"The {what} cannot be saved in {folder} ({reason}).") from error


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`: what it makes is for one user only, and a cache may be shared by a class.
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")


def _take_place(part: Path, path: Path) -> None:
    """Give a new folder its name; an earlier one with content is then called `part`, or gone."""
    try:
        part.replace(path)
    except OSError:
        if not path.exists():
            raise
        if not _exchange(part, path):
            aside = part.with_suffix(".old")
            path.replace(aside)
            part.replace(path)
            shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Give two folders the name of each other in one step; False where the system cannot."""
    names, swap, here = (os.fsencode(one), os.fsencode(other)), 2, -100
    try:
        libc = ctypes.CDLL(None)
        if sys.platform == "darwin":
            return bool(libc.renamex_np(*names, swap) == 0)
        return bool(libc.renameat2(here, names[0], here, names[1], swap) == 0)
    except (AttributeError, OSError, TypeError):  # there is no such function
        return False


def _bring_back(path: Path) -> None:
    """Give a folder its name again if a replacement stopped between its two renames."""
    if not path.exists():
        for aside in sorted(path.parent.glob(f".{path.name}.*.old"))[:1]:
            aside.replace(path)
