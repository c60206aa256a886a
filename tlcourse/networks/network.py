"""A backbone that is cut at a layer and gets a new head (notebooks 04 and 05)."""

import copy
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import nn

from tlcourse.base.machine import fixed_seed
from tlcourse.errors import CourseError, check_choice, check_whole
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Layer
from tlcourse.networks.load import load_backbone
from tlcourse.networks.tap import PassEndedError, Pool, are_maps, in_mode, listen, pool_positions
from tlcourse.networks.trace import is_inside, modules_up_to, tensors_in


class Network(nn.Module):
    """A copy of a backbone up to a layer, then pooling, then a new head.

    Attributes:
        body: The copied network; modules behind the cut are left out.
        head: A module that takes (B, C), or maps (B, C, H, W) where nothing is pooled.
        backbone: What the body was copied from, with the body as its `model`.
        layer, pool: As you named them.
        frozen_until: Last frozen layer, or None; see `tlcourse.training.finetune.freeze`.
        frozen_paths: The frozen modules in `body`. They stay in evaluation mode whatever `train()`
            is told: a BatchNorm in training mode would change without any gradient.
        updates_batchnorm: Whether the body's other BatchNorms learn from each batch. False, safer
            for small batches, unless the weights are random.
        held: Names of parameters that do not move, although what is around them may.
        added: What `tlcourse.training.adapters` put into the body, or None.
    """

    def __init__(
        self,
        backbone: Backbone,
        n_classes: int,
        *,
        layer: str = "embedding",
        pool: Pool = "mean",
        head: nn.Module | Literal["linear", "conv"] = "linear",
        seed: int = 0,
        random_weights: bool = False,
    ) -> None:
        """Copy and cut.

        Args:
            backbone: Pre-trained network.
            n_classes: Outputs of the head, at least 2.
            layer: Name from `backbone.layers` but "logits", or a dotted module path.
            pool: How a map (B, C, H, W) becomes (B, C): "mean" or "max"; of a Vision Transformer's
                tokens also "class_token" or "patch_mean". With "none" it stays a map, for a head of
                your own that takes maps.
            head: "linear" for a linear layer, "conv" for a `ConvHead` on maps that are not pooled,
                or a module of your own that gives (B, n_classes).
            seed: Decides the first weights of the head (and of the body with `random_weights`).
            random_weights: Keep the architecture only, for training from scratch.

        Raises:
            UnknownNameError: There is no such layer, pooling or head.
            CourseError: Fewer than two classes, a cut at the logits, or a head that does not fit.
        """
        super().__init__()
        check_whole("n_classes", n_classes, least=2)
        check_choice("pooling", pool, get_args(Pool))
        if isinstance(head, str):
            check_choice("head", head, ("linear", "conv"))
        if head == "conv" or getattr(head, "takes_maps", False):
            pool = "none"
        where = backbone.layer(layer)
        if where.path == "":
            raise CourseError(
                'A new head takes the place of the logits, so cut before them: layer="embedding".'
            )
        with fixed_seed(seed, torch.device("cpu")):
            model = (
                load_backbone(backbone.name, pretrained=False, device=backbone.device).model
                if random_weights
                else copy.deepcopy(backbone.model)
            )
            self.body = _without_what_follows(model, backbone, where)
            source = "random weights" if random_weights else backbone.source
            self.backbone = backbone.with_model(self.body, source=source)
            self.layer, self._where = layer, where
            # An embedding is a vector, in whichever shape the network holds it.
            self.pool: Pool = "mean" if layer == "embedding" else pool
            self.frozen_until: str | None = None
            self.frozen_paths: tuple[str, ...] = ()
            self.updates_batchnorm = random_weights
            self.held: frozenset[str] = frozenset()
            self.added: Any = None
            self.n_classes = n_classes
            self.head = self._fitting_head(head).to(backbone.device)
        self.requires_grad_(True)
        self.eval()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn preprocessed pictures (B, 3, H, W) into logits (B, n_classes)."""
        return self.head(self.pooled(self.value(batch)))

    def pooled(self, value: torch.Tensor) -> torch.Tensor:
        """Turn what the layer at the cut gave into vectors (B, C), as features are made of it."""
        return pool_positions(value, self.pool, self.body)

    def value(self, batch: torch.Tensor) -> torch.Tensor:
        """Return what the layer at the cut gives for a batch of preprocessed pictures."""
        reached: list[torch.Tensor] = []

        def stop(value: Any) -> None:
            reached.append(tensors_in(value)[0])
            raise PassEndedError

        # The hook is the last one that is set: all other hooks come first.
        with listen(self.body, self._where, stop):
            try:
                self.body(batch)
            except PassEndedError:
                if not reached:  # someone else listens, and has all that was wanted
                    raise
        if not reached:
            raise CourseError(f"The forward pass never came to layer {self.layer!r}.")
        return reached[0]

    def freeze_body(self) -> None:
        """Freeze all but the head."""
        self.freeze_modules(self.layer, dict(self.body.named_modules()))

    def freeze_modules(self, until: str | None, paths: Collection[str]) -> None:
        """Freeze these modules of the body, the last of which is `until`; all else may learn."""
        self.frozen_until, self.frozen_paths = until, tuple(paths)
        self.requires_grad_(True)
        for path in paths:
            for parameter in self.body.get_submodule(path).parameters(recurse=False):
                parameter.requires_grad_(False)
                parameter.grad = None
        if self.held:
            self.hold(self.held)
        self.train(self.training)

    def hold(self, names: Iterable[str]) -> None:
        """Hold these parameters, by name, whatever is frozen; those held before may move again."""
        before, self.held = self.held, frozenset(names)
        if before - self.held:
            self.freeze_modules(self.frozen_until, self.frozen_paths)
        for name, parameter in self.named_parameters() if self.held else ():
            if name in self.held:
                parameter.requires_grad_(False)
                parameter.grad = None

    def train(self, mode: bool = True) -> "Network":
        """Switch the mode of everything that is not frozen."""
        super().train(mode)
        if mode:
            for path in self.frozen_paths:
                self.body.get_submodule(path).training = False
            if not self.updates_batchnorm:
                for module in self.body.modules():
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.eval()
        return self

    def as_backbone(self, classes: tuple[str, ...]) -> Backbone:
        """Return the network as a backbone, to tap it, to explain it, and to let it predict.

        Its layers have the same names as the backbone's; "logits" are the head's outputs.
        """
        kept = self.backbone.trace
        end = kept[self._where.path].position
        layers = {
            layer.name: Layer(layer.name, f"body.{layer.path}", layer.side)
            for layer in self.backbone.named_layers
            if layer.path and kept[layer.path].position <= end and layer.side == "output"
        }
        last = "head"
        if self.pool == "none":  # what the last linear layer of a head on maps takes
            parts = self.head.named_modules(prefix="head")
            last = [last, *(path for path, part in parts if isinstance(part, nn.Linear))][-1]
        layers.setdefault("embedding", Layer("embedding", last, "input"))
        return replace(
            self.backbone,
            model=self,
            classes=classes,
            named_layers=(*layers.values(), Layer("logits", "")),
            source=f"{self.backbone.source}, then trained further",
        )

    def _fitting_head(self, wanted: nn.Module | str) -> nn.Module:
        """Return a new head of a kind, or the learner's own if it fits."""
        record = self.backbone.trace.get(self._where.path)
        if record is None or record.position < 0:
            raise CourseError(f"Layer {self.layer!r} is not part of the forward pass.")
        shape = record.input_shape if self._where.side == "input" else record.output_shape
        if shape is None:
            raise CourseError(f"Layer {self.layer!r} gives several tensors; name one inside it.")
        example = pool_positions(torch.zeros(2, *shape), self.pool, self.body)
        shape = tuple(example.shape[1:])
        if wanted == "conv":
            if not are_maps(shape):
                raise CourseError(
                    f"A convolutional head needs maps (C, H, W), but layer {self.layer!r} gives "
                    f'{shape}. Name a layer with maps, or take head="linear".'
                )
            from tlcourse.networks.head import ConvHead

            return ConvHead(shape[0], self.n_classes)
        if not isinstance(wanted, nn.Module):
            if len(shape) != 1:
                raise CourseError(
                    f"A linear head needs vectors, but layer {self.layer!r} gives {shape}. "
                    'Take pool="mean", or head="conv".'
                )
            return nn.Linear(shape[0], self.n_classes)
        device = self.backbone.device
        try:
            with torch.no_grad(), in_mode(wanted.to(device)):
                given = tuple(wanted(example.to(device)).shape)
        except RuntimeError as error:
            takes = f"the {shape[0]} numbers" if len(shape) == 1 else f"the values {shape}"
            raise CourseError(
                f"The head does not take {takes} of layer {self.layer!r} ({error})."
            ) from error
        if given != (2, self.n_classes):
            raise CourseError(
                f"The head gives {given[1:]} numbers per picture, but the task has "
                f"{self.n_classes} classes. End it with nn.Linear(..., {self.n_classes})."
            )
        return wanted


def _without_what_follows(model: nn.Module, backbone: Backbone, where: Layer) -> nn.Module:
    """Replace the modules behind the cut, which no forward pass comes to, by empty ones."""
    records = backbone.trace
    if where.path not in records:
        return model
    reached = set(modules_up_to(records, where.path, inclusive=where.side == "output"))
    for path, record in reversed(records.items()):  # the parts of a module before itself
        if record.calls and path not in reached and not is_inside(where.path, path):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, nn.Identity())
    return model
