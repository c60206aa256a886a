"""Zoom in, blur, rotate, cover: what the prediction explorer does to a picture.

A network sees only the square that its preprocessing cuts out, in its own number of pixels. So
lengths are given in pixels or in parts of that square, whatever the size of the picture.
"""

from dataclasses import dataclass

from PIL import Image, ImageFilter

from tlcourse._preprocess import Preprocess


@dataclass(frozen=True)
class Change:
    """What to do to a picture, in this order; by default nothing.

    Attributes:
        blur: Standard deviation of a Gaussian, in pixels of the network's input.
        degrees: Rotate around the middle, clockwise; below 0 the other way.
        zoom: Part of the width and height that stays, around the middle.
        cover: Side of a grey square, as a part of what the network sees.
        across: Where the square lies, from 0 (left) to 1 (right).
        down: Likewise from 0 (top) to 1 (bottom).
    """

    blur: float = 0.0
    degrees: int = 0
    zoom: float = 1.0
    cover: float = 0.0
    across: float = 0.5
    down: float = 0.5

    def __str__(self) -> str:
        done = []
        if self.zoom < 1:
            done.append(f"the middle {self.zoom:.0%}")
        if self.blur:
            done.append(f"blurred by {self.blur:g} pixels")
        if self.degrees:
            side = "left" if self.degrees < 0 else "right"
            done.append(f"rotated {abs(self.degrees)}° to the {side}")
        if self.cover:
            place = f"{self.across:.0%} from the left, {self.down:.0%} from the top"
            done.append(f"covered by a square ({self.cover:.0%} of the width, {place})")
        return ", ".join(done) or "unaltered"


def grey(preprocess: Preprocess) -> tuple[int, ...]:
    """Return the colour that becomes 0 in preprocessing: the mean of the network's training."""
    return tuple(round(255 * value) for value in preprocess.mean)


def alter(picture: Image.Image, preprocess: Preprocess, change: Change) -> Image.Image:
    """Return the altered picture, an RGB one, which then goes through the preprocessing.

    Where the rotated picture ends, and under the square, it is `grey`.

    Args:
        picture: An RGB picture; it stays as it is, and is returned itself if nothing is to be done.
        preprocess: That of the network.
        change: What to do.
    """
    altered = picture
    unit = change.zoom * min(picture.size) / preprocess.resize_size  # one pixel of the input
    if change.blur:
        altered = altered.filter(ImageFilter.GaussianBlur(change.blur * unit))
    if change.degrees:
        bicubic, fill = Image.Resampling.BICUBIC, grey(preprocess)
        altered = altered.rotate(-change.degrees, bicubic, fillcolor=fill)
    if change.zoom < 1:
        width, height = (max(round(change.zoom * side), 1) for side in altered.size)
        left, top = (altered.width - width) // 2, (altered.height - height) // 2
        altered = altered.crop((left, top, left + width, top + height))
    if change.cover:
        seen = preprocess.crop_size * unit
        side = change.cover * seen
        left = (altered.width - seen) / 2 + change.across * (seen - side)
        top = (altered.height - seen) / 2 + change.down * (seen - side)
        box = (round(left), round(top), round(left + side), round(top + side))
        altered = altered.copy()
        altered.paste(grey(preprocess), box)
    return altered
