"""PyTorch as an engine: in full precision anywhere, in half precision on an NVIDIA GPU."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from tlcourse.base.machine import usable_cores
from tlcourse.engines.folded import fast_batch_size, fast_copy
from tlcourse.engines.proof import pooled
from tlcourse.engines.tapped import Tapped
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Pool

_MANY = 20_000  # pictures that are worth starting processes, or compiling a network
_MOST_WORKERS = 16
_HALF_BATCH = 256


class PyTorchEngine:
    """Runs a copy of a network with folded BatchNorms, in channels-last order."""

    at_once = 1  # PyTorch divides each operation among the cores itself

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[str],
        pool: Pool,
        n: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.network, self.layers, self.pool = fast_copy(backbone, layers), tuple(layers), pool
        self.name = f"PyTorch {torch.__version__.partition('+')[0]} on {backbone.device}"
        self.batch_size = batch_size or fast_batch_size(backbone)
        # A GPU is faster than threads can open pictures. Only Linux can fork.
        self.many = n is None or n >= _MANY
        forks = backbone.device.type == "cuda" and self.many and sys.platform == "linux"
        self.workers = min(usable_cores(), _MOST_WORKERS) if forks else 0

    @property
    def prepare(self) -> Callable[[Any], np.ndarray]:
        """What turns a picture or a sound into what goes in."""
        preprocess = self.network.preprocess
        return lambda picture: preprocess(picture).numpy()

    def __call__(self, items: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Compute one batch."""
        return pooled(self.network, torch.from_numpy(np.stack(items)), self.layers, self.pool)


class HalfEngine(PyTorchEngine):
    """Runs a network in half precision, from pixels on; compiled where there are many pictures."""

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[str],
        pool: Pool,
        n: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(backbone, layers, pool, n, batch_size or _HALF_BATCH)
        self.name += " in half precision"
        self.network.model.half()
        self._tapped = Tapped(self.network, self.layers, pool)
        self._run: Callable[[torch.Tensor], tuple[torch.Tensor, ...]] = self._tapped
        if self.many:
            # The graph has neither the hooks nor the early stop, at which compiling would end.
            example = self._tapped.example(self.batch_size)
            with torch.no_grad():
                self._run = torch.compile(make_fx(self._tapped)(example))

    @property
    def prepare(self) -> Callable[[Any], np.ndarray]:
        """What turns a picture or a sound into what goes in."""
        return self._tapped.prepare

    def __call__(self, items: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Compute one batch, filled up to its size: a compiled network takes no other."""
        filled = [*items, *[items[-1]] * (self.batch_size - len(items))]
        batch = torch.from_numpy(np.stack(filled)).to(self.network.device)
        with torch.no_grad():
            given = self._run(batch)
        rows = (values[: len(items)].cpu().numpy() for values in given)
        return dict(zip(self.layers, rows, strict=True))
