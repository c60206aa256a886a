"""Features of pictures: the numbers that a layer gives for each of them.

So far: the features of the ants and bees photographs that come with the course. The photographs
themselves are of unclear licence and are not included; numbers computed from them are.
"""

from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Literal, get_args

import numpy as np

from tlcourse.errors import UnknownNameError

Weights = Literal["imagenet", "random0", "random1", "random2"]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of N labelled pictures.

    Attributes:
        x: Layer name -> float32 (N, C), averaged over the positions of the layer's map.
        y: Class of each picture, int64 (N,).
        split: "train", "val" or "test" for each picture, (N,).
        classes: Names of the classes, in the order of `y`.
        names: "folder/class/file" for each picture, so that you can find it if you have the pictures.
        logits: The network's own 1000 outputs, float32 (N, 1000); None for random weights.
        source: How they were made.
    """

    x: dict[str, np.ndarray]
    y: np.ndarray
    split: np.ndarray
    classes: tuple[str, ...]
    names: tuple[str, ...]
    logits: np.ndarray | None
    source: str

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {(self.split == n).sum()}" for n in ("train", "val", "test"))
        return (
            f"Features of {len(self.y)} pictures ({counts}), classes {', '.join(self.classes)}\n"
            f"  layers: {', '.join(f'{name} {x.shape[1]}' for name, x in self.x.items())}\n"
            f"  {self.source}"
        )


def load_features(task: str = "hymenoptera", weights: Weights = "imagenet") -> Features:
    """Load the features that come with the course; nothing is downloaded or computed.

    They were made with the default backbone and its own preprocessing (`benchmarks/features.py`)
    and are stored as 16-bit floats.

    Args:
        task: "hymenoptera", the ants and bees photographs.
        weights: "imagenet", or one of three random initialisations.

    Raises:
        UnknownNameError: There are no such features.
    """
    from safetensors import safe_open

    if task != "hymenoptera":
        raise UnknownNameError("set of shipped features", task, ["hymenoptera"])
    if weights not in get_args(Weights):
        raise UnknownNameError("set of weights", weights, get_args(Weights))

    def read(stem: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        with (
            as_file(files("tlcourse") / "data" / f"{stem}.safetensors") as path,
            safe_open(path, "numpy") as stored,
        ):
            # A safetensors file lists its tensors by name; `layers` remembers their order.
            notes = stored.metadata()
            return {k: stored.get_tensor(k) for k in notes["tensors"].split(",")}, notes

    x, notes = read(f"{task}_{weights}")
    labels, about = read(f"{task}_labels")
    return Features(
        x={name: value.astype(np.float32) for name, value in x.items()},
        y=labels["y"].astype(np.int64),
        split=np.array(["train", "val", "test"])[labels["split"]],
        classes=tuple(about["classes"].split(",")),
        names=tuple(about["names"].split("\n")),
        logits=labels["logits"].astype(np.float32) if weights == "imagenet" else None,
        source=notes["source"],
    )
