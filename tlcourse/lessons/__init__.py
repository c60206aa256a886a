"""The questions of each notebook: `nb00.py` belongs to `notebooks/00_*.ipynb`, and so on.

Each module holds `EXERCISES`, a tuple of `tlcourse._exercise.Exercise`, and `PREDICTIONS`, a tuple
of `tlcourse._prediction.Prediction`. Answers to the exercises live here, so this is the folder not
to open before you have tried.
"""

import importlib
import pkgutil
from types import ModuleType


def modules() -> list[ModuleType]:
    """The module of each notebook, in their order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]
