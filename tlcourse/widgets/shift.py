"""Corrupt a picture by a slider and see what networks answer, and how sure they are (notebook 13)."""

import copy
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from PIL import Image

from tlcourse.base.html import render
from tlcourse.errors import CourseError, check_choice
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import activations
from tlcourse.patterns.result import Result
from tlcourse.plots.figure import Figure, draw_picture, drawing, new_figure, pixels
from tlcourse.tasks.corruptions import KINDS, STRONGEST, Kind, corrupt
from tlcourse.widgets.controls import LARGEST_SIDE, PictureChoice, Steps, check_pictures, dropdown
from tlcourse.widgets.explorer import Explorer, Stale, on_change, panel
from tlcourse.widgets.predictions import class_table
from tlcourse.widgets.tiles import photo_uri, tile

if TYPE_CHECKING:
    from markupsafe import Markup

_STRENGTHS = [step / 2 for step in range(2 * STRONGEST + 1)]
_HEIGHT = 20.5  # em of the picture with its caption
_Request = tuple[Image.Image, str, Kind, float]


@dataclass(frozen=True)
class _Answering:
    """A network of its own for the thread, and the temperature of its probabilities."""

    backbone: Backbone
    temperature: float

    def answer(
        self, picture: Image.Image, kind: Kind, strength: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the network's input for a corrupted picture, and each class's probability."""
        tensor = self.backbone.preprocess(corrupt(picture, kind, strength))
        logits = activations(self.backbone, tensor, "logits")["logits"][0]
        return tensor, (logits.float() / self.temperature).softmax(dim=0).cpu()


@dataclass(frozen=True)
class _Held:
    """What the explorer holds on to until it is closed."""

    networks: Mapping[str, _Answering]
    first: tuple[str, Image.Image]  # what is shown where no kernel runs; never an upload
    kind: Kind  # likewise


class ShiftExplorer(Explorer):
    """Choose a corruption and move its strength; the first answers and their confidence follow.

    Args:
        networks: A backbone with classes, or a result, whose probabilities are calibrated by its
            `temperature`; or name -> one of these, to go from one to the other.
        pictures: Name -> picture to choose from; one of your own can be uploaded. Longer ones are
            shrunk to 1024 pixels first.
        kind: The corruption that is chosen at first; see `tl.corrupt`.

    Raises:
        UnknownNameError: There is no such kind.
        CourseError: There is no network that answers, or no picture, or something else in its place.
    """

    def __init__(
        self,
        networks: Backbone | Result | Mapping[str, Backbone | Result],
        pictures: Mapping[str, Image.Image],
        *,
        kind: Kind = "noise",
    ) -> None:
        check_pictures(pictures)
        check_choice("corruption", kind, KINDS)
        named = networks if isinstance(networks, Mapping) else {"": networks}
        if not named:
            raise CourseError("There is no network. Pass a backbone, a result, or name -> result.")
        small = {name: Image.fromarray(pixels(p, LARGEST_SIDE)) for name, p in pictures.items()}
        answering = {str(name): _answering(each) for name, each in named.items()}
        self._held: _Held | None = _Held(answering, next(iter(small.items())), kind)
        self.choice = PictureChoice(small, self.ask, self.show_problem)
        self.network = dropdown("Network", list(answering))
        self.kind = dropdown("Corruption", KINDS)
        self.kind.value = kind
        labels = ["0, unaltered", *(f"{strength:g} of {STRONGEST}" for strength in _STRENGTHS[1:])]
        layout = {"width": "32em", "max_width": "100%"}
        self.strength = Steps("Strength", labels, 0, layout=layout)
        self.seen, self.answer = panel(), panel()
        choices = [self.network] * (len(answering) > 1) + [self.kind, self.strength]
        shown = widgets.Box(
            [self.seen, self.answer], layout={"flex_flow": "row wrap", "grid_gap": "0 1.2em"}
        )
        parts = [self.choice, *choices]
        super().__init__([*parts, shown], "Shift explorer", at=len(parts))
        on_change(self.ask, self.network, self.kind, self.strength)
        self.answer_now()

    def _request(self) -> _Request:
        strength = _STRENGTHS[self.strength.value]
        return self.choice.picture, self.network.value, self.kind.value, strength

    def _answer(self, request: _Request, stale: Stale) -> None:
        held = self._held
        if held is None:
            return
        picture, name, kind, strength = request
        network = held.networks[name]
        _, before = network.answer(picture, kind, 0)
        tensor, now = network.answer(picture, kind, strength)
        if stale():
            return
        best = int(now.argmax())
        self.seen.value = _input_tile(network, tensor, kind, strength)
        self.answer.value = class_table(network.backbone.classes, now, before)
        self._tell(f"First answer: {network.backbone.classes[best]}, {float(now[best]):.0%}.")

    def _static(self) -> Figure | None:
        return _draw(self._held) if self._held else None


def _answering(given: Any) -> _Answering:
    """Copy a network, as the thread must not meet the notebook's own hooks."""
    backbone = given.backbone if isinstance(given, Result) else given
    if not isinstance(backbone, Backbone):
        raise CourseError(f"A backbone or a result is needed, not {type(backbone).__name__}.")
    if not backbone.classes:
        raise CourseError(
            f"{backbone.name} has no classes, so it answers nothing. Pass the result of a training."
        )
    temperature = given.temperature if isinstance(given, Result) else 1.0
    return _Answering(backbone.with_model(copy.deepcopy(backbone.model)), temperature)


def _input_tile(network: _Answering, tensor: torch.Tensor, kind: Kind, strength: float) -> "Markup":
    shown = network.backbone.preprocess.to_array(tensor)
    said = f"{kind}, strength {strength:g}" if strength else "unaltered"
    caption = render("<b>The network's input</b>: {{ said }}.", said=said)
    return tile(photo_uri(shown), f"The network's input: {said}", caption, height=_HEIGHT)


@drawing
def _draw(held: _Held) -> Figure:
    """Draw the first picture in each strength, and below it what each network answers."""
    name, picture = held.first
    strengths = range(STRONGEST + 1)
    n = len(held.networks)
    figure = new_figure(0.7 + 1.55 * n, title=f"{name.replace('_', ' ')}: {held.kind}")
    grid = figure.subplots(n, len(strengths), squeeze=False)
    texts = []
    for row, (called, network) in enumerate(held.networks.items()):
        said = []
        for axes, strength in zip(grid[row], strengths, strict=True):
            tensor, shares = network.answer(picture, held.kind, strength)
            answer, share = network.backbone.classes[int(shares.argmax())], float(shares.max())
            above = f"strength {strength}" if row == 0 else ""
            shown = network.backbone.preprocess.to_array(tensor)
            draw_picture(axes, shown, above, frame=True)
            axes.set_xlabel(f"{textwrap.fill(answer, 16)} ({share:.0%})", size=10)
            said.append(f"{answer} ({share:.0%}) at {strength}")
        if called:
            label = textwrap.fill(called, 12)
            grid[row, 0].set_ylabel(label, rotation=0, ha="right", va="center", labelpad=8)
        texts.append(f"{called or 'first answer'}: {', '.join(said)}")
    figure.alt = (
        f"The picture {name.replace('_', ' ')!r} with {held.kind} of strength 0 to {STRONGEST}, and "
        f"the first answer with its probability. {'; '.join(texts)}."
    )
    return figure
