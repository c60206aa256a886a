"""Figures of costs: bytes by owner, growth, times on devices, and accuracy against cost."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tlcourse.base.durations import in_words
from tlcourse.errors import CourseError
from tlcourse.plots.figure import (
    BLACK,
    BLUE,
    ORANGE,
    PINK,
    SKY,
    VERMILION,
    Figure,
    add_legend,
    drawing,
    new_figure,
    plain_numbers,
    style,
)
from tlcourse.plots.numbers import bars, lines

if TYPE_CHECKING:
    from tlcourse.comparison.comparison import Comparison
    from tlcourse.cost.estimate import Estimate
    from tlcourse.cost.records import Cost, Recorded, SideBySide
    from tlcourse.networks.account import Account, Bytes

_MIB = 2**20
_OWNERS = {  # attribute of `Bytes` -> how it is called and coloured
    "parameters": ("parameters", BLUE),
    "buffers": ("buffers", BLACK),
    "gradients": ("gradients", ORANGE),
    "optimiser_state": ("optimiser state", VERMILION),
    "activations": ("activations", SKY),
    "working": ("working memory", PINK),
}
_MEASURED: dict[str, Any] = {"color": BLUE}
_RECORDED = {"facecolor": "white", "edgecolor": BLUE, "hatch": "///", "linewidth": 1.2}
_ESTIMATED = {"facecolor": "none", "edgecolor": VERMILION, "linestyle": "--", "linewidth": 1.6}


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
    named = costs if isinstance(costs, Mapping) else costs.costs
    if not named:
        raise CourseError("There is no cost to show. Pass at least one name and cost.")
    owned: dict[str, Bytes] = {
        name: cost.bytes if hasattr(cost, "bytes") else cost for name, cost in named.items()
    }
    figure = new_figure(0.5 * len(owned) + 1.5 + (0.3 if title else 0), width=9)
    axes = figure.subplots()
    rows, ends = range(len(owned)), [0.0] * len(owned)
    for owner, (label, colour) in _OWNERS.items():
        sizes = [getattr(b, owner) / _MIB for b in owned.values()]
        drawn = axes.barh(
            rows, sizes, 0.62, ends, label=label, color=colour, edgecolor="white", linewidth=0.6
        )
        ends = [end + size for end, size in zip(ends, sizes, strict=True)]
    axes.bar_label(drawn, [f"{end:,.0f}" for end in ends], padding=5)
    axes.set_yticks(rows, [textwrap.fill(name, 34) for name in owned])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set(xlabel="memory in MiB", title=title or "")
    narrow = {"fontsize": 9.5, "columnspacing": 1.2, "handlelength": 1.2}
    add_legend(figure, loc="outside upper center", ncols=6, **narrow)
    shares = "; ".join(f"{name} {_largest_share(b)}" for name, b in owned.items())
    figure.alt = alt or f"Stacked bars of memory in MiB: {shares}."
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
    from matplotlib.ticker import NullLocator

    figure = lines(
        x, series, xlabel=xlabel, ylabel=ylabel, title=title, reference=reference, log="xy"
    )
    (axes,) = figure.axes
    for i, curve in enumerate(axes.lines[: len(series)]):
        for line in (curve, *(legend.get_lines()[i] for legend in figure.legends)):
            line.set(linewidth=max(5 - 1.2 * i, 1.4), markersize=max(12 - 2.2 * i, 5))
    axes.set_xticks(list(x), [f"{value:g}" for value in x])
    plain_numbers(axes.yaxis)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
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
    here = measured if isinstance(measured, Mapping) else measured.costs
    costs = {f"{name}: measured here": cost for name, cost in here.items()}
    costs |= {
        f"{r.setting}, batch {r.cost.batch}: recorded on {r.card}, {r.date}": r.cost
        for r in recorded
    }
    seconds = {name: cost.seconds for name, cost in costs.items()}
    for name, estimate in (estimates or {}).items():
        seconds[f"{name}: estimate for {estimate.card}, at least"] = estimate.seconds
    if not seconds:
        raise CourseError("There is no time to show. Pass at least one name and cost.")
    spreads = {name: cost.spread for name, cost in costs.items()}
    label = "seconds (logarithmic axis)"
    figure = bars(
        seconds, intervals=spreads, xlabel=label, title=title, form=_time, log=True, alt=alt
    )
    (axes,) = figure.axes
    kinds = [_MEASURED] * len(here) + [_RECORDED] * (len(costs) - len(here))
    for i, bar in enumerate(axes.patches):
        bar.set(**(kinds[i] if i < len(kinds) else _ESTIMATED))
    ends = [*seconds.values(), *(high for _, high in spreads.values())]
    axes.set_xlim(min(ends) / 3, max(ends) * 4)
    axes.xaxis.set_major_formatter(lambda value, _: _time(value))
    return figure


@drawing
def tradeoffs(
    comparison: "Comparison", *, title: str | None = None, alt: str | None = None
) -> Figure:
    """Show accuracy against time and against memory, one point for each pattern.

    Lines are 95 % intervals of the accuracy, and small points are the seeds. A ring marks the recommended pattern.

    Args:
        comparison: What `tlcourse.compare` returned.
        title: Title of the figure.
        alt: Replaces the alternative text.
    """
    figure = new_figure(3.9, title=title)
    left, right = figure.subplots(1, 2, sharey=True)
    table, chosen = comparison.table, comparison.recommended
    for axes, column in ((left, "seconds"), (right, "MiB")):
        for i, (name, row) in enumerate(table.iterrows()):
            cost, point = row[column], style(i)
            axes.plot([cost] * 2, [row.low, row.high], color=point["color"], linewidth=1.6)
            seeds = comparison.accuracies(name)
            axes.plot([cost] * len(seeds), seeds, ".", color=point["color"])
            axes.plot(cost, row.accuracy, markersize=9, linestyle="none", label=name, **point)
            if name == chosen:
                ring = {"markersize": 19, "markerfacecolor": "none", "markeredgecolor": "black"}
                axes.plot(cost, row.accuracy, "o", label="recommended", **ring)
        if table[column].max() > 8 * table[column].min():  # too wide for an even scale
            axes.set_xscale("log")
            plain_numbers(axes.xaxis)
        axes.margins(x=0.15)
        axes.grid(axis="y", alpha=0.3)
    left.set(xlabel="seconds to the finished network", ylabel=f"accuracy ({comparison.split})")
    right.set(xlabel="memory of its largest step, MiB")
    add_legend(figure, loc="outside lower center", ncols=3)
    texts = (
        f"{name} {row.accuracy:.2f} ({row.low:.2f} to {row.high:.2f}) in {in_words(row.seconds)} "
        f"with {row.MiB:.0f} MiB"
        for name, row in table.iterrows()
    )
    figure.alt = alt or (
        f"Accuracy against time and against memory: {'; '.join(texts)}. Recommended: {chosen}."
    )
    return figure


def _largest_share(owners: "Bytes") -> str:
    """Say how long a bar is and who owns most of it."""
    sizes, total = owners.as_dict(), owners.total
    most = max(sizes, key=lambda owner: sizes[owner])
    return f"{total / _MIB:,.0f}, of which {sizes[most] / max(total, 1):.0%} {_OWNERS[most][0]}"


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.1 else f"{1000 * seconds:.2g} ms"


def _reaches(x: Sequence[float], y: Sequence[float], level: float) -> str:
    """Say between which two of the x a growing curve comes to a level."""
    above = next((i for i, value in enumerate(y) if value >= level), None)
    if above is None:
        return f"not up to {x[-1]:g}"
    return f"at {x[0]:g} or below" if above == 0 else f"between {x[above - 1]:g} and {x[above]:g}"
