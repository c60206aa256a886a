"""The proof that an engine gives what the network itself gives, from the picture to each layer."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Pool, pool_positions
from tlcourse.networks.mel import MelPreprocess
from tlcourse.networks.preprocess import Preprocess
from tlcourse.networks.tap import activations

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
    given_pictures = examples(backbone.preprocess)
    expected = pooled(
        backbone, [backbone.preprocess(each) for each in given_pictures], layers, pool
    )
    try:
        given = run([prepare(each) for each in given_pictures])
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


def pooled(
    backbone: Backbone, inputs: Sequence[torch.Tensor], layers: Sequence[str], pool: Pool
) -> dict[str, np.ndarray]:
    """Return layer -> pooled values of what `preprocess` gave, float32 (n, ...)."""
    batch = torch.stack(list(inputs)).to(backbone.device, memory_format=torch.channels_last)
    values = {}
    for name, value in activations(backbone, batch, layers).items():
        values[name] = pool_positions(value, pool, backbone.model).float().cpu().numpy()
    return values
