"""The trainings that the explorer shows beside each other: their curves, and a table of them."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tlcourse.base.durations import in_words
from tlcourse.base.html import render_template
from tlcourse.errors import CourseError
from tlcourse.plots.figure import COLOURS, MARKERS, Figure, add_legend, encode, new_figure
from tlcourse.training.history import History
from tlcourse.widgets.tiles import tile

_UNKNOWN = "-"
_COLUMNS = (
    *("Run", "Frozen up to", "Rate of the head", "Epochs", "Pictures per class", "Weights"),
    *("Best validation accuracy", "Time"),
)


@dataclass(frozen=True)
class TrainingCurve:
    """A training as it is shown: a curve, and a line of the table."""

    name: str
    accuracies: tuple[float, ...] = ()  # on the validation pictures, after each epoch
    settings: tuple[str, ...] = (_UNKNOWN,) * 5  # for the columns of the table after the name
    seconds: float | None = None  # None while it runs, or where nobody has measured it
    note: str = ""  # why it ended early, or that it is still running

    @property
    def in_words(self) -> str:
        """What one sees of the curve."""
        if not self.accuracies:
            return f"{self.name}: no epoch finished"
        first, last, n = self.accuracies[0], self.accuracies[-1], len(self.accuracies)
        if n == 1:
            return f"{self.name}: {last:.2f} after 1 epoch"
        return f"{self.name}: from {first:.2f} to {last:.2f} in {n} epochs"

    @property
    def ending(self) -> str:
        """The curve in words, and what became of the training."""
        outcome = self.note or ("" if self.seconds is None else "done")
        return f"{self.in_words}; {outcome}." if outcome else f"{self.in_words}."

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the table after the name."""
        best = max(self.accuracies, default=0.0)
        at = f"{best:.3f} (epoch {self.accuracies.index(best) + 1})" if self.accuracies else ""
        took = _UNKNOWN if self.seconds is None else in_words(self.seconds)
        outcome = "; ".join(filter(None, (at, self.note))) or _UNKNOWN
        return (*self.settings, outcome, took.replace(" ", "\N{NO-BREAK SPACE}"))


def lesson_curve(name: str, run: History | Sequence[float]) -> TrainingCurve:
    """Take over a training that was made elsewhere, or say what is wrong with it."""
    until, seconds, note = _UNKNOWN, None, ""
    accuracies: Any = run
    if isinstance(run, History):
        accuracies = [epoch.val_accuracy for epoch in run.epochs]
        frozen = {epoch.frozen_until or "nothing" for epoch in run.epochs}
        until = frozen.pop() if len(frozen) == 1 else _UNKNOWN
        seconds, note = None if math.isnan(run.seconds) else run.seconds, run.stopped
    try:
        accuracies = tuple(map(_check_accuracy, accuracies))
    except (TypeError, ValueError) as error:
        raise CourseError(
            f"The run {name!r} needs the validation accuracy of each epoch, numbers from 0 to 1: "
            "pass the history that tl.fit returned, or a list of them."
        ) from error
    settings = (until, _UNKNOWN, str(len(accuracies)), _UNKNOWN, _UNKNOWN)
    return TrainingCurve(name, accuracies, settings, seconds, note)


def check_reference(reference: tuple[str, float] | None) -> None:
    """Refuse what is neither None nor a name and an accuracy."""
    try:
        _, accuracy = reference or ("", 0)
        _check_accuracy(accuracy)
    except (TypeError, ValueError) as error:
        raise CourseError(
            f"reference is {reference!r}, but must be a name and an accuracy from 0 to 1, such as "
            '("frozen body, probe", 0.9).'
        ) from error


def _check_accuracy(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{value!r} is not from 0 to 1.")
    return float(value)


def draw_curves(
    curves: Sequence[TrainingCurve],
    *,
    n_epochs: int = 1,
    newest: str = "",
    reference: tuple[str, float] | None = None,
) -> Figure:
    """Draw accuracy by epoch; the newest curve stands out.

    No style is set: all threads share it, and another cell may draw at the same time.
    """
    figure = new_figure(3.6, width=7.5)
    axes = figure.subplots()
    for i, curve in enumerate(curves):
        axes.plot(
            range(1, len(curve.accuracies) + 1),
            curve.accuracies,
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[(i + i // len(COLOURS)) % len(MARKERS)],  # no two curves look the same
            # A dollar is no mathematics; a label "_" stays out of the legend.
            label=curve.name.replace("$", r"\$") if curve.accuracies else "_",
            linewidth=3.5 if curve.name == newest else 1.5,
            zorder=4 if curve.name == newest else 3,
        )
    said, line = "; ".join(curve.in_words for curve in curves) or "no run yet", ""
    if reference:
        axes.axhline(reference[1], color="black", linestyle="--", linewidth=1.2, label=reference[0])
        line = f" A dashed line marks {reference[0]} at {reference[1]:.2f}."
    longest = max([n_epochs, *(len(curve.accuracies) for curve in curves)])
    axes.set(xlabel="epoch", ylabel="validation accuracy", ylim=(-0.02, 1.02))
    axes.set(xlim=(0.7, longest + 0.3), xticks=range(1, longest + 1, math.ceil(longest / 10)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    add_legend(figure)
    figure.alt = f"Validation accuracy by epoch. {said}.{line}"
    return figure


def curves_html(figure: Figure) -> str:
    """Turn the figure into an image with its text, no wider than the page."""
    kind, data, _ = encode(figure)
    return tile(f"data:image/{kind};base64,{base64.b64encode(data).decode()}", figure.alt, width=52)


def runs_table(runs: Sequence[TrainingCurve], *, newest: str, dropped: int) -> str:
    """Write one line for each run, and how many older ones are not kept any more."""
    if not runs:
        return "<p>No run yet.</p>"
    return render_template(
        "training_runs", columns=_COLUMNS, runs=runs, newest=newest, dropped=dropped
    )
