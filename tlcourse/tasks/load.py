"""Tasks: labelled pictures, split into train, val and test. All notebooks from 02 on use them."""

import json
import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tlcourse.base.files import sha256_of
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.tasks.download import ARCHIVES, download_task, find_task
from tlcourse.tasks.emoji import draw_emoji, font_path
from tlcourse.tasks.folder import read_folder
from tlcourse.tasks.photographs import photographs
from tlcourse.tasks.split import Skipped, Split, check_fractions, draw_splits
from tlcourse.tasks.task import Task

__all__ = ["Skipped", "Split", "Task", "download_task", "load_task", "photographs"]

# The wording that OpenMoji asks for.
_OPENMOJI = (
    "All emojis designed by OpenMoji – the open-source emoji and icon project. "  # noqa: RUF001
    "License: CC BY-SA 4.0"
)
_UPSAMPLED = 128  # pixels; tiny grey pictures are enlarged to this side


def load_task(
    name_or_folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    max_side: int | None = None,
) -> Task:
    """Load labelled pictures, split so that no picture is in two splits.

    Names: "emoji" (510 OpenMoji drawings of 7 kinds), "digits" (1797 handwritten digits, 8 x 8),
    "faces" (100 faces and 100 other patches, 25 x 25), all without a download; "hymenoptera" (397
    photographs of ants and bees, after `download_task("hymenoptera")`).

    A folder holds `class/picture`, or `train`, `val` and `test` with `class/picture` in each. Given
    splits are kept; a missing `val` or `test` is taken from `train`. Files that cannot be used are
    left out and listed in `task.skipped`: not a picture format of torchvision's `ImageFolder`,
    damaged, too large, or a copy. Pictures with equal pixels are copies: the one in the latest of
    train, val, test is kept; if one split has it in two classes, none is.

    Args:
        name_or_folder: A name from above, or a path. A folder called "emoji" here is "./emoji".
        seed: Decides which pictures go where. The same seed and files give the same splits.
        val_fraction: Share of each class for validation, where no `val` is given; at least one
            picture, but 0 leaves the split empty.
        test_fraction: The same for the test split. Both are shares of what `train` holds.
        max_side: For folders: shrink pictures to at most so many pixels a side when they are
            opened, which is faster for large photographs. By default they keep their size.

    Raises:
        UnknownNameError: There is no such task, and no such folder either.
        CourseError: A folder does not exist, is empty, has fewer than two classes, or a class has
            too few usable pictures (3 where val and test are drawn); fractions or seed that make
            no sense; pictures that have to be downloaded first.
    """
    check_fractions(seed, val_fraction, test_fraction)
    how = {"seed": seed, "val_fraction": val_fraction, "test_fraction": test_fraction}
    if not isinstance(name_or_folder, str | os.PathLike):
        raise CourseError(f"load_task needs a name or a path, not {type(name_or_folder).__name__}.")
    if isinstance(name_or_folder, str) and name_or_folder in _OFFLINE:
        return _OFFLINE[name_or_folder](**how)
    if isinstance(name_or_folder, str) and name_or_folder in ARCHIVES:
        return _hymenoptera(name_or_folder, max_side=max_side, **how)
    folder = Path(name_or_folder).expanduser()
    is_name = isinstance(name_or_folder, str) and folder.name == name_or_folder
    if is_name and not folder.exists():
        known = sorted([*_OFFLINE, *ARCHIVES])
        more = "A path to a folder with one folder per class is fine too."
        raise UnknownNameError("task or folder", name_or_folder, known, more)
    classes, splits, skipped = read_folder(folder, max_side=max_side, **how)
    name = folder.resolve().name
    return Task(
        name, name, classes, **splits, skipped=skipped, source="your folder", licence="yours"
    )


def _hymenoptera(name: str, **how: Any) -> Task:
    folder = find_task(name)
    if folder is None:
        raise CourseError(
            f"The pictures of {name!r} are not on this machine. Fetch them once with "
            f"tl.download_task({name!r}) ({ARCHIVES[name].size / 1e6:.0f} MB)."
        )
    classes, splits, skipped = read_folder(folder, **how)
    return Task(
        name=name,
        title="Photographs of ants and bees",
        classes=classes,
        **splits,
        skipped=skipped,
        source="PyTorch tutorial on transfer learning, a small part of ImageNet",
        licence="unclear: use them to learn, do not pass them on",
    )


def _built_in(
    items: Sequence[Any] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    names: Sequence[str],
    open_item: Callable[[Any], Image.Image],
    how: dict[str, Any],
    **about: Any,
) -> Task:
    """Split the pictures of a task that comes with a package."""
    everything = Split(items, labels, names, open_item, partial(_content, about["name"]))
    fractions = {"val": how["val_fraction"], "test": how["test_fraction"]}
    parts = draw_splits(everything.labels, about["classes"], fractions, how["seed"])
    splits = {split: everything.take(places) for split, places in parts.items()}
    return Task(**about, **splits, skipped=())


def _content(task: str, item: str | np.ndarray) -> bytes:
    """What decides how a picture of a built-in task looks."""
    if isinstance(item, str):
        return f"{task} {item} {_font_digest()}".encode()
    return f"{task} {_UPSAMPLED} ".encode() + item.tobytes()


@cache
def _font_digest() -> str:
    return sha256_of(Path(font_path()))


def _emoji(**how: Any) -> Task:
    table = json.loads((files("tlcourse") / "data" / "emoji_kinds.json").read_text("utf-8"))
    kinds = table["kinds"]
    drawings = [
        (i, code, name) for i, kind in enumerate(kinds) for code, name in kinds[kind].items()
    ]
    classes = tuple(kinds)
    return _built_in(
        [code for _, code, _ in drawings],
        [label for label, _, _ in drawings],
        [f"{classes[label]}/{name}" for label, _, name in drawings],
        draw_emoji,
        how,
        name="emoji",
        title="Drawings of seven kinds of things",
        classes=classes,
        source="OpenMoji, openmoji.org; kinds from Unicode's emoji-test.txt",
        licence=f'CC BY-SA 4.0; credit: "{_OPENMOJI}"',
    )


def _grey(values: np.ndarray, *, white: float) -> Image.Image:
    """Enlarge an array (H, W) of values from 0 to `white` to a picture."""
    small = Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))
    return small.resize((_UPSAMPLED, _UPSAMPLED), Image.Resampling.BICUBIC).convert("RGB")


def _digit(values: np.ndarray) -> Image.Image:
    return _grey(values, white=16)


def _face(values: np.ndarray) -> Image.Image:
    return _grey(values, white=1)


def _digits(**how: Any) -> Task:
    from sklearn.datasets import load_digits

    found = load_digits()
    return _built_in(
        found.images,
        found.target,
        [f"{label}/{i:04d}" for i, label in enumerate(found.target)],
        _digit,
        how,
        name="digits",
        title="Handwritten digits",
        classes=tuple("0123456789"),
        source="scikit-learn load_digits, from the UCI repository (E. Alpaydin, C. Kaynak, 1998)",
        licence="CC BY 4.0",
    )


def _faces(**how: Any) -> Task:
    from skimage.data import lfw_subset

    classes = ("face", "something else")
    labels = np.repeat([0, 1], 100)  # the first hundred are the faces
    return _built_in(
        lfw_subset(),
        labels,
        [f"{classes[label]}/{i:03d}" for i, label in enumerate(labels)],
        _face,
        how,
        name="faces",
        title="Faces and other patches of photographs",
        classes=classes,
        source="scikit-image lfw_subset, from Labeled Faces in the Wild",
        licence="unclear: use them to learn, do not pass them on",
    )


_OFFLINE = {"emoji": _emoji, "digits": _digits, "faces": _faces}
