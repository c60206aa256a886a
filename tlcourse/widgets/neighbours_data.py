"""What the neighbour explorer knows of a task: small pictures, classes, neighbours, flat maps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from tlcourse.errors import CourseError
from tlcourse.explain.excitation import only_picture
from tlcourse.features.features import Features
from tlcourse.features.neighbours import Neighbours
from tlcourse.plots.figure import pixels
from tlcourse.widgets.neighbours_map import (
    FlatMaps,
    own_class_share,
    thumbnail_side,
    thumbnails,
)
from tlcourse.widgets.tiles import webp_uri

_SIDE = 112  # pixels of the pictures that are kept
_FEWEST, _MOST = 4, 1000  # pictures; more make neither a readable map nor a quick one
_CLASSES = 10_000  # at most; a larger label is a year or an id, not a class


@dataclass(frozen=True)
class KnownTask:
    """All that the explorer needs, so that the task itself need not be kept.

    Attributes:
        labels: (N,) class numbers.
        classes: Their names.
        members: Class number -> indices of its pictures, for each class that has any.
        pictures: The N pictures, shrunk.
        uris: The same, encoded.
        small: The same as thumbnails, framed in the colours of their classes.
        layers: Layer -> its neighbours.
        shares: Layer -> share of pictures whose nearest one is of their own class.
        maps: The flat maps of all layers.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    members: dict[int, np.ndarray]
    pictures: list[Image.Image]
    uris: list[str]
    small: list[Image.Image]
    layers: dict[str, Neighbours]
    shares: dict[str, float]
    maps: FlatMaps

    def __len__(self) -> int:
        return len(self.labels)

    def class_of(self, index: int) -> str:
        """Name of a picture's class."""
        return self.classes[self.labels[index]]

    def legend(self) -> dict[int, str]:
        """Class number -> the number, as the thumbnails have it, and the name."""
        names = {k: self.classes[k] for k in self.members}
        return {k: name if name == str(k) else f"{k} {name}" for k, name in names.items()}


def know(
    features: Mapping[str, Any] | Features,
    pictures: Sequence[Any],
    labels: Sequence[int] | None,
    classes: Sequence[str] | None,
) -> KnownTask:
    """Check what the explorer was given and compute what does not take long.

    Args:
        features: Layer -> (N, C), from shallow to deep; or the `Features` that hold them.
        pictures: The N pictures, or (picture, label) pairs such as a `Split`.
        labels: The N class numbers; None for those of the `Split`.
        classes: Class names; None for the numbers.

    Raises:
        CourseError: Shapes and numbers do not fit together.
    """
    if isinstance(features, Features):
        features = features.x
    if not isinstance(features, Mapping):
        raise CourseError(
            "Features must be a dict: name of a layer -> (N, C), as `x` of what extract_features "
            f"returns, got {type(features).__name__}."
        )
    if not features:
        raise CourseError("There are no features. Pass at least one layer: name -> (N, C).")
    _check_pictures(pictures)
    numbers, names = _classes(pictures, labels, classes)
    every = range(len(pictures))
    layers = {
        str(name): _neighbours(name, values, len(pictures)) for name, values in features.items()
    }
    shrunk = [_shrunk(pictures[i], i) for i in every]
    return KnownTask(
        labels=numbers,
        classes=names,
        members={int(k): np.flatnonzero(numbers == k) for k in np.unique(numbers)},
        pictures=shrunk,
        uris=[webp_uri(picture) for picture in shrunk],
        small=thumbnails(shrunk, numbers, thumbnail_side(len(shrunk))),
        layers=layers,
        shares={
            name: own_class_share(layer.nearest(every, 1)[0][:, 0], numbers)
            for name, layer in layers.items()
        },
        maps=FlatMaps({name: layer.x for name, layer in layers.items()}),
    )


def _check_pictures(pictures: Any) -> None:
    if isinstance(pictures, Mapping | str) or not (
        hasattr(pictures, "__len__") and hasattr(pictures, "__getitem__")
    ):
        raise CourseError(
            "Pictures must be a list of pictures, or a split of a task such as task.val, "
            f"got {type(pictures).__name__}."
        )
    if not _FEWEST <= len(pictures) <= _MOST:
        raise CourseError(
            f"The neighbour explorer needs {_FEWEST} to {_MOST} pictures, got {len(pictures)}. "
            "To use some of a split: split.take(range(0, len(split), 2)), and these features, too."
        )


def _shrunk(item: Any, number: int) -> Image.Image:
    picture = only_picture(item)
    if not isinstance(picture, Image.Image):
        raise CourseError(
            f"Picture {number} is none but a {type(picture).__name__}. Open a file with "
            "PIL.Image.open(path); make a picture of a uint8 array with PIL.Image.fromarray(array)."
        )
    return Image.fromarray(pixels(picture, _SIDE))


def _array(values: Any) -> np.ndarray | None:
    """Numbers as an array; None for what is no array."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values  # bfloat16, too
    try:
        return np.asarray(values)
    except (TypeError, ValueError):  # rows of different lengths
        return None


def _neighbours(name: Any, values: Any, count: int) -> Neighbours:
    x = _array(values)
    if x is None or not x.ndim or x.dtype.kind not in "fiub":
        raise CourseError(
            f"The features of {name} must be numbers of shape (N, C), one row for each picture, "
            f"got {type(values).__name__}{' with rows of different lengths' if x is None else ''}."
        )
    if len(x) != count:
        raise CourseError(f"{name} has features of {len(x)} pictures, but there are {count}.")
    try:
        found = Neighbours(x)
    except CourseError as error:
        raise CourseError(f"The features of {name} cannot be used. {error}") from error
    if found.x.shape[1] < 2 or not found.x.any():
        raise CourseError(
            f"The features of {name} make no map: it takes 2 numbers or more for each picture, "
            "and not the same for all pictures."
        )
    return found


def _classes(
    pictures: Sequence[Any], labels: Sequence[int] | None, classes: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    labels = getattr(pictures, "labels", None) if labels is None else labels
    numbers = None if labels is None else _array(labels)
    if labels is None or (numbers is not None and numbers.shape[:1] != (len(pictures),)):
        got = "none" if numbers is None else len(numbers) if numbers.ndim else repr(labels)
        raise CourseError(
            f"The neighbour explorer needs the class of each of the {len(pictures)} pictures as a "
            f"number, got {got}. Pass labels=, or a split of a task."
        )
    if (
        numbers is None
        or numbers.ndim != 1
        or numbers.dtype.kind not in "iu"
        or not 0 <= numbers.min() <= numbers.max() < _CLASSES
    ):
        raise CourseError(
            f"Labels must be whole numbers from 0 to {_CLASSES - 1}, one for each picture."
        )
    most = int(numbers.max())
    if isinstance(classes, Mapping | str) or not isinstance(classes, Iterable | None):
        raise CourseError(
            "Class names must be a list, the name of class 0 first, such as task.classes, "
            f"got {type(classes).__name__}."
        )
    names = tuple(map(str, range(most + 1) if classes is None else classes))
    if most >= len(names):
        raise CourseError(
            f"Label {most} has no name: there are {len(names)} class names. Pass one for each "
            f"class from 0 to {most}."
        )
    return numbers.astype(np.int64), names
