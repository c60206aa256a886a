"""A network together with what it takes to use it: preprocessing, layer names, classes.

A digest tells whether it is still the one it was, up to a layer.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from tlcourse.errors import CourseError, UnknownNameError, check_whole
from tlcourse.networks.layers import Layer
from tlcourse.networks.mel import MelPreprocess
from tlcourse.networks.preprocess import Preprocess
from tlcourse.networks.trace import ModuleRecord, is_inside, modules_up_to, trace


@dataclass(eq=False)
class Backbone:
    """A network with its own preprocessing and a name for each of its layers."""

    name: str  # that `load_backbone` takes
    model: nn.Module  # the network, in evaluation mode, on `device`
    preprocess: Preprocess | MelPreprocess  # turns a picture or sound into what goes in, float32
    augment: Callable[[Any], torch.Tensor]  # the same with random changes, for training
    classes: tuple[str, ...]  # of the pre-training task, in the order of the logits; () without
    source: str  # where the weights come from
    licence: str  # of the weights
    device: torch.device
    named_layers: tuple[Layer, ...] = field(repr=False)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names from input to output; where one is asked for, any module path will do as well."""
        return tuple(layer.name for layer in self.named_layers)

    @property
    def of_pictures(self) -> Preprocess:
        """The preprocessing of a network for pictures.

        Raises:
            CourseError: This network takes sounds.
        """
        if isinstance(self.preprocess, Preprocess):
            return self.preprocess
        raise CourseError(
            f"{self.name} takes {self.preprocess.kind}, but this is for networks that take pictures."
        )

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def operations(self) -> int:
        """Operations per picture: convolutions and linear layers, two per multiply-add."""
        return self.trace[""].operations

    @cached_property
    def trace(self) -> dict[str, ModuleRecord]:
        """What one forward pass of one picture does, by module path."""
        return trace(self.model, self.preprocess.shape)

    def with_model(self, model: nn.Module, *, source: str | None = None) -> "Backbone":
        """Return a backbone with another model of the same modules, which is not traced again."""
        first = next(model.parameters(), None)
        device = self.device if first is None else first.device
        other = replace(self, model=model, device=device, source=source or self.source)
        other.__dict__["trace"] = self.trace
        return other

    def at_size(self, size: int) -> "Backbone":
        """Return the same network, with the same weights, for pictures or sounds of another size.

        The network itself is shared, not copied.

        Args:
            size: Side of the square that goes in, in pixels; of a network for sounds, the length
                that goes in, in frames of 10 milliseconds.

        Raises:
            CourseError: The network cannot take them.
        """
        check_whole("size", size, least=16)
        if size == self.preprocess.size:
            return self
        preprocess = self.preprocess.at_size(size)
        other = replace(self, preprocess=preprocess, augment=preprocess.augment())
        try:
            other.trace  # noqa: B018  a forward pass that computes nothing
        except Exception as error:
            raise CourseError(
                f"{self.name} cannot take {preprocess.kind} of {size} {preprocess.units} "
                f"({str(error)[:80]}). It was made for {self.preprocess.size}."
            ) from error
        return other

    def layer(self, name: str) -> Layer:
        """Return the layer of that name, or the module at that dotted path.

        Raises:
            UnknownNameError: Neither a layer nor a module is called that.
        """
        for layer in self.named_layers:
            if layer.name == name:
                return layer
        paths = [path for path, _ in self.model.named_modules() if path]
        if name in paths:
            return Layer(name, name)
        known = dict.fromkeys((*self.layers, *paths))
        raise UnknownNameError(f"layer in {self.name} called", name, known)

    def depth(self, name: str) -> int:
        """Rank of a layer in the forward pass; -1 if the pass never comes to it."""
        return self.trace[self.layer(name).path].position

    def __repr__(self) -> str:
        known = f"{len(self.classes)} classes" if self.classes else "no classes of its own"
        return (
            f"Backbone {self.name}: {self.n_parameters:,} parameters, "
            f"{self.operations / 1e9:.2f} billion operations per {self.preprocess.one}, on {self.device}\n"
            f"  layers: {', '.join(self.layers)}\n"
            f"  {self.preprocess!r}\n"
            f"  {known}; {self.source}; licence {self.licence}"
        )


def layer_fingerprints(backbone: Backbone, layers: Sequence[str]) -> dict[str, str]:
    """Return a SHA-256 for each layer: of kinds, options, weights and buffers up to it."""
    records, fingerprints = backbone.trace, {}
    parts = {path: _module_digest(module) for path, module in backbone.model.named_modules()}
    for name in layers:
        layer = backbone.layer(name)
        inside = set(parts)  # all of them for a module that the learner put in later
        if layer.path in records:
            inside = set(modules_up_to(records, layer.path, inclusive=layer.side == "output"))
        digest = hashlib.sha256(f"{layer.path} {layer.side}".encode())
        for path, part in parts.items():
            known = path  # the module itself; of one that was put in later, the nearest around it
            while known and known not in records:
                known = known.rpartition(".")[0]
            # A module that holds the layer may have weights of its own, such as a class token.
            if path in inside or known in inside or is_inside(layer.path, known):
                digest.update(f"{path} {part}".encode())
        fingerprints[name] = digest.hexdigest()
    return fingerprints


def _module_digest(module: nn.Module) -> str:
    """SHA-256 of a module's kind, options and own tensors, without those of its parts."""
    digest = hashlib.sha256(f"{type(module).__name__}({module.extra_repr()})".encode())
    options = []
    for name, option in sorted(vars(module).items()):
        if isinstance(option, int | float | str) and name != "training":
            options.append((name, option))
    digest.update(repr(options).encode())
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    for name, tensor in tensors:
        if name != "num_batches_tracked":  # counts training steps; nothing is computed with it
            flat = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {flat.dtype} {tuple(flat.shape)}".encode())
            digest.update(flat.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
