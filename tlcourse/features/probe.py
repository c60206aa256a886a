"""Linear probe: a linear classifier fitted to features, written as the last layer of a network."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from torch import nn

from tlcourse.base.machine import one_thread
from tlcourse.errors import CourseError, check_choice
from tlcourse.metrics import fit_temperature

Kind = Literal["logistic", "nearest_mean"]

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
_STRENGTH = 1e-2  # where nothing can be chosen
_FEW = 5  # pictures of a class; with more, logistic regression is mostly as good or better
_SCALE = 20.0  # of a cosine that becomes a logit
_SMALL = 1e8  # multiplications per pass over the features, for which one thread is the fastest


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear layer that was fitted to features.

    Attributes:
        weight: float64 (classes, C), for features as they are.
        bias: float64 (classes,).
        strength: The inverse strength of the regularisation that was chosen (scikit-learn's `C`);
            NaN for the nearest mean, which has none.
        kind: "logistic" for logistic regression, "nearest_mean" for the nearest class mean.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    kind: Kind = "logistic"

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Scores (N, classes) of features (N, C)."""
        return np.asarray(x, dtype=np.float64) @ self.weight.T + self.bias

    def as_head(self) -> nn.Linear:
        """Return the same as a `torch.nn.Linear`, for `Network(head=...)`."""
        import torch

        head = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(self.weight))
            head.bias.copy_(torch.from_numpy(self.bias))
        return head


def fit_probe(
    x: np.ndarray,
    y: np.ndarray,
    x_val: np.ndarray | None = None,
    y_val: np.ndarray | None = None,
    *,
    kind: Kind | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> Probe:
    """Fit a linear classifier to features: logistic regression, or the nearest class mean.

    The nearest mean compares features by their angle (cosine). It has nothing to choose, so it is
    the better one for very few pictures. It is tried where a class has fewer than five: then the
    lowest log loss on the validation features decides between the two. Without validation features
    it is taken.

    For logistic regression the features are centred and divided by one number, the root of their
    mean variance. To divide each by its own deviation is much worse with few pictures. It also
    gives large weights to features that hardly vary, and such a head breaks when fine-tuning begins
    to move the features.

    Args:
        x: Training features (N, C).
        y: Their labels (N,), whole numbers from 0; every class must be among them.
        x_val: Validation features, which choose the strength by their log loss. Without them it
            is 0.01, or the only one that you name.
        y_val: Their labels.
        kind: Fit this kind only.
        strengths: Values of scikit-learn's `C` to choose from.

    Raises:
        UnknownNameError: There is no such kind.
        CourseError: The features are not vectors, or there is only one class.

    Reference: Nearest mean by cosine: Wang et al. (2019), arXiv:1911.04623.
    """
    from scipy.special import softmax
    from sklearn.metrics import log_loss

    if x.ndim != 2:
        raise CourseError(
            f"A linear probe needs features of shape (N, C), got {x.shape}. "
            'These are unpooled maps: extract them again with pool="mean".'
        )
    n_classes = int(y.max()) + 1
    fewest = np.bincount(y, minlength=n_classes).min()
    if n_classes < 2 or not fewest:
        raise CourseError("A linear probe needs pictures of every class, and at least two classes.")
    if kind is not None:
        check_choice("kind of probe", kind, get_args(Kind))
    val = None if x_val is None or y_val is None or not len(y_val) else (x_val, y_val)
    if kind is None and fewest >= _FEW:
        kind = "logistic"
    if val is None:  # nothing can be chosen
        kind = kind or "nearest_mean"
        strengths = strengths if len(strengths) == 1 else (_STRENGTH,)
    small = len(x) * min(x.shape) * n_classes < _SMALL
    probes = []
    with one_thread() if small else nullcontext():
        if kind != "nearest_mean":
            rows = Rows(x)
            for strength in strengths:
                probes.append(rows.fit(y, strength))
        if kind != "logistic":
            probes.append(_nearest_mean(x, y, val))
    best, lowest = probes[0], np.inf
    if val is not None:
        for probe in probes:
            shares = softmax(probe.logits(val[0]), axis=1)
            loss = log_loss(val[1], shares, labels=range(n_classes))
            if loss < lowest:
                best, lowest = probe, loss
    return best


def _nearest_mean(
    x: np.ndarray, y: np.ndarray, val: tuple[np.ndarray, np.ndarray] | None = None
) -> Probe:
    """The direction of each class: the mean of its rows, each of which has length 1.

    A row's logits are its cosines with them, times a number. It has the lowest log loss on the
    validation rows; without them, on each training row against the means of all other rows.
    """
    x = np.asarray(x, dtype=np.float64)
    typical = np.linalg.norm(x, axis=1).mean() or 1.0
    of_length_1 = _directions(x)
    members = np.eye(int(y.max()) + 1)[y]  # (N, classes)
    sums = members.T @ of_length_1
    weight = _directions(sums) * (_SCALE / typical)
    if val is not None:
        scores, labels = np.asarray(val[0], dtype=np.float64) @ weight.T, val[1]
    else:
        scores, own = x @ weight.T, np.arange(len(y))
        without = _directions(sums[y] - of_length_1) * (_SCALE / typical)
        scores[own, y] = (x * without).sum(axis=1)
        several = members.sum(axis=0)[y] > 1
        scores, labels = scores[several], y[several]
    temperature = fit_temperature(scores, labels) if len(labels) else 1.0
    weight /= temperature
    return Probe(weight, np.zeros(len(weight)), np.nan, "nearest_mean")


def _directions(rows: np.ndarray) -> np.ndarray:
    """Rows divided by their length; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)


class Rows:
    """Centred features, divided by one number.

    N rows lie in a space of N dimensions. Where they have more features, they are turned into it:
    logistic regression gives the same probabilities there, in a fraction of the time.
    """

    def __init__(self, x: np.ndarray, *, turn: bool = True) -> None:
        x = np.asarray(x, dtype=np.float64)
        self.centre = x.mean(axis=0)
        self.spread = np.sqrt(x.var(axis=0).mean()) or 1.0
        self.values, self.basis = (x - self.centre) / self.spread, None
        if turn and len(x) < x.shape[1]:
            turned, sizes, self.basis = np.linalg.svd(self.values, full_matrices=False)
            self.values = turned * sizes

    def fit(self, y: np.ndarray, strength: float, tolerance: float = 1e-4) -> Probe:
        """Fit logistic regression; `strength` and `tolerance` are scikit-learn's `C` and `tol`.

        With a larger tolerance it would end early where the penalty is weak, and the strength that
        is chosen would depend on where it ended.
        """
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        regression = LogisticRegression(C=strength, max_iter=500, tol=tolerance)
        with warnings.catch_warnings():  # with weak regularisation it may go on for ever
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit(self.values, y)
        weight, bias = regression.coef_ / self.spread, regression.intercept_
        if self.basis is not None:
            weight = weight @ self.basis
        if len(weight) == 1:  # two classes: one row says how much it is the second one
            weight, bias = np.vstack([-weight, weight]) / 2, np.hstack([-bias, bias]) / 2
        return Probe(weight, bias - weight @ self.centre, strength)
