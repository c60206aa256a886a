"""The part of a network behind a layer, as a network of its own.

With it, a frozen part has to run only once for each picture: its output is kept, and training
starts from there. Not every network can be taken apart like this; then the answer is None.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import nn

from tlcourse.networks.network import Network
from tlcourse.networks.tap import in_mode
from tlcourse.networks.trace import is_inside

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
    """One call of a module; `begin` and `end` are times in the forward pass."""

    path: str
    module: nn.Module
    begin: int
    taken: torch.Tensor | None = None
    given: torch.Tensor | None = None
    end: int = -1


class Tail(nn.Module):
    """The modules of a network behind a layer, one after the other, with its head.

    The modules are the network's own, so training this trains the network.
    """

    def __init__(self, network: Network, steps: list[_Step]) -> None:
        super().__init__()
        self.network, self.steps = network, steps

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Turn what the layer gave, (B, ...), into logits."""
        for step in self.steps:
            value = step(value)
        return self.network.head(self.network.pooled(value))


def tail_behind(network: Network, layer: str) -> tuple[Tail, torch.Tensor] | None:
    """Return what follows a layer, and the layer's value for a test picture; None if impossible.

    It is proved on two pictures of noise. Behind a layer at the cut only the head follows.
    """
    backbone = network.backbone
    size = backbone.preprocess.crop_size
    at_the_cut = backbone.depth(layer) >= backbone.depth(network.layer)
    noise = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with in_mode(network), torch.no_grad():
        calls, at_cut = _record(network, noise.to(backbone.device))
        features = network.pooled(at_cut)
        chain = ([], features) if at_the_cut else _steps(network, calls, layer, at_cut)
        if chain is None:
            return None
        steps, start = chain
        tail = Tail(network, steps)
        if not torch.allclose(tail(start), network.head(features), rtol=1e-4, atol=1e-5):
            return None
    return tail, start[:1]


def _record(network: Network, batch: torch.Tensor) -> tuple[list[_Call], torch.Tensor]:
    """Run a batch and note what goes into and comes out of each module of the body."""
    calls: list[_Call] = []
    open_calls: list[_Call] = []
    clock = count()

    def before(path: str, module: nn.Module, inputs: Any) -> None:
        taken = inputs[0].clone() if inputs and isinstance(inputs[0], torch.Tensor) else None
        calls.append(_Call(path, module, next(clock), taken))
        open_calls.append(calls[-1])

    def after(module: nn.Module, inputs: Any, output: Any) -> None:
        call = open_calls.pop()
        call.given = output.clone() if isinstance(output, torch.Tensor) else None
        call.end = next(clock)

    with ExitStack() as hooks:
        for path, module in network.body.named_modules():
            hooks.enter_context(module.register_forward_pre_hook(partial(before, path)))
            hooks.enter_context(module.register_forward_hook(after))
        return calls, network.value(batch).clone()


def _steps(
    network: Network, calls: list[_Call], layer: str, at_cut: torch.Tensor
) -> tuple[list[_Step], torch.Tensor] | None:
    """Follow the value from the layer to the cut; return what to apply, and the first value."""
    where, cut = network.backbone.layer(layer), network.backbone.layer(network.layer)
    first = [call for call in calls if call.path == where.path]
    if len(first) != 1 or where.side != "output" or first[0].given is None:
        return None
    start = value = first[0].given
    now = first[0].end
    steps: list[_Step] = []
    for call in calls:
        around_the_cut = is_inside(cut.path, call.path)
        if call.begin < now or around_the_cut or call.given is None or call.taken is None:
            continue  # a part of a module that was taken as a whole, or around the cut
        bridge = _bridge(value, call.taken)
        if bridge is None:
            return None
        steps += [bridge, call.module]
        value, now = call.given, call.end
    last = _bridge(value, at_cut)
    return None if last is None else ([*steps, last], start)


def _bridge(value: torch.Tensor, wanted: torch.Tensor) -> _Step | None:
    """Find what turns one value into the next one's input."""
    for bridge in _BRIDGES:
        try:
            result = bridge(value)
        except (RuntimeError, IndexError):
            continue
        if result.shape == wanted.shape and torch.allclose(result, wanted, rtol=1e-5, atol=1e-6):
            return bridge
    return None
