"""Features on disk: they grow row by row, survive a killed process, and appear whole or not at all.

An entry is one layer's features of one list of pictures. Finished, it is a folder with

    features.safetensors    one tensor "features", float32 (N, ...)
    manifest.json           what it is, and a SHA-256 for each piece of some rows

Finished entries are also found in the cache that a class shares, and nothing is written there.
While an entry grows, the folder's name ends in ".part", and a journal lists the pieces that are complete.
A process that finds such a folder goes on after the last complete piece.
"""

import hashlib
import json
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlcourse.base.files import cache_dir, shared_cache, tell_altered, whole_file
from tlcourse.base.messages import say
from tlcourse.errors import CourseError

_DATA, _MANIFEST, _JOURNAL = "features.safetensors", "manifest.json", "journal.jsonl"
_DAMAGES = (OSError, ValueError, KeyError, TypeError, IndexError, struct.error)


def store_folder() -> Path:
    """Folder of all stored features, in the cache."""
    return cache_dir() / "features"


def shared_store() -> Path | None:
    """Folder of the features that a class shares; None without a shared cache."""
    shared = shared_cache()
    return shared / "features" if shared else None


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Let one process at a time work on what has this name."""
    from filelock import FileLock

    with _disk():
        store_folder().mkdir(parents=True, exist_ok=True)
        held = FileLock(store_folder() / f".{name}.lock")
        held.acquire()
    try:
        yield
    finally:
        held.release()


@dataclass(frozen=True)
class Entry:
    """One layer's features of a list of pictures.

    Attributes:
        key: Digest of all that decides their values.
        about: What people read of it: backbone, layer, pooling, task.
    """

    key: str
    about: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where the finished entry is, or will be, in the own cache."""
        return store_folder() / self.key

    def load(self, *, mend: bool = True) -> tuple[np.ndarray, float] | None:
        """Return the array, read from disk as needed, and the seconds that it took to compute.

        The own cache comes first: what was computed afresh counts, whatever the class shares.

        Args:
            mend: Remove a damaged entry, with a note. Only who holds the lock may do that. Shared
                entries are never touched.

        Returns:
            None if there is no whole entry.
        """
        return self._load_own(mend) or self._load_shared(mend)

    def _load_own(self, mend: bool) -> tuple[np.ndarray, float] | None:
        if not self.folder.is_dir():
            return None
        try:
            return _load(self.folder)
        except _DAMAGES:
            if mend:
                say(
                    f"The stored features of layer {self.about.get('layer')} were damaged. "
                    "They are computed again."
                )
                self.remove()
            return None

    def _load_shared(self, mend: bool) -> tuple[np.ndarray, float] | None:
        shared = shared_store()
        if shared is None:
            return None
        try:
            folder = shared / self.key
            return _load(folder) if folder.is_dir() else None
        except _DAMAGES:
            if mend:
                tell_altered("Some features", shared.parent)
            return None

    def writer(self, n: int) -> "Writer":
        """Begin, or go on with, an entry of `n` pictures."""
        return Writer(self, n)

    def remove(self) -> None:
        """Delete the entry, whole or not."""
        for folder in (self.folder, _part(self.folder)):
            shutil.rmtree(folder, ignore_errors=True)


class Writer:
    """Adds rows to an entry that is not complete yet.

    Attributes:
        done: Rows that are there already.
    """

    def __init__(self, entry: Entry, n: int) -> None:
        self.entry, self.n = entry, n
        self._folder = _part(entry.folder)
        self._pieces: list[tuple[int, str]] = []
        self._seconds = 0.0
        with _disk():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._go_on()

    @property
    def done(self) -> int:
        """Rows that are written."""
        return sum(rows for rows, _ in self._pieces)

    def append(self, rows: np.ndarray, seconds: float) -> None:
        """Write the next rows, and only then note that they are complete."""
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        sha256 = digest(rows)
        with _disk():
            if not self._pieces:
                (self._folder / _DATA).write_bytes(header((self.n, *rows.shape[1:])))
            with (self._folder / _DATA).open("ab") as stream:
                stream.write(rows.data)
            note = json.dumps({"rows": len(rows), "digest": sha256, "seconds": seconds})
            with (self._folder / _JOURNAL).open("a", encoding="utf-8") as stream:
                stream.write(note + "\n")
        self._pieces.append((len(rows), sha256))
        self._seconds += seconds

    def finish(self) -> None:
        """Give the complete entry its name."""
        manifest = {"about": self.entry.about, "seconds": self._seconds, "pieces": self._pieces}
        with _disk():
            with whole_file(self._folder / _MANIFEST) as part:
                part.write_text(json.dumps(manifest), encoding="utf-8")
            self._folder.replace(self.entry.folder)
            (self.entry.folder / _JOURNAL).unlink()

    def _go_on(self) -> None:
        """Keep the pieces of an earlier process that are complete, and cut off what is not."""
        data, journal = self._folder / _DATA, self._folder / _JOURNAL
        kept: list[str] = []
        with suppress(OSError, ValueError, KeyError, TypeError, struct.error):
            lines = journal.read_text("utf-8").splitlines()
            offset, shape = read_header(data)
            if shape[0] == self.n:
                row_bytes = 4 * int(np.prod(shape[1:], dtype=np.int64))
                with data.open("rb") as stream:
                    stream.seek(offset)
                    for line in lines:
                        note = json.loads(line)
                        piece = stream.read(note["rows"] * row_bytes)
                        if hashlib.sha256(piece).hexdigest() != note["digest"]:
                            break
                        self._pieces.append((note["rows"], note["digest"]))
                        self._seconds += note["seconds"]
                        kept.append(line + "\n")
        if not kept:
            shutil.rmtree(self._folder)
            self._folder.mkdir()
            return
        with data.open("r+b") as stream:
            stream.truncate(offset + self.done * row_bytes)
        with whole_file(journal) as part:
            part.write_text("".join(kept), encoding="utf-8")


def entries(store: Path | None = None) -> list[tuple[dict[str, Any], int]]:
    """Description and bytes of all that is stored, unfinished entries too.

    Args:
        store: The folder to look at; by default that of the own cache.
    """
    found = []
    for folder in _folders(store or store_folder()):
        about: dict[str, Any] = {"unfinished": True}
        with suppress(*_DAMAGES):
            about |= json.loads((folder / _MANIFEST).read_text("utf-8"))["about"]
            about["unfinished"] = folder.suffix == ".part"
        size = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
        found.append((about, size))
    return found


def empty_store() -> None:
    """Delete all own entries. Locks stay: another process may hold one."""
    for folder in _folders(store_folder()):
        with _disk():
            shutil.rmtree(folder)


def _folders(store: Path) -> list[Path]:
    return sorted(path for path in store.glob("*") if path.is_dir())


def _part(folder: Path) -> Path:
    return folder.with_name(folder.name + ".part")


@contextmanager
def _disk() -> Iterator[None]:
    """Turn a full disk, or a folder that cannot be written to, into one sentence."""
    try:
        yield
    except OSError as error:
        raise CourseError(
            f"The features cannot be stored in {store_folder()} ({error.strerror}). Make room "
            "with `tlcourse cache --empty`, set TLCOURSE_CACHE to a folder with room, or pass "
            "cache=False. What was finished is kept."
        ) from error


def _load(folder: Path) -> tuple[np.ndarray, float]:
    """Read a finished entry; an error if anything about it is not as it was written."""
    manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
    verify(folder / _DATA, manifest["pieces"])
    return open_array(folder / _DATA), float(manifest["seconds"])


_TENSOR = "features"


def digest(rows: np.ndarray) -> str:
    """SHA-256 of some rows."""
    return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()


def header(shape: tuple[int, ...]) -> bytes:
    """Head of a safetensors file with one float32 tensor; its rows may follow one by one."""
    size = 4 * int(np.prod(shape, dtype=np.int64))
    tensor = {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}
    text = json.dumps({_TENSOR: tensor}).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def read_header(path: Path) -> tuple[int, tuple[int, ...]]:
    """Return where the tensor begins, and its shape."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        described = json.loads(stream.read(min(length, 10_000)))
    return 8 + length, tuple(described[_TENSOR]["shape"])


def verify(path: Path, pieces: list[tuple[int, str]]) -> None:
    """Read a file piece by piece, so that memory stays flat, and compare each digest."""
    offset, shape = read_header(path)
    row_bytes = 4 * int(np.prod(shape[1:], dtype=np.int64))
    with path.open("rb") as stream:
        stream.seek(offset)
        for rows, digest in pieces:
            if hashlib.sha256(stream.read(rows * row_bytes)).hexdigest() != digest:
                raise ValueError("a piece was altered")
        if stream.read(1) or sum(rows for rows, _ in pieces) != shape[0]:
            raise ValueError("it is cut, or too long")


def open_array(path: Path) -> np.ndarray:
    """Map the tensor of a file into memory; changes to the array do not reach the file."""
    offset, shape = read_header(path)
    return np.memmap(path, dtype=np.float32, mode="c", offset=offset, shape=shape)
