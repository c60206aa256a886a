"""What a training reads: pictures, or what a frozen part gave for them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from tlcourse.base.machine import memory
from tlcourse.features.features import extract_features
from tlcourse.networks.network import Network
from tlcourse.networks.tail import Tail, tail_behind
from tlcourse.networks.trace import up_to
from tlcourse.tasks.task import Task

WORTH_KEEPING = 0.25  # of the operations: a shallower part is computed faster than read
_LARGEST_KEPT = 2**31  # bytes on the disk
_MOST = {"cpu": 16, "mps": 32, "cuda": 64}  # pictures per step


@dataclass(eq=False)
class TrainingData:
    """Batches for training and validation, and the networks that take them.

    Attributes:
        train_network: Gives logits for what `train_batch` gives.
        train_labels: int64 (N,), on the device.
        val_labels: Likewise.
        train_batch: Places of pictures -> inputs and labels.
        val_inputs: Places of validation pictures -> inputs.
        val_network: Gives logits for them.
        cached_until: Layer from whose stored output the training begins.
        prepare_seconds: What computing that output took.
        waited: What was spent on it in this call; less where it was stored already.
    """

    train_network: nn.Module
    train_labels: torch.Tensor
    val_labels: torch.Tensor
    train_batch: Callable[[np.ndarray], tuple[torch.Tensor, torch.Tensor]]
    val_inputs: Callable[[np.ndarray], torch.Tensor]
    val_network: nn.Module
    cached_until: str | None = None
    prepare_seconds: float = 0.0
    waited: float = 0.0

    def val_logits(
        self, batch_size: int, on_batch: Callable[[], None] | None = None
    ) -> torch.Tensor:
        """Logits of the validation pictures (N, classes); the caller sets the mode."""
        places, parts = np.arange(len(self.val_labels)), []
        for start in range(0, len(places), batch_size):
            with torch.no_grad():
                inputs = self.val_inputs(places[start : start + batch_size])
                parts.append(self.val_network(inputs).float())
            if on_batch:
                on_batch()
        return torch.cat(parts)


def training_data(
    network: Network,
    task: Task,
    frozen: Sequence[str | None],
    *,
    augment: bool,
    cache_frozen: bool = True,
    progress: bool = True,
    on_batch: Callable[[], None] | None = None,
) -> TrainingData:
    """Decide from where a training begins: from pictures, or from a frozen part's stored output.

    Args:
        network: What will be trained.
        task: Train and val splits are used.
        frozen: Every layer that will be the last frozen one in some epoch; None for nothing.
        augment: New crops in each epoch, so the frozen part has to run every time for training;
            the validation pictures stay the same, so for them its output is stored all the same.
        cache_frozen: Whether to compute the output of a frozen part once per picture.
        progress: Show a progress bar while the output of the frozen part is computed.
        on_batch: Called after each batch of it.
    """
    device = network.backbone.device
    started = time.perf_counter()
    data = _from_pictures(network, task, device, augment)
    layer = _shallowest(network, frozen) if cache_frozen else None
    rest = _rest(network, layer, task) if layer else None
    if layer and rest:
        whole = not rest.steps
        pool = network.pool if whole else "none"
        splits = {"val": task.val} if augment else {"train": task.train, "val": task.val}
        for name, split in splits.items():
            if not len(split):
                continue
            found = extract_features(
                network.backbone,
                task if whole else split,
                layer,
                pool=pool,
                progress=progress,
                on_batch=on_batch,
            )
            values, _ = found.of(name if whole else "all", layer)
            data.prepare_seconds += found.seconds * (len(split) / len(found.y))

            def take(places: np.ndarray, values: np.ndarray = values) -> torch.Tensor:
                return torch.from_numpy(values[places]).to(device)

            if name == "val":
                data.val_inputs, data.val_network = take, rest
            else:
                data.train_batch = _with_labels(take, data.train_labels)
                data.train_network, data.cached_until = rest, layer
    data.waited = time.perf_counter() - started
    return data


def default_batch_size(network: Network) -> int:
    """Pictures per training step that the memory of the device allows.

    It follows from the whole memory, not from what is free just now, so that the same machine
    trains alike each time. What a frozen part gives need not be kept during a step.
    """
    backbone = network.backbone
    trace, kind = backbone.trace, backbone.device.type
    cut = trace[backbone.layer(network.layer).path].position
    holders = {path.rpartition(".")[0] for path in trace}
    values = sum(
        int(np.prod(record.output_shape))
        for path, record in trace.items()
        if record.calls
        and record.position <= cut
        and record.output_shape
        and path not in holders
        and path not in network.frozen_paths
    )
    whole = torch.cuda.mem_get_info(backbone.device)[1] if kind == "cuda" else memory()[0]
    room = whole // (2 if kind == "cuda" else 8)
    fitting = int(min(_MOST.get(kind, 16), room // (4 * max(values, 1))))
    return max(2, fitting - fitting % 4 if fitting > 4 else fitting)


def _from_pictures(
    network: Network, task: Task, device: torch.device, augment: bool
) -> TrainingData:
    backbone = network.backbone
    preprocess, crop = backbone.preprocess, backbone.preprocess.crop_size
    transform = backbone.augment if augment else preprocess
    side = 2 * crop if augment else preprocess.resize_size
    train = KeptPictures(task.train, side, preprocess.interpolation)
    val = KeptPictures(task.val, preprocess.resize_size, preprocess.interpolation)
    labels = [torch.from_numpy(split.labels).to(device) for split in (task.train, task.val)]

    def batch(pictures: KeptPictures, how: Callable, places: np.ndarray) -> torch.Tensor:
        stacked = torch.stack([how(pictures[int(i)][0]) for i in places])
        return stacked.to(device, memory_format=torch.channels_last)

    network.to(memory_format=torch.channels_last)
    return TrainingData(
        train_network=network,
        train_labels=labels[0],
        val_labels=labels[1],
        train_batch=lambda places: (batch(train, transform, places), labels[0][places]),
        val_inputs=lambda places: batch(val, preprocess, places),
        val_network=network,
    )


def _shallowest(network: Network, frozen: Sequence[str | None]) -> str | None:
    """Return the layer up to which all is frozen in every epoch."""
    if not frozen or None in frozen:
        return None
    trace = network.backbone.trace
    return min(
        (f for f in frozen if f), key=lambda f: trace[network.backbone.layer(f).path].position
    )


def _rest(network: Network, layer: str, task: Task) -> Tail | None:
    """Return what is trained behind a frozen layer, if its output is worth keeping."""
    trace, backbone = network.backbone.trace, network.backbone
    path, cut = backbone.layer(layer).path, backbone.layer(network.layer).path
    if trace[path].position >= trace[cut].position:
        return Tail(network, [])
    shape = trace[path].output_shape or ()
    size = 4 * int(np.prod(shape)) * (len(task.train) + len(task.val))
    share = up_to(trace, path)[1] / max(up_to(trace, cut)[1], 1)
    if share < WORTH_KEEPING or size > _LARGEST_KEPT:
        return None
    found = tail_behind(network, layer)
    return found[0] if found else None


def _with_labels(
    take: Callable[[np.ndarray], torch.Tensor], labels: torch.Tensor
) -> Callable[[np.ndarray], tuple[torch.Tensor, torch.Tensor]]:
    return lambda places: (take(places), labels[places])


class KeptPictures(Sequence[tuple[Any, int]]):
    """Pictures of a split that are opened once and then kept, made smaller, as far as they fit.

    An epoch after the first need not decode them again. Each is kept with its shorter side at most
    `side` pixels long: enough for a crop to be taken from it.
    """

    def __init__(self, split: Any, side: int, interpolation: str, max_bytes: int = 2**28) -> None:
        self._split, self._side, self._interpolation = split, side, interpolation
        self._kept: dict[int, Any] = {}
        self._room = max_bytes

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: Any) -> tuple[Any, int]:
        label = int(self._split.labels[index])
        if index in self._kept:
            return self._kept[index], label
        picture = self._smaller(self._split[index][0])
        size = picture.width * picture.height * 3
        if size <= self._room:
            self._kept[index] = picture
            self._room -= size
        return picture, label

    def _smaller(self, picture: Any) -> Any:
        from torchvision.transforms import functional as F
        from torchvision.transforms.functional import InterpolationMode

        if min(picture.size) <= self._side:
            return picture
        return F.resize(picture, self._side, InterpolationMode(self._interpolation))


def shuffled(n: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Places 0 to n-1 in random order, in batches; the same for the same seed and epoch.

    A last batch of one picture is joined to the one before it: BatchNorm cannot learn from one.
    """
    order = np.random.default_rng([seed, epoch]).permutation(n)
    parts = [order[i : i + batch_size] for i in range(0, n, batch_size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts
