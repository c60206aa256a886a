"""A network's own classes, put together to the classes of another task (pattern 1)."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from tlcourse._layers import Layer
from tlcourse.backbones import Backbone


class ClassGroups(nn.Module):
    """A network's own logits, put together to the classes of another task.

    The logit of a group is the logarithm of the summed odds of its members, so that softmax over
    groups shares the probability of all members.
    """

    def __init__(self, model: nn.Module, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model = model
        self.groups = [list(group) for group in groups]

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn pictures (B, 3, H, W) into the logits of the groups (B, groups)."""
        return group_logits(self.model(batch), self.groups)


def group_logits(logits: torch.Tensor, groups: Sequence[Sequence[int]]) -> torch.Tensor:
    """Put logits (B, classes) together to groups of classes (B, groups)."""
    return torch.stack([logits[:, list(g)].logsumexp(dim=1) for g in groups], dim=1)


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
