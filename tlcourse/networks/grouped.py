"""A network's own classes, grouped into the classes of another task (pattern 1)."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from tlcourse.errors import CourseError, check_choice
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Layer
from tlcourse.tasks.task import Task


class ClassGroups(nn.Module):
    """A network whose logits are combined, so that a group has the summed odds of its members."""

    def __init__(self, model: nn.Module, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model = model
        self.groups = [list(group) for group in groups]

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn pictures (B, 3, H, W) into the logits of the groups (B, groups)."""
        logits = self.model(batch)
        return torch.stack([logits[:, group].logsumexp(dim=1) for group in self.groups], dim=1)

    def extra_repr(self) -> str:
        """Name the groups; the key of stored features contains this."""
        return f"groups={self.groups}"


def grouped(
    backbone: Backbone, classes: tuple[str, ...], groups: Sequence[Sequence[int]]
) -> Backbone:
    """Copy a backbone and give it these classes, each one a group of its own."""
    layers = [Layer(x.name, f"model.{x.path}", x.side) for x in backbone.named_layers if x.path]
    return replace(
        backbone,
        model=ClassGroups(copy.deepcopy(backbone.model), groups).eval(),
        classes=classes,
        named_layers=(*layers, Layer("logits", "")),
    )


def matching_classes(
    backbone: Backbone, task: Task, mapping: Mapping[str, Sequence[str]] | None
) -> tuple[list[list[int]], list[str]]:
    """Find the network's classes for each class of the task, and the classes without any."""
    if mapping is None:
        named = {name: _same_name(backbone, name) for name in task.classes}
    else:
        for name in mapping:
            check_choice(f"class of task {task.name!r}", name, task.classes)
        if missing := [name for name in task.classes if not mapping.get(name)]:
            raise CourseError(
                f"The mapping says nothing of {', '.join(map(repr, missing))}. "
                "Each class of the task needs at least one class of the network."
            )
        named = {
            name: [names] if isinstance(names := mapping[name], str) else list(names)
            for name in task.classes
        }
    places: list[list[int]] = []
    for names in named.values():
        for name in names:
            check_choice(f"class of {backbone.name}", name, backbone.classes)
        places.append([i for i, name in enumerate(backbone.classes) if name in names])
    used = [i for group in places for i in group]
    if twice := {backbone.classes[i] for i in used if used.count(i) > 1}:
        raise CourseError(
            f"Two classes of the task share {', '.join(sorted(twice))}. "
            "Give each class of the network to one of them only."
        )
    return places, [repr(name) for name, names in named.items() if not names]


def _same_name(backbone: Backbone, name: str) -> list[str]:
    """Return the network's class that has this name, in singular or plural."""
    low = name.casefold().replace("_", " ").strip()
    singular = {low, low.removesuffix("s"), low.removesuffix("es")}
    if low.endswith("ies"):
        singular.add(low[:-3] + "y")
    return [c for c in dict.fromkeys(backbone.classes) if c.casefold() in singular]
