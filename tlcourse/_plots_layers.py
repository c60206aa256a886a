"""Figures of what a network has learned: its first filters, and its maps of one picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tlcourse._figures import Figure, draw_picture, drawing, new_figure
from tlcourse._pooling import are_maps
from tlcourse.backbones import Backbone
from tlcourse.errors import CourseError
from tlcourse.excitation import check_maps
from tlcourse.tap import activations, to_batch

if TYPE_CHECKING:
    import torch
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
    grey = weights.mean(axis=1, keepdims=True)
    energy = np.square(weights).sum(axis=(1, 2, 3))
    colour = np.square(weights - grey).sum(axis=(1, 2, 3)) / np.where(energy > 0, energy, 1)
    order = np.argsort(colour, kind="stable")
    if len(order) > limit:
        order = order[np.linspace(0, len(order) - 1, limit).round().astype(int)]
    columns = min(8, len(order))
    rows = -(-len(order) // columns)
    side = weights.shape[-1]
    figure = new_figure(
        1.0 * rows + 0.9,
        width=columns + 0.5,
        title=f"First convolution: {len(order)} filters of {side}x{side} pixels,\n"
        "from the least to the most colourful",
    )
    for axes in (all_axes := figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
    all_axes = figure.axes
    for axes, index in zip(all_axes, order, strict=False):
        largest = np.abs(weights[index]).max() or 1.0
        shown = 0.5 + 0.5 * weights[index].transpose(1, 2, 0) / largest
        draw_picture(axes, shown)
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
    found = activations(backbone, batch, names)
    figure = new_figure(1.15 * len(names) + 0.5, title="One picture, layer by layer")
    grid = figure.add_gridspec(len(names), channels + 2, width_ratios=[1.6, 1, *[1] * channels])
    seen = figure.add_subplot(grid[: min(2, len(names)), 0])
    draw_picture(
        seen,
        backbone.preprocess.undo(batch)[0].permute(1, 2, 0).cpu().numpy(),
        "the network's input",
    )
    if len(names) > 2:
        scale = figure.add_subplot(grid[2, 0])
        scale.set_axis_off()
        scale.text(
            0.5,
            0.9,
            "Each map: dark is its\nsmallest value, light\nits largest.",
            ha="center",
            va="top",
            size=10,
        )
    sizes = []
    for row, name in enumerate(names):
        check_maps(backbone, name, found[name])
        maps = found[name][0].float().cpu().numpy()
        size = "{} x {} x {}".format(*maps.shape)
        sizes.append(f"{name} {size}")
        label = figure.add_subplot(grid[row, 1])
        label.set_axis_off()
        label.text(0.95, 0.5, f"{name}\n", ha="right", va="center", weight="bold")
        label.text(0.95, 0.5, f"\n{size}", ha="right", va="center", size=10)
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

    modules = dict(backbone.model.named_modules())
    path = None if layer is None else backbone.layer(layer).path
    candidates = [path] if path else list(modules)
    for name in candidates:
        module = modules[name]
        if isinstance(module, nn.Conv2d) and module.weight.shape[1] == 3:
            return name, module.weight.detach().float().cpu().numpy()
    raise CourseError(
        f"{layer or 'No module'} of {backbone.name} is a convolution that reads three channels. "
        "Leave layer out to get the first one."
        if layer is None
        else f"{layer!r} of {backbone.name} is no convolution that reads three channels, so its "
        "filters are no colour pictures. Leave layer out to get the first convolution."
    )


def map_layers(backbone: Backbone) -> list[str]:
    """Names of the layers that give maps, from input to output."""
    return [
        layer.name
        for layer in backbone.named_layers
        if layer.side == "output" and are_maps(backbone.trace[layer.path].output_shape)
    ]
