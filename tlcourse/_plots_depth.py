"""Figures of linear probes by layer: how accurate, and how far from the best layer (notebook 06)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tlcourse._figures import BLUE, GREEN, ORANGE, VERMILION, Figure, drawing, new_figure
from tlcourse._metrics import paired
from tlcourse.errors import CourseError
from tlcourse.layerwise import LayerProbes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@drawing
def layer_probes(
    probes: Mapping[str, LayerProbes],
    *,
    random: Mapping[str, Sequence[LayerProbes]] | None = None,
    pixels: Mapping[str, LayerProbes] | None = None,
    alt: str | None = None,
) -> Figure:
    """Show the accuracy of a linear probe at each layer, a panel for each task.

    A star marks the best layer, a ring the shallowest one that cannot be told apart from it.

    Args:
        probes: Task -> its probes, from `tl.probe_layers`; bands are 95 % intervals.
        random: Task -> probes of the same network with random weights, one for each start; at all
            layers or at some. A band goes from the lowest to the highest.
        pixels: Task -> probes of `tl.raw_pixels`.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no task.
    """
    if not probes:
        raise CourseError("There is nothing to show. Pass at least one name with its probes.")
    figure = new_figure(4.5)
    panels = figure.subplots(1, len(probes), sharey=True, squeeze=False)[0]
    texts = []
    for axes, (name, found) in zip(panels, probes.items(), strict=True):
        text = _curve(axes, found)
        if random and random.get(name):
            text += _random(axes, found.layers, random[name])
        if pixels and name in pixels:
            share = next(iter(pixels[name].accuracy.values()))
            axes.axhline(share, color=GREEN, linestyle="--", linewidth=1.6, label="raw pixels")
            text += f"; raw pixels {share:.2f}"
        axes.axhline(
            found.chance, color="black", linestyle=":", label="always the most frequent class"
        )
        texts.append(f"{name}: {text}; always the most frequent class {found.chance:.2f}")
        axes.set_title(f"{name} ({len(found.y)} pictures)")
        axes.set_xticks(
            range(len(found.layers)), found.layers, rotation=50, ha="right", rotation_mode="anchor"
        )
        axes.set_ylim(0, 1.02)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("accuracy")
    figure.supxlabel("layer, from input to output", size=11)
    labels = {
        text: handle
        for axes in panels
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        labels.values(), labels.keys(), loc="outside upper center", ncols=3, frameon=False
    )
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

    Lines are 95 % intervals of the difference. Where one reaches 0 the symbol is open: the layer
    cannot be told apart from the best one.

    Args:
        probes: Task -> its probes, from `tl.probe_layers`.
        pixels: Task -> probes of `tl.raw_pixels`, for the same pictures in the same order.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no task, or pixels of other pictures.
    """
    if not probes:
        raise CourseError("There is nothing to show. Pass at least one name with its probes.")
    rows = max(len(found.layers) for found in probes.values()) + bool(pixels)
    figure = new_figure(0.36 * rows + 1.3)
    panels = figure.subplots(1, len(probes), sharex=True, squeeze=False)[0]
    texts = []
    for axes, (name, found) in zip(panels, probes.items(), strict=True):
        pairs = dict(found.paired_with_best)
        if pixels and name in pixels:
            right = next(iter(pixels[name].right.values()))
            pairs = {"raw pixels": paired(right, found.right[found.best])} | pairs
        for row, (layer, pair) in enumerate(pairs.items()):
            colour = GREEN if layer == "raw pixels" else BLUE
            axes.plot(pair.interval, [row, row], color=colour, linewidth=2)
            filled = colour if pair.told_apart else "white"
            axes.plot(pair.difference, row, "o", color=colour, markerfacecolor=filled, markersize=7)
        axes.axvline(0, color="black", linewidth=1)
        axes.set_yticks(range(len(pairs)), [f"{x} (best)" if x == found.best else x for x in pairs])
        axes.set_title(name)
        axes.grid(axis="x", alpha=0.3)
        axes.locator_params(axis="x", nbins=5)
        near = [layer for layer, pair in pairs.items() if not pair.told_apart]
        far = [
            f"{layer} {pair.difference:+.2f}" for layer, pair in pairs.items() if pair.told_apart
        ]
        text = f"{name}: best is {found.best}; not told apart from it: {', '.join(near)}"
        texts.append(text + (f"; told apart: {', '.join(far)}" if far else ""))
    figure.supxlabel("accuracy minus that of the best layer, with its 95 % interval", size=11)
    figure.alt = alt or f"Difference of each layer to the best one. {'. '.join(texts)}."
    return figure


def _curve(axes: "Axes", found: LayerProbes) -> str:
    """Draw accuracies with their intervals and the two marked layers; return them in words."""
    x = range(len(found.layers))
    y = list(found.accuracy.values())
    low, high = zip(*found.intervals.values(), strict=True)
    axes.fill_between(x, low, high, color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(x, y, color=BLUE, marker="o", markersize=4, label="trained weights")
    best, first = (found.layers.index(layer) for layer in (found.best, found.shallowest))
    axes.plot(
        best, y[best], "*", color=VERMILION, markersize=13, linestyle="none", label="best layer"
    )
    axes.plot(
        first,
        y[first],
        "o",
        color=VERMILION,
        markerfacecolor="none",
        markeredgewidth=1.8,
        markersize=17,
        linestyle="none",
        label="shallowest not told apart from it",
    )
    return (
        f"{y[0]:.2f} at {found.layers[0]}, {y[-1]:.2f} at {found.layers[-1]}, best {y[best]:.2f} at "
        f"{found.best}, shallowest not told apart from it {found.shallowest}"
    )


def _random(axes: "Axes", layers: Sequence[str], starts: Sequence[LayerProbes]) -> str:
    """Draw the range and the mean of random weights; return their highest mean in words."""
    names = [layer for layer in layers if layer in starts[0].right]
    x = [layers.index(layer) for layer in names]
    values = [[start.accuracy[layer] for start in starts] for layer in names]
    means = [sum(row) / len(row) for row in values]
    axes.fill_between(
        x, [min(v) for v in values], [max(v) for v in values], color=ORANGE, alpha=0.35, linewidth=0
    )
    axes.plot(x, means, color=ORANGE, marker="s", markersize=4, label="random weights")
    return (
        f"; random weights {means[0]:.2f} at {names[0]}, {means[-1]:.2f} at {names[-1]}, at most "
        f"{max(means):.2f} (mean of {len(starts)} starts)"
    )
