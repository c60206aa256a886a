"""What may move, and how fast: freezing, learning rates, unfreezing (notebook 05)."""

import math
from typing import TYPE_CHECKING, Any

from torch import nn

from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.networks.trace import ModuleRecord, is_inside, modules_up_to

if TYPE_CHECKING:
    import pandas as pd

HEAD = "head"


def freeze(network: Network, until: str | None) -> int:
    """Freeze a network from its input up to a layer, that layer included; the rest may move.

    Frozen parameters get no gradient, and frozen modules stay in evaluation mode, so that their
    BatchNorm statistics do not move either. Parameters that the network itself holds, such as a
    transformer's class token and position embedding, belong to the frozen part.

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
    return {
        name: owner.get(name.removeprefix("body."), "embedding")
        if name.startswith("body.")
        else HEAD
        for name, _ in network.named_parameters()
    }


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
    check_rates(learning_rate, body_rate, layer_decay)
    body_rate = learning_rate / 10 if body_rate is None else body_rate
    of = stages(network)
    order = [name for name in network.backbone.layers if name in set(of.values())]
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        stage, decays = of[name], parameter.ndim > 1
        if stage == HEAD:
            rate = learning_rate
        else:
            rate = body_rate * layer_decay ** (len(order) - 1 - order.index(stage))
        group = groups.setdefault(
            (stage, decays),
            {
                "params": [],
                "lr": rate,
                "weight_decay": weight_decay if decays else 0.0,
                "name": stage,
            },
        )
        group["params"].append(parameter)
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
    paths = {x.name: x for x in network.backbone.named_layers if x.path}
    if stop not in paths:
        raise UnknownNameError("layer to stop at", stop, paths)
    trace, cut = network.backbone.trace, network.backbone.layer(network.layer)
    ends = [
        name
        for name, layer in paths.items()
        if trace[paths[stop].path].position <= trace[layer.path].position
        and trace[layer.path].position <= trace[cut.path].position
    ]
    if not ends:
        raise CourseError(f"Layer {stop!r} lies behind the cut at {network.layer!r}.")
    if trace[paths[ends[-1]].path].position < trace[cut.path].position:
        ends.append(network.layer)  # a cut inside a stage
    deepest_first = ends[::-1]
    each = max(1, epochs // len(deepest_first))
    plan = {}
    for i, name in enumerate(deepest_first):
        if 1 + i * each <= epochs:
            plan[1 + i * each] = name
    return plan


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
    model = after.body if isinstance(after, Network) else after
    now = dict(model.named_parameters())
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


def check_rate(name: str, rate: float) -> None:
    """Refuse a learning rate that trains nothing."""
    if not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise CourseError(
            f"{name} is {rate!r}, but must be a positive number such as 0.001. "
            "tl.find_learning_rate(network, task) proposes one."
        )


def check_rates(learning_rate: float, body_rate: float | None, layer_decay: float) -> None:
    """Refuse rates of head and body that train nothing."""
    check_rate("learning_rate", learning_rate)
    check_rate("body_rate", learning_rate if body_rate is None else body_rate)
    if not 0 < layer_decay <= 1:
        raise CourseError(f"layer_decay is {layer_decay!r}, but must be above 0 and at most 1.")


def _frozen_paths(network: Network, until: str) -> tuple[str, ...]:
    """Paths of all modules that are done when the layer is, and of those that hold it."""
    trace = network.backbone.trace
    layer, cut = network.backbone.layer(until), network.backbone.layer(network.layer)
    if layer.path and trace[layer.path].position < 0:
        raise CourseError(
            f"freeze_until={until!r} is a module that no forward pass comes to, so nothing would be "
            "frozen. Name one of `network.backbone.layers`."
        )
    if not layer.path or trace[layer.path].position > trace[cut.path].position:
        raise CourseError(
            f"freeze_until={until!r} lies behind {network.layer!r}, where the network is cut, so "
            f"it is not part of it. Freeze up to {network.layer!r} at most."
        )
    inclusive = layer.side == "output"
    there = {path for path, _ in network.body.named_modules()}
    return tuple(
        path for path in _with_holders(trace, layer.path, inclusive=inclusive) if path in there
    )


def _with_holders(trace: dict[str, ModuleRecord], path: str, *, inclusive: bool) -> list[str]:
    done = modules_up_to(trace, path, inclusive=inclusive)
    holders = [p for p in trace if is_inside(path, p) and p not in set(done)]
    return [*holders, *done]


def _stages_of(backbone: Backbone) -> dict[str, str]:
    """Name of a parameter in `backbone.model` -> first layer that depends on it."""
    trace = backbone.trace
    owner: dict[str, str] = {}
    for layer in backbone.named_layers:
        if layer.path and layer.path in trace:
            for path in _with_holders(trace, layer.path, inclusive=layer.side == "output"):
                owner.setdefault(path, layer.name)
    return {
        name: owner[name.rpartition(".")[0]]
        for name, _ in backbone.model.named_parameters()
        if name.rpartition(".")[0] in owner
    }
