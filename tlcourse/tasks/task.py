"""A task: labelled pictures in three splits; whether a network can learn it, and smaller copies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tlcourse.base.messages import printable
from tlcourse.errors import CourseError, check_whole
from tlcourse.tasks.split import SPLITS, Skipped, Split

if TYPE_CHECKING:
    from tlcourse.tasks.change import Change
    from tlcourse.tasks.corruptions import Kind
    from tlcourse.tasks.sound import SoundChange


@dataclass(frozen=True, eq=False)
class Task:
    """Labelled pictures in three splits that share no picture; or sounds, in the same way.

    Attributes:
        name: "emoji", "digits", ..., or the name of your folder.
        title: What the pictures show, in a few words.
        classes: Names of the classes; label i means `classes[i]`.
        train: Pictures to learn from.
        val: Pictures to choose by: which layer, which learning rate.
        test: Pictures for the last number only.
        skipped: Files that are not used, each with its reason.
        source: Where the pictures come from.
        licence: What you may do with them.
        credits: Name of a picture -> its author, licence and page, where each has its own; of
            spoken words, name of the voice.
        change: How the pictures vary, where the task says it; a call changes a picture at random.
            Sounds always have one, which is a `SoundChange`.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    skipped: tuple[Skipped, ...]
    source: str
    licence: str
    credits: Mapping[str, str] = field(default_factory=dict)
    change: "Change | SoundChange | None" = None

    @property
    def holds(self) -> str:
        """What it holds: "pictures" or "sounds"."""
        from tlcourse.tasks.sound import SoundChange

        return "sounds" if isinstance(self.change, SoundChange) else "pictures"

    def split_by(self, choose: Callable[[str], str | None]) -> "Task":
        """Return the task split anew: a name decides where each picture goes.

        So that a test shows something, what belongs together (a speaker, a patient, a place) must
        not be in two splits.

        Args:
            choose: From the name of a picture, see `split.names`, to "train", "val" or "test"; or
                to None, which leaves the picture out.

        Raises:
            CourseError: It gives something else, or the pictures were changed before.

        Example:
            >>> task = load_task("spoken_digits")
            >>> task.split_by(lambda name: "test" if name.startswith("it/") else "train")
            Task 'spoken_digits': 70 sounds, 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
              train 50, val 0, test 20; left out 0
        """
        try:
            everything = self.train.joined(self.val, self.test)
        except CourseError as error:
            raise CourseError(
                f"Task {self.name!r} was changed or corrupted. Split it first, then change it."
            ) from error
        chosen = [choose(name) for name in everything.names]
        for name, split in zip(everything.names, chosen, strict=True):
            if split is not None and split not in SPLITS:
                raise CourseError(
                    f"split_by() needs 'train', 'val', 'test' or None for each name, but for "
                    f"{name!r} it got {split!r}."
                )
        places = {s: [i for i, where in enumerate(chosen) if where == s] for s in SPLITS}
        train, val, test = (everything.take(places[s]) for s in SPLITS)
        return replace(self, train=train, val=val, test=test)

    def changed(
        self,
        *,
        turn: float = 0,
        shift: float = 0,
        scale: tuple[float, float] = (1, 1),
        views: int = 0,
        seed: int = 0,
    ) -> "Task":
        """Return the task with pictures that are turned, moved and scaled at random.

        Each validation and test picture is changed once and stays so. The training pictures stay
        as they are: a training with `augment=True` draws new changes of them in each epoch, from
        the same distribution. Which change a picture gets is decided by its place and the seed, so
        take a subset first.

        Args:
            turn: Degrees, at most so many to the left or right.
            shift: Share of the side, at most so much in each direction.
            scale: Smallest and largest factor of the size.
            views: For each training picture so many changed copies are added, behind the pictures.
            seed: Decides the changes.

        Raises:
            CourseError: A limit, `views` or `seed` makes no sense, the task is changed already, or
                it holds sounds.

        Example:
            >>> task = load_task("digits", test_fraction=0.6).changed(turn=40, scale=(0.7, 1.2))
        """
        self._refuse_sounds("turned, moved or scaled")
        if self.change is not None:
            raise CourseError(
                f"Task {self.name!r} is changed already. Load it again and change that."
            )
        from tlcourse.tasks.change import N_DRAWS, Change

        change = Change(turn, shift, scale)
        check_whole("views", views, least=0)
        check_whole("seed", seed, least=0)
        train, val, test = (getattr(self, name) for name in SPLITS)

        def draws(split: int, rows: int) -> list[list[float]]:
            return np.random.default_rng([seed, split]).random((rows, N_DRAWS)).tolist()

        if views:
            everything = np.tile(np.arange(len(train)), 1 + views)
            as_it_is: list[list[float] | None] = [None] * len(train)
            train = train.take(everything).changed(change, as_it_is + draws(0, views * len(train)))
        return replace(
            self,
            train=train,
            val=val.changed(change, draws(1, len(val))),
            test=test.changed(change, draws(2, len(test))),
            change=change,
        )

    def corrupted(self, kind: "Kind", strength: float, *, seed: int = 0) -> "Task":
        """Return the task with corrupted test pictures: what has been learned meets another world.

        The training and validation pictures stay as they are.

        Args:
            kind: "blur", "noise", "brightness", "grey", "turn" or "scale"; see `tl.corrupt`.
            strength: From 0, which changes nothing, to 5.
            seed: Decides noise and turns; each picture has its own.

        Raises:
            UnknownNameError: There is no such kind.
            CourseError: The strength is no number from 0 to 5, or the seed no whole number; the
                task holds sounds.

        Example:
            >>> noisy = load_task("digits").corrupted("noise", 3)
        """
        from tlcourse.tasks.corruptions import Corruption

        self._refuse_sounds("blurred, darkened or turned")
        corruption = Corruption(kind, strength)
        check_whole("seed", seed, least=0)
        seeds = np.random.default_rng([seed, 3]).integers(2**31, size=(len(self.test), 1))
        return replace(self, test=self.test.changed(corruption, seeds.tolist()))

    def _refuse_sounds(self, done: str) -> None:
        if self.holds == "sounds":
            raise CourseError(
                f"Task {self.name!r} holds sounds, which are not {done}. A training with "
                "augment=True shifts them in time, and changes their loudness, by itself."
            )

    def few_of_each(
        self,
        *,
        train: int | None = None,
        val: int | None = None,
        test: int | None = None,
        seed: int = 0,
    ) -> "Task":
        """Return the task with so many pictures of each class, drawn at random.

        Those of a smaller number are among those of a larger one. A class that has fewer keeps
        what it has.

        Args:
            train: Training pictures to keep of each class; by default all.
            val: Validation pictures of each class.
            test: Test pictures of each class.
            seed: Decides which.

        Raises:
            CourseError: A number is not whole, or negative.

        Example:
            >>> task = load_task("digits").few_of_each(train=10)
        """
        check_whole("seed", seed, least=0)
        splits = []
        for name, number in zip(SPLITS, (train, val, test), strict=True):
            split = getattr(self, name)
            if number is not None:
                check_whole(name, number, least=0)
                split = _some_of_each(split, partial(min, number), seed)
            splits.append(split)
        train_split, val_split, test_split = splits
        return replace(self, train=train_split, val=val_split, test=test_split)

    def __repr__(self) -> str:
        counts = {name: len(getattr(self, name)) for name in SPLITS}
        shown = printable(", ".join(self.classes[:10])) + ", ..." * (len(self.classes) > 10)
        return (
            f"Task {self.name!r}: {sum(counts.values())} {self.holds}, "
            f"{len(self.classes)} classes ({shown})\n"
            f"  {', '.join(f'{name} {count}' for name, count in counts.items())}; "
            f"left out {len(self.skipped)}"
        )


def check_task(task: Task, *, n_outputs: int | None = None) -> None:
    """Refuse a task with too few classes or training pictures, or that does not fit a head."""
    if not isinstance(task, Task):
        raise CourseError(
            f"A task is needed, not {type(task).__name__}. "
            'Make one with tl.load_task("emoji") or tl.load_task("my/folder").'
        )
    n_classes = len(task.classes)
    if n_classes < 2:
        raise CourseError(
            f"Task {task.name!r} has {n_classes} class, so there is nothing to tell apart. "
            "Add a second class."
        )
    counts = np.bincount(task.train.labels, minlength=n_classes)
    few = np.flatnonzero(counts < 2)
    if len(few):
        named = ", ".join(f"{task.classes[i]!r} ({counts[i]})" for i in few)
        raise CourseError(
            f"Each class needs at least 2 training {task.holds}, but these have fewer: "
            f"{named}. Add {task.holds}, or remove the class."
        )
    if n_outputs is not None and n_outputs != n_classes:
        raise CourseError(
            f"The head has {n_outputs} outputs, but the task has {n_classes} classes. "
            f"Make the network with n_classes={n_classes}."
        )


def subset(task: Task, share: float) -> Task:
    """Keep a share of the pictures of each class in each split, the same ones at each call."""
    if share >= 1:
        return task
    splits = [_some_of_each(getattr(task, name), lambda n: _kept(n, share), 0) for name in SPLITS]
    train, val, test = splits
    return replace(task, train=train, val=val, test=test)


def used_counts(task: Task, share: float) -> dict[str, int]:
    """Pictures of each split that a share of each class leaves."""
    counts = {name: np.bincount(getattr(task, name).labels).tolist() for name in SPLITS}
    return {name: sum(_kept(n, share) for n in each) for name, each in counts.items()}


def _kept(n: int, share: float) -> int:
    return min(n, max(2, round(share * n)))  # of 1 picture nothing can be learned


def _some_of_each(split: Split, keep: Callable[[int], int], seed: int) -> Split:
    """Keep some pictures of each class, drawn at random; `keep` says how many of n."""
    chosen: list[int] = []
    for label in np.unique(split.labels):
        places = np.flatnonzero(split.labels == label)
        order = np.random.default_rng([seed, label]).permutation(places)
        chosen += order[: keep(len(places))].tolist()
    return split.take(sorted(chosen))
