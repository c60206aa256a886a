"""Make `tlcourse/data/fashion.png`: a balanced part of Fashion-MNIST (MIT, Zalando SE).

    python -m tools.fashion /usr/share/datasets/fashion-mnist

The official files are those of Debian's package `dataset-fashion-mnist`. Of each class 200
training and 100 test pictures are drawn with a fixed seed. The PNG file holds one picture a row, in
the order of split and class.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tlcourse.base.files import whole_file
from tlcourse.tasks.fashion import CLASSES, PART, SIDE, read_official

TARGET = Path(__file__).parent.parent / "tlcourse" / "data" / "fashion.png"


def draw(folder: Path, seed: int = 0) -> np.ndarray:
    """Draw the pictures, uint8 (3000, 784)."""
    drawn = []
    for split, (pictures, labels) in read_official(folder).items():
        for label in range(len(CLASSES)):
            random = np.random.default_rng([seed, split == "test", label])
            places = random.permutation(np.flatnonzero(labels == label))
            drawn.append(pictures[places[: PART[split]]])
    return np.concatenate(drawn).reshape(-1, SIDE * SIDE)


def main(folder: Path) -> None:
    """Draw the pictures and write the file."""
    with whole_file(TARGET) as part:
        Image.fromarray(draw(folder)).save(part, "PNG", optimize=True)
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
