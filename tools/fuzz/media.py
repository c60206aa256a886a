"""Readers of pictures and sounds, and changes that keep the form of their files.

A PNG or Ogg file whose check sums are wrong is refused at once, and so is a file of chunks (WAV,
AIFF, WebP) whose lengths are. So a change takes such a file apart, changes a part, and puts it
together again.
"""

import struct
import zlib
from collections.abc import Callable
from random import Random

from tlcourse.tasks.pictures import open_picture, to_rgb
from tlcourse.tasks.sound import open_sound
from tools.fuzz.reader import Reader

_PNG = b"\x89PNG\r\n\x1a\n"
# Numbers at which programs go wrong, and kinds of parts that readers know.
_NUMBERS = [0, 1, 2, 3, 7, 8, 16, 64, 255, 256, 32767, 32768, 65535, 10_000, 1_000_000]
_NUMBERS += [2**31 - 1, 2**31, 2**32 - 1]
_KINDS = {
    b"\x89PNG": b"IHDR PLTE IDAT IEND tRNS tEXt zTXt iTXt iCCP eXIf acTL fcTL fdAT gAMA sRGB pHYs",
    b"RIFF": b"fmt  data fact LIST bext cue  smpl VP8X VP8L VP8  ANIM ANMF EXIF ICCP XMP ",
    b"FORM": b"COMM SSND MARK INST COMT NAME FVER",
}

Parts = list[tuple[bytes, bytes]]  # kind and content


def _picture(data: bytes) -> None:
    picture = open_picture(data)
    assert (picture.mode, picture.info) == ("RGB", {})
    assert max(open_picture(data, max_side=64).size) <= 64


def _sound(data: bytes) -> None:
    sound = open_sound(data, max_seconds=5)
    assert abs(sound.samples).max() <= 1
    assert sound.seconds < 5.1
    to_rgb(sound)


def _change(data: bytes, random: Random, mutate: Callable[[bytes], bytes]) -> bytes:
    """Change one part of a file and keep its form; where it has none, change any bytes."""
    if data[:4] in _KINDS and random.random() < 0.8:
        start, parts = _parts(data)
        if parts:
            _change_a_part(parts, _KINDS[data[:4]], random, mutate)
            return _joined(data[:4], start, parts)
    if data[:4] == b"OggS" and random.random() < 0.8:
        return _with_sums(mutate(data))
    return mutate(data)


def _change_a_part(
    parts: Parts, kinds: bytes, random: Random, mutate: Callable[[bytes], bytes]
) -> None:
    place = random.randrange(len(parts))
    kind, content = parts[place]
    match random.randrange(7):
        case 0:
            parts[place] = kind, mutate(content)
        case 1 if kind == b"IDAT":
            parts[place] = kind, _mutated_inside(content, mutate)
        case 2:
            parts.insert(random.randrange(len(parts) + 1), parts[place])
        case 3:
            del parts[place]
        case 4:
            new = kinds[5 * random.randrange((len(kinds) + 1) // 5) :][:4]
            parts.insert(place, (new, mutate(content)))
        case _ if content:  # a number in it becomes another
            form = random.choice(["<H", ">H", "<I", ">I", "B"])
            at = random.randrange(len(content))
            number = random.choice(_NUMBERS) % 256 ** struct.calcsize(form)
            put = struct.pack(form, number)
            parts[place] = kind, content[:at] + put + content[at + len(put) :]


def _mutated_inside(content: bytes, mutate: Callable[[bytes], bytes]) -> bytes:
    """Change what is packed with zlib."""
    try:
        return zlib.compress(mutate(zlib.decompressobj().decompress(content, 2**16)))
    except zlib.error:
        return mutate(content)


def _parts(data: bytes) -> tuple[bytes, Parts]:
    """The head of a file of chunks, and the chunks."""
    png = data.startswith(_PNG)
    at = start = 8 if png else 12
    form = "<I" if data.startswith(b"RIFF") else ">I"
    parts: Parts = []
    while at + 8 <= len(data):
        length_at, kind_at = (at, at + 4) if png else (at + 4, at)
        (length,) = struct.unpack_from(form, data, length_at)
        parts.append((data[kind_at : kind_at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + (4 if png else length % 2)
    return data[:start], parts


def _joined(magic: bytes, start: bytes, parts: Parts) -> bytes:
    """The file of these chunks, with the right lengths and sums."""
    packed = [start]
    if magic == _PNG[:4]:
        for kind, content in parts:
            body = kind + content
            packed.append(struct.pack(">I", len(content)) + body)
            packed.append(struct.pack(">I", zlib.crc32(body)))
        return b"".join(packed)
    form = "<I" if magic == b"RIFF" else ">I"
    for kind, content in parts:
        packed.append(kind + struct.pack(form, len(content)) + content + bytes(len(content) % 2))
    file = b"".join(packed)
    return file[:4] + struct.pack(form, len(file) - 8) + file[8:]


def _with_sums(data: bytes) -> bytes:
    """An Ogg file with the right check sum on each page."""
    pages = data.split(b"OggS")
    for place, page in enumerate(pages[1:], 1):
        if len(page) > 22:
            blank = b"OggS" + page[:18] + bytes(4) + page[22:]
            size = 27 + blank[26] + sum(blank[27 : 27 + blank[26]]) if len(blank) > 26 else 0
            total = struct.pack("<I", _ogg_sum(blank[:size]))
            pages[place] = page[:18] + total + page[22:]
    return b"OggS".join(pages)


def _ogg_sum(page: bytes) -> int:
    """CRC-32 with the polynomial 04c11db7, highest bit first, as Ogg has it."""
    total = 0
    for byte in page:
        total ^= byte << 24
        for _ in range(8):
            total = (total << 1) ^ (0x104C11DB7 if total & 0x80000000 else 0)
    return total


READERS = {
    "pictures": Reader(_picture, change=_change),
    "sounds": Reader(_sound, change=_change),
}
