"""PyTorch as an engine, and the faster copy of a network that it runs when nothing is trained.

In evaluation mode a BatchNorm only multiplies and adds fixed numbers, so it can be part of the
convolution before it.
"""

import copy
import math
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tlcourse.base.machine import usable_cores
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import Pool, activations, pool_positions

_CLOSE = 1e-4  # of the largest value of a layer
_MANY = 20_000  # pictures that are worth starting processes, or compiling a network
_MOST_WORKERS = 16


class PyTorchEngine:
    """Runs a network as it is, in channels-last order; `fast_copy` makes one that is faster."""

    at_once = 1  # PyTorch divides each operation among the cores itself

    def __init__(
        self,
        network: Backbone,
        layers: Sequence[str],
        pool: Pool,
        n: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.network, self.layers, self.pool = network, tuple(layers), pool
        self.name = f"PyTorch {torch.__version__.partition('+')[0]} on {network.device}"
        self.prepare: Callable[[Any], Any] = network.preprocess
        self.batch_size = batch_size or fast_batch_size(network)
        # A GPU is faster than threads can open pictures. Only Linux can fork.
        self.many = n is None or n >= _MANY
        forks = network.device.type == "cuda" and self.many and sys.platform == "linux"
        self.workers = min(usable_cores(), _MOST_WORKERS) if forks else 0

    def __call__(self, items: Sequence[Any]) -> dict[str, np.ndarray]:
        """Compute one batch."""
        batch = torch.from_numpy(np.stack(items))
        batch = batch.to(self.network.device, memory_format=torch.channels_last)
        rows = {}
        for name, value in activations(self.network, batch, self.layers).items():
            pooled = pool_positions(value, self.pool, self.network.model)
            rows[name] = pooled.float().cpu().numpy()
        return rows


def fast_copy(backbone: Backbone, layers: Sequence[str]) -> Backbone:
    """Copy a network and fold its BatchNorms, if a picture shows that the layers still agree."""
    model = copy.deepcopy(backbone.model).eval().to(memory_format=torch.channels_last)
    plain, folded = backbone.with_model(model), backbone.with_model(copy.deepcopy(model))
    _fold(folded.model, {backbone.layer(name).path for name in layers})
    return folded if _agree(plain, folded, layers) else plain


def fast_batch_size(backbone: Backbone) -> int:
    """Pictures per pass for which the maps of a layer still fit the processor's cache."""
    if backbone.device.type != "cpu":
        return 64
    pixels = math.prod(backbone.preprocess.shape[1:])
    return int(min(max(16 * 224**2 / pixels, 4), 32))  # more would only take more memory


def _fold(model: nn.Module, kept: set[str]) -> None:
    """Fold each BatchNorm that stands behind a convolution, whether or not it runs behind it."""
    for module in list(model.modules()):  # a weight that is computed, such as LoRA's
        if parametrize.is_parametrized(module, "weight"):
            set_weight(module)
    for path, parent in list(model.named_modules()):
        for (name, convolution), (norm_name, norm) in pairwise(list(parent.named_children())):
            if (
                isinstance(convolution, nn.Conv2d)
                and isinstance(norm, nn.BatchNorm2d)
                and norm.running_mean is not None
                and norm.num_features == convolution.out_channels
                and f"{path}.{name}".lstrip(".") not in kept
            ):
                fused = fuse_conv_bn_eval(convolution, norm)
                convolution.weight, convolution.bias = fused.weight, fused.bias
                # timm's BatchNorm layers carry the activation that comes after them.
                behind = filter(None, map(norm._modules.get, ("drop", "act")))
                setattr(parent, norm_name, nn.Sequential(*behind))


def set_weight(module: Any, *, original: bool = False) -> None:
    """Give a layer with a parametrized weight, such as LoRA's, an ordinary weight of that value.

    With `original` it gets the weight from before the parametrization.

    PyTorch's `remove_parametrizations` would break all copies of the layer, which share its class.
    """
    weight = module.parametrizations.weight.original if original else module.weight
    value, bias = weight.detach().clone(), module._parameters.pop("bias", None)
    moves = any(parameter.requires_grad for parameter in module.parametrizations.parameters())
    del module.parametrizations
    module.__class__ = type(module).__bases__[0]
    module.weight = nn.Parameter(value, requires_grad=moves)
    module.register_parameter("bias", bias)  # behind the weight, where it was


def _agree(plain: Backbone, folded: Backbone, layers: Sequence[str]) -> bool:
    """Whether the layers of two networks give nearly the same for a picture of noise."""
    shape = plain.preprocess.shape
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    given = activations(folded, noise, layers)
    for name, value in activations(plain, noise, layers).items():
        near = _CLOSE * value.abs().max().clamp(min=1e-6)
        if not ((given[name] - value).abs() <= near).all():  # not near either if one is no number
            return False
    return True
