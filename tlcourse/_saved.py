"""A finished network in a folder: weights as safetensors, all else as JSON."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tlcourse._groups import grouped
from tlcourse.backbones import Backbone, load_backbone
from tlcourse.errors import CourseError
from tlcourse.network import Network

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
    from tlcourse import __version__

    preprocess = backbone.preprocess
    return {
        "tlcourse": __version__,
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
