"""What moves in a fine-tuning: everything, or a small part (notebook 11)."""

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

from torch import nn

from tlcourse.errors import CourseError, check_choice
from tlcourse.networks.network import Network
from tlcourse.training.adapters import Added, Kind, add_adapter, add_lora

Move = Literal["everything", "lora", "norms", "biases", "adapter"]

# The rates that each one learns with: of what was tried, the best on validation digits
# (benchmarks/move_less.py). New parts begin at zero and take a higher one.
RATES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "everything": {},
        "lora": {"learning_rate": 1e-3, "body_rate": 1e-2, "layer_decay": 1.0},
        "norms": {"learning_rate": 1e-3, "body_rate": 3e-2, "layer_decay": 1.0},
        "biases": {"learning_rate": 1e-3, "body_rate": 3e-2, "layer_decay": 1.0},
        "adapter": {"learning_rate": 1e-3, "body_rate": 1e-2, "layer_decay": 1.0},
    }
)


def move_norms(network: Network) -> Network:
    """Copy a network in which only the norms' weights and biases move, and the head.

    The statistics of a BatchNorm stay, as they do in all fine-tuning here (Frankle et al. 2020,
    arXiv:2003.00152, train them alone).

    Raises:
        CourseError: No norm may move, or the network has a new part already.
    """
    names = {
        f"{path}.{name}"
        for path, module in network.body.named_modules()
        if _is_norm(module)
        for name, _ in module.named_parameters(recurse=False)
    }
    return _moving(network, "norms", names)


def move_biases(network: Network) -> Network:
    """Copy a network in which only the biases move, those of norms too, and the head.

    This is BitFit (Ben Zaken et al. 2021, arXiv:2106.10199).

    Raises:
        CourseError: No bias may move, or the network has a new part already.
    """
    names = {name for name, _ in network.body.named_parameters() if name.endswith("bias")}
    return _moving(network, "biases", names)


def moving(network: Network, move: str, *, rank: int = 4, width: int = 8, seed: int = 0) -> Network:
    """Return a network in which only this moves: one of `Move`; "everything" is the network itself.

    Raises:
        UnknownNameError: There is no such way to move.
        CourseError: See `add_lora`, `add_adapter`, `move_norms` and `move_biases`.
    """
    check_choice("way to move", move, get_args(Move))
    if move == "lora":
        return add_lora(network, rank, seed=seed)
    if move == "adapter":
        return add_adapter(network, width, seed=seed)
    if move == "norms":
        return move_norms(network)
    return move_biases(network) if move == "biases" else network


def _moving(network: Network, kind: Kind, names: set[str]) -> Network:
    """Copy a network and hold all of its body but the parameters of these names."""
    if network.added is not None:
        raise CourseError(
            f"This network has {network.added.kind!r} already. Begin with a new tl.Network, or "
            "with tl.finetune.merge(network)."
        )
    twin = copy.deepcopy(network)
    twin.updates_batchnorm = False
    body = {name for name, _ in twin.body.named_parameters()}
    twin.hold(f"body.{name}" for name in body - names)
    if not any(parameter.requires_grad for parameter in twin.body.parameters()):
        raise CourseError(
            f"{network.backbone.name} has no {kind} that may move, so only the head would learn. "
            "Freeze less, or take another way to move."
        )
    twin.added = Added(kind)
    return twin


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()
