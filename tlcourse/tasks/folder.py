"""Read a folder of pictures: `folder/class/picture` or `folder/{train,val,test}/class/picture`.

Which files count, and that folders inside a class folder belong to it, is as in torchvision's
`ImageFolder`. Every picture is decoded once when the folder is read, so that a damaged one is left
out now and does not stop a training later.
"""

import hashlib
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tlcourse.errors import CourseError, PictureError
from tlcourse.tasks.pictures import open_picture
from tlcourse.tasks.split import SPLITS, Skipped, Split, draw_splits

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
_PROGRESS_FROM = 1000  # pictures; fewer are read before a progress bar is of use


@dataclass(frozen=True)
class _Entry:
    """One picture file of a folder."""

    path: Path
    name: str  # relative to the folder, with forward slashes
    split: str  # "all" where the folder gives no splits
    label: str


def read_folder(
    folder: Path, *, seed: int, val_fraction: float, test_fraction: float, max_side: int | None
) -> tuple[tuple[str, ...], dict[str, Split], tuple[Skipped, ...]]:
    """Find, check and split the pictures of a folder.

    Returns:
        Class names in sorted order; "train", "val", "test" -> pictures in the order of their names;
        the files left out.

    Raises:
        CourseError: See `tlcourse.tasks.load.load_task`.
    """
    skipped: list[Skipped] = []
    bases = _split_folders(folder, skipped)
    classes: dict[str, list[str]] = {}
    entries: list[_Entry] = []
    for split, base in bases.items():
        classes[split] = [path.name for path in children(base) if path.is_dir()]
        entries += _entries(folder, base, split, skipped)
    names = sorted({name for found in classes.values() for name in found})
    _check_classes(folder, names, entries)

    used = _without_copies(_readable(entries, skipped), skipped)
    given = {split: [e for e in used if e.split == split] for split in bases}
    source = given.pop("all" if "all" in bases else "train")
    labels = np.array([names.index(e.label) for e in source], dtype=np.int64)
    fractions = {"val": val_fraction, "test": test_fraction}
    missing = {split: share for split, share in fractions.items() if split not in given}
    try:
        parts = draw_splits(labels, names, missing, seed)
    except CourseError as error:
        if not skipped:
            raise
        left = f"Left out were {len(skipped)} files, such as {skipped[0].name}:"
        raise CourseError(f"{error} {left} {skipped[0].reason}.") from None
    chosen = {split: [source[i] for i in places] for split, places in parts.items()} | given
    opener = partial(open_picture, max_side=max_side)
    content = partial(_content, max_side=max_side)
    splits = {
        split: Split(
            [e.path for e in chosen[split]],
            [names.index(e.label) for e in chosen[split]],
            [e.name for e in chosen[split]],
            opener,
            content,
        )
        for split in SPLITS
    }
    return tuple(names), splits, tuple(sorted(skipped, key=lambda s: s.name))


def _content(path: Path, *, max_side: int | None) -> bytes:
    """What decides how a picture looks: its file, and how it is opened."""
    try:
        return f"{max_side} ".encode() + path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path} cannot be opened: {error.strerror}.") from error


def children(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without the files that systems put there."""
    try:
        found = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise CourseError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    return [p for p in found if not _is_system(p.name)]


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def _split_folders(folder: Path, skipped: list[Skipped]) -> dict[str, Path]:
    """Split -> its folder; {"all": folder} where the folders in it are classes."""
    if not folder.exists():
        raise CourseError(f"The folder {folder} does not exist. Check the spelling of its path.")
    if not folder.is_dir():
        raise CourseError(f"{folder} is a file; give the folder that holds the class folders.")
    inside = children(folder)
    splits: dict[str, Path] = {}
    for path in inside:
        split = _SPLIT_FOLDERS.get(path.name.lower())
        # A folder "train" that holds pictures instead of folders is a class: trains.
        if split and path.is_dir() and any(child.is_dir() for child in children(path)):
            if split in splits:
                raise CourseError(
                    f"{folder} holds {splits[split].name!r} and {path.name!r}, which both mean the "
                    f"split {split!r}. Keep one of them."
                )
            splits[split] = path
    if splits and "train" not in splits:
        raise CourseError(
            f"{folder} holds {', '.join(p.name for p in splits.values())} but no folder 'train'. "
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
            if path.suffix.lower() in EXTENSIONS:
                yield _Entry(path, name, split, child.name)
            else:
                kind = path.suffix.lower() or "files without an extension"
                skipped.append(
                    Skipped(name, f"{kind} is not read, as in torchvision's ImageFolder")
                )


def _check_classes(folder: Path, names: list[str], entries: list[_Entry]) -> None:
    shape = "Expected is folder/class/picture, with a folder for each of at least two classes."
    if not names:
        raise CourseError(f"{folder} holds no folder with pictures. {shape}")
    if len(names) == 1:
        raise CourseError(f"{folder} holds only one class, {names[0]!r}. {shape}")
    if not entries:
        raise CourseError(f"{folder} holds class folders but no picture in them. {shape}")


def _pixels(path: Path, max_side: int | None) -> str:
    """Digest of a picture's size and pixels."""
    picture = open_picture(path, max_side=max_side)
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()


def _readable(entries: list[_Entry], skipped: list[Skipped]) -> dict[_Entry, str]:
    """Decode each picture once: entry -> digest of its pixels; unreadable ones are left out."""
    from tqdm.auto import tqdm

    # JPEG decodes several times faster at a reduced size, and a cut file is still found out. Where
    # other formats are there too, a copy in one of them is recognised at full size only.
    only_jpeg = all(e.path.suffix.lower() in {".jpg", ".jpeg"} for e in entries)
    max_side = 64 if only_jpeg else None

    def look(entry: _Entry) -> str | PictureError:
        try:
            return _pixels(entry.path, max_side)
        except PictureError as error:
            return error

    readable: dict[_Entry, str] = {}
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    try:
        found = tqdm(
            zip(entries, pool.map(look, entries), strict=True),
            total=len(entries),
            desc="checking pictures",
            disable=len(entries) < _PROGRESS_FROM,
        )
        with warnings.catch_warnings():  # what is wrong with a file is told by `skipped`
            warnings.simplefilter("ignore")
            for entry, result in found:
                if isinstance(result, PictureError):
                    skipped.append(Skipped(entry.name, result.reason))
                else:
                    readable[entry] = result
    finally:  # Ctrl-C does not wait for the rest
        pool.shutdown(cancel_futures=True)
    if only_jpeg:
        for group in _groups(readable.items()):
            readable.update({entry: _pixels(entry.path, None) for entry in group})
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
        contradiction = any(len(found) > 1 for found in labels.values())
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
