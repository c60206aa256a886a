"""Pictures and maps as small HTML, so that an explorer answers at once.

A map goes to the browser as it is, with a palette, and is enlarged there: 14 x 14 positions are a
few hundred bytes. Captions are text of the page, so they follow its theme and its zoom.
"""

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, features

from tlcourse.base.html import render_template
from tlcourse.plots.figure import block_means

if TYPE_CHECKING:
    from markupsafe import Markup


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Turn values from 0 to 1 into uint8."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def photo_uri(values: np.ndarray, side: int | None = None) -> str:
    """Encode a picture (H, W, 3), values from 0 to 1 or uint8, shrunk to `side` pixels."""
    picture = Image.fromarray(values if values.dtype == np.uint8 else to_bytes(values))
    if side is not None:
        picture.thumbnail((side, side))
    return _uri(picture, "jpeg", quality=85)


def webp_uri(picture: Image.Image, quality: int = 75) -> str:
    """Encode drawings or many small pictures, half as large as a JPEG if Pillow writes WebP."""
    kind = "webp" if features.check("webp") else "jpeg"
    return _uri(picture, kind, quality=quality, method=2)


def map_uri(
    values: np.ndarray, *, limit: float | None = None, clear: bool = False, side: int = 112
) -> str:
    """Encode a map (H, W) with a palette, from dark blue for its smallest value to yellow.

    With a limit it goes from purple (`-limit`) to orange (`limit`). A clear map is transparent where
    it is low, or, with a limit, near 0. A large map is averaged, to about `side` positions a side.
    """
    import matplotlib as mpl

    if (every := max(values.shape) // side) > 1:
        values = block_means(values, every)
    low, high = (values.min(), values.max()) if limit is None else (-limit, limit)
    picture = Image.fromarray(to_bytes((values - low) / ((high - low) or 1.0)))
    colours = mpl.colormaps["viridis" if limit is None else "PuOr_r"](np.arange(256), bytes=True)
    picture.putpalette(colours[:, :3].tobytes())
    if not clear:
        return _uri(picture, "png")
    strength = np.linspace(0, 1, 256) if limit is None else np.abs(np.linspace(-1, 1, 256))
    return _uri(picture, "png", transparency=to_bytes(0.85 * strength).tobytes())


def tile(
    uri: str,
    alt: str,
    caption: str = "",
    *,
    width: float = 14,
    height: float = 0,
    over: str = "",
    squares: bool = False,
) -> "Markup":
    """Show one picture with its caption, `width` em wide and at least `height` em high.

    `over` is a clear map to lay over it; with `squares` the positions of a map are shown as squares.
    """
    options = {"width": width, "height": height, "over": over, "squares": squares}
    return render_template("tile", uri=uri, alt=alt, caption=caption, **options)


def row(tiles: Sequence["Markup"], heading: str = "") -> "Markup":
    """Put tiles side by side, as many as fit; the others go below them."""
    return render_template("row_of_tiles", tiles=tiles, heading=heading)


def _uri(picture: Image.Image, kind: str, **options: object) -> str:
    packed = io.BytesIO()
    picture.save(packed, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(packed.getvalue()).decode()}"
