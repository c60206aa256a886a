"""A task: labelled pictures in three splits; whether a network can learn it, and smaller copies."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tlcourse.base.messages import printable
from tlcourse.errors import CourseError
from tlcourse.tasks.split import SPLITS, Skipped, Split


@dataclass(frozen=True, eq=False)
class Task:
    """Labelled pictures in three splits that share no picture.

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

    def __repr__(self) -> str:
        counts = {name: len(getattr(self, name)) for name in SPLITS}
        shown = printable(", ".join(self.classes[:10])) + ", ..." * (len(self.classes) > 10)
        return (
            f"Task {self.name!r}: {sum(counts.values())} pictures, "
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
    few = [f"{task.classes[i]!r} ({counts[i]})" for i in np.flatnonzero(counts < 2)]
    if few:
        raise CourseError(
            f"Each class needs at least 2 training pictures, but these have fewer: "
            f"{', '.join(few)}. Add pictures, or remove the class."
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


def few_of_each(task: Task, per_class: int | None, seed: int) -> Task:
    """Keep so many training pictures of each class, and no test pictures: nobody asks for them.

    Those of a smaller number are among those of a larger one. None keeps the task as it is.
    """
    if per_class is None:
        return task
    train = _some_of_each(task.train, lambda n: per_class, seed)
    return replace(task, train=train, test=task.test.take([]))


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
