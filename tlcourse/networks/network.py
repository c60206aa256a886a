"""A backbone that is cut at a layer and gets a new head (notebooks 04 and 05).

`Network` is what the patterns train. It works on a copy: the backbone that it is made from stays as
it is.
"""

import copy
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn

from tlcourse.base.device import fixed_seed
from tlcourse.errors import CourseError
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Layer, pool_positions
from tlcourse.networks.load import load_backbone
from tlcourse.networks.trace import is_inside, modules_up_to, tensors_in

HeadPool = Literal["mean", "max"]


class _ReachedError(BaseException):
    """Carries a layer's value out of the forward pass that has come to it."""

    def __init__(self, value: torch.Tensor) -> None:
        self.value = value


class Network(nn.Module):
    """A copy of a backbone up to a layer, then pooling, then a new head.

    Attributes:
        body: The copied network; modules behind the cut are left out.
        head: `nn.Linear(C, n_classes)`, or a module of your own that takes (B, C).
        backbone: What the body was copied from, with the body as its `model`.
        layer: Where the backbone is cut.
        pool: "mean" or "max" over the positions of the layer's map.
        frozen_until: Last frozen layer, or None; see `tlcourse.training.finetune.freeze`.
        frozen_paths: Paths of the frozen modules in `body`. They stay in evaluation mode, whatever
            `train()` is told: a BatchNorm in training mode would change without any gradient.
        updates_batchnorm: Whether the body's other BatchNorms compute with each batch's own mean
            and variance while training, and learn from them. False keeps the pre-trained ones,
            which is safer where batches are small; with random weights it is True.
    """

    def __init__(
        self,
        backbone: Backbone,
        n_classes: int,
        *,
        layer: str = "embedding",
        pool: HeadPool = "mean",
        head: nn.Module | None = None,
        seed: int = 0,
        random_weights: bool = False,
    ) -> None:
        """Copy and cut.

        Args:
            backbone: Pre-trained network.
            n_classes: Outputs of the head, at least 2.
            layer: Name from `backbone.layers` but "logits", or a dotted module path.
            pool: How a map (B, C, H, W) becomes (B, C).
            head: Takes (B, C) and gives (B, n_classes); by default a linear layer.
            seed: Decides the first weights of the head (and of the body with `random_weights`).
            random_weights: Keep the architecture only, for training from scratch.

        Raises:
            UnknownNameError: There is no such layer.
            CourseError: Fewer than two classes, a cut at the logits, or a head that does not fit.
        """
        super().__init__()
        if n_classes < 2:
            raise CourseError(f"A head for {n_classes} class(es) decides nothing; at least 2.")
        if pool not in ("mean", "max"):
            raise CourseError(f'pool is {pool!r}; a head needs vectors: choose "mean" or "max".')
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
            self.layer, self.pool, self._where = layer, pool, where
            self.frozen_until: str | None = None
            self.frozen_paths: tuple[str, ...] = ()
            self.updates_batchnorm = random_weights
            width = self._width()
            self.head = nn.Linear(width, n_classes) if head is None else head
        self.head.to(backbone.device)
        self.n_classes = n_classes
        self._check_head(width)
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        self.eval()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn preprocessed pictures (B, 3, H, W) into logits (B, n_classes)."""
        return self.head(self.pooled(self.value(batch)))

    def pooled(self, value: torch.Tensor) -> torch.Tensor:
        """Turn what the layer at the cut gave into vectors (B, C), as features are made of it."""
        return pool_positions(value, "mean" if self.layer == "embedding" else self.pool)

    def value(self, batch: torch.Tensor) -> torch.Tensor:
        """Return what the layer at the cut gives for a batch of preprocessed pictures."""
        module = self.body.get_submodule(self._where.path)

        def stop_before(_: nn.Module, inputs: Any) -> None:
            raise _ReachedError(tensors_in(inputs)[0])

        def stop_after(_: nn.Module, inputs: Any, output: Any) -> None:
            raise _ReachedError(tensors_in(output)[0])

        # The hook is set for one pass only, as the last one: all other hooks come first.
        if self._where.side == "input":
            handle = module.register_forward_pre_hook(stop_before)
        else:
            handle = module.register_forward_hook(stop_after)
        try:
            self.body(batch)
        except _ReachedError as reached:
            return reached.value
        finally:
            handle.remove()
        raise CourseError(f"The forward pass never came to layer {self.layer!r}; name another one.")

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
        layers = [
            Layer(layer.name, f"body.{layer.path}", layer.side)
            for layer in self.backbone.named_layers
            if layer.path and kept[layer.path].position <= end and layer.side == "output"
        ]
        if not any(layer.name == "embedding" for layer in layers):
            layers.append(Layer("embedding", "head", "input"))
        return replace(
            self.backbone,
            model=self,
            classes=classes,
            named_layers=(*layers, Layer("logits", "")),
            source=f"{self.backbone.source}, then trained further",
        )

    def _width(self) -> int:
        """Length of the vector that goes into the head."""
        record = self.backbone.trace.get(self._where.path)
        if record is None or record.position < 0:
            raise CourseError(f"Layer {self.layer!r} is not part of the forward pass.")
        shape = record.input_shape if self._where.side == "input" else record.output_shape
        if shape is None:
            raise CourseError(f"Layer {self.layer!r} gives several tensors; name one inside it.")
        return pool_positions(torch.empty(1, *shape, device="meta"), self.pool).shape[1]

    def _check_head(self, width: int) -> None:
        try:
            with torch.no_grad():
                shape = self.head(torch.zeros(2, width, device=self.backbone.device)).shape
        except RuntimeError as error:
            raise CourseError(
                f"The head does not take the {width} numbers of layer {self.layer!r} ({error})."
            ) from error
        if tuple(shape) != (2, self.n_classes):
            raise CourseError(
                f"The head gives {tuple(shape)[1:]} numbers per picture, but the task has "
                f"{self.n_classes} classes. End it with nn.Linear(..., {self.n_classes})."
            )


def _without_what_follows(model: nn.Module, backbone: Backbone, where: Layer) -> nn.Module:
    """Replace the modules behind the cut, which no forward pass comes to, by empty ones."""
    records = backbone.trace
    if where.path not in records:
        return model
    reached = set(modules_up_to(records, where.path, inclusive=where.side == "output"))
    removed: list[str] = []
    for path, record in records.items():  # a module stands before its parts
        gone = any(is_inside(path, other) for other in removed)
        if record.calls and path not in reached and not is_inside(where.path, path) and not gone:
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, nn.Identity())
            removed.append(path)
    return model
