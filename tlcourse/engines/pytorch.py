"""PyTorch as an engine: in full precision anywhere, in half precision on an NVIDIA GPU."""

import sys
from collections.abc import Sequence

import numpy as np
import torch

from tlcourse.base.machine import usable_cores
from tlcourse.engines.folded import fast_batch_size, fast_copy
from tlcourse.engines.proof import pooled
from tlcourse.errors import CourseError
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Pool

_MANY = 20_000  # pictures that are worth starting processes for, or compiling a network


class PyTorchEngine:
    """Runs a copy of the network with folded BatchNorms in channels-last order."""

    at_once = 1  # PyTorch divides each operation among the cores itself

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[str],
        pool: Pool,
        n: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.network = fast_copy(backbone, layers)
        self.layers, self.pool = layers, pool
        self.name = f"PyTorch {torch.__version__.partition('+')[0]} on {backbone.device}"
        self.batch_size = batch_size or fast_batch_size(backbone)
        self.prepare = backbone.preprocess
        gpu = backbone.device.type == "cuda" and (n is None or n >= _MANY)
        self.workers = _workers() if gpu else 0

    def __call__(self, items: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
        """Compute one batch."""
        return pooled(self.network, items, self.layers, self.pool)


class HalfEngine(PyTorchEngine):
    """Runs the network in half precision on an NVIDIA GPU, compiled where that pays."""

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[str],
        pool: Pool,
        n: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        if backbone.device.type != "cuda":
            raise CourseError(
                f'engine="half" needs an NVIDIA GPU, but {backbone.name} is on '
                f'{backbone.device}. Load it with device="cuda" where there is one, or take '
                'engine="auto".'
            )
        super().__init__(backbone, layers, pool, n, batch_size or 256)
        self.name += " in half precision"
        if n is None or n >= _MANY:
            self.network.model.compile()

    def __call__(self, items: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
        """Compute one batch."""
        with torch.autocast("cuda", torch.float16):
            return super().__call__(items)


def _workers() -> int:
    """Processes that open pictures; where no process can be forked, threads do it."""
    return min(usable_cores(), 16) if sys.platform == "linux" else 0
