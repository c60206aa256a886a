"""The model card of a saved result: one page that says what it is, and what is not known of it.

The idea is that of Mitchell et al. (2018), arXiv:1810.03993.
"""

import datetime
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse import metrics
from tlcourse.base.html import render_markdown
from tlcourse.base.messages import printable
from tlcourse.networks.backbone import Backbone
from tlcourse.tasks.split import SPLITS
from tlcourse.tasks.task import Task

if TYPE_CHECKING:
    from tlcourse.patterns.result import Result

Facts = dict[str, Any]  # as JSON holds them

_PACKAGES = ("tlcourse", "torch", "timm", "scikit-learn", "numpy")
_OPTIONS = ("seed", "epochs", "learning_rate", "body_rate", "layer_decay", "label_smoothing")
_NAMED = 12  # classes of the pre-training that are named
_PARTS = ("purpose", "data", "inherited", "training", "made", "scores")
_REASONS = 5  # files left out that are named


def result_facts(task: Task, backbone: Backbone, settings: Any = None) -> Facts:
    """What is known of a result's data, of its backbone and, by its `Settings`, of its training."""
    facts = {"data": data_facts(task), "inherited": inherited_facts(backbone)}
    return facts if settings is None else facts | {"training": training_facts(settings)}


def data_facts(task: Task) -> Facts:
    """What a task says of its pictures."""
    counts = {
        part: np.bincount(getattr(task, part).labels, minlength=len(task.classes)).tolist()
        for part in SPLITS
    }
    return {
        "title": task.title,
        "source": task.source,
        "licence": task.licence,
        "credits": len(task.credits),
        "pictures": counts,
        "skipped": len(task.skipped),
        "left_out": [str(one) for one in task.skipped[:_REASONS]],
        "change": None if task.change is None else repr(task.change),
    }


def inherited_facts(backbone: Backbone) -> Facts:
    """What a network was pre-trained with."""
    every = len(backbone.classes)
    step = max(1, every // _NAMED)
    return {
        "name": backbone.name,
        "source": backbone.source,
        "licence": backbone.licence,
        "n_classes": every,
        "examples": list(backbone.classes[::step][:_NAMED]),
    }


def training_facts(settings: Any) -> Facts:
    """How a training went, from its `Settings`."""
    values = {name: getattr(settings, name) for name in _OPTIONS}
    # JSON knows no numbers of NumPy.
    facts = {n: v.item() if isinstance(v, np.generic) else v for n, v in values.items()}
    augment = settings.augment if isinstance(settings.augment, bool) else "a function of your own"
    return facts | {"augment": augment}


def made_facts() -> Facts:
    """With which versions, and when."""
    return {
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
        **{name: version(name) for name in _PACKAGES},
    }


def score_facts(result: "Result", groups: Sequence[Any] | np.ndarray | None) -> Facts:
    """What was measured on the pictures that a result holds; nothing for a loaded one."""
    if not result.logits:
        return {}
    part = result.last_split
    logits, labels = result.logits[part], result.pictures[part].labels
    right = np.asarray(logits.argmax(axis=1) == labels)
    if not len(labels):
        return {}
    each = []
    for label in range(len(result.classes)):
        mine = right[labels == label]
        each.append([int(mine.sum()), len(mine)])
    facts: Facts = {
        "split": part,
        "n": len(labels),
        "balanced_accuracy": result.balanced_accuracy,
        "per_class": each,
        "calibration_error": metrics.calibration_error(logits, labels),
        "calibrated_error": metrics.calibration_error(
            logits, labels, temperature=result.temperature
        ),
        "groups": None,
    }
    if groups is not None:
        table = metrics.by_group(logits.argmax(axis=1), labels, groups).table
        facts["groups"] = [
            [str(name), int(row["right"]), int(row["n"])] for name, row in table.iterrows()
        ]
    return facts


def write_card(result: "Result", facts: Mapping[str, Any]) -> str:
    """Fill the page, in Markdown.

    Args:
        result: What it is about.
        facts: "data", "inherited", "training", "made" and "scores", as the functions above give
            them, and "purpose" in the maker's words. What is missing is said to be unknown.
    """
    return render_markdown(
        "model_card",
        result=result,
        classes=[printable(name) for name in result.classes],
        parameters=sum(p.numel() for p in result.backbone.model.parameters()),
        interval=_interval,
        **{name: facts.get(name) for name in _PARTS},
    )


def _interval(right: int, n: int) -> str:
    low, high = metrics.wilson_interval(right, n)
    return f"{low:.2f} to {high:.2f}"
