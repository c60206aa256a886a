"""The part of a network behind a layer, as a network of its own.

With it, a frozen part has to run only once for each picture: its output is kept, and training
starts from there. Not every network can be taken apart like this; then the answer is None.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from tlcourse.networks.layers import Layer
from tlcourse.networks.network import Network
from tlcourse.networks.tap import in_mode

_Step = Callable[[torch.Tensor], torch.Tensor]

# What networks do between their modules, tried in this order.
_BRIDGES: tuple[_Step, ...] = (
    lambda x: x,
    lambda x: x.flatten(1),
    lambda x: x[:, 0],
    lambda x: x.mean(dim=1),
    lambda x: x.mean(dim=(2, 3)),
    lambda x: x.relu(),
    lambda x: x.relu().mean(dim=(2, 3)),
)


@dataclass
class _Call:
    """One call of a module in a forward pass."""

    path: str
    module: nn.Module
    taken: torch.Tensor | None
    given: torch.Tensor | None = None  # also None if it takes or gives something else
    behind: int = 0  # place of the first call that begins after its end


class Tail(nn.Module):
    """The network's own modules behind a layer, one after the other, with its head."""

    def __init__(self, network: Network, steps: list[_Step]) -> None:
        super().__init__()
        self.network, self.steps = network, steps

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Turn what the layer gave, (B, ...), into logits."""
        for step in self.steps:
            value = step(value)
        return self.network.head(self.network.pooled(value))


def tail_behind(network: Network, layer: str) -> tuple[Tail, torch.Tensor] | None:
    """Return what follows a layer, proved on noise, and the layer's value; None if impossible."""
    backbone = network.backbone
    noise = torch.randn(2, *backbone.preprocess.shape, generator=torch.Generator().manual_seed(0))
    with in_mode(network), torch.no_grad():
        calls, at_cut = _record(network, noise.to(backbone.device))
        features = network.pooled(at_cut)
        if backbone.depth(layer) >= backbone.depth(network.layer):
            return Tail(network, []), features[:1]
        chain = _steps(calls, backbone.layer(layer), at_cut)
        if chain is None:
            return None
        tail, start = Tail(network, chain[0]), chain[1]
        if not torch.allclose(tail(start), network.head(features), rtol=1e-4, atol=1e-5):
            return None
    return tail, start[:1]


def _record(network: Network, batch: torch.Tensor) -> tuple[list[_Call], torch.Tensor]:
    """Run a batch and note what goes into and comes out of each module of the body."""
    calls: list[_Call] = []

    def before(path: str, module: nn.Module, inputs: Any) -> None:
        calls.append(_Call(path, module, _copied(inputs[0] if inputs else None)))

    def after(module: nn.Module, inputs: Any, output: Any) -> None:
        call = next(call for call in reversed(calls) if call.module is module)
        call.given, call.behind = _copied(output), len(calls)

    with ExitStack() as hooks:
        for path, module in network.body.named_modules():
            hooks.enter_context(module.register_forward_pre_hook(partial(before, path)))
            hooks.enter_context(module.register_forward_hook(after))
        return calls, network.value(batch).clone()


def _copied(value: Any) -> torch.Tensor | None:
    return value.clone() if isinstance(value, torch.Tensor) else None


def _steps(
    calls: list[_Call], layer: Layer, at_cut: torch.Tensor
) -> tuple[list[_Step], torch.Tensor] | None:
    """Follow the value from the layer to the cut; return what to apply, and the first value."""
    own = [call for call in calls if call.path == layer.path]
    if len(own) != 1 or layer.side != "output" or own[0].given is None:
        return None
    start = value = own[0].given
    place = own[0].behind
    steps: list[_Step] = []
    while place < len(calls):
        call = calls[place]
        if call.given is None or call.taken is None:  # such as those that hold the cut
            place += 1
            continue
        bridge = _bridge(value, call.taken)
        if bridge is None:
            return None
        steps += [bridge, call.module]
        value, place = call.given, call.behind
    last = _bridge(value, at_cut)
    return None if last is None else ([*steps, last], start)


def _bridge(value: torch.Tensor, wanted: torch.Tensor) -> _Step | None:
    """Find what turns one value into the next one's input."""
    for bridge in _BRIDGES:
        with suppress(RuntimeError, IndexError):
            result = bridge(value)
            if result.shape == wanted.shape and torch.allclose(result, wanted, 1e-5, 1e-6):
                return bridge
    return None
