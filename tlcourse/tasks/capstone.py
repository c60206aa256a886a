"""The capstone's pictures: a part with labels, one for tries, and one that is scored once.

The labels of the last two are sealed, not secret: this file can open them. That is enough to keep
them from being read by accident. A score says something only of who has not looked.
"""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image

from tlcourse.tasks.fashion import SIDE

Part = Literal["public", "tries", "private"]
SIZES: dict[Part, int] = {"public": 600, "tries": 500, "private": 1000}  # in the file's order
_DATA = files("tlcourse") / "data"


@cache
def pictures(part: Part) -> np.ndarray:
    """The pictures of a part, uint8 (N, 28, 28)."""
    content = (_DATA / "capstone.png").read_bytes()
    rows = np.asarray(Image.open(BytesIO(content))).reshape(-1, SIDE, SIDE)
    ends = dict(zip(SIZES, np.cumsum(list(SIZES.values())).tolist(), strict=True))
    return rows[ends[part] - SIZES[part] : ends[part]]


def labels(part: Part) -> np.ndarray:
    """The labels of a part, int64 (N,)."""
    kept = json.loads((_DATA / "capstone.json").read_text("utf-8"))[part]
    if part == "public":
        return np.array(list(map(int, kept)))
    stream = _stream(pictures(part))
    return (np.frombuffer(base64.b64decode(kept), np.uint8) ^ stream).astype(np.int64)


def sealed(pictures: np.ndarray, labels: np.ndarray) -> str:
    """Labels (N,) as a text in which they cannot be read without their pictures (N, 28, 28)."""
    return base64.b64encode((labels.astype(np.uint8) ^ _stream(pictures)).tobytes()).decode()


def _stream(pictures: np.ndarray) -> np.ndarray:
    """As many random bytes as there are pictures, which follow from them."""
    return np.frombuffer(hashlib.shake_256(pictures.tobytes()).digest(len(pictures)), np.uint8)
