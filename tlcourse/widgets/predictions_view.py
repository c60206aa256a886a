"""What the prediction explorer shows: the input, which pixels speak for the answer, the answer."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter

from tlcourse.base.html import render
from tlcourse.explain.attributions import Method
from tlcourse.networks.preprocess import Preprocess
from tlcourse.plots.figure import BLUE, Figure, draw_picture, drawing, new_figure, washed_out, where
from tlcourse.widgets.tiles import map_uri, photo_uri, tile

if TYPE_CHECKING:
    from markupsafe import Markup

_MOST = 5  # classes in the answer
_HEIGHT = 20.5  # em of a picture with its caption, so that it does not change with the caption
_TABLE = """
{% set cell = "padding:.15em 0 .15em .8em;text-align:right;min-width:3em" %}
<div style="line-height:1.5;max-width:32em"><table style="border-collapse:collapse">
<caption style="text-align:left;font-weight:bold">Most probable classes</caption>
<thead><tr><th scope="col" style="text-align:left">class</th>
<th scope="col" colspan="2" style="text-align:right">now</th>
<th scope="col" style="{{ cell }}">unaltered</th></tr></thead><tbody>
{% for name, now, before in rows %}
<tr><th scope="row" style="text-align:left;font-weight:normal;width:13em">{{ name }}</th>
<td style="width:8em">
<div style="background:{{ colour }};height:.9em;width:{{ '%.1f' % (100 * now) }}%"></div></td>
<td style="{{ cell }}">{{ percent(now) }}</td><td style="{{ cell }}">{{ percent(before) }}</td></tr>
{% endfor %}
</tbody></table>
{% set name, now, before = first %}
<p>The first answer for the unaltered picture is <b>{{ name }}</b> with {{ percent(before) }}.
Now it has {{ percent(now) }}.</p></div>
"""


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


class Version(NamedTuple):
    """A version of a picture, and what the network makes of it."""

    pixels: np.ndarray  # the network's input, (H, W, 3) from 0 to 1
    heat: np.ndarray | None  # the Grad-CAM map (H, W) for the answer, if there is one
    answer: str
    probability: float


def grey(preprocess: Preprocess) -> tuple[int, ...]:
    """Return the colour that becomes 0 in preprocessing: the mean of the network's training."""
    return tuple(round(255 * value) for value in preprocess.mean)


def alter(picture: Image.Image, preprocess: Preprocess, change: Change) -> Image.Image:
    """Return the altered picture, an RGB one, which then goes through the preprocessing.

    Where the rotated picture ends, and under the square, it is `grey`. The RGB picture that is given
    stays as it is, and is returned itself if nothing is to be done.
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
        x, y = (altered.width - width) // 2, (altered.height - height) // 2
        altered = altered.crop((x, y, x + width, y + height))
    if change.cover:
        seen = preprocess.crop_size * unit
        side = change.cover * seen
        left = (altered.width - seen) / 2 + change.across * (seen - side)
        top = (altered.height - seen) / 2 + change.down * (seen - side)
        box = (round(left), round(top), round(left + side), round(top + side))
        altered = altered.copy()
        altered.paste(grey(preprocess), box)
    return altered


def input_tile(pixels: np.ndarray, change: Change) -> "Markup":
    """Show the network's input, (H, W, 3) from 0 to 1, and say what was done to it."""
    caption = render(
        "<b>The network's input</b>{{ ', unaltered' if same }}."
        "{{ ' Grey corners and squares are 0 for the network.' if grey }}",
        same=change == Change(),
        grey=change.degrees or change.cover,
    )
    alt = f"The network's input: {change}"
    return tile(photo_uri(pixels), alt, caption, height=_HEIGHT)


def waiting_tile(pixels: np.ndarray, name: str) -> "Markup":
    """Hold the place of the map for a class while it is computed."""
    caption = render("Computing what speaks for <b>{{ name }}</b> ...", name=name)
    return tile(photo_uri(washed_out(pixels)), "", caption, height=_HEIGHT)


def map_tile(pixels: np.ndarray, heat: np.ndarray, name: str, method: Method) -> "Markup":
    """Lay a map (H, W) of what speaks for a class over the input; the legend is in words."""
    highest = float(heat.max())
    called = "Grad-CAM" if method == "grad_cam" else "Occlusion"
    caption = alt = f"{called} finds nothing that speaks for {name}."
    if highest > 0:
        alt = f"{called}: what speaks most for {name} is {where(heat)}."
        caption = render(
            "{{ called }}: <b>orange</b> speaks for <b>{{ name }}</b>{% if called == 'Grad-CAM' %}"
            "; what speaks against it is not shown.{% else %}, <b>purple</b> against it. Covering "
            "lowers its logit by up to {{ '%.1f' % highest }}.{% endif %}",
            called=called,
            name=name,
            highest=highest,
        )
    over = map_uri(heat, limit=float(np.quantile(np.abs(heat), 0.99)), clear=True, side=56)
    return tile(photo_uri(washed_out(pixels)), alt, caption, over=over, height=_HEIGHT)


def class_table(classes: tuple[str, ...], now: torch.Tensor, before: torch.Tensor) -> "Markup":
    """List the most probable classes with bars, and what they have for the unaltered picture.

    Both tensors have the probability of each class.
    """
    every = list(zip(classes, now.tolist(), before.tolist(), strict=True))
    best = now.topk(min(_MOST, len(now))).indices.tolist()
    rows, first = [every[i] for i in best], every[int(before.argmax())]
    return render(_TABLE, rows=rows, first=first, colour=BLUE, percent=_percent)


@drawing
def altered_figure(name: str, versions: Mapping[str, Version]) -> Figure:
    """Draw versions of a picture, what is answered, and, if known, what speaks for the answer."""
    rows = 2 if all(version.heat is not None for version in versions.values()) else 1
    title = f"{name}: the first answer when it is altered"
    figure = new_figure(2.0 + 1.6 * (rows - 1), title=title)
    grid = figure.subplots(rows, len(versions), squeeze=False)
    texts = []
    for column, (what, (pixels, heat, answer, probability)) in enumerate(versions.items()):
        share = _percent(probability)
        draw_picture(grid[0, column], pixels, textwrap.fill(what, 14), frame=True)
        grid[0, column].set_xlabel(f"{textwrap.fill(answer, 16)}\n{share}", size=10)
        texts.append(f"{what}: {answer} ({share})")
        if heat is not None:
            scaled = np.clip(heat / (np.quantile(np.abs(heat), 0.99) or 1.0), -1, 1)
            weight = 0.1 + 0.75 * np.abs(scaled)
            draw_picture(grid[1, column], washed_out(pixels))
            grid[1, column].imshow(scaled, cmap="PuOr_r", vmin=-1, vmax=1, alpha=weight)
            texts[-1] += f", for which most speaks {where(heat)}"
    for line, label in zip(grid, ("input", "what speaks\nfor it"), strict=False):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    explained = " and, below each, Grad-CAM for it" if rows > 1 else ""
    figure.alt = (
        f"The picture {name!r}, altered in several ways, with the first answer{explained}. "
        f"{'; '.join(texts)}."
    )
    return figure


def _percent(probability: float) -> str:
    return "< 1%" if probability < 0.005 else f"{probability:.0%}"
