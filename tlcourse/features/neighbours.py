"""Which pictures are most alike, as a layer's features see it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse.errors import CourseError, check_choice

if TYPE_CHECKING:
    import pandas as pd

    from tlcourse.features.features import Features


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

    def pairs(self, similarity: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find all pairs that are at least so alike: places (P,), (P,) and cosines (P,)."""
        rounding = 1e-6
        distances, found = self._finder.radius_neighbors(self.x, 1 - similarity + rounding)
        first = np.repeat(np.arange(len(found)), [len(row) for row in found])
        second, cosine = np.concatenate(found), np.minimum(1 - np.concatenate(distances), 1)
        once = first < second
        return first[once], second[once].astype(int), cosine[once]


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


def near_duplicates(
    features: "Features", threshold: float = 0.9, *, layer: str | None = None
) -> "pd.DataFrame":
    """Find pictures that stand, nearly unaltered, in two splits of a task.

    A test picture whose twin has been learned says nothing about new pictures. Features are
    standardised and compared by their angle, as in `nearest`. What is found are candidates: look at
    them. Where hardly any two pictures differ, such as printed letters, raise the threshold.

    Args:
        features: Those of a task, such as `extract_features(backbone, task)`.
        threshold: Lowest cosine similarity of a pair, above 0 and up to 1.
        layer: Which of the features; by default the last of them.

    Returns:
        A row for each pair from two different splits, the most alike first: `first` and `second`
        are their places among all N pictures, `splits` names their splits, `names` are their names,
        `cosine` is how alike they are, and `same_class` whether they have the same label.

    Raises:
        UnknownNameError: There is no such layer.
        CourseError: The threshold is no such number, or the pictures are of one split only.
    """
    import pandas as pd

    if layer is None:
        *_, layer = features.x
    check_choice("layer among these features", layer, features.x)
    if (
        isinstance(threshold, bool)
        or not isinstance(threshold, int | float)
        or not 0 < threshold <= 1
    ):
        raise CourseError(f"threshold is {threshold!r}, but must be a number above 0 and up to 1.")
    if len({*features.split}) < 2:
        raise CourseError(
            "These features are of one split, so no picture can be in two. Extract those of a task."
        )
    first, second, cosine = Neighbours(features.x[layer]).pairs(float(threshold))
    across = features.split[first] != features.split[second]
    order = np.argsort(-cosine[across], kind="stable")
    first, second, cosine = (part[across][order] for part in (first, second, cosine))
    both = list(zip(first.tolist(), second.tolist(), strict=True))
    table = {
        "first": first,
        "second": second,
        "splits": [f"{features.split[a]}, {features.split[b]}" for a, b in both],
        "names": [f"{features.names[a]}, {features.names[b]}" for a, b in both],
        "cosine": cosine,
        "same_class": features.y[first] == features.y[second],
    }
    return pd.DataFrame(table)
