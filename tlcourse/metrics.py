"""How well predictions fit the labels, with the uncertainty that few pictures leave."""

import math
from dataclasses import dataclass

import numpy as np

from tlcourse.errors import CourseError


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """95 % interval of an accuracy, given `n_right` of `n` right (Wilson 1927); (0, 1) if n is 0."""
    from scipy.stats import binomtest

    if n == 0:
        return 0.0, 1.0
    low, high = binomtest(n_right, n).proportion_ci(method="wilson")
    return float(low), float(high)


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of right predictions; NaN if there is no picture."""
    return float((predicted == labels).mean()) if len(labels) else math.nan


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (n, n): a row for each true class, a column for each predicted one."""
    from sklearn.metrics import confusion_matrix as count

    if not len(labels):
        return np.zeros((n_classes, n_classes), dtype=np.int64)
    return count(labels, predicted, labels=range(n_classes))


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Mean over the classes of the share that is right; classes without pictures do not count."""
    totals = confusion.sum(axis=1)
    there = totals > 0
    return float((np.diag(confusion)[there] / totals[there]).mean()) if there.any() else math.nan


@dataclass(frozen=True)
class Paired:
    """Two methods on the same pictures, compared picture by picture.

    Attributes:
        only_first: Pictures that only the first one gets right.
        only_second: Pictures that only the second one gets right.
        n: All pictures.
        p_value: Exact McNemar test (McNemar 1947): how often chance alone would split the pictures
            that only one gets right at least as unevenly. 1 if there is none.
        difference: Accuracy of the first minus that of the second.
        interval: 95 % interval of the difference, given how many pictures only one gets right; it
            leaves out 0 exactly if `p_value` is below 0.05.
    """

    only_first: int
    only_second: int
    n: int
    p_value: float
    difference: float
    interval: tuple[float, float]

    @property
    def told_apart(self) -> bool:
        """Whether the difference is larger than chance explains, at 95 %."""
        return self.p_value < 0.05


def p_in_words(p: float) -> str:
    """Write a p-value for a table: two digits, and no more than can be trusted."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def compare_paired(first_right: np.ndarray, second_right: np.ndarray) -> Paired:
    """Compare which pictures two methods get right.

    Args:
        first_right: (N,) True where the first one is right.
        second_right: (N,) likewise for the second one, for the same pictures in the same order.

    Raises:
        CourseError: They have different lengths.
    """
    from scipy.stats import binomtest

    if len(first_right) != len(second_right):
        raise CourseError(
            f"Only answers to the same pictures can be compared: {len(first_right)} and "
            f"{len(second_right)}."
        )
    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    n, a, b = len(first), int((first & ~second).sum()), int((second & ~first).sum())
    if a + b == 0:
        return Paired(0, 0, n, 1.0, 0.0, (0.0, 0.0))
    test = binomtest(a, a + b)
    share = test.proportion_ci(method="exact")
    low, high = ((2 * end - 1) * (a + b) / n for end in (share.low, share.high))
    return Paired(a, b, n, float(test.pvalue), (a - b) / n, (float(low), float(high)))
