"""Nested cross-validation of a linear probe: the strength is chosen without the scored pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tlcourse._machine import one_thread
from tlcourse.errors import CourseError
from tlcourse.probe import Probe, Rows


@dataclass(frozen=True, eq=False)
class Nested:
    """What came out for one layer.

    Attributes:
        predicted: Class of each picture, int64 (N,), by the probe that did not see its fold.
        strengths: The strength that was chosen for each fold.
    """

    predicted: np.ndarray
    strengths: tuple[float, ...]


def check_folds(y: np.ndarray, folds: int, strengths: Sequence[float]) -> None:
    """Refuse folds or strengths that nothing can be chosen with."""
    if not isinstance(folds, int | np.integer) or folds < 3:
        raise CourseError(
            f"folds is {folds!r}, but must be a whole number, 3 or larger: one fold is scored, one "
            "chooses the strength, and the others are learned from."
        )
    counts = np.bincount(y)
    if len(counts) < 2 or counts.min() < folds:
        raise CourseError(
            f"{folds} folds need at least two classes, each with {folds} pictures or more; here "
            f"the classes have {', '.join(map(str, counts))}. Add pictures or take fewer folds."
        )
    if not len(strengths) or min(strengths) <= 0:
        raise CourseError(
            f"strengths is {tuple(strengths)}, but must hold at least one number, all above 0."
        )


def draw_folds(y: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each picture, int64 (N,); each fold has its share of each class.

    They depend on the labels, their order and the seed only, so they are the same for all layers.
    """
    from sklearn.model_selection import StratifiedKFold

    fold = np.empty(len(y), dtype=np.int64)
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(y)), y)
    for number, (_, rows) in enumerate(splits):
        fold[rows] = number
    return fold


def rotated(x: np.ndarray) -> np.ndarray:
    """Shift and rotate features (N, C) so that at most N numbers per picture are left.

    All distances and angles between the pictures stay as they are. A probe that is regularised by
    the length of its weights sees nothing else of centred features, so it gives the same answers;
    no label is looked at. Fits become many times faster where C is larger than N.

    Args:
        x: Features (N, C).

    Returns:
        float64 (N, D), D at most N and at most C.
    """
    x = np.asarray(x, dtype=np.float64)
    left, lengths, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    kept = lengths > lengths.max(initial=0) * 1e-10
    kept[0] = True  # features that are all the same keep one number
    return left[:, kept] * lengths[kept]


def cross_validate(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, strengths: Sequence[float]
) -> Nested:
    """Predict each picture by a probe that was fitted to the other folds.

    The strength for a fold is chosen by the log loss of a cross-validation inside the other folds:
    for folds 0 to 4, the one for fold 0 by probes that were fitted to three of the folds 1 to 4
    and tried on the fourth. Strengths are tried from small to large until that loss grows.

    Args:
        x: Features (N, C).
        y: Labels (N,), whole numbers from 0.
        fold: (N,) from `draw_folds`, at least three.
        strengths: Values of scikit-learn's `C`, in increasing order.
    """
    with one_thread():
        x = rotated(x)
        chosen = _choose(x, y, fold, strengths)
        predicted = np.empty(len(y), dtype=np.int64)
        for number, strength in enumerate(chosen):
            scored = fold == number
            predicted[scored] = (
                _fit(x[~scored], y[~scored], strength).logits(x[scored]).argmax(axis=1)
            )
    return Nested(predicted, tuple(chosen))


def _choose(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, strengths: Sequence[float]
) -> list[float]:
    """Choose a strength for each fold, by pictures of the other folds."""
    n_folds = int(fold.max()) + 1
    chosen = [strengths[0]] * n_folds
    lowest = np.full(n_folds, np.inf)
    searching = np.ones(n_folds, dtype=bool)
    for strength in strengths:
        loss = np.zeros(n_folds)
        for i in range(n_folds):
            for j in range(i):
                if searching[i] or searching[j]:
                    # Fitted without folds i and j, so it serves the choices for both.
                    rest = (fold != i) & (fold != j)
                    probe = _fit(x[rest], y[rest], strength)
                    loss[i] += _log_loss(probe.logits(x[fold == j]), y[fold == j])
                    loss[j] += _log_loss(probe.logits(x[fold == i]), y[fold == i])
        searching &= loss < lowest
        for number in np.flatnonzero(searching):
            chosen[number], lowest[number] = strength, loss[number]
        if not searching.any():
            break
    return chosen


def _fit(x: np.ndarray, y: np.ndarray, strength: float) -> Probe:
    # They are rotated already; and of each picture only the class is asked for.
    return Rows(x, turn=False).fit(y, strength, tolerance=1e-3)


def _log_loss(scores: np.ndarray, y: np.ndarray) -> float:
    """Sum of the log loss over pictures."""
    from scipy.special import log_softmax

    return -float(log_softmax(scores, axis=1)[np.arange(len(y)), y].sum())
