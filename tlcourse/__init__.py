"""Helper package of the course *Transfer learning from pre-trained models*.

Everything that a lesson calls is reachable from here (`import tlcourse as tl`). What stands behind
a name is imported at its first use, so that `import tlcourse` itself costs next to nothing.
`__init__.pyi` tells editors and type checkers the same.
"""

import importlib
from typing import Any

_HOME = {
    "Backbone": "networks.backbone",
    "list_backbones": "networks.load",
    "load_backbone": "networks.load",
    "Network": "networks.network",
    "activations": "networks.tap",
    "layer_table": "networks.tap",
    "Task": "tasks.load",
    "load_task": "tasks.load",
    "download_task": "tasks.download",
    "open_picture": "tasks.pictures",
    "photographs": "tasks.photographs",
    "Features": "features.features",
    "extract_features": "features.features",
    "load_features": "features.features",
    "fit_probe": "features.probe",
    "nearest": "features.neighbours",
    "probe_layers": "features.layerwise",
    "raw_pixels": "features.layerwise",
    "attribute": "explain.attributions",
    "excitations": "explain.excitation",
    "top_k": "explain.predictions",
    "fit": "training.fit",
    "find_learning_rate": "training.learning_rate",
    "Result": "patterns.result",
    "load_result": "patterns.result",
    "Comparison": "comparison.comparison",
    "compare": "comparison.compare",
    "check": "course.check",
    "hint": "course.check",
    "guess": "course.guess",
    "reveal": "course.guess",
    "progress": "course.progress",
    "seed_everything": "base.device",
    "resolve_device": "base.device",
    "CourseError": "errors",
}
_MODULES = {
    "cost": "cost",
    "finetune": "training.finetune",
    "patterns": "patterns",
    "plots": "plots",
    "proofs": "proofs",
    "widgets": "widgets",
}

__all__ = ["__version__", *sorted(_HOME), *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"tlcourse.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"tlcourse.{_MODULES[name]}")
    elif name == "__version__":
        value = importlib.import_module("importlib.metadata").version("tlcourse")
    else:
        raise AttributeError(f"module 'tlcourse' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
