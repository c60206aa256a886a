"""Measure what a forward pass, a training step and an epoch cost.

A training step is the one that `tlcourse.fit` makes. Bytes are counted, never read off the process,
which would show what came before as well.
"""

import copy
import statistics
import time
import timeit
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from tlcourse.base.machine import (
    MIB,
    accelerators,
    device_name,
    fixed_seed,
    give_memory_back,
    memory,
    resolve_device,
    synchronize,
    usable_cores,
)
from tlcourse.cost.records import Cost, SideBySide
from tlcourse.engines.pytorch import fast_batch_size, fast_copy
from tlcourse.errors import CourseError, check_choice, check_whole
from tlcourse.networks.account import Account, forward_account, training_account
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.mel import MelPreprocess
from tlcourse.networks.network import Network
from tlcourse.networks.tail import tail_behind
from tlcourse.training.data import shuffled
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
            raise CourseError("cached=True needs a frozen part to store: name freeze_until, too.")

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
    backbone: Backbone  # for the size of picture and on the device of the measurement
    inputs: torch.Tensor  # (B, ...), on the device
    stepper: Stepper | None = None
    labels: torch.Tensor | None = None  # (B,) for a training step
    allocator_bytes: int | None = None

    def run(self) -> float:
        """Run it once and return the seconds."""
        device = self.backbone.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with fixed_seed(SEED, device):
            synchronize(device)
            started = time.perf_counter()
            if self.stepper is not None and self.labels is not None:
                self.stepper.step(self.network, self.inputs, self.labels, rate=1.0)
            else:
                with torch.no_grad():
                    self.network(self.inputs)
            synchronize(device)
            seconds = time.perf_counter() - started
        if device.type == "cuda":
            self.allocator_bytes = torch.cuda.max_memory_allocated(device)
        elif device.type == "mps":
            self.allocator_bytes = torch.mps.current_allocated_memory()
        return seconds

    def cost(self, times: Sequence[float]) -> Cost:
        """The cost, from the seconds of some runs."""
        if self.stepper is not None and self.stepper.at_once is not None:
            raise CourseError(
                f"A batch of {self.untimed.batch} did not fit the memory of {self.untimed.device} "
                "and was cut in parts, so its cost is not that of a step. Take a smaller batch."
            )
        return replace(self.untimed, times=tuple(times), allocator_bytes=self.allocator_bytes)


@contextmanager
def _memory_given_back() -> Iterator[None]:
    """Give memory back to the system after a function, when its networks are gone."""
    yield
    give_memory_back()


def account(
    module: nn.Module, shape: tuple[int, ...], batch: int = 1, *, training: bool = True
) -> Account:
    """Count the bytes and operations of one pass of any network, without running it.

    The pass need not fit this machine. What may move follows from `requires_grad`, and each module's
    present mode is used.

    Args:
        module: Takes a batch as its only argument; for a training step it gives logits (B, classes).
        shape: Of one input, without the batch axis, such as (3, 224, 224).
        batch: Number of inputs.
        training: A training step with AdamW, or else a forward pass without gradients.

    Raises:
        CourseError: Nothing may move, or the network cannot run on such a shape.

    Example:
        >>> a = account(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (3, 2, 2), batch=5)
        >>> a.bytes.parameters, a.bytes.gradients, a.operations
        (104, 104, 480)
    """
    if not isinstance(module, nn.Module):
        raise CourseError(
            f"account() needs a PyTorch module, got {type(module).__name__}. Of a backbone, pass "
            "`backbone.model` or tl.Network(backbone, n_classes)."
        )
    return (training_account if training else forward_account)(module, shape, batch)


@_memory_given_back()
def forward(
    backbone: Backbone,
    *,
    batch: int = 16,
    size: int | None = None,
    layer: str = "logits",
    device: str | None = None,
    repeats: int = 5,
) -> Cost:
    """Measure a forward pass in evaluation mode, without gradients, on random pictures.

    Args:
        backbone: The network; it stays as it is.
        batch: Pictures at once.
        size: Side of a picture in pixels; by default the backbone's.
        layer: Where the pass ends.
        device: By default the backbone's; another one gets a copy.
        repeats: Measurements after the warm-up.

    Raises:
        CourseError: An option that nothing can be measured with, or not enough memory.
    """
    options = StepOptions(batch=batch, size=size, layer=layer, device=device)
    (measured,) = timed([forward_pass(backbone, options)], repeats)
    return measured


def training_step(backbone: Backbone, *, repeats: int = 5, **options: Any) -> Cost:
    """Measure the training step that `tlcourse.fit` makes, on random pictures.

    To open and prepare pictures is not part of it.

    Args:
        backbone: The network; it stays as it is, since a copy is trained.
        repeats: Measurements after the warm-up.
        options: `batch`, pictures at once (16); `size`, side of a picture in pixels (128), None for
            the backbone's own; `layer`, where the backbone is cut and the new head begins
            ("embedding"); `freeze_until`, last frozen layer (None: everything is trained); `cached`,
            begin from the stored output of the frozen part (False); `n_classes`, outputs of the new
            head (10); `device`, by default the backbone's, another one gets a copy.

    Raises:
        CourseError: An option that nothing can be measured with, or not enough memory.
    """
    settings = {"training_step": options}
    return side_by_side(backbone, settings, repeats=repeats).costs["training_step"]


@_memory_given_back()
def side_by_side(
    backbone: Backbone, settings: Mapping[str, Mapping[str, Any]], *, repeats: int = 5
) -> SideBySide:
    """Measure training steps in several settings in turn, A B C A B C, and compare them.

    Args:
        backbone: The network; it stays as it is.
        settings: Name -> options of `training_step`, such as {"head": {"freeze_until": "embedding"}}.
        repeats: Rounds after the warm-up.

    Raises:
        CourseError: There is no setting, or one that nothing can be measured with.
    """
    if not settings:
        raise CourseError("There is nothing to compare. Pass at least one name and its options.")
    chosen = {name: StepOptions.of(name, options) for name, options in settings.items()}
    passes = {name: step_pass(backbone, options) for name, options in chosen.items()}
    measured = timed(list(passes.values()), repeats)
    return SideBySide(dict(zip(passes, measured, strict=True)))


def devices() -> tuple[str, ...]:
    """Name the devices of this machine: "cpu", then each CUDA GPU, then an Apple GPU."""
    return ("cpu", *accelerators())


def on_every_device(backbone: Backbone, *, repeats: int = 5, **options: Any) -> SideBySide:
    """Measure one training step on every device there is, in turn.

    Args:
        backbone: The network; it stays as it is.
        repeats: Rounds after the warm-up.
        options: Those of `training_step`, but `device`.
    """
    if "device" in options:
        raise CourseError("on_every_device() chooses the devices itself; leave `device` out.")
    settings = {name: {**options, "device": name} for name in devices()}
    return side_by_side(backbone, settings, repeats=repeats)


@_memory_given_back()
def epoch(
    backbone: Backbone, *, n_pictures: int, n_val: int = 0, repeats: int = 5, **options: Any
) -> Cost:
    """Predict an epoch of `tlcourse.fit` from measured steps: their number times their median.

    Added are, measured as well, preparing each picture and the pass over the validation pictures.
    With `cached`, `prepare_seconds` is the one pass through the frozen part before the first epoch,
    and pictures are prepared only for it.

    Args:
        backbone: The network; it stays as it is.
        n_pictures: Training pictures.
        n_val: Validation pictures.
        repeats: Measurements after the warm-up.
        options: Those of `tlcourse.cost.training_step`.

    Raises:
        CourseError: An option that nothing can be measured with, or not enough memory.
    """
    check_whole("n_pictures", n_pictures)
    check_whole("n_val", n_val, least=0)
    chosen = StepOptions.of("epoch", options)
    step = step_pass(backbone, chosen)
    (one,) = timed([step], repeats)
    operations, largest = round(one.operations * n_pictures / one.batch), one.bytes
    extra, prepare = _opening_seconds(step.backbone) * (n_pictures + n_val), 0.0
    if chosen.cached and chosen.freeze_until is not None:
        start, each = _frozen_seconds(step.backbone, chosen.freeze_until, repeats)
        extra, prepare = 0.0, start + each * (n_pictures + n_val) + extra
    if n_val:
        shape, at_once = tuple(step.inputs.shape[1:]), 2 * one.batch  # as `fit` validates
        validation_pass = _pass_without_step(step.network, step.backbone, shape, at_once)
        (validation,) = timed([validation_pass], repeats)
        extra += validation.seconds * n_val / validation.batch
        operations += round(validation.operations * n_val / validation.batch)
        largest = max(largest, validation.bytes, key=lambda b: b.total)
    n_steps = len(shuffled(n_pictures, one.batch, SEED, 1))
    return replace(
        one,
        what="epoch",
        times=tuple(n_steps * seconds + extra for seconds in one.times),
        pictures=n_pictures,
        steps=n_steps,
        operations=operations,
        bytes=largest,
        prepare_seconds=prepare,
    )


def _opening_seconds(backbone: Backbone) -> float:
    """Seconds to prepare a picture that was opened already, as `fit` keeps them."""
    from PIL import Image

    picture: Any = backbone.preprocess.example()
    if not isinstance(backbone.preprocess, MelPreprocess):
        side = backbone.preprocess.resize_size
        values = np.random.default_rng(SEED).integers(0, 256, (side, side, 3), dtype=np.uint8)
        picture = Image.fromarray(values)
    times = timeit.repeat(lambda: backbone.preprocess(picture), number=1, repeat=8)
    return statistics.median(times)


def _frozen_seconds(backbone: Backbone, layer: str, repeats: int) -> tuple[float, float]:
    """Seconds to get ready for the pass through the frozen part, and for each picture in it."""
    began = time.perf_counter()
    fast = fast_copy(backbone, [layer])
    start = time.perf_counter() - began
    options = StepOptions(batch=fast_batch_size(backbone), size=None, layer=layer)
    (frozen,) = timed([forward_pass(fast, options)], repeats)
    return start, frozen.seconds / options.batch


def timed(passes: Sequence[TimedPass], repeats: int) -> list[Cost]:
    """Run all of them in turn, `repeats` times after a warm-up."""
    check_whole("repeats", repeats)
    rounds = [[one.run() for one in passes] for _ in range(WARM_UP + repeats)]
    return [one.cost(t) for one, *t in zip(passes, *rounds[WARM_UP:], strict=True)]


def forward_pass(backbone: Backbone, options: StepOptions) -> TimedPass:
    """Prepare a forward pass up to a layer, in evaluation mode, without gradients."""
    view = _placed(backbone, options)
    network: nn.Module
    if view.layer(options.layer).path == "":  # to the end
        network = copy.deepcopy(view.model)
    else:
        network = _UpToCut(view, options.n_classes, layer=options.layer)
        network.head = nn.Identity()
    network.to(memory_format=torch.channels_last)
    return _pass_without_step(network, view, _picture(view), options.batch)


class _UpToCut(Network):
    """A network whose forward pass ends at the layer at which it is cut."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.value(batch)


def _pass_without_step(
    network: nn.Module, view: Backbone, shape: tuple[int, ...], batch: int
) -> TimedPass:
    untimed = _untimed(view, forward_account(network.eval(), shape, batch), batch)
    return TimedPass(untimed, network, view, _noise(view, batch, shape))


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
    # The labels are random: nothing is to be learned.
    groups, loss = parameter_groups(network, 1e-5), nn.CrossEntropyLoss(label_smoothing=0.1)
    stepper = Stepper(groups, loss, view.device)
    generator = torch.Generator().manual_seed(SEED)
    labels = torch.randint(options.n_classes, (options.batch,), generator=generator).to(view.device)
    inputs = _noise(view, options.batch, shape)
    return TimedPass(untimed, trained, view, inputs, stepper, labels)


def _placed(backbone: Backbone, options: StepOptions) -> Backbone:
    """Prepare a backbone for pictures of a size, on a device; a copy where that is another one."""
    view = backbone if options.size is None else backbone.at_size(options.size)
    where = view.device if options.device is None else resolve_device(options.device)
    if where == view.device:
        return view
    return view.with_model(copy.deepcopy(view.model).to(where))


def _picture(backbone: Backbone) -> tuple[int, ...]:
    return backbone.preprocess.shape


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
        size=view.preprocess.size,
        pictures=batch,
        operations=account.operations,
        bytes=account.bytes,
        steps=0,
    )
