"""Passes that are ready to be timed: a network, a batch and, for a training step, an optimiser.

A training step is the one that `tlcourse.fit` makes: its `Stepper`, its `Network`, what it freezes,
and the same rest of the network where the frozen part's output is stored.
"""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from tlcourse._account import Account, forward_account, training_account
from tlcourse._bench import SEED, Bench
from tlcourse._chain import Rest, rest_behind
from tlcourse._device import resolve_device
from tlcourse._machine import MIB, accelerators, memory, usable_cores
from tlcourse._steps import Stepper
from tlcourse.backbones import Backbone
from tlcourse.errors import CourseError
from tlcourse.finetune import freeze, parameter_groups, trainable
from tlcourse.network import Network


def forward_bench(
    backbone: Backbone, *, batch: int, size: int | None, layer: str, device: str | None
) -> Bench:
    """Prepare a forward pass up to a layer, in evaluation mode, without gradients."""
    view = _placed(backbone, size, device)
    side = view.preprocess.crop_size
    if view.layer(layer).path == "":
        network: nn.Module = copy.deepcopy(view.model)
    else:
        network = UpTo(Network(view, 2, layer=layer))
    network.to(memory_format=torch.channels_last).eval()
    account = forward_account(network, (3, side, side), batch)
    _check_room(account, view.device)
    about = _about("forward pass", view, batch) | {"trainable_parameters": 0, "steps": 0}
    return Bench(about, network, _noise(view, batch, (3, side, side)), view, account)


def step_bench(
    backbone: Backbone,
    *,
    batch: int = 16,
    size: int | None = 128,
    layer: str = "embedding",
    freeze_until: str | None = None,
    cached: bool = False,
    n_classes: int = 10,
    device: str | None = None,
) -> Bench:
    """Prepare a training step; see `tlcourse.cost.training_step`."""
    view = _placed(backbone, size, device)
    side = view.preprocess.crop_size
    network = Network(view, n_classes, layer=layer, seed=SEED)
    network.to(memory_format=torch.channels_last)
    freeze(network, freeze_until)
    trained, shape = _behind(network) if cached else (network, (3, side, side))
    network.train()
    account = training_account(trained, shape, batch, n_classes=n_classes)
    _check_room(account, view.device)
    stepper = Stepper(
        parameter_groups(network, 1e-5),  # the labels are random: nothing is to be learned
        nn.CrossEntropyLoss(label_smoothing=0.1),
        view.device,
        n_steps=1,
    )
    about = _about("training step", view, batch) | {
        "freeze_until": freeze_until,
        "cached": cached,
        "trainable_parameters": trainable(network),
    }
    labels = torch.randint(n_classes, (batch,), generator=torch.Generator().manual_seed(SEED))
    inputs = _noise(view, batch, shape)
    return Bench(about, trained, inputs, view, account, stepper, labels.to(view.device))


def look_bench(step: Bench) -> Bench:
    """Prepare the look at validation pictures that follows a training: twice the batch."""
    inputs = torch.cat([step.inputs, step.inputs])
    twice = 2 * step.about["batch"]
    held = step.network.network[0] if isinstance(step.network, Rest) else step.network
    held.eval()
    account = forward_account(step.network, tuple(inputs.shape[1:]), twice)
    _check_room(account, step.device)
    about = step.about | {"what": "forward pass", "batch": twice, "steps": 0}
    return Bench(about, step.network, inputs, step.backbone, account)


class UpTo(nn.Module):
    """A network up to the layer at which it is cut, without its new head."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        network.head = nn.Identity()
        self.network = network

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return what the layer gives."""
        return self.network.value(batch)


def device_name(device: torch.device) -> str:
    """Say what a device is: "2 cores", or the name of a GPU."""
    if device.type == "cpu":
        return f"{usable_cores()} cores"
    key = f"cuda:{device.index or 0}" if device.type == "cuda" else device.type
    return accelerators().get(key, device.type)


def _placed(backbone: Backbone, size: int | None, device: str | None) -> Backbone:
    """Look at a backbone for pictures of a size, on a device; a copy where that is another one."""
    view = backbone if size is None else backbone.at_size(size)
    where = view.device if device is None else resolve_device(device)
    if where == view.device:
        return view
    moved = replace(view, model=copy.deepcopy(view.model).to(where), device=where)
    moved.__dict__["trace"] = view.trace
    return moved


def _behind(network: Network) -> tuple[Rest, tuple[int, ...]]:
    """Return what is trained behind the frozen layer, and the shape of one stored output."""
    layer = network.frozen_until
    if layer is None:
        raise CourseError("cached=True needs a frozen part whose output is stored: freeze_until.")
    trace, backbone = network.backbone.trace, network.backbone
    if (
        trace[backbone.layer(layer).path].position
        >= trace[backbone.layer(network.layer).path].position
    ):
        vector = network.head.in_features  # the features themselves are stored
        return Rest(network, []), (vector,)
    found = rest_behind(network, layer)
    if found is None:
        raise CourseError(
            f"{backbone.name} cannot be taken apart behind {layer!r}, so nothing can be cached "
            "there. Name another layer, or leave cached=True out."
        )
    return found[0], tuple(found[1].shape[1:])


def _noise(backbone: Backbone, batch: int, shape: tuple[int, ...]) -> torch.Tensor:
    values = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(SEED))
    if len(shape) == 3 and shape[0] == 3:
        values = values.contiguous(memory_format=torch.channels_last)  # as `fit` gives pictures
    return values.to(backbone.device)


def _about(what: str, view: Backbone, batch: int) -> dict[str, Any]:
    return {
        "what": what,
        "device": str(view.device),
        "device_name": device_name(view.device),
        "batch": batch,
        "size": view.preprocess.crop_size,
        "freeze_until": None,
        "cached": False,
    }


def _check_room(account: Account, device: torch.device) -> None:
    """Refuse what would not fit, before it takes the machine down with it."""
    needed = account.bytes.total
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory()[1]
    if needed > free:
        raise CourseError(
            f"This pass needs {needed / MIB:.0f} MiB, but {device} has {free / MIB:.0f} MiB free. "
            "Take fewer or smaller pictures, or count without running: tl.cost.account(...)."
        )
