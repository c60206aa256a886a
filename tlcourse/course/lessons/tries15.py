"""What tries the answers to the exercises of notebook 15, and wrong answers to try it with."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MOST = 500_000  # exercise 15.1: bytes of the file
LEAST = 0.84  # of the test clothes
SHORT = 20  # exercise 15.4: letters of a purpose


# Exercise 15.1: a small file


@dataclass(frozen=True)
class File:
    """Stands for a `tl.Exported`."""

    size: int
    right: float


def size_of(answer: Any) -> int:
    """Bytes of an exported file."""
    return int(answer.size)


def right_of(answer: Any) -> float:
    """Share of the test clothes that an exported file names right; another task raises."""
    if isinstance(answer, File):
        return answer.right
    if answer.about["task"] != "fashion":
        raise TypeError("another task")
    return _right(answer)


@cache
def _right(answer: Any) -> float:
    from tlcourse.networks.load import load_backbone
    from tlcourse.tasks.load import load_task

    backbone = load_backbone(answer.about["backbone"], pretrained=False, device="cpu")
    prepare = backbone.at_size(answer.about["crop_size"]).preprocess
    clothes = load_task("fashion").test
    right = 0
    for start in range(0, len(clothes), 50):
        some = clothes[start : start + 50]
        batch = np.stack([prepare(picture).numpy() for picture, _ in some])
        right += int((answer(batch).argmax(axis=1) == some.labels).sum())
    return right / len(clothes)


# Exercise 15.2: eight bits


@cache
def weight() -> Any:
    """Kernels whose channels are of very different sizes, (6, 4, 3, 3)."""
    import torch

    random = torch.Generator().manual_seed(15)
    scales = torch.tensor([0.01, 0.1, 1, 2, 5, 20]).view(6, 1, 1, 1)
    return torch.randn(6, 4, 3, 3, generator=random) * scales


def rounded(answer: Any) -> str:
    """What a learner's function makes of a weight: "right", or which mistake."""
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    given = torch.as_tensor(answer(weight().clone())).float()
    if given.shape != weight().shape:
        raise TypeError("another shape")
    ways = {"right": each_channel, "one scale": one_scale, "cut off": cut_off, "levels": levels}
    for name, way in (ways | {"inputs": each_input}).items():
        wanted = way(weight()).float()
        if torch.allclose(given, wanted, rtol=1e-3, atol=1e-6):
            return name
    return "something else"


def _scaled(values: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    scale = values.abs().amax(dim=axes, keepdim=True) / 127
    return values / scale, scale


def each_channel(values: Any) -> Any:
    numbers, scale = _scaled(values, (1, 2, 3))
    return numbers.round() * scale


def one_scale(values: Any) -> Any:
    numbers, scale = _scaled(values, (0, 1, 2, 3))
    return numbers.round() * scale


def cut_off(values: Any) -> Any:
    numbers, scale = _scaled(values, (1, 2, 3))
    return numbers.trunc() * scale


def levels(values: Any) -> Any:
    return _scaled(values, (1, 2, 3))[0].round()


def each_input(values: Any) -> Any:
    numbers, scale = _scaled(values, (0, 2, 3))
    return numbers.round() * scale


# Exercise 15.3: preprocessing from what the file says

_SIZE, _RESIZED, _MEAN, _STD = 96, 110, 0.5, 0.5  # of the notebook's network


@cache
def scene() -> Image.Image:
    """A picture of waves, wider than high, in another colour at each side."""
    y, x = np.mgrid[0:150, 0:240] / 40
    channels = [np.sin(x), np.sin(y + 1), np.sin(x - y)]
    return Image.fromarray(np.uint8(127 + 120 * np.stack(channels, axis=2)))


def prepared(answer: Any) -> str:
    """What a learner's function makes of a picture: "right", or which mistake."""
    if not callable(answer):
        raise TypeError("not a function")
    given = answer(scene().copy())
    given = np.asarray(given.detach() if hasattr(given, "detach") else given, dtype=np.float64)
    if given.shape == (1, _SIZE, _SIZE, 3):
        return "channels last"
    if given.shape == (3, _SIZE, _SIZE):
        return "no batch"
    if given.shape != (1, 3, _SIZE, _SIZE):
        raise TypeError("another shape")
    ways = {"right": ready, "not normalised": not_normalised, "to 255": to_255}
    for name, way in (ways | {"not cropped": not_cropped}).items():
        wanted = way(scene())
        if np.abs(given - wanted).mean() < 0.03 * wanted.std():
            return name
    return "something else"


def _square(picture: Image.Image, resized: int) -> np.ndarray:
    """Resize the shorter side, cut the square in the middle: (1, 3, H, W) from 0 to 255."""
    scale = resized / min(picture.size)
    wide, high = (round(scale * side) for side in picture.size)
    picture = picture.convert("RGB").resize((wide, high), Image.Resampling.BICUBIC)
    left, top = round((wide - _SIZE) / 2), round((high - _SIZE) / 2)
    square = picture.crop((left, top, left + _SIZE, top + _SIZE))
    return np.asarray(square, dtype=np.float32).transpose(2, 0, 1)[None]


def ready(picture: Image.Image) -> np.ndarray:
    return (_square(picture, _RESIZED) / 255 - _MEAN) / _STD


def not_normalised(picture: Image.Image) -> np.ndarray:
    return _square(picture, _RESIZED) / 255


def to_255(picture: Image.Image) -> np.ndarray:
    return _square(picture, _RESIZED)


def not_cropped(picture: Image.Image) -> np.ndarray:
    return (_square(picture, _SIZE) / 255 - _MEAN) / _STD


def channels_last(picture: Image.Image) -> np.ndarray:
    return ready(picture).transpose(0, 2, 3, 1)


def no_batch(picture: Image.Image) -> np.ndarray:
    return ready(picture)[0]


# Exercise 15.4: a card


@dataclass(frozen=True)
class Saved:
    """Stands for a folder that `result.save` wrote."""

    task: str = "things"
    purpose: str = "To sort photographs of a game."
    groups: int = 2


def card_of(answer: Any) -> Saved:
    """What the card of a saved result says; an error where there is none."""
    if isinstance(answer, Saved):
        return answer
    if not isinstance(answer, str | Path):
        raise TypeError("not a folder")
    about = json.loads((Path(answer).expanduser() / "model.json").read_text("utf-8"))
    facts = about["facts"]
    groups = facts["scores"]["groups"] or ()
    return Saved(about["task"], facts.get("purpose") or "", len(groups))
