"""Names for the layers of a network, from input to output."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import nn

from tlcourse.errors import CourseError


@dataclass(frozen=True)
class Layer:
    """A place in a network whose value can be read: a module's output, or what goes into it."""

    name: str  # "stem", "stage3", "block7", "embedding", "logits", or the path
    path: str  # dotted path of the module; "" is the whole network
    side: Literal["output", "input"] = "output"


# Family (regular expression), stem, stages, and the module whose input is the embedding. Networks of
# timm describe themselves.
# "features.*:MaxPool2d" means: those children of `features` that are of this class.
_TORCHVISION = (
    (r"resnet|resnext|wide_resnet", "maxpool", "layer*", "fc"),
    (r"mobilenet", "features.0", "features.*:InvertedResidual", "classifier"),
    (r"efficientnet", "features.0", "features.*:Sequential", "classifier"),
    (r"convnext", "features.0", "features.[1357]", "classifier.2"),
    (r"swin", "features.0", "features.[1357]", "head"),
    (r"vit", "conv_proj", "encoder.layers.*", "heads"),
    (r"maxvit", "stem", "blocks.*", "classifier.2"),
    (r"regnet", "stem", "trunk_output.*", "fc"),
    (r"densenet", "features.pool0", "features.denseblock*", "classifier"),
    (r"alexnet|vgg", "features.0", "features.*:MaxPool2d", "classifier"),
    (r"squeezenet", "features.0", "features.*:Fire", "classifier"),
    (r"mnasnet", "layers.7", "layers.*:Sequential", "classifier"),
    (r"shufflenet", "maxpool", "stage*", "fc"),
    (r"googlenet", "maxpool2", "inception*", "fc"),
    (r"inception", "maxpool2", "Mixed_*", "fc"),
)


def torchvision_layers(name: str, model: nn.Module) -> tuple[Layer, ...]:
    """Name the layers of a `torchvision.models` classifier; `name` is its name there."""
    for pattern, stem, stages, head in _TORCHVISION:
        if re.match(pattern, name):
            return _named(stem, _matching(model, stages), head)
    return _named(None, [path for path, _ in model.named_children()], None)


def timm_layers(model: Any) -> tuple[Layer, ...]:
    """Name the layers of a timm network, from what it says about itself."""
    config = model.pretrained_cfg
    stem = _first(config.get("first_conv"))
    stages = [info["module"] for info in getattr(model, "feature_info", None) or []]
    if hasattr(model, "conv_stem") and hasattr(model, "blocks"):  # the EfficientNet family
        stem, stages = "bn1", _matching(model, "blocks.*")
    elif stages and len(list(model.get_submodule(stages[0]).children())) == 0:
        stem, stages = stages[0], stages[1:]  # ResNets: the first entry is an activation
    stages = stages or [path for path, _ in model.named_children()]
    return _named(stem, stages, _first(config.get("classifier")))


def _named(stem: str | None, stages: list[str], head: str | None) -> tuple[Layer, ...]:
    # A transformer has many equal blocks, a convolutional network a few stages.
    word = "block" if len(stages) > 9 else "stage"
    layers = [Layer("stem", stem)] if stem else []
    layers += [Layer(f"{word}{i}", path) for i, path in enumerate(stages, 1)]
    if head:
        layers.append(Layer("embedding", head, "input"))
    return (*layers, Layer("logits", ""))


def _matching(model: nn.Module, pattern: str) -> list[str]:
    """Paths that match a pattern such as "features.*:MaxPool2d", in order."""
    pattern, _, kind = pattern.partition(":")
    depth = pattern.count(".")
    return [
        path
        for path, module in model.named_modules()
        if path.count(".") == depth
        and fnmatchcase(path, pattern)
        and kind in ("", type(module).__name__)
    ]


def _first(paths: str | tuple[str, ...] | None) -> str | None:
    return paths[0] if isinstance(paths, (tuple, list)) else paths


Pool = Literal["mean", "max", "class_token", "patch_mean", "none"]
_OF_TOKENS = ("class_token", "patch_mean")


def are_maps(shape: tuple[int, ...] | None) -> bool:
    """Tell whether a layer's output for one picture is maps (C, H, W), not (H, W, C) or tokens."""
    if shape is None or len(shape) != 3 or shape[1] * shape[2] == 1:
        return False
    return not shape[0] == shape[1] != shape[2]


def pool_positions(value: torch.Tensor, pool: Pool, model: nn.Module | None = None) -> torch.Tensor:
    """Turn maps (B, C, H, W) or (B, H, W, C) or tokens (B, T, C) into vectors (B, C).

    "class_token" takes a Vision Transformer's class token, "patch_mean" the mean of its patches,
    without that token and its like. `model` is the network, which knows how many these are.
    """
    if value.ndim <= 2 or pool == "none":
        return value
    if pool in _OF_TOKENS:
        tokens = _leading_tokens(model)
        if value.ndim != 3 or not tokens:
            raise CourseError(
                f'pool="{pool}" is for the tokens of a Vision Transformer that has a class token. '
                f'This layer gives {tuple(value.shape[1:])} for a picture: take pool="mean".'
            )
        return value[:, 0] if pool == "class_token" else value[:, tokens:].mean(dim=1)
    shape = tuple(value.shape[1:])
    channels_first = are_maps(shape) or shape[1:] == (1, 1)
    axes = tuple(range(2, value.ndim) if channels_first else range(1, value.ndim - 1))
    return value.mean(dim=axes) if pool == "mean" else value.amax(dim=axes)


def _leading_tokens(model: nn.Module | None) -> int:
    """Tokens of a Vision Transformer in front of its patches; 0 where none is a class token."""
    model = getattr(model, "body", model)  # of a `Network`
    if isinstance(getattr(model, "class_token", None), nn.Parameter):  # torchvision
        return 1
    if getattr(model, "cls_token", None) is None:  # timm
        return 0
    return int(getattr(model, "num_prefix_tokens", 1))
