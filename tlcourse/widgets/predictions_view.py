"""What the prediction explorer shows: the input, which pixels speak for the answer, the answer."""

import html
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter

from tlcourse.explain.attributions import Method
from tlcourse.networks.preprocess import Preprocess
from tlcourse.plots.figure import BLUE, Figure, draw_picture, drawing, new_figure, where
from tlcourse.widgets.tiles import map_uri, photo_uri, row, tile


@dataclass(frozen=True)
class Change:
    """What to do to a picture, in this order; by default nothing.

    Attributes:
        blur: Standard deviation of a Gaussian, in pixels of the network's input.
        degrees: Rotate around the middle, clockwise; below 0 the other way.
        zoom: Part of the width and height that stays, around the middle.
        cover: Side of a grey square, as a part of what the network sees.
        across: Where the square lies, from 0 (left) to 1 (right).
        down: Likewise from 0 (top) to 1 (bottom).
    """

    blur: float = 0.0
    degrees: int = 0
    zoom: float = 1.0
    cover: float = 0.0
    across: float = 0.5
    down: float = 0.5

    def __str__(self) -> str:
        done = []
        if self.zoom < 1:
            done.append(f"the middle {self.zoom:.0%}")
        if self.blur:
            done.append(f"blurred by {self.blur:g} pixels")
        if self.degrees:
            side = "left" if self.degrees < 0 else "right"
            done.append(f"rotated {abs(self.degrees)}° to the {side}")
        if self.cover:
            place = f"{self.across:.0%} from the left, {self.down:.0%} from the top"
            done.append(f"covered by a square ({self.cover:.0%} of the width, {place})")
        return ", ".join(done) or "unaltered"


def grey(preprocess: Preprocess) -> tuple[int, ...]:
    """Return the colour that becomes 0 in preprocessing: the mean of the network's training."""
    return tuple(round(255 * value) for value in preprocess.mean)


def alter(picture: Image.Image, preprocess: Preprocess, change: Change) -> Image.Image:
    """Return the altered picture, an RGB one, which then goes through the preprocessing.

    Where the rotated picture ends, and under the square, it is `grey`.

    Args:
        picture: An RGB picture; it stays as it is, and is returned itself if nothing is to be done.
        preprocess: That of the network.
        change: What to do.
    """
    altered = picture
    unit = change.zoom * min(picture.size) / preprocess.resize_size  # one pixel of the input
    if change.blur:
        altered = altered.filter(ImageFilter.GaussianBlur(change.blur * unit))
    if change.degrees:
        bicubic, fill = Image.Resampling.BICUBIC, grey(preprocess)
        altered = altered.rotate(-change.degrees, bicubic, fillcolor=fill)
    if change.zoom < 1:
        width, height = (max(round(change.zoom * side), 1) for side in altered.size)
        left, top = (altered.width - width) // 2, (altered.height - height) // 2
        altered = altered.crop((left, top, left + width, top + height))
    if change.cover:
        seen = preprocess.crop_size * unit
        side = change.cover * seen
        left = (altered.width - seen) / 2 + change.across * (seen - side)
        top = (altered.height - seen) / 2 + change.down * (seen - side)
        box = (round(left), round(top), round(left + side), round(top + side))
        altered = altered.copy()
        altered.paste(grey(preprocess), box)
    return altered


_MOST = 5  # classes in the answer
_CELL = "padding:.15em 0 .15em .8em;text-align:right;min-width:3em"


def input_tile(values: np.ndarray, change: Change) -> str:
    """Show what the network sees, values (H, W, 3) from 0 to 1, and say what was done to it."""
    said = f"**The network's input**{', unaltered' if change == Change() else ''}."
    if change.degrees or change.cover:
        said += " Grey corners and squares are 0 for the network."
    return _steady(tile(photo_uri(values), f"The network's input: {change}", said))


def pale(values: np.ndarray) -> str:
    """Encode the input in light grey, to lay a map over it."""
    return photo_uri(0.35 + 0.5 * values.mean(axis=2, keepdims=True).repeat(3, axis=2))


def waiting_tile(below: str, name: str) -> str:
    """Hold the place of the map for a class while it is computed."""
    return _steady(tile(below, "", f"Computing what speaks for **{name}** ..."))


def map_tile(below: str, values: np.ndarray, name: str, method: Method) -> str:
    """Lay a map of what speaks for a class over the input; the legend is in words."""
    strongest = float(np.quantile(np.abs(values), 0.99))
    over = map_uri(values, "PuOr_r", low=-strongest, high=strongest, clear=True, side=56)
    highest = float(values.max())
    called = "Grad-CAM" if method == "grad_cam" else "Occlusion"
    if highest <= 0:
        said = alt = f"{called} finds nothing that speaks for {name}."
    else:
        said = f"{called}: **orange** speaks for **{name}**"
        if method == "grad_cam":
            said += "; what speaks against it is not shown."
        else:
            said += f", **purple** against it. Covering lowers its logit by up to {highest:.1f}."
        alt = f"{called}: what speaks most for {name} is {where(values)}."
    return _steady(tile(below, alt, said, over=over))


def class_table(classes: tuple[str, ...], now: torch.Tensor, before: torch.Tensor) -> str:
    """List the most probable classes with bars, and what they have for the unaltered picture.

    Args:
        classes: Their names.
        now: Their probabilities (classes,).
        before: Likewise, for the unaltered picture.
    """
    rows = []
    for index in now.topk(min(_MOST, len(now))).indices.tolist():
        bar = f"background:{BLUE};height:.9em;width:{100 * now[index]:.1f}%"
        rows.append(
            f'<tr><th scope="row" style="text-align:left;font-weight:normal;width:13em">'
            f'{html.escape(classes[index])}</th><td style="width:8em"><div style="{bar}"></div></td>'
            f'<td style="{_CELL}">{_percent(now[index])}</td>'
            f'<td style="{_CELL}">{_percent(before[index])}</td></tr>'
        )
    first = int(before.argmax())
    return (
        '<div style="line-height:1.5;max-width:32em"><table style="border-collapse:collapse">'
        '<caption style="text-align:left;font-weight:bold">Most probable classes</caption>'
        '<thead><tr><th scope="col" style="text-align:left">class</th>'
        '<th scope="col" colspan="2" style="text-align:right">now</th>'
        f'<th scope="col" style="{_CELL}">unaltered</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
        "<p>The first answer for the unaltered picture is "
        f"<b>{html.escape(classes[first])}</b> with {_percent(before[first])}. "
        f"Now it has {_percent(now[first])}.</p></div>"
    )


@drawing
def altered_figure(
    name: str, versions: Mapping[str, tuple[np.ndarray, np.ndarray | None, str, float]]
) -> Figure:
    """Draw several versions of a picture, what is answered, and what speaks for the answer.

    Args:
        name: Name of the picture.
        versions: What was done -> the input (H, W, 3), the Grad-CAM map (H, W) or None, the first
            class and its probability.
    """
    rows = 1 if any(map_ is None for _, map_, _, _ in versions.values()) else 2
    figure = new_figure(
        2.0 + 1.6 * (rows - 1), title=f"{name}: the first answer when it is altered"
    )
    grid = figure.subplots(rows, len(versions), squeeze=False)
    said = []
    for column, (what, (values, heat, answer, probability)) in enumerate(versions.items()):
        share = "< 1%" if probability < 0.005 else f"{probability:.0%}"
        draw_picture(grid[0, column], values, textwrap.fill(what, 14), frame=True)
        grid[0, column].set_xlabel(f"{textwrap.fill(answer, 16)}\n{share}", size=10)
        said.append(f"{what}: {answer} ({share})")
        if heat is None:
            continue
        scaled = np.clip(heat / (np.quantile(np.abs(heat), 0.99) or 1.0), -1, 1)
        light = 0.35 + 0.5 * values.mean(axis=2, keepdims=True).repeat(3, axis=2)
        draw_picture(grid[1, column], light)
        weight = 0.1 + 0.75 * np.abs(scaled)
        grid[1, column].imshow(scaled, cmap="PuOr_r", vmin=-1, vmax=1, alpha=weight)
        said[-1] += f", for which most speaks {where(heat)}"
    for line, label in zip(grid, ("input", "what speaks\nfor it")[:rows], strict=True):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    figure.alt = (
        f"The picture {name!r}, altered in several ways, with the first answer"
        + (" and, below each, Grad-CAM for it" if rows > 1 else "")
        + f". {'; '.join(said)}."
    )
    return figure


def _steady(figure: str) -> str:
    """Give a picture with its caption a height that does not change with the caption."""
    return row([f'<div style="min-height:20.5em">{figure}</div>'])


def _percent(probability: torch.Tensor) -> str:
    return "&lt; 1%" if probability < 0.005 else f"{float(probability):.0%}"
