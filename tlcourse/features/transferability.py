"""How well features suit a task, without training: LogME and the H-score (notebook 12).

Both look at the training pictures only, and take a moment where a fine-tuning takes minutes.
"""

import numpy as np

from tlcourse.base.machine import one_thread
from tlcourse.errors import CourseError

_FLOOR = 1e-10  # of the noise, as a share of what there is to explain: features may fit perfectly


def logme(x: np.ndarray, y: np.ndarray) -> float:
    """Return the logarithm of the maximum evidence, per picture and averaged over the classes.

    For each class a linear model with Gaussian weights and Gaussian noise explains who belongs to
    it (1) and who does not (0). The evidence is the probability density of these labels, averaged
    over all weights; the two variances are those that make it largest. Unlike a fit, the evidence
    does not grow because there are more features. A rotation or another unit of the features does
    not change it.

    Args:
        x: Features (N, C), as they are.
        y: Labels (N,), whole numbers from 0.

    Returns:
        A number without limits. More is better; only values for the same pictures compare.

    Raises:
        CourseError: The features are no finite numbers (N, C), there is not one label for each
            row, or there is only one class.

    Reference: You et al. (2021), arXiv:2102.11005. They iterate to the same maximum.
    """
    from scipy.optimize import minimize_scalar

    x, y = _checked(x, y)
    targets = np.eye(int(y.max()) + 1)[y][:, np.unique(y)]  # (N, classes)
    with one_thread():
        left, lengths, _ = np.linalg.svd(x, full_matrices=False)
        kept = lengths > lengths.max(initial=0) * 1e-10
        sizes = lengths[kept] ** 2
        inside = (left[:, kept].T @ targets) ** 2  # (D, classes)
    if not len(sizes):
        raise CourseError("All features are 0, so there is nothing to explain the labels with.")
    outside = np.maximum((targets**2).sum(axis=0) - inside.sum(axis=0), 0)
    # With t = noise variance / weight variance, the best noise variance has a closed form, and only
    # one number is left to look for: on a coarse grid, then between its neighbours.
    grid = np.log(sizes.max()) + np.linspace(-30, 30, 121)
    evidences = []
    for squares, rest in zip(inside.T, outside, strict=True):
        total = squares.sum() + rest

        def loss(
            log_t: float, squares: np.ndarray = squares, rest: float = rest, total: float = total
        ) -> float:
            ratio = sizes / np.exp(log_t)
            noise = ((squares / (1 + ratio)).sum() + rest) / len(x)
            noise = max(noise, _FLOOR * total / len(x))
            return float(np.log(2 * np.pi * noise) + np.log1p(ratio).sum() / len(x) + 1) / 2

        place = int(np.argmin([loss(log_t) for log_t in grid]))
        around = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
        best = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-4})
        evidences.append(-min(best.fun, loss(grid[place])))
    return float(np.mean(evidences))


def h_score(x: np.ndarray, y: np.ndarray) -> float:
    """Return the H-score: how much of the features' variance lies between the classes.

    It is the trace of the inverse covariance of the features times the covariance of their class
    means, so directions count by how well they part the classes, not by their length. With fewer
    pictures than features the covariance has no inverse. It is shrunk towards a multiple of the
    identity (Ledoit and Wolf 2004), as Ibrahim et al. propose.

    Args:
        x: Features (N, C).
        y: Labels (N,), whole numbers from 0.

    Returns:
        From 0 to the number of classes minus 1. A rotation or another unit of the features does
        not change it.

    Raises:
        CourseError: As `logme`.

    References: Bao et al. (2019), arXiv:2212.10082; shrinkage: Ibrahim et al. (2021),
    arXiv:2110.06893.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    x, y = _checked(x, y)
    x = x - x.mean(axis=0)
    with one_thread():
        # In the space of the pictures: D = min(N, C) numbers hold all of x.
        left, lengths, _ = np.linalg.svd(x, full_matrices=False)
        turned = left * lengths
        variances = lengths**2 / len(x)
        shrinkage = float(ledoit_wolf_shrinkage(x, assume_centered=True))
        shrunk = (1 - shrinkage) * variances + shrinkage * variances.sum() / x.shape[1]
        _, counts = np.unique(y, return_counts=True)
        means = np.stack([turned[y == label].mean(axis=0) for label in np.unique(y)])
        between = (counts[:, None] * means**2).sum(axis=0) / len(x)
    there = shrunk > variances.max(initial=0) * 1e-12
    if not there.any():
        raise CourseError("All pictures have the same features, so no class differs from another.")
    return float((1 - shrinkage) * (between[there] / shrunk[there]).sum())


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features in double precision and labels, or say what is wrong with them."""
    values, labels = np.asarray(x, dtype=np.float64), np.asarray(y)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise CourseError(
            f"Features must be finite numbers of shape (N, C), got shape {values.shape}. "
            'Maps are pooled by extract_features(..., pool="mean").'
        )
    if labels.shape != (len(values),) or labels.dtype.kind not in "iu" or (labels < 0).any():
        raise CourseError(
            f"Each picture needs its label, a whole number from 0: there are {len(values)} rows of "
            f"features, and labels of shape {labels.shape}."
        )
    if len(np.unique(labels)) < 2:
        raise CourseError("There is only one class, so there is nothing to tell apart.")
    return values, labels
