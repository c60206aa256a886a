"""Parts of PNG files."""

import struct
import zlib


def png(width, height, pixels=b"", *, depth=8, kind=2, before=()):
    """A file that says it has this size; `pixels` are its lines, each with a filter's byte."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)
