"""A safetensors file with one float32 tensor, written row by row and verified piece by piece."""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np

_TENSOR = "features"


def digest(rows: np.ndarray) -> str:
    """SHA-256 of some rows."""
    return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()


def header(shape: tuple[int, ...]) -> bytes:
    """Head of a safetensors file with one float32 tensor; its rows may follow one by one."""
    size = 4 * int(np.prod(shape, dtype=np.int64))
    tensor = {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}
    text = json.dumps({_TENSOR: tensor}).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def read_header(path: Path) -> tuple[int, tuple[int, ...]]:
    """Return where the tensor begins, and its shape."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        described = json.loads(stream.read(min(length, 10_000)))
    return 8 + length, tuple(described[_TENSOR]["shape"])


def verify(path: Path, pieces: list[tuple[int, str]]) -> None:
    """Read a file piece by piece, so that memory stays flat, and compare each digest."""
    offset, shape = read_header(path)
    row_bytes = 4 * int(np.prod(shape[1:], dtype=np.int64))
    with path.open("rb") as stream:
        stream.seek(offset)
        for rows, digest in pieces:
            if hashlib.sha256(stream.read(rows * row_bytes)).hexdigest() != digest:
                raise ValueError("a piece was altered")
        if stream.read(1) or sum(rows for rows, _ in pieces) != shape[0]:
            raise ValueError("it is cut, or too long")


def open_array(path: Path) -> np.ndarray:
    """Map the tensor of a file into memory; changes to the array do not reach the file."""
    offset, shape = read_header(path)
    return np.memmap(path, dtype=np.float32, mode="c", offset=offset, shape=shape)
