"""Figures of one picture's way through: predictions beside it, attributions over it."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tlcourse.errors import CourseError
from tlcourse.explain.attributions import Method, attribute, class_index
from tlcourse.explain.predictions import top_k
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import to_batch
from tlcourse.plots.figure import (
    Figure,
    block_means,
    draw_picture,
    drawing,
    horizontal_bars,
    lay_over,
    new_figure,
    pixels,
    place,
    washed_out,
)
from tlcourse.tasks.sound import Sound

if TYPE_CHECKING:
    import torch


@drawing
def predictions(
    backbone: Backbone,
    pictures: "Image.Image | Sound | torch.Tensor | Mapping[str, Image.Image | Sound | torch.Tensor]",
    *,
    k: int = 5,
    title: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Show pictures and, beside each, the classes that the network finds most probable.

    Args:
        backbone: The network.
        pictures: One, or name -> picture: PIL images, which are shown as they are, `Sound`s, which
            are shown as spectrograms, or preprocessed tensors (3, H, W), which are shown as the network sees them.
        k: Classes per picture.
        title: Title of the figure.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no picture.
    """
    named = pictures if isinstance(pictures, Mapping) else {"": pictures}
    if not named:
        raise CourseError("There is no picture. Pass at least one.")
    per_row = 1 if len(named) == 1 else 2
    rows = -(-len(named) // per_row)
    height = (0.34 * k + 0.75) * rows + (0.4 if title else 0.1)
    figure = new_figure(height, width=7.5 if per_row == 1 else 10.5, title=title)
    grid = figure.subplots(rows, 2 * per_row, squeeze=False, width_ratios=[1.25, 1] * per_row)
    places = grid.reshape(-1, 2)
    texts = []
    for number, (name, picture) in enumerate(named.items()):
        left, right = places[number]
        draw_picture(left, _as_shown(backbone, picture), name.replace("_", " "))
        table = top_k(backbone, picture, k)
        shares = ["< 1%" if p < 0.005 else f"{p:.0%}" for p in table["probability"]]
        labels = [textwrap.fill(text, 20) for text in table["class"]]
        drawn = horizontal_bars(right, labels, table["probability"])
        right.bar_label(drawn, shares, padding=4)
        right.set_xlim(0, 1.25)
        right.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        if number >= len(named) - per_row:
            right.set_xlabel("probability")
        answers = [f"{x} ({share})" for x, share in zip(table["class"], shares, strict=True)]
        told = answers if len(named) == 1 else answers[:1]
        texts.append(f"{name or 'the picture'}: {', '.join(told)}")
    for axes in places[len(named) :].flat:
        axes.remove()
    figure.alt = alt or (
        f"Pictures beside bars of their {k} most probable classes. Most probable for "
        f"{'; '.join(texts)}."
    )
    return figure


@drawing
def attribution(
    backbone: Backbone,
    picture: "Image.Image | torch.Tensor",
    maps: Mapping[str, np.ndarray],
    target: str | int,
    *,
    alt: str | None = None,
) -> Figure:
    """Lay attribution maps over the picture, side by side.

    Each map is averaged over squares of 4 x 4 pixels, so that single pixels can be seen, and has
    its own scale: the strongest hundredth of the squares is fully coloured.

    Args:
        backbone: The network that was explained.
        picture: The PIL image, or preprocessed tensor (3, H, W), that was explained.
        maps: Method -> array (H, W) of the preprocessed picture's size, as `attribute` gives it.
        target: The class that was explained, by name or number.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no map, or its size is not the preprocessed picture's.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    seen = backbone.preprocess.to_array(to_batch(backbone, picture)[0])
    name = backbone.classes[class_index(backbone, target)]
    if not maps:
        raise CourseError("There is no map. Pass at least one, as tl.attribute() gives it.")
    figure = new_figure(3.4, width=min(2.5 * (len(maps) + 1), 10.5))
    panels = figure.subplots(1, len(maps) + 1)
    draw_picture(panels[0], seen, "the network's input")
    texts = []
    for axes, (method, given) in zip(panels[1:], maps.items(), strict=True):
        values = _as_drawn(backbone, given)
        if values.shape != seen.shape[:2]:
            raise CourseError(
                f"The map of {method} has shape {values.shape}, the picture {seen.shape[:2]}. "
                "Pass what tl.attribute(backbone, picture) gave."
            )
        coarse = block_means(values, 4)
        draw_picture(axes, washed_out(seen), _in_words(method))
        lay_over(axes, coarse, values.shape, faintest=0.2)
        texts.append(f"{_in_words(method)} points to the {place(coarse)}")
    colours = ScalarMappable(Normalize(-1, 1), "PuOr_r")
    legend = figure.colorbar(colours, ax=panels, location="bottom", aspect=50, pad=0.04)
    legend.set_ticks([-1, 0, 1], labels=["speaks against", "no effect", "speaks for"])
    legend.set_label(f"the class {name!r}")
    figure.alt = alt or (
        f"A picture and, over it, which pixels speak for the class {name}: {'; '.join(texts)}."
    )
    return figure


@drawing
def explanations(
    networks: Mapping[str, Backbone],
    pictures: Sequence[tuple[Image.Image, int]],
    *,
    method: Method = "grad_cam",
    layer: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Show what speaks for the right class, in several networks: a row for each network.

    Args:
        networks: Name -> network with the same classes and preprocessing, such as
            `result.backbone`.
        pictures: (PIL image, label) pairs, such as a `Split`; a column for each.
        method: See `attribute`.
        layer: See `attribute`.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no network or no picture.
    """
    if not networks or not len(pictures):
        raise CourseError("An explanation needs at least one network and one picture.")
    first = next(iter(networks.values()))
    n = len(pictures)
    figure = new_figure(1.25 * (len(networks) + 1) + 0.6, width=min(1.5 * n + 1.0, 10.0))
    grid = figure.subplots(len(networks) + 1, n, squeeze=False)
    places: dict[str, list[str]] = {name: [] for name in networks}
    for column in range(n):
        picture, label = pictures[column]
        seen = first.preprocess.to_array(first.preprocess(picture))
        draw_picture(grid[0, column], seen, first.classes[label])
        for axes, (name, network) in zip(grid[1:, column], networks.items(), strict=True):
            values = attribute(network, picture, label, method=method, layer=layer)
            values = _as_drawn(network, values)
            draw_picture(axes, washed_out(seen))
            lay_over(axes, values, values.shape, faintest=0.15)
            places[name].append(f"{first.classes[label]} {place(values)}")
    for axes, name in zip(grid[:, 0], ("picture", *networks), strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    texts = [f"{name}: {', '.join(words)}" for name, words in places.items()]
    figure.alt = alt or (
        f"{n} pictures, and where {_in_words(method)} finds what speaks for their class. "
        f"{'; '.join(texts)}."
    )
    return figure


def _as_shown(backbone: Backbone, picture: "Image.Image | Sound | torch.Tensor") -> np.ndarray:
    if not isinstance(picture, Image.Image | Sound):
        seen = backbone.preprocess.to_array(to_batch(backbone, picture)[0])
        picture = Image.fromarray(np.uint8(255 * seen))
    return pixels(picture, 320)


def _as_drawn(backbone: Backbone, values: np.ndarray) -> np.ndarray:
    """Turn values for what goes in as `to_array` turns it: (frames, bands) to low bands below."""
    return values.T[::-1] if backbone.preprocess.kind == "sounds" else values


def _in_words(method: str) -> str:
    return "Grad-CAM" if method == "grad_cam" else method.replace("_", " ")
