"""What may move, and how fast: freezing, rates (notebook 05), small parts (notebook 11)."""

import copy
import math
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import nn

from tlcourse.errors import CourseError, check_choice
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Layer
from tlcourse.networks.network import Network
from tlcourse.networks.trace import is_inside, modules_up_to
from tlcourse.training.adapter_file import load_adapter as load_adapter
from tlcourse.training.adapter_file import save_adapter as save_adapter
from tlcourse.training.adapters import add_adapter as add_adapter
from tlcourse.training.adapters import add_lora as add_lora
from tlcourse.training.adapters import merge as merge
from tlcourse.training.moves import move_biases as move_biases
from tlcourse.training.moves import move_norms as move_norms
from tlcourse.training.settings import check_rates

if TYPE_CHECKING:
    import pandas as pd

HEAD = "head"


def freeze(network: Network, until: str | None) -> int:
    """Freeze a network from its input up to a layer, that layer included; the rest may move.

    Frozen parameters get no gradient, and frozen modules stay in evaluation mode, so that their
    BatchNorm statistics do not move either. What the network itself holds, such as a transformer's
    class token, belongs to the frozen part.

    Args:
        network: The network; its head stays trainable.
        until: Name from `network.backbone.layers`, or a dotted module path. None freezes nothing.

    Returns:
        How many parameters are frozen.

    Raises:
        UnknownNameError: There is no such layer, so nothing would be frozen.
        CourseError: The layer lies behind the cut.
    """
    network.freeze_modules(until, () if until is None else _frozen_paths(network, until))
    return sum(p.numel() for p in network.parameters() if not p.requires_grad)


def trainable(network: nn.Module) -> int:
    """Count the parameters that training may move."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def stages(network: Network) -> dict[str, str]:
    """Name the stage of each parameter: parameter name -> layer, or "head".

    A parameter belongs to the first of `network.backbone.layers` that depends on it.
    """
    owner = _stages_of(network.backbone)
    of_body = {
        f"body.{name}": owner.get(name, "embedding") for name, _ in network.body.named_parameters()
    }
    return {name: of_body.get(name, HEAD) for name, _ in network.named_parameters()}


def parameter_groups(
    network: Network,
    learning_rate: float,
    *,
    body_rate: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 0.01,
) -> list[dict[str, Any]]:
    """Make parameter groups for an optimiser, one or two for each stage.

    Args:
        network: The network. Frozen parameters are in the groups too, so that they can be unfrozen
            later; without a gradient they do not move.
        learning_rate: Of the head.
        body_rate: Of the stage next to the head; by default a tenth of `learning_rate`.
        layer_decay: The rate of each stage is the next one's times this: 1 gives the same rate to
            all, 0.7 ever smaller ones towards the input (layer-wise decay, Howard and Ruder 2018,
            arXiv:1801.06146).
        weight_decay: For weight matrices; biases and BatchNorm's factors have none.

    Raises:
        CourseError: A rate is not a positive finite number.
    """
    check_rates(layer_decay, learning_rate=learning_rate)
    body_rate = learning_rate / 10 if body_rate is None else body_rate
    check_rates(body_rate=body_rate)
    of = stages(network)
    order = [name for name in network.backbone.layers if name in set(of.values())]
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        stage, decays = of[name], parameter.ndim > 1
        if stage == HEAD:
            rate = learning_rate
        else:
            rate = body_rate * layer_decay ** (len(order) - 1 - order.index(stage))
        group = {"lr": rate, "weight_decay": weight_decay if decays else 0.0, "name": stage}
        groups.setdefault((stage, decays), {"params": [], **group})["params"].append(parameter)
    return list(groups.values())


def gradual_unfreezing(network: Network, epochs: int, *, stop: str) -> dict[int, str]:
    """Plan which layer is the last frozen one from which epoch on, for `fit(unfreeze=...)`.

    At first only the head learns; then the stages join it one by one, from the deepest on (Howard
    and Ruder 2018, arXiv:1801.06146). What lies up to `stop` is never unfrozen, so its output can
    be computed once per picture.

    Args:
        network: The network.
        epochs: How many there will be.
        stop: Layer up to which everything stays frozen.

    Returns:
        Epoch, from 1 -> last frozen layer.
    """
    backbone = network.backbone
    rank = {layer.name: backbone.depth(layer.name) for layer in backbone.named_layers if layer.path}
    check_choice("layer to stop at", stop, rank)
    cut = backbone.depth(network.layer)
    ends = [name for name in rank if rank[stop] <= rank[name] <= cut]
    if not ends:
        raise CourseError(f"Layer {stop!r} lies behind the cut at {network.layer!r}.")
    if rank[ends[-1]] < cut:
        ends.append(network.layer)  # a cut inside a stage
    each = max(1, epochs // len(ends))
    return dict(zip(range(1, epochs + 1, each), reversed(ends), strict=False))


def weight_change(before: Backbone, after: nn.Module) -> "pd.Series":
    """Say how far each stage's weights moved: length of the difference over length before.

    Args:
        before: The backbone as it was before the training.
        after: A `Network` that was made from it, or a trained copy of `before.model`, with any
            head.

    Returns:
        A pandas Series, stage -> relative change; 0.01 means one per cent. New parts, such as the
        head, have no weights before and are left out.
    """
    import pandas as pd

    owner = _stages_of(before)
    now = dict((after.body if isinstance(after, Network) else after).named_parameters())
    squares: dict[str, list[float]] = {}
    for name, was in before.model.named_parameters():
        if name not in now or now[name].shape != was.shape or name not in owner:
            continue
        pair = squares.setdefault(owner[name], [0.0, 0.0])
        old = was.detach().to(now[name].device)
        pair[0] += (now[name].detach() - old).square().sum().item()
        pair[1] += old.square().sum().item()
    if not squares:
        raise CourseError(f"The network has no weights in common with {before.name}.")
    moved = {s: math.sqrt(a / (b or 1.0)) for s, (a, b) in squares.items()}
    order = [stage for stage in before.layers if stage in moved]
    return pd.Series({stage: moved[stage] for stage in order}, name="relative change", dtype=float)


@overload
def between(start: Backbone, end: Backbone, alpha: float) -> Backbone: ...
@overload
def between(start: nn.Module, end: nn.Module, alpha: float) -> nn.Module: ...
def between(
    start: Backbone | nn.Module, end: Backbone | nn.Module, alpha: float
) -> Backbone | nn.Module:
    """Return a network whose weights lie on the line between a training's start and its end.

    Each number is (1 - alpha) times that of the start plus alpha times that of the end, BatchNorm's
    averages too. What is no decimal number, such as BatchNorm's count of batches, is the end's.

    Args:
        start: The network before fine-tuning, with a head that fits: what
            `tl.patterns.standalone_extractor` made, or any `nn.Module`.
        end: The same network afterwards. Both stay as they are.
        alpha: From 0, the start, to 1, the end.

    Returns:
        A new backbone where backbones are given, otherwise a new module.

    Raises:
        CourseError: The two are not the same architecture, or alpha is no number from 0 to 1.

    Reference: WiSE-FT, Wortsman et al. (2021), arXiv:2109.01903.
    """
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 <= alpha <= 1:
        raise CourseError(
            f"alpha is {alpha!r}, but must be a number from 0, the start, to 1, the end."
        )
    if isinstance(start, Backbone) and isinstance(end, Backbone):
        mixed = _mixed(start.model, end.model, float(alpha))
        return end.with_model(mixed, source=f"{end.source}, {alpha:.0%} of the way")
    if isinstance(start, nn.Module) and isinstance(end, nn.Module):
        return _mixed(start, end, float(alpha))
    raise CourseError(
        "between() takes two backbones or two networks of PyTorch, not "
        f"{type(start).__name__} and {type(end).__name__}. A result's is `result.backbone`."
    )


@torch.no_grad()
def _mixed(start: nn.Module, end: nn.Module, alpha: float) -> nn.Module:
    """Return a copy of the end with weights on the line; see `between`."""
    first, last = start.state_dict(), end.state_dict()
    other = [n for n in {**first, **last} if n not in first or n not in last]
    other = other or [n for n in first if first[n].shape != last[n].shape]
    if other:
        raise CourseError(
            f"The two networks are not the same architecture: {other[0]!r} is not in both with the "
            "same shape. Take the start and the end of one training."
        )
    mixed = copy.deepcopy(end)
    for name, tensor in mixed.state_dict().items():  # the network's own memory
        if tensor.is_floating_point() and alpha < 1:
            tensor.copy_(torch.lerp(first[name].to(tensor), last[name], alpha))
    return mixed


def _frozen_paths(network: Network, until: str) -> tuple[str, ...]:
    """Paths of all modules that are done when the layer is, and of those that hold it."""
    backbone = network.backbone
    layer, depth = backbone.layer(until), backbone.depth(until)
    if layer.path and depth < 0:
        raise CourseError(
            f"freeze_until={until!r} is a module that no forward pass comes to, so nothing would be "
            "frozen. Name one of `network.backbone.layers`."
        )
    if not layer.path or depth > backbone.depth(network.layer):
        raise CourseError(
            f"freeze_until={until!r} lies behind {network.layer!r}, where the network is cut, so "
            f"it is not part of it. Freeze up to {network.layer!r} at most."
        )
    there = dict(network.body.named_modules())
    frozen = [path for path in _with_holders(backbone, layer) if path in there]
    done = set(modules_up_to(backbone.trace, layer.path, inclusive=layer.side == "output"))
    new = [path for path in there if path not in backbone.trace]
    return (*frozen, *(path for path in new if _traced(backbone, path) in done))


def _traced(backbone: Backbone, path: str) -> str:
    """The module around a part that was added, such as LoRA's; its own path if it was not."""
    while path and path not in backbone.trace:
        path = path.rpartition(".")[0]
    return path


def _with_holders(backbone: Backbone, layer: Layer) -> list[str]:
    """Paths of the modules that are done when a layer is, after those that hold it."""
    done = modules_up_to(backbone.trace, layer.path, inclusive=layer.side == "output")
    holders = [p for p in backbone.trace if is_inside(layer.path, p) and p not in set(done)]
    return [*holders, *done]


def _stages_of(backbone: Backbone) -> dict[str, str]:
    """Name of a parameter in `backbone.model` -> first layer that depends on it."""
    owner: dict[str, str] = {}
    for layer in backbone.named_layers:
        if layer.path and layer.path in backbone.trace:
            for path in _with_holders(backbone, layer):
                owner.setdefault(path, layer.name)
    found = {}
    for name, _ in backbone.model.named_parameters():
        path = _traced(backbone, name.rpartition(".")[0])
        if path in owner:
            found[name] = owner[path]
    return found
