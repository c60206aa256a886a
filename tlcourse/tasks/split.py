"""Labelled pictures that are opened when they are asked for, and how a task is split."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tlcourse.base.messages import printable
from tlcourse.errors import CourseError, check_share, check_whole

if TYPE_CHECKING:
    from tlcourse.tasks.change import Change
    from tlcourse.tasks.corruptions import Corruption
    from tlcourse.tasks.sound import Sound

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Skipped:
    """A file that a task does not use, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return printable(f"{self.name}: {self.reason}")


class Split(Sequence[tuple[Any, int]]):
    """N labelled pictures; `split[i]` gives (PIL picture of mode "RGB", label), or (Sound, label).

    A picture is opened when it is asked for and is not kept, so a split of any size takes little
    memory. It works as the `dataset` of a `torch.utils.data.DataLoader`, with workers too.

    Attributes:
        labels: Class of each picture as its place in `task.classes`, int64 (N,).
        names: Name of each picture, such as "train/ants/0013035.jpg".

    `open_item` makes a picture, or a sound, of an item, such as a path or an array (H, W). `content` gives the
    bytes that decide how an item's picture looks, or their digest as text; by default its pixels.
    """

    def __init__(
        self,
        items: Sequence[Any] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
        names: Sequence[str],
        open_item: "Callable[[Any], Image.Image | Sound]",
        content: Callable[[Any], bytes | str] | None = None,
    ) -> None:
        self._items, self._open, self._content = items, open_item, content
        self.labels = np.asarray(labels, dtype=np.int64)
        self.names = tuple(names)

    @property
    def raw(self) -> np.ndarray | None:
        """Values as they were stored, (N, H, W), for tiny grey pictures; else None."""
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
        raw = self.raw
        items = list(map(self._items.__getitem__, places)) if raw is None else raw[places]
        names = list(map(self.names.__getitem__, places))
        return Split(items, self.labels[places], names, self._open, self._content)

    def joined(self, *others: "Split") -> "Split":
        """Return these pictures with those of other splits behind them.

        Raises:
            CourseError: They are opened in another way, as those of another task are.
        """
        parts = [self, *others]
        if any((part._open, part._content) != (self._open, self._content) for part in others):
            raise CourseError(
                "These splits are opened in different ways, so they cannot be joined."
            )
        items = [item for part in parts for item in part._items]
        labels = np.concatenate([part.labels for part in parts])
        names = [name for part in parts for name in part.names]
        raw = self.raw is not None
        return Split(
            np.stack(items) if raw and items else items, labels, names, self._open, self._content
        )

    def changed(
        self, change: "Change | Corruption", draws: Sequence[Sequence[float] | None]
    ) -> "Split":
        """Return these pictures, each changed by its own numbers; None leaves it as it is.

        See `Change.drawn` and `Corruption.drawn`. A picture that stands here several times is named by its views.
        """
        views: Counter[str] = Counter()
        names = []
        for name in self.names:
            names.append(f"{name} (view {views[name]})" if views[name] else name)
            views[name] += 1
        content = self._content or self._pixels
        return Split(
            list(zip(self._items, draws, strict=True)),
            self.labels,
            names,
            partial(_open_changed, self._open, change),
            partial(_changed_content, content, change),
        )

    def digests(self) -> list[str]:
        """SHA-256 of what each picture is read from (N); equal digests mean equal pictures."""
        digests = []
        for content in map(self._content or self._pixels, self._items):
            if not isinstance(content, str):
                content = hashlib.sha256(content).hexdigest()
            digests.append(content)
        return digests

    def _pixels(self, item: Any) -> bytes:
        picture = self._open(item)
        if not isinstance(picture, Image.Image):
            return f"{picture.rate} ".encode() + picture.samples.tobytes()
        return repr(picture.size).encode() + picture.tobytes()

    def __repr__(self) -> str:
        return f"Split of {len(self)} pictures"


_Changed = tuple[Any, Sequence[float] | None]  # an item, and the numbers that change it


def _open_changed(
    open_item: Callable[[Any], Any], change: "Change | Corruption", item: _Changed
) -> Any:
    picture = open_item(item[0])
    return picture if item[1] is None else change.drawn(picture, item[1])


def _changed_content(
    content: Callable[[Any], bytes | str], change: "Change | Corruption", item: _Changed
) -> bytes | str:
    before, draws = content(item[0]), item[1]
    if draws is None:
        return before
    before = before.encode() if isinstance(before, str) else before
    return f"{change} {tuple(draws)} ".encode() + before


@dataclass(frozen=True)
class Shares:
    """The share of each class that is drawn for validation and for the test, and the seed."""

    val: float
    test: float
    seed: int

    def __post_init__(self) -> None:
        check_share("val_fraction", self.val)
        check_share("test_fraction", self.test)
        check_whole("seed", self.seed, least=0)
        if self.val + self.test >= 1:
            raise CourseError(
                f"val_fraction {self.val} and test_fraction {self.test} leave nothing to train on; "
                "together they must stay below 1."
            )


def draw_splits(
    labels: np.ndarray,
    classes: Sequence[str],
    shares: Shares,
    given: Iterable[str] = (),
    what: str = "picture",
) -> dict[str, np.ndarray]:
    """Draw each class at random into splits, and return split -> places, in increasing order.

    A share above 0 gets at least one picture of each class. `given` splits are not drawn.
    `what` is what an error calls one of them.
    """
    fractions = {"val": shares.val, "test": shares.test}
    for split in given:
        fractions.pop(split, None)
    wanted = {split: share for split, share in fractions.items() if share > 0}
    drawn = np.full(len(labels), "train")
    for label, name in enumerate(classes):
        places = np.flatnonzero(labels == label)
        if len(places) < 1 + len(wanted):
            raise CourseError(
                f"Class {name!r} has {len(places)} usable {what}{'s'[: len(places) != 1]}, but "
                f"needs at least {1 + len(wanted)}: one for each of {', '.join(['train', *wanted])}. "
                f"Add {what}s, or remove the class."
            )
        counts = np.rint(np.array(list(wanted.values())) * len(places)).astype(int).clip(1)
        while counts.sum() >= len(places):
            counts[counts.argmax()] -= 1
        order = np.random.default_rng([shares.seed, label]).permutation(places)
        parts = np.split(order, counts.cumsum())
        for split, part in zip((*wanted, "train"), parts, strict=True):
            drawn[part] = split
    return {split: np.flatnonzero(drawn == split) for split in ("train", *fractions)}
