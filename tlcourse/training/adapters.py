"""Small new parts for a body that stays as it is: LoRA and bottleneck adapters (notebook 11).

Each function returns a copy of the network. Training moves what is new in it, and the head.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils import parametrize

from tlcourse.base.machine import fixed_seed
from tlcourse.engines.pytorch import set_weight
from tlcourse.errors import CourseError, check_whole
from tlcourse.networks.network import Network
from tlcourse.networks.tap import are_maps
from tlcourse.networks.trace import is_inside

Kind = Literal["lora", "adapter", "norms", "biases"]
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
_NAME = "adapter"  # of the new part inside a block


@dataclass(frozen=True)
class Added:
    """What was added to a network, or chosen in it, by which it can be built again."""

    kind: Kind
    layers: tuple[str, ...] = ()  # module paths in the body that got a new part
    size: int = 0  # the rank of LoRA, or the width of an adapter
    alpha: float = 0.0  # of LoRA


class LowRank(nn.Module):
    """A weight (outputs, ...) plus the product of two small matrices; at first plus zero.

    It is a parametrization of PyTorch: the layer computes with the sum as with any weight, so
    convolutions of all sizes and linear layers need no code of their own.
    """

    def __init__(self, weight: torch.Tensor, rank: int, scale: float) -> None:
        super().__init__()
        outputs, inputs = weight.shape[0], weight[0].numel()
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight that the layer computes with."""
        return weight + self.scale * (self.up @ self.down).view_as(weight)


class Bottleneck(nn.Module):
    """A value (B, C, H, W) or (..., C) plus a small network of it; at first plus zero."""

    def __init__(self, channels: int, width: int, *, maps: bool) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, width, 1) if maps else nn.Linear(channels, width)
        self.up = nn.Conv2d(width, channels, 1) if maps else nn.Linear(width, channels)
        for parameter in self.up.parameters():
            nn.init.zeros_(parameter)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Return a value of the same shape."""
        return value + self.up(self.down(value).relu())


def add_lora(
    network: Network,
    rank: int = 4,
    *,
    where: str | Sequence[str] = "*",
    alpha: float | None = None,
    depthwise: bool = False,
    seed: int = 0,
) -> Network:
    """Copy a network and give its layers LoRA: W stays, and W + BA is computed with.

    A (rank, inputs) is random, B (outputs, rank) is zero, so that the copy computes what the network
    does. Only A, B and the head move (Hu et al. 2021, arXiv:2106.09685). The product BA is added to
    the weight, not to the output: on a CPU a step of a convolutional network is shorter that way.

    Args:
        network: A body with its head. What is frozen in it gets nothing.
        rank: Of BA, at most the smaller side of each weight as a matrix (outputs, inputs).
        where: Pattern, or patterns, of module paths in the body, such as "blocks.[4-6].*"; by
            default all convolutions and linear layers.
        alpha: BA counts alpha / rank times; by default once.
        depthwise: Also convolutions that see one channel each, whose weights are small already.
        seed: Decides A.

    Raises:
        CourseError: The rank is no whole number, or larger than a layer allows; no layer matches;
            or the network has a new part already.
    """
    check_whole("rank", rank)
    alpha = rank if alpha is None else alpha
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < math.inf:
        raise CourseError(f"alpha is {alpha!r}, but must be a positive number, such as {rank}.")
    _refuse_twice(network)
    layers = [
        path
        for path, module in network.body.named_modules()
        if isinstance(module, _LAYERS)
        and (depthwise or not _is_depthwise(module))
        and _may_learn(network, path)
    ]
    chosen = _chosen(network, layers, where, "convolution or linear layer")
    for path in chosen:
        weight: Any = network.body.get_submodule(path).weight
        if rank > (most := min(len(weight), weight[0].numel())):
            raise CourseError(
                f"rank is {rank}, but layer {path!r} allows at most {most}: its weight is a matrix "
                f"of {len(weight)} x {weight[0].numel()}. Take a smaller rank, or leave the layer "
                "out with where=..."
            )
    twin = copy.deepcopy(network)
    put_on(twin, Added("lora", tuple(chosen), rank, float(alpha)), seed=seed)
    return twin


def add_adapter(
    network: Network, width: int = 8, *, where: str | Sequence[str] | None = None, seed: int = 0
) -> Network:
    """Copy a network and put a small network of two layers behind each of its blocks.

    Each one narrows the block's output to `width` channels and widens it again, with a ReLU between,
    and adds the result. The last layer begins with zeros, so that the copy computes what the
    network does. Only these parts and the head move (Houlsby et al. 2019, arXiv:1902.00751).

    Args:
        network: A body with its head. What is frozen in it gets nothing.
        width: Channels between the two layers.
        where: Pattern, or patterns, of module paths in the body; by default each block, that is a
            module with several layers which is no plain sequence of others.
        seed: Decides the first layers.

    Raises:
        CourseError: The width is no whole number; no module with maps or tokens matches; or the
            network has a new part already.
    """
    check_whole("width", width)
    _refuse_twice(network)
    trace, end = network.backbone.trace, network.backbone.depth(network.layer)
    fitting = [
        path
        for path, module in network.body.named_modules()
        if path
        and 0 <= trace[path].position <= end
        and len(trace[path].output_shape or ()) > 1
        and len(list(module.children())) > 1
        and _may_learn(network, path)
    ]
    if where is None:
        blocks = [
            path
            for path in fitting
            if not isinstance(network.body.get_submodule(path), nn.Sequential)
            and sum(hasattr(m, "weight") for m in network.body.get_submodule(path).modules()) > 1
        ]
        blocks = [path for path in blocks if not _is_row_of(network.body, path, blocks)]
        fitting = [p for p in blocks if not any(is_inside(p, holder) for holder in blocks)]
    pattern = "*" if where is None else where
    chosen = _chosen(network, fitting, pattern, "block with maps or tokens")
    twin = copy.deepcopy(network)
    put_on(twin, Added("adapter", tuple(chosen), width), seed=seed)
    return twin


def merge(network: Network) -> Network:
    """Return a copy of a network without new parts, which computes the same.

    LoRA's products are added to the weights. Norms and biases that moved are where they belong.
    All that is not frozen may learn in the copy.

    Raises:
        CourseError: The network has bottleneck adapters. Their ReLU cannot be part of a weight.
    """
    if network.added is not None and network.added.kind == "adapter":
        raise CourseError(
            "A bottleneck adapter has a ReLU between its two layers, so it cannot be part of the "
            "weights before it. Use the network as it is; LoRA can be merged."
        )
    twin = copy.deepcopy(network)
    for module in list(twin.body.modules()):
        if parametrize.is_parametrized(module, "weight"):
            set_weight(module)
    twin.added = None
    twin.hold(())
    return twin


def put_on(network: Network, added: Added, *, seed: int = 0) -> None:
    """Put these parts into a network's body, in place, and hold the rest but the head."""
    old = {f"body.{name}" for name, _ in network.body.named_parameters()}
    with fixed_seed(seed, torch.device("cpu")):
        for path in added.layers:
            module: Any = network.body.get_submodule(path)
            if added.kind == "lora":
                product = LowRank(module.weight.detach(), added.size, added.alpha / added.size)
                parametrize.register_parametrization(module, "weight", product, unsafe=True)
                name = f"body.{path}.weight"
                old = old - {name} | {f"body.{path}.parametrizations.weight.original"}
            else:
                shape = network.backbone.trace[path].output_shape or ()
                maps = are_maps(shape) or tuple(shape[1:]) == (1, 1)
                first = next(module.parameters())
                part = Bottleneck(shape[0 if maps else -1], added.size, maps=maps)
                _put_behind(module, part.to(first.device, first.dtype))
    network.added = added
    network.updates_batchnorm = False  # statistics that moved would not be part of the adapter
    network.hold(old)
    network.train(network.training)


def take_off(network: Network) -> None:
    """Remove a network's new parts, in place; the weights are again those from before."""
    for path in network.added.layers if network.added else ():
        module: Any = network.body.get_submodule(path)
        if parametrize.is_parametrized(module, "weight"):
            set_weight(module, original=True)
        else:
            delattr(module, _NAME)
            if not isinstance(module, nn.Sequential):
                module.__class__ = type(module).__mro__[2]
    network.added = None
    network.hold(())


def _put_behind(module: nn.Module, part: nn.Module) -> None:
    """Let a module's output go through a part, which becomes one of its children.

    The paths of all modules stay. No hook does it, since copies on the meta device have none.
    """
    module.add_module(_NAME, part)
    if not isinstance(module, nn.Sequential):  # which calls its last child by itself
        module.__class__ = type(f"Adapted{type(module).__name__}", (_Adapted, type(module)), {})


class _Adapted(nn.Module):
    """Comes before a block's own class, and lets its output go through its adapter."""

    adapter: nn.Module

    def forward(self, *inputs: Any, **options: Any) -> Any:
        part = self._modules.pop(_NAME)  # a block may run all of its children by itself
        try:
            value = super().forward(*inputs, **options)
        finally:
            self._modules[_NAME] = part
        return self.adapter(value)


def _may_learn(network: Network, path: str) -> bool:
    """Whether the forward pass comes to a module, and it is not frozen."""
    record = network.backbone.trace.get(path)
    return record is not None and record.position >= 0 and path not in network.frozen_paths


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv1d | nn.Conv2d) and 1 < module.groups == module.in_channels


def _chosen(
    network: Network, paths: Sequence[str], where: str | Sequence[str], what: str
) -> list[str]:
    """Those of the paths that match a pattern, or a sentence if there is none."""
    if not isinstance(where, str | list | tuple):
        raise CourseError(
            f"where is {where!r}, but must be a pattern such as 'blocks.*', or several."
        )
    patterns = [where] if isinstance(where, str) else list(where)
    paths = list(paths)
    chosen = [path for path in paths if any(fnmatchcase(path, p) for p in patterns)]
    if not chosen:
        known = f"Some that can: {', '.join(paths[:2] + paths[-2:])}." if paths else ""
        raise CourseError(
            f"where={where!r} matches no {what} of {network.backbone.name} that may move, so "
            f"nothing would be added. {known}".strip()
        )
    return chosen


def _is_row_of(body: nn.Module, path: str, blocks: Sequence[str]) -> bool:
    """Whether a module only calls a row of blocks, one after the other."""
    return any(
        isinstance(part, nn.Sequential | nn.ModuleList)
        and len(part) > 1
        and all(f"{path}.{name}.{place}" in blocks for place, _ in part.named_children())
        for name, part in body.get_submodule(path).named_children()
    )


def _refuse_twice(network: Network) -> None:
    if not isinstance(network, Network):
        raise CourseError(
            f"A tl.Network is needed, not {type(network).__name__}. tl.Network(backbone, n_classes) "
            "makes one."
        )
    if network.added is not None:
        raise CourseError(
            f"This network has {network.added.kind!r} already. Begin with a new tl.Network, or "
            "with tl.finetune.merge(network)."
        )
