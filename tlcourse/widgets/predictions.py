"""Alter a picture by hand and see what the network answers, and why (notebook 02)."""

import copy
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image, ImageFilter

from tlcourse.base.html import render, render_template
from tlcourse.engines.pytorch import fast_copy
from tlcourse.errors import CourseError
from tlcourse.explain.attributions import Method, attribute, deepest_map
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.preprocess import Preprocess
from tlcourse.networks.tap import activations
from tlcourse.plots.figure import (
    BLUE,
    Figure,
    draw_picture,
    drawing,
    lay_over,
    new_figure,
    pixels,
    washed_out,
    where,
)
from tlcourse.widgets.controls import LARGEST_SIDE, PictureChoice, Steps, check_pictures, dropdown
from tlcourse.widgets.explorer import Explorer, Stale, on_change, panel
from tlcourse.widgets.tiles import map_uri, photo_uri, tile

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Change:
    """What to do to a picture, in this order; by default nothing."""

    blur: float = 0.0  # standard deviation of a Gaussian, in pixels of the network's input
    degrees: int = 0  # rotate around the middle, clockwise; below 0 the other way
    zoom: float = 1.0  # part of the width and height that stays, around the middle
    cover: float = 0.0  # side of a grey square, as a part of what the network sees
    across: float = 0.5  # where the square lies, from 0 (left) to 1 (right)
    down: float = 0.5  # likewise from 0 (top) to 1 (bottom)

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


def _place(first: str, last: str) -> Callable[[float], str]:
    return lambda share: {0: first, 0.5: "middle", 1: last}.get(share, f"{share:.0%}")


_TENTHS = [i / 10 for i in range(11)]
_SLIDERS: dict[str, tuple[str, Sequence[Any], Callable[[Any], str]]] = {
    # What to change: what the slider is called, its values, and what each of them is called.
    "zoom": ("Zoom in to", _TENTHS[:2:-1], "{:.0%}".format),
    "blur": ("Blur", range(13), lambda n: {0: "none", 1: "1 pixel"}.get(n, f"{n} pixels")),
    "degrees": (
        "Rotate",
        range(-180, 181, 15),
        lambda n: f"{abs(n)}° {'left' if n < 0 else 'right'}" if n else "0°",
    ),
    "cover": ("Cover", _TENTHS[:6], lambda share: f"{share:.0%} wide" if share else "nothing"),
    "across": ("Cover, across", _TENTHS, _place("left", "right")),
    "down": ("Cover, down", _TENTHS, _place("top", "bottom")),
}
_METHODS = [("Grad-CAM", "grad_cam"), ("occlusion", "occlusion"), ("do not show", "")]
_EXAMPLES = {
    "unaltered": Change(),
    "the middle half": Change(zoom=0.5),
    "blurred by 4 pixels": Change(blur=4),
    "rotated 90° to the right": Change(degrees=90),
    "half of the width covered": Change(cover=0.5),
    "all four, a little": Change(zoom=0.8, blur=2, degrees=30, cover=0.2),
}
_Request = tuple[Image.Image, Change, Method | Literal[""]]


class _NewerRequestError(Exception):
    """Ends an attribution that nobody waits for any more."""


class _Held:
    """What the explorer holds on to until it is closed."""

    def __init__(self, backbone: Backbone, name: str, picture: Image.Image) -> None:
        # Copies, since the thread must not meet the notebook's own hooks.
        self.backbone = backbone.with_model(copy.deepcopy(backbone.model))
        self.fast = fast_copy(backbone, ["logits"])  # for the many passes of occlusion
        self.first = name, picture  # what is shown where no kernel runs; never an upload
        self.choose(picture)

    def choose(self, picture: Image.Image) -> None:
        """Remember the answer for an unaltered picture: the probability of each class."""
        self.picture = picture
        _, self.before = self.answer(picture, Change())

    def answer(self, picture: Image.Image, change: Change) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the network's input for an altered picture, and the probability of each class."""
        tensor = self.backbone.preprocess(alter(picture, self.backbone.of_pictures, change))
        logits = activations(self.backbone, tensor, "logits")["logits"][0]
        return tensor, logits.float().softmax(dim=0).cpu()


class PredictionExplorer(Explorer):
    """Crop, blur, rotate or cover a picture; the five first classes and what speaks for them follow.

    The answer takes one pass of the network and comes first. What speaks for it takes about two
    more (Grad-CAM) or 37 more (occlusion: a square of two sevenths of the width at 6 x 6 places,
    in batches of 8), and is given up between two batches as soon as something else is asked for.

    Args:
        backbone: The network. It is copied: what it learns later does not count.
        pictures: Name -> picture to choose from; one of your own can be uploaded. Longer ones are
            shrunk to 1024 pixels first.

    Raises:
        CourseError: There is no picture, or something else in its place.
    """

    def __init__(self, backbone: Backbone, pictures: Mapping[str, Image.Image]) -> None:
        check_pictures(pictures)
        if not backbone.classes:
            raise CourseError(
                f"{backbone.name} has no classes, so it predicts nothing. Load a classifier, such "
                "as tl.load_backbone()."
            )
        small = {name: Image.fromarray(pixels(p, LARGEST_SIDE)) for name, p in pictures.items()}
        self._held: _Held | None = _Held(backbone, *next(iter(small.items())))
        self.choice = PictureChoice(small, self.ask, self.show_problem)
        self._sliders = [_slider(name) for name in _SLIDERS]
        self.zoom, self.blur, self.turn, self.cover, self.across, self.down = self._sliders
        self.across.disabled = self.down.disabled = True
        self.back = widgets.Button(description="Back to the original", layout={"width": "16em"})
        self.why = dropdown("Which pixels speak for the first answer", _METHODS)
        self.why.value = "grad_cam" if _has_maps(backbone) else "occlusion"
        self.why.style.description_width, self.why.layout.width = "auto", "30em"
        self.seen, self.pixels, self.answer = panels = panel(), panel(), panel()
        columns = widgets.VBox(self._sliders[:3]), widgets.VBox(self._sliders[3:])
        parts = [self.choice, _row(*columns), _row(self.back, self.why)]
        super().__init__([*parts, _row(*panels)], "Prediction explorer", at=len(parts))
        on_change(self._move, *self._sliders)
        on_change(self.ask, self.why)
        self.back.on_click(self._back)
        self.answer_now()

    def _move(self, _: Any) -> None:
        self.across.disabled = self.down.disabled = not self.cover.value
        self.ask()

    def _back(self, _: Any) -> None:
        for slider, name in zip(self._sliders, _SLIDERS, strict=True):
            slider.unobserve(self._move, names="value")  # one request, not one for each slider
            slider.value = _start(name)
            slider.observe(self._move, names="value")
        self._move(None)

    def _request(self) -> _Request:
        sliders = zip(_SLIDERS.items(), self._sliders, strict=True)
        change = Change(
            **{name: values[slider.value] for (name, (_, values, _)), slider in sliders}
        )
        return self.choice.picture, change, self.why.value

    def _answer(self, request: _Request, stale: Stale) -> None:
        held = self._held
        if held is None:
            return
        picture, change, method = request
        if held.picture is not picture:
            held.choose(picture)
        tensor, now = held.answer(picture, change)
        classes, best = held.backbone.classes, int(now.argmax())
        shown = held.backbone.preprocess.to_array(tensor)
        # First, since it belongs to the picture before.
        self.pixels.value = _waiting_tile(shown, classes[best]) if method else ""
        self.seen.value = _input_tile(shown, change)
        self.answer.value = class_table(classes, now, held.before)
        self._tell(f"First answer: {classes[best]}, {float(now[best]):.0%}.")
        if not method or stale():
            return

        def give_up(*_: Any) -> None:
            if stale():
                raise _NewerRequestError

        backbone = held.fast if method == "occlusion" else held.backbone
        window = max(2 * min(tensor.shape[1:]) // 7, 2)
        try:
            with backbone.model.register_forward_pre_hook(give_up), suppress(_NewerRequestError):
                heat = attribute(backbone, tensor, best, method=method, window=window)
                self.pixels.value = map_tile(shown, heat, classes[best], method)
        except Exception:
            self.pixels.value = ""
            raise

    def _static(self) -> Figure | None:
        return _draw(self._held) if self._held else None


def _start(name: str) -> int:
    """Position of the slider where nothing is changed."""
    return _SLIDERS[name][1].index(getattr(Change, name))


def _slider(name: str) -> Steps:
    description, values, label = _SLIDERS[name]
    layout = {"width": "32em", "max_width": "100%"}
    return Steps(description, [label(value) for value in values], _start(name), layout=layout)


def _row(*parts: widgets.Widget) -> widgets.Box:
    return widgets.Box(parts, layout={"flex_flow": "row wrap", "grid_gap": "0 1.2em"})


def _has_maps(backbone: Backbone) -> bool:
    with suppress(CourseError):
        return bool(deepest_map(backbone))
    return False


def grey(preprocess: Preprocess) -> tuple[int, ...]:
    """Return the colour that becomes 0 in preprocessing: the mean of the network's training."""
    colour = preprocess.undo(torch.zeros(3, 1, 1)).flatten()
    return tuple(round(255 * value) for value in colour.tolist())


def alter(picture: Image.Image, preprocess: Preprocess, change: Change) -> Image.Image:
    """Return the altered RGB picture, or the given one itself if nothing is to be done.

    Where the rotated picture ends, and under the square, it is `grey`.
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


_HEIGHT = 20.5  # em of a picture with its caption, so that it does not change with the caption


def _input_tile(shown: np.ndarray, change: Change) -> "Markup":
    caption = render(
        "<b>The network's input</b>{{ ', unaltered' if same }}."
        "{{ ' Grey corners and squares are 0 for the network.' if grey }}",
        same=change == Change(),
        grey=change.degrees or change.cover,
    )
    return tile(photo_uri(shown), f"The network's input: {change}", caption, height=_HEIGHT)


def _waiting_tile(shown: np.ndarray, name: str) -> "Markup":
    caption = render("Computing what speaks for <b>{{ name }}</b> ...", name=name)
    return tile(photo_uri(washed_out(shown)), "", caption, height=_HEIGHT)


def map_tile(shown: np.ndarray, heat: np.ndarray, name: str, method: Method) -> "Markup":
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
    return tile(photo_uri(washed_out(shown)), alt, caption, over=over, height=_HEIGHT)


def class_table(classes: tuple[str, ...], now: torch.Tensor, before: torch.Tensor) -> "Markup":
    """List the five most probable classes, with their probability now and before."""
    every = list(zip(classes, now.tolist(), before.tolist(), strict=True))
    rows = [every[i] for i in now.topk(min(5, len(now))).indices.tolist()]
    first = every[int(before.argmax())]
    return render_template(
        "predictions_table", rows=rows, first=first, colour=BLUE, percent=_percent
    )


@drawing
def _draw(held: _Held) -> Figure:
    """Draw the first picture, altered; what is answered, and, if it gives maps, Grad-CAM for it."""
    name, picture = held.first
    name = name.replace("_", " ")
    rows = 2 if _has_maps(held.backbone) else 1
    figure = new_figure(0.4 + 1.6 * rows, title=f"{name}: the first answer when it is altered")
    grid = figure.subplots(rows, len(_EXAMPLES), squeeze=False)
    texts = []
    for (above, *below), (what, change) in zip(grid.T, _EXAMPLES.items(), strict=True):
        tensor, probabilities = held.answer(picture, change)
        best = int(probabilities.argmax())
        answer, share = held.backbone.classes[best], _percent(float(probabilities[best]))
        shown = held.backbone.preprocess.to_array(tensor)
        draw_picture(above, shown, textwrap.fill(what, 14), frame=True)
        above.set_xlabel(f"{textwrap.fill(answer, 16)}\n{share}", size=10)
        texts.append(f"{what}: {answer} ({share})")
        for axes in below:
            heat = attribute(held.backbone, tensor, best)
            draw_picture(axes, washed_out(shown))
            lay_over(axes, heat, heat.shape, faintest=0.1)
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
