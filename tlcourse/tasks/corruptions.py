"""What happens to pictures outside the laboratory: blur, noise, darkness, ... in graded strength."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, get_args

from PIL import Image

from tlcourse.errors import CourseError, check_choice, check_whole
from tlcourse.tasks.change import _corner_colour
from tlcourse.tasks.pictures import to_rgb

if TYPE_CHECKING:
    import torch

Kind = Literal["blur", "noise", "brightness", "grey", "turn", "scale"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STRONGEST = 5


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption, of a given strength; a call draws a strength up to that one.

    So it will do as `augment=` of a training, which draws from PyTorch's generator: each epoch sees
    each picture corrupted anew, from not at all to `strength`. `corrupt` says what the kinds are.

    Attributes:
        kind: "blur", "noise", "brightness", "grey", "turn" or "scale".
        strength: From 0, which changes nothing, to 5.

    Raises:
        UnknownNameError: There is no such kind.
        CourseError: The strength is no number from 0 to 5.

    Example:
        >>> Corruption("turn", 3)(Image.new("RGB", (64, 48))).size
        (64, 48)

    Reference: graded corruptions are those of Hendrycks and Dietterich (2019), arXiv:1903.12261.
    """

    kind: Kind
    strength: float = STRONGEST

    def __post_init__(self) -> None:
        check_choice("corruption", self.kind, KINDS)
        value = self.strength
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not 0 <= float(value) <= STRONGEST:
            raise CourseError(f"strength is {value!r}, but must be a number from 0 to {STRONGEST}.")
        object.__setattr__(self, "strength", float(value))  # 3 and 3.0 have the same name

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Return the picture corrupted with a random strength up to this one."""
        import torch

        share, seed = torch.rand(1).item(), int(torch.randint(2**31, (1,)))
        return Corruption(self.kind, share * self.strength).drawn(picture, [seed])

    def drawn(self, picture: Image.Image, draws: Sequence[float]) -> Image.Image:
        """Return the picture corrupted with all of the strength; the one draw is a seed."""
        if self.strength == 0:
            return to_rgb(picture)
        import torch

        random = torch.Generator().manual_seed(int(draws[0]))
        return _CORRUPT[self.kind](to_rgb(picture), self.strength, random)


def corrupt(picture: Image.Image, kind: Kind, strength: float, *, seed: int = 0) -> Image.Image:
    """Corrupt a picture, with the functions of `torchvision.transforms.v2`.

    Args:
        picture: Any PIL picture; it is not changed.
        kind: "blur" (a Gaussian, 1.2 % of the shorter side wide for each step of strength), "noise"
            (a Gaussian, 8 % of the range from black to white for each step), "brightness" (darker,
            to a tenth at 5), "grey" (colours fade, and are gone at 5), "turn" (12 degrees for each
            step, the seed says to which side) or "scale" (smaller, to two fifths at 5). What comes
            in from outside has the middle colour of the picture's four corners.
        strength: From 0, which changes nothing, to 5.
        seed: Decides noise and the side of a turn.

    Returns:
        A picture of mode RGB, of the same size.

    Raises:
        UnknownNameError: There is no such kind.
        CourseError: The strength is no number from 0 to 5, or the seed no whole number.
    """
    check_whole("seed", seed, least=0, most=2**63 - 1)
    return Corruption(kind, strength).drawn(picture, [seed])


def _blur(picture: Image.Image, strength: float, random: "torch.Generator") -> Image.Image:
    from torchvision.transforms.v2.functional import gaussian_blur

    sigma = 0.012 * strength * min(picture.size)
    reach = min(int(3 * sigma) + 1, min(picture.size) - 1)  # what is mirrored at the edge
    size, sigmas = 2 * reach + 1, [sigma, sigma]
    if not reach:
        return picture
    # Along the rows, then along the columns: many times faster than both at once.
    return gaussian_blur(gaussian_blur(picture, [size, 1], sigmas), [1, size], sigmas)


def _noise(picture: Image.Image, strength: float, random: "torch.Generator") -> Image.Image:
    import torch
    from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

    values = pil_to_tensor(picture) / 255
    noisy = values + 0.08 * strength * torch.randn(values.shape, generator=random)
    return to_pil_image((noisy.clamp(0, 1) * 255).round().to(torch.uint8))


def _brightness(picture: Image.Image, strength: float, random: "torch.Generator") -> Image.Image:
    from torchvision.transforms.v2.functional import adjust_brightness

    return adjust_brightness(picture, 1 - 0.18 * strength)


def _grey(picture: Image.Image, strength: float, random: "torch.Generator") -> Image.Image:
    from torchvision.transforms.v2.functional import adjust_saturation

    return adjust_saturation(picture, 1 - strength / STRONGEST)


def _turn(picture: Image.Image, strength: float, random: "torch.Generator") -> Image.Image:
    import torch

    side = 1 if torch.rand(1, generator=random).item() < 0.5 else -1
    return _affine(picture, angle=12 * strength * side)


def _scale(picture: Image.Image, strength: float, random: "torch.Generator") -> Image.Image:
    return _affine(picture, scale=1 - 0.12 * strength)


def _affine(picture: Image.Image, *, angle: float = 0, scale: float = 1) -> Image.Image:
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import affine

    options: dict[str, Any] = {"translate": [0, 0], "shear": [0.0, 0.0]}
    options |= {"interpolation": InterpolationMode.BILINEAR, "fill": _corner_colour(picture)}
    return affine(picture, angle=angle, scale=scale, **options)


_CORRUPT: dict[Kind, Callable[[Image.Image, float, "torch.Generator"], Image.Image]] = {
    "blur": _blur,
    "noise": _noise,
    "brightness": _brightness,
    "grey": _grey,
    "turn": _turn,
    "scale": _scale,
}
