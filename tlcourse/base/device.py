"""Devices (CPU, CUDA, MPS) and random seeds."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import torch

from tlcourse.errors import CourseError


def resolve_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device to compute on.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps" or a `torch.device`. By default the environment
            variable `TLCOURSE_DEVICE`, else a CUDA GPU, else an Apple GPU (MPS), else the CPU.

    Raises:
        CourseError: There is no such device, or this machine does not have it.
    """
    wanted = device or os.environ.get("TLCOURSE_DEVICE") or None
    if wanted is None:
        return torch.device(_available()[-1])
    with suppress(RuntimeError):  # no such kind of device
        if (resolved := torch.device(wanted)).type in _available():
            return resolved
    raise CourseError(
        f"Device {str(wanted)!r} is not available here. "
        f"Available: {', '.join(_available())}. Leave it out to let the course choose."
    )


def _available() -> list[str]:
    """Device types of this machine, the preferred one last."""
    gpus = {"mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    return ["cpu", *(kind for kind, is_there in gpus.items() if is_there)]


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished what it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seed_everything(seed: int = 0) -> None:
    """Seed Python, NumPy and PyTorch (every device), so that a rerun gives the same numbers."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  scikit-learn and learners' own code use the global state
    torch.manual_seed(seed)


@contextmanager
def fixed_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from this seed inside the block, and leave all other random numbers as they were."""
    gpus = device.type == "cuda" or torch.cuda.is_initialized()  # all of which are seeded
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if gpus else []):
        torch.manual_seed(seed)
        yield
