"""A network of your own as a folder, which `load_backbone` takes like a name.

    weights.safetensors    its weights and buffers
    network.json           its layers with their options, its classes, the preprocessing that it was
                           trained with, and the SHA-256 of the weights

Neither file holds code, so a folder from somebody else can be loaded without fear.
"""

import hashlib
import inspect
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tlcourse.base.files import read_json, save_files
from tlcourse.base.messages import first_line
from tlcourse.errors import CourseError, WeightsError, check_whole
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Layer
from tlcourse.networks.preprocess import Preprocess, make_augment

KINDS = (
    *("AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "BatchNorm1d", "BatchNorm2d"),
    *("Conv2d", "Dropout", "Dropout2d", "ELU", "Flatten", "GELU", "GroupNorm", "Hardswish"),
    *("Identity", "LayerNorm", "LeakyReLU", "Linear", "MaxPool2d", "ReLU", "Sigmoid", "SiLU"),
    *("Softplus", "Tanh"),
)
_FORMAT = 1
_MOST_LAYERS = 5_000
_MOST_NUMBERS = 2**28  # that a layer gives for one picture; 1 GiB
# What layers with impossible options raise when they are made, or when a picture goes in.
_BROKEN = (
    *(RuntimeError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError),
    *(AssertionError, MemoryError),
)
# Smaller ones are refused only once a picture goes in, not by a pass that computes nothing.
_LEAST = {"kernel_size": 1, "stride": 1, "dilation": 1, "padding": 0}
_ABOUT, _WEIGHTS = "network.json", "weights.safetensors"


def save_backbone(
    folder: str | os.PathLike[str],
    model: nn.Sequential,
    *,
    classes: Sequence[str],
    size: int,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.5, 0.5, 0.5),
    source: str = "trained by you",
    licence: str = "yours",
) -> Path:
    """Write a network that you have trained into a folder, whole or not at all.

    `load_backbone(folder)` reads it again, as a backbone like any other: it can be tapped, cut,
    frozen and fine-tuned. The parts of the `Sequential` that hold parameters become its layers:
    "stage1", "stage2", ... or the names that you gave them in an `OrderedDict`. What goes into the
    last linear part is the "embedding". The network itself stays as it is.

    Args:
        folder: Where to write. A backbone that was saved there is replaced; anything else is left
            alone.
        model: Layers of `torch.nn` in a row, which may hold such rows. It takes tensors
            (N, 3, size, size) and gives (N, classes).
        classes: Names of the classes, in the order of the outputs.
        size: Side of the square that goes in, in pixels. A picture's shorter side is resized to it
            (bilinear, antialiased), then the square in the middle is taken.
        mean: Of each of the three channels, from 0 to 1; subtracted before a picture goes in.
        std: Standard deviation of each channel; divided by after that.
        source: Where the weights come from, in a few words.
        licence: What others may do with the weights.

    Returns:
        The folder.

    Raises:
        CourseError: The network is not a row of such layers, does not take these pictures, or has
            another number of outputs; the folder holds something else, or cannot be written to.

    Example:
        >>> tl.save_backbone("my_letters", network, classes=letters.classes, size=16)
        >>> backbone = tl.load_backbone("my_letters/")
    """
    from safetensors.torch import save

    if not isinstance(folder, str | os.PathLike):
        raise CourseError(f"save_backbone needs a path, not {type(folder).__name__}.")
    target = Path(folder).expanduser()
    if type(model) is not nn.Sequential:
        raise CourseError(
            f"A backbone is saved as a row of layers, torch.nn.Sequential(...), not as "
            f"{type(model).__name__}."
        )
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not len(classes):
        raise CourseError(f"classes is {classes!r}, but must be a list of names.")
    parameters = [p for _, p in model.named_parameters(remove_duplicate=False)]
    if not parameters:
        raise CourseError("This network has no weights, so there is nothing to save.")
    if len(set(map(id, parameters))) < len(parameters):
        raise CourseError("Two layers of this network share weights. A backbone's have their own.")
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    weights = save(state)
    about = {
        "format": _FORMAT,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "classes": [str(name) for name in classes],
        "size": check_whole("size", size, least=16),
        "mean": _three("mean", mean),
        "std": _three("std", std),
        "source": str(source),
        "licence": str(licence),
        "layers": _described(model),
    }
    with torch.device("meta"):  # shapes only
        again = _built(about["layers"])
    if {name: t.shape for name, t in again.state_dict().items()} != {
        name: t.shape for name, t in state.items()
    }:
        raise CourseError(
            "This network has weights beside those of its layers, so it cannot be built again from "
            "them. Save it without what was added to it."
        )
    _check_pass(again, about)
    _named(again)
    text = json.dumps(about, indent=1) + "\n"
    save_files(target, {_WEIGHTS: weights, _ABOUT: text.encode()}, "backbone")
    return target


def read_folder(folder: str, pretrained: bool, device: torch.device) -> Backbone:
    """Build the backbone that `save_backbone` wrote into a folder.

    Raises:
        CourseError: There is no such folder, it holds no backbone, or its description is damaged.
        WeightsError: The weights are missing, were altered, or belong to another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    place = Path(folder).expanduser()
    if not (place / _ABOUT).is_file():
        missing = f"holds no {_ABOUT}" if place.is_dir() else "is not a folder"
        near = get_close_matches(place.name, saved_in(place.parent), n=1)
        nearest = "".join(f" Nearest: {(place.parent / name).as_posix()}/." for name in near)
        raise CourseError(
            f"{folder!r} {missing}, so it is no saved backbone.{nearest} tl.save_backbone(folder, "
            "model, ...) writes one, and tl.list_backbones() lists the names that need none."
        )
    if not (place / _WEIGHTS).is_file():
        raise WeightsError(f"The weights of {folder!r} are missing: it needs {_WEIGHTS}.")
    try:
        about = read_json(place / _ABOUT)
        content = (place / _WEIGHTS).read_bytes()
        if about["format"] != _FORMAT:
            raise CourseError(
                f"{folder!r} was saved by another version of tlcourse (format {about['format']!r}, "
                f"this one reads {_FORMAT})."
            )
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise WeightsError(
                f"The weights in {folder!r} are not those that were saved (the SHA-256 of {_WEIGHTS} "
                "differs), so they were not used. Copy or save the backbone again."
            )
        if (n := _n_layers(about["layers"])) > _MOST_LAYERS:
            raise CourseError(f"{folder!r} holds {n:,} layers. At most {_MOST_LAYERS:,} are read.")
        state = load(content)
        with torch.device("meta"):  # shapes first: nothing is computed or filled for a wrong file
            model = _built(about["layers"])
        if {name: t.shape for name, t in model.state_dict().items()} != {
            name: t.shape for name, t in state.items()
        }:
            raise WeightsError(
                f"The weights in {folder!r} are not those of the network that {_ABOUT} describes."
            )
        preprocess = Preprocess.from_size(
            check_whole("size", about["size"], least=16),
            tuple(_three("mean", about["mean"])),
            tuple(_three("std", about["std"])),
        )
        if pretrained:
            whole = {n: t.float() if t.is_floating_point() else t for n, t in state.items()}
            model.load_state_dict(whole, assign=True)
        else:
            model = _built(about["layers"])
        _check_pass(model, about)
        return Backbone(
            name=f"{Path(folder).as_posix()}/",
            model=model.to(device).eval(),
            preprocess=preprocess,
            augment=make_augment(preprocess),
            classes=tuple(map(str, about["classes"])),
            source=str(about["source"]) if pretrained else "random weights",
            licence=str(about["licence"]),
            device=device,
            named_layers=_named(model),
        )
    except CourseError:
        raise
    except KeyError as error:
        raise CourseError(f"{_ABOUT} in {folder!r} is damaged: it does not say {error}.") from error
    except (OSError, RecursionError, *_BROKEN) as error:
        raise CourseError(
            f"The backbone in {folder!r} is damaged ({first_line(error)})."
        ) from error
    except SafetensorError as error:
        raise WeightsError(f"{_WEIGHTS} in {folder!r} is damaged ({first_line(error)}).") from error


def saved_in(folder: Path) -> list[str]:
    """Names of the saved backbones in a folder."""
    return sorted(path.parent.name for path in folder.glob(f"*/{_ABOUT}"))


def _described(model: nn.Sequential) -> list[list[Any]]:
    """Each layer as its name, its kind and its options; of a row, its layers."""
    rows: list[list[Any]] = []
    for name, module in model._modules.items():  # a ReLU may stand there several times
        kind = type(module)
        if isinstance(module, nn.Sequential) and kind is nn.Sequential:
            rows.append([name, "Sequential", _described(module)])
        elif kind.__name__ in KINDS and kind is getattr(nn, kind.__name__):
            rows.append([name, kind.__name__, dict(_options(module))])
        else:
            raise CourseError(
                f"Layer {name!r} is a {kind.__name__}, which a backbone's folder cannot hold. "
                f"It can hold Sequential, {', '.join(KINDS)}."
            )
    return rows


def _options(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """What the module was made with, read off the module itself."""
    for name, parameter in inspect.signature(type(module)).parameters.items():
        free = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name not in ("device", "dtype") and not free:
            value = getattr(module, name)
            yield name, value is not None if name == "bias" else value


def _n_layers(rows: Any) -> int:
    return sum(_n_layers(more) if kind == "Sequential" else 1 for _, kind, more in rows)


def _built(rows: Any) -> nn.Sequential:
    """Make the layers again, with random weights."""
    model = nn.Sequential()
    for name, kind, options in rows:
        if kind == "Sequential":
            model.add_module(name, _built(options))
        elif kind in KINDS:
            read = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
            if {"device", "dtype"} & read.keys():  # where to put it is not the file's to say
                raise CourseError(f"Layer {name!r} has an option that no layer may have.")
            for option, least in _LEAST.items():
                value = read.get(option)
                numbers = value if isinstance(value, tuple) else (value,)
                if any(isinstance(number, int) and number < least for number in numbers):
                    raise CourseError(f"{option} of layer {name!r} is {value}, below {least}.")
            model.add_module(name, getattr(nn, kind)(**read))
        else:
            raise CourseError(
                f"Layer {name!r} is of kind {kind!r}, but a backbone's folder may hold only "
                f"Sequential, {', '.join(KINDS)}."
            )
    return model


def _check_pass(model: nn.Sequential, about: Mapping[str, Any]) -> None:
    """See that pictures of this size go in and a number per class comes out; computes nothing."""
    from tlcourse.networks.trace import trace

    size, n_classes = about["size"], len(about["classes"])
    try:
        records = trace(model.eval(), (3, size, size))
        given = records[""].output_shape
        largest = max(math.prod(record.output_shape or ()) for record in records.values())
    except _BROKEN as error:
        raise CourseError(
            f"The network does not take pictures (3, {size}, {size}): {first_line(error)}."
        ) from error
    if largest > _MOST_NUMBERS:
        raise CourseError(
            f"A layer gives {largest:,} numbers for one picture (3, {size}, {size}), which are more "
            f"than {_MOST_NUMBERS:,}."
        )
    if given != (n_classes,):
        raise CourseError(
            f"The network gives {given} per picture, but there are {n_classes} classes."
        )


def _named(model: nn.Sequential) -> tuple[Layer, ...]:
    """The parts with parameters, in order; then what goes into the last linear layer."""
    holders = [
        (n, m) for n, m in model.named_modules() if next(m.parameters(False), None) is not None
    ]
    path, last = holders[-1]
    names = list(dict.fromkeys(name.partition(".")[0] for name, _ in holders))
    linear = isinstance(last, nn.Linear)
    if linear and sum(name.partition(".")[0] == names[-1] for name, _ in holders) == 1:
        names.pop()  # nothing else learns in that part
    layers = [
        Layer(f"stage{i}" if name.isdigit() else name, name) for i, name in enumerate(names, 1)
    ]
    if linear:
        layers.append(Layer("embedding", path, "input"))
    layers.append(Layer("logits", ""))
    called = [layer.name for layer in layers]
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise CourseError(
            f"Two layers of this network would be called {twice!r}. Give its part another name; "
            '"embedding", "logits" and "stage1", "stage2", ... are given by the course.'
        )
    return tuple(layers)


def _three(name: str, values: Any) -> list[float]:
    """Three finite numbers, one per channel; those of `std` above 0."""
    said = f"{name} is {values!r}, but must be three numbers, one for each channel"
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise CourseError(f"{said}.") from error
    if len(numbers) != 3 or not all(abs(n) < float("inf") for n in numbers):
        raise CourseError(f"{said}.")
    if name == "std" and min(numbers) <= 0:
        raise CourseError(f"{said}, all above 0.")
    return numbers
