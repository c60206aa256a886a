"""Pictures and maps as small HTML, so that an explorer answers at once.

A map goes to the browser as it is, with a palette, and is enlarged there: 14 x 14 positions are a
few hundred bytes. Captions are text of the page, so they follow its theme and its zoom.
"""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, features

from tlcourse.plots.figure import block_means

_MAP = "image-rendering:pixelated"


def photo_uri(picture: Image.Image | np.ndarray, side: int | None = None) -> str:
    """Encode an RGB picture, or values (H, W, 3) from 0 to 1 or uint8; shrunk to `side` pixels."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8:
            picture = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
        picture = Image.fromarray(np.ascontiguousarray(picture))
    if side is not None and max(picture.size) > side:
        picture = picture.copy()
        picture.thumbnail((side, side))
    return _uri(picture.convert("RGB"), "jpeg", quality=85)


def webp_uri(picture: Image.Image, quality: int = 75) -> str:
    """Encode an RGB picture of drawings or many pictures: half as large as a JPEG.

    Where Pillow writes no WebP it is a JPEG.
    """
    if features.check("webp"):
        return _uri(picture, "webp", quality=quality, method=2)
    return _uri(picture, "jpeg", quality=quality)


def map_uri(
    values: np.ndarray,
    colours: str = "viridis",
    *,
    low: float | None = None,
    high: float | None = None,
    clear: bool = False,
    side: int = 112,
) -> str:
    """Encode an (H, W) map with a palette of matplotlib.

    Args:
        values: The map.
        colours: Name of the palette.
        low: Value of the palette's first colour; by default the smallest.
        high: Value of its last colour; by default the largest.
        clear: Let what lies below shine through where the palette has its middle (of a diverging
            one, "PuOr_r") or its beginning (of another).
        side: A larger map is averaged over neighbours, to about so many positions a side.
    """
    import matplotlib as mpl

    if (every := max(values.shape) // side) > 1:
        values = block_means(values, every)
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    scaled = (values - low) / ((high - low) or 1.0)
    picture = Image.fromarray(np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8), "L")
    picture = picture.convert("P")
    table = (mpl.colormaps[colours](np.arange(256))[:, :3] * 255).astype(np.uint8)
    picture.putpalette(table.tobytes())
    if not clear:
        return _uri(picture, "png")
    place = np.linspace(0, 1, 256)
    strength = np.abs(2 * place - 1) if colours.startswith("PuOr") else place
    alpha = (255 * 0.85 * strength).astype(np.uint8)
    return _uri(picture, "png", transparency=alpha.tobytes())


def tile(
    uri: str,
    alt: str,
    caption: str = "",
    *,
    width: float = 14,
    over: str = "",
    squares: bool = False,
) -> str:
    """One picture with its caption, `width` characters wide.

    Args:
        uri: What to show.
        alt: What it shows, in words.
        caption: Text below it, plain; `**` around a part makes it bold.
        width: In em.
        over: A map to lay over it.
        squares: Show the positions of a map as squares.
    """
    style = "display:block;width:100%;" + (_MAP if squares else "")
    inside = f'<img src="{uri}" alt="{html.escape(alt)}" decoding="sync" style="{style}">'
    if over:
        place = "position:absolute;left:0;top:0;width:100%;height:100%"
        inside += f'<img src="{over}" alt="" decoding="sync" style="{place}">'
    pieces = html.escape(caption).split("**")
    said = "".join(f"<b>{p}</b>" if i % 2 else p for i, p in enumerate(pieces))
    said = f'<figcaption style="line-height:1.3;padding-top:.2em">{said}</figcaption>'
    return (
        f'<figure style="margin:0;width:{width}em;max-width:100%;flex:0 0 auto">'
        f'<div style="position:relative">{inside}</div>{said if caption else ""}</figure>'
    )


def row(tiles: Sequence[str], heading: str = "") -> str:
    """Tiles side by side, as many as fit; the others go below them."""
    title = f'<div style="font-weight:bold;margin:.6em 0 .2em">{html.escape(heading)}</div>'
    return (
        f'<div style="line-height:1.4">{title if heading else ""}'
        f'<div style="display:flex;flex-wrap:wrap;gap:.6em">{"".join(tiles)}</div></div>'
    )


def _uri(picture: Image.Image, kind: str, **options: object) -> str:
    packed = io.BytesIO()
    picture.save(packed, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(packed.getvalue()).decode()}"
