"""Helper package of the course *Transfer learning from pre-trained models*.

Everything that a lesson calls is reachable from here (`import tlcourse as tl`). The modules behind
the names are imported at the first use, so that `import tlcourse` itself costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "1.0.0"

_HOME = {
    "Backbone": "backbones",
    "list_backbones": "backbones",
    "load_backbone": "backbones",
    "Task": "tasks",
    "download_task": "tasks",
    "load_task": "tasks",
    "open_picture": "_pictures",
    "photographs": "tasks",
    "activations": "tap",
    "layer_table": "tap",
    "attribute": "attributions",
    "Features": "features",
    "extract_features": "features",
    "load_features": "features",
    "Network": "network",
    "fit": "train",
    "find_learning_rate": "rates",
    "fit_probe": "probe",
    "probe_layers": "layerwise",
    "raw_pixels": "layerwise",
    "Comparison": "comparison",
    "compare": "comparison",
    "Result": "results",
    "load_result": "results",
    "top_k": "predictions",
    "check": "exercises",
    "hint": "exercises",
    "guess": "guesses",
    "reveal": "guesses",
    "progress": "overview",
    "seed_everything": "_device",
    "resolve_device": "_device",
    "CourseError": "errors",
}
_MODULES = {"cost", "finetune", "patterns", "plots", "proofs", "widgets"}

__all__ = ["__version__", *sorted(_HOME), *sorted(_MODULES)]

if TYPE_CHECKING:
    from tlcourse import cost as cost
    from tlcourse import finetune as finetune
    from tlcourse import patterns as patterns
    from tlcourse import plots as plots
    from tlcourse import proofs as proofs
    from tlcourse import widgets as widgets
    from tlcourse._device import resolve_device, seed_everything
    from tlcourse._pictures import open_picture
    from tlcourse.attributions import attribute
    from tlcourse.backbones import Backbone, list_backbones, load_backbone
    from tlcourse.comparison import Comparison, compare
    from tlcourse.errors import CourseError
    from tlcourse.exercises import check, hint
    from tlcourse.features import Features, extract_features, load_features
    from tlcourse.guesses import guess, reveal
    from tlcourse.layerwise import probe_layers, raw_pixels
    from tlcourse.network import Network
    from tlcourse.overview import progress
    from tlcourse.predictions import top_k
    from tlcourse.probe import fit_probe
    from tlcourse.rates import find_learning_rate
    from tlcourse.results import Result, load_result
    from tlcourse.tap import activations, layer_table
    from tlcourse.tasks import Task, download_task, load_task, photographs
    from tlcourse.train import fit


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"tlcourse.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"tlcourse.{name}")
    else:
        raise AttributeError(f"module 'tlcourse' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
