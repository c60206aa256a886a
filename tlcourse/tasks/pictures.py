"""Open a picture of any kind as a network needs it: red-green-blue, 8 bit, upright."""

import os
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from itertools import product
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from tlcourse.base.files import open_source
from tlcourse.base.messages import printable
from tlcourse.errors import PictureError
from tlcourse.tasks.sound import Sound

MAX_PIXELS = 100_000_000  # about 10,000 x 10,000; decoded to RGB this is 300 MB
MAX_SIDE = 65_535  # as in JPEG; each line takes 12 bytes more than its pixels
# Formats of which a pixel takes much more memory while it is decoded.
_MOST_PIXELS = {"JPEG2000": 25_000_000, "WEBP": 50_000_000}

# Share of `max_side` that a JPEG decoded at a reduced size has at least. For 1024 pixels and a
# photograph of 12 million, the square of 224 pixels that goes into a network then differs from that
# of the whole photograph by .3 of 255 grey levels in the mean, its embedding by 2 percent.
_REDUCED = 0.75

# A progressive JPEG has about ten scans, and each goes over the whole picture. A thousand of them,
# in a file of 100 kB, would take minutes.
_MOST_SCANS = 30
# Of a JPEG: those that have a length after them, and the end.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")

# Formats that Pillow reads by itself, without starting another program.
_FORMATS = {"AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"}
_TILE = 1024  # pixels; transparent parts are made white in squares of this side
_ORIENTATION = 274  # number of the EXIF tag
_BITS_PER_SAMPLE = 258  # number of the TIFF tag
_HEIC = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}  # what phones write
_QUIET = threading.Lock()  # warning filters belong to the whole process, not to one thread


def open_picture(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    *,
    max_side: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Open a picture as red-green-blue, 8 bit, upright; of an animation the first frame.

    Transparent parts become white, 16-bit and floating-point values are scaled to 8 bit, and a
    photograph taken with a turned camera is turned upright (EXIF). Colour profiles are not applied.

    Args:
        source: Path, content (bytes) or opened binary file.
        max_side: Shrink so that no side is longer than this many pixels. Of a large JPEG photograph
            only a half, a quarter or an eighth of the lines and columns is decoded, which is up to
            six times faster, where at least three quarters of `max_side` are left. By default
            nothing is shrunk.
        max_pixels: The most pixels that it may have, up to 100 million; of WebP up to 50 million,
            of JPEG 2000 up to 25 million.

    Returns:
        A PIL picture of mode "RGB" that is in memory and needs no open file.

    Raises:
        PictureError: It does not exist, is empty, no picture or cut off, or has more than
            `max_pixels` or a side of more than 65,535, as its header says before anything is
            decoded; or it is a JPEG of more than 30 scans.
    """
    name, file = open_source(source, "picture", PictureError)
    with file:
        try:
            picture = _read_header(file, name, min(max_pixels, MAX_PIXELS))
            if "progressive" in picture.info and _n_scans(file) > _MOST_SCANS:
                raise _unreadable(name, f"it is a JPEG of more than {_MOST_SCANS} scans")
            if max_side is not None:
                least = _REDUCED * max_side / max(picture.size)
                width, height = int(least * picture.width), int(least * picture.height)
                picture.draft(None, (max(1, width), max(1, height)))  # acts on JPEG only
            picture.load()
            with _quiet():
                turned = picture.getexif().get(_ORIENTATION, 1)
            result = to_rgb(picture)
            if turned != 1:
                result.getexif()[_ORIENTATION] = turned
                ImageOps.exif_transpose(result, in_place=True)
        except PictureError:
            raise
        except Exception as error:  # decoders raise nearly anything on damaged files
            raise _unreadable(name, _reason(error)) from error
    if max_side is not None:
        result.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
    result.info.clear()
    return result


def to_rgb(picture: Image.Image | Sound) -> Image.Image:
    """Return a picture of any mode as 8-bit "RGB": scaled if deeper, on white if transparent.

    Of a sound it is the spectrogram, so whatever reads pictures reads sounds, too.
    """
    if isinstance(picture, Sound):
        return picture.picture()
    if not isinstance(picture, Image.Image):
        raise PictureError(
            f"A picture is needed as a PIL image, you gave {type(picture).__name__}. "
            "tl.open_picture(path) gives one."
        )
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture.copy()
    if picture.mode == "F" or picture.mode.startswith("I"):
        return Image.fromarray(_to_8_bit(picture)).convert("RGB")
    if picture.has_transparency_data:
        opaque = Image.new("RGB", picture.size)
        for box in product(range(0, picture.width, _TILE), range(0, picture.height, _TILE)):
            end = min(box[0] + _TILE, picture.width), min(box[1] + _TILE, picture.height)
            # Whole pictures would take 2 GB for 100 million pixels.
            tile = picture.crop((*box, *end))
            tile = (tile.convert("LA") if tile.mode == "La" else tile).convert("RGBA")
            white = Image.new("RGBA", tile.size, "white")
            opaque.paste(Image.alpha_composite(white, tile).convert("RGB"), box)
        return opaque
    if picture.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, *profiles, outputMode="RGB")
        assert converted is not None  # it is None only where the picture itself is changed
        return converted
    return picture.convert("RGB")


def _n_scans(file: BytesIO | BufferedReader) -> int:
    """Count the scans of a JPEG, and not what other programs append to it."""
    file.seek(0)
    content, at, n = file.read(), 2, 0
    while (marker := _MARKER.search(content, at)) and marker[0] != b"\xff\xd9":
        n += marker[0] == b"\xff\xda"
        at = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])
    return n


def _read_header(file: BytesIO | BufferedReader, name: str, most: int) -> Image.Image:
    """Open a picture without decoding it, and refuse what is not one or is too large."""
    start = file.read(12)
    if not start:
        raise _unreadable(name, "it is empty (0 bytes)")
    file.seek(0)
    Image.init()
    too_many = "it has more than {:g} million pixels"
    try:
        with _quiet():
            picture = Image.open(file, formats=sorted(_FORMATS & set(Image.OPEN)))
    except UnidentifiedImageError as error:
        heic = start[4:8] == b"ftyp" and start[8:] in _HEIC
        kind = "a HEIC photograph; save it as JPEG" if heic else "not a picture"
        raise _unreadable(name, f"it is {kind}") from error
    except Image.DecompressionBombError as error:
        raise _unreadable(name, too_many.format(most / 1_000_000)) from error
    most = min(most, _MOST_PIXELS.get(picture.format or "", most))
    if picture.width * picture.height > most:
        raise _unreadable(name, too_many.format(most / 1_000_000))
    if max(picture.size) > MAX_SIDE:
        raise _unreadable(name, f"it has a side of more than {MAX_SIDE:,} pixels")
    return picture


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow from warning of large pictures (refused anyway) and of damaged EXIF data."""
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _unreadable(name: str, reason: str) -> PictureError:
    return PictureError(f"{printable(name)} cannot be read: {reason}.", reason)


def _reason(error: Exception) -> str:
    """A decoder's complaint in a few words."""
    if isinstance(error, MemoryError):
        return "memory is short"
    said = str(error).lower()
    cut = ("truncated", "broken", "unexpected end", "not enough", "incomplete", "decoder object")
    if isinstance(error, EOFError | struct.error) or any(word in said for word in cut):
        return "it is cut off or damaged"
    return f"it is damaged ({str(error).rstrip('.') or type(error).__name__})"


def _to_8_bit(picture: Image.Image) -> np.ndarray:
    """Values of a one-channel picture deeper than 8 bit, scaled by its depth: uint8 (H, W)."""
    values = np.array(picture, dtype=np.float32)
    values = np.nan_to_num(values, copy=False, posinf=0, neginf=0)
    lowest, highest = float(values.min()), float(values.max())
    if picture.mode.startswith("I;16"):
        tags = getattr(picture, "tag_v2", {})
        bits = tags.get(_BITS_PER_SAMPLE, (16,))
        white = 2.0 ** (bits[0] if isinstance(bits, tuple) else bits) - 1
    elif picture.mode == "I" and picture.format in {"PNG", "PPM"}:
        white = 65535.0
    else:  # the file does not say what white is: the smallest usual range that holds all values
        white = next((w for w in (1.0, 255.0, 65535.0) if highest <= w), highest)
        if picture.mode == "I" and white == 1:
            white = 255.0
    if lowest < 0:  # no usual range: from the darkest to the brightest value
        values -= np.float32(lowest)
        white = highest - lowest
    values *= np.float32(255 / (white or 1))
    return np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8)
