"""Figures of costs: bytes by owner, growth, and times on devices that are there or are not."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tlcourse.errors import CourseError
from tlcourse.plots.figure import (
    BLACK,
    BLUE,
    COLOURS,
    MARKERS,
    ORANGE,
    PINK,
    SKY,
    VERMILION,
    Figure,
    check_curves,
    drawing,
    new_figure,
    plain_numbers,
)

if TYPE_CHECKING:
    from tlcourse.cost.estimate import Estimate
    from tlcourse.cost.recorded import Recorded
    from tlcourse.cost.records import Cost, SideBySide
    from tlcourse.networks.account import Account, Bytes

_MIB = 2**20
_COLOURS = {
    "parameters": BLUE,
    "buffers": BLACK,
    "gradients": ORANGE,
    "optimiser_state": VERMILION,
    "activations": SKY,
    "working": PINK,
}
_NAMES = {"optimiser_state": "optimiser state", "working": "working memory"}


@drawing
def bytes_by_owner(
    costs: "SideBySide | Mapping[str, Cost | Account | Bytes]",
    *,
    title: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Stack the memory of each setting by owner.

    Args:
        costs: Name -> what `tlcourse.cost` returned, from top to bottom.
        title: Title of the figure.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is nothing to show.
    """
    named = getattr(costs, "costs", costs)
    if not named:
        raise CourseError("There is no cost to show. Pass at least one name and cost.")
    owned = {name: getattr(cost, "bytes", cost) for name, cost in named.items()}
    figure = new_figure(0.5 * len(owned) + 1.5 + (0.3 if title else 0), width=9)
    axes = figure.subplots()
    rows, ends = range(len(owned)), [0.0] * len(owned)
    for owner, colour in _COLOURS.items():
        sizes = [getattr(b, owner) / _MIB for b in owned.values()]
        axes.barh(
            rows,
            sizes,
            left=ends,
            color=colour,
            height=0.62,
            label=_NAMES.get(owner, owner),
            edgecolor="white",
            linewidth=0.6,
        )
        ends = [end + size for end, size in zip(ends, sizes, strict=True)]
    for row, end in zip(rows, ends, strict=True):
        axes.annotate(f"{end:,.0f}", (end, row), (5, 0), textcoords="offset points", va="center")
    _name_rows(axes, list(owned))
    axes.margins(x=0.1)
    axes.set_xlabel("memory in MiB")
    if title:
        axes.set_title(title)
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside upper center",
        ncols=6,
        frameon=False,
        fontsize=9.5,
        columnspacing=1.2,
        handlelength=1.2,
    )
    figure.alt = alt or f"Stacked bars of memory in MiB: {'; '.join(_shares(owned))}."
    return figure


@drawing
def growth(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str = "",
    ylabel: str = "",
    reference: tuple[str, float] | None = None,
    title: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Draw how costs grow, on two logarithmic axes with plain numbers.

    There a straight line is a power: steeper means a higher one. Curves that lie on each other stay
    visible, since each is thinner than the one below it.

    Args:
        x: Numbers above zero; each becomes a tick.
        series: Name -> one number above zero for each `x`.
        xlabel: What `x` is, with its unit.
        ylabel: What grows, with its unit.
        reference: (name, number) of a horizontal line.
        title: Title of the figure.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no curve, or one has not as many numbers as `x`.
    """
    check_curves("growth", x, series)
    from matplotlib.ticker import NullLocator

    figure = new_figure(4.2, width=9)
    axes = figure.subplots()
    for i, (name, y) in enumerate(series.items()):
        axes.plot(
            x,
            y,
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            linewidth=max(5 - 1.2 * i, 1.4),
            markersize=max(12 - 2.2 * i, 5),
            label=name,
        )
    if reference:
        axes.axhline(reference[1], color="black", linestyle="--", linewidth=1.2, label=reference[0])
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel, title=title or "")
    axes.set_xticks(list(x), [f"{value:g}" for value in x])
    axes.xaxis.set_minor_locator(NullLocator())
    plain_numbers(axes.yaxis)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    texts = [f"{name} from {y[0]:.3g} to {y[-1]:.3g}" for name, y in series.items()]
    if reference:
        where = [f"by {name} {_reaches(x, y, reference[1])}" for name, y in series.items()]
        texts.append(
            f"a line marks {reference[0]} at {reference[1]:.3g}, reached {', '.join(where)}"
        )
    figure.alt = alt or (
        f"Curves of {ylabel or 'growth'} by {xlabel or 'x'} from {x[0]:g} to {x[-1]:g}, both axes "
        f"logarithmic: {'; '.join(texts)}."
    )
    return figure


@drawing
def seconds_by_device(
    measured: "SideBySide | Mapping[str, Cost]",
    *,
    recorded: "Sequence[Recorded]" = (),
    estimates: "Mapping[str, Estimate] | None" = None,
    title: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Compare times on devices, and say of each how it is known.

    A measurement of this machine is a filled bar with its spread; one that was recorded elsewhere
    is hatched; an estimate is an empty bar with a broken outline, and only a lower bound. The axis
    is logarithmic.

    Args:
        measured: Name -> cost that was measured here.
        recorded: Some of what `tlcourse.cost.recorded()` returned.
        estimates: Name -> what `tlcourse.cost.estimate` returned.
        title: Title of the figure.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is nothing to show.
    """
    bars: list[tuple[str, float, tuple[float, float] | None, str]] = [
        (f"{name}: measured here", cost.seconds, cost.spread, "measured here")
        for name, cost in getattr(measured, "costs", measured).items()
    ]
    bars += [
        (f"{r.setting}: recorded on {r.card}, {r.date}", r.cost.seconds, r.cost.spread, "recorded")
        for r in recorded
    ]
    bars += [
        (f"{name}: estimate for {e.card}, at least", e.seconds, None, "estimate")
        for name, e in (estimates or {}).items()
    ]
    if not bars:
        raise CourseError("There is no time to show. Pass at least one name and cost.")
    from matplotlib.ticker import FuncFormatter

    figure = new_figure(0.55 * len(bars) + 1.4 + (0.3 if title else 0), width=9)
    axes = figure.subplots()
    for row, (_, seconds, spread, kind) in enumerate(bars):
        axes.barh(row, seconds, height=0.62, **_LOOKS[kind])
        if spread:
            axes.plot(spread, [row, row], color="black", marker="|", linewidth=1.6)
        axes.annotate(
            _time(seconds),
            (spread[1] if spread else seconds, row),
            (6, 0),
            textcoords="offset points",
            va="center",
        )
    _name_rows(axes, [name for name, *_ in bars])
    axes.set_xscale("log")
    low, high = min(b[1] for b in bars), max((b[2] or (0, b[1]))[1] for b in bars)
    axes.set_xlim(low / 3, high * 4)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _time(value)))
    axes.set_xlabel("seconds (logarithmic axis)")
    if title:
        axes.set_title(title)
    figure.alt = alt or (
        "Bars of seconds on a logarithmic axis: "
        + "; ".join(f"{name} {_time(seconds)}" for name, seconds, *_ in bars)
        + "."
    )
    return figure


_LOOKS: dict[str, dict[str, Any]] = {
    "measured here": {"color": BLUE},
    "recorded": {"facecolor": "white", "edgecolor": BLUE, "hatch": "///", "linewidth": 1.2},
    "estimate": {
        "facecolor": "none",
        "edgecolor": VERMILION,
        "linestyle": "--",
        "linewidth": 1.6,
    },
}


def _name_rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [textwrap.fill(name, 34) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()


def _shares(owned: "Mapping[str, Bytes]") -> list[str]:
    """Say of each bar how long it is and who owns most of it."""
    texts = []
    for name, owners in owned.items():
        sizes = owners.as_dict()
        most = max(sizes, key=lambda owner: sizes[owner])
        share = sizes[most] / max(owners.total, 1)
        texts.append(
            f"{name} {owners.total / _MIB:,.0f}, of which {share:.0%} {_NAMES.get(most, most)}"
        )
    return texts


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.1 else f"{1000 * seconds:.2g} ms"


def _reaches(x: Sequence[float], y: Sequence[float], level: float) -> str:
    """Say between which two of the x a growing curve comes to a level."""
    above = next((i for i, value in enumerate(y) if value >= level), None)
    if above is None:
        return f"not up to {x[-1]:g}"
    return f"at {x[0]:g} or below" if above == 0 else f"between {x[above - 1]:g} and {x[above]:g}"
