"""Checks that catch what goes wrong without an error (notebooks 03 to 05, and your own work).

Each one returns a `Proof` that says what was checked, or raises `ProofError` with what is wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import torch
from torch import nn

from tlcourse.errors import CourseError
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.networks.tap import in_mode
from tlcourse.tasks.split import SPLITS
from tlcourse.tasks.task import Task
from tlcourse.training.finetune import trainable

if TYPE_CHECKING:
    from PIL.Image import Image

State = Mapping[str, torch.Tensor]
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of a BatchNorm


class ProofError(CourseError):
    """Something is not as it should be; the message says what, and where to look."""


@dataclass(frozen=True, repr=False)
class Proof:
    """What was checked and found right, in one sentence."""

    text: str

    def __repr__(self) -> str:
        return f"Checked: {self.text}"


def snapshot(network: nn.Module | Backbone) -> dict[str, torch.Tensor]:
    """Copy all parameters and buffers of a network, to compare with later."""
    model = network.model if isinstance(network, Backbone) else network
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def unchanged(before: State, network: nn.Module | Backbone) -> Proof:
    """Prove that no parameter and no buffer of a network has changed, not even in the last bit.

    Args:
        before: What `snapshot` gave.
        network: The network now.

    Raises:
        ProofError: Something changed; the first names are listed.
    """
    return _same(before, snapshot(network), list(before), "the network")


def frozen_part_unchanged(before: State, network: Network) -> Proof:
    """Prove that training left the frozen part as it was: parameters and BatchNorm's buffers.

    Args:
        before: What `snapshot(network)` gave before the training.
        network: The network after it; `network.frozen_until` says what is frozen.

    Raises:
        ProofError: Nothing is frozen, or something of the frozen part changed or may learn.
    """
    if network.frozen_until is None:
        raise ProofError("Nothing is frozen. tl.finetune.freeze(network, layer) freezes up to it.")
    frozen = {f"body.{path}" if path else "body" for path in network.frozen_paths}
    names = [name for name in before if name.rpartition(".")[0] in frozen]
    parameters = dict(network.named_parameters())
    learning = [name for name in names if name in parameters and parameters[name].requires_grad]
    if learning:
        raise ProofError(f"{_some(learning)} should be frozen, but may still learn.")
    return _same(before, snapshot(network), names, f"the part up to {network.frozen_until!r}")


def head_fits(network: Network, task: Task, n_trainable: int | None = None) -> Proof:
    """Prove that the head has an output for each class, and count the parameters that may learn.

    Args:
        network: Two pictures of zeros are sent through it.
        task: Its classes are counted.
        n_trainable: How many parameters you expect training to change.

    Raises:
        ProofError: The head has other outputs, or another number of parameters may learn.
    """
    shape = network.backbone.preprocess.shape
    zeros = torch.zeros(2, *shape, device=network.backbone.device)
    with in_mode(network), torch.no_grad():
        shape = tuple(network(zeros).shape)
    if shape != (2, len(task.classes)):
        raise ProofError(
            f"For 2 pictures the network gives {shape}, but the task has {len(task.classes)} "
            f"classes, so it should give {(2, len(task.classes))}. Make a head that fits."
        )
    learning = trainable(network)
    if n_trainable is not None and learning != n_trainable:
        raise ProofError(
            f"{learning:,} parameters may learn, you expected {n_trainable:,}. "
            "Check `requires_grad` of the parameters."
        )
    return Proof(
        f"{len(task.classes)} outputs, one for each class; {learning:,} parameters may learn."
    )


def preprocessing_matches(
    backbone: Backbone, prepare: Callable[["Image"], torch.Tensor], picture: "Image"
) -> Proof:
    """Prove that you prepare a picture in the same way as those that the weights were trained on.

    Args:
        backbone: Its own preprocessing is what to compare with.
        prepare: Turns a PIL image into a tensor (3, H, W).
        picture: A coloured picture that is not square; others hide some mistakes.

    Raises:
        ProofError: Shape or values differ.
    """
    expected, own = backbone.preprocess(picture), prepare(picture)
    if tuple(own.shape) != tuple(expected.shape):
        raise ProofError(
            f"Your tensor has shape {tuple(own.shape)}, the weights' own preprocessing gives "
            f"{tuple(expected.shape)}. Compare the steps with {backbone.preprocess}."
        )
    difference = (own.float() - expected).abs().max().item()
    sounds = backbone.preprocess.kind == "sounds"
    scale = expected.abs().max().item() if sounds else backbone.of_pictures.scale
    if not difference <= 0.02 * scale:  # NaN is not
        raise ProofError(
            f"Your values go from {own.min():.2f} to {own.max():.2f}, those of the weights' own "
            f"preprocessing from {expected.min():.2f} to {expected.max():.2f}; they differ by up "
            f"to {difference:.2f}. Compare the steps with {backbone.preprocess}."
        )
    return Proof(f"your preprocessing and that of {backbone.name} give the same tensor.")


def no_shared_pictures(task: Task) -> Proof:
    """Prove that no picture is in two splits, by the content of the pictures.

    Raises:
        ProofError: Some are; their names are listed.
    """
    split_of: dict[str, str] = {}
    shared = []
    for split in SPLITS:
        pictures = getattr(task, split)
        for name, digest in zip(pictures.names, pictures.digests(), strict=True):
            first = split_of.setdefault(digest, split)
            if first != split:
                shared.append(f"{name} ({split} and {first})")
    if shared:
        raise ProofError(
            f"{len(shared)} pictures are in two splits: {_some(shared)}. An accuracy on them says "
            "nothing of new pictures."
        )
    counts = ", ".join(f"{name} {len(getattr(task, name))}" for name in SPLITS)
    return Proof(f"{counts}: no picture is in two splits.")


def labels_match(task: Task) -> Proof:
    """Prove that label i means `task.classes[i]`, by the folder or kind in each picture's name.

    Raises:
        ProofError: A picture has the label of another class, or a label is out of range.
    """
    names = dict(enumerate(task.classes))
    n = 0
    for split in SPLITS:
        pictures = getattr(task, split)
        for path, label in zip(pictures.names, pictures.labels, strict=True):
            folders = PurePosixPath(path).parts[:-1]
            if names.get(label) not in folders:
                raise ProofError(
                    f"{path} in {split} has label {label} ({names.get(label, 'no class')!r}), but "
                    f"its name says {'/'.join(folders)!r}. Are the classes in another order than "
                    "the labels?"
                )
            n += 1
    pairs = ", ".join(f"{i} = {name}" for i, name in enumerate(task.classes[:8]))
    return Proof(f"{n} labels say what the pictures' names say: {pairs}.")


def _same(before: State, now: State, names: Sequence[str], what: str) -> Proof:
    if not names:
        raise ProofError(f"The snapshot holds nothing of {what}. Take it of the same network.")
    moved = [name for name in names if name not in now or not torch.equal(before[name], now[name])]
    if moved:
        buffers = [name for name in moved if name.endswith(_STATISTICS)]
        text = f"{len(moved)} of {len(names)} tensors of {what} changed: {_some(buffers or moved)}."
        if buffers:
            text += (
                " These are BatchNorm statistics: they move in training mode, without any "
                "gradient. Put the frozen part into evaluation mode."
            )
        raise ProofError(text)
    n = sum(name.endswith(_STATISTICS) for name in names)
    return Proof(
        f"{what}: {len(names)} tensors, {n} of them BatchNorm statistics, are bit for bit the same."
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
