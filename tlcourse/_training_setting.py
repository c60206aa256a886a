"""What can be set for a training by hand."""

from dataclasses import dataclass, replace

import numpy as np

from tlcourse.tasks import Task


@dataclass(frozen=True)
class Setting:
    """What can be set.

    Attributes:
        until: Last frozen layer.
        rate: Learning rate of the head.
        epochs: How many.
        per_class: Training pictures of each class; None for all.
        pretrained: Whether it begins with the pre-trained weights.
    """

    until: str | None
    rate: float
    epochs: int
    per_class: int | None
    pretrained: bool

    @property
    def body_rate(self) -> float:
        """A tenth of the head's; random weights have nothing to lose and learn at the same rate."""
        return self.rate / 10 if self.pretrained else self.rate


def few_of_each(task: Task, per_class: int | None, seed: int) -> Task:
    """Keep so many training pictures of each class; those of a smaller number are among them."""
    if per_class is None:
        return task
    chosen = []
    for label in range(len(task.classes)):
        places = np.flatnonzero(task.train.labels == label)
        order = np.random.default_rng([seed, label]).permutation(places)
        chosen.append(order[:per_class])
    train = task.train.take(np.sort(np.concatenate(chosen)))
    return replace(task, train=train, test=task.test.take([]))  # which is not looked at
