"""Fashion-MNIST: grey photographs of clothes, a part that comes along and all of them.

Reference: Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747.
"""

import gzip
import struct
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tlcourse.errors import CourseError
from tlcourse.tasks.download import find_folder

CLASSES = (
    "T-shirt",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
SIDE = 28  # pixels
PART = {"train": 200, "test": 100}  # pictures per class that come along
_FILE_NAMES = {"train": "train", "test": "t10k"}  # the beginning of the official files' names
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")

Pictures = dict[str, tuple[np.ndarray, np.ndarray]]  # split -> uint8 (N, 28, 28), labels (N,)


def read_part() -> Pictures:
    """The part that comes along: one picture a row, first of all classes those for training."""
    content = (files("tlcourse") / "data" / "fashion.png").read_bytes()
    rows = np.asarray(Image.open(BytesIO(content))).reshape(-1, SIDE, SIDE)
    n_train = PART["train"] * len(CLASSES)
    pictures = {"train": rows[:n_train], "test": rows[n_train:]}
    labels = {split: np.repeat(np.arange(len(CLASSES)), n) for split, n in PART.items()}
    return {split: (pictures[split], labels[split]) for split in PART}


def read_all() -> Pictures:
    """All 70,000, from the files of Debian's package or of torchvision's `FashionMNIST`.

    Raises:
        CourseError: They are not on this machine, or are damaged.
    """
    found = (find_folder(name) for name in ("FashionMNIST/raw", "fashion-mnist"))
    folder = next(filter(None, found), _DEBIAN)
    if not folder.is_dir():
        raise CourseError(
            "The 70,000 pictures of Fashion-MNIST are not on this machine. Put the folder that "
            "torchvision.datasets.FashionMNIST(root, download=True) makes into TLCOURSE_DATA or "
            'the cache, or take the part that comes along: load_task("fashion").'
        )
    return read_official(folder)


def read_official(folder: Path) -> Pictures:
    """Read the four official files, packed or not."""
    return {
        split: (
            _read(folder, f"{start}-images-idx3-ubyte", (SIDE, SIDE)),
            _read(folder, f"{start}-labels-idx1-ubyte", ()).astype(np.int64),
        )
        for split, start in _FILE_NAMES.items()
    }


def _read(folder: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read an IDX file: a number for its kind, its sizes, then its bytes."""
    plain, packed = folder / name, folder / f"{name}.gz"
    try:
        content = plain.read_bytes() if plain.is_file() else gzip.decompress(packed.read_bytes())
        sizes = struct.unpack_from(f">{1 + len(shape)}I", content, 4)
        values = np.frombuffer(content, np.uint8, offset=8 + 4 * len(shape)).reshape(sizes)
    except (OSError, EOFError, struct.error, ValueError) as error:
        raise CourseError(
            f"{plain} cannot be read ({error}). Fetch the files of Fashion-MNIST again."
        ) from error
    if sizes[1:] != shape:
        raise CourseError(f"{plain} holds {sizes[1:]} values a picture instead of {shape}.")
    return values
