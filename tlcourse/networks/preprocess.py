"""From a picture to the tensor that a network was trained with."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from tlcourse.errors import CourseError
from tlcourse.tasks.pictures import to_rgb

Channels = Literal["RGB", "BGR"]
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # of ImageNet's pixels: blue, green, red


@dataclass(frozen=True, repr=False)
class Preprocess:
    """Resize, centre crop, scale to 0..1, subtract the mean, divide by the standard deviation.

    Networks that come from the library Caffe are different: their channels are blue, green, red, and
    their pixels go from 0 to 255. `channels` and `scale` tell; both are shown only where they are
    not the usual ones. The library's own `transform` does the work; `make` makes the same for
    (resize_size, crop_size).
    """

    resize_size: int  # length of the shorter side after resizing, in pixels
    crop_size: int  # side of the square that is cut from the centre, in pixels
    mean: tuple[float, ...]  # per channel, in the order of `channels`, for values from 0 to `scale`
    std: tuple[float, ...]  # standard deviation, likewise
    interpolation: str  # how pixels are interpolated when resizing
    transform: Callable[[Any], torch.Tensor] = field(repr=False, compare=False)
    make: Callable[[int, int], Callable[[Any], torch.Tensor]] | None = field(
        default=None, repr=False, compare=False
    )
    ratio: float | None = field(default=None, repr=False, compare=False)
    channels: Channels = "RGB"  # order of the channels that go in: red first, or blue first
    scale: float = 1.0  # value of a white pixel before the mean is subtracted: 1.0 or 255.0

    kind, one = "pictures", "picture"  # words for what goes in
    unit, units = "px", "pixels"  # and for its size

    def __repr__(self) -> str:
        usual = self.channels == "RGB" and self.scale == 1
        rest = "" if usual else f", channels={self.channels!r}, scale={self.scale!r}"
        return (
            f"Preprocess(resize_size={self.resize_size}, crop_size={self.crop_size}, "
            f"mean={self.mean}, std={self.std}, interpolation={self.interpolation!r}{rest})"
        )

    def __call__(self, picture: Any) -> torch.Tensor:
        """Turn a PIL image of any mode into a float32 tensor (3, H, W)."""
        return self.transform(to_rgb(picture))

    def pixels(self, picture: Any) -> np.ndarray:
        """Resize and cut a picture, all but the arithmetic: uint8 (H, W, 3), red, green, blue.

        `normalise` does the rest. The two give what `transform` gives, if its steps are the usual
        ones: resize the shorter side, cut the centre.
        """
        opened, side = to_rgb(picture), self.crop_size
        shorter = min(opened.size)
        wide, high = (int(self.resize_size * n / shorter) for n in opened.size)
        left, top = round((wide - side) / 2), round((high - side) / 2)
        resized = opened.resize((wide, high), Image.Resampling[self.interpolation.upper()])
        return np.asarray(resized.crop((left, top, left + side, top + side)))

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Make what goes in of `pixels`: uint8 (N, H, W, 3) to float32 (N, 3, H, W)."""
        scale = 255 / self.scale  # of what mean and std are given for
        mean = torch.tensor(self.mean, device=pixels.device).mul(scale).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).mul(scale).view(3, 1, 1)
        values = pixels.permute(0, 3, 1, 2).float()
        return ((values.flip(1) if self.channels == "BGR" else values) - mean) / std

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the tensor that goes in."""
        return (3, self.crop_size, self.crop_size)

    @property
    def size(self) -> int:
        """What `at_size` sets: the side of the square."""
        return self.crop_size

    @property
    def options(self) -> dict[str, Any]:
        """All that decides what comes out, by name."""
        names = ("resize_size", "crop_size", "mean", "std", "interpolation", "channels", "scale")
        return {name: getattr(self, name) for name in names}

    def augment(self) -> Callable[[Any], torch.Tensor]:
        """Make the counterpart for training; see `make_augment`."""
        return make_augment(self)

    def example(self) -> Image.Image:
        """A picture on which two preprocessings differ: coloured, not square, without symmetry."""
        down, around = Image.linear_gradient("L"), Image.radial_gradient("L")
        return Image.merge("RGB", (down, down.rotate(90), around)).crop((0, 0, 256, 200))

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
        """Bring a preprocessed tensor (..., 3, H, W) back to red, green and blue from 0 to 1."""
        mean = torch.tensor(self.mean, device=tensor.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=tensor.device).view(3, 1, 1)
        values = ((tensor * std + mean) / self.scale).clamp(0, 1)
        return values.flip(-3) if self.channels == "BGR" else values

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

    @classmethod
    def from_caffe(cls, size: int) -> "Preprocess":
        """Make that of Caffe: BGR from 0 to 255 minus ImageNet's mean, `size` pixels a side."""
        return cls._square(size, _CAFFE_MEAN, (1.0,) * 3, "BGR", 255.0)

    @classmethod
    def from_size(
        cls, size: int, mean: tuple[float, ...] = (0.5,) * 3, std: tuple[float, ...] = (0.5,) * 3
    ) -> "Preprocess":
        """Make the plain one: a square of `size` pixels a side, RGB from 0 to 1, normalised."""
        return cls._square(size, mean, std, "RGB", 1.0)

    @classmethod
    def _square(
        cls,
        size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        channels: Channels,
        scale: float,
    ) -> "Preprocess":
        from torchvision.transforms import v2

        def make(resize_size: int, crop_size: int) -> Any:
            square = [v2.Resize(resize_size), v2.CenterCrop(crop_size)]
            return v2.Compose([*square, *_to_tensor(mean, std, channels, scale)])

        return cls(
            resize_size=size,
            crop_size=size,
            mean=mean,
            std=std,
            interpolation="bilinear",
            transform=make(size, size),
            make=make,
            channels=channels,
            scale=scale,
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
            *_to_tensor(preprocess.mean, preprocess.std, preprocess.channels, preprocess.scale),
        ]
    )


def _to_tensor(
    mean: tuple[float, ...], std: tuple[float, ...], channels: Channels, scale: float
) -> list[Any]:
    """Return the steps from an RGB picture of the right size to the tensor that goes in."""
    from torchvision.transforms import v2

    # (255 x - mean) / std is (x - mean / 255) / (std / 255).
    normalise = v2.Normalize([m / scale for m in mean], [s / scale for s in std])
    order = [v2.Lambda(lambda x: x.flip(-3))] if channels == "BGR" else []
    return [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), *order, normalise]
