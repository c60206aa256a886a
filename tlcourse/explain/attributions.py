"""Which pixels speak for a class: Grad-CAM, integrated gradients, occlusion (with captum)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import nn

from tlcourse.base.machine import give_memory_back
from tlcourse.errors import CourseError, UnknownNameError, check_choice, check_whole
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import are_maps, in_mode, to_batch

if TYPE_CHECKING:
    from PIL.Image import Image

Method = Literal["grad_cam", "integrated_gradients", "occlusion"]
METHODS: tuple[Method, ...] = ("grad_cam", "integrated_gradients", "occlusion")


def attribute(
    backbone: Backbone,
    picture: "Image | torch.Tensor",
    target: str | int | None = None,
    *,
    method: Method = "grad_cam",
    layer: str | None = None,
    steps: int = 48,
    window: int | None = None,
) -> np.ndarray:
    """Say for each pixel how much it speaks for a class.

    What is explained is the logit of that class, in evaluation mode. The network is left as it
    was, also after an error.

    Args:
        backbone: The network.
        picture: One PIL image, or a preprocessed tensor (3, H, W).
        target: Class name or its number among the logits; by default the predicted class.
        method: "grad_cam": the maps of one layer, weighted by their mean gradients, only what
            speaks for the class, coarse. "integrated_gradients": gradients along the way from grey
            (zeros after preprocessing) to the picture; with enough steps, all values add up to the
            difference of the logit between the two. "occlusion": how far the logit falls where a
            grey square covers the picture, averaged over the squares that cover a pixel.
        layer: For "grad_cam": a layer that gives maps; by default the deepest of them.
        steps: For "integrated_gradients": points on the way; more are more exact.
        window: For "occlusion": side of the square in pixels, by default a quarter of the picture.
            It moves by half of it.

    Returns:
        float32 (H, W), of the preprocessed picture's height and width. Positive speaks for the
        class, negative against it.

    Raises:
        UnknownNameError: No such method, layer or class; the nearest names are offered.
        CourseError: The layer gives no maps, or an option is out of range.

    Reference: Selvaraju et al. (2016), arXiv:1610.02391; Sundararajan et al. (2017),
    arXiv:1703.01365; Zeiler and Fergus (2013), arXiv:1311.2901.
    """
    from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, Occlusion

    check_choice("attribution method", method, METHODS)
    batch = to_batch(backbone, picture).detach()
    if len(batch) != 1:
        raise CourseError(f"attribute() explains one picture, got {len(batch)}. Call it for each.")
    side = min(batch.shape[2:])
    window = max(side // 4, 2) if window is None else window
    check_whole("window", window, least=2, most=side)
    check_whole("steps", steps)
    model = backbone.model
    with _only_the_input_learns(model), torch.enable_grad():
        number = int(model(batch).argmax()) if target is None else class_index(backbone, target)
        if method == "grad_cam":
            explainer = LayerGradCam(model, _giving_maps(backbone, layer))
            coarse = explainer.attribute(batch, target=number, relu_attributions=True)
            values = LayerAttribution.interpolate(coarse, tuple(batch.shape[2:]), "bilinear")
        elif method == "integrated_gradients":
            gradients = IntegratedGradients(model)
            parts = gradients.attribute(batch, target=number, n_steps=steps, internal_batch_size=1)
            values = parts.sum(dim=1, keepdim=True)
        else:
            values = Occlusion(model).attribute(
                batch,
                target=number,
                sliding_window_shapes=(batch.shape[1], window, window),
                strides=(batch.shape[1], window // 2, window // 2),
                perturbations_per_eval=8,
            )  # a square covers all three channels, so they are equal
        result = values[0, 0].detach().float().cpu().numpy()
    del values
    give_memory_back()
    return result


def class_index(backbone: Backbone, target: str | int) -> int:
    """Return the number of a class among the logits, from its number or its name."""
    classes = backbone.classes
    if not isinstance(target, str):
        return check_whole("the class", target, least=0, most=len(classes) - 1)
    low = target.casefold()
    numbers = [i for i, name in enumerate(classes) if name == target]
    numbers = numbers or [i for i, name in enumerate(classes) if name.casefold() == low]
    if not numbers:
        raise UnknownNameError(f"class of {backbone.name}", target, classes)
    if len(numbers) > 1:
        raise CourseError(
            f"{len(numbers)} classes of {backbone.name} are called {target!r}. "
            f"Pass a number instead: {', '.join(map(str, numbers))}."
        )
    return numbers[0]


def deepest_map(backbone: Backbone) -> str:
    """Name the last of `backbone.layers` that still has positions, if it gives maps (C, H, W)."""
    for layer in reversed(backbone.named_layers):
        shape = backbone.trace[layer.path].output_shape
        if layer.side == "output" and shape and len(shape) > 1:
            if are_maps(shape):
                return layer.name
            break
    raise CourseError(
        f"The deep layers of {backbone.name} give no maps (C, H, W), which Grad-CAM needs. "
        'Use method="occlusion", which works for every network.'
    )


def _giving_maps(backbone: Backbone, layer: str | None) -> nn.Module:
    where = backbone.layer(deepest_map(backbone) if layer is None else layer)
    if where.side != "output" or not are_maps(backbone.trace[where.path].output_shape):
        raise CourseError(
            f"Layer {layer!r} of {backbone.name} gives no maps (C, H, W), which Grad-CAM needs. "
            f"Use a layer that does, such as {deepest_map(backbone)!r}."
        )
    return backbone.model.get_submodule(where.path)


@contextmanager
def _only_the_input_learns(model: nn.Module) -> Iterator[None]:
    """Use evaluation mode, and freeze all parameters, which saves memory; put both back."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    try:
        with in_mode(model):
            yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
