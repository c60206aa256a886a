"""Machines that `tlcourse wheels` collects wheels for."""

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tlcourse import _stick_installer
from tlcourse.errors import CourseError, UnknownNameError

_GLIBC = 28  # the C library 2.28, of 2018: PyTorch's wheels for Linux need it
_LINUX_TAGS = tuple(f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 4, -1))
_OLD_LINUX_TAGS = ("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64")


@dataclass(frozen=True)
class Target:
    """A machine to collect wheels for.

    Attributes:
        system: Such as "windows-x86_64".
        words: The same for people.
        platform: Its name for uv.
        tags: Platform tags of the wheels that it takes.
        needs: What is tested before the installation, such as {"macos": "14.0"}.
        cpu_index: PyTorch comes from its index of builds for the CPU.
        python: Such as "3.12"; empty for any.
        least_python: The oldest release that fits, such as "3.12.0"; empty for any.
    """

    system: str
    words: str
    platform: str
    tags: tuple[str, ...]
    needs: dict[str, str]
    cpu_index: bool
    python: str = ""
    least_python: str = ""


SYSTEMS = {
    "windows": Target(
        "windows-x86_64",
        "Windows",
        "x86_64-pc-windows-msvc",
        ("win_amd64",),
        needs={},
        cpu_index=False,
    ),
    "macos": Target(
        "macos-arm64",
        "macOS with an M processor",
        "aarch64-apple-darwin",
        ("macosx_14_0_arm64",),
        needs={"macos": "14.0"},
        cpu_index=False,
    ),
    "linux": Target(
        "linux-x86_64",
        "Linux",
        f"x86_64-manylinux_2_{_GLIBC}",
        (*_LINUX_TAGS, *_OLD_LINUX_TAGS, "linux_x86_64"),
        needs={"glibc": f"2.{_GLIBC}"},
        cpu_index=True,
    ),
}
_PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def targets(systems: Sequence[str], pythons: Sequence[str], *, cuda: bool = False) -> list[Target]:
    """Every system with every Python.

    Args:
        systems: Of `SYSTEMS`; none means this machine's.
        pythons: Such as "3.12", or "3.12.4" for this release and later ones; none means the one
            that runs.
        cuda: On Linux, PyTorch with CUDA.

    Raises:
        UnknownNameError: There is no such system or Python.
    """
    chosen = []
    for name in dict.fromkeys(text.lower() for text in systems or [_this_system()]):
        if name not in SYSTEMS:
            raise UnknownNameError("operating system", name, SYSTEMS)
        for python in dict.fromkeys(pythons or [".".join(platform.python_version_tuple()[:2])]):
            match = re.fullmatch(r"3\.(\d+)(?:\.(\d+))?\+?", python)
            if not match or int(match[1]) < int(_PYTHONS[0].split(".")[1]):
                raise UnknownNameError("Python for this course,", python, _PYTHONS)
            system = SYSTEMS[name]
            chosen.append(
                replace(
                    system,
                    words=f"{system.words} with Python 3.{match[1]}",
                    python=f"3.{match[1]}",
                    least_python=f"3.{match[1]}.{match[2] or 0}",
                    cpu_index=system.cpu_index and not cuda,
                )
            )
    return chosen


def _this_system() -> str:
    here = _stick_installer.this_system()
    for name, system in SYSTEMS.items():
        if system.system == here:
            return name
    raise CourseError(
        f"There are no wheels for this machine ({here}). Name another one: --system NAME"
    )
