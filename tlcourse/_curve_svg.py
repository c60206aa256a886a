"""Curves as small HTML: they follow the page's theme and zoom, and no thread needs matplotlib."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from tlcourse._figures import BLACK, COLOURS, MARKERS

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
