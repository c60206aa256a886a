"""Passes that are ready to be timed: a network, a batch and, for a training step, an optimiser.

A training step is the one that `tlcourse.fit` makes: its `Stepper`, its `Network`, what it freezes,
and the same tail of the network where the frozen part's output is stored.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import nn

from tlcourse.base.device import fixed_seed, resolve_device, synchronize
from tlcourse.base.machine import MIB, device_name, memory, usable_cores
from tlcourse.cost.records import Cost
from tlcourse.errors import CourseError, check_choice, check_whole
from tlcourse.networks.account import Account, forward_account, training_account
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.networks.tail import tail_behind
from tlcourse.training.finetune import freeze, parameter_groups, trainable
from tlcourse.training.step import Stepper

SEED = 0
WARM_UP = 2  # passes before the first one that is timed


@dataclass(frozen=True, kw_only=True)
class StepOptions:
    """What a training step is like; `tlcourse.cost.training_step` explains each option."""

    batch: int = 16
    size: int | None = 128
    layer: str = "embedding"
    freeze_until: str | None = None
    cached: bool = False
    n_classes: int = 10
    device: str | None = None

    def __post_init__(self) -> None:
        check_whole("batch", self.batch)
        if self.cached and self.freeze_until is None:
            raise CourseError(
                "cached=True needs a frozen part to store the output of: freeze_until."
            )

    @classmethod
    def of(cls, name: str, options: Mapping[str, Any]) -> "StepOptions":
        """Refuse a keyword that is no option; `name` says where it stands."""
        known = [field.name for field in fields(cls)]
        for option in options:
            check_choice(f"option (in {name!r}) called", option, known)
        return cls(**options)


@dataclass(eq=False)
class TimedPass:
    """A pass that can be run again and again: a training step with a stepper, else forward only."""

    untimed: Cost  # its cost, without any times yet
    network: nn.Module
    inputs: torch.Tensor  # (B, ...), on the device
    backbone: Backbone  # for the size of picture and on the device of the measurement
    stepper: Stepper | None = None
    labels: torch.Tensor | None = None  # (B,) for a training step
    allocator_bytes: int | None = None

    def run(self) -> float:
        """Run it once and return the seconds."""
        device = self.backbone.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with fixed_seed(SEED, device):
            seconds = seconds_of(self._compute, device)
        if device.type == "cuda":
            self.allocator_bytes = torch.cuda.max_memory_allocated(device)
        elif device.type == "mps":
            self.allocator_bytes = torch.mps.current_allocated_memory()
        return seconds

    def _compute(self) -> None:
        if self.stepper is not None and self.labels is not None:
            self.stepper.step(self.network, self.inputs, self.labels, rate=1.0)
        else:
            with torch.no_grad():
                self.network(self.inputs)

    def cost(self, times: Sequence[float]) -> Cost:
        """The cost, from the seconds of some runs."""
        if self.stepper is not None and self.stepper.at_once is not None:
            raise CourseError(
                f"A batch of {self.untimed.batch} did not fit the memory of {self.untimed.device} "
                "and was cut in parts, so its cost is not that of a step. Take a smaller batch."
            )
        return replace(self.untimed, times=tuple(times), allocator_bytes=self.allocator_bytes)


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Time a function, from a device that is idle to one that is idle again."""
    synchronize(device)
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started


def timed(passes: Sequence[TimedPass], repeats: int) -> list[Cost]:
    """Run all of them in turn, `repeats` times after a warm-up."""
    check_whole("repeats", repeats)
    rounds = [[one.run() for one in passes] for _ in range(WARM_UP + repeats)]
    return [one.cost(t) for one, *t in zip(passes, *rounds[WARM_UP:], strict=True)]


def forward_pass(backbone: Backbone, options: StepOptions) -> TimedPass:
    """Prepare a forward pass up to a layer, in evaluation mode, without gradients."""
    view, batch = _placed(backbone, options), options.batch
    network: nn.Module
    if view.layer(options.layer).path == "":  # to the end
        network = copy.deepcopy(view.model)
    else:
        network = UpToCut(view, options.n_classes, layer=options.layer)
        network.head = nn.Identity()
    network.to(memory_format=torch.channels_last).eval()
    untimed = _untimed(view, forward_account(network, _picture(view), batch), batch)
    return TimedPass(untimed, network, _noise(view, batch, _picture(view)), view)


def step_pass(backbone: Backbone, options: StepOptions) -> TimedPass:
    """Prepare a training step."""
    view = _placed(backbone, options)
    network = Network(view, options.n_classes, layer=options.layer, seed=SEED)
    network.to(memory_format=torch.channels_last)
    freeze(network, options.freeze_until)
    trained: nn.Module = network
    shape = _picture(view)
    if options.cached and options.freeze_until is not None:
        behind = tail_behind(network, options.freeze_until)
        if behind is None:
            raise CourseError(
                f"{backbone.name} cannot be taken apart behind {options.freeze_until!r}, so nothing "
                "can be cached there. Name another layer, or leave cached=True out."
            )
        trained, shape = behind[0], tuple(behind[1].shape[1:])
    network.train()
    untimed = replace(
        _untimed(view, training_account(trained, shape, options.batch), options.batch),
        what="training step",
        freeze_until=options.freeze_until,
        cached=options.cached,
        trainable_parameters=trainable(network),
        steps=1,
    )
    stepper = Stepper(
        parameter_groups(network, 1e-5),  # the labels are random: nothing is to be learned
        nn.CrossEntropyLoss(label_smoothing=0.1),
        view.device,
        n_steps=1,
    )
    inputs = _noise(view, options.batch, shape)
    generator = torch.Generator().manual_seed(SEED)
    labels = torch.randint(options.n_classes, (options.batch,), generator=generator)
    return TimedPass(untimed, trained, inputs, view, stepper, labels.to(view.device))


def validation_pass(step: TimedPass) -> TimedPass:
    """Prepare the pass over validation pictures that follows a training: twice the batch."""
    inputs = torch.cat([step.inputs, step.inputs])
    step.network.eval()
    account = forward_account(step.network, tuple(inputs.shape[1:]), len(inputs))
    return TimedPass(
        _untimed(step.backbone, account, len(inputs)), step.network, inputs, step.backbone
    )


class UpToCut(Network):
    """A network whose forward pass ends at the layer at which it is cut."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return what the layer gives."""
        return self.value(batch)


def _placed(backbone: Backbone, options: StepOptions) -> Backbone:
    """Prepare a backbone for pictures of a size, on a device; a copy where that is another one."""
    view = backbone if options.size is None else backbone.at_size(options.size)
    where = view.device if options.device is None else resolve_device(options.device)
    if where == view.device:
        return view
    return view.with_model(copy.deepcopy(view.model).to(where))


def _picture(backbone: Backbone) -> tuple[int, ...]:
    return (3, backbone.preprocess.crop_size, backbone.preprocess.crop_size)


def _noise(backbone: Backbone, batch: int, shape: tuple[int, ...]) -> torch.Tensor:
    values = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(SEED))
    if shape == _picture(backbone):
        values = values.contiguous(memory_format=torch.channels_last)  # as `fit` gives pictures
    return values.to(backbone.device)


def _untimed(view: Backbone, account: Account, batch: int) -> Cost:
    """Refuse a pass that would not fit, before it takes the machine down; describe any other one."""
    device, needed = view.device, account.bytes.total
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory()[1]
    if needed > free:
        raise CourseError(
            f"This pass needs {needed / MIB:.0f} MiB, but {device} has {free / MIB:.0f} MiB free. "
            "Take fewer or smaller pictures, or count without running: tl.cost.account(...)."
        )
    return Cost(
        what="forward pass",
        device=str(device),
        device_name=device_name(device) or f"{usable_cores()} cores",
        batch=batch,
        size=view.preprocess.crop_size,
        pictures=batch,
        operations=account.operations,
        bytes=account.bytes,
        steps=0,
    )
