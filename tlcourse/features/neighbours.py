"""Which pictures are most alike, as a layer's features see it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlcourse.errors import CourseError


class Neighbours:
    """The features of one layer, standardised as `x` (N, C), to find neighbours in."""

    def __init__(self, features: Any) -> None:
        from sklearn.neighbors import NearestNeighbors
        from sklearn.preprocessing import StandardScaler

        x = np.asarray(features.detach().cpu() if hasattr(features, "detach") else features)
        if x.ndim != 2:
            raise CourseError(
                f"Neighbours need features of shape (N, C), got {x.shape}. "
                "Average maps (N, C, H, W) over their positions first: maps.mean(dim=(2, 3))."
            )
        x = x.astype(np.float64)
        if not np.isfinite(x).all():
            raise CourseError("Neighbours need finite features, but some are NaN or infinite.")
        self.x = StandardScaler().fit_transform(x)
        self._finder = NearestNeighbors(metric="cosine").fit(self.x)

    def nearest(self, queries: Sequence[int], n: int = 4) -> tuple[np.ndarray, np.ndarray]:
        """Find the `n` nearest of each query; see the function `nearest`."""
        count = len(self.x)
        wanted = np.asarray(queries, dtype=int).reshape(-1)
        if not len(wanted) or wanted.min() < 0 or wanted.max() >= count:
            raise CourseError(
                f"Queries must be numbers from 0 to {count - 1}, got {list(queries)}."
            )
        if not 1 <= n < count:
            raise CourseError(
                f"Among {count} pictures each has {count - 1} others; n={n} is not one."
            )
        distances, found = self._finder.kneighbors(self.x[wanted], n + 1)
        # The query itself is among the nearest, unless twins of it fill the list.
        kept = np.array(
            [
                [j for j, i in enumerate(row) if i != q][:n]
                for q, row in zip(wanted, found, strict=True)
            ]
        )
        return np.take_along_axis(found, kept, 1), 1 - np.take_along_axis(distances, kept, 1)


def nearest(features: Any, queries: Sequence[int], n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest neighbours of some pictures among all others.

    Each feature is first brought to mean 0 and standard deviation 1, so that none counts more
    because its numbers are large. Then the angle between two vectors is compared.

    Args:
        features: (N, C) array or tensor, one row per picture, such as
            `extract_features(backbone, task, layer).x[layer]`.
        queries: Indices of the Q pictures to find neighbours of, from 0 to N - 1.
        n: How many, from 1 to N - 1; a picture is not its own neighbour.

    Returns:
        Two arrays (Q, n): the indices of the neighbours, nearest first (int64), and their cosine
        similarities, from -1 to 1 (float64).

    Raises:
        CourseError: The features are not (N, C) or not finite, there is no query or one is not an
            index of a picture, or n is out of range.
    """
    return Neighbours(features).nearest(queries, n)
