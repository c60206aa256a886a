"""A network's own classes, grouped into the classes of another task (pattern 1)."""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from tlcourse.errors import CourseError, check_choice
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Layer
from tlcourse.networks.words import classes_called
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


@dataclass(frozen=True)
class Matching:
    """Which of a network's classes mean which class of a task."""

    names: dict[str, list[str]]  # class of the task -> the network's
    groups: tuple[tuple[int, ...], ...]  # for each class of the task, their numbers
    missing: str = ""  # why pattern 1 is not applicable, in sentences; empty if it is

    def __str__(self) -> str:
        """Show what was matched in one line: "ants -> ant; dogs -> 118 classes from ..."."""
        parts = []
        for name, meant in self.names.items():
            several = f"{len(meant)} classes from {meant[0]} to {meant[-1]}"
            parts.append(f"{name} -> {several if len(meant) > 3 else ' + '.join(meant)}")
        return "; ".join(parts)


def matching_classes(
    backbone: Backbone, task: Task, mapping: Mapping[str, Sequence[str]] | None
) -> Matching:
    """Find the network's classes for each class of the task, by a mapping or by their names.

    Raises:
        UnknownNameError: The mapping names a class that the task or the network does not have.
        CourseError: A class is missing in the mapping, or two share a class of the network.
    """
    if not backbone.classes:
        none = f"{backbone.name} knows no classes of its own, so it cannot be used as it is."
        return Matching({}, (), none)
    if mapping is None:
        return _by_name(backbone, task)
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
    for name in (name for names in named.values() for name in names):
        check_choice(f"class of {backbone.name}", name, backbone.classes)
    if twice := _claimed_twice(named):
        raise CourseError(
            f"Two classes of the task share {', '.join(sorted(twice))}. "
            "Give each class of the network to one of them only."
        )
    return Matching(named, _numbers(backbone, named))


def _by_name(backbone: Backbone, task: Task) -> Matching:
    named, reasons = {}, []
    for name in task.classes:
        named[name], reason = classes_called(name, backbone.classes)
        reasons += [reason] * bool(reason)
    unknown = [repr(name) for name, names in named.items() if not names]
    if unknown:
        shown = ", ".join(unknown[:5]) + (" and so on" if len(unknown) > 5 else "")
        reasons.insert(0, f"The network has no class called {shown}.")
    if twice := _claimed_twice(named):
        both = [repr(name) for name, names in named.items() if twice & set(names)]
        reasons.append(f"{' and '.join(both)} share the network's class {min(twice)!r}.")
    return Matching(named, _numbers(backbone, named), " ".join(reasons))


def _claimed_twice(named: Mapping[str, Sequence[str]]) -> set[str]:
    counts = Counter(name for names in named.values() for name in set(names))
    return {name for name, count in counts.items() if count > 1}


def _numbers(backbone: Backbone, named: Mapping[str, Sequence[str]]) -> tuple[tuple[int, ...], ...]:
    """Numbers of the named classes among the logits; two of them may have the same name."""
    return tuple(
        tuple(i for i, name in enumerate(backbone.classes) if name in names)
        for names in named.values()
    )
