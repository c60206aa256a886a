"""How alike two sets of features are, though they come from different layers or networks."""

import numpy as np

from tlcourse.base.machine import one_thread
from tlcourse.errors import CourseError


def cka(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Compare two sets of features of the same pictures: linear centred kernel alignment.

    It asks whether the same pictures are alike in both. Features can therefore come from different
    layers or networks and have different numbers of channels.

    Args:
        features_a: (N, C), a row for each picture.
        features_b: (N, D), for the same pictures in the same order.

    Returns:
        From 0 to 1, where they are the same up to a rotation and a factor. With few pictures and
        many features it is above 0 for independent ones, too: take more pictures than features, or
        compare with random weights.

    Raises:
        CourseError: They are no finite vectors, have different numbers of rows, or one of them has
            the same features for all pictures.

    Reference: Kornblith et al. (2019), arXiv:1905.00414.
    """
    a, b = (_centred(features) for features in (features_a, features_b))
    if len(a) != len(b):
        raise CourseError(
            f"Only features of the same pictures can be compared: {len(a)} and {len(b)} rows."
        )
    with one_thread():
        # Of two ways to the same number the one with the smaller matrices.
        if len(a) < max(a.shape[1], b.shape[1]):
            first, second = a @ a.T, b @ b.T
            shared, own = (first * second).sum(), (_norm(first), _norm(second))
        else:
            shared, own = _norm(a.T @ b) ** 2, (_norm(a.T @ a), _norm(b.T @ b))
    return float(min(shared / (own[0] * own[1]), 1.0))


def _norm(matrix: np.ndarray) -> float:
    return float(np.linalg.norm(matrix))


def _centred(features: np.ndarray) -> np.ndarray:
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise CourseError(
            f"Features must be finite numbers of shape (N, C), got shape {values.shape}. "
            'Maps are pooled by extract_features(..., pool="mean").'
        )
    centred = values - (values.mean(axis=0) if len(values) else 0)
    if not values.size or np.abs(centred).max() <= 1e-12 * max(np.abs(values).max(), 1e-300):
        raise CourseError("All pictures have the same features, so there is nothing to compare.")
    return centred
