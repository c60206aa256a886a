"""Letters in the text fonts that come with matplotlib, each one turned, slanted and stretched.

They are stored as coarsely as scikit-learn's digits are: 8 x 8 values from 0 to 16. Those digits
were written by hand, scanned to 32 x 32 black or white dots, and counted in blocks of 4 x 4.
"""

import math
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tlcourse.errors import CourseError

CLASSES = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
# Text fonts only: neither symbols nor the letters of formulas.
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-BoldItalic",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
    "cmb10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)
OF_EACH = 1_200  # pictures of a class, half of them small letters
WHITE = 16  # the largest value

_SIDE, _BLOCK = 32, 4  # dots per side, and of a block that is counted
_CANVAS = 64  # pixels a side on which a letter is drawn before it is changed
_LETTER = 60  # of them that its longer side takes
_POINTS = 100  # font size at which it is drawn at first
_STROKES = 8  # widths of a line that is drawn around it: 0 to 7 of those points
# The limits of the changes; a number between them is as likely as any other.
_TURN = 15  # degrees to the left or right
_SLANT = 0.4  # shear: columns moved for each row, to the left or right
_STRETCH = (0.75, 1.05)  # of the height and of the width, each by itself
_SHIFT = 2  # dots to each side


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Draw the letters: values uint8 (N, 8, 8) from 0 to 16, labels (N,), and names.

    A name says class, font and letter: "A/cmr10/a-0007".
    """
    values, labels, names = [], [], []
    for label, letter in enumerate(CLASSES):
        random = np.random.default_rng([seed, label])
        fonts = random.integers(len(FONTS), size=OF_EACH)
        strokes = random.integers(_STROKES, size=OF_EACH)
        changes = random.uniform(-1, 1, (OF_EACH, 6))
        for i, change in enumerate(changes):
            character = letter if i % 2 else letter.lower()
            drawn = _glyph(FONTS[fonts[i]], character, int(strokes[i]))
            values.append(_changed(drawn, *change))
            names.append(f"{letter}/{FONTS[fonts[i]]}/{character}-{i:04d}")
        labels += [label] * OF_EACH
    return np.stack(values), np.asarray(labels), names


def _changed(
    letter: Image.Image,
    turn: float,
    slant: float,
    width: float,
    height: float,
    right: float,
    down: float,
) -> np.ndarray:
    """Turn, slant, stretch and move a letter as six numbers from -1 to 1 say, and count its dots."""
    smallest, largest = _STRETCH
    middle, reach = (smallest + largest) / 2, (largest - smallest) / 2
    angle = math.radians(_TURN * turn)
    turned = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    slanted = np.array([[1, _SLANT * slant], [0, 1]])
    stretched = np.diag([middle + reach * width, middle + reach * height]) * (_SIDE / _CANVAS)
    # PIL wants the way back: from a dot of the new picture to a place in the old one.
    back = np.linalg.inv(turned @ slanted @ stretched)
    centre = np.array([_SIDE / 2 + _SHIFT * right, _SIDE / 2 + _SHIFT * down])
    offset = np.full(2, _CANVAS / 2) - back @ centre
    numbers = (*back[0], offset[0], *back[1], offset[1])
    dots = letter.transform(
        (_SIDE, _SIDE), Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR
    )
    ink = np.asarray(dots) >= 128
    side = _SIDE // _BLOCK
    return ink.reshape(side, _BLOCK, side, _BLOCK).sum(axis=(1, 3), dtype=np.uint8)


@cache
def _glyph(font: str, character: str, stroke: int) -> Image.Image:
    """A letter in the middle of a square of mode "L", white on black."""
    drawn = Image.new("L", (2 * _POINTS, 2 * _POINTS))
    place = (_POINTS, _POINTS)
    ImageDraw.Draw(drawn).text(
        place, character, 255, font=_font(font), anchor="mm", stroke_width=stroke
    )
    drawn = drawn.crop(drawn.getbbox())
    scale = _LETTER / max(drawn.size)
    width, height = (max(1, round(side * scale)) for side in drawn.size)
    square = Image.new("L", (_CANVAS, _CANVAS))
    small = drawn.resize((width, height), Image.Resampling.BICUBIC)
    square.paste(small, ((_CANVAS - width) // 2, (_CANVAS - height) // 2))
    return square


@cache
def _font(name: str) -> ImageFont.FreeTypeFont:
    import matplotlib as mpl

    path = Path(mpl.get_data_path(), "fonts", "ttf", f"{name}.ttf")
    try:  # the basic layout engine is there on every machine, so every machine draws the same
        return ImageFont.truetype(str(path), _POINTS, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise CourseError(
            f"The font {path.name} is not where matplotlib keeps its own. "
            "Install it again: python -m pip install --force-reinstall --no-deps matplotlib"
        ) from error
