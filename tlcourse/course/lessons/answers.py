"""Two forms of answer that several lessons ask for: predicted classes, and a training's result."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

# Predicted classes


@cache
def true_classes(task: str, test_fraction: float = 0.2) -> np.ndarray:
    """True classes of a task's test pictures, (N,)."""
    from tlcourse.tasks.load import load_task

    return load_task(task, test_fraction=test_fraction).test.labels


def share_right(answer: Any, labels: np.ndarray) -> float:
    """Share of the pictures whose class is right; another form of answer raises."""
    array = np.asarray(answer.detach() if hasattr(answer, "detach") else answer)
    if array.shape != labels.shape or array.dtype.kind not in "iu":
        raise TypeError("not one class for each picture")
    return float((array == labels).mean())


def predicted(labels: np.ndarray, n_wrong: int) -> np.ndarray:
    """Answers of which so many are wrong, spread over all classes."""
    answers = labels.copy()
    answers[np.linspace(0, len(answers) - 1, n_wrong).astype(int)] += 1
    return answers % (labels.max() + 1)


# The result of a training


@dataclass(frozen=True)
class Trained:
    """Stands for a `tl.Result`."""

    pattern: str
    test_accuracy: float
    task: str = "digits"
    trainable_parameters: int = 0


def scored(answer: Any, task: str = "digits") -> float:
    """Test accuracy of a result for this task; an error for anything else."""
    if answer.task != task:
        raise TypeError("another task")
    return float(answer.test_accuracy)
