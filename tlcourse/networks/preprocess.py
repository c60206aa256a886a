"""From a picture to the tensor that a network was trained with."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from tlcourse.errors import CourseError
from tlcourse.tasks.pictures import to_rgb


@dataclass(frozen=True)
class Preprocess:
    """Resize, centre crop, scale to 0..1, subtract the mean, divide by the standard deviation.

    The library's own `transform` does the work; `make` makes the same for (resize_size, crop_size).
    """

    resize_size: int  # length of the shorter side after resizing, in pixels
    crop_size: int  # side of the square that is cut from the centre, in pixels
    mean: tuple[float, ...]  # per channel (red, green, blue), for values from 0 to 1
    std: tuple[float, ...]  # standard deviation, likewise
    interpolation: str  # how pixels are interpolated when resizing
    transform: Callable[[Any], torch.Tensor] = field(repr=False, compare=False)
    make: Callable[[int, int], Callable[[Any], torch.Tensor]] | None = field(
        default=None, repr=False, compare=False
    )
    ratio: float | None = field(default=None, repr=False, compare=False)

    def __call__(self, picture: Any) -> torch.Tensor:
        """Turn a PIL image of any mode into a float32 tensor (3, H, W)."""
        return self.transform(to_rgb(picture))

    def at_size(self, size: int) -> "Preprocess":
        """Return the same preprocessing with a smaller or larger square, `size` pixels a side."""
        if self.make is None:
            raise CourseError("This preprocessing has one size only; make another one yourself.")
        ratio = self.ratio or self.resize_size / self.crop_size
        resize_size = round(ratio * size)
        transform = self.make(resize_size, size)
        return replace(
            self, resize_size=resize_size, crop_size=size, transform=transform, ratio=ratio
        )

    def undo(self, tensor: torch.Tensor) -> torch.Tensor:
        """Bring a preprocessed tensor (..., 3, H, W) back to values from 0 to 1, for showing."""
        mean = torch.tensor(self.mean, device=tensor.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=tensor.device).view(3, 1, 1)
        return (tensor * std + mean).clamp(0, 1)

    def to_array(self, tensor: torch.Tensor) -> np.ndarray:
        """Bring one preprocessed picture (3, H, W) back to an array (H, W, 3) from 0 to 1."""
        return self.undo(tensor.detach()).permute(1, 2, 0).cpu().numpy()

    @classmethod
    def from_torchvision(cls, transform: Any) -> "Preprocess":
        """Read it off `weights.transforms()`."""

        def make(resize_size: int, crop_size: int) -> Any:
            other = copy.copy(transform)
            other.resize_size, other.crop_size = [resize_size], [crop_size]
            return other

        return cls(
            resize_size=transform.resize_size[0],
            crop_size=transform.crop_size[0],
            mean=tuple(transform.mean),
            std=tuple(transform.std),
            interpolation=transform.interpolation.value,
            transform=transform,
            make=make,
        )

    @classmethod
    def from_timm(cls, model: Any) -> "Preprocess":
        """Read it off a timm model's data configuration."""
        from timm.data.config import resolve_model_data_config
        from timm.data.transforms_factory import create_transform

        config = resolve_model_data_config(model)
        size = config["input_size"][-1]

        def make(resize_size: int, crop_size: int) -> Any:
            sizes = {"input_size": (3, crop_size, crop_size), "crop_pct": crop_size / resize_size}
            return create_transform(**config | sizes, is_training=False)

        return cls(
            resize_size=int(size / config["crop_pct"]),
            crop_size=size,
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            interpolation=config["interpolation"],
            transform=create_transform(**config, is_training=False),
            make=make,
        )


def make_augment(preprocess: Preprocess) -> Callable[[Any], torch.Tensor]:
    """Make the counterpart for training: a random crop of 35-100 % of the area, mirrored or not."""
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.Lambda(to_rgb),
            v2.RandomResizedCrop(
                preprocess.crop_size,
                scale=(0.35, 1.0),
                interpolation=v2.InterpolationMode(preprocess.interpolation),
            ),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(preprocess.mean), list(preprocess.std)),
        ]
    )
