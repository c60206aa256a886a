"""Figures of a network's layers: first filters, maps of one picture, what a probe reads in each."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse.errors import CourseError
from tlcourse.explain.excitation import check_maps
from tlcourse.features.layerwise import LayerProbes
from tlcourse.metrics import compare_paired
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import activations, are_maps, to_batch
from tlcourse.plots.figure import (
    BLUE,
    GREEN,
    ORANGE,
    VERMILION,
    Figure,
    add_legend,
    draw_picture,
    drawing,
    new_figure,
    write_beside,
)

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes
    from PIL.Image import Image


@drawing
def filters(
    backbone: Backbone, *, layer: str | None = None, limit: int = 32, alt: str | None = None
) -> Figure:
    """Show the filters of the first convolution as small colour pictures.

    Grey means no weight. A filter is scaled by its own largest weight. The filters are sorted from
    the least colourful (edges) to the most colourful.

    Args:
        backbone: The network.
        layer: Dotted path of a convolution that reads three channels; by default the first one.
        limit: Show at most so many.
        alt: Replaces the alternative text.

    Raises:
        CourseError: The layer is no convolution of three channels.
    """
    path, weights = _first_convolution(backbone, layer)
    if backbone.of_pictures.channels == "BGR":
        weights = weights[:, ::-1]  # red first, as a picture is drawn
    energy = np.square(weights).sum(axis=(1, 2, 3))
    grey = weights.mean(axis=1, keepdims=True)
    colour = np.square(weights - grey).sum(axis=(1, 2, 3)) / np.where(energy > 0, energy, 1)
    order = np.argsort(colour, kind="stable")
    if len(order) > limit:
        order = order[np.linspace(0, len(order) - 1, limit).round().astype(int)]
    columns, side = min(8, len(order)), weights.shape[-1]
    rows = -(-len(order) // columns)
    title = (
        f"First convolution: {len(order)} filters of {side}x{side} pixels,\n"
        "from the least to the most colourful"
    )
    figure = new_figure(rows + 0.9, width=columns + 0.5, title=title)
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, index in zip(grid, order, strict=False):
        largest = np.abs(weights[index]).max() or 1.0
        draw_picture(axes, 0.5 + 0.5 * weights[index].transpose(1, 2, 0) / largest)
    for axes in figure.axes:
        axes.set_axis_off()
    n_colourful = int((colour > 0.5).sum())
    figure.alt = alt or (
        f"{len(order)} filters of {path}, the first convolution of {backbone.name}, each "
        f"{side} by {side} pixels. In {n_colourful} of all {len(weights)} most of the weight "
        "differs between the colours; the others look for light and dark: dots, lines and edges "
        "of several directions."
    )
    return figure


@drawing
def activation_maps(
    backbone: Backbone,
    picture: "Image | torch.Tensor",
    layers: Sequence[str] | None = None,
    *,
    channels: int = 6,
    alt: str | None = None,
) -> Figure:
    """Show one picture on its way through the network, a row for each layer.

    Of each layer those channels are shown whose values vary most over the picture. Each map has
    its own scale, from its smallest value (dark) to its largest (light).

    Args:
        backbone: The network.
        picture: One PIL image, or a preprocessed tensor (3, H, W).
        layers: Layers that give maps; by default all of `backbone.layers` that do.
        channels: Maps per layer.
        alt: Replaces the alternative text.

    Raises:
        UnknownNameError: A layer does not exist; the nearest names are offered.
        CourseError: A layer gives no maps.
    """
    names = map_layers(backbone) if layers is None else list(layers)
    batch = to_batch(backbone, picture)
    values = activations(backbone, batch, names)
    figure = new_figure(1.15 * len(names) + 0.5, title="One picture, layer by layer")
    grid = figure.add_gridspec(len(names), channels + 2, width_ratios=[1.6, 1, *[1] * channels])
    seen = figure.add_subplot(grid[: min(2, len(names)), 0])
    draw_picture(seen, backbone.preprocess.to_array(batch[0]), "the network's input")
    if len(names) > 2:
        scale = figure.add_subplot(grid[2, 0])
        scale.set_axis_off()
        text = "Each map: dark is its\nsmallest value, light\nits largest."
        scale.text(0.5, 0.9, text, ha="center", va="top", size=10)
    sizes = []
    for row, name in enumerate(names):
        check_maps(backbone, name, values[name])
        maps = values[name][0].float().cpu().numpy()
        size = "{} x {} x {}".format(*maps.shape)
        sizes.append(f"{name} {size}")
        label = figure.add_subplot(grid[row, 1])
        write_beside(label, f"{name}\n", weight="bold")
        write_beside(label, f"\n{size}", size=10)
        strongest = np.argsort(-maps.std(axis=(1, 2)), kind="stable")[:channels]
        for column, channel in enumerate(strongest):
            axes = figure.add_subplot(grid[row, column + 2])
            draw_picture(axes, maps[channel], cmap="viridis")
            axes.set_title(f"channel {channel}", size=8.5, pad=2)
    figure.alt = alt or (
        f"One picture and its {channels} most varied maps in each of {len(names)} layers of "
        f"{backbone.name} (channels x height x width: {', '.join(sizes)}). The maps are fine at "
        f"the top and become coarser from {names[0]} to {names[-1]}."
    )
    return figure


def _first_convolution(backbone: Backbone, layer: str | None) -> tuple[str, np.ndarray]:
    from torch import nn

    path = None if layer is None else backbone.layer(layer).path
    for name, module in backbone.model.named_modules():
        wanted = not path or name == path
        if wanted and isinstance(module, nn.Conv2d) and module.weight.shape[1] == 3:
            return name, module.weight.detach().float().cpu().numpy()
    what = backbone.name if layer is None else f"{layer!r} of {backbone.name}"
    raise CourseError(f"There is no convolution that reads three channels (colours) in {what}.")


def map_layers(backbone: Backbone) -> list[str]:
    """Names of the layers that give maps, from input to output."""
    return [
        layer.name
        for layer in backbone.named_layers
        if layer.side == "output" and are_maps(backbone.trace[layer.path].output_shape)
    ]


@drawing
def layer_probes(
    probes: Mapping[str, LayerProbes],
    *,
    random: Mapping[str, Sequence[LayerProbes]] | None = None,
    pixels: Mapping[str, LayerProbes] | None = None,
    alt: str | None = None,
) -> Figure:
    """Show the accuracy of a linear probe at each layer, a panel for each task.

    A star marks the best layer, a ring the shallowest one that is not
    significantly worse.

    Args:
        probes: Task -> its probes, from `tl.probe_layers`; bands are 95 % intervals.
        random: Task -> probes of the same network with random weights, one for each start; at all
            layers or at some. A band goes from the lowest to the highest.
        pixels: Task -> probes of `tl.raw_pixels`.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no task.
    """
    _check_probes(probes)
    figure = new_figure(4.5)
    panels = figure.subplots(1, len(probes), sharey=True, squeeze=False)[0]
    texts = []
    for axes, (name, task) in zip(panels, probes.items(), strict=True):
        text = _curve(axes, task)
        if random and random.get(name):
            text += _random(axes, task.layers, random[name])
        if pixels and name in pixels:
            share = next(iter(pixels[name].accuracy.values()))
            axes.axhline(share, color=GREEN, linestyle="--", linewidth=1.6, label="raw pixels")
            text += f"; raw pixels {share:.2f}"
        frequent = "always the most frequent class"
        axes.axhline(task.chance, color="black", linestyle=":", label=frequent)
        texts.append(f"{name}: {text}; {frequent} {task.chance:.2f}")
        axes.set_title(f"{name} ({len(task.y)} pictures)")
        places = range(len(task.layers))
        axes.set_xticks(places, task.layers, rotation=50, ha="right", rotation_mode="anchor")
        axes.set_ylim(0, 1.02)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("accuracy")
    figure.supxlabel("layer, from input to output", size=11)
    add_legend(figure, loc="outside upper center", ncols=3)
    figure.alt = alt or f"Accuracy of linear probes by layer. {'. '.join(texts)}."
    return figure


@drawing
def layer_differences(
    probes: Mapping[str, LayerProbes],
    *,
    pixels: Mapping[str, LayerProbes] | None = None,
    alt: str | None = None,
) -> Figure:
    """Show how far each layer is from the best one, picture by picture, a panel for each task.

    Lines are 95 % intervals of the difference. Where one reaches 0 the symbol is open: the
    difference could be chance.

    Args:
        probes: Task -> its probes, from `tl.probe_layers`.
        pixels: Task -> probes of `tl.raw_pixels`, for the same pictures in the same order.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no task, or pixels of other pictures.
    """
    _check_probes(probes)
    rows = max(len(task.layers) for task in probes.values()) + bool(pixels)
    figure = new_figure(0.36 * rows + 1.3)
    panels = figure.subplots(1, len(probes), sharex=True, squeeze=False)[0]
    texts = []
    for axes, (name, task) in zip(panels, probes.items(), strict=True):
        pairs = dict(task.paired_with_best)
        if pixels and name in pixels:
            right = next(iter(pixels[name].right.values()))
            pairs = {"raw pixels": compare_paired(right, task.right[task.best])} | pairs
        for row, (layer, pair) in enumerate(pairs.items()):
            colour = GREEN if layer == "raw pixels" else BLUE
            axes.plot(pair.interval, [row, row], color=colour, linewidth=2)
            filled = colour if pair.significant else "white"
            axes.plot(pair.difference, row, "o", color=colour, markerfacecolor=filled, markersize=7)
        axes.axvline(0, color="black", linewidth=1)
        axes.set_yticks(range(len(pairs)), [f"{x} (best)" if x == task.best else x for x in pairs])
        axes.set_title(name)
        axes.grid(axis="x", alpha=0.3)
        axes.locator_params(axis="x", nbins=5)
        near = [x for x, pair in pairs.items() if not pair.significant]
        far = [f"{x} {pair.difference:+.2f}" for x, pair in pairs.items() if pair.significant]
        text = f"{name}: best is {task.best}; could be chance: {', '.join(near)}"
        texts.append(text + (f"; significant: {', '.join(far)}" if far else ""))
    figure.supxlabel("accuracy minus that of the best layer, with its 95 % interval", size=11)
    figure.alt = alt or f"Difference of each layer to the best one. {'. '.join(texts)}."
    return figure


def _check_probes(probes: Mapping[str, LayerProbes]) -> None:
    if not probes:
        raise CourseError("There is nothing to show. Pass at least one name with its probes.")


def _curve(axes: "Axes", task: LayerProbes) -> str:
    """Draw accuracies with their intervals and the two marked layers; return them in words."""
    layers, best, first = task.layers, task.best, task.shallowest
    y = list(task.accuracy.values())
    low, high = zip(*task.intervals.values(), strict=True)
    axes.fill_between(range(len(y)), low, high, color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(y, color=BLUE, marker="o", markersize=4, label="trained weights")
    mark: dict[str, Any] = {"color": VERMILION, "linestyle": "none"}
    ring = mark | {"markerfacecolor": "none", "markeredgewidth": 1.8, "markersize": 17}
    here, there = layers.index(best), layers.index(first)
    axes.plot(here, y[here], "*", label="best layer", markersize=13, **mark)
    axes.plot(there, y[there], "o", label="shallowest, difference could be chance", **ring)
    return (
        f"{y[0]:.2f} at {layers[0]}, {y[-1]:.2f} at {layers[-1]}, best {y[here]:.2f} at "
        f"{best}, shallowest whose difference could be chance {first}"
    )


def _random(axes: "Axes", layers: Sequence[str], starts: Sequence[LayerProbes]) -> str:
    """Draw the range and the mean of random weights; return their highest mean in words."""
    names = [layer for layer in layers if layer in starts[0].right]
    x = [layers.index(layer) for layer in names]
    values = np.array([[start.accuracy[layer] for layer in names] for start in starts])
    low, means, high = values.min(axis=0), values.mean(axis=0), values.max(axis=0)
    axes.fill_between(x, low, high, color=ORANGE, alpha=0.35, linewidth=0)
    axes.plot(x, means, color=ORANGE, marker="s", markersize=4, label="random weights")
    return (
        f"; random weights {means[0]:.2f} at {names[0]}, {means[-1]:.2f} at {names[-1]}, at most "
        f"{means.max():.2f} (mean of {len(starts)} starts)"
    )
