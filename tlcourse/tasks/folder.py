"""Read a folder of pictures: `folder/class/picture` or `folder/{train,val,test}/class/picture`.

Which files count, and that folders inside a class folder belong to it, is as in torchvision's
`ImageFolder`. Every picture is opened once when the folder is read: a damaged one is left out now
and does not stop a training later, and a digest of its file is kept for the key of its features.
"""

import hashlib
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

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


@dataclass(frozen=True)
class _Entry:
    """One picture file of a folder."""

    path: Path
    name: str  # relative to the folder, with forward slashes
    split: str  # "all" where the folder gives no splits
    label: str


@dataclass
class _Files:
    """How the pictures of a folder are opened, and the digests of the files that were read.

    Attributes:
        max_side: For `open_picture`.
        known: Path -> what the file system said of the file when it was read, and the digest.
    """

    max_side: int | None
    known: dict[Path, tuple[tuple[int, int, int], str]] = field(default_factory=dict)

    def open(self, path: Path) -> Image.Image:
        return open_picture(path, max_side=self.max_side)

    def pixels(self, path: Path, max_side: int | None) -> str:
        """Digest of a picture's size and pixels; that of the file is computed on the way."""
        stamp = _stamp(path)
        name, file = open_file(path)
        with file:
            try:
                self.known[path] = stamp, self._digest(file)
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
                self.known[path] = stamp, self._digest(file)
        return self.known[path][1]

    def _digest(self, file: BytesIO | BufferedReader) -> str:
        start = f"{self.max_side} ".encode()
        return hashlib.file_digest(file, lambda: hashlib.sha256(start)).hexdigest()


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
    entries: list[_Entry] = []
    inside: set[str] = set()
    for split, base in bases.items():
        inside |= {path.name for path in children(base) if path.is_dir()}
        entries += _entries(folder, base, split, skipped)
    classes = sorted(inside)
    _check_classes(folder, classes, entries)

    files = _Files(max_side)
    used = _without_copies(_readable(files, entries, skipped, progress), skipped)
    chosen = {split: [e for e in used if e.split == split] for split in bases}
    source = chosen.pop("all" if "all" in bases else "train")
    labels = np.array([classes.index(e.label) for e in source], dtype=np.int64)
    try:
        drawn = draw_splits(labels, classes, shares, given=chosen)
    except CourseError as error:
        if not skipped:
            raise
        left = f"Left out were {len(skipped)} files, such as {skipped[0]}."
        raise CourseError(f"{error} {left}") from None
    chosen |= {split: [source[i] for i in places] for split, places in drawn.items()}
    train, val, test = (_split(chosen[name], classes, files) for name in SPLITS)
    return Task(
        name=folder.resolve().name,
        title=folder.resolve().name,
        classes=tuple(classes),
        train=train,
        val=val,
        test=test,
        skipped=tuple(sorted(skipped, key=lambda s: s.name)),
        source="your folder",
        licence="yours",
    )


def _split(entries: list[_Entry], classes: list[str], files: _Files) -> Split:
    paths, names = [e.path for e in entries], [e.name for e in entries]
    labels = [classes.index(e.label) for e in entries]
    return Split(paths, labels, names, files.open, files.digest)


def children(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without the files that systems put there."""
    try:
        paths = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        said = f"The folder {printable(folder)} cannot be read: {error.strerror}."
        raise CourseError(said) from error
    return [path for path in paths if not _is_system(path.name)]


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
        if split and path.is_dir() and any(child.is_dir() for child in children(path)):
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


def _entries(root: Path, base: Path, split: str, skipped: list[Skipped]) -> Iterator[_Entry]:
    """Picture files of each class folder in `base`, in sorted order."""
    for child in children(base):
        if not child.is_dir():
            if split != "all":  # else it is reported already
                reason = "it is not in the folder of a class"
                skipped.append(Skipped(child.relative_to(root).as_posix(), reason))
            continue
        files: list[Path] = []
        for where, folders, names in os.walk(child):
            folders[:] = [name for name in folders if not _is_system(name)]
            files += [Path(where, name) for name in names if not _is_system(name)]
        for name, path in sorted((path.relative_to(root).as_posix(), path) for path in files):
            if path.exists() and not path.is_file():  # to open it could take for ever
                skipped.append(Skipped(name, "it is a pipe, a socket or a device, not a file"))
            elif path.suffix.lower() in EXTENSIONS:
                yield _Entry(path, name, split, child.name)
            else:
                kind = path.suffix.lower() or "files without an extension"
                skipped.append(
                    Skipped(name, f"{kind} is not read, as in torchvision's ImageFolder")
                )


def _check_classes(folder: Path, names: list[str], entries: list[_Entry]) -> None:
    shape = "Expected is folder/class/picture, with a folder for each of at least two classes."
    if not names:
        raise CourseError(f"{printable(folder)} holds no folder with pictures. {shape}")
    if len(names) == 1:
        raise CourseError(f"{printable(folder)} holds only one class, {names[0]!r}. {shape}")
    if not entries:
        raise CourseError(
            f"{printable(folder)} holds class folders but no picture in them. {shape}"
        )


def _readable(
    files: _Files, entries: list[_Entry], skipped: list[Skipped], progress: bool
) -> dict[_Entry, str]:
    """Decode each picture once: entry -> digest of its pixels; unreadable ones are left out."""
    from tqdm.auto import tqdm

    # JPEG decodes several times faster at a reduced size, and a cut file is still found out. Where
    # other formats are there too, a copy in one of them is recognised at full size only.
    only_jpeg = all(e.path.suffix.lower() in {".jpg", ".jpeg"} for e in entries)
    max_side = 64 if only_jpeg else None

    def read(entry: _Entry) -> str | PictureError:
        try:
            return files.pixels(entry.path, max_side)
        except PictureError as error:
            return error

    readable: dict[_Entry, str] = {}
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    try:
        results = tqdm(
            zip(entries, pool.map(read, entries), strict=True),
            total=len(entries),
            desc="checking pictures",
            disable=not progress and len(entries) < _PROGRESS_FROM,
        )
        with warnings.catch_warnings():  # what is wrong with a file is told by `skipped`
            warnings.simplefilter("ignore")
            for entry, result in results:
                if isinstance(result, PictureError):
                    skipped.append(Skipped(entry.name, result.reason))
                else:
                    readable[entry] = result
    finally:  # Ctrl-C does not wait for the rest
        pool.shutdown(cancel_futures=True)
    if only_jpeg:
        for group in _groups(readable.items()):
            readable.update({entry: files.pixels(entry.path, None) for entry in group})
    return readable


def _groups(items: Iterable[tuple[_Entry, str]]) -> list[list[_Entry]]:
    """Entries of equal digest, where there are several."""
    by_digest: dict[str, list[_Entry]] = defaultdict(list)
    for entry, digest in items:
        by_digest[digest].append(entry)
    return [group for group in by_digest.values() if len(group) > 1]


def _without_copies(readable: dict[_Entry, str], skipped: list[Skipped]) -> list[_Entry]:
    """Keep one of equal pictures, the one in the latest split; none if its class is contradictory.

    Equal are two pictures with the same decoded pixels, whatever their names and metadata.
    """
    later = {"all": 0, "train": 0, "val": 1, "test": 2}
    left_out = set()
    for group in _groups(readable.items()):
        kept = max(group, key=lambda e: later[e.split])  # of several the first by name
        labels: dict[str, set[str]] = defaultdict(set)
        for entry in group:
            labels[entry.split].add(entry.label)
        contradiction = any(len(in_split) > 1 for in_split in labels.values())
        for entry in group:
            if contradiction:
                other = next(e for e in group if e.label != entry.label)
                reason = f"the same picture is in another class too: {other.name}"
            elif entry is not kept:
                reason = f"the same picture as {kept.name}, which is kept"
            else:
                continue
            left_out.add(entry)
            skipped.append(Skipped(entry.name, reason))
    return [entry for entry in readable if entry not in left_out]
