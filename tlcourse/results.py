"""What a pattern brought and cost, and the network that it made, to use and to keep."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tlcourse._pictures import open_picture
from tlcourse._saved import DESCRIBED, read, write
from tlcourse.backbones import Backbone
from tlcourse.errors import CourseError
from tlcourse.predictions import top_k

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from tlcourse.history import History


@dataclass(frozen=True, eq=False)
class Result:
    """One pattern on one task.

    Attributes:
        pattern: "classifier", "standalone_extractor", "frozen_extractor", "fine_tune" or
            "from_scratch".
        task: Name of the task.
        classes: Its classes; label i means `classes[i]`.
        layer: Where the backbone was cut.
        applicable: False if the pattern cannot solve this task; then there is no accuracy.
        note: Why not; or what else there is to say.
        val_accuracy: Top-1 accuracy on the validation split, which also chose (epoch, strength).
        test_accuracy: Top-1 accuracy on the test split, which chose nothing.
        interval: Wilson's 95 % interval of the test accuracy (of the validation accuracy where
            there is no test picture).
        balanced_accuracy: Mean over the classes of the share that is right, on the same pictures.
        confusion: Counts (classes, classes) on the same pictures; a row for each true class.
        predicted: "val" and "test" -> label that it gives to each picture, (N,).
        seconds: From the pictures to the finished network; looking at the test split not counted.
            Features that were stored already count as if they had been computed. "classifier" has
            nothing to finish: for it, the seconds to look at the validation pictures.
        peak_bytes: Memory that its largest step needs, the sum over all owners (`tlcourse.cost`).
            It does not depend on what else the process holds.
        trainable_parameters: How many numbers were learned.
        history: The epochs, where there were any.
        network: What was made: a `Network`, or the backbone's own for "classifier".
        about: How it was made; `save` writes it down.
    """

    pattern: str
    task: str
    classes: tuple[str, ...]
    layer: str
    applicable: bool = True
    note: str = ""
    val_accuracy: float = math.nan
    test_accuracy: float = math.nan
    interval: tuple[float, float] = (0.0, 1.0)
    balanced_accuracy: float = math.nan
    confusion: np.ndarray | None = field(default=None, repr=False)
    predicted: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    seconds: float = 0.0
    peak_bytes: int = 0
    trainable_parameters: int = 0
    history: "History | None" = field(default=None, repr=False)
    network: Backbone | None = field(default=None, repr=False)
    about: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def backbone(self) -> Backbone:
        """The finished network as a backbone: tap it, explain it, let it predict.

        Raises:
            CourseError: The pattern was not applicable, so there is none.
        """
        if self.network is None:
            raise CourseError(f"Pattern {self.pattern!r} made no network: {self.note}")
        return self.network

    def predict(self, picture: "Image | str | Path | torch.Tensor") -> "pd.DataFrame":
        """Classify one picture.

        Args:
            picture: A PIL image, the path of a picture file, or a preprocessed tensor (3, H, W).

        Returns:
            One row per class: `class` and `probability`, most probable first.
        """
        if isinstance(picture, str | Path):
            picture = open_picture(picture)
        return top_k(self.backbone, picture, len(self.classes))

    def save(self, folder: str | Path) -> Path:
        """Write `model.safetensors` and `model.json` into a folder, whole or not at all.

        A folder that holds an earlier result is replaced; any other one is left alone.

        Raises:
            CourseError: The folder holds something else, or cannot be written to.
        """
        return write(Path(folder), self.backbone.model, self.about | self._figures())

    def _figures(self) -> dict[str, Any]:
        return {
            "pattern": self.pattern,
            "task": self.task,
            "classes": list(self.classes),
            "layer": self.layer,
            "val_accuracy": None if math.isnan(self.val_accuracy) else self.val_accuracy,
            "test_accuracy": None if math.isnan(self.test_accuracy) else self.test_accuracy,
            "interval": list(self.interval),
            "seconds": self.seconds,
            "trainable_parameters": self.trainable_parameters,
        }

    def __repr__(self) -> str:
        if not self.applicable:
            return f"{self.pattern} on {self.task!r}: not applicable. {self.note}"
        low, high = self.interval
        on = "test" if not math.isnan(self.test_accuracy) else "validation"
        value = self.test_accuracy if on == "test" else self.val_accuracy
        return (
            f"{self.pattern} on {self.task!r}, cut at {self.layer!r}\n"
            f"  {on} accuracy {value:.3f} (95 % interval {low:.3f} to {high:.3f}), "
            f"validation accuracy {self.val_accuracy:.3f}\n"
            f"  {self.trainable_parameters:,} numbers learned, {self.seconds:.1f} s, "
            f"memory {self.peak_bytes / 2**20:.0f} MiB"
        )


def load_result(folder: str | Path, device: str | torch.device | None = None) -> Result:
    """Load what `Result.save` wrote; it predicts as before.

    Args:
        folder: The folder.
        device: See `resolve_device`.

    Raises:
        CourseError: There is no saved result, it is damaged, or its weights are those of another
            network than it says.
    """
    network, about = read(Path(folder), device)
    nan = math.nan
    return Result(
        pattern=about["pattern"],
        task=about["task"],
        classes=tuple(about["classes"]),
        layer=about["layer"],
        val_accuracy=nan if about["val_accuracy"] is None else about["val_accuracy"],
        test_accuracy=nan if about["test_accuracy"] is None else about["test_accuracy"],
        interval=tuple(about["interval"]),
        seconds=about["seconds"],
        trainable_parameters=about["trainable_parameters"],
        network=network,
        about={key: about[key] for key in DESCRIBED},
    )
