"""A copy of a network for `torch.export`, which follows a forward pass that runs to its end."""

from typing import Any

import torch
from torch import nn

from tlcourse.networks.backbone import Backbone
from tlcourse.networks.fast import fast_copy
from tlcourse.networks.layers import pool_positions
from tlcourse.networks.network import Network
from tlcourse.networks.tap import listen
from tlcourse.networks.trace import is_inside, modules_up_to, tensors_in


def straight(backbone: Backbone) -> nn.Module:
    """Copy a network so that `torch.export` can follow it: frozen, its BatchNorms folded.

    A `Network` ends its body's pass early, by an exception. Here the body runs to its end, and what
    stands behind the cut only gives zeros, which nothing reads.
    """
    model = fast_copy(backbone, ["logits"]).model.cpu().requires_grad_(False).eval()
    return _Straight(model) if isinstance(model, Network) else model


class _Straight(nn.Module):
    """The body and the head of a `Network`, without the early end."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.body, self.head = network.body, network.head
        self._where, self._pool = network._where, network.pool
        records = network.backbone.trace
        behind = self._where.side == "output"
        done = set(modules_up_to(records, self._where.path, inclusive=behind))
        for path, record in records.items():
            holds = is_inside(self._where.path, path) and (behind or path != self._where.path)
            if path and record.calls and path not in done and not holds:
                parent, _, name = path.rpartition(".")
                holder = _submodule(self.body, parent)
                if holder is not None and hasattr(holder, name):
                    setattr(holder, name, _Blank(record.output_shape))
        self.eval()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn preprocessed pictures (B, 3, H, W) into logits (B, classes)."""
        reached: list[torch.Tensor] = []
        with listen(self.body, self._where, lambda value: reached.append(tensors_in(value)[0])):
            self.body(batch)
        return self.head(pool_positions(reached[0], self._pool, self.body))


class _Blank(nn.Module):
    """Zeros in the shape of what stood here."""

    def __init__(self, shape: tuple[int, ...] | None) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, value: Any, *_: Any, **__: Any) -> Any:
        return value if self.shape is None else value.new_zeros(value.shape[0], *self.shape)


def _submodule(model: nn.Module, path: str) -> nn.Module | None:
    try:
        return model.get_submodule(path)
    except AttributeError:  # something around it has been replaced
        return None
