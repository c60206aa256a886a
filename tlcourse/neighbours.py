"""Which pictures are most alike, as a layer's features see it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlcourse.errors import CourseError


def nearest(features: Any, queries: Sequence[int], n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest neighbours of some pictures among all others.

    Each feature is first brought to mean 0 and standard deviation 1, so that none counts more
    because its numbers are large. Then the angle between two vectors is compared.

    Args:
        features: (N, C) array or tensor, one row per picture.
        queries: Indices of the pictures to find neighbours of.
        n: How many; a picture is not its own neighbour.

    Returns:
        Indices (Q, n), nearest first, and cosine similarities (Q, n), at most 1.

    Raises:
        CourseError: The features are not (N, C), a query is not one of the N, or n is too large.
    """
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    x = np.asarray(features.detach().cpu() if hasattr(features, "detach") else features)
    if x.ndim != 2:
        raise CourseError(
            f"Neighbours need features of shape (N, C), got {x.shape}. "
            "Average maps (N, C, H, W) over their positions first: maps.mean(dim=(2, 3))."
        )
    wanted = np.asarray(queries, dtype=int).reshape(-1)
    if not len(wanted) or wanted.min() < 0 or wanted.max() >= len(x):
        raise CourseError(f"Queries must be numbers from 0 to {len(x) - 1}, got {list(queries)}.")
    if not 1 <= n < len(x):
        raise CourseError(
            f"Among {len(x)} pictures each has {len(x) - 1} others; n={n} is not one."
        )
    x = StandardScaler().fit_transform(x.astype(np.float64))
    finder = NearestNeighbors(n_neighbors=n + 1, metric="cosine").fit(x)
    distances, found = finder.kneighbors(x[wanted])
    # The query itself is among the nearest, unless twins of it fill the list.
    kept = [
        [j for j, i in enumerate(row) if i != q][:n] for q, row in zip(wanted, found, strict=True)
    ]
    return np.take_along_axis(found, np.array(kept), 1), 1 - np.take_along_axis(
        distances, np.array(kept), 1
    )
