"""A flat map of a whole task: each picture as a thumbnail where its features put it."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from tlcourse.plots.figure import COLOURS, Figure, draw_picture, drawing, new_figure

if TYPE_CHECKING:
    from tlcourse.widgets.neighbours_data import KnownTask

SIZE = (960, 720)  # pixels of a map; it is shown smaller, so it stays sharp on a fine screen
MARGIN = 56  # pixels that stay free around the places
_SHARE = 0.35  # of the map that its thumbnails would cover if none overlapped
_SIDES = (30, 60)  # pixels of a thumbnail, least and most
_LETTERS = 105  # of the legend of a figure beside each other; a colour takes the room of 6
_LARGE = (64, 88)  # the same of the first of the marked ones


class FlatMaps:
    """Places of all pictures of a task in a plane, for each layer, by PCA or by t-SNE.

    The axes of such a plane have no meaning of their own: each map could as well be mirrored or
    turned. So the PCA map of each layer is turned and mirrored to lie as well as it can on that of
    the layer before (orthogonal Procrustes), and each t-SNE map on the PCA map of its layer. From
    layer to layer the pictures then move and do not jump. Distances on a map stay what they are.

    Args:
        layers: Layer -> standardised features (N, C), from shallow to deep; at least 4 pictures
            and 2 numbers for each.

    Attributes:
        kept: Layer -> share of the variance of its features that its PCA map holds.
    """

    def __init__(self, layers: Mapping[str, np.ndarray]) -> None:
        from sklearn.decomposition import PCA

        self._layers = dict(layers)
        self._found: dict[tuple[str, str], np.ndarray] = {}
        self.kept: dict[str, float] = {}
        before = None
        for name, x in layers.items():
            pca = PCA(2, random_state=0)
            points = pca.fit_transform(x)
            before = points if before is None else laid_on(points, before)
            self._found[name, "PCA"] = before
            self.kept[name] = float(pca.explained_variance_ratio_.sum())

    def known(self, layer: str, way: str) -> bool:
        """Whether a map is there already; a new t-SNE takes seconds and cannot be interrupted."""
        return (layer, way) in self._found

    def points(self, layer: str, way: str) -> np.ndarray:
        """Places (N, 2) by "PCA" or "t-SNE"; each map is computed once and kept."""
        if not self.known(layer, way):
            points = _tsne(self._layers[layer])
            self._found[layer, way] = laid_on(points, self._found[layer, "PCA"])
        return self._found[layer, way]


def laid_on(points: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Turn and mirror (N, 2) places so that they lie as well as they can on others."""
    from scipy.linalg import orthogonal_procrustes

    centred = points - points.mean(axis=0)
    return centred @ orthogonal_procrustes(centred, other - other.mean(axis=0))[0]


def own_class_share(nearest: np.ndarray, labels: np.ndarray) -> float:
    """Share of pictures whose nearest other picture, given by its index (N,), has their label."""
    return float((labels[nearest] == labels).mean())


def nearest_on_map(points: np.ndarray) -> np.ndarray:
    """Index of the nearest other picture for each of the (N, 2) places."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=1).fit(points).kneighbors(return_distance=False)[:, 0]


def chance(labels: np.ndarray) -> float:
    """Share of pictures with their own label beside them, if who is beside whom were drawn."""
    counts = np.bincount(labels)
    return float((counts * (counts - 1)).sum() / (len(labels) * (len(labels) - 1)))


def places(points: np.ndarray, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Where (N, 2) places lie on a map of so many pixels, as shares of its width and height.

    One scale serves both directions.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array(size) - 2 * MARGIN
    scale = (room / np.maximum(high - low, 1e-12)).min()
    return 0.5 + (points - (low + high) / 2) * scale * [1, -1] / size


def thumbnail_side(n: int, size: tuple[int, int] = SIZE) -> int:
    """Pixels of the side of a thumbnail, so that `n` of them find room on a map."""
    return int(np.clip(np.sqrt(_SHARE * size[0] * size[1] / n), *_SIDES))


def thumbnails(pictures: Sequence[Image.Image], labels: np.ndarray, side: int) -> list[Image.Image]:
    """Shrink RGB pictures, frame each in the colour of its label and write its number on it."""
    width = max(2, side // 12)
    made = []
    for picture, label in zip(pictures, labels, strict=True):
        small = ImageOps.contain(picture, (side - 2 * width - 2,) * 2)
        small = ImageOps.expand(ImageOps.expand(small, width, colour_of(label)), 1, "white")
        _write_number(small, int(label), side)
        made.append(small)
    return made


def marked_thumbnails(
    known: "KnownTask", marked: Sequence[int], side: int
) -> dict[int, Image.Image]:
    """Make the thumbnails of some pictures in a double frame; the first of them is large.

    Around the frame in the colour of the class is a gap, and around that a black frame. So a
    picture of a class whose own colour is black looks different, too.
    """
    made = {}
    for i in marked:
        wide = int(np.clip(1.6 * side, *_LARGE)) if i == marked[0] else side
        picture = thumbnails([known.pictures[i]], known.labels[[i]], wide)[0]
        for width, colour in ((3, "white"), (5, "black"), (2, "white")):
            picture = ImageOps.expand(picture, width, colour)
        made[i] = picture
    return made


def colour_of(label: int) -> str:
    """Colour of the frame of a label."""
    return COLOURS[int(label) % len(COLOURS)]


def repeated(labels: np.ndarray) -> bool:
    """Whether there are more classes than colours."""
    return bool(labels.max() >= len(COLOURS))


def draw_map(
    where: np.ndarray,
    small: Sequence[Image.Image],
    size: tuple[int, int] = SIZE,
    on_top: Mapping[int, Image.Image] | None = None,
) -> Image.Image:
    """Put each thumbnail at its place.

    Args:
        where: Places (N, 2), as shares of the map's width and height.
        small: The N thumbnails.
        size: Width and height in pixels.
        on_top: Index -> what lies on top at the place of this picture; the first one above all.
    """
    canvas = Image.new("RGB", size, "white")

    def put(i: int, picture: Image.Image) -> None:
        x, y = where[i] * size - np.array(picture.size) / 2
        canvas.paste(picture, (round(x), round(y)))

    # In an order drawn once, so that no class lies on top of the others.
    for i in np.random.default_rng(0).permutation(len(small)):
        put(i, small[i])
    for i, picture in reversed((on_top or {}).items()):
        put(i, picture)
    return canvas


def map_text(labels: np.ndarray, points: np.ndarray, layer: str) -> str:
    """Say in words what a map (N, 2) shows."""
    share = own_class_share(nearest_on_map(points), labels)
    return (
        f"{len(labels)} pictures as thumbnails, placed by the features of {layer}. For {share:.0%} "
        f"of them the nearest one on the map is of their own class ({chance(labels):.0%} by chance)"
    )


@drawing
def maps_figure(
    known: "KnownTask", layers: Sequence[str], marked: Sequence[int], credit: str
) -> Figure:
    """Draw the PCA maps of some layers side by side.

    Args:
        known: The task.
        layers: One or two of its layers.
        marked: Pictures to show in a double frame, the first one large.
        credit: A line below the figure.
    """
    from matplotlib.patches import Patch

    size = (1760 // len(layers), 800)  # twice what is shown
    side = int(1.2 * thumbnail_side(len(known.labels), size))
    small = thumbnails(known.pictures, known.labels, side)
    on_top = marked_thumbnails(known, marked, side)
    figure = new_figure(
        6.2,
        title=f"All {len(small)} pictures, placed by the features of a layer (PCA). In percent: "
        "pictures whose nearest one,\nby all its features, is of the same class "
        f"(by chance {chance(known.labels):.0%})",
    )
    grid = figure.subplots(1, len(layers), squeeze=False)[0]
    for axes, layer in zip(grid, layers, strict=True):
        where = places(known.maps.points(layer, "PCA"), size)
        picture = np.asarray(draw_map(where, small, size, on_top))
        draw_picture(axes, picture, f"{layer}: {known.shares[layer]:.0%}", frame=True)
    said = f"In a double frame: a picture, large, and its {len(marked) - 1} nearest by {layers[-1]}"
    grid[0].set_xlabel(said, size=9, loc="left")
    if credit:
        grid[-1].set_xlabel(credit if len(layers) > 1 else f"{said}. {credit}", size=9, loc="right")
    handles = [
        Patch(facecolor="white", edgecolor=colour_of(kind), linewidth=3, label=name)
        for kind, name in known.legend().items()
    ]
    longest = max(len(handle.get_label()) for handle in handles)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), max(1, _LETTERS // (longest + 6))),
    )
    texts = [
        f"{map_text(known.labels, known.maps.points(layer, 'PCA'), layer)}; by all features it is "
        f"{known.shares[layer]:.0%}"
        for layer in layers
    ]
    figure.alt = (
        f"Maps by PCA. {'. '.join(texts)}. In a double frame: a picture of the class "
        f"{known.class_of(marked[0])} and its {len(marked) - 1} nearest by {layers[-1]}."
    )
    return figure


def _tsne(x: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(x) - 1) / 3)
    tsne = TSNE(2, init="pca", perplexity=perplexity, random_state=0)
    return tsne.fit_transform(x).astype(np.float64)


@cache
def _font(size: float) -> Any:
    return ImageFont.load_default(size)


def _write_number(picture: Image.Image, number: int, side: int) -> None:
    draw: Any = ImageDraw.Draw(picture)
    font = _font(min(max(0.45 * side, 15), 24))
    box = draw.textbbox((1, 1), str(number), font=font, anchor="lt")
    draw.rectangle((0, 0, box[2] + 1, box[3] + 1), fill="white")
    draw.text((1, 1), str(number), fill="black", font=font, anchor="lt")
