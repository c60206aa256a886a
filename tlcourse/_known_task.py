"""What the neighbour explorer knows of a task: small pictures, classes, neighbours, flat maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from tlcourse._figures import pixels
from tlcourse._task_map import FlatMaps, own_class_share, repeated, thumbnail_side, thumbnails
from tlcourse._tiles import webp_uri
from tlcourse.errors import CourseError
from tlcourse.excitation import only_picture
from tlcourse.neighbours import Neighbours

_SIDE = 112  # pixels of the pictures that are kept
_FEWEST, _MOST = 4, 1000  # pictures; more make neither a readable map nor a quick one


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
        """Class number -> its name, after the number if the thumbnails have it."""
        names = {k: self.classes[k] for k in self.members}
        if repeated(self.labels):
            names = {k: name if name == str(k) else f"{k} {name}" for k, name in names.items()}
        return names


def know(
    features: Mapping[str, Any],
    pictures: Sequence[Any],
    labels: Sequence[int] | None,
    classes: Sequence[str] | None,
) -> KnownTask:
    """Check what the explorer was given and compute what does not take long.

    Args:
        features: Layer -> (N, C), from shallow to deep.
        pictures: The N pictures, or (picture, label) pairs such as a `Split`.
        labels: The N class numbers; None for those of the `Split`.
        classes: Class names; None for the numbers.

    Raises:
        CourseError: Shapes and numbers do not fit together.
    """
    if not features:
        raise CourseError("There are no features. Pass at least one layer: name -> (N, C).")
    if not _FEWEST <= len(pictures) <= _MOST:
        raise CourseError(
            f"The neighbour explorer needs {_FEWEST} to {_MOST} pictures, got {len(pictures)}. "
            "To use some of a split: split.take(range(0, len(split), 2)), and these features, too."
        )
    for name, values in features.items():
        if len(values) != len(pictures):
            raise CourseError(
                f"{name} has features of {len(values)} pictures, but there are {len(pictures)}."
            )
    numbers, names = _classes(pictures, labels, classes)
    layers = {name: _neighbours(name, values) for name, values in features.items()}
    every = range(len(pictures))
    shrunk = [Image.fromarray(pixels(only_picture(pictures[i]), _SIDE)) for i in every]
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


def _neighbours(name: str, values: Any) -> Neighbours:
    try:
        found = Neighbours(values)
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
    if labels is None or len(labels) != len(pictures):
        got = "none" if labels is None else len(labels)
        raise CourseError(
            f"The neighbour explorer needs the class of each of the {len(pictures)} pictures as a "
            f"number, got {got}. Pass labels=, or a split of a task."
        )
    numbers = np.asarray(labels)
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer) or numbers.min() < 0:
        raise CourseError("Labels must be whole numbers from 0, one for each picture.")
    most = int(numbers.max())
    names = tuple(map(str, range(most + 1) if classes is None else classes))
    if most >= len(names):
        raise CourseError(
            f"Label {most} has no name: there are {len(names)} class names, for 0 to "
            f"{len(names) - 1}."
        )
    return numbers, names
