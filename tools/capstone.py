"""Make `tlcourse/data/capstone.png` and `capstone.json`: changed pictures of Fashion-MNIST.

    python -m tools.capstone /usr/share/datasets/fashion-mnist

The official files (MIT, Zalando SE) are those of Debian's package `dataset-fashion-mnist`. Pictures
of the task "fashion" are left out. The others are drawn with a fixed seed, as many of each class,
and changed: who solves the capstone had better not read how. The PNG file holds one picture a row:
first those with labels, then those for tries, then those that are scored once. The labels of the
last two are sealed with their own pictures, see `tlcourse/tasks/capstone.py`.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tlcourse.base.files import whole_file
from tlcourse.tasks import capstone
from tlcourse.tasks.fashion import CLASSES, SIDE, read_official, read_part

TARGET = Path(__file__).parent.parent / "tlcourse" / "data"
_FINE = 4  # a picture is changed at so many times its side, then made small again
_TURN, _SPREAD = 110, 30  # degrees
_SCALE = (0.7, 0.95)
_SHIFT = 0.06  # of the side
_COVER = 9  # pixels a side of the square that hides a part
_GREYS = (60, 200)  # from the darkest to the lightest of such squares
_STEP = 17  # between two of the 16 grey values that are kept, which makes the file small


def change(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Turn, shrink, move, cover and invert a picture, uint8 (28, 28)."""
    angle = math.radians(_TURN + _SPREAD * random.uniform(-1, 1))
    scale = random.uniform(*_SCALE)
    moved = _SHIFT * SIDE * random.uniform(-1, 1, 2)
    fine = _FINE * SIDE
    # PIL wants the way back: from a dot of the new picture to a place in the old one.
    back = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    back /= scale
    offset = np.full(2, fine / 2) - back @ (_FINE * (SIDE / 2 + moved))
    large = Image.fromarray(picture).resize((fine, fine), Image.Resampling.BICUBIC)
    numbers = (*back[0], offset[0], *back[1], offset[1])
    dots = large.transform((fine, fine), Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR)
    values = np.asarray(dots).reshape(SIDE, _FINE, SIDE, _FINE).mean(axis=(1, 3))
    top, left = random.integers(0, SIDE - _COVER + 1, 2)
    values[top : top + _COVER, left : left + _COVER] = random.uniform(*_GREYS)
    return (np.rint((255 - values) / _STEP) * _STEP).astype(np.uint8)


def draw(folder: Path, seed: int = 19) -> tuple[np.ndarray, np.ndarray]:
    """Draw and change the pictures: uint8 (2100, 28, 28), labels (2100,)."""
    official = read_official(folder).values()
    pictures, labels = (np.concatenate(arrays) for arrays in zip(*official, strict=True))
    known = {picture.tobytes() for part, _ in read_part().values() for picture in part}
    random = np.random.default_rng(seed)
    of_class = []
    for label in range(len(CLASSES)):
        places = random.permutation(np.flatnonzero(labels == label))
        unknown = (place for place in places if pictures[place].tobytes() not in known)
        of_class.append([next(unknown) for _ in range(sum(capstone.SIZES.values()) // 10)])
    drawn, start = [], 0
    for n in capstone.SIZES.values():
        end = start + n // len(CLASSES)
        drawn += random.permutation(np.concatenate([p[start:end] for p in of_class])).tolist()
        start = end
    return np.stack([change(pictures[place], random) for place in drawn]), labels[drawn]


def main(folder: Path, target: Path = TARGET) -> None:
    """Draw the pictures and write both files."""
    pictures, labels = draw(folder)
    kept, start = {}, 0
    for part, n in capstone.SIZES.items():
        rows = slice(start, start + n)
        clear = "".join(map(str, labels[rows]))
        kept[part] = clear if part == "public" else capstone.sealed(pictures[rows], labels[rows])
        start += n
    with whole_file(target / "capstone.png") as part_file:
        rows = Image.fromarray(pictures.reshape(len(pictures), -1))
        rows.save(part_file, "PNG", optimize=True)
    with whole_file(target / "capstone.json") as part_file:
        part_file.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    print(f"capstone.png: {(target / 'capstone.png').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
