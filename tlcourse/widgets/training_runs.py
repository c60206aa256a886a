"""The trainings that an explorer shows beside each other: what was set, and what came out."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from tlcourse.base.durations import in_words
from tlcourse.errors import CourseError
from tlcourse.plots.figure import BLACK, COLOURS, MARKERS, Figure
from tlcourse.plots.numbers import lines
from tlcourse.training.history import History

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 30, 48
_SHAPES = {
    "o": '<circle r="1.1"',
    "s": '<path d="M-1-1H1V1H-1Z"',
    "D": '<path d="M0-1.4 1.4 0 0 1.4-1.4 0Z"',
    "^": '<path d="M0-1.3 1.3 1H-1.3Z"',
    "v": '<path d="M0 1.3 1.3-1H-1.3Z"',
    "P": '<path d="M-.5-1.4H.5V-.5H1.4V.5H.5V1.4H-.5V.5H-1.4V-.5H-.5Z"',
    "*": '<path d="M0-1.6.4-.5 1.5-.5.6.2 1 1.3 0 .6-1 1.3-.6.2-1.5-.5-.4-.5Z"',
}


@dataclass(frozen=True)
class Curve:
    """Accuracy after each epoch of one training.

    Attributes:
        name: What it is called.
        accuracies: From epoch 1 on, each from 0 to 1.
        look: Its colour and marker, from 0.
    """

    name: str
    accuracies: tuple[float, ...]
    look: int


def curve_svg(
    curves: Sequence[Curve],
    alt: str,
    *,
    n_epochs: int,
    newest: str = "",
    reference: tuple[str, float] | None = None,
) -> str:
    """Draw accuracy by epoch, each curve apart by colour and by marker.

    Args:
        curves: What to draw.
        alt: It, in words.
        n_epochs: Epochs on the axis, at least.
        newest: Name of the one that stands out.
        reference: (name, accuracy) of a dashed line.
    """
    most = max([n_epochs, *(len(curve.accuracies) for curve in curves)])
    parts = [_axes(most)]
    if reference:
        name, accuracy = reference
        dashed = 'stroke="currentColor" stroke-width="1.6" stroke-dasharray="7 5"'
        parts.append(_line(_LEFT, _y(accuracy), _WIDTH - _RIGHT, _y(accuracy), dashed))
        parts.append(_line(_LEFT, 14, _LEFT + 40, 14, dashed))
        parts.append(_text(_LEFT + 48, 19, f"{name}: {accuracy:.2f}", "start"))
    for curve in sorted(curves, key=lambda curve: curve.name == newest):
        parts.append(_drawn(curve, most, strong=curve.name == newest))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(alt)}" '
        'style="display:block;width:100%;max-width:46em;font-size:14px" fill="currentColor">'
        f"{''.join(parts)}</svg>"
    )


def marker_svg(look: int) -> str:
    """The marker of a curve, to stand in a text."""
    return (
        '<svg viewBox="-2 -2 4 4" aria-hidden="true" style="width:1em;height:1em;'
        f'vertical-align:-.15em">{_marker(look, 0, 0, 1)}</svg>'
    )


def _axes(n_epochs: int) -> str:
    right, bottom, parts = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM, []
    for fifth in range(6):
        y = _y(fifth / 5)
        parts.append(_line(_LEFT, y, right, y, 'stroke="currentColor" stroke-opacity=".2"'))
        parts.append(_text(_LEFT - 8, y + 5, f"{fifth / 5:.1f}", "end"))
    for epoch in range(1, n_epochs + 1, math.ceil(n_epochs / 10)):
        x = _x(epoch, n_epochs)
        parts.append(_line(x, bottom, x, bottom + 5, 'stroke="currentColor"'))
        parts.append(_text(x, bottom + 20, str(epoch)))
    parts.append(_text((_LEFT + right) / 2, _HEIGHT - 6, "epoch"))
    turned = 'transform="rotate(-90 14 141)"'
    parts.append(_text(14, 141, "validation accuracy", more=turned))
    return "".join(parts)


def _drawn(curve: Curve, n_epochs: int, *, strong: bool) -> str:
    points = [(_x(i, n_epochs), _y(a)) for i, a in enumerate(curve.accuracies, 1)]
    listed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    width = 4 if strong else 2
    look = f'fill="none" stroke="{_colour(curve.look)}" stroke-width="{width}"'
    markers = (_marker(curve.look, x, y, 6 if strong else 4.5) for x, y in points)
    return f'<g><polyline points="{listed}" {look}/>{"".join(markers)}</g>'


def _marker(look: int, x: float, y: float, size: float) -> str:
    # After one round of colours the markers are shifted by one, so no two looks are the same.
    shape = _SHAPES[MARKERS[(look + look // len(COLOURS)) % len(MARKERS)]]
    return (
        f'{shape} transform="translate({x:.1f} {y:.1f}) scale({size})" fill="{_colour(look)}" '
        'stroke="currentColor" stroke-width="1" vector-effect="non-scaling-stroke"/>'
    )


def _colour(look: int) -> str:
    colour = COLOURS[look % len(COLOURS)]
    return "currentColor" if colour == BLACK else colour


def _x(epoch: int, n_epochs: int) -> float:
    inside = _WIDTH - _LEFT - _RIGHT - 48
    return _LEFT + 24 + inside * ((epoch - 1) / (n_epochs - 1) if n_epochs > 1 else 0.5)


def _y(accuracy: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - accuracy)


def _line(x1: float, y1: float, x2: float, y2: float, look: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {look}/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place} {more}>{html.escape(text)}</text>"


_COLUMNS = ("Run", "Frozen up to", "Rate of the head", "Epochs", "Pictures per class", "Weights")
_RESULTS = ("Best validation accuracy", "Time")
_UNKNOWN = "-"


@dataclass(frozen=True)
class Run(Curve):
    """A training, what was set for it, and what became of it.

    Attributes:
        settings: One word for each column of the table after the name.
        seconds: What it took; None while it runs, or where nobody has measured it.
        note: Why it ended early, or that it still runs.
    """

    settings: tuple[str, ...] = (_UNKNOWN,) * 5
    seconds: float | None = None
    note: str = ""

    @property
    def best_epoch(self) -> int:
        """Epoch with the highest accuracy, the first of equal ones; 0 without an epoch."""
        return 1 + int(np.argmax(self.accuracies)) if self.accuracies else 0

    @property
    def in_words(self) -> str:
        """What one sees of its curve."""
        if not self.accuracies:
            return f"{self.name}: no epoch finished"
        first, last, n = self.accuracies[0], self.accuracies[-1], len(self.accuracies)
        if n == 1:
            return f"{self.name}: {last:.2f} after 1 epoch"
        return f"{self.name}: from {first:.2f} to {last:.2f} in {n} epochs"

    @property
    def ending(self) -> str:
        """Its curve in words, and what became of it."""
        note = "done" if not self.note and self.seconds is not None else self.note
        return f"{self.in_words}; {note}." if note else f"{self.in_words}."


def runs_of(given: Mapping[str, History | Sequence[float]]) -> tuple[Run, ...]:
    """Take over trainings that were made elsewhere: name -> history, or accuracy of each epoch.

    Raises:
        CourseError: It is no mapping, or an accuracy is no number from 0 to 1.
    """
    if not isinstance(given, Mapping):
        raise CourseError(
            f"runs is of the type {type(given).__name__}, but must be a dict of names and "
            'histories, such as {"by hand": history}.'
        )
    found = []
    for look, (name, run) in enumerate(given.items()):
        if isinstance(run, History):
            frozen = {epoch.frozen_until or "nothing" for epoch in run.epochs}
            until = frozen.pop() if len(frozen) == 1 else _UNKNOWN
            accuracies = [epoch.val_accuracy for epoch in run.epochs]
            how = {"seconds": run.seconds, "note": run.stopped}
        else:
            accuracies = list(run) if isinstance(run, Iterable) else [None]
            until, how = _UNKNOWN, {}
        if not all(isinstance(a, Real) and 0 <= a <= 1 for a in accuracies):
            raise CourseError(
                f"The run {name!r} needs the validation accuracy of each epoch, numbers from 0 to "
                "1: pass the history that tl.fit returned, or a list of them."
            )
        settings = (until, _UNKNOWN, str(len(accuracies)), _UNKNOWN, _UNKNOWN)
        values = tuple(float(a) for a in accuracies)
        found.append(Run(str(name), values, look, settings=settings, **how))
    return tuple(found)


def check_reference(reference: tuple[str, float] | None) -> None:
    """Refuse a line to compare with that has no name or no height.

    Raises:
        CourseError: It is no pair of a name and a number from 0 to 1.
    """
    match reference:
        case None:
            return
        case (str(), Real() as accuracy) if 0 <= accuracy <= 1:
            return
    raise CourseError(
        f"reference is {reference!r}, but must be a name and an accuracy from 0 to 1, such as "
        '("frozen body, probe", 0.9).'
    )


def runs_in_words(runs: Sequence[Run], reference: tuple[str, float] | None) -> str:
    """Say what the curves show."""
    said = "; ".join(run.in_words for run in runs) or "no run yet"
    line = f" A dashed line marks {reference[0]} at {reference[1]:.2f}." if reference else ""
    return f"Validation accuracy by epoch. {said}.{line}"


def runs_figure(
    runs: Sequence[Run], n_epochs: int, newest: str, reference: tuple[str, float] | None
) -> str:
    """Draw the curves of all runs."""
    alt = runs_in_words(runs, reference)
    return curve_svg(runs, alt, n_epochs=n_epochs, newest=newest, reference=reference)


def runs_static(runs: Sequence[Run], reference: tuple[str, float] | None) -> Figure | None:
    """Draw the curves as they stand where no kernel runs; None where there is none."""
    shown = [run for run in runs if run.accuracies]
    if not shown:
        return None
    longest = max(len(run.accuracies) for run in shown)
    return lines(
        [str(epoch) for epoch in range(1, longest + 1)],
        {run.name: (*run.accuracies, *[np.nan] * (longest - len(run.accuracies))) for run in shown},
        xlabel="epoch",
        ylabel="validation accuracy",
        reference=reference,
        alt=runs_in_words(shown, reference),
    )


def runs_table(runs: Sequence[Run], newest: str, dropped: int) -> str:
    """Write a table with a line for each run; it is the key to the curves, too.

    Args:
        runs: From top to bottom.
        newest: Name of the one that stands out.
        dropped: How many older ones are not kept any more.
    """
    if not runs:
        return "<p>No run yet.</p>"
    head = "".join(_cell("th", html.escape(c), ' scope="col"') for c in (*_COLUMNS, *_RESULTS))
    rows = "".join(_row(run, run.name == newest) for run in runs)
    said = f"<p>{dropped} older run{'s' * (dropped != 1)} dropped.</p>" if dropped else ""
    return (
        '<div tabindex="0" role="region" aria-label="Table of the runs" '
        'style="overflow-x:auto;line-height:1.4">'
        '<table style="border-collapse:collapse">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{said}</div>"
    )


def _row(run: Run, strong: bool) -> str:
    name = f"{marker_svg(run.look)} {html.escape(run.name)}"
    best = run.best_epoch
    result = f"{run.accuracies[best - 1]:.3f} (epoch {best})" if best else ""
    seconds = run.seconds
    took = _UNKNOWN if seconds is None or math.isnan(seconds) else in_words(seconds)
    took = took.replace(" ", "\N{NO-BREAK SPACE}")
    came_out = "; ".join(filter(None, (result, run.note))) or _UNKNOWN
    cells = [*run.settings, came_out, took]
    style = ' style="font-weight:bold"' if strong else ""
    inside = "".join(_cell("td", html.escape(cell)) for cell in cells)
    first = _cell("th", name, ' scope="row"')
    return f"<tr{style}>{first}{inside}</tr>"


def _cell(kind: str, content: str, more: str = "") -> str:
    look = "padding:.25em .8em .25em 0;text-align:left;vertical-align:top;font-weight:inherit"
    line = "border-bottom:1px solid color-mix(in srgb, currentColor 25%, transparent)"
    return f'<{kind}{more} style="{look};{line}">{content}</{kind}>'
