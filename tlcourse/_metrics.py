"""How well predictions fit the labels, with the uncertainty that few pictures leave."""

import math

import numpy as np


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """95 % interval of an accuracy: accuracies that fit `n_right` of `n` (Wilson 1927).

    It is (0, 1) where there is no picture.
    """
    from scipy.stats import binomtest

    if n == 0:
        return 0.0, 1.0
    low, high = binomtest(n_right, n).proportion_ci(method="wilson")
    return float(low), float(high)


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of right predictions; NaN where there is no picture."""
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
