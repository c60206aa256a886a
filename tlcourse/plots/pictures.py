"""Figures of one picture's way through: predictions beside it, attributions over it."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

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
    new_figure,
    pixels,
    place,
)

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

_METHODS = {"grad_cam": "Grad-CAM"}


@drawing
def predictions(
    backbone: Backbone,
    pictures: "Image | torch.Tensor | Mapping[str, Image | torch.Tensor]",
    *,
    k: int = 5,
    title: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Show pictures and, beside each, the classes that the network finds most probable.

    Args:
        backbone: The network.
        pictures: One, or name -> picture: PIL images, which are shown as they are, or preprocessed
            tensors (3, H, W), which are shown as the network sees them.
        k: Classes per picture.
        title: Title of the figure.
        alt: Replaces the alternative text.
    """
    named = dict(pictures) if isinstance(pictures, Mapping) else {"": pictures}
    if not named:
        raise CourseError("There is no picture. Pass at least one.")
    per_row = 1 if len(named) == 1 else 2
    rows = -(-len(named) // per_row)
    height = (0.34 * k + 0.75) * rows + (0.4 if title else 0.1)
    figure = new_figure(height, width=7.5 if per_row == 1 else 10.5, title=title)
    grid = figure.add_gridspec(rows, 2 * per_row, width_ratios=[1.25, 1] * per_row)
    texts = []
    for number, (name, picture) in enumerate(named.items()):
        row, column = divmod(number, per_row)
        table = top_k(backbone, picture, k)
        draw_picture(
            figure.add_subplot(grid[row, 2 * column]),
            pixels(_as_image(backbone, picture), 320),
            name.replace("_", " "),
        )
        axes = figure.add_subplot(grid[row, 2 * column + 1])
        labels = [textwrap.fill(text, 20) for text in table["class"]]
        horizontal_bars(
            axes, labels, table["probability"], [_percent(p) for p in table["probability"]]
        )
        axes.set_xlim(0, 1.25)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        if number >= len(named) - per_row:
            axes.set_xlabel("probability")
        told = zip(table["class"], table["probability"], strict=True)
        answers = [f"{answer} ({_percent(probability)})" for answer, probability in told]
        told_here = answers if len(named) == 1 else answers[:1]
        texts.append(f"{name or 'the picture'}: {', '.join(told_here)}")
    figure.alt = alt or (
        f"Pictures beside bars of their {k} most probable classes. Most probable for "
        f"{'; '.join(texts)}."
    )
    return figure


@drawing
def attribution(
    backbone: Backbone,
    picture: "Image | torch.Tensor",
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

    seen = backbone.preprocess.undo(to_batch(backbone, picture))[0].permute(1, 2, 0).cpu().numpy()
    name = backbone.classes[class_index(backbone, target)]
    if not maps:
        raise CourseError("There is no map. Pass at least one, as tl.attribute() gives it.")
    figure = new_figure(3.4, width=min(2.5 * (len(maps) + 1), 10.5))
    all_axes = figure.subplots(1, len(maps) + 1)
    draw_picture(all_axes[0], seen, "the network's input")
    light = 0.35 + 0.5 * seen.mean(axis=2, keepdims=True).repeat(3, axis=2)
    texts = []
    for axes, (method, values) in zip(all_axes[1:], maps.items(), strict=True):
        if values.shape != seen.shape[:2]:
            raise CourseError(
                f"The map of {method} has shape {values.shape}, the picture {seen.shape[:2]}. "
                "Pass what tl.attribute(backbone, picture) gave."
            )
        coarse = block_means(values, 4)
        scaled = np.clip(coarse / (np.quantile(np.abs(coarse), 0.99) or 1.0), -1, 1)
        called = _METHODS.get(method, method.replace("_", " "))
        draw_picture(axes, light, called)
        height, width = values.shape
        axes.imshow(
            scaled,
            cmap="PuOr_r",
            vmin=-1,
            vmax=1,
            alpha=0.2 + 0.7 * np.abs(scaled),
            extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        )
        texts.append(f"{called} points to the {place(coarse)}")
    legend = figure.colorbar(
        ScalarMappable(Normalize(-1, 1), "PuOr_r"),
        ax=all_axes,
        location="bottom",
        aspect=50,
        pad=0.04,
    )
    legend.set_ticks([-1, 0, 1], labels=["speaks against", "no effect", "speaks for"])
    legend.set_label(f"the class {name!r}")
    figure.alt = alt or (
        f"A picture and, over it, which pixels speak for the class {name}: {'; '.join(texts)}."
    )
    return figure


@drawing
def explanations(
    networks: Mapping[str, Backbone],
    pictures: Sequence[tuple["Image", int]],
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
        seen = first.preprocess.undo(first.preprocess(picture)).permute(1, 2, 0).numpy()
        light = 0.35 + 0.5 * seen.mean(axis=2, keepdims=True).repeat(3, axis=2)
        draw_picture(grid[0, column], seen, first.classes[label])
        for row, (name, network) in enumerate(networks.items(), start=1):
            values = attribute(network, picture, label, method=method, layer=layer)
            scaled = np.clip(values / (np.quantile(np.abs(values), 0.99) or 1.0), -1, 1)
            draw_picture(grid[row, column], light)
            weight = 0.15 + 0.7 * np.abs(scaled)
            grid[row, column].imshow(scaled, cmap="PuOr_r", vmin=-1, vmax=1, alpha=weight)
            places[name].append(f"{first.classes[label]} {place(values)}")
    for row, name in enumerate(("picture", *networks)):
        grid[row, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    said = "; ".join(f"{name}: {', '.join(where)}" for name, where in places.items())
    called = _METHODS.get(method, method.replace("_", " "))
    figure.alt = (
        alt or f"{n} pictures, and where {called} finds what speaks for their class. {said}."
    )
    return figure


def _as_image(backbone: Backbone, picture: "Image | torch.Tensor") -> "Image":
    """Turn a preprocessed tensor back into a picture; leave a picture as it is."""
    if not hasattr(picture, "ndim"):
        return picture
    from torchvision.transforms.functional import to_pil_image

    return to_pil_image(backbone.preprocess.undo(to_batch(backbone, picture))[0].cpu())


def _percent(probability: float) -> str:
    return "< 1%" if probability < 0.005 else f"{probability:.0%}"
