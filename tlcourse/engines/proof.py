"""The proof that an engine gives what the network itself gives, from the picture to each layer."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tlcourse.engines.pytorch import PyTorchEngine
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.mel import MelPreprocess
from tlcourse.networks.preprocess import Preprocess
from tlcourse.networks.tap import Pool

Run = Callable[[Sequence[Any]], dict[str, np.ndarray]]


def is_proven(
    run: Run,
    prepare: Callable[[Any], Any],
    backbone: Backbone,
    layers: Sequence[str],
    pool: Pool,
    close: float,
) -> bool:
    """Whether all layers differ by at most `close` of their largest value, on two pictures."""
    pictures = examples(backbone.preprocess)
    plain = PyTorchEngine(backbone, layers, pool)
    expected = plain([plain.prepare(each) for each in pictures])
    try:
        given = run([prepare(each) for each in pictures])
    except RuntimeError:  # such as a number of pictures that has become part of a converted network
        return False
    for name, value in expected.items():
        near = close * max(float(np.abs(value).max()), 1e-6)
        # What is no number is not near either.
        if given[name].shape != value.shape or not (np.abs(given[name] - value) <= near).all():
            return False
    return True


def examples(preprocess: Preprocess | MelPreprocess) -> list[Any]:
    """A small picture and a large one, broad and tall; or a sound."""
    example = preprocess.example()
    if isinstance(example, Image.Image):
        return [example, example.resize((900, 600)).rotate(90, expand=True)]
    return [example]
