"""Which pictures, and which parts of them, excite a channel most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tlcourse.base.machine import give_memory_back
from tlcourse.errors import CourseError
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import are_maps
from tlcourse.networks.tap import activations

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class Excitation:
    """The strongest value of each channel of one layer in each picture, and where it was.

    Attributes:
        layer: Name of the layer.
        strongest: float32 (N, C), the maximum over the positions.
        where: float32 (N, C, 2), its row and column as shares of height and width, 0 to 1.
        patch: Side, in pixels of the preprocessed picture, of the square that a position looks at:
            the smallest one around it that holds 90 % of the squared gradient (the effective
            receptive field), mean of a few pictures.
    """

    layer: str
    strongest: np.ndarray
    where: np.ndarray
    patch: int

    def top(self, channel: int, n: int) -> np.ndarray:
        """Indices of the `n` pictures that excite a channel most, the strongest first."""
        return np.argsort(-self.strongest[:, channel], kind="stable")[:n]

    def standing_out(self, values: np.ndarray) -> np.ndarray:
        """Channels in the order in which (C,) values stand out from a typical picture's."""
        spread = self.strongest.std(axis=0)
        score = (values - np.median(self.strongest, axis=0)) / np.where(
            spread > 1e-6, spread, np.inf
        )
        return np.argsort(-score, kind="stable")

    def box(self, index: int, channel: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Rows and columns of the patch in a preprocessed picture (H, W), moved to lie inside it."""
        starts = [
            int(np.clip(round(share * length - self.patch / 2), 0, max(length - self.patch, 0)))
            for share, length in zip(self.where[index, channel], shape[:2], strict=True)
        ]
        return slice(starts[0], starts[0] + self.patch), slice(starts[1], starts[1] + self.patch)

    def choosy(self, n: int) -> list[int]:
        """The `n` channels whose best pictures stand out most from a typical picture."""
        return self.standing_out(np.sort(self.strongest, axis=0)[-6:].mean(axis=0))[:n].tolist()


def excitations(
    backbone: Backbone, pictures: Sequence[Any], layers: str | Sequence[str], *, batch: int = 8
) -> dict[str, Excitation]:
    """Find the strongest value of every channel in every picture.

    Maps are not kept: memory does not grow with the number of pictures.

    Args:
        backbone: The network.
        pictures: PIL images, or (PIL image, label) pairs such as a `Split`.
        layers: Layers that give maps (N, C, H, W).
        batch: Pictures per forward pass.

    Returns:
        Layer name -> `Excitation`.

    Raises:
        UnknownNameError: A layer does not exist; the nearest names are offered.
        CourseError: There is no picture, or a layer gives no maps.

    Reference: the effective receptive field, Luo et al. (2016), arXiv:1701.04128.
    """
    names = [layers] if isinstance(layers, str) else list(layers)
    if len(pictures) == 0:
        raise CourseError("There is no picture. Pass at least one.")
    found: dict[str, tuple[list, list]] = {name: ([], []) for name in names}
    for start in range(0, len(pictures), batch):
        several = [
            only_picture(pictures[i]) for i in range(start, min(start + batch, len(pictures)))
        ]
        for name, maps in activations(backbone, several, names).items():
            check_maps(backbone, name, maps)
            values, at = maps.flatten(2).max(dim=2)
            rows, columns = at // maps.shape[3], at % maps.shape[3]
            where = torch.stack(
                [(rows + 0.5) / maps.shape[2], (columns + 0.5) / maps.shape[3]], dim=2
            )
            found[name][0].append(values.float().cpu().numpy())
            found[name][1].append(where.float().cpu().numpy())
    some = [only_picture(pictures[i]) for i in range(min(3, len(pictures)))]
    result = {
        name: Excitation(
            name,
            np.concatenate(values),
            np.concatenate(where),
            effective_receptive_field(backbone, some, name),
        )
        for name, (values, where) in found.items()
    }
    give_memory_back()
    return result


def effective_receptive_field(
    backbone: Backbone, pictures: "Sequence[Image]", layer: str, *, share: float = 0.9
) -> int:
    """Measure which square around a position matters for its value.

    Args:
        backbone: The network; its weights get no gradient.
        pictures: The square's side is averaged over them.
        layer: A layer that gives maps.
        share: Share of the squared gradient that the square must hold.

    Returns:
        Side in pixels of the preprocessed picture, odd, at most the picture's.
    """
    batch = torch.stack([backbone.preprocess(picture) for picture in pictures])
    batch = batch.to(backbone.device).requires_grad_(True)
    maps = activations(backbone, batch, layer, grad=True)[layer]
    height, width = maps.shape[2:]
    middle = maps[:, :, height // 2, width // 2].square().sum()
    (gradient,) = torch.autograd.grad(middle, batch)
    energy = gradient.square().sum(dim=(0, 1)).cpu().double().numpy()
    side = min(energy.shape)
    row = int((height // 2 + 0.5) / height * energy.shape[0])
    column = int((width // 2 + 0.5) / width * energy.shape[1])
    for reach in range(1, side // 2):
        box = energy[
            max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1
        ]
        if box.sum() >= share * energy.sum():
            return min(2 * reach + 1, side)
    return side


def check_maps(backbone: Backbone, name: str, maps: torch.Tensor) -> None:
    """Refuse a layer that gives no maps.

    Raises:
        CourseError: It gives a vector or tokens.
    """
    if not are_maps(tuple(maps.shape[1:])):
        raise CourseError(
            f"Layer {name!r} of {backbone.name} gives {tuple(maps.shape[1:])} per picture, "
            "no maps (channels, height, width). Choose an earlier layer: tl.layer_table(backbone)."
        )


def check_found(backbone: Backbone, reference: Sequence[Any], found: Any) -> None:
    """Refuse what does not come from `excitations` for this network and these pictures.

    Raises:
        CourseError: It is something else.
    """
    fits = isinstance(found, Mapping) and all(isinstance(e, Excitation) for e in found.values())
    if not fits or not found:
        raise CourseError(
            "found must be what excitations(backbone, reference, layers) gave, with at least one "
            "layer: layer name -> Excitation. Leave it out to have it computed."
        )
    for layer, excitation in found.items():
        n, channels = excitation.strongest.shape
        shape = backbone.trace[backbone.layer(layer).path].output_shape
        if n != len(reference) or shape[:1] != (channels,):
            raise CourseError(
                f"found[{layer!r}] is of {n} pictures and {channels} channels, but there are "
                f"{len(reference)} reference pictures, and {backbone.name} has {shape[0]} channels "
                "there. Pass the network and the pictures that it was made with."
            )


def only_picture(item: Any) -> "Image":
    """Return the picture of a (picture, label) pair, or the picture itself."""
    return item[0] if isinstance(item, tuple) else item
