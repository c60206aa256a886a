"""See by hand which pictures are alike for a shallow and a deep layer (notebook 01)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ipywidgets as widgets
import numpy as np
from markupsafe import Markup

from tlcourse.base.html import render, render_template
from tlcourse.features.features import Features
from tlcourse.plots.figure import COLOURS, Figure, draw_picture, drawing, new_figure, style
from tlcourse.widgets.controls import Steps, dropdown
from tlcourse.widgets.explorer import Explorer, Stale, on_change, panel
from tlcourse.widgets.neighbours_map import (
    SIZE,
    KnownTask,
    draw_map,
    places,
    share_on_map,
    thumbnail_side,
)
from tlcourse.widgets.tiles import row, tile, webp_uri

_SHOWN = 6  # neighbours by each layer
_WIDTH = SIZE[0] * 3 // 4  # of the map on the page, in its pixels
_MOST_BYTES = 70_000  # of the map, which a slider may ask for ten times in a second
_LETTERS = 105  # of the legend of a figure beside each other; a colour takes the room of 6


class _Request(NamedTuple):
    picture: int
    shallow: str
    deep: str
    layer: str  # of the map
    way: str


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
        known = KnownTask(features, pictures, labels, classes)
        self._held: KnownTask | None = known
        self._members = known.members
        self._credit = credit
        self._on_page: tuple[str, str] | None = None  # layer and way of the map that is there
        names, last = list(known.layers), len(known.layers) - 1
        self.kind = dropdown("Class", [(known.classes[kind], kind) for kind in known.members])
        self.number = Steps("Picture", [])
        self.number.count_to(len(self._members[self.kind.value]))
        self.shallow = Steps("Shallow layer", names)
        self.deep = Steps("Deep layer", names, last)
        self.depth = Steps("Map at layer", names, last)
        self.way = dropdown("Map by", [("PCA", "PCA"), ("t-SNE (some seconds)", "t-SNE")])
        self.chosen, self.words = panel(width="10em", flex="0 0 auto"), panel()
        # As high as two lines of text below the pictures: nothing jumps.
        self.near_shallow, self.near_deep = (panel(min_height="12em") for _ in range(2))
        rows = widgets.VBox([self.near_shallow, self.near_deep], layout={"flex": "1 1 20em"})
        one_over_the_other = {"grid_area": "1 / 1", "margin": "0", "width": "100%"}
        self.map, self.marks = (panel(**one_over_the_other) for _ in range(2))
        legend = [(style(kind)["color"], name) for kind, name in known.legend().items()]
        options = {"n": len(known.labels), "repeated": max(known.members) >= len(COLOURS)}
        self.legend = widgets.HTML(render_template("neighbours_legend", legend=legend, **options))
        parts = [
            *(self.kind, self.number, self.shallow, self.deep),
            widgets.HBox([self.chosen, rows], layout={"flex_flow": "row wrap"}),
            *(self.depth, self.way, self.legend),
            widgets.GridBox([self.map, self.marks], layout={"max_width": f"{_WIDTH}px"}),
            *(self.words, widgets.HTML(render("<small>{{ credit }}</small>", credit=credit))),
        ]
        super().__init__(parts, "Neighbour explorer", at=parts.index(self.legend))
        self.kind.observe(self._change_class, names="value")
        on_change(self.ask, self.number, self.shallow, self.deep, self.depth, self.way)
        self.answer_now()

    def _change_class(self, _: Any) -> None:
        self.number.count_to(len(self._members[self.kind.value]))
        self.ask()

    def _request(self) -> _Request:
        return _Request(
            picture=int(self._members[self.kind.value][self.number.value]),
            shallow=self.shallow.label,
            deep=self.deep.label,
            layer=self.depth.label,
            way=self.way.value,
        )

    def _answer(self, request: _Request, stale: Stale) -> None:
        known, (picture, shallow, deep, layer, way) = self._held, request
        if known is None:
            return
        name = known.class_of(picture)
        caption = render("The chosen picture: <b>{{ name }}</b>", name=name)
        self.chosen.value = tile(known.uris[picture], f"Chosen picture, {name}", caption, width=9)
        self.near_shallow.value = _neighbours(known, picture, shallow)
        self.near_deep.value = _neighbours(known, picture, deep)
        also = "" if shallow == deep else f", {_same(known, picture, shallow)} by {shallow}"
        alike = f"{_same(known, picture, deep)} nearest by {deep}{also}"
        self._tell(f"{alike} are of the same class.")
        if (layer, way) not in known.maps:  # a t-SNE cannot be interrupted
            self._say(f"Computing the {way} map of {layer}, which takes some seconds ...")
            known.points(layer, way)
            if stale():
                return
        if self._on_page != (layer, way):
            self.map.value = _map(known, layer, way)
            self._on_page = layer, way
            self._tell(_describe_map(known, layer, way))
        self.marks.value = _marks(known, request)
        self.words.value = _words(known, request)

    def _static(self) -> Figure | None:
        if self._held is None:
            return None
        picture, shallow, deep, *_ = self._request()
        layers = [shallow] if shallow == deep else [shallow, deep]
        return _draw(self._held, layers, picture, self._credit)


def _neighbours(known: KnownTask, picture: int, layer: str) -> Markup:
    tiles = []
    for i in known.nearest(picture, layer, _SHOWN):
        alt = caption = known.class_of(i)
        if known.labels[i] == known.labels[picture]:
            caption = render("<b>✓\u00a0{{ name }}</b>", name=alt)
            alt += ", the same class"
        tiles.append(tile(known.uris[i], alt, caption, width=6.2))
    return row(tiles, f"Nearest by {layer}: {_same(known, picture, layer)} of the same class")


def _same(known: KnownTask, picture: int, layer: str) -> str:
    alike = known.labels[known.nearest(picture, layer, _SHOWN)] == known.labels[picture]
    return f"{alike.sum()} of {len(alike)}"


def _describe_map(known: KnownTask, layer: str, way: str) -> str:
    share = share_on_map(known.points(layer, way), known.labels)
    return (
        f"Map by {way} of {layer}: for {share:.0%} of the {len(known.labels)} pictures the nearest "
        f"one is of the same class ({known.chance:.0%} by chance)."
    )


def _map(known: KnownTask, layer: str, way: str) -> Markup:
    picture = draw_map(places(known.points(layer, way)), known.small)
    for quality in (60, 40, 20):
        uri = webp_uri(picture, quality)
        if len(uri) < _MOST_BYTES:
            break
    return render_template("neighbours_map", uri=uri, alt=_describe_map(known, layer, way))


def _marks(known: KnownTask, request: _Request) -> Markup:
    """The chosen picture, large, and its neighbours, to lie over the map."""
    where = places(known.points(request.layer, request.way))
    marked = [request.picture, *known.nearest(request.picture, request.deep, _SHOWN)]
    marks = []
    for i, small in known.marked_thumbnails(marked, thumbnail_side(len(known.labels))).items():
        alt = "The chosen picture" if i == request.picture else ""
        numbers = *where[i], small.width / SIZE[0]
        marks.append((webp_uri(small), alt, *(f"{number:.2%}" for number in numbers)))
    return render_template("neighbours_marks", marks=marks[::-1])


def _words(known: KnownTask, request: _Request) -> Markup:
    layer, size = request.layer, known.layers[request.layer].x.shape[1]
    limits = (
        f"A flat map cannot keep all distances: this one holds {known.kept[layer]:.0%} of the "
        f"variance of the {size} features."
        if request.way == "PCA"
        else "t-SNE bends distances even more: it keeps close pictures close, but how far apart "
        "groups lie, and how large they are, says little."
    )
    return render_template(
        "neighbours_words",
        marked=f"{min(_SHOWN, len(known.labels) - 1)} nearest by {request.deep}",
        about=_describe_map(known, layer, request.way),
        size=size,
        share=f"{known.shares[layer]:.0%}",
        limits=limits,
    )


@drawing
def _draw(known: KnownTask, layers: Sequence[str], picture: int, credit: str) -> Figure:
    """Draw the PCA maps of one or two layers; one picture and its nearest have a double frame."""
    from matplotlib.patches import Patch

    size = (1760 // len(layers), 800)  # twice what is shown
    side = int(1.2 * thumbnail_side(len(known.labels), size))
    small = known.thumbnails(side)
    near = known.nearest(picture, layers[-1], _SHOWN)
    on_top = known.marked_thumbnails([picture, *near], side)
    figure = new_figure(
        6.2,
        title=f"All {len(small)} pictures, placed by the features of a layer (PCA). In percent: "
        f"pictures whose nearest one,\nby all its features, is of the same class (by chance "
        f"{known.chance:.0%})",
    )
    grid = figure.subplots(1, len(layers), squeeze=False)[0]
    texts = []
    for axes, layer in zip(grid, layers, strict=True):
        share = f"{known.shares[layer]:.0%}"
        canvas = draw_map(places(known.points(layer, "PCA"), size), small, size, on_top)
        draw_picture(axes, np.asarray(canvas), f"{layer}: {share}", frame=True)
        texts.append(f"{_describe_map(known, layer, 'PCA')} By all features it is {share}.")
    nearest = f"its {len(near)} nearest by {layers[-1]}"
    legend = known.legend()
    columns = max(1, _LETTERS // (max(map(len, legend.values())) + 6))
    figure.legend(
        handles=[Patch(fc="white", ec=style(k)["color"], lw=3, label=legend[k]) for k in legend],
        loc="outside lower center",
        ncols=min(len(legend), columns),
        title=f"In a double frame: a picture, large, and {nearest}. {credit}",
        title_fontsize=9,
    )
    figure.alt = (
        f"{' '.join(texts)} In a double frame: a picture of the class {known.class_of(picture)} "
        f"and {nearest}."
    )
    return figure
