"""The questions of each notebook: `nb00.py` belongs to `notebooks/00_*.ipynb`, and so on.

Each module holds `EXERCISES`, a tuple of `course.exercise.Exercise`, and `QUESTIONS`, a tuple of
`course.question.Question`. Answers to the exercises live here, so this is the folder not
to open before you have tried. `tries00.py` and so on hold what these modules call: functions that
try an answer, and wrong answers to try them with. `answers.py` has what several of them ask for.
"""

import importlib
import pkgutil
from types import ModuleType


def modules() -> list[ModuleType]:
    """The module of each notebook, in their order."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    names = sorted(name for name in found if name.startswith("nb"))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]
