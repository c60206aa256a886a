"""What a pattern brought and cost, and the network that it made, to use and to keep."""

import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tlcourse.errors import CourseError
from tlcourse.explain.predictions import top_k
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.grouped import grouped
from tlcourse.networks.load import load_backbone
from tlcourse.networks.network import Network
from tlcourse.tasks.pictures import open_picture

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from tlcourse.training.history import History


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


DESCRIBED = ("tlcourse", "backbone", "layer", "pool", "groups", "preprocess")
FIGURES = (
    *("pattern", "task", "classes", "val_accuracy", "test_accuracy", "interval", "seconds"),
    "trainable_parameters",
)
_FORMAT = 1
_ABOUT, _WEIGHTS = "model.json", "model.safetensors"


def describe(
    backbone: Backbone, *, layer: str, pool: str = "mean", groups: Sequence[Sequence[int]] = ()
) -> dict[str, Any]:
    """Write down all that is needed, beside the weights, to build a network again."""
    preprocess = backbone.preprocess
    return {
        "tlcourse": version("tlcourse"),
        "backbone": backbone.name,
        "layer": layer,
        "pool": pool,
        "groups": [list(group) for group in groups],
        "preprocess": {
            "resize_size": preprocess.resize_size,
            "crop_size": preprocess.crop_size,
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
            "interpolation": preprocess.interpolation,
        },
    }


def write(folder: Path, model: nn.Module, about: dict[str, Any]) -> Path:
    """Write a network and what describes it, whole or not at all; see `Result.save`."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    target = folder.expanduser()
    if target.exists() and not _may_replace(target):
        raise CourseError(
            f"{target} holds something else than a saved result. Name another folder."
        )
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    part: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
        save_file(state, part / _WEIGHTS)
        text = json.dumps({"format": _FORMAT} | about, indent=2)
        (part / _ABOUT).write_text(text + "\n", "utf-8")
        part.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        part.replace(target)
    except (OSError, SafetensorError) as error:  # the latter where the disk is full
        reason = getattr(error, "strerror", None) or error
        raise CourseError(f"The result cannot be saved in {target} ({reason}).") from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return target


def read(folder: Path, device: str | torch.device | None) -> tuple[Backbone, dict[str, Any]]:
    """Build a saved network again; see `results.load_result`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    place = folder.expanduser()
    try:
        about = json.loads((place / _ABOUT).read_text("utf-8"))
        state = load_file(place / _WEIGHTS)
    except FileNotFoundError as error:
        raise CourseError(
            f"{place} holds no saved result: it needs {_ABOUT} and {_WEIGHTS}. "
            "result.save(folder) writes them."
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise CourseError(f"The saved result in {place} is damaged ({error}).") from error
    try:
        if not isinstance(about, dict):
            raise TypeError("it is no table of names and values")
        if about["format"] != _FORMAT:
            raise CourseError(
                f"{place} was saved by another version of tlcourse (format {about['format']}, "
                f"this one reads {_FORMAT})."
            )
        for key in (*DESCRIBED, *FIGURES):
            about[key]
        return _build(about, state, device), about
    except KeyError as error:
        raise CourseError(f"{place / _ABOUT} is damaged: it does not say {error}.") from error
    except TypeError as error:
        raise CourseError(f"{place / _ABOUT} is damaged ({error}).") from error
    except RuntimeError as error:
        raise CourseError(
            f"The weights in {place} are not those of {about['backbone']}, cut at "
            f"{about['layer']!r}, with {len(about['classes'])} classes, as {_ABOUT} says. "
            "They belong to another network."
        ) from error


def _build(
    about: dict[str, Any], state: dict[str, torch.Tensor], device: str | torch.device | None
) -> Backbone:
    said = about["preprocess"]
    backbone = load_backbone(about["backbone"], pretrained=False, device=device)
    backbone = backbone.at_size(said["crop_size"])
    found = describe(backbone, layer=about["layer"])["preprocess"]
    if found != said:
        raise CourseError(
            f"The saved network was trained with another preprocessing than {backbone.name} has "
            f"here: {said}, not {found}."
        )
    classes = tuple(about["classes"])
    if about["groups"]:
        view = grouped(backbone, classes, about["groups"])
    else:
        options = {"layer": about["layer"], "pool": about["pool"]}
        view = Network(backbone, len(classes), **options).as_backbone(classes)
    view.model.load_state_dict(state)
    return view


def _may_replace(target: Path) -> bool:
    """Tell whether a folder is empty or holds an earlier result and nothing else."""
    return target.is_dir() and {path.name for path in target.iterdir()} <= {_ABOUT, _WEIGHTS}
