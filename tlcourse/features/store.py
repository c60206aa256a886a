"""Features on disk: they grow row by row, survive a killed process, and are whole or not there.

An entry is one layer's features of one list of pictures. Finished, it is a folder with

    features.npy     float32 (N, ...)
    manifest.json    what it is, the seconds that it took, and the SHA-256 of features.npy

While an entry grows, the folder's name ends in ".part" and the manifest says how many rows are on
the disk; a process that meets such a folder goes on from there. Finished entries are also looked
for in the cache that a class shares, and nothing is written there.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tlcourse.base import files
from tlcourse.base.messages import say
from tlcourse.errors import CourseError, check_whole

_DATA, _MANIFEST = "features.npy", "manifest.json"
_DATA_OF_1_0 = "features.safetensors"
_COPIES = os.name == "nt"  # Windows deletes and renames no file that is mapped into memory
_DAMAGES = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError)

Stored = tuple[np.ndarray, float]  # the rows, and the seconds that it took to compute them
Compute = Callable[[list[str], int], Iterator[tuple[dict[str, np.ndarray], float]]]


def store_folder() -> Path:
    """Folder of all stored features, in your own cache."""
    return files.cache_dir() / "features"


def shared_store() -> Path | None:
    """Folder of the features that a class shares; None without a shared cache."""
    shared = files.shared_cache()
    return shared / "features" if shared else None


def entries(store: Path | None = None) -> list[tuple[dict[str, Any], int]]:
    """Description and bytes of each entry in a store, by default your own.

    Entries of version 1.0 count as unfinished: they are not used any more.
    """
    described = []
    for folder in _folders(store or store_folder()):
        about: dict[str, Any] = {"unfinished": True}
        with suppress(*_DAMAGES):
            manifest = files.read_json(folder / _MANIFEST)
            finished = "sha256" in manifest and folder.suffix != ".part"
            about |= manifest["about"] | {"unfinished": not finished}
        described.append((about, sum(map(_size, folder.glob("*")))))
    return described


def _size(path: Path) -> int:
    with suppress(OSError):  # another process may have removed it by now
        return path.stat().st_size if path.is_file() else 0
    return 0


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


@_disk()
def empty_store() -> None:
    """Delete all of your own entries. Locks stay: another process may hold one."""
    for folder in _folders(store_folder()):
        shutil.rmtree(folder)


def _folders(store: Path) -> list[Path]:
    return sorted(path for path in store.glob("*") if path.is_dir())


@dataclass(frozen=True)
class Entry:
    """One layer's features of a list of pictures."""

    key: str  # digest of all that decides their values
    about: dict[str, Any]  # what people read of it: backbone, layer, pooling, task


def get_or_compute(
    wanted: Mapping[str, Entry], n: int, compute: Compute, *, lock: str, refresh: bool = False
) -> dict[str, Stored]:
    """Return the `n` rows stored under each name; what is missing is computed and stored.

    `compute` takes names and the row to begin with, and yields name -> next rows, and seconds.
    Processes that ask with the same `lock` wait for each other.
    """
    from filelock import FileLock

    arrays = {} if refresh else _load_all(wanted, n, fix=False)
    if len(arrays) == len(wanted):
        return arrays
    with _disk():
        store_folder().mkdir(parents=True, exist_ok=True)
        held = FileLock(store_folder() / f".{lock}.lock")
        held.acquire()
    try:
        if not refresh:  # by now another process may have computed some
            missing = {name: entry for name, entry in wanted.items() if name not in arrays}
            arrays |= _load_all(missing, n, fix=True)
        writers: dict[str, Writer] = {}
        by_key: dict[str, Writer] = {}  # two names may mean the same layer
        row = n
        for name, entry in wanted.items():
            if name not in arrays and entry.key not in by_key:
                writers[name] = by_key[entry.key] = Writer(entry, n, refresh)
                row = min(row, writers[name].done)
        for batch, seconds in compute(list(writers), row) if row < n else ():
            for name, rows in batch.items():
                # Of some layers an earlier process may have stored more rows.
                writers[name].append(rows[max(writers[name].done - row, 0) :], seconds)
            row += len(next(iter(batch.values())))
        finished: dict[str, Stored] = {}
        for key, writer in by_key.items():
            finished[key] = writer.finish()
        for name, entry in wanted.items():
            if name not in arrays:
                arrays[name] = finished[entry.key]
        return arrays
    finally:
        held.release()


def _load_all(wanted: Mapping[str, Entry], n: int, *, fix: bool) -> dict[str, Stored]:
    """Read the entries that are whole: your own first, then those that the class shares.

    Only the holder of the lock may `fix`: remove damaged entries of your own, with a note.
    """
    loaded: dict[str, Stored] = {}
    shared = shared_store()
    for name, entry in wanted.items():
        for store in (store_folder(), *([shared] if shared else [])):
            if name in loaded or not (store / entry.key).is_dir():
                continue
            try:
                loaded[name] = _load(store / entry.key, n)
            except _DAMAGES:
                if fix and store == shared:
                    files.tell_altered("Some features", shared.parent)
                elif fix:
                    _remove_damaged(entry)
    return loaded


def _load(folder: Path, n: int) -> Stored:
    """Map the `n` rows into memory; what you change in the array does not reach the file."""
    manifest = files.read_json(folder / _MANIFEST)
    if not (folder / _DATA).is_file():  # of a pipe the reading would not end
        raise ValueError(f"there is no file {_DATA}")
    if files.sha256_of(folder / _DATA) != manifest["sha256"]:
        raise ValueError("the file is not as it was written")
    with (folder / _DATA).open("rb") as stream:
        shape, begin = _shape(stream), stream.tell()
    if shape[0] != n:
        raise ValueError(f"it holds {shape[0]} rows, not {n}")
    rows = np.memmap(folder / _DATA, "<f4", "c", begin, shape)
    return (np.array(rows) if _COPIES else rows), float(manifest["seconds"])


def _shape(stream: BinaryIO) -> tuple[int, ...]:
    """Read the head of a file that a `Writer` began; the rows come after it."""
    try:
        np.lib.format.read_magic(stream)
        shape, by_column, kind = np.lib.format.read_array_header_1_0(stream)
    except Exception as error:  # Python's own parser reads it, which raises many kinds
        raise ValueError("its head is damaged") from error
    if by_column or kind != np.dtype("<f4") or not shape or min(shape) < 0:
        raise ValueError("it holds something else than features")
    return shape


def _remove_damaged(entry: Entry) -> None:
    folder = store_folder() / entry.key
    if (folder / _DATA_OF_1_0).exists():
        files.tell_once(
            "Some stored features are of version 1.0 of the course, which stored them in another "
            "way. They are computed again, once; you need not do anything."
        )
    else:
        layer = entry.about.get("layer")
        say(f"The stored features of layer {layer} were damaged. They are computed again.")
    shutil.rmtree(folder, ignore_errors=True)


class Writer:
    """Adds rows to an entry that is not complete yet; `done` rows are on the disk."""

    @_disk()
    def __init__(self, entry: Entry, n: int, refresh: bool = False) -> None:
        self.entry, self.n = entry, n
        self.done, self.seconds = 0, 0.0
        self.width: tuple[int, ...] | None = None  # shape of a row
        self.folder = store_folder() / entry.key
        self.part = self.folder.with_suffix(".part")  # where it grows
        if refresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            with suppress(*_DAMAGES):
                self._go_on()
        if not self.done:
            shutil.rmtree(self.part, ignore_errors=True)
            self.part.mkdir(parents=True)

    def _go_on(self) -> None:
        """Go on behind the rows that are noted, and cut off what comes after them."""
        noted = files.read_json(self.part / _MANIFEST)
        rows = check_whole("rows", noted["rows"], most=self.n)
        with (self.part / _DATA).open("r+b") as stream:
            shape = _shape(stream)
            end = stream.tell() + rows * 4 * math.prod(shape[1:])
            if shape[0] == self.n and stream.seek(0, os.SEEK_END) >= end:
                stream.truncate(end)
                self.seconds = float(noted["seconds"])
                self.done, self.width = rows, shape[1:]

    @_disk()
    def append(self, rows: np.ndarray, seconds: float) -> None:
        """Write the next rows, and note them only when they are on the disk.

        They are written, not put into a memory map: on a full disk that would end the process.
        """
        if not len(rows):
            return
        if self.width not in (None, rows.shape[1:]):
            raise CourseError(
                f"The begun features in {self.part} are of another shape, {self.width} and not "
                f"{rows.shape[1:]}. Delete the folder, or pass refresh=True."
            )
        self.width = rows.shape[1:]
        # Not "ab", which would make a new file without its head where the cache was deleted.
        with (self.part / _DATA).open("r+b" if self.done else "wb") as stream:
            stream.seek(0, os.SEEK_END)
            if not self.done:
                shape = (self.n, *rows.shape[1:])
                head = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, head)
            stream.write(np.ascontiguousarray(rows, dtype="<f4").data)
            stream.flush()
            os.fsync(stream.fileno())
        self.done += len(rows)
        self.seconds += seconds
        self._note()

    @_disk()
    def finish(self) -> Stored:
        """Give the complete entry its name, and read it."""
        self._note(sha256=files.sha256_of(self.part / _DATA))
        self.part.replace(self.folder)
        rows = np.load(self.folder / _DATA, mmap_mode="c")
        return (np.array(rows) if _COPIES else rows), self.seconds

    def _note(self, **more: str) -> None:
        manifest = {"about": self.entry.about, "rows": self.done, "seconds": self.seconds, **more}
        with files.whole_file(self.part / _MANIFEST) as part:
            part.write_text(json.dumps(manifest), encoding="utf-8")
