"""What tries the answers to the exercises of notebook 16, and wrong answers to try it with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageOps

LIKE = 0.36  # exercise 16.1: accuracy of a probe on changed clothes of another task
UNLIKE = 0.2  # below it, the clothes stand on another side than those of the capstone
BEATS = 0.68  # exercise 16.2: on the part for tries, where the best probe reaches .648
BEST_OF_40 = 0.6956  # exercise 16.3: mean of 20,000 repetitions
_OF_EACH = 60  # clothes of each class that are changed
_SIDE = 16  # pixels that the probe sees

Change = Callable[[Image.Image], Image.Image]


# Exercise 16.1: pictures that look like those of the capstone


@lru_cache(maxsize=8)
def read(answer: Change) -> float:
    """Share of the capstone's public pictures that a probe on changed clothes reads."""
    import torch
    from sklearn.linear_model import RidgeClassifier

    source = _fashion()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = np.stack([_pixels(answer(picture.copy())) for picture, _ in source])
    probe = RidgeClassifier(alpha=10).fit(x, source.labels)
    wanted, labels = _wanted()
    return float((probe.predict(wanted) == labels).mean())


def is_dark(answer: Change) -> bool:
    """Whether the corners of changed pictures are dark, as those of the task "fashion" are."""
    changed = [answer(_fashion()[i][0].copy()) for i in range(0, 10 * _OF_EACH, 30)]
    corners = [np.asarray(p.convert("L"))[[0, 0, -1, -1], [0, -1, 0, -1]] for p in changed]
    return float(np.median(corners)) < 128


def is_fixed(answer: Change) -> bool:
    """Whether a picture is changed in the same way each time."""
    picture = _fashion()[0][0]
    once, again = (answer(picture.copy()) for _ in range(2))
    return once.size == again.size and once.tobytes() == again.tobytes()


@cache
def _fashion() -> Any:
    from tlcourse.tasks.load import load_task

    return load_task("fashion").few_of_each(train=_OF_EACH).train


@cache
def _wanted() -> tuple[np.ndarray, np.ndarray]:
    from tlcourse.tasks.load import load_task

    task = load_task("capstone")
    x = [_pixels(picture) for split in (task.train, task.val) for picture, _ in split]
    return np.stack(x), np.concatenate([task.train.labels, task.val.labels])


def _pixels(picture: Image.Image) -> np.ndarray:
    small = picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel() / 255


def as_it_is(picture: Image.Image) -> Image.Image:
    return picture


def turned_only(picture: Image.Image) -> Image.Image:
    return picture.rotate(110)


def negative(picture: Image.Image) -> Image.Image:
    return ImageOps.invert(picture)


def same_turn(picture: Image.Image) -> Image.Image:
    return ImageOps.invert(picture).rotate(110, fillcolor="white")


def little_turn(picture: Image.Image) -> Image.Image:
    import torch

    angle = 85 + 10 * torch.rand(1).item()
    return ImageOps.invert(picture).rotate(angle, fillcolor="white")


# Exercise 16.2: a submission


@dataclass(frozen=True)
class Submitted:
    """Stands for a `tl.Submission`."""

    part: str
    accuracy: float


def on_tries(answer: Any) -> float:
    """Accuracy of a submission on the part for tries; an error for anything else."""
    if answer.part != "tries":
        raise TypeError("another part")
    return float(answer.accuracy)
