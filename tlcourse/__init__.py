"""Helper package of the course *Transfer learning from pre-trained models*.

Everything that a lesson calls is reachable from here (`import tlcourse as tl`). What stands behind
a name is imported at its first use, so that `import tlcourse` itself costs next to nothing.
`__init__.pyi` tells editors and type checkers the same.
"""

import importlib
from typing import Any

_HOMES = {
    "base.device": ("resolve_device", "seed_everything"),
    "comparison.compare": ("compare",),
    "comparison.comparison": ("Comparison",),
    "course.check": ("check", "hint"),
    "course.guess": ("guess", "reveal"),
    "course.progress": ("progress",),
    "errors": ("CourseError",),
    "explain.attributions": ("attribute",),
    "explain.excitation": ("excitations",),
    "explain.predictions": ("top_k",),
    "features.features": ("Features", "extract_features", "load_features"),
    "features.layerwise": ("probe_layers", "raw_pixels"),
    "features.neighbours": ("nearest",),
    "features.probe": ("fit_probe",),
    "networks.backbone": ("Backbone",),
    "networks.load": ("list_backbones", "load_backbone"),
    "networks.network": ("Network",),
    "networks.tap": ("activations", "layer_table"),
    "patterns.result": ("Result", "load_result"),
    "tasks.download": ("download_task",),
    "tasks.load": ("Task", "load_task"),
    "tasks.photographs": ("photographs",),
    "tasks.pictures": ("open_picture",),
    "training.fit": ("fit",),
    "training.learning_rate": ("find_learning_rate",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = {"finetune": "training.finetune"} | {
    name: name for name in ("cost", "patterns", "plots", "proofs", "widgets")
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
