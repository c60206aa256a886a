"""This machine: its cores, memory and devices (CPU, CUDA, MPS), and their random seeds.

PyTorch is imported at its first use, so that the commands that need none start fast.
"""

import ctypes
import os
import platform
import random
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tlcourse.errors import CourseError

if TYPE_CHECKING:
    import torch

MIB = 2**20
GIB = 2**30
MEMORY_LIMIT = 3 * GIB // 2  # no notebook's kernel passes 1.5 GiB

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that this process may use; a container often gets fewer than the machine has."""
    from joblib import cpu_count

    return int(cpu_count())


def memory() -> tuple[int, int]:
    """Total and available bytes of memory; those of the container where it has fewer."""
    whole = psutil.virtual_memory()
    total, available = whole.total, whole.available
    limit, used = _read("memory.max"), _read("memory.current")
    if limit.isdecimal() and used.isdecimal() and int(limit) < total:
        # The file cache counts as used there, but gives way when memory is needed.
        stat = dict(line.split(" ", 1) for line in _read("memory.stat").splitlines())
        free = int(limit) - int(used) + int(stat.get("inactive_file", 0))
        total, available = int(limit), min(available, free)
    return total, available


def peak_resident(process: psutil.Process) -> int:
    """Largest resident set of a process so far, in bytes; where none is kept, the present one."""
    if psutil.LINUX:
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        if peak is None:  # it has ended
            raise psutil.NoSuchProcess(process.pid)
        return int(peak[1]) * 1024
    now = process.memory_info()
    return getattr(now, "peak_wset", now.rss)


def give_memory_back() -> None:
    """Ask glibc to return freed memory to the system; other C libraries keep little of it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let matrix products run in one thread: with small ones, more threads cost more than they give."""
    with warnings.catch_warnings():  # threadpoolctl warns of OpenMP libraries that are not ours
        warnings.simplefilter("ignore", RuntimeWarning)
        from threadpoolctl import threadpool_limits

        limits = threadpool_limits(1)
    with limits:
        yield


def accelerators() -> dict[str, str]:
    """GPUs that PyTorch can use: "cuda:0" or "mps" -> name."""
    import torch

    names = {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    if torch.backends.mps.is_available():
        names["mps"] = "Apple GPU"
    return names


def device_name(device: "torch.device") -> str:
    """Name of a device's GPU; empty for a CPU."""
    key = f"cuda:{device.index or 0}" if device.type == "cuda" else device.type
    return accelerators().get(key, "")


def resolve_device(device: "str | torch.device | None" = None) -> "torch.device":
    """Return the device to compute on.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps" or a `torch.device`. By default the environment
            variable `TLCOURSE_DEVICE`, else a CUDA GPU, else an Apple GPU (MPS), else the CPU.

    Raises:
        CourseError: There is no such device, or this machine does not have it.
    """
    import torch

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
    import torch

    gpus = {"mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    return ["cpu", *(kind for kind, is_there in gpus.items() if is_there)]


def synchronize(device: "torch.device") -> None:
    """Wait until the device has finished what it was given; a CPU always has."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seed_everything(seed: int = 0) -> None:
    """Seed Python, NumPy and PyTorch (every device), so that a rerun gives the same numbers."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  scikit-learn and learners' own code use the global state
    torch.manual_seed(seed)


@contextmanager
def fixed_seed(seed: int, device: "torch.device") -> Iterator[None]:
    """Draw from this seed inside the block, and leave all other random numbers as they were."""
    import torch

    gpus = device.type == "cuda" or torch.cuda.is_initialized()  # all of which are seeded
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if gpus else []):
        torch.manual_seed(seed)
        yield


def describe() -> dict[str, str]:
    """Describe the machine for a report, without a word on whose it is."""
    import torch

    device = resolve_device()
    name = device_name(device)
    return {
        "Cores": f"{usable_cores()} ({platform.machine()}), {torch.get_num_threads()} threads",
        "Memory": f"{memory()[0] / GIB:.1f} GiB",
        "Device": f"{device} ({name})" if name else str(device),
        "System": f"{platform.system()}, Python {platform.python_version()}",
        "Versions": f"tlcourse {version('tlcourse')}, torch {torch.__version__}",
    }


def _read(name: str) -> str:
    """Content of a file of this container's control group; empty where there is none."""
    try:
        return (_CGROUP / name).read_text().strip()
    except OSError:
        return ""
