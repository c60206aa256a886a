"""Alter a picture by hand and see what the network answers, and why (notebook 02)."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal

import ipywidgets as widgets
import torch
from PIL.Image import Image, fromarray
from torch import nn

from tlcourse.errors import CourseError
from tlcourse.explain.attributions import Method, attribute, deepest_map
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.fast import fast_copy
from tlcourse.networks.tap import activations
from tlcourse.plots.figure import Figure, pixels
from tlcourse.widgets.controls import LARGEST_SIDE, PictureChoice, Steps, check_pictures, dropdown
from tlcourse.widgets.explorer import Explorer, Stale, on_change, panel
from tlcourse.widgets.predictions_view import (
    Change,
    Version,
    alter,
    altered_figure,
    class_table,
    input_tile,
    map_tile,
    waiting_tile,
)

_METHODS = [("Grad-CAM", "grad_cam"), ("occlusion", "occlusion"), ("do not show", "")]
_ZOOMS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
_BLURS = range(13)
_DEGREES = range(-180, 181, 15)
_COVERS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
_PLACES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_EXAMPLES = {
    "unaltered": Change(),
    "the middle half": Change(zoom=0.5),
    "blurred by 4 pixels": Change(blur=4),
    "rotated 90° to the right": Change(degrees=90),
    "half of the width covered": Change(cover=0.5),
    "all four, a little": Change(zoom=0.8, blur=2, degrees=30, cover=0.2),
}
_Request = tuple[Image, Change, Method | Literal[""]]


class _NewerRequestError(Exception):
    """Ends an attribution that nobody waits for any more."""


class _Held:
    """What the explorer holds on to until it is closed."""

    def __init__(self, backbone: Backbone, name: str, picture: Image) -> None:
        # Copies, since the thread must not meet the notebook's own hooks.
        self.backbone = backbone.with_model(copy.deepcopy(backbone.model))
        self.fast = fast_copy(backbone, ["logits"])  # for the many passes of occlusion
        self.first = name, picture  # what is shown where no kernel runs; never an upload
        self.choose(picture)

    def choose(self, picture: Image) -> None:
        """Remember the answer for an unaltered picture: the probability of each class."""
        self.picture = picture
        self.before = self.probabilities(self.backbone.preprocess(picture))

    def probabilities(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the probability of each class."""
        logits = activations(self.backbone, tensor, "logits")["logits"][0]
        return logits.float().softmax(dim=0).cpu()

    def version(self, picture: Image, change: Change) -> Version:
        """Alter a picture, and have it answered and explained."""
        preprocess = self.backbone.preprocess
        tensor = preprocess(alter(picture, preprocess, change))
        probability, first = self.probabilities(tensor).max(dim=0)
        heat = attribute(self.backbone, tensor, int(first)) if _has_maps(self.backbone) else None
        answer = self.backbone.classes[int(first)]
        return Version(preprocess.to_array(tensor), heat, answer, float(probability))


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

    def __init__(self, backbone: Backbone, pictures: Mapping[str, Image]) -> None:
        check_pictures(pictures)
        if not backbone.classes:
            raise CourseError(
                f"{backbone.name} has no classes, so it predicts nothing. Load a classifier, such "
                "as tl.load_backbone()."
            )
        small = {name: fromarray(pixels(p, LARGEST_SIDE)) for name, p in pictures.items()}
        self._held: _Held | None = _Held(backbone, *next(iter(small.items())))
        self.choice = PictureChoice(small, self.ask, self.show_problem)
        self.zoom = _steps("Zoom in to", [f"{zoom:.0%}" for zoom in _ZOOMS])
        self.blur = _steps("Blur", ["none", "1 pixel", *(f"{i} pixels" for i in _BLURS[2:])])
        self.turn = _steps("Rotate", [_side(d) for d in _DEGREES], _DEGREES.index(0))
        self.cover = _steps("Cover", ["nothing", *(f"{c:.0%} wide" for c in _COVERS[1:])])
        self.across = _steps("Cover, across", _ends("left", "right"), _PLACES.index(0.5))
        self.down = _steps("Cover, down", _ends("top", "bottom"), _PLACES.index(0.5))
        self._sliders = [self.zoom, self.blur, self.turn, self.cover, self.across, self.down]
        self._original = [slider.value for slider in self._sliders]
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

    def close(self) -> None:
        """Forget the pictures, the answers and the copies of the network, too."""
        self._held = None
        super().close()

    def _move(self, _: Any) -> None:
        self.across.disabled = self.down.disabled = not self.cover.value
        self.ask()

    def _back(self, _: Any) -> None:
        for slider, value in zip(self._sliders, self._original, strict=True):
            slider.unobserve(self._move, names="value")  # one request, not one for each slider
            slider.value = value
            slider.observe(self._move, names="value")
        self._move(None)

    def _request(self) -> _Request:
        change = Change(
            blur=_BLURS[self.blur.value],
            degrees=_DEGREES[self.turn.value],
            zoom=_ZOOMS[self.zoom.value],
            cover=_COVERS[self.cover.value],
            across=_PLACES[self.across.value],
            down=_PLACES[self.down.value],
        )
        return self.choice.picture, change, self.why.value

    def _answer(self, request: _Request, stale: Stale) -> None:
        held = self._held
        if held is None:
            return
        picture, change, method = request
        if held.picture is not picture:
            held.choose(picture)
        preprocess, classes = held.backbone.preprocess, held.backbone.classes
        tensor = preprocess(alter(picture, preprocess, change))
        now, shown = held.probabilities(tensor), preprocess.to_array(tensor)
        best = int(now.argmax())
        # First, since it belongs to the picture before.
        self.pixels.value = waiting_tile(shown, classes[best]) if method else ""
        self.seen.value = input_tile(shown, change)
        self.answer.value = class_table(classes, now, held.before)
        self._tell(f"First answer: {classes[best]}, {float(now[best]):.0%}.")
        if not method or stale():
            return
        backbone = held.fast if method == "occlusion" else held.backbone
        window = max(2 * min(tensor.shape[1:]) // 7, 2)
        try:
            with suppress(_NewerRequestError), _given_up_when(stale, backbone.model):
                heat = attribute(backbone, tensor, best, method=method, window=window)
                self.pixels.value = map_tile(shown, heat, classes[best], method)
        except Exception:
            self.pixels.value = ""
            raise

    def _static(self) -> Figure | None:
        if self._held is None:
            return None
        name, picture = self._held.first
        versions = {what: self._held.version(picture, c) for what, c in _EXAMPLES.items()}
        return altered_figure(name.replace("_", " "), versions)


@contextmanager
def _given_up_when(stale: Stale, model: nn.Module) -> Iterator[None]:
    """End the work of a network before its next pass when a newer request has come."""

    def check(*_: Any) -> None:
        if stale():
            raise _NewerRequestError

    handle = model.register_forward_pre_hook(check)
    try:
        yield
    finally:
        handle.remove()


def _has_maps(backbone: Backbone) -> bool:
    try:
        return bool(deepest_map(backbone))
    except CourseError:
        return False


def _side(degrees: int) -> str:
    return f"{abs(degrees)}° {'left' if degrees < 0 else 'right'}" if degrees else "0°"


def _ends(first: str, last: str) -> list[str]:
    return [{0: first, 0.5: "middle", 1: last}.get(p, f"{p:.0%}") for p in _PLACES]


def _steps(description: str, labels: list[str], value: int = 0) -> Steps:
    return Steps(description, labels, value, layout={"width": "32em", "max_width": "100%"})


def _row(*parts: widgets.Widget) -> widgets.Box:
    return widgets.Box(parts, layout={"flex_flow": "row wrap", "grid_gap": "0 1.2em"})
