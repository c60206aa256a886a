"""A flat map of a whole task: each picture as a thumbnail where its features put it."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from tlcourse.plots.figure import COLOURS

SIZE = (960, 720)  # pixels of a map; it is shown smaller, so it stays sharp on a fine screen
MARGIN = 56  # pixels that stay free around the places
_SHARE = 0.35  # of the map that its thumbnails would cover if none overlapped
_SIDES = (30, 60)  # pixels of a thumbnail, least and most
_LARGE = (64, 88)  # the same of the first of the marked ones


class FlatMaps:
    """Places of all pictures of a task in a plane, for each layer, by PCA or by t-SNE.

    The axes of such a plane have no meaning of their own. So that the pictures move and do not jump
    from layer to layer, the PCA map of each layer is turned and mirrored to lie as well as it can
    on that of the layer before, and each t-SNE map on the PCA map of its layer.

    Attributes:
        kept: Layer -> share of the variance of its features that its PCA map holds.
    """

    def __init__(self, layers: Mapping[str, np.ndarray]) -> None:
        from sklearn.decomposition import PCA

        self._layers = dict(layers)
        self._maps: dict[tuple[str, str], np.ndarray] = {}
        self.kept: dict[str, float] = {}
        before = None
        for name, x in layers.items():
            pca = PCA(2, random_state=0)
            points = pca.fit_transform(x)
            before = points if before is None else laid_on(points, before)
            self._maps[name, "PCA"] = before
            self.kept[name] = float(pca.explained_variance_ratio_.sum())

    def known(self, layer: str, way: str) -> bool:
        """Whether a map is there already; a new t-SNE takes seconds and cannot be interrupted."""
        return (layer, way) in self._maps

    def points(self, layer: str, way: str) -> np.ndarray:
        """Return the places (N, 2) by "PCA" or "t-SNE"; each map is computed once and kept."""
        if not self.known(layer, way):
            points = _tsne(self._layers[layer])
            self._maps[layer, way] = laid_on(points, self._maps[layer, "PCA"])
        return self._maps[layer, way]


def laid_on(points: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Turn and mirror (N, 2) places so that they lie as well as they can on others."""
    from scipy.linalg import orthogonal_procrustes

    centred = points - points.mean(axis=0)
    return centred @ orthogonal_procrustes(centred, other - other.mean(axis=0))[0]


def share_on_map(points: np.ndarray, labels: np.ndarray) -> float:
    """Share of the (N, 2) places whose nearest other one has their label."""
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=1).fit(points).kneighbors(return_distance=False)
    return float((labels[nearest[:, 0]] == labels).mean())


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


def thumbnail(picture: Image.Image, label: int, side: int) -> Image.Image:
    """Shrink an RGB picture, frame it in the colour of its label and write its number on it."""
    width = max(2, side // 12)
    small = ImageOps.contain(picture, (side - 2 * width - 2,) * 2)
    small = ImageOps.expand(ImageOps.expand(small, width, colour_of(label)), 1, "white")
    draw, font = ImageDraw.Draw(small), _font(min(max(0.45 * side, 15), 24))
    box = draw.textbbox((1, 1), str(label), font=font, anchor="lt")
    draw.rectangle((0, 0, box[2] + 1, box[3] + 1), fill="white")
    draw.text((1, 1), str(label), fill="black", font=font, anchor="lt")
    return small


def marked_thumbnails(
    pictures: Sequence[Image.Image], labels: np.ndarray, marked: Sequence[int], side: int
) -> dict[int, Image.Image]:
    """Make the thumbnails of some pictures in a double frame; the first of them is large.

    Around the frame in the colour of the class is a gap, and around that a black frame. So a
    picture of a class whose own colour is black looks different, too.
    """
    made = {}
    for i in marked:
        wide = int(np.clip(1.6 * side, *_LARGE)) if i == marked[0] else side
        made[i] = thumbnail(pictures[i], labels[i], wide)
        for width, colour in ((3, "white"), (5, "black"), (2, "white")):
            made[i] = ImageOps.expand(made[i], width, colour)
    return made


def colour_of(label: int) -> str:
    """Colour of the frame of a label."""
    return COLOURS[label % len(COLOURS)]


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
    layers = [(i, small[i]) for i in order] + [*(on_top or {}).items()][::-1]
    for i, picture in layers:
        x, y = where[i] * size - np.array(picture.size) / 2
        canvas.paste(picture, (round(x), round(y)))
    return canvas


def _tsne(x: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(x) - 1) / 3)
    tsne = TSNE(2, init="pca", perplexity=perplexity, random_state=0)
    return tsne.fit_transform(x).astype(np.float64)


@cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
