"""Linear probe: logistic regression on features, written as the last layer of a network."""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from torch import nn

from tlcourse.base.machine import one_thread
from tlcourse.errors import CourseError

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
_SMALL = 1e8  # multiplications per pass over the features, for which one thread is the fastest


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear layer that was fitted to features.

    Attributes:
        weight: float64 (classes, C), for features as they are.
        bias: float64 (classes,).
        strength: The inverse strength of the regularisation that was chosen (scikit-learn's `C`).
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float

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
    strengths: tuple[float, ...] = STRENGTHS,
) -> Probe:
    """Fit logistic regression to features that were centred and divided by one number.

    The number, the root of the mean variance, is the same for all features. To divide each by its
    own deviation gives the same accuracy, but large weights for features that hardly vary, and
    such a head breaks when fine-tuning begins to move the features.

    Args:
        x: Training features (N, C).
        y: Their labels (N,), whole numbers from 0; every class must be among them.
        x_val: Validation features, which choose the strength by their log loss. Without them it
            is 0.01.
        y_val: Their labels.
        strengths: Values of scikit-learn's `C` to choose from.

    Raises:
        CourseError: The features are not vectors, or there is only one class.
    """
    from sklearn.metrics import log_loss

    if x.ndim != 2:
        raise CourseError(
            f"A linear probe needs features of shape (N, C), got {x.shape}. "
            'These are unpooled maps: extract them again with pool="mean".'
        )
    n_classes = int(y.max()) + 1
    if len(set(y.tolist())) < max(n_classes, 2):
        raise CourseError("A linear probe needs pictures of every class, and at least two classes.")
    small = len(x) * min(x.shape) * n_classes < _SMALL
    with one_thread() if small else nullcontext():
        rows = Rows(x)
        if x_val is None or y_val is None or not len(y_val):
            return rows.fit(y, 1e-2)
        best, lowest = None, np.inf
        for strength in strengths:
            probe = rows.fit(y, strength)
            scores = probe.logits(x_val)
            odds = np.exp(scores - scores.max(axis=1, keepdims=True))
            odds /= odds.sum(axis=1, keepdims=True)
            loss = log_loss(y_val, odds, labels=range(n_classes))
            if loss < lowest:
                best, lowest = probe, loss
    assert best is not None
    return best


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
