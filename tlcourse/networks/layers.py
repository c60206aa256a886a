"""Names for the layers of a network, from input to output."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from torch import nn


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
