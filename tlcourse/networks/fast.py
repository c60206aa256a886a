"""A copy of a network that computes the same faster, for when nothing is trained.

In evaluation mode a BatchNorm only multiplies and adds fixed numbers, so it can be part of the
convolution before it. And convolutions on a CPU are faster when the colours of a pixel lie side by
side in memory ("channels last").
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import activations
from tlcourse.networks.trace import tensors_in

_CLOSE = 1e-4  # of the largest value of a layer


def fast_copy(backbone: Backbone, layers: Sequence[str]) -> Backbone:
    """Copy a network, fold its BatchNorms, and prove on one picture that the layers agree.

    Where the copy gives something else (a network that uses a convolution's output in two ways),
    the copy is not folded.
    """
    size = backbone.preprocess.crop_size
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(1, 3, size, size, generator=generator).to(backbone.device)
    folded = _copy(backbone)
    pairs, expected = _find_pairs(folded, layers, example)
    with torch.no_grad():
        for convolution, norm in pairs:
            _fold(folded.model, convolution, norm)
    found = activations(folded, example, layers)
    for name, value in expected.items():
        largest = value.abs().max().item()
        if not math.isfinite(largest) or not torch.allclose(
            found[name], value, rtol=0, atol=_CLOSE * max(largest, 1e-6)
        ):
            return _copy(backbone)
    return folded


def fast_batch_size(backbone: Backbone) -> int:
    """Pictures per pass for which the maps of a layer still fit the processor's cache."""
    if backbone.device.type != "cpu":
        return 64
    pixels = backbone.preprocess.crop_size**2
    return int(min(max(16 * 224**2 / pixels, 4), 32))  # more would only take more memory


def _copy(backbone: Backbone) -> Backbone:
    model = copy.deepcopy(backbone.model).eval().to(memory_format=torch.channels_last)
    return backbone.with_model(model)


def _find_pairs(
    backbone: Backbone, layers: Sequence[str], example: torch.Tensor
) -> tuple[list[tuple[str, str]], dict[str, torch.Tensor]]:
    """Paths of each (convolution, BatchNorm that its output goes into), and the layers' values.

    A convolution whose own output is asked for is left as it is.
    """
    wanted = {backbone.layer(name).path for name in layers}
    given: dict[int, tuple[str, torch.Tensor]] = {}  # the tensor is kept, so that its id stays its
    pairs: list[tuple[str, str]] = []
    calls: dict[str, int] = {}

    def after(path: str) -> Any:
        def hook(module: nn.Module, _: Any, output: torch.Tensor) -> None:
            calls[path] = calls.get(path, 0) + 1
            given[id(output)] = (path, output)

        return hook

    def before(path: str) -> Any:
        def hook(module: nn.Module, inputs: Any) -> None:
            calls[path] = calls.get(path, 0) + 1
            source = given.get(id(inputs[0]))
            if source:
                pairs.append((source[0], path))

        return hook

    handles = []
    for path, module in backbone.model.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(after(path)))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            handles.append(module.register_forward_pre_hook(before(path)))
    try:
        values = activations(backbone, example, layers)
    finally:
        for handle in handles:
            handle.remove()
    outputs = {id(t) for value in values.values() for t in tensors_in(value)}
    asked = {path for number, (path, _) in given.items() if number in outputs} | wanted
    once = [p for p in pairs if calls[p[0]] == calls[p[1]] == 1 and p[0] not in asked]
    return once, values


def _fold(model: nn.Module, convolution_path: str, norm_path: str) -> None:
    convolution, norm = model.get_submodule(convolution_path), model.get_submodule(norm_path)
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    # timm's BatchNorm layers carry the activation that comes after them.
    rest = [part for part in (getattr(norm, "drop", None), getattr(norm, "act", None)) if part]
    parent, _, name = norm_path.rpartition(".")
    setattr(model.get_submodule(parent), name, nn.Sequential(*rest) if rest else nn.Identity())
