"""How the pictures of a task vary: turned, moved and scaled at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from PIL import Image

from tlcourse.errors import CourseError, check_share

N_DRAWS = 4  # random numbers from 0 to 1 that one change takes


@dataclass(frozen=True)
class Change:
    """A random turn, move and scaling of a picture; a call draws one from PyTorch's generator.

    A number between the limits is as likely as any other. What comes in from outside has the
    middle colour of the picture's four corners. The picture keeps its size.

    Attributes:
        turn: Turned left or right by at most so many degrees, from 0 to 180.
        shift: Moved along each side by at most this share of it, from 0 to below 1.
        scale: Made larger by a factor from the first to the second; (1, 1) keeps the size.

    Raises:
        CourseError: A limit is not such a number.

    Example:
        >>> change = Change(turn=40, shift=0.125, scale=(0.7, 1.2))
        >>> change(Image.new("RGB", (64, 48))).size
        (64, 48)
    """

    turn: float = 0
    shift: float = 0
    scale: tuple[float, float] = (1, 1)

    def __post_init__(self) -> None:
        if not _is_number(self.turn) or not 0 <= self.turn <= 180:
            raise CourseError(f"turn is {self.turn!r}, but must be degrees from 0 to 180.")
        check_share("shift", self.shift)
        pair = tuple(self.scale) if isinstance(self.scale, Sequence) else ()
        if len(pair) != 2 or not all(map(_is_number, pair)) or not 0 < pair[0] <= pair[1] <= 10:
            raise CourseError(
                f"scale is {self.scale!r}, but must be two factors above 0 and up to 10, the "
                "smaller one first, such as (0.7, 1.2)."
            )
        # Equal changes have equal names, whichever kind of number they were given as.
        object.__setattr__(self, "turn", float(self.turn))
        object.__setattr__(self, "shift", float(self.shift))
        object.__setattr__(self, "scale", (float(pair[0]), float(pair[1])))

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Return the picture changed at random."""
        import torch

        return self.drawn(picture, torch.rand(N_DRAWS, dtype=torch.float64).tolist())

    def drawn(self, picture: Image.Image, draws: Sequence[float]) -> Image.Image:
        """Return the picture changed as four numbers from 0 to 1 say: turn, moves, scale."""
        from torchvision.transforms.v2 import InterpolationMode
        from torchvision.transforms.v2.functional import affine

        turn, right, down, scale = draws
        smallest, largest = self.scale
        changed: Image.Image = affine(
            picture,
            angle=self.turn * (2 * turn - 1),
            translate=[
                self.shift * (2 * right - 1) * picture.width,
                self.shift * (2 * down - 1) * picture.height,
            ],
            scale=smallest + scale * (largest - smallest),
            shear=[0.0, 0.0],
            interpolation=InterpolationMode.BILINEAR,
            fill=_corner_colour(picture),
        )
        return changed


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _corner_colour(picture: Image.Image) -> list[float]:
    """Middle of the colours in the four corners, one value for each channel."""
    corners = np.asarray(picture)[[0, 0, -1, -1], [0, -1, 0, -1]].reshape(4, -1)
    return np.median(corners, axis=0).tolist()
