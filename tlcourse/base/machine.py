"""What this machine is: cores, memory, devices."""

import ctypes
import platform
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

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


def describe() -> dict[str, str]:
    """Describe the machine for a report, without a word on whose it is."""
    import torch

    from tlcourse.base.device import resolve_device

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
