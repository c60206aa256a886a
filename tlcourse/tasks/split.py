"""Labelled pictures that are opened when they are asked for, and how a task is split."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from PIL import Image

from tlcourse.errors import CourseError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Skipped:
    """A file that a task does not use, and why."""

    name: str
    reason: str


class Split(Sequence[tuple[Image.Image, int]]):
    """N labelled pictures; `split[i]` gives (PIL picture of mode "RGB", label).

    A picture is opened when it is asked for and is not kept, so a split of any size takes little
    memory. It works as the `dataset` of a `torch.utils.data.DataLoader`, with workers too.

    Attributes:
        labels: Class of each picture as its place in `task.classes`, int64 (N,).
        names: Name of each picture, such as "train/ants/0013035.jpg".
    """

    def __init__(
        self,
        items: Sequence[Any] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
        names: Sequence[str],
        open_item: Callable[[Any], Image.Image],
        content: Callable[[Any], bytes] | None = None,
    ) -> None:
        self._items, self._open, self._content = items, open_item, content
        self.labels = np.asarray(labels, dtype=np.int64)
        self.names = tuple(names)

    @property
    def raw(self) -> np.ndarray | None:
        """Values as they were stored, (N, H, W), for the digits and the faces; else None."""
        return self._items if isinstance(self._items, np.ndarray) else None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        return self._open(self._items[index]), int(self.labels[index])

    def take(self, indices: Sequence[int] | np.ndarray) -> "Split":
        """Return the pictures at these places, in this order, as a new split."""
        places = np.arange(len(self))[np.asarray(indices, dtype=np.int64)]
        array = isinstance(self._items, np.ndarray)
        items = self._items[places] if array else [self._items[i] for i in places]
        names = [self.names[i] for i in places]
        return Split(items, self.labels[places], names, self._open, self._content)

    def digests(self) -> list[str]:
        """SHA-256 of what each picture is read from (N); equal digests mean equal pictures.

        This is much faster than to open the pictures: a file is read, but not decoded.

        Raises:
            PictureError: A file is not there any more.
        """
        contents = map(self._content or self._pixels, self._items)
        return [hashlib.sha256(content).hexdigest() for content in contents]

    def _pixels(self, item: Any) -> bytes:
        picture = self._open(item)
        return repr(picture.size).encode() + picture.tobytes()

    def __repr__(self) -> str:
        return f"Split of {len(self)} pictures"


def check_fractions(seed: int, val_fraction: float, test_fraction: float) -> None:
    """Refuse a seed or fractions that no split can be drawn with."""
    fractions = {"val_fraction": val_fraction, "test_fraction": test_fraction}
    for name, value in fractions.items():
        if not isinstance(value, Real) or not 0 <= value < 1:
            raise CourseError(f"{name} is {value!r}, but must be a number from 0 to below 1.")
    if val_fraction + test_fraction >= 1:
        raise CourseError(
            f"val_fraction {val_fraction} and test_fraction {test_fraction} leave nothing to train "
            "on; together they must stay below 1."
        )
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise CourseError(f"seed is {seed!r}, but must be a whole number, 0 or larger.")


def draw_splits(
    labels: np.ndarray, classes: Sequence[str], fractions: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Draw splits at random, each class by itself, so that each split has its share of each class.

    Args:
        labels: (N,) class of each picture, the pictures in an order that never changes.
        classes: Their names, for the error.
        fractions: Split -> share of the pictures; at least one picture of each class, none for 0.
        seed: The same seed gives the same splits.

    Returns:
        "train" and each split of `fractions` -> places of its pictures, in increasing order.

    Raises:
        CourseError: A class has too few pictures for one in each split.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("train", *fractions)}
    wanted = {name: share for name, share in fractions.items() if share > 0}
    for label, name in enumerate(classes):
        places = np.flatnonzero(labels == label)
        if len(places) < 1 + len(wanted):
            splits = ", ".join(["train", *wanted])
            raise CourseError(
                f"Class {name!r} has {len(places)} usable picture{'s'[: len(places) != 1]}, but "
                f"needs at least {1 + len(wanted)}: one for each of {splits}. "
                "Add pictures, or remove the class."
            )
        counts = {split: max(1, round(share * len(places))) for split, share in wanted.items()}
        while sum(counts.values()) >= len(places):
            counts[max(counts, key=counts.__getitem__)] -= 1
        order = np.random.default_rng([seed, label]).permutation(places)
        for split, count in counts.items():
            parts[split].append(order[:count])
            order = order[count:]
        parts["train"].append(order)
    empty = np.array([], dtype=np.int64)
    return {name: np.sort(np.concatenate([empty, *part])) for name, part in parts.items()}
