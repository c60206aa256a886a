"""Which pictures, and which parts of them, excite a channel most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tlcourse.base.machine import give_memory_back
from tlcourse.errors import CourseError, check_whole
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import activations, are_maps

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class Excitation:
    """The strongest value of each channel of one layer in each picture, and where it was.

    Attributes:
        layer: Name of the layer.
        strongest: float32 (N, C), the maximum over the positions.
        where: float32 (N, C, 2), its row and column as shares of height and width, 0 to 1.
        patch: Side of the effective receptive field, in pixels of the preprocessed picture: the
            smallest square that holds 90 % of a position's squared gradient, on a few pictures.
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
        above = values - np.median(self.strongest, axis=0)
        return np.argsort(-above / np.where(spread > 1e-6, spread, np.inf), kind="stable")

    def box(self, index: int, channel: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Rows and columns of the patch in a preprocessed picture (H, W), moved to lie inside it."""
        row, column = (
            int(np.clip(round(share * length - self.patch / 2), 0, max(length - self.patch, 0)))
            for share, length in zip(self.where[index, channel], shape[:2], strict=True)
        )
        return slice(row, row + self.patch), slice(column, column + self.patch)

    def choosy(self, n: int) -> list[int]:
        """The `n` channels whose best pictures stand out most from a typical picture."""
        return self.standing_out(np.sort(self.strongest, axis=0)[-6:].mean(axis=0))[:n].tolist()


def excitations(
    backbone: Backbone, pictures: Sequence[Any], layers: str | Sequence[str], *, batch: int = 8
) -> dict[str, Excitation]:
    """Find out how strongly each picture excites each channel of some layers, and where.

    Maps are not kept: memory does not grow with the number of pictures.

    Args:
        backbone: The network, used in evaluation mode.
        pictures: N PIL images, or (PIL image, label) pairs such as a `Split`.
        layers: One or several layers that give maps (N, C, H, W).
        batch: Pictures per forward pass.

    Returns:
        Layer name -> `Excitation`, such as its `strongest` (N, C); `top(channel, n)` gives the
        indices of the pictures that excite a channel most.

    Raises:
        UnknownNameError: A layer does not exist; the nearest names are offered.
        CourseError: There is no picture, a layer gives no maps, or `batch` is out of range.

    Reference: the effective receptive field, Luo et al. (2016), arXiv:1701.04128.
    """
    check_whole("batch", batch)
    names = [layers] if isinstance(layers, str) else list(layers)
    if len(pictures) == 0:
        raise CourseError("There is no picture. Pass at least one.")
    strongest: dict[str, list[np.ndarray]] = {name: [] for name in names}
    where: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for start in range(0, len(pictures), batch):
        stop = min(start + batch, len(pictures))
        several = [only_picture(pictures[i]) for i in range(start, stop)]
        for name, maps in activations(backbone, several, names).items():
            check_maps(backbone, name, maps)
            values, places = (part.cpu() for part in maps.flatten(2).max(dim=2))
            size = maps.shape[2:]
            rows_columns = torch.stack(torch.unravel_index(places, size), dim=2)
            strongest[name].append(values.float().numpy())
            where[name].append(((rows_columns + 0.5) / torch.tensor(size)).numpy())
    some = [only_picture(pictures[i]) for i in range(min(3, len(pictures)))]
    sides = {name: effective_receptive_field(backbone, some, name) for name in names}
    give_memory_back()
    return {
        name: Excitation(name, np.concatenate(strongest[name]), np.concatenate(where[name]), side)
        for name, side in sides.items()
    }


def effective_receptive_field(
    backbone: Backbone, pictures: "Sequence[Image]", layer: str, *, share: float = 0.9
) -> int:
    """Measure the side, in pixels, of the square that matters for a value of a layer's maps.

    It holds `share` of the squared gradient of the middle position, summed over the pictures.
    """
    batch = torch.stack([backbone.preprocess(picture) for picture in pictures])
    batch = batch.to(backbone.device).requires_grad_(True)
    maps = activations(backbone, batch, layer, grad=True)[layer]
    height, width = maps.shape[2:]
    middle = maps[:, :, height // 2, width // 2].square().sum()
    (gradient,) = torch.autograd.grad(middle, batch)
    energy = gradient.square().sum(dim=(0, 1)).cpu().double().numpy()
    row = int((height // 2 + 0.5) / height * energy.shape[0])
    column = int((width // 2 + 0.5) / width * energy.shape[1])
    rows, columns = np.indices(energy.shape)
    distance = np.maximum(abs(rows - row), abs(columns - column))
    within = np.bincount(distance.ravel(), energy.ravel()).cumsum()  # of each distance
    reach = max(int(np.searchsorted(within, share * within[-1])), 1)
    return min(2 * reach + 1, *energy.shape)


def check_maps(backbone: Backbone, name: str, maps: torch.Tensor) -> None:
    """Refuse a layer that gives a vector or tokens instead of maps."""
    if not are_maps(tuple(maps.shape[1:])):
        raise CourseError(
            f"Layer {name!r} of {backbone.name} gives {tuple(maps.shape[1:])} per picture, "
            "no maps (channels, height, width). Choose an earlier layer: tl.layer_table(backbone)."
        )


def check_found(backbone: Backbone, reference: Sequence[Any], found: Any) -> None:
    """Refuse what does not come from `excitations` for this network and these pictures."""

    def fits(layer: str, excitation: Any) -> bool:
        shape = backbone.trace[backbone.layer(layer).path].output_shape or ()
        sizes = (len(reference), *shape[:1])
        return isinstance(excitation, Excitation) and excitation.strongest.shape == sizes

    if not isinstance(found, Mapping) or not found or not all(map(fits, found, found.values())):
        raise CourseError(
            "found must be what tl.excitations(backbone, reference, layers) gave for this network "
            f"({backbone.name}) and these {len(reference)} reference pictures, with at least one "
            "layer. Leave it out to have it computed."
        )


def only_picture(item: Any) -> "Image":
    """Return the picture of a (picture, label) pair, or the picture itself."""
    return item[0] if isinstance(item, tuple) else item
