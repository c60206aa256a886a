"""Figures of a comparison: what each pattern brings, against what it costs."""

from typing import TYPE_CHECKING

from tlcourse.base.durations import in_words
from tlcourse.plots.figure import (
    Figure,
    add_legend,
    drawing,
    new_figure,
    plain_numbers,
    style,
)

if TYPE_CHECKING:
    from tlcourse.comparison.comparison import Comparison


_WIDE = 8  # largest over smallest: from here on an axis is logarithmic


@drawing
def tradeoffs(
    comparison: "Comparison", *, title: str | None = None, alt: str | None = None
) -> Figure:
    """Show accuracy against time and against memory, one point for each pattern.

    Lines are 95 % intervals of the accuracy, small points the lowest and the highest seed. A ring
    marks the recommended pattern.

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
            axes.plot([cost] * 2, [row.lowest, row.highest], ".", color=point["color"])
            axes.plot(cost, row.accuracy, markersize=9, linestyle="none", label=name, **point)
            if name == chosen:
                ring = {"markersize": 19, "markerfacecolor": "none", "markeredgecolor": "black"}
                axes.plot(cost, row.accuracy, "o", label="recommended", **ring)
        if table[column].max() > _WIDE * table[column].min():
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
