"""What named layers give, in one forward pass that goes no deeper than it must.

Lesson 01 shows the forward hooks behind it; here the network is left as it was, whatever happens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from tlcourse.errors import CourseError
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Layer
from tlcourse.networks.mel import MelPreprocess
from tlcourse.networks.trace import tensors_in, up_to

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from tlcourse.tasks.sound import Sound

Pool = Literal["mean", "max", "class_token", "patch_mean", "none"]
_OF_TOKENS = ("class_token", "patch_mean")
_MORE_THAN_ONCE = (
    "Module {!r} of {} is called more than once in a forward pass, so it has no single output. "
    "Name a module that is called once, such as the one that holds it."
)


class PassEndedError(BaseException):
    """Ends a forward pass early; no `except Exception` inside a network swallows it."""


def activations(
    backbone: Backbone,
    pictures: "Image | Sound | Sequence[Image | Sound] | torch.Tensor",
    layers: str | Sequence[str],
    *,
    training: bool = False,
    grad: bool = False,
) -> dict[str, torch.Tensor]:
    """Run pictures through a network and return what the named layers gave.

    The forward pass stops at the deepest layer asked for. Each tensor is what the layer itself
    returned, even if an in-place activation follows. The network is left as it was.

    Args:
        backbone: The network.
        pictures: A PIL image or a `Sound`, several of them, or preprocessed tensors (3, H, W) or (N, 3, H, W).
        layers: Names from `backbone.layers`, or dotted module paths of `backbone.model`.
        training: Use training mode (batch statistics, dropout) instead of evaluation mode.
        grad: Keep the graph, so that gradients can flow back to the input and the weights.

    Returns:
        Name -> tensor on the backbone's device, in the order asked for. Convolutional layers give
        (N, C, H, W), transformer blocks (N, tokens, C), "embedding" (N, C), "logits" (N, classes).

    Raises:
        UnknownNameError: A layer does not exist; the nearest names are offered.
        CourseError: A layer is never called, is called more than once, or gives several tensors.
    """
    names = [layers] if isinstance(layers, str) else list(layers)
    if not names:
        raise CourseError("No layer was named. Pass at least one of `backbone.layers`.")
    wanted = {}
    for name in names:
        wanted[name] = layer = backbone.layer(name)
        record = backbone.trace.get(layer.path)  # none where the learner has put a new module in
        if record is not None and record.calls > 1:
            raise CourseError(_MORE_THAN_ONCE.format(name, backbone.name))
    batch = to_batch(backbone, pictures)
    taken: dict[str, torch.Tensor] = {}

    def keep(layer: Layer, value: Any) -> None:
        tensors = tensors_in(value)
        if len(tensors) != 1:
            raise CourseError(
                f"Layer {layer.name!r} of {backbone.name} gives {len(tensors)} tensors, not one. "
                "Name one of the modules inside it."
            )
        if layer.name in taken:
            raise CourseError(_MORE_THAN_ONCE.format(layer.name, backbone.name))
        deepest = len(taken) == len(wanted) - 1
        # What runs after a layer may overwrite its output in place; nothing runs after the deepest.
        taken[layer.name] = tensors[0] if deepest else tensors[0].clone()
        if deepest:
            raise PassEndedError

    with ExitStack() as stack:
        stack.enter_context(in_mode(backbone.model, training))
        stack.enter_context(torch.set_grad_enabled(grad))
        for layer in wanted.values():
            stack.enter_context(listen(backbone.model, layer, partial(keep, layer)))
        with suppress(PassEndedError):
            backbone.model(batch)
    if len(taken) < len(wanted):
        missing = [name for name in wanted if name not in taken]
        raise CourseError(
            f"The forward pass of {backbone.name} never came to {', '.join(missing)}. "
            "Such a module runs only in training mode, or not at all; name another layer."
        )
    if "embedding" in taken:
        taken["embedding"] = pool_positions(taken["embedding"], "mean")
    return {name: taken[name] for name in names}


def layer_table(backbone: Backbone) -> "pd.DataFrame":
    """List the layers with their shapes and costs, from input to output.

    Returns:
        Index: layer name. Columns: `module` (dotted path; the embedding is what goes into it),
        `output` (shape for one picture, without the batch axis), `parameters` and
        `million_operations` (convolutions and linear layers, two per multiply-add), both counted
        from the input up to and including the layer.
    """
    import pandas as pd

    rows = []
    for layer in backbone.named_layers:
        record, after = backbone.trace[layer.path], layer.side == "output"
        n_parameters, operations = up_to(backbone.trace, layer.path, inclusive=after)
        shape = record.output_shape if after else record.input_shape
        if layer.name == "embedding" and shape:
            shape = shape[:1]  # averaged over positions where it is still a map
        rows.append((layer.path or "(all)", shape, n_parameters, round(operations / 1e6, 1)))
    columns = ["module", "output", "parameters", "million_operations"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(backbone.layers, name="layer"))


def to_batch(
    backbone: Backbone, pictures: "Image | Sound | Sequence[Image | Sound] | torch.Tensor"
) -> torch.Tensor:
    """Make a batch on the backbone's device; what is no tensor is preprocessed.

    It is (N, 3, H, W), of sounds for a speech network (N, 1, frames, bands).
    """
    if isinstance(pictures, torch.Tensor):
        batch = pictures[None] if pictures.ndim == 3 else pictures
        sounds = isinstance(backbone.preprocess, MelPreprocess)
        if batch.ndim != 4 or batch.shape[1] != (1 if sounds else 3):
            one, axes = ("sound", "1, frames, bands") if sounds else ("picture", "3, H, W")
            raise CourseError(
                f"A tensor of shape {tuple(pictures.shape)} is not a {one}. "
                f"Expected ({axes}) or (N, {axes}), as backbone.preprocess gives it."
            )
    else:
        several = pictures if isinstance(pictures, (list, tuple)) else [pictures]
        if not several:
            raise CourseError("There is no picture. Pass at least one.")
        batch = torch.stack([backbone.preprocess(picture) for picture in several])
    return batch.to(backbone.device)


@contextmanager
def in_mode(model: nn.Module, training: bool = False) -> Iterator[None]:
    """Set the mode of all modules; at the end put each one's own mode and the buffers back."""
    switched = [module for module in model.modules() if module.training != training]
    # Only training mode moves buffers (the running statistics of BatchNorm).
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()] if training else []
    try:
        for module in switched:
            module.training = training
        yield
    finally:
        for module in switched:
            module.training = not training
        for buffer, before in buffers:
            buffer.data.copy_(before)  # `.data` hides this from a backward pass that may follow


def listen(model: nn.Module, layer: Layer, keep: Callable[[Any], None]) -> RemovableHandle:
    """Have `keep` called with a layer's value, until the handle is removed or its block ends."""
    module = model.get_submodule(layer.path)
    if layer.side == "input":
        return module.register_forward_pre_hook(lambda _, inputs: keep(inputs))
    return module.register_forward_hook(lambda _, inputs, output: keep(output))


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
