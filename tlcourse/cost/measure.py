"""Measure what a forward pass, a training step and an epoch cost.

`account` counts without running; the others measure, with a warm-up, and wait for the device before
the clock is stopped. Bytes are always counted, never read off the process, which would show what
came before as well.
"""

import statistics
import time
import timeit
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from tlcourse.base.machine import accelerators, give_memory_back
from tlcourse.cost.passes import (
    SEED,
    WARM_UP,
    StepOptions,
    forward_pass,
    seconds_of,
    step_pass,
    timed,
    validation_pass,
)
from tlcourse.cost.records import Cost, SideBySide
from tlcourse.errors import CourseError, check_whole
from tlcourse.networks.account import Account, forward_account, training_account
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.fast import fast_batch_size, fast_copy
from tlcourse.networks.tap import activations
from tlcourse.training.data import shuffled


@contextmanager
def _memory_given_back() -> Iterator[None]:
    """Give memory back to the system after a function, when its networks are gone."""
    yield
    give_memory_back()


def account(
    module: nn.Module, shape: tuple[int, ...], batch: int = 1, *, training: bool = True
) -> Account:
    """Count the bytes and operations of one pass of any network, without running it.

    Nothing is computed and next to no memory is taken, so the pass need not fit this machine. What
    may move follows from `requires_grad`, and each module's present mode is used.

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

    Frozen parts are in evaluation mode, and BatchNorm is as in `Network.train`. To open and prepare
    pictures is not part of a step.

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
        settings: Name -> options of `training_step`, such as {"all": {}, "head": {"freeze_until":
            "embedding"}}.
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

    Added are, measured as well, preparing each picture (not where the frozen part's output is stored)
    and the pass over the validation pictures. With `cached`, `prepare_seconds` is the one pass through
    the frozen part before the first epoch. (`fit` stores only what is worth it, see
    `tlcourse.training.data.WORTH_KEEPING`.)

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
        (validation,) = timed([validation_pass(step)], repeats)
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

    side = backbone.preprocess.resize_size
    values = np.random.default_rng(SEED).integers(0, 256, (side, side, 3), dtype=np.uint8)
    picture = Image.fromarray(values)
    times = timeit.repeat(lambda: backbone.preprocess(picture), number=1, repeat=8)
    return statistics.median(times)


def _frozen_seconds(backbone: Backbone, layer: str, repeats: int) -> tuple[float, float]:
    """Seconds to get ready for the pass through the frozen part, and for each picture in it."""
    began = time.perf_counter()
    fast, n = fast_copy(backbone, [layer]), fast_batch_size(backbone)
    start = time.perf_counter() - began
    side = backbone.preprocess.crop_size
    batch = torch.zeros(n, 3, side, side, device=backbone.device)
    batch = batch.contiguous(memory_format=torch.channels_last)
    times = [
        seconds_of(lambda: activations(fast, batch, [layer]), backbone.device)
        for _ in range(WARM_UP + repeats)
    ]
    return start, statistics.median(times[WARM_UP:]) / n
