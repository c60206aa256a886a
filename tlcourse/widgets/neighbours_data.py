"""What the neighbour explorer knows of a task: small pictures, classes, neighbours, flat maps."""

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any

import numpy as np
import torch
from PIL import Image

from tlcourse.errors import CourseError
from tlcourse.explain.excitation import only_picture
from tlcourse.features.features import Features
from tlcourse.features.neighbours import Neighbours
from tlcourse.plots.figure import pixels
from tlcourse.widgets.neighbours_map import FlatMaps, thumbnail, thumbnail_side
from tlcourse.widgets.tiles import webp_uri

_SIDE = 112  # pixels of the pictures that are kept
_FEWEST, _MOST = 4, 1000  # pictures; more make neither a readable map nor a quick one
_CLASSES = 10_000  # at most; a larger label is a year or an id, not a class


class KnownTask:
    """All that the explorer needs, so that the task itself need not be kept.

    Attributes:
        labels: (N,) class numbers.
        classes: Their names.
        members: Class number -> indices of its pictures, for each class that has any.
        chance: Share of pictures whose nearest one would be of their own class by chance.
        layers: Layer -> its neighbours, from shallow to deep.
        shares: Layer -> share of pictures whose nearest one is of their own class.
        maps: The flat maps of all layers.
        pictures: The N pictures, shrunk.
        uris: The same, encoded.
        small: The same as thumbnails, framed in the colours of their classes.
    """

    def __init__(
        self,
        features: Mapping[str, Any] | Features,
        pictures: Sequence[Any],
        labels: Sequence[int] | None,
        classes: Sequence[str] | None,
    ) -> None:
        by_layer = features.x if isinstance(features, Features) else features
        if not isinstance(by_layer, Mapping) or not by_layer:
            raise CourseError(
                "Features must be a dict with at least one layer: name of a layer -> (N, C), as `x` "
                f"of what extract_features returns, got {type(features).__name__}."
            )
        n = _count(pictures)
        self.labels = _labels(labels if labels is not None else getattr(pictures, "labels", ()), n)
        self.classes = _names(classes, int(self.labels.max()))
        self.members = {int(k): np.flatnonzero(self.labels == k) for k in np.unique(self.labels)}
        counts = np.bincount(self.labels)
        self.chance = float((counts * (counts - 1)).sum() / (n * (n - 1)))
        self.layers = {str(name): _neighbours(name, x, n) for name, x in by_layer.items()}
        nearest = {name: layer.nearest(range(n), 1)[0][:, 0] for name, layer in self.layers.items()}
        self.shares = {k: float((self.labels[i] == self.labels).mean()) for k, i in nearest.items()}
        self.maps = FlatMaps({name: layer.x for name, layer in self.layers.items()})
        self.pictures = [_shrunk(pictures[i], i) for i in range(n)]
        self.uris = [webp_uri(picture) for picture in self.pictures]
        self.small = self.thumbnails(thumbnail_side(n))

    def class_of(self, picture: int) -> str:
        """Name of a picture's class."""
        return self.classes[self.labels[picture]]

    def nearest(self, picture: int, layer: str, n: int) -> list[int]:
        """Find the `n` pictures that are nearest to one, or all others, the nearest first."""
        return self.layers[layer].nearest([picture], min(n, len(self.labels) - 1))[0][0].tolist()

    def thumbnails(self, side: int) -> list[Image.Image]:
        """Make a thumbnail of each picture."""
        labels = self.labels.tolist()
        return [thumbnail(p, label, side) for p, label in zip(self.pictures, labels, strict=True)]

    def legend(self) -> dict[int, str]:
        """Class number -> the number, as the thumbnails have it, and the name."""
        names = {k: self.classes[k] for k in self.members}
        return {k: name if name == str(k) else f"{k} {name}" for k, name in names.items()}


def _count(pictures: Any) -> int:
    n = len(pictures) if _is_list(pictures) else 0
    if not _FEWEST <= n <= _MOST:
        raise CourseError(
            f"The neighbour explorer needs a list of {_FEWEST} to {_MOST} pictures, or a split of a "
            f"task such as task.val, got {n or type(pictures).__name__}. "
            "To use some of a split: split.take(range(0, len(split), 2)), and these features, too."
        )
    return n


def _is_list(values: Any) -> bool:
    return hasattr(values, "__getitem__") and not isinstance(values, Mapping | str)


def _labels(labels: Any, n: int) -> np.ndarray:
    try:
        numbers = np.array([index(label) for label in labels])
    except TypeError:  # not a list, or not of whole numbers
        numbers = np.array([])
    if len(numbers) != n or not 0 <= numbers.min() <= numbers.max() < _CLASSES:
        raise CourseError(
            f"The neighbour explorer needs the class of each of the {n} pictures as a whole number "
            f"from 0 to {_CLASSES - 1}. Pass labels=, or a split of a task."
        )
    return numbers


def _names(classes: Any, largest: int) -> tuple[str, ...]:
    if classes is None:
        classes = range(largest + 1)
    n = len(classes) if _is_list(classes) else 0
    if n <= largest:
        raise CourseError(
            "Class names must be a list, such as task.classes, with a name for each class from 0 to "
            f"{largest}, got {n or type(classes).__name__}."
        )
    return tuple(map(str, classes))


def _neighbours(layer: object, features: Any, n: int) -> Neighbours:
    try:
        neighbours = Neighbours(torch.as_tensor(features, dtype=torch.float64))
    except (TypeError, ValueError, RuntimeError) as error:  # no numbers, or not (N, C)
        raise CourseError(f"The features of {layer} cannot be used. {error}") from error
    x = neighbours.x
    if len(x) != n or x.shape[1] < 2 or not x.any():
        raise CourseError(
            f"The features of {layer}, of shape {x.shape}, make no map of {n} pictures: it takes a "
            "row for each picture, 2 numbers or more in a row, and rows that differ."
        )
    return neighbours


def _shrunk(item: Any, number: int) -> Image.Image:
    picture = only_picture(item)
    if not isinstance(picture, Image.Image):
        raise CourseError(
            f"Picture {number} is no picture but a {type(picture).__name__}. Open a file with "
            "tl.open_picture(path); make a picture of a uint8 array with PIL.Image.fromarray(array)."
        )
    return Image.fromarray(pixels(picture, _SIDE))
