"""How what a layer gives becomes one vector per picture."""

from typing import Literal

import torch

Pool = Literal["mean", "max", "none"]


def are_maps(shape: tuple[int, ...] | None) -> bool:
    """Tell whether a layer's output for one picture is maps (C, H, W) of several positions.

    A vector, the tokens of a transformer, and the (H, W, C) of a Swin transformer are not.
    """
    if shape is None or len(shape) != 3 or shape[1] * shape[2] == 1:
        return False
    return not shape[0] == shape[1] != shape[2]


def pool_positions(value: torch.Tensor, pool: Pool) -> torch.Tensor:
    """Turn what a layer gave into vectors (B, C).

    Args:
        value: Maps (B, C, H, W), the (B, H, W, C) of a Swin transformer, tokens (B, T, C), or
            vectors (B, C), which stay as they are.
        pool: Mean or largest value over the positions; "none" keeps the value as it is.
    """
    if value.ndim <= 2 or pool == "none":
        return value
    if value.ndim == 3:
        axes: tuple[int, ...] = (1,)
    else:
        shape = tuple(value.shape[1:])
        axes = (2, 3) if are_maps(shape) or shape[1:] == (1, 1) else (1, 2)
    return value.mean(dim=axes) if pool == "mean" else value.amax(dim=axes)
