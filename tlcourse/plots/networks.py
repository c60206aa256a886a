"""Networks beside each other: what they reach at what price, and how alike their layers are."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tlcourse.errors import CourseError, check_choice
from tlcourse.plots.figure import Figure, add_legend, drawing, new_figure, plain_numbers, style

if TYPE_CHECKING:
    import pandas as pd

_WRITTEN = 110  # cells in a panel; in more the numbers would not be read


@drawing
def scatter(
    panels: "Mapping[str, pd.DataFrame]",
    x: str,
    y: str,
    *,
    xlabel: str,
    ylabel: str,
    live: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    log: bool = False,
    alt: str | None = None,
) -> Figure:
    """Draw a point for each row of a table, with the same colour and symbol in each panel.

    Args:
        panels: Title -> table; its index names the points. Columns "low" and "high", where there
            are any, are drawn as a line through the point.
        x: Column to the right.
        y: Column upwards.
        xlabel: What is to the right.
        ylabel: What is upwards.
        live: Title -> name -> (x, y): black stars, each joined to the point of that name.
        log: Make the axis to the right logarithmic.
        alt: Replaces the alternative text.

    Raises:
        UnknownNameError: There is no such column, title or name.
        CourseError: There is no panel, or one without points.
    """
    panels = _tables(panels)
    for table in panels.values():
        for column in (x, y):
            check_choice("column of the table", column, map(str, table.columns))
    for title, stars in (live or {}).items():
        check_choice("panel called", title, panels)
        for name in stars:
            check_choice("row of the table called", name, map(str, panels[title].index))
    names = list(dict.fromkeys(str(name) for table in panels.values() for name in table.index))
    figure = new_figure(4.3)
    texts = []
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, table) in zip(row, panels.items(), strict=True):
        said = []
        for name, values in table.iterrows():
            look = style(names.index(str(name)))
            if {"low", "high"} <= set(table.columns):
                axes.plot([values[x]] * 2, [values["low"], values["high"]], color=look["color"])
            axes.plot(values[x], values[y], linestyle="none", markersize=9, label=name, **look)
            said.append(f"{name} {values[y]:.3g} at {values[x]:.3g}")
        for name, (across, up) in (live or {}).get(title, {}).items():
            point = table.loc[name]
            axes.plot([point[x], across], [point[y], up], ":", color="0.4", linewidth=1, zorder=1)
            label = "live, in this notebook"
            axes.plot(across, up, "*", color="black", markersize=12, label=label, zorder=5)
            said.append(f"a star for {name} {up:.3g} at {across:.3g}")
        if log:
            axes.set_xscale("log")
            plain_numbers(axes.xaxis)
        else:
            axes.locator_params(axis="x", nbins=5)
        axes.margins(0.12)
        axes.set_title(title)
        axes.grid(alpha=0.3)
        texts.append(f"{title}: {', '.join(said)}" if title else ", ".join(said))
    row[0].set_ylabel(ylabel)
    figure.supxlabel(xlabel, size=11)
    add_legend(figure, loc="outside upper center", ncols=min(len(names) + 1, 4))
    figure.alt = alt or f"Points of {ylabel} by {xlabel}. {'. '.join(texts)}."
    return figure


@drawing
def similarity(
    panels: "Mapping[str, pd.DataFrame]",
    *,
    xlabel: str = "",
    ylabel: str = "",
    alt: str | None = None,
) -> Figure:
    """Draw tables of values from 0 to 1, such as `tl.cka` between layers, as maps of colours.

    Args:
        panels: Title -> table with a row for each layer of one network and a column for each of
            another one; first layers first. Rows are drawn from the bottom up.
        xlabel: What the columns are.
        ylabel: What the rows are.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no table, or a value is not from 0 to 1.
    """
    panels = _tables(panels)
    for title, table in panels.items():
        values = table.to_numpy(dtype=float)
        if not values.size or not ((values >= 0) & (values <= 1)).all():
            raise CourseError(
                f"The table {title!r} must hold values from 0 to 1, and at least one."
            )
    figure = new_figure(0.4 * max(map(len, panels.values())) + 1.6)
    texts = []
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, table) in zip(row, panels.items(), strict=True):
        values = table.to_numpy(dtype=float)
        axes.imshow(values, vmin=0, vmax=1, cmap="cividis", aspect="auto", origin="lower")
        if values.size <= _WRITTEN:
            for (i, j), value in np.ndenumerate(values):
                ink = "white" if value < 0.55 else "black"
                shown = "1" if value > 0.995 else f"{value:.2f}".lstrip("0")
                axes.text(j, i, shown, ha="center", va="center", color=ink, fontsize=8)
        tilted = {"rotation": 50, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(table.shape[1]), table.columns, **tilted)
        axes.set_yticks(range(table.shape[0]), table.index)
        axes.set_title(title)
        axes.spines[:].set_visible(False)
        nearest = values.argmax(axis=1)
        said = [
            f"{name} is most like {table.columns[j]} ({values[i, j]:.2f})"
            for i, (name, j) in enumerate(zip(table.index, nearest, strict=True))
        ]
        texts.append(f"{title}: {', '.join(said)}; the lowest value is {values.min():.2f}")
    figure.colorbar(row[0].images[0], ax=row, label="similarity (CKA)")
    if xlabel:
        figure.supxlabel(xlabel, size=11)
    row[0].set_ylabel(ylabel)
    figure.alt = alt or f"Maps of the similarity of layers. {'. '.join(texts)}."
    return figure


def _tables(panels: "Mapping[str, pd.DataFrame]") -> "dict[str, pd.DataFrame]":
    """The tables with texts as the names of their rows, each name once."""
    if not isinstance(panels, Mapping) or not panels or any(t.empty for t in panels.values()):
        raise CourseError("There is nothing to show. Pass at least one title with its table.")
    named = {title: table.set_axis(table.index.map(str)) for title, table in panels.items()}
    for title, table in named.items():
        if not table.index.is_unique:
            raise CourseError(f"Two rows of the table {title!r} have the same name.")
    return named
