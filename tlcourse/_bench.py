"""A pass that can be timed again and again, and the clock for it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tlcourse._account import Account
from tlcourse._costs import Cost
from tlcourse._device import synchronize
from tlcourse._machine import give_memory_back
from tlcourse._steps import Stepper
from tlcourse.backbones import Backbone
from tlcourse.errors import CourseError, UnknownNameError

SEED = 0
WARM_UP = 2  # passes before the first one that is timed
OPTIONS = ("batch", "size", "layer", "freeze_until", "cached", "n_classes", "device")


@dataclass(eq=False)
class Bench:
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


def timed(benches: Sequence[Bench], repeats: int) -> list[list[float]]:
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


def measured(benches: dict[str, Bench], repeats: int) -> dict[str, Cost]:
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
