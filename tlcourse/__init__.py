"""Helper package of the course *Transfer learning from pre-trained models*.

Everything that a lesson calls is reachable from here (`import tlcourse as tl`). `__init__.pyi` lists
it, for editors and type checkers too. What stands behind a name is imported at its first use, so
that `import tlcourse` itself costs next to nothing.
"""

import importlib
import re
from pathlib import Path
from typing import Any

_LISTED = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_HOME = {name: home for home, name in re.findall(r"from (\S+) import (\w+) as", _LISTED)}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = importlib.import_module("importlib.metadata").version("tlcourse")
    elif name not in _HOME:
        raise AttributeError(f"module 'tlcourse' has no attribute {name!r}")
    elif _HOME[name] in ("tlcourse", "tlcourse.training"):  # the name is that of a module
        value = importlib.import_module(f"{_HOME[name]}.{name}")
    else:
        value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
