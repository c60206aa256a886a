"""Figures of trust: how honest probabilities are, and what is gained by answering only if sure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse import metrics
from tlcourse.errors import CourseError
from tlcourse.plots.figure import (
    BLACK,
    SKY,
    VERMILION,
    WIDTH,
    Figure,
    drawing,
    new_figure,
    style,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from tlcourse.patterns.result import Result

Scored = tuple[Any, Any]  # scores (N, classes) and labels (N,)
_THRESHOLD = 0.9  # of the probability: the point that is marked on each curve of coverage


@drawing
def reliability(
    scores: "Result | Any",
    labels: Any = None,
    *,
    temperature: float | None = None,
    bins: int = 10,
    title: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Draw a reliability diagram: how often answers are right, against how sure they are.

    Bars on the broken line are honest. Those below it are too sure. The lower panels count the
    pictures of each bin; a vertical line is Wilson's 95 % interval, long where they are few. With a
    temperature there are two diagrams, without it and with it.

    Args:
        scores: A result, whose test pictures are drawn (its validation pictures where there is no
            test picture); or logits or probabilities (N, classes).
        labels: The true classes (N,), where `scores` is no result.
        temperature: What the logits are divided by on the right. By default that of the result.
        bins: How many bins of equal width.
        title: Title of the figure.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no picture, or not one label for each.

    Reference: Guo et al. (2017), arXiv:1706.04599.
    """
    values, truth, fitted = _scored(scores, labels)
    warm = fitted if temperature is None else temperature
    shown = {"as it is": 1.0}
    if warm != 1.0:
        shown[f"with temperature {warm:.2g}"] = warm
    width = WIDTH if len(shown) > 1 else 0.55 * WIDTH
    figure = new_figure(4.6, width=width, title=title)
    grid = figure.subplots(
        2, len(shown), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1)
    )
    texts = []
    for column, (name, each) in enumerate(shown.items()):
        found = metrics.reliability(values, truth, bins=bins, temperature=each)
        _draw_bins(grid[0, column], grid[1, column], found)
        ece = metrics.calibration_error(values, truth, bins=bins, temperature=each)
        error = f"calibration error {ece:.3f}"
        grid[0, column].set_title(f"{name}: {error}")
        texts.append(f"{name}, {error}: {_bins_in_words(found)}")
    grid[0, 0].legend(loc="upper left", frameon=False, fontsize=9.5)
    grid[0, 0].set_ylabel("share that is right")
    grid[1, 0].set_ylabel("pictures")
    figure.supxlabel("probability of the answer", size=11)
    figure.alt = alt or f"Reliability diagram of {len(truth)} pictures. {'. '.join(texts)}."
    return figure


@drawing
def coverage(
    scores: "Result | Scored | Mapping[str, Result | Scored]",
    *,
    temperature: float | None = None,
    title: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Draw how many of the answers are wrong if only the surest ones are given.

    From left to right the threshold falls: more pictures get an answer, the least sure ones last.
    A marker shows where the threshold is 90 %.

    Args:
        scores: A result, whose test pictures are drawn (its validation pictures where there is no
            test picture), or (scores, labels); or name -> one of these.
        temperature: What the logits are divided by, for all curves. By default each result's own.
        title: Title of the figure.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no picture, or not one label for each.

    Reference: Geifman and El-Yaniv (2017), arXiv:1705.08500.
    """
    named: Mapping[str, Any] = scores if isinstance(scores, Mapping) else {"": scores}
    if not named:
        raise CourseError("There is nothing to draw. Pass at least one result.")
    figure = new_figure(4.0, width=8, title=title)
    axes = figure.subplots()
    texts = []
    for number, (name, each) in enumerate(named.items()):
        pair = each if isinstance(each, tuple) and len(each) == 2 else (each, None)
        values, truth, fitted = _scored(*pair)
        warm = fitted if temperature is None else temperature
        table = metrics.coverage_risk(values, truth, temperature=warm)
        look = style(number)
        axes.plot(table.coverage, table.risk, color=look["color"], label=name or "all thresholds")
        sure, all_ = table[table.threshold >= _THRESHOLD].tail(1), table.iloc[-1]
        axes.plot(sure.coverage, sure.risk, look["marker"], color=look["color"], markersize=9)
        begin = f"{name}: " if name else ""
        marked = "".join(
            f"; with a probability of at least {_THRESHOLD:.0%}, {row.coverage:.0%} are answered "
            f"and {row.risk:.1%} of these are wrong"
            for row in sure.itertuples()
        )
        texts.append(f"{begin}{all_.risk:.1%} are wrong if all are answered{marked}")
    axes.set(xlabel="coverage: share of the pictures that is answered", xlim=(0, 1.02))
    axes.set(ylabel="risk: share of the answers that is wrong", ylim=(0, None))
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    axes.grid(alpha=0.3)
    threshold = f"threshold {_THRESHOLD:.0%}"
    axes.plot([], [], "o", color=BLACK, markerfacecolor="none", label=threshold)
    axes.legend(loc="upper left", frameon=False)
    figure.alt = alt or f"Curves of risk against coverage. {'. '.join(texts)}."
    return figure


def _scored(scores: "Result | Any", labels: Any) -> tuple[Any, Any, float]:
    """Return scores (N, classes), labels (N,) and the temperature that was fitted to others."""
    if labels is not None:
        return scores, labels, 1.0
    if not hasattr(scores, "logits"):
        raise CourseError(
            f"A result is needed, or scores and labels, not {type(scores).__name__} alone."
        )
    last = scores.last_split
    return scores.logits[last], scores.pictures[last].labels, scores.temperature


def _draw_bins(above: "Axes", below: "Axes", found: "pd.DataFrame") -> None:
    """Draw the accuracy of each bin and, below it, how many pictures it has."""
    there = found[found["n"] > 0]
    width, centres = 0.92 * found["high"][0], (there["low"] + there["high"]) / 2
    above.bar(centres, there["accuracy"], width, color=SKY)
    honest: dict[str, Any] = {
        "color": BLACK,
        "linestyle": "--",
        "label": "right as often as it says",
    }
    above.plot([0, 1], [0, 1], linewidth=1.2, **honest)
    pairs = zip(there["right"].tolist(), there["n"].tolist(), strict=True)
    low, high = np.array([metrics.wilson_interval(*pair) for pair in pairs]).T
    confidence = there["confidence"]
    above.vlines(confidence, low, high, color=BLACK, linewidth=1.4, label="95 % interval")
    above.plot(confidence, there["accuracy"], "o", color=VERMILION, markersize=5, label="measured")
    above.set(xlim=(0, 1.02), ylim=(0, 1.03))
    bars = below.bar(centres, there["n"], width, color="0.6")
    below.bar_label(bars, size=9)
    below.margins(y=0.3)


def _bins_in_words(found: "pd.DataFrame") -> str:
    """Say of each bin with pictures how sure its answers are, and how many are right."""
    there = found[found["n"] > 0]
    rows = zip(there["confidence"], there["right"], there["n"], strict=True)
    return "; ".join(
        f"at {confidence:.0%} {right} of {n} are right" for confidence, right, n in rows
    )
