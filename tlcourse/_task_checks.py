"""Refuse a task that nothing can be learned from, in one sentence."""

import numpy as np

from tlcourse.errors import CourseError
from tlcourse.tasks import Task


def check_task(task: Task, *, n_outputs: int | None = None) -> None:
    """Refuse a task with too few classes or training pictures.

    Args:
        task: Labelled pictures.
        n_outputs: Outputs of the head that is to learn it.

    Raises:
        CourseError: It is no task; one class; fewer pictures than classes; a class with no or a
            single training picture; a head with another number of outputs than classes.
    """
    if not isinstance(task, Task):
        raise CourseError(
            f"A task is needed, not {type(task).__name__}. "
            'Make one with tl.load_task("emoji") or tl.load_task("my/folder").'
        )
    n_classes, n = len(task.classes), len(task.train)
    if n_classes < 2:
        raise CourseError(
            f"Task {task.name!r} has {n_classes} class, so there is nothing to tell apart. "
            "Add a second class."
        )
    if n < n_classes:
        raise CourseError(
            f"Task {task.name!r} has {n} training pictures for {n_classes} classes. "
            "Each class needs at least 2."
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
