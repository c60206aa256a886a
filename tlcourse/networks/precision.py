"""Weights that take fewer bytes: stored in half precision or 8 bits, computed with in float32."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import nn

Precision = Literal["float32", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_LEVELS = 127  # of 8 bits, on each side of zero
_SMALLEST = 1e-12  # scale of a channel that is all zeros


def store_weights(model: nn.Module, precision: Precision) -> nn.Module:
    """Store a network's weight matrices and kernels in fewer bytes; it is changed in place.

    Each pass turns them back into float32, so it runs on every processor. What has one dimension,
    such as biases, stays float32: it is a small part, and errors there count most.
    """
    if precision == "float32":
        return model
    pack, unpack = (_half, _whole) if precision == "float16" else (eight_bits, _from_eight_bits)
    for module in list(model.modules()):
        matrices = {n: p for n, p in module.named_parameters(recurse=False) if p.ndim > 1}
        if matrices:
            _replace(module, matrices, pack, unpack)
    return model


def eight_bits(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a weight to whole numbers from -127 to 127, with one scale for each output channel.

    Args:
        weight: (out, ...).

    Returns:
        int8 of the same shape, and the scales (out, 1, ...): their product is the rounded weight.
    """
    largest = weight.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True)
    scale = (largest / _LEVELS).clamp(min=_SMALLEST)
    return (weight / scale).round().to(torch.int8), scale


def _from_eight_bits(numbers: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return numbers.float() * scale


def _half(weight: torch.Tensor) -> tuple[torch.Tensor]:
    return (weight.half(),)


def _whole(weight: torch.Tensor) -> torch.Tensor:
    return weight.float()


def _replace(
    module: nn.Module,
    matrices: dict[str, nn.Parameter],
    pack: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
    unpack: Callable[..., torch.Tensor],
) -> None:
    """Give a module buffers in place of parameters, and attributes that make the weights again.

    `torch.nn.utils.parametrize` does the same, but refuses another number format.
    """
    made = {}
    for name, weight in matrices.items():
        del module._parameters[name]
        parts = [f"{name}_{precise}" for precise in ("stored", "scale")]
        kept = []
        for part, tensor in zip(parts, pack(weight.detach()), strict=False):
            module.register_buffer(part, tensor)
            kept.append(part)
        made[name] = _computed(kept, unpack)
    if hasattr(module, "_flat_weights"):  # a recurrent layer keeps a list of its weights
        made["_flat_weights"] = property(
            lambda self: [getattr(self, name) for name in self._flat_weights_names],
            lambda self, value: None,
        )
    module.__class__ = type(type(module).__name__, (type(module),), made)


def _computed(parts: list[str], unpack: Callable[..., torch.Tensor]) -> property:
    return property(lambda self: unpack(*(getattr(self, part) for part in parts)))
