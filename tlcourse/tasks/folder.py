"""Read a folder of pictures: `folder/class/picture` or `folder/{train,val,test}/class/picture`.

A folder of sounds is read in the same way; a mixture is what there is more of in it. Which files count, and that folders inside a class folder belong to it, is as in torchvision's
`ImageFolder`. Every picture is opened once when the folder is read: a damaged one is left out now
and does not stop a training later, and its file's digest is kept for the key of its features.
"""

import hashlib
import os
import threading
import warnings
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tlcourse.base.files import open_source, whole_folder
from tlcourse.base.messages import printable
from tlcourse.errors import CourseError, PictureError, UnreadableError
from tlcourse.tasks import sound
from tlcourse.tasks.pictures import open_picture
from tlcourse.tasks.sound import Sound, SoundChange, open_sound
from tlcourse.tasks.split import SPLITS, Shares, Skipped, Split, draw_splits
from tlcourse.tasks.task import Task

# torchvision.datasets.folder.IMG_EXTENSIONS; importing torchvision for it would take a second.
EXTENSIONS = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
SPLIT_FOLDERS = dict(zip(SPLITS, SPLITS, strict=True)) | {"valid": "val", "validation": "val"}
_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}  # and all that begin with a dot
_SHAPE = "Expected is folder/class/picture, with a folder for each of at least two classes."
_LARGE = 25_000_000  # pixels; larger pictures are decoded one at a time
_ALONE = threading.Lock()
_PROGRESS_FROM = 1000  # pictures; reading so many takes long enough for a bar in any case


class _Entry(NamedTuple):
    """One file of a folder."""

    path: Path
    name: str  # relative to the folder, with forward slashes
    split: str  # "all" where the folder gives no splits
    label: str


@dataclass
class _Files:
    """How the files of a folder are opened, and the digests of those that were read."""

    max_side: int | None
    sounds: bool
    known: dict[Path, tuple[object, str]] = field(default_factory=dict)

    def pixels(self, path: Path, max_side: int | None = None) -> str:
        """Digest of a picture's size and pixels; that of the file is noted on the way."""
        content = self._read(path)
        with ExitStack() as alone:
            try:
                picture = open_picture(content, max_side=max_side, max_pixels=_LARGE)
            except PictureError:  # damaged, or several as large at once would take gigabytes
                alone.enter_context(_ALONE)
                picture = open_picture(content, max_side=max_side)
            digest = hashlib.sha256(repr(picture.size).encode())
            digest.update(picture.tobytes())
        return digest.hexdigest()

    def samples(self, path: Path) -> str:
        """Digest of the part of a sound that is read, which stands for the file, too."""
        stamp, opened = _stamp(path), open_sound(path)
        content = f"{opened.rate} ".encode() + opened.samples.tobytes()
        self.known[path] = stamp, hashlib.sha256(content).hexdigest()
        return self.known[path][1]

    def digest(self, path: Path) -> str:
        """Digest of a file and of how it is opened; it is read only if it was changed since."""
        if path not in self.known or self.known[path][0] != _stamp(path):
            (self.samples if self.sounds else self._read)(path)
        return self.known[path][1]

    def _read(self, path: Path) -> bytes:
        stamp = _stamp(path)
        try:
            with open_source(path, "picture", PictureError)[1] as file:
                content = file.read()
        except OSError as error:
            raise PictureError(f"{printable(path)} cannot be read.", str(error)) from error
        # Version 1.1.0 shrank in another way; its features are not those of these pictures.
        how = f"{self.max_side} " if self.max_side is None else f"{self.max_side} by decoding "
        digest = hashlib.sha256(how.encode() + content).hexdigest()
        self.known[path] = stamp, digest
        return content


def _stamp(path: Path) -> object:
    """Size and times of a file, which another content changes."""
    try:
        about = path.stat()
    except OSError:  # it may be gone since it was listed
        return None
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns


def read_folder(
    folder: Path, shares: Shares, *, max_side: int | None = None, progress: bool = False
) -> Task:
    """Find, check and split the pictures of a folder; see `tlcourse.load_task`."""
    skipped: list[Skipped] = []
    try:
        bases = _split_folders(folder, skipped)
        entries, classes = _entries(folder, bases, skipped)
    except OSError as error:  # a path too long, or a folder that may be listed but not entered
        said = f"The folder {printable(folder)} cannot be read: {error.strerror}."
        raise CourseError(said) from error
    entries, sounds = _of_one_kind(folder, entries, skipped)
    files, what = _Files(max_side, sounds), "sound" if sounds else "picture"
    used = _without_copies(_readable(files, entries, skipped, progress), skipped, what)
    paths, names, splits, label_names = zip(*used, strict=True) if used else ((),) * 4
    labels = np.array(list(map(classes.index, label_names)), dtype=np.int64)
    places = {split: np.flatnonzero(np.array(splits, dtype=str) == split) for split in bases}
    source = places.pop("all" if "all" in bases else "train")
    try:
        drawn = draw_splits(labels[source], classes, shares, places, what)
    except CourseError as error:
        if not skipped:
            raise
        left = f"Left out were {len(skipped)} files, such as {skipped[0]}."
        raise CourseError(f"{error} {left}") from None
    for split, rows in drawn.items():
        places[split] = source[rows]
    open_item = open_sound if sounds else partial(open_picture, max_side=max_side)
    pictures = Split(paths, labels, names, open_item, files.digest)
    return Task(
        name=_as_text(folder.resolve().name),
        title=_as_text(folder.resolve().name),
        classes=tuple(classes),
        train=pictures.take(places["train"]),
        val=pictures.take(places["val"]),
        test=pictures.take(places["test"]),
        skipped=tuple(sorted(skipped, key=attrgetter("name"))),
        source="your folder",
        licence="yours",
        change=SoundChange() if sounds else None,
    )


def open_either(
    path: str | os.PathLike[str], *, max_side: int | None = None
) -> Image.Image | Sound:
    """Open a file as a sound if its name ends like one, else as a picture.

    Raises:
        SoundError: It is called like a sound, but cannot be read.
        PictureError: It is called otherwise, and is no picture.
    """
    if Path(path).suffix.lower() in sound.EXTENSIONS:
        return open_sound(path)
    return open_picture(path, max_side=max_side)


def children(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without the files that systems put there."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError as error:
        said = f"The folder {printable(folder)} cannot be read: {error.strerror}."
        raise CourseError(said) from error
    return [folder / name for name in names if not _is_system(name)]


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def _as_text(name: str) -> str:
    """A name as it is, or with what cannot be printed written out."""
    return name if name.isprintable() else printable(name)


def _split_folders(folder: Path, skipped: list[Skipped]) -> dict[str, Path]:
    """Split -> its folder; {"all": folder} where the folders in it are classes."""
    if not folder.exists():
        raise CourseError(
            f"The folder {printable(folder)} does not exist. Check the spelling of its path."
        )
    inside = children(folder)
    splits: dict[str, Path] = {}
    for path in inside:
        split = SPLIT_FOLDERS.get(path.name.lower())
        # A folder "train" that holds pictures instead of folders is a class: trains.
        if split and path.is_dir() and any(map(Path.is_dir, children(path))):
            if split in splits:
                raise CourseError(
                    f"{printable(folder)} holds {splits[split].name!r} and {path.name!r}, which "
                    f"both mean the split {split!r}. Keep one of them."
                )
            splits[split] = path
    if not splits:
        return {"all": folder}
    if "train" not in splits:
        raise CourseError(
            f"{printable(folder)} holds {', '.join(p.name for p in splits.values())} but no folder "
            "'train'. Add it, or put the class folders directly into the folder."
        )
    for path in inside:
        if path not in splits.values():
            skipped.append(Skipped(_as_text(path.name), "it is not in train, val or test"))
    return splits


def _entries(
    root: Path, bases: dict[str, Path], skipped: list[Skipped]
) -> tuple[list[_Entry], list[str]]:
    """Files of each class folder, in sorted order, and the names of the classes."""
    entries: list[_Entry] = []
    classes: set[str] = set()
    for split, base in bases.items():
        for child in children(base):
            if not child.is_dir():
                name = _as_text(child.relative_to(root).as_posix())
                skipped.append(Skipped(name, "it is not in the folder of a class"))
                continue
            classes.add(label := _as_text(child.name))
            for path in files_inside(child):
                name = _as_text(path.relative_to(root).as_posix())
                if path.exists() and not path.is_file():  # to open it could take for ever
                    reason = "it is a pipe, a socket or a device, not a file"
                    skipped.append(Skipped(name, reason))
                else:
                    entries.append(_Entry(path, name, split, label))
    if not classes:
        raise CourseError(f"{printable(root)} holds no folder with pictures or sounds. {_SHAPE}")
    if len(classes) == 1:
        raise CourseError(f"{printable(root)} holds only one class, {min(classes)!r}. {_SHAPE}")
    return entries, sorted(classes)


def _of_one_kind(
    root: Path, entries: list[_Entry], skipped: list[Skipped]
) -> tuple[list[_Entry], bool]:
    """Keep the pictures or the sounds, whichever are more, and tell whether those are the sounds."""
    kinds = {"picture": EXTENSIONS, "sound": sound.EXTENSIONS}
    of_kind: dict[str, list[_Entry]] = {"picture": [], "sound": []}
    for entry, kind in product(entries, kinds):
        if entry.path.suffix.lower() in kinds[kind]:
            of_kind[kind].append(entry)
    if not any(of_kind.values()):
        raise CourseError(
            f"{printable(root)} holds class folders but no picture in them, and no sound. {_SHAPE}"
        )
    kept, other = ("picture", "sound")
    if len(of_kind["sound"]) > len(of_kind["picture"]):
        kept, other = other, kept
    as_where = "in torchvision's ImageFolder" if kept == "picture" else "it is no kind of sound"
    for entry in entries:
        ending = entry.path.suffix.lower()
        if ending in kinds[other]:
            skipped.append(Skipped(entry.name, f"it is a {other}, and most files are {kept}s"))
        elif ending not in kinds[kept]:
            reason = f"{ending or 'files without an extension'} is not read, as {as_where}"
            skipped.append(Skipped(entry.name, reason))
    return of_kind[kept], kept == "sound"


def files_inside(folder: Path) -> list[Path]:
    """All files in a folder and in the folders in it, sorted by name; links to folders are not."""
    files, folders = [], [folder]
    while folders:  # not by recursion: folders may be nested deeper than Python's calls
        for path in children(folders.pop()):
            if not path.is_dir():
                files.append(path)
            elif not path.is_symlink():
                folders.append(path)
    return sorted(files, key=Path.as_posix)


def _readable(
    files: _Files, entries: list[_Entry], skipped: list[Skipped], progress: bool
) -> dict[_Entry, str]:
    """Decode each file once: entry -> digest of its pixels or samples; bad ones are left out."""
    from tqdm.auto import tqdm

    # JPEG decodes several times faster at a reduced size, and a cut file is still found out. Where
    # other formats are there too, a copy in one of them is recognised at full size only.
    only_jpeg = {entry.path.suffix.lower() for entry in entries} <= {".jpg", ".jpeg"}
    digest = (
        files.samples if files.sounds else partial(files.pixels, max_side=64 * only_jpeg or None)
    )
    readable: dict[_Entry, str] = {}
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    disable = not progress and len(entries) < _PROGRESS_FROM
    try:
        results = [pool.submit(digest, entry.path) for entry in entries]
        with warnings.catch_warnings():  # what is wrong with a file is told by `skipped`
            warnings.simplefilter("ignore")
            what = "sounds" if files.sounds else "pictures"
            bar = tqdm(results, desc=f"checking {what}", disable=disable)
            for entry, result in zip(entries, bar, strict=True):
                try:
                    readable[entry] = result.result()
                except UnreadableError as error:
                    skipped.append(Skipped(entry.name, error.reason))
    finally:  # Ctrl-C does not wait for the rest
        pool.shutdown(cancel_futures=True)
    if only_jpeg:
        for group in _groups(readable):
            readable.update({entry: files.pixels(entry.path) for entry in group})
    return readable


def _groups(readable: dict[_Entry, str]) -> list[list[_Entry]]:
    """Entries of equal digest, where there are several."""
    by_digest: dict[str, list[_Entry]] = defaultdict(list)
    for entry, digest in readable.items():
        by_digest[digest].append(entry)
    return [group for group in by_digest.values() if len(group) > 1]


def _without_copies(readable: dict[_Entry, str], skipped: list[Skipped], what: str) -> list[_Entry]:
    """Keep one of equal pictures, the one in the latest split; none if its class is contradictory.

    Equal are two pictures with the same decoded pixels, and two sounds with the same samples,
    whatever their names and metadata. `what` is "picture" or "sound".
    """
    used = dict(readable)
    for group in _groups(readable):
        kept = max(group, key=lambda e: ("all", *SPLITS).index(e.split))  # the first by name
        labels = {(entry.split, entry.label) for entry in group}
        contradiction = len(labels) > len({split for split, _ in labels})
        for entry in group:
            if contradiction:
                other = next(e for e in group if e.label != entry.label)
                reason = f"the same {what} is in another class too: {other.name}"
            elif entry is not kept:
                reason = f"the same {what} as {kept.name}, which is kept"
            else:
                continue
            del used[entry]
            skipped.append(Skipped(entry.name, reason))
    return list(used)


def write_folder(task: Task, folder: str | os.PathLike[str]) -> Path:
    """Write the pictures of a task as PNG files: `folder/{train,val,test}/class/picture.png`.

    Sounds are written as WAV files of 16 bit. That is what `torchvision.datasets.ImageFolder`, other programs and `load_task` read.

    Args:
        task: Any task.
        folder: A new folder, or an empty one.

    Raises:
        CourseError: The folder holds something already, or cannot be written to.
    """
    target = Path(folder).expanduser()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise CourseError(f"{printable(target)} is there already. Name a new folder.")
    try:
        with whole_folder(target) as part:
            for name in SPLITS:
                split: Split = getattr(task, name)
                for place, (picture, label) in enumerate(split):
                    ending = "wav" if isinstance(picture, Sound) else "png"
                    path = part / name / task.classes[label] / f"{place:05d}.{ending}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    picture.save(path)
                wanted = {task.classes[label] for label in split.labels}
                if len(list((part / name).glob("*"))) != len(wanted):
                    raise CourseError(
                        "The names of the classes are not names of different folders on this "
                        f"system: {', '.join(map(printable, sorted(wanted)))}. Change them first."
                    )
    except OSError as error:
        reason = error.strerror or error
        raise CourseError(f"{printable(target)} cannot be written ({reason}).") from error
    return target
