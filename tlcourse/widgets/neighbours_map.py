"""What the neighbour explorer knows of a task, and its flat map: thumbnails where features put them."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from tlcourse.errors import CourseError
from tlcourse.explain.excitation import only_picture
from tlcourse.features.features import Features
from tlcourse.features.neighbours import Neighbours
from tlcourse.plots.figure import pixels, style
from tlcourse.widgets.tiles import webp_uri

SIZE = (960, 720)  # pixels of a map; it is shown smaller, so it stays sharp on a fine screen
MARGIN = 56  # pixels that stay free around the places
_SIDE = 112  # pixels of the pictures that are kept
_FEWEST, _MOST = 4, 1000  # pictures; more make neither a readable map nor a quick one
_CLASSES = 10_000  # at most; a larger label is a year or an id, not a class
_SHARE = 0.35  # of the map that its thumbnails would cover if none overlapped
_SIDES = (30, 60)  # pixels of a thumbnail, least and most
_LARGE = (64, 88)  # the same of the first of the marked ones


class KnownTask:
    """All that the explorer needs, so that the task itself need not be kept.

    The axes of a flat map have no meaning of their own. So that the pictures move and do not jump
    from layer to layer, the PCA map of each layer is turned and mirrored to lie as well as it can
    on that of the layer before, and each t-SNE map on the PCA map of its layer.
    """

    def __init__(
        self,
        features: Mapping[str, Any] | Features,
        pictures: Sequence[Any],
        labels: Sequence[int] | None,
        classes: Sequence[str] | None,
    ) -> None:
        from sklearn.decomposition import PCA

        by_layer = features.x if isinstance(features, Features) else features
        if not isinstance(by_layer, Mapping) or not by_layer:
            raise CourseError(
                "Features must be a dict with at least one layer: name of a layer -> (N, C), "
                f"got {type(features).__name__}."
            )
        self.pictures = _shrunk(pictures)
        n = len(self.pictures)
        self.labels = _labels(getattr(pictures, "labels", None) if labels is None else labels, n)
        largest = int(self.labels.max())
        self.classes = tuple(map(str, range(largest + 1) if classes is None else classes))
        if isinstance(classes, str | Mapping) or len(self.classes) <= largest:
            raise CourseError(
                f"Class names must be a list: a name for each class from 0 to {largest}."
            )
        self.members = {int(k): np.flatnonzero(self.labels == k) for k in np.unique(self.labels)}
        counts = np.bincount(self.labels)
        self.chance = float((counts * (counts - 1)).sum() / (n * (n - 1)))  # that two are alike
        self.layers = {str(name): _neighbours(name, x, n) for name, x in by_layer.items()}
        self.uris = [webp_uri(picture) for picture in self.pictures]
        self.small = self.thumbnails(thumbnail_side(n))
        self.shares: dict[str, float] = {}  # of pictures whose nearest one is alike
        self.kept: dict[str, float] = {}  # of the variance, by the PCA map
        self.maps: dict[tuple[str, str], np.ndarray] = {}
        before = None
        for name, layer in self.layers.items():
            nearest = layer.nearest(range(n), 1)[0][:, 0]
            self.shares[name] = float((self.labels[nearest] == self.labels).mean())
            pca = PCA(2, random_state=0)
            points = pca.fit_transform(layer.x)
            before = self.maps[name, "PCA"] = points if before is None else laid_on(points, before)
            self.kept[name] = float(pca.explained_variance_ratio_.sum())

    def class_of(self, picture: int) -> str:
        """Name of a picture's class."""
        return self.classes[self.labels[picture]]

    def nearest(self, picture: int, layer: str, n: int) -> list[int]:
        """Find the `n` pictures that are nearest to one, or all others, the nearest first."""
        return self.layers[layer].nearest([picture], min(n, len(self.labels) - 1))[0][0].tolist()

    def legend(self) -> dict[int, str]:
        """Class number -> the number, as the thumbnails have it, and the name."""
        names = {k: self.classes[k] for k in self.members}
        return {k: name if name == str(k) else f"{k} {name}" for k, name in names.items()}

    def points(self, layer: str, way: str) -> np.ndarray:
        """Return the places (N, 2) by "PCA" or "t-SNE"; each map is computed once and kept."""
        if (layer, way) not in self.maps:
            points = _tsne(self.layers[layer].x)
            self.maps[layer, way] = laid_on(points, self.maps[layer, "PCA"])
        return self.maps[layer, way]

    def thumbnails(self, side: int) -> list[Image.Image]:
        """Make a thumbnail of each picture."""
        return [thumbnail(p, k, side) for p, k in zip(self.pictures, self.labels, strict=True)]

    def marked_thumbnails(self, marked: Sequence[int], side: int) -> dict[int, Image.Image]:
        """Make the thumbnails of some pictures in a double frame; the first of them is large.

        Around the frame in the colour of the class is a gap, and around that a black frame. So a
        picture of a class whose own colour is black looks different, too.
        """
        made = {}
        for i in marked:
            wide = int(np.clip(1.6 * side, *_LARGE)) if i == marked[0] else side
            made[i] = thumbnail(self.pictures[i], self.labels[i], wide)
            for width, colour in ((3, "white"), (5, "black"), (2, "white")):
                made[i] = ImageOps.expand(made[i], width, colour)
        return made


def _shrunk(pictures: Any) -> list[Image.Image]:
    n = len(pictures) if hasattr(pictures, "__len__") else 0
    if not _FEWEST <= n <= _MOST:
        raise CourseError(
            f"The neighbour explorer needs a list of {_FEWEST} to {_MOST} pictures, or a split of a "
            f"task such as task.val, got {n or type(pictures).__name__}. "
            "To use some of a split: split.take(range(0, len(split), 2)), and these features, too."
        )
    return [Image.fromarray(pixels(only_picture(item), _SIDE)) for item in pictures]


def _labels(given: Any, n: int) -> np.ndarray:
    labels = np.asarray(given)
    whole = labels.shape == (n,) and labels.dtype.kind in "biu"
    if not whole or not 0 <= labels.min() <= labels.max() < _CLASSES:
        raise CourseError(
            f"The neighbour explorer needs the class of each of the {n} pictures as a whole number "
            f"from 0 to {_CLASSES - 1}. Pass labels=, or a split of a task."
        )
    return labels.astype(int)


def _neighbours(layer: object, features: Any, n: int) -> Neighbours:
    neighbours = Neighbours(torch.as_tensor(features, dtype=torch.float64))
    x = neighbours.x
    if len(x) != n or x.shape[1] < 2 or not x.any():
        raise CourseError(
            f"The features of {layer}, of shape {x.shape}, make no map of {n} pictures: it takes a "
            "row for each picture, 2 numbers or more in a row, and rows that differ."
        )
    return neighbours


def laid_on(points: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Turn and mirror (N, 2) places so that they lie as well as they can on others."""
    from scipy.linalg import orthogonal_procrustes

    centred = points - points.mean(axis=0)
    return centred @ orthogonal_procrustes(centred, other - other.mean(axis=0))[0]


def _tsne(x: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    tsne = TSNE(2, init="pca", perplexity=min(30.0, (len(x) - 1) / 3), random_state=0)
    return tsne.fit_transform(x).astype(np.float64)


def share_on_map(points: np.ndarray, labels: np.ndarray) -> float:
    """Share of the (N, 2) places whose nearest other one has their label."""
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=1).fit(points).kneighbors(return_distance=False)
    return float((labels[nearest[:, 0]] == labels).mean())


def places(points: np.ndarray, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Where (N, 2) places lie on a map of so many pixels, as shares of its width and height."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array(size) - 2 * MARGIN
    scale = (room / np.maximum(high - low, 1e-12)).min()  # the same one in both directions
    return 0.5 + (points - (low + high) / 2) * scale * [1, -1] / size


def thumbnail_side(n: int, size: tuple[int, int] = SIZE) -> int:
    """Pixels of the side of a thumbnail, so that `n` of them find room on a map."""
    return int(np.clip(np.sqrt(_SHARE * size[0] * size[1] / n), *_SIDES))


def thumbnail(picture: Image.Image, label: int, side: int) -> Image.Image:
    """Shrink an RGB picture, frame it in the colour of its label and write its number on it."""
    width = max(2, side // 12)
    small = ImageOps.contain(picture, (side - 2 * width - 2,) * 2)
    small = ImageOps.expand(ImageOps.expand(small, width, style(label)["color"]), 1, "white")
    draw, font = ImageDraw.Draw(small), _font(min(max(0.45 * side, 15), 24))
    box = draw.textbbox((1, 1), str(label), font=font, anchor="lt")
    draw.rectangle((0, 0, box[2] + 1, box[3] + 1), fill="white")
    draw.text((1, 1), str(label), fill="black", font=font, anchor="lt")
    return small


_font = cache(ImageFont.load_default)


def draw_map(
    where: np.ndarray,
    small: Sequence[Image.Image],
    size: tuple[int, int] = SIZE,
    on_top: Mapping[int, Image.Image] | None = None,
) -> Image.Image:
    """Put each thumbnail at its place (N, 2), in shares of the map's width and height.

    `on_top` lies above all at the places of some pictures, the first one uppermost.
    """
    canvas = Image.new("RGB", size, "white")
    # In an order drawn once, so that no class lies on top of the others.
    order = np.random.default_rng(0).permutation(len(small)).tolist()
    for i, picture in [*((i, small[i]) for i in order), *[*(on_top or {}).items()][::-1]]:
        x, y = where[i] * size - np.array(picture.size) / 2
        canvas.paste(picture, (round(x), round(y)))
    return canvas
