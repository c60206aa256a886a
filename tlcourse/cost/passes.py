"""Passes that are ready to be timed: a network, a batch and, for a training step, an optimiser.

A training step is the one that `tlcourse.fit` makes: its `Stepper`, its `Network`, what it freezes,
and the same rest of the network where the frozen part's output is stored.
"""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tlcourse.base.device import resolve_device, synchronize
from tlcourse.base.machine import MIB, accelerators, give_memory_back, memory, usable_cores
from tlcourse.cost.records import Cost
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.networks.account import Account, forward_account, training_account
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.networks.tail import Tail, tail_behind
from tlcourse.training.finetune import freeze, parameter_groups, trainable
from tlcourse.training.step import Stepper

SEED = 0
WARM_UP = 2  # passes before the first one that is timed
OPTIONS = ("batch", "size", "layer", "freeze_until", "cached", "n_classes", "device")


@dataclass(eq=False)
class TimedPass:
    """A pass that can be run again and again.

    Attributes:
        about: The fields of the `Cost` to come that are known beforehand.
        network: Takes `inputs` and gives logits, or whatever a forward pass ends with.
        inputs: (B, ...), on the device.
        backbone: What is measured, for the size of picture and on the device that it is measured on.
        account: What one pass takes.
        stepper: Makes a training step; None for a forward pass.
        labels: (B,) for a training step.
    """

    about: dict[str, Any]
    network: nn.Module
    inputs: torch.Tensor
    backbone: Backbone
    account: Account
    stepper: Stepper | None = None
    labels: torch.Tensor | None = None
    allocator_bytes: int | None = None

    @property
    def device(self) -> torch.device:
        """Where all is."""
        return self.backbone.device

    def run(self) -> float:
        """Run it once and return the seconds, from a device that is idle to one that is again."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        synchronize(self.device)
        started = time.perf_counter()
        if self.stepper is None:
            with torch.no_grad():
                self.network(self.inputs)
        else:
            self.stepper.step(self.network, self.inputs, self.labels, rate=1.0)
        synchronize(self.device)
        seconds = time.perf_counter() - started
        if self.device.type == "cuda":
            seen = torch.cuda.max_memory_allocated(self.device)
            self.allocator_bytes = max(seen, self.allocator_bytes or 0)
        elif self.device.type == "mps":
            self.allocator_bytes = torch.mps.current_allocated_memory()
        return seconds

    def cost(self, times: Sequence[float], **changes: Any) -> Cost:
        """Make a cost from the seconds of some runs."""
        if self.stepper is not None and self.stepper.at_once is not None:
            raise CourseError(
                f"A batch of {self.about['batch']} did not fit the memory of {self.device} and was "
                "cut in parts, so its cost is not that of a step. Take a smaller batch."
            )
        values = self.about | {
            "times": tuple(times),
            "pictures": self.about["batch"],
            "operations": self.account.operations,
            "bytes": self.account.bytes,
            "allocator_bytes": self.allocator_bytes,
        }
        return Cost(**values | changes)


def timed(benches: Sequence[TimedPass], repeats: int) -> list[list[float]]:
    """Run all of them in turn, `repeats` times after a warm-up; the seconds of each bench."""
    if not isinstance(repeats, int) or repeats < 1:
        raise CourseError(f"repeats is {repeats!r}, but must be a whole number from 1 on.")
    for _ in range(WARM_UP):
        for bench in benches:
            bench.run()
        for bench in benches:
            bench.allocator_bytes = None
    rounds = [[bench.run() for bench in benches] for _ in range(repeats)]
    return [list(times) for times in zip(*rounds, strict=True)]


def measured(benches: dict[str, TimedPass], repeats: int) -> dict[str, Cost]:
    """Time all of them in turn, then let go of them and of the memory that they took.

    Args:
        benches: Name -> bench; it is empty afterwards.
        repeats: Rounds after the warm-up.
    """
    times = timed(list(benches.values()), repeats)
    costs = {name: benches[name].cost(t) for name, t in zip(list(benches), times, strict=True)}
    benches.clear()
    give_memory_back()
    return costs


@contextmanager
def own_numbers() -> Iterator[None]:
    """Leave everybody else's random numbers as they are, on the CPU and on each CUDA GPU."""
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        torch.manual_seed(SEED)
        yield


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse an option that a training step does not have."""
    for option in options:
        if option not in OPTIONS:
            raise UnknownNameError(f"option (in {name!r}) called", option, OPTIONS)


def forward_bench(
    backbone: Backbone, *, batch: int, size: int | None, layer: str, device: str | None
) -> TimedPass:
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
    return TimedPass(about, network, _noise(view, batch, (3, side, side)), view, account)


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
) -> TimedPass:
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
    return TimedPass(about, trained, inputs, view, account, stepper, labels.to(view.device))


def look_bench(step: TimedPass) -> TimedPass:
    """Prepare the look at validation pictures that follows a training: twice the batch."""
    inputs = torch.cat([step.inputs, step.inputs])
    twice = 2 * step.about["batch"]
    held = step.network.network[0] if isinstance(step.network, Tail) else step.network
    held.eval()
    account = forward_account(step.network, tuple(inputs.shape[1:]), twice)
    _check_room(account, step.device)
    about = step.about | {"what": "forward pass", "batch": twice, "steps": 0}
    return TimedPass(about, step.network, inputs, step.backbone, account)


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
    return view.with_model(copy.deepcopy(view.model).to(where))


def _behind(network: Network) -> tuple[Tail, tuple[int, ...]]:
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
        return Tail(network, []), (vector,)
    found = tail_behind(network, layer)
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
