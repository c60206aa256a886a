"""PyTorch in half precision, on an NVIDIA GPU."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from tlcourse.engines.pytorch import PyTorchEngine, fast_copy
from tlcourse.engines.tapped import Tapped
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import Pool

_BATCH = 256


class HalfEngine(PyTorchEngine):
    """Runs a fast copy of a network, from pixels on; compiled where there are many pictures."""

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[str],
        pool: Pool,
        n: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(fast_copy(backbone, layers), layers, pool, n, batch_size or _BATCH)
        self.name += " in half precision"
        self.network.model.half()
        tapped = Tapped(self.network, self.layers, pool)
        self.prepare = tapped.prepare
        self._run: Callable[[torch.Tensor], tuple[torch.Tensor, ...]] = tapped
        if self.many:
            # The graph has neither the hooks nor the early stop, at which compiling would end.
            example = tapped.example(self.batch_size)
            with torch.no_grad():
                self._run = torch.compile(make_fx(tapped)(example))

    def __call__(self, items: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Compute one batch, filled up to its size: a compiled network takes no other."""
        filled = [*items, *[items[-1]] * (self.batch_size - len(items))]
        batch = torch.from_numpy(np.stack(filled)).to(self.network.device)
        with torch.no_grad():
            given = self._run(batch)
        rows = (values[: len(items)].cpu().numpy() for values in given)
        return dict(zip(self.layers, rows, strict=True))
