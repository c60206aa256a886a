"""Figures of pictures that belong together: what excites a channel, and nearest neighbours."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlcourse.errors import CourseError, check_choice
from tlcourse.explain.excitation import Excitation, excitations, only_picture
from tlcourse.features.neighbours import nearest
from tlcourse.networks.backbone import Backbone
from tlcourse.plots.figure import (
    BLUE,
    Figure,
    draw_picture,
    drawing,
    new_figure,
    pixels,
    write_beside,
)
from tlcourse.tasks.split import SPLITS
from tlcourse.tasks.task import Task


@drawing
def top_pictures(
    backbone: Backbone,
    pictures: Sequence[Any],
    layer: str,
    channels: int | Sequence[int] | None = None,
    *,
    n: int = 6,
    patches: bool = True,
    found: Excitation | None = None,
    alt: str | None = None,
) -> Figure:
    """Show the pictures that excite a channel most, and the patches of them that do it.

    A patch is the square around the strongest position that holds 90 % of the squared gradient of
    a typical position (the effective receptive field). Pictures are shown as the network sees
    them.

    Args:
        backbone: The network.
        pictures: PIL images, or (PIL image, label) pairs such as a `Split`.
        layer: A layer that gives maps.
        channels: One or several; by default the three whose best pictures stand out most.
        n: Pictures per channel.
        patches: Whether to show the patches, too.
        found: What `tl.excitations` gave for these pictures and this layer, to save time.
        alt: Replaces the alternative text.

    Raises:
        UnknownNameError: The layer does not exist; the nearest names are offered.
        CourseError: The layer gives no maps, or has no such channel.
    """
    excitation = found or excitations(backbone, pictures, layer)[layer]
    total, n_channels = excitation.strongest.shape
    wanted = excitation.choosy(3) if channels is None else np.atleast_1d(channels).tolist()
    if not all(0 <= channel < n_channels for channel in wanted):
        raise CourseError(f"Layer {layer!r} has channels 0 to {n_channels - 1}, got {wanted}.")
    n, side = min(n, total), excitation.patch
    title = f"The {n} pictures of {total} that excite a channel of {layer} most"
    if patches:
        title += f",\nand the {side} x {side} pixels of them that matter most"
    per_channel = 2 if patches else 1
    rows = per_channel * len(wanted)
    figure = new_figure(1.2 * rows + 0.6, width=1.2 * n + 1.2, title=title)
    grid = figure.add_gridspec(rows, n + 1, width_ratios=[0.9, *[1] * n])
    for row, channel in zip(range(0, rows, per_channel), wanted, strict=True):
        write_beside(figure.add_subplot(grid[row, 0]), f"channel\n{channel}", weight="bold")
        for column, index in enumerate(excitation.top(channel, n), start=1):
            batch = backbone.preprocess(only_picture(pictures[int(index)]))
            whole = backbone.preprocess.to_array(batch)
            axes = figure.add_subplot(grid[row, column])
            draw_picture(axes, whole, frame=True)
            if patches:
                box = excitation.box(index, channel, whole.shape)
                _outline(axes, box)
                draw_picture(figure.add_subplot(grid[row + 1, column]), whole[box], frame=True)
    figure.alt = alt or (
        f"For {len(wanted)} channels of {layer} ({', '.join(map(str, wanted))}): the {n} pictures "
        f"of {total} that excite the channel most"
        + (f", and the {side} pixels wide patches where they do." if patches else ".")
    )
    return figure


@drawing
def nearest_neighbours(
    features: Mapping[str, Any],
    pictures: Sequence[Any],
    queries: Sequence[int],
    *,
    n: int = 4,
    labels: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    alt: str | None = None,
) -> Figure:
    """Show the pictures that are most like some pictures, by the features of several layers.

    Args:
        features: Layer name -> (N, C), from shallow to deep; two fit well.
        pictures: The N pictures, or (picture, label) pairs such as a `Split`.
        queries: Indices of the pictures to find neighbours of, one row each.
        n: Neighbours per layer.
        labels: The N class numbers; by default those of the `Split`.
        classes: Class names. With labels, each picture says its class, and a frame marks the
            query's own class.
        alt: Replaces the alternative text.

    Raises:
        CourseError: Shapes and numbers do not fit together.
    """
    labels = getattr(pictures, "labels", None) if labels is None else labels
    for name, values in features.items():
        if len(values) != len(pictures):
            raise CourseError(
                f"{name} has features of {len(values)} pictures, but there are {len(pictures)}."
            )
    found = {name: nearest(values, queries, n)[0] for name, values in features.items()}
    columns = 1 + len(found) * (n + 1)
    height = (1.1 if labels is None else 1.35) * 10 / columns * len(queries) + 0.9
    title = "Each row: a picture, and the pictures that are most like it"
    figure = new_figure(height, title=title)
    widths = [1.0, *[0.15, *[1.0] * n] * len(found)]
    grid = figure.add_gridspec(len(queries), columns, width_ratios=widths)
    places = [0, *(i for i in range(2, columns) if (i - 1) % (n + 1))]
    for row, query in enumerate(queries):
        neighbours = np.concatenate([indices[row] for indices in found.values()])
        for column, index in zip(places, (query, *neighbours.tolist()), strict=True):
            axes = figure.add_subplot(grid[row, column])
            draw_picture(axes, pixels(only_picture(pictures[index]), 120))
            if labels is None:
                continue
            same = index != query and labels[index] == labels[query]
            name = str(labels[index]) if classes is None else classes[int(labels[index])]
            axes.set_xlabel(name, size=9, labelpad=3, weight="bold" if same else "normal")
            axes.spines[:].set(visible=same, color=BLUE, linewidth=2.5)
    figure.axes[0].set_title("picture", weight="bold")
    for block, name in enumerate(found):
        axes = figure.axes[1 + block * n]
        axes.set_title(f"nearest by {name}", loc="left", weight="bold")
    figure.alt = alt or _neighbours_text(found, queries, labels, n)
    return figure


@drawing
def examples(
    task: Task, *, split: str = "train", n: int = 8, seed: int = 0, alt: str | None = None
) -> Figure:
    """Show some pictures of each class of a task, a row for each class; of sounds, spectrograms.

    Where the pictures have credits of their own, a line below says so.

    Args:
        task: The task.
        split: "train", "val" or "test".
        n: Pictures per class, drawn at random; fewer where there are not as many.
        seed: Decides which.
        alt: Replaces the alternative text.

    Raises:
        UnknownNameError: There is no such split.
        CourseError: The split is empty.
    """
    check_choice("split", split, SPLITS)
    pictures = getattr(task, split)
    if not len(pictures):
        raise CourseError(f"The split {split!r} of task {task.name!r} holds no picture.")
    rng = np.random.default_rng(seed)
    figure = new_figure(0.82 * len(task.classes) + 0.2, width=0.82 * n + 1.9)
    grid = figure.subplots(len(task.classes), n, squeeze=False)
    for label, (name, row) in enumerate(zip(task.classes, grid, strict=True)):
        places = rng.permutation(np.flatnonzero(pictures.labels == label))[:n]
        for axes, index in zip(row, places, strict=False):
            draw_picture(axes, pixels(pictures[index][0], 96), frame=True)
        for axes in row[len(places) :]:
            axes.set_axis_off()
        row[0].set_ylabel(name.replace(" and ", "\nand "), rotation=0, ha="right", va="center")
    if task.credits:
        authors = {credit.partition(", ")[0] for credit in task.credits.values()}
        what = "Sounds" if task.holds == "sounds" else "Photographs"
        figure.supxlabel(f"{what}: {len(authors)} authors, see task.credits", size=8)
    figure.alt = alt or (
        f"Up to {n} pictures of each class of {task.title.lower()}: {', '.join(task.classes)}."
    )
    return figure


def _neighbours_text(
    found: Mapping[str, np.ndarray], queries: Sequence[int], labels: Any, n: int
) -> str:
    names = list(found)
    if labels is not None:
        labels = np.asarray(labels)
        own = labels[list(queries)][:, None]
        names = [
            f"{name} ({(labels[indices] == own).sum()} of {indices.size} of the same class)"
            for name, indices in found.items()
        ]
    return (
        f"{len(queries)} pictures, each beside its {n} nearest neighbours by the features of "
        f"{' and of '.join(names)}."
    )


def _outline(axes: Any, box: tuple[slice, slice]) -> None:
    from matplotlib.patches import Rectangle

    corner = (box[1].start - 0.5, box[0].start - 0.5)
    size = (box[1].stop - box[1].start, box[0].stop - box[0].start)
    for colour, width in (("white", 2.5), ("black", 1.0)):
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=width))
