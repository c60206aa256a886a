"""Some layers of a network as one module, from pixels to pooled values, to be converted as a whole."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from tlcourse.engines.proof import examples
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.mel import MelPreprocess
from tlcourse.networks.preprocess import Preprocess
from tlcourse.networks.tap import Pool, activations, pool_positions


class Tapped(nn.Module):
    """Gives the pooled values of some layers and stops at the deepest.

    It takes what `prepare` makes: pixels (N, H, W, 3) in bytes, a quarter of the memory, where
    these and some arithmetic are all that the preprocessing does; else what the network takes.
    """

    def __init__(self, backbone: Backbone, layers: Sequence[str], pool: Pool) -> None:
        super().__init__()
        self.model, self.backbone, self.layers, self.pool = backbone.model, backbone, layers, pool
        self.pixels = _takes_pixels(backbone.preprocess)
        first = next(backbone.model.parameters(), None)
        self.dtype = torch.float32 if first is None else first.dtype
        backbone.trace  # noqa: B018  which cannot be made while this is traced

    @property
    def prepare(self) -> Callable[[Any], np.ndarray]:
        """What turns a picture or a sound into what goes in."""
        preprocess = self.backbone.preprocess
        if self.pixels and isinstance(preprocess, Preprocess):
            return preprocess.pixels
        return lambda picture: preprocess(picture).numpy()

    def example(self, n: int) -> torch.Tensor:
        """Noise in place of `n` pictures."""
        generator = torch.Generator().manual_seed(0)
        channels, height, width = self.backbone.preprocess.shape
        if self.pixels:
            shape = (n, height, width, channels)
            noise = torch.randint(256, shape, generator=generator).to(torch.uint8)
        else:
            noise = torch.rand(n, channels, height, width, generator=generator)
        return noise.to(self.backbone.device)

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the layers' values in their order, float32 (n, ...)."""
        if self.pixels:
            batch = self.backbone.of_pictures.normalise(batch)
        values = activations(self.backbone, batch.to(self.dtype), self.layers).values()
        return tuple(pool_positions(value, self.pool, self.model).float() for value in values)


def _takes_pixels(preprocess: Preprocess | MelPreprocess) -> bool:
    """Whether `pixels` and `normalise` are all that a preprocessing does."""
    if not isinstance(preprocess, Preprocess):
        return False
    for picture in examples(preprocess):
        expected = preprocess(picture)
        try:
            pixels = torch.from_numpy(preprocess.pixels(picture)[None].copy())
        except KeyError:  # an interpolation that Pillow does not have
            return False
        given = preprocess.normalise(pixels)[0]
        if given.shape != expected.shape or not torch.allclose(given, expected, atol=1e-4):
            return False
    return True
