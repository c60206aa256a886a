"""Figures of numbers: bars, curves, accuracy by layer."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tlcourse.errors import CourseError
from tlcourse.plots.figure import (
    COLOURS,
    MARKERS,
    WIDTH,
    Figure,
    check_curves,
    drawing,
    horizontal_bars,
    new_figure,
)

Interval = tuple[float, float]
_FEW = 10  # points of a curve that an alternative text tells one by one


@drawing
def bars(
    values: Mapping[str, float],
    *,
    intervals: Mapping[str, Interval] | None = None,
    xlabel: str = "",
    title: str | None = None,
    reference: tuple[str, float] | None = None,
    form: str | Callable[[float], str] = "{:.3g}",
    log: bool = False,
    alt: str | None = None,
) -> Figure:
    """Compare a few numbers.

    Args:
        values: Name -> number, from top to bottom; a pandas Series will do.
        intervals: Name -> (lower, upper), drawn as a line.
        xlabel: What is measured, with its unit.
        title: Title of the figure.
        reference: (name, number) of a vertical line, such as ("chance", 0.5).
        form: How numbers are written: a format such as "{:.1%}", or a function that writes one.
        log: Whether the axis is logarithmic.
        alt: Replaces the alternative text.
    """
    names = [str(name) for name in values.keys()]  # noqa: SIM118  a Series iterates over its values
    numbers = [float(values[name]) for name in values.keys()]  # noqa: SIM118
    if not names:
        raise CourseError("There is nothing to compare. Pass at least one name and number.")
    write = form if callable(form) else form.format
    figure = new_figure(0.42 * len(names) + 1.1 + (0.3 if title else 0), width=8)
    axes = figure.subplots()
    horizontal_bars(axes, [textwrap.fill(n, 34) for n in names], numbers, None)
    if log:
        axes.set_xscale("log")
    ends = list(numbers)
    for row, name in enumerate(names):
        if intervals and name in intervals:
            low, high = intervals[name]
            axes.plot([low, high], [row, row], color="black", marker="|", linewidth=1.6)
            ends[row] = max(ends[row], high)
        axes.annotate(
            write(numbers[row]),
            (ends[row], row),
            (5, 0),
            textcoords="offset points",
            va="center",
        )
    axes.margins(x=0.12)
    axes.set_xlabel(xlabel)
    if title:
        axes.set_title(title, pad=20 if reference else 6)
    if reference:
        axes.axvline(reference[1], color="black", linestyle="--", linewidth=1.2)
        axes.annotate(
            reference[0],
            (reference[1], 1),
            (4, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="bottom",
            size=9.5,
        )
    said = [f"{n} {write(v)}" for n, v in zip(names, numbers, strict=True)]
    for row, name in enumerate(names):
        if intervals and name in intervals:
            said[row] += " ({} to {})".format(*map(write, intervals[name]))
    listed = ", ".join(said)
    figure.alt = alt or (
        f"Bars{f' of {xlabel}' if xlabel else ''}: {listed}"
        + (f"; a line marks {reference[0]} at {write(reference[1])}." if reference else ".")
    )
    return figure


@drawing
def lines(
    x: Sequence[Any],
    series: Mapping[str, Sequence[float]],
    *,
    bands: Mapping[str, Sequence[Interval]] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str | None = None,
    reference: tuple[str, float] | None = None,
    log: str = "",
    alt: str | None = None,
) -> Figure:
    """Draw some curves, apart by colour and by marker.

    Args:
        x: Numbers, or names in order (layers).
        series: Name -> one number per `x`.
        bands: Name -> one (lower, upper) per `x`.
        xlabel: What `x` is, with its unit.
        ylabel: What is measured, with its unit.
        title: Title of the figure.
        reference: (name, number) of a horizontal line, such as ("chance", 0.5).
        log: Logarithmic axes: "", "x", "y" or "xy".
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no curve, or one has not as many numbers as `x`.
    """
    check_curves("lines", x, series)
    figure = new_figure(4.2, width=9)
    axes = figure.subplots()
    texts = []
    for i, (name, y) in enumerate(series.items()):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        axes.plot(x, y, color=colour, marker=marker, label=name)
        if bands and name in bands:
            low, high = np.asarray(bands[name], dtype=float).T
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        texts.append(f"{name} {_in_words(x, y, (bands or {}).get(name))}")
    if reference:
        axes.axhline(reference[1], color="black", linestyle="--", linewidth=1.2, label=reference[0])
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    if sum(len(name) for name in x if isinstance(name, str)) > 50:  # they would run together
        axes.set_xticks(range(len(x)), x, rotation=30, ha="right", rotation_mode="anchor")
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    axes.grid(axis="y", alpha=0.3)
    if len(series) > 1 or reference:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    if reference:
        texts.append(f"a broken line marks {reference[0]} at {reference[1]:.3g}")
    what = f" of {ylabel}" if ylabel else ""
    points = f" ({', '.join(map(str, x))})" if len(x) <= _FEW else ""
    figure.alt = alt or f"Curves{what} by {xlabel or 'x'}{points}: {'; '.join(texts)}."
    return figure


def _in_words(x: Sequence[Any], y: Sequence[float], band: Sequence[Interval] | None) -> str:
    """Say all numbers of a curve, with its band, if they are few, else its ends and its top."""
    if len(x) <= _FEW:
        said = ["no value" if np.isnan(value) else f"{value:.3g}" for value in y]
        if band is not None:
            said = [
                f"{s} ({low:.2g} to {high:.2g})" for s, (low, high) in zip(said, band, strict=True)
            ]
        return ", ".join(said)
    best = int(np.nanargmax(y))
    return f"from {y[0]:.3g} to {y[-1]:.3g}, largest {y[best]:.3g} at {x[best]}"


def accuracy_by_layer(
    accuracies: Mapping[str, Mapping[str, float]],
    *,
    intervals: Mapping[str, Mapping[str, Interval]] | None = None,
    chance: float | None = None,
    title: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Show how well one can tell the classes apart from the features of each layer.

    Args:
        accuracies: Task (or network) -> layer name -> accuracy, layers from input to output.
        intervals: Likewise, with (lower, upper) for each accuracy.
        chance: Accuracy of guessing.
        title: Title of the figure.
        alt: Replaces the alternative text.
    """
    layers = list(next(iter(accuracies.values()), {}))
    bands = {
        name: [by_layer[layer] for layer in layers] for name, by_layer in (intervals or {}).items()
    }
    return lines(
        layers,
        {name: [by_layer[layer] for layer in layers] for name, by_layer in accuracies.items()},
        bands=bands,
        xlabel="layer, from input to output",
        ylabel="accuracy",
        title=title,
        reference=None if chance is None else ("chance", chance),
        alt=alt,
    )


@drawing
def confusion(
    counts: Any, classes: Sequence[str], *, title: str | None = None, alt: str | None = None
) -> Figure:
    """Show which classes are taken for which.

    Args:
        counts: (n, n), a row for each true class, a column for each predicted one, such as
            `result.confusion`.
        classes: Their names.
        title: Title of the figure.
        alt: Replaces the alternative text.

    Raises:
        CourseError: The counts are not (n, n) for n classes.
    """
    counts = np.asarray(counts)
    n = len(classes)
    if counts.shape != (n, n):
        raise CourseError(f"{n} classes need counts of shape {(n, n)}, got {counts.shape}.")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if n == 0:
        raise CourseError("There is no class to show.")
    figure = new_figure(min(0.5 * n, 8.0) + 1.6, width=min(0.62 * n + 3.2, WIDTH))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(n, n):
        if counts[row, column]:
            colour = "white" if shares[row, column] > 0.55 else "black"
            axes.text(
                column, row, counts[row, column], ha="center", va="center", color=colour, size=10
            )
    shown = [name.replace("$", r"\$") for name in classes]  # which is no mathematics
    axes.set_xticks(range(n), shown, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), shown)
    axes.set(xlabel="predicted", ylabel="true")
    if title:
        axes.set_title(title)
    for spine in axes.spines.values():
        spine.set_visible(False)
    off = counts * (1 - np.eye(n, dtype=counts.dtype))
    row, column = np.unravel_index(off.argmax(), off.shape)
    worst = (
        f"; most often mistaken: {off[row, column]} of {classes[row]} taken for {classes[column]}"
        if off.max()
        else ""
    )
    each = ", ".join(
        f"{name} {counts[i, i]} of {counts[i].sum()}" for i, name in enumerate(classes)
    )
    figure.alt = alt or (
        f"Table of true and predicted classes: {np.trace(counts)} of {counts.sum()} right"
        + (f" ({each})" if n <= _FEW else "")
        + f"{worst}."
    )
    return figure
