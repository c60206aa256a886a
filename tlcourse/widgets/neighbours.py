"""See by hand which pictures are alike for a shallow and a deep layer (notebook 01)."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np

from tlcourse.features.features import Features
from tlcourse.plots.figure import Figure
from tlcourse.widgets.controls import Steps
from tlcourse.widgets.explorer import Explorer, Stale, on_change, panel
from tlcourse.widgets.neighbours_data import KnownTask, know
from tlcourse.widgets.neighbours_map import (
    SIZE,
    chance,
    colour_of,
    draw_map,
    map_text,
    maps_figure,
    marked_thumbnails,
    nearest_on_map,
    own_class_share,
    places,
    repeated,
    thumbnail_side,
)
from tlcourse.widgets.tiles import row, tile, webp_uri

_SHOWN = 6  # neighbours by each layer
_WIDTH = SIZE[0] * 3 // 4  # of the map on the page, in its pixels
_MOST_BYTES = 70_000  # of the map, which a slider may ask for ten times in a second


class NeighbourExplorer(Explorer):
    """Choose a picture; see its neighbours by two layers, and all pictures on a map of a layer.

    Neighbours and PCA maps are computed at the beginning, a t-SNE map when it is first asked for.
    The map is sent only when it is another one; the chosen picture lies over it.

    Args:
        features: Layer name -> (N, C), from shallow to deep, or what `extract_features` gave.
        pictures: The N pictures, or (picture, label) pairs such as a `Split`.
        labels: The N class numbers; by default those of the `Split`.
        classes: Class names; by default the numbers.
        credit: Who made the pictures; shown below them.

    Raises:
        CourseError: Shapes and numbers do not fit together.
    """

    def __init__(
        self,
        features: Mapping[str, Any] | Features,
        pictures: Sequence[Any],
        *,
        labels: Sequence[int] | None = None,
        classes: Sequence[str] | None = None,
        credit: str = "",
    ) -> None:
        known = know(features, pictures, labels, classes)
        self._known: KnownTask | None = known
        self._credit = credit
        self._counts = {kind: len(members) for kind, members in known.members.items()}
        self._on_page: tuple[str, str] | None = None  # layer and way of the map that is there
        names = list(known.layers)
        self.kind = _dropdown("Class", [(known.classes[i], i) for i in known.members])
        self.number = Steps("Picture", self._numbers())
        self.shallow = Steps("Shallow layer", names)
        self.deep = Steps("Deep layer", names, len(names) - 1)
        self.depth = Steps("Map at layer", names, len(names) - 1)
        self.way = _dropdown("Map by", [("PCA", "PCA"), ("t-SNE (some seconds)", "t-SNE")])
        self.chosen, self.near_shallow, self.near_deep = panel(), panel(), panel()
        self.map, self.marks, self.words = panel(), panel(), panel()
        self.legend = widgets.HTML(_legend(known))
        self.chosen.layout = {"width": "10em", "flex": "0 0 auto"}
        rows = widgets.VBox([self.near_shallow, self.near_deep], layout={"flex": "1 1 20em"})
        for part in (self.near_shallow, self.near_deep):
            part.layout.min_height = "12em"  # of two lines of text below the pictures: no jumps
        for part in (self.map, self.marks):  # one over the other
            part.layout = {"grid_area": "1 / 1", "margin": "0", "width": "100%"}
        parts = [
            *(self.kind, self.number, self.shallow, self.deep),
            widgets.HBox([self.chosen, rows], layout={"flex_flow": "row wrap"}),
            *(self.depth, self.way, self.legend),
            widgets.GridBox([self.map, self.marks], layout={"max_width": f"{_WIDTH}px"}),
            *(self.words, widgets.HTML(f"<small>{html.escape(credit)}</small>")),
        ]
        super().__init__(parts, "Neighbour explorer", at=parts.index(self.legend))
        self.kind.observe(self._other_class, names="value")
        on_change(self.ask, self.number, self.shallow, self.deep, self.depth, self.way)
        self.answer_now()

    def close(self) -> None:
        """Forget pictures, features and maps, too."""
        self._known = None
        super().close()

    def _other_class(self, _: Any) -> None:
        with self.number.hold_trait_notifications():
            self.number.labels = self._numbers()
            self.number.value = 0
        self.ask()

    def _numbers(self) -> list[str]:
        count = self._counts[self.kind.value]
        return [f"{i} of {count}" for i in range(1, count + 1)]

    def _request(self) -> tuple[int, int, str, str, str, str]:
        layers = self.shallow.label, self.deep.label, self.depth.label
        return self.kind.value, self.number.value, *layers, self.way.value

    def _answer(self, request: tuple[int, int, str, str, str, str], stale: Stale) -> None:
        known = self._known
        if known is None:
            return
        kind, number, shallow, deep, layer, way = request
        index = int(known.members[kind][number])
        said = known.class_of(index)
        caption = f"The chosen picture: **{said}**"
        self.chosen.value = tile(known.uris[index], f"Chosen picture, {said}", caption, width=9)
        self.near_shallow.value = _neighbours(known, index, shallow)
        self.near_deep.value = _neighbours(known, index, deep)
        if not known.maps.known(layer, way):
            self._say(f"Computing the {way} map of {layer}, which takes some seconds ...")
            known.maps.points(layer, way)
            if stale():
                return
        points = known.maps.points(layer, way)
        where = places(points)
        if self._on_page != (layer, way):
            self.map.value = _map(known, points, where, layer, way)
            self._on_page = layer, way
            self._tell(_about_map(known, points, layer, way))
        else:
            self._tell(_about_neighbours(known, index, deep, shallow))
        self.marks.value = _marks(known, where, index, deep)
        self.words.value = _words(known, points, deep, layer, way)

    def _static(self) -> Figure | None:
        known = self._known
        if known is None:
            return None
        kind, number, shallow, deep, *_ = self._request()
        index = int(known.members[kind][number])
        marked = [index, *_nearest(known, index, deep)]
        layers = list(dict.fromkeys([shallow, deep]))
        return maps_figure(known, layers, marked, self._credit)


def _dropdown(description: str, options: Sequence[tuple[str, Any]]) -> widgets.Dropdown:
    return widgets.Dropdown(
        options=options,
        description=description,
        style={"description_width": "8em"},
        layout={"width": "24em", "max_width": "100%"},
    )


def _nearest(known: KnownTask, index: int, layer: str) -> list[int]:
    n = min(_SHOWN, len(known.labels) - 1)
    return known.layers[layer].nearest([index], n)[0][0].tolist()


def _same(known: KnownTask, index: int, layer: str) -> str:
    alike = known.labels[_nearest(known, index, layer)] == known.labels[index]
    return f"{alike.sum()} of {len(alike)}"


def _about_neighbours(known: KnownTask, index: int, deep: str, shallow: str) -> str:
    said = f"{_same(known, index, deep)} nearest by {deep}"
    if shallow != deep:
        said += f", {_same(known, index, shallow)} by {shallow}"
    return f"{said} are of the same class."


def _about_map(known: KnownTask, points: np.ndarray, layer: str, way: str) -> str:
    flat = own_class_share(nearest_on_map(points), known.labels)
    return (
        f"Map by {way} of {layer}: for {flat:.0%} of the pictures the nearest one is of the same "
        "class."
    )


def _neighbours(known: KnownTask, index: int, layer: str) -> str:
    tiles = []
    for i in _nearest(known, index, layer):
        name = known.class_of(i)
        alike = known.labels[i] == known.labels[index]
        said = f"{name}, the same class" if alike else name
        tiles.append(tile(known.uris[i], said, f"**✓\u00a0{name}**" if alike else name, width=6.2))
    return row(tiles, f"Nearest by {layer}: {_same(known, index, layer)} of the same class")


def _map(known: KnownTask, points: np.ndarray, where: np.ndarray, layer: str, way: str) -> str:
    alt = html.escape(f"Map by {way}: {map_text(known.labels, points, layer)}")
    picture = draw_map(where, known.small)
    for quality in (60, 40, 20):
        uri = webp_uri(picture, quality)
        if len(uri) < _MOST_BYTES:
            break
    style = f"display:block;width:100%;aspect-ratio:{SIZE[0]}/{SIZE[1]}"
    return f'<img src="{uri}" alt="{alt}" decoding="sync" style="{style}">'


def _marks(known: KnownTask, where: np.ndarray, index: int, layer: str) -> str:
    """The chosen picture, large, and its neighbours, to lie over the map."""
    marked = [index, *_nearest(known, index, layer)]
    small = marked_thumbnails(known, marked, thumbnail_side(len(known.labels)))
    marks = []
    for i, picture in reversed(small.items()):
        x, y = 100 * where[i]
        place = f"position:absolute;left:{x:.2f}%;top:{y:.2f}%;transform:translate(-50%,-50%)"
        style = f"{place};width:{100 * picture.width / SIZE[0]:.2f}%"
        alt = "The chosen picture" if i == index else ""
        uri = webp_uri(picture)
        marks.append(f'<img src="{uri}" alt="{alt}" decoding="sync" style="{style}">')
    style = f"position:relative;width:100%;aspect-ratio:{SIZE[0]}/{SIZE[1]}"
    return f'<div style="{style}">{"".join(marks)}</div>'


def _words(known: KnownTask, points: np.ndarray, deep: str, layer: str, way: str) -> str:
    count = min(_SHOWN, len(known.labels) - 1)
    size = known.layers[layer].x.shape[1]
    flat = own_class_share(nearest_on_map(points), known.labels)
    limits = (
        f"A flat map cannot keep all distances: this one holds {known.maps.kept[layer]:.0%} of the "
        f"variance of the {size} numbers."
        if way == "PCA"
        else "t-SNE bends distances even more: it keeps close pictures close, but how far apart "
        "groups lie, and how large they are, says little."
    )
    return (
        '<div style="line-height:1.4;max-width:55em">In a double frame: the chosen picture, large, '
        f"and its {count} nearest by {html.escape(deep)}.<br>By all {size} numbers of "
        f"<b>{html.escape(layer)}</b>, the nearest picture is of the same class for "
        f"<b>{known.shares[layer]:.0%}</b> of the pictures; by chance it would be "
        f"{chance(known.labels):.0%}. On this map it is for {flat:.0%}. {limits}</div>"
    )


def _legend(known: KnownTask) -> str:
    """Colour and name of each class that has pictures."""
    swatch = "display:inline-block;width:.9em;height:.9em;border:1px solid;vertical-align:-.1em"
    items = "".join(
        f'<span style="white-space:nowrap"><span style="{swatch};background:{colour_of(kind)}">'
        f"</span> {html.escape(name)}</span>"
        for kind, name in known.legend().items()
    )
    more = "Colours repeat, numbers do not."
    return (
        f'<div style="line-height:1.5"><b>Map of all {len(known.labels)} pictures</b>, each '
        'with the colour and the number of its class:<div style="display:flex;flex-wrap:wrap;gap:0 1.2em">'
        f"{items}</div>{more if repeated(known.labels) else ''}</div>"
    )
