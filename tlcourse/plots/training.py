"""Figures of trainings: what each epoch brought, and the search for a learning rate."""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse.errors import CourseError
from tlcourse.plots.figure import (
    BLUE,
    VERMILION,
    Figure,
    add_legend,
    drawing,
    mime_bundle,
    new_figure,
    style,
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
    named: Mapping[str, Any] = trained if isinstance(trained, Mapping) else {"": trained}
    runs = {name: list(getattr(run, "epochs", run)) for name, run in named.items()}
    if not any(runs.values()):
        raise CourseError("There is no finished epoch to show.")
    one = len(runs) == 1
    figure = new_figure(3.4, title=title)
    left, right = figure.subplots(1, 2)
    for i, (name, epochs) in enumerate(runs.items()):
        if not epochs:
            continue
        x = [epoch.epoch for epoch in epochs]
        if one:
            left.plot(x, [e.train_loss for e in epochs], label="training", **style(0))
        curve = style(1 if one else i) | {"label": "validation" if one else name}
        left.plot(x, [e.val_loss for e in epochs], **curve)
        right.plot(x, [e.val_accuracy for e in epochs], **curve)
    left.set(xlabel="epoch", ylabel="loss" if one else "validation loss")
    right.set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1.03))
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", alpha=0.3)
    if chance is not None:
        right.axhline(chance, color="black", linestyle="--", linewidth=1.2, label="guessing")
    add_legend(figure)
    texts = [
        (f"{name}: " if name else "") + _run_in_words(epochs, losses=one)
        for name, epochs in runs.items()
        if epochs
    ]
    figure.alt = alt or f"Curves of loss and validation accuracy by epoch: {'; '.join(texts)}."
    return figure


def _run_in_words(epochs: "Sequence[Epoch]", *, losses: bool) -> str:
    """Say the first and the last value of what counts, and of both losses if asked to."""

    def ends(name: str) -> str:
        first, last = getattr(epochs[0], name), getattr(epochs[-1], name)
        return f"from {first:.2f} to {last:.2f}"

    if math.isnan(epochs[-1].val_accuracy):  # there are no validation pictures
        return f"training loss {ends('train_loss')} in {len(epochs)} epochs"
    text = f"validation accuracy {ends('val_accuracy')} in {len(epochs)} epochs"
    if losses:
        text += f", training loss {ends('train_loss')}, validation loss {ends('val_loss')}"
    return text


@drawing
def learning_rates(search: "RateSearch", *, alt: str | None = None) -> Figure:
    """Show the loss while the learning rate grows, and the rate that is proposed.

    Args:
        search: What `find_learning_rate` returned.
        alt: Replaces the alternative text.
    """
    rates, losses, smooth = search.rates, search.losses, search.smooth
    figure = new_figure(3.6, width=8)
    axes = figure.subplots()
    axes.plot(rates, losses, color="0.75", marker=".", label="each step")
    axes.plot(rates, smooth, color=BLUE, linewidth=2, label="smoothed")
    axes.axvline(search.suggestion, color=VERMILION, linestyle="--", label="proposed")
    axes.set(xscale="log", xlabel="learning rate of the head", ylabel="training loss")
    # The last steps may be far above what is worth seeing.
    axes.set_ylim(min(losses) * 0.9, max(np.nanmax(smooth), losses[0]) * 1.1)
    axes.grid(axis="y", alpha=0.3)
    add_legend(figure)
    low = int(np.nanargmin(smooth))
    figure.alt = alt or (
        f"Training loss against learning rate: {smooth[0]:.2g} at the smallest rate, lowest with "
        f"{smooth[low]:.2g} near {rates[low]:.1g}, {smooth[-1]:.2g} at the largest rate that was "
        f"tried, {rates[-1]:.1g}; proposed is {search.suggestion:.1g}."
    )
    return figure


class LiveCurve:
    """The curve of a training that is drawn anew after each epoch, where a notebook shows it."""

    def __init__(self) -> None:
        self._handle: Any = None

    def update(self, epochs: Sequence["Epoch"]) -> None:
        """Draw the epochs so far in the place of the last drawing."""
        from IPython.display import display

        figure = history(epochs)
        bundle = mime_bundle(figure, figure.alt)
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def in_notebook() -> bool:
    """Tell whether a notebook's kernel runs this code."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
