"""Read a folder of pictures: `folder/class/picture` or `folder/{train,val,test}/class/picture`.

Which files count, and that folders inside a class folder belong to it, is as in torchvision's
`ImageFolder`. Every picture is opened once when the folder is read: a damaged one is left out now
and does not stop a training later, and a digest of its file is kept for the key of its features.
"""

import hashlib
import os
import warnings
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from io import BufferedReader, BytesIO
from itertools import filterfalse
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tlcourse.base.messages import printable
from tlcourse.errors import CourseError, PictureError
from tlcourse.tasks.pictures import decode, open_file, open_picture
from tlcourse.tasks.split import SPLITS, Shares, Skipped, Split, draw_splits
from tlcourse.tasks.task import Task

# torchvision.datasets.folder.IMG_EXTENSIONS; importing torchvision for it would take a second.
EXTENSIONS = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
_SPLIT_FOLDERS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}  # and all that begin with a dot
_PROGRESS_FROM = 1000  # pictures; reading so many takes long enough for a bar in any case


class _Entry(NamedTuple):
    """One picture file of a folder."""

    path: Path
    name: str  # relative to the folder, with forward slashes
    split: str  # "all" where the folder gives no splits
    label: str


@dataclass
class _Files:
    """How the pictures of a folder are opened, and the digests of the files that were read."""

    max_side: int | None
    known: dict[Path, tuple[tuple[int, int, int], str]] = field(default_factory=dict)

    def pixels(self, path: Path, max_side: int | None) -> str:
        """Digest of a picture's size and pixels; that of the file is computed on the way."""
        stamp = _stamp(path)
        name, file = open_file(path)
        with file:
            try:
                self.known[path] = stamp, _digest(file, self.max_side)
                file.seek(0)
            except OSError as error:
                raise PictureError(f"{printable(path)} cannot be read.", str(error)) from error
            picture = decode(file, name, max_side)
        return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()

    def digest(self, path: Path) -> str:
        """Digest of a file and of how it is opened; it is read only if it was changed since."""
        stamp = _stamp(path)
        if path not in self.known or self.known[path][0] != stamp:
            with open_file(path)[1] as file:
                self.known[path] = stamp, _digest(file, self.max_side)
        return self.known[path][1]


def _digest(file: BytesIO | BufferedReader, max_side: int | None) -> str:
    start = partial(hashlib.sha256, f"{max_side} ".encode())
    return hashlib.file_digest(file, start).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int]:
    """Size and times of a file, which another content changes."""
    try:
        about = path.stat()
    except OSError as error:
        said = f"{printable(path)} cannot be opened: {error.strerror}."
        raise PictureError(said, str(error.strerror)) from error
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns


def read_folder(
    folder: Path, shares: Shares, *, max_side: int | None = None, progress: bool = False
) -> Task:
    """Find, check and split the pictures of a folder; see `tlcourse.load_task`."""
    skipped: list[Skipped] = []
    bases = _split_folders(folder, skipped)
    entries, classes = _entries(folder, bases, skipped)
    files = _Files(max_side)
    used = _without_copies(_readable(files, entries, skipped, progress), skipped)
    columns = np.array(used, dtype=object).reshape(-1, len(_Entry._fields)).T
    paths, names, splits, label_names = columns
    labels = np.searchsorted(np.array(classes, dtype=object), label_names)
    places = {}
    for split in bases:
        places[split] = np.flatnonzero(splits == split)
    source = places.pop("all" if "all" in bases else "train")
    try:
        drawn = draw_splits(labels[source], classes, shares, given=places)
    except CourseError as error:
        if not skipped:
            raise
        left = f"Left out were {len(skipped)} files, such as {skipped[0]}."
        raise CourseError(f"{error} {left}") from None
    for split, rows in drawn.items():
        places[split] = source[rows]
    open_item = partial(open_picture, max_side=max_side)
    pictures = Split(list(paths), labels, list(names), open_item, files.digest)
    return Task(
        name=folder.resolve().name,
        title=folder.resolve().name,
        classes=tuple(classes),
        train=pictures.take(places["train"]),
        val=pictures.take(places["val"]),
        test=pictures.take(places["test"]),
        skipped=tuple(sorted(skipped, key=attrgetter("name"))),
        source="your folder",
        licence="yours",
    )


def children(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without the files that systems put there."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError as error:
        said = f"The folder {printable(folder)} cannot be read: {error.strerror}."
        raise CourseError(said) from error
    return list(map(folder.joinpath, filterfalse(_is_system, names)))


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def _split_folders(folder: Path, skipped: list[Skipped]) -> dict[str, Path]:
    """Split -> its folder; {"all": folder} where the folders in it are classes."""
    if not folder.exists():
        raise CourseError(
            f"The folder {printable(folder)} does not exist. Check the spelling of its path."
        )
    if not folder.is_dir():
        raise CourseError(
            f"{printable(folder)} is a file; give the folder that holds the class folders."
        )
    inside = children(folder)
    splits: dict[str, Path] = {}
    for path in inside:
        split = _SPLIT_FOLDERS.get(path.name.lower())
        # A folder "train" that holds pictures instead of folders is a class: trains.
        if split and path.is_dir() and any(map(Path.is_dir, children(path))):
            if split in splits:
                raise CourseError(
                    f"{printable(folder)} holds {splits[split].name!r} and {path.name!r}, which both mean the "
                    f"split {split!r}. Keep one of them."
                )
            splits[split] = path
    if splits and "train" not in splits:
        raise CourseError(
            f"{printable(folder)} holds {', '.join(p.name for p in splits.values())} but no folder 'train'. "
            "Add it, or put the class folders directly into the folder."
        )
    for path in inside:
        if splits and path not in splits.values():
            skipped.append(Skipped(path.name, "it is not in train, val or test"))
        elif not splits and not path.is_dir():
            skipped.append(Skipped(path.name, "it is not in the folder of a class"))
    return splits or {"all": folder}


def _entries(
    root: Path, bases: dict[str, Path], skipped: list[Skipped]
) -> tuple[list[_Entry], list[str]]:
    """Picture files of each class folder, in sorted order, and the names of the classes."""
    entries: list[_Entry] = []
    classes: set[str] = set()
    for split, base in bases.items():
        for child in children(base):
            if not child.is_dir():
                if split != "all":  # else it is reported already
                    reason = "it is not in the folder of a class"
                    skipped.append(Skipped(child.relative_to(root).as_posix(), reason))
                continue
            classes.add(child.name)
            for path, name in _files_inside(root, child):
                kind = path.suffix.lower()
                if path.exists() and not path.is_file():  # to open it could take for ever
                    reason = "it is a pipe, a socket or a device, not a file"
                elif kind in EXTENSIONS:
                    entries.append(_Entry(path, name, split, child.name))
                    continue
                else:
                    kind = kind or "files without an extension"
                    reason = f"{kind} is not read, as in torchvision's ImageFolder"
                skipped.append(Skipped(name, reason))
    shape = "Expected is folder/class/picture, with a folder for each of at least two classes."
    if not classes:
        raise CourseError(f"{printable(root)} holds no folder with pictures. {shape}")
    if len(classes) == 1:
        raise CourseError(f"{printable(root)} holds only one class, {min(classes)!r}. {shape}")
    if not entries:
        raise CourseError(f"{printable(root)} holds class folders but no picture in them. {shape}")
    return entries, sorted(classes)


def _files_inside(root: Path, folder: Path) -> list[tuple[Path, str]]:
    """Path and name of each file in a folder and the folders in it, sorted by name."""
    files = []
    for where, folders, names in os.walk(folder):
        folders[:] = filterfalse(_is_system, folders)
        for name in filterfalse(_is_system, names):
            path = Path(where, name)
            files.append((path, path.relative_to(root).as_posix()))
    return sorted(files, key=itemgetter(1))


def _readable(
    files: _Files, entries: list[_Entry], skipped: list[Skipped], progress: bool
) -> dict[_Entry, str]:
    """Decode each picture once: entry -> digest of its pixels; unreadable ones are left out."""
    from tqdm.auto import tqdm

    # JPEG decodes several times faster at a reduced size, and a cut file is still found out. Where
    # other formats are there too, a copy in one of them is recognised at full size only.
    only_jpeg = {entry.path.suffix.lower() for entry in entries} <= {".jpg", ".jpeg"}
    readable: dict[_Entry, str] = {}
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    disable = not progress and len(entries) < _PROGRESS_FROM
    bar = tqdm(entries, desc="checking pictures", disable=disable)
    try:
        side = 64 if only_jpeg else None
        results = [pool.submit(files.pixels, entry.path, side) for entry in entries]
        with warnings.catch_warnings():  # what is wrong with a file is told by `skipped`
            warnings.simplefilter("ignore")
            for entry, result in zip(bar, results, strict=True):
                try:
                    readable[entry] = result.result()
                except PictureError as error:
                    skipped.append(Skipped(entry.name, error.reason))
    finally:  # Ctrl-C does not wait for the rest
        pool.shutdown(cancel_futures=True)
    if only_jpeg:
        for group in _groups(readable):
            readable.update({entry: files.pixels(entry.path, None) for entry in group})
    return readable


def _groups(readable: dict[_Entry, str]) -> list[list[_Entry]]:
    """Entries of equal digest, where there are several."""
    by_digest: dict[str, list[_Entry]] = defaultdict(list)
    for entry, digest in readable.items():
        by_digest[digest].append(entry)
    return [group for group in by_digest.values() if len(group) > 1]


def _without_copies(readable: dict[_Entry, str], skipped: list[Skipped]) -> list[_Entry]:
    """Keep one of equal pictures, the one in the latest split; none if its class is contradictory.

    Equal are two pictures with the same decoded pixels, whatever their names and metadata.
    """
    used = dict(readable)
    for group in _groups(readable):
        kept = max(group, key=lambda e: ("all", *SPLITS).index(e.split))  # the first by name
        labels = {(entry.split, entry.label) for entry in group}
        contradiction = len(labels) > len({split for split, _ in labels})
        for entry in group:
            if contradiction:
                other = next(e for e in group if e.label != entry.label)
                reason = f"the same picture is in another class too: {other.name}"
            elif entry is not kept:
                reason = f"the same picture as {kept.name}, which is kept"
            else:
                continue
            del used[entry]
            skipped.append(Skipped(entry.name, reason))
    return list(used)
