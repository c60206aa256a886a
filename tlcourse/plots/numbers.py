"""Figures of numbers: bars, curves, accuracy by layer, mistakes."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tlcourse.errors import CourseError
from tlcourse.plots.figure import (
    WIDTH,
    Figure,
    add_legend,
    draw_picture,
    drawing,
    horizontal_bars,
    new_figure,
    style,
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

    Raises:
        CourseError: There is no number.
    """
    numbers = {str(name): float(value) for name, value in values.items()}
    if not numbers:
        raise CourseError("There is nothing to compare. Pass at least one name and number.")
    spans = {name: (intervals or {}).get(name) for name in numbers}
    write = form if callable(form) else form.format
    figure = new_figure(0.42 * len(numbers) + 1.1 + (0.3 if title else 0), width=8)
    axes = figure.subplots()
    horizontal_bars(axes, [textwrap.fill(n, 34) for n in numbers], list(numbers.values()))
    if log:
        axes.set_xscale("log")
    beside: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
    for row, (name, number) in enumerate(numbers.items()):
        span = spans[name]
        if span is not None:
            axes.plot(span, [row, row], color="black", marker="|", linewidth=1.6)
        axes.annotate(write(number), (max(number, span[1]) if span else number, row), **beside)
    axes.margins(x=0.12)
    axes.set_xlabel(xlabel)
    axes.set_title(title or "", pad=20 if reference else 6)
    if reference:
        axes.axvline(reference[1], color="black", linestyle="--", linewidth=1.2)
        above = beside | {"xytext": (4, 0), "va": "bottom", "size": 9.5}
        axes.annotate(reference[0], (reference[1], 1), xycoords=("data", "axes fraction"), **above)
    listed = ", ".join(
        f"{name} {write(number)}{_range_in_words(spans[name], write)}"
        for name, number in numbers.items()
    )
    line = f"; a line marks {reference[0]} at {write(reference[1])}" if reference else ""
    figure.alt = alt or f"Bars{f' of {xlabel}' if xlabel else ''}: {listed}{line}."
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
    if not series or any(len(y) != len(x) for y in series.values()):
        raise CourseError(
            f"Curves need at least one name, each with {len(x)} numbers, one for each x."
        )
    figure = new_figure(4.2, width=9)
    axes = figure.subplots()
    texts = []
    for i, (name, y) in enumerate(series.items()):
        band = (bands or {}).get(name)
        axes.plot(x, y, label=name, **style(i))
        if band is not None:
            low, high = np.asarray(band, dtype=float).T
            axes.fill_between(x, low, high, color=style(i)["color"], alpha=0.18, linewidth=0)
        texts.append(f"{name} {_curve_in_words(x, y, band)}")
    if reference:
        axes.axhline(reference[1], color="black", linestyle="--", linewidth=1.2, label=reference[0])
        texts.append(f"a broken line marks {reference[0]} at {reference[1]:.3g}")
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    if sum(len(name) for name in x if isinstance(name, str)) > 50:  # they would run together
        axes.set_xticks(range(len(x)), x, rotation=30, ha="right", rotation_mode="anchor")
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    axes.grid(axis="y", alpha=0.3)
    if len(series) > 1 or reference:
        add_legend(figure)
    what = f" of {ylabel}" if ylabel else ""
    points = f" ({', '.join(map(str, x))})" if len(x) <= _FEW else ""
    figure.alt = alt or f"Curves{what} by {xlabel or 'x'}{points}: {'; '.join(texts)}."
    return figure


def _range_in_words(interval: Interval | None, write: Callable[[float], str]) -> str:
    return "" if interval is None else " ({} to {})".format(*map(write, interval))


def _curve_in_words(x: Sequence[Any], y: Sequence[float], band: Sequence[Interval] | None) -> str:
    """Say all numbers of a curve, with its band, if they are few, else its ends and its top."""
    if len(x) <= _FEW:
        values = ["no value" if np.isnan(value) else f"{value:.3g}" for value in y]
        around = [None] * len(y) if band is None else band
        pairs = zip(values, around, strict=True)
        return ", ".join(value + _range_in_words(ends, "{:.2g}".format) for value, ends in pairs)
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
    return lines(
        layers,
        {name: [values[layer] for layer in layers] for name, values in accuracies.items()},
        bands={name: [ends[layer] for layer in layers] for name, ends in (intervals or {}).items()},
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
        CourseError: The counts are not (n, n) for n classes, or there is no class.
    """
    counts = np.asarray(counts)
    n = len(classes)
    if n == 0 or counts.shape != (n, n):
        raise CourseError(f"{n} classes need counts of shape {(n, n)}, got {counts.shape}.")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(min(0.5 * n, 8.0) + 1.6, width=min(0.62 * n + 3.2, WIDTH))
    axes = figure.subplots()
    draw_picture(axes, shares, title or "", cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*counts.nonzero(), strict=True):
        colour = "white" if shares[row, column] > 0.55 else "black"
        text = counts[row, column]
        axes.text(column, row, text, ha="center", va="center", color=colour, size=10)
    axes.set_xticks(range(n), classes, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), classes)
    axes.set(xlabel="predicted", ylabel="true")
    right = np.diag(counts)
    text = f"Table of true and predicted classes: {right.sum()} of {counts.sum()} right"
    if n <= _FEW:
        each = zip(classes, right, counts.sum(axis=1), strict=True)
        text += f" ({', '.join(f'{name} {some} of {all_}' for name, some, all_ in each)})"
    wrong = counts - np.diag(right)
    if wrong.max():
        row, column = np.unravel_index(wrong.argmax(), wrong.shape)
        text += (
            f"; most often mistaken: {wrong[row, column]} of {classes[row]} taken for "
            f"{classes[column]}"
        )
    figure.alt = alt or f"{text}."
    return figure
