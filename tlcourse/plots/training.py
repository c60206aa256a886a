"""Figures of trainings: what each epoch brought, and the search for a learning rate."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse.errors import CourseError
from tlcourse.plots.figure import (
    BLUE,
    COLOURS,
    MARKERS,
    VERMILION,
    Figure,
    drawing,
    new_figure,
)

if TYPE_CHECKING:
    from tlcourse.training.history import Epoch, History
    from tlcourse.training.learning_rate import RateSearch


@drawing
def history(
    trained: "History | Sequence[Epoch] | Mapping[str, History | Sequence[Epoch]]",
    *,
    chance: float | None = None,
    title: str | None = None,
    alt: str | None = None,
) -> Figure:
    """Show loss and validation accuracy after each epoch, of one training or of several.

    Args:
        trained: What `fit` returned, or name -> what it returned.
        chance: Accuracy of guessing, drawn as a line.
        title: Title of the figure.
        alt: Replaces the alternative text.

    Raises:
        CourseError: There is no finished epoch.
    """
    named = dict(trained) if isinstance(trained, Mapping) else {"": trained}
    runs = {name: list(getattr(run, "epochs", run)) for name, run in named.items()}
    if not any(runs.values()):
        raise CourseError("There is no finished epoch to show.")
    figure = new_figure(3.4, title=title)
    left, right = figure.subplots(1, 2)
    texts = []
    for i, (name, epochs) in enumerate(runs.items()):
        if not epochs:
            continue
        x = [epoch.epoch for epoch in epochs]
        look = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        if len(runs) == 1:
            left.plot(x, [e.train_loss for e in epochs], color=BLUE, marker="o", label="training")
            look = {"color": VERMILION, "marker": "s"}
        label = "validation" if len(runs) == 1 else name
        left.plot(x, [e.val_loss for e in epochs], label=label, **look)
        right.plot(x, [e.val_accuracy for e in epochs], label=label, **look)
        first, last = epochs[0], epochs[-1]
        what, ends = "validation accuracy", (first.val_accuracy, last.val_accuracy)
        if ends[1] != ends[1]:  # there are no validation pictures
            what, ends = "training loss", (first.train_loss, last.train_loss)
        text = f"{what} from {ends[0]:.2f} to {ends[1]:.2f} in {len(epochs)} epochs"
        if len(runs) == 1 and what != "training loss":
            text += f", training loss from {first.train_loss:.2f} to {last.train_loss:.2f}"
            text += f", validation loss from {first.val_loss:.2f} to {last.val_loss:.2f}"
        texts.append(f"{name}: {text}" if name else text)
    left.set(xlabel="epoch", ylabel="validation loss" if len(runs) > 1 else "loss")
    right.set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1.03))
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", alpha=0.3)
    if chance is not None:
        right.axhline(chance, color="black", linestyle="--", linewidth=1.2, label="guessing")
    handles = dict(zip(*reversed(left.get_legend_handles_labels()), strict=True))
    handles |= dict(zip(*reversed(right.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False)
    figure.alt = alt or f"Curves of loss and validation accuracy by epoch: {'; '.join(texts)}."
    return figure


@drawing
def learning_rates(search: "RateSearch", *, alt: str | None = None) -> Figure:
    """Show the loss while the learning rate grows, and the rate that is proposed.

    Args:
        search: What `find_learning_rate` returned.
        alt: Replaces the alternative text.
    """
    figure = new_figure(3.6, width=8)
    axes = figure.subplots()
    axes.plot(search.rates, search.losses, color="0.75", marker=".", label="each step")
    axes.plot(search.rates, search.smooth, color=BLUE, linewidth=2, label="smoothed")
    axes.axvline(search.suggestion, color=VERMILION, linestyle="--", label="proposed")
    axes.set(xscale="log", xlabel="learning rate of the head", ylabel="training loss")
    top = max(np.nanmax(search.smooth), search.losses[0])
    axes.set_ylim(min(search.losses) * 0.9, top * 1.1)  # the last steps may be far above
    axes.grid(axis="y", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    low = int(np.nanargmin(search.smooth))
    figure.alt = alt or (
        f"Training loss against learning rate: {search.smooth[0]:.2g} at the smallest rate, lowest "
        f"with {search.smooth[low]:.2g} near {search.rates[low]:.1g}, {search.smooth[-1]:.2g} at the "
        f"largest rate that was tried, {search.rates[-1]:.1g}; "
        f"proposed is {search.suggestion:.1g}."
    )
    return figure


class LiveCurve:
    """The curve of a training that is drawn anew after each epoch, where a notebook shows it."""

    def __init__(self) -> None:
        self._handle: Any = None

    def update(self, epochs: Sequence["Epoch"]) -> None:
        """Draw the epochs so far in the place of the last drawing."""
        from IPython.display import display

        from tlcourse.plots.figure import mime_bundle

        figure = history(epochs)
        bundle = mime_bundle(figure, figure.alt)
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def in_notebook() -> bool:
    """Tell whether a notebook's kernel runs this code."""
    import sys

    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
