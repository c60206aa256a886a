"""What an epoch of `tlcourse.fit` will cost, from steps that were measured."""

import statistics
import time
from typing import Any

import numpy as np
import torch

from tlcourse.base.device import synchronize
from tlcourse.base.machine import give_memory_back
from tlcourse.cost.passes import (
    SEED,
    WARM_UP,
    TimedPass,
    check_options,
    look_bench,
    own_numbers,
    step_bench,
    timed,
)
from tlcourse.cost.records import Cost
from tlcourse.errors import CourseError
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.fast import fast_batch_size, fast_copy
from tlcourse.networks.tap import activations
from tlcourse.training.data import shuffled


def epoch(
    backbone: Backbone, *, n_pictures: int, n_val: int = 0, repeats: int = 5, **options: Any
) -> Cost:
    """Predict an epoch of `tlcourse.fit` from measured steps: their number times their median.

    Added are, from measurements as well, preparing each picture (not where the frozen part's output
    is stored) and the look at the validation pictures. With `cached`, `prepare_seconds` is the one
    pass through the frozen part before the first epoch. (`fit` stores only what is worth it: at
    least a quarter of the network's operations.)

    Args:
        backbone: The network; it stays as it is.
        n_pictures: Training pictures.
        n_val: Validation pictures.
        repeats: Measurements after the warm-up.
        options: Those of `tlcourse.cost.training_step`.

    Raises:
        CourseError: An option that nothing can be measured with, or not enough memory.
    """
    cost = _predicted(backbone, n_pictures, n_val, repeats, options)
    give_memory_back()
    return cost


def _predicted(
    backbone: Backbone, n_pictures: int, n_val: int, repeats: int, options: dict[str, Any]
) -> Cost:
    check_options("epoch", options)
    if n_pictures < 1 or n_val < 0:
        raise CourseError(
            f"An epoch needs at least one training picture, got n_pictures={n_pictures} and "
            f"n_val={n_val}."
        )
    with own_numbers():
        step = step_bench(backbone, **options)
        batch, cached = step.about["batch"], step.about["cached"]
        steps = timed([step], repeats)[0]
        allocator_bytes = step.allocator_bytes
        opening = _opening_seconds(step.backbone)
        extra = 0.0 if cached else opening * (n_pictures + n_val)
        prepare = 0.0
        if cached:
            start, each = _frozen_seconds(step, repeats)
            prepare = start + (each + opening) * (n_pictures + n_val)
        operations = round(step.account.operations * n_pictures / batch)
        largest = step.account.bytes
        if n_val:
            look = look_bench(step)
            extra += statistics.median(timed([look], repeats)[0]) * n_val / (2 * batch)
            operations += round(look.account.operations * n_val / (2 * batch))
            largest = max(largest, look.account.bytes, key=lambda b: b.total)
    n_steps = len(shuffled(n_pictures, batch, SEED, 1))
    return step.cost(
        [n_steps * seconds + extra for seconds in steps],
        what="epoch",
        pictures=n_pictures,
        steps=n_steps,
        operations=operations,
        bytes=largest,
        prepare_seconds=prepare,
        allocator_bytes=allocator_bytes,
    )


def _opening_seconds(backbone: Backbone, n: int = 8) -> float:
    """Seconds to prepare a picture that was opened already, as `fit` keeps them."""
    from PIL import Image

    side = backbone.preprocess.resize_size
    values = np.random.default_rng(SEED).integers(0, 256, (side, side, 3), dtype=np.uint8)
    picture, times = Image.fromarray(values), []
    for _ in range(n):
        started = time.perf_counter()
        backbone.preprocess(picture)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _frozen_seconds(step: TimedPass, repeats: int) -> tuple[float, float]:
    """Seconds to get ready for the pass through the frozen part, and for each picture in it."""
    layer, backbone = step.about["freeze_until"], step.backbone
    began = time.perf_counter()
    fast, n = fast_copy(backbone, [layer]), fast_batch_size(backbone)
    start = time.perf_counter() - began
    side, times = backbone.preprocess.crop_size, []
    batch = torch.zeros(n, 3, side, side, device=step.device)
    batch = batch.contiguous(memory_format=torch.channels_last)
    for _ in range(WARM_UP + repeats):
        synchronize(step.device)
        started = time.perf_counter()
        activations(fast, batch, [layer])
        synchronize(step.device)
        times.append(time.perf_counter() - started)
    return start, statistics.median(times[WARM_UP:]) / n
