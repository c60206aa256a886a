"""What a training reads: pictures, or what a frozen part gave for them."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import nn

from tlcourse.base.machine import memory
from tlcourse.engines.pytorch import fast_copy
from tlcourse.features.features import Features, extract_features
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.networks.preprocess import Preprocess
from tlcourse.networks.tail import tail_behind
from tlcourse.networks.tap import activations
from tlcourse.networks.trace import up_to
from tlcourse.tasks.sound import Sound
from tlcourse.tasks.split import Split
from tlcourse.tasks.task import Task
from tlcourse.training.settings import Augmentation, Settings

WORTH_KEEPING = 0.25  # of the operations: a shallower part is computed faster than read
_LARGEST_KEPT = 2**31  # bytes on the disk
_MOST = {"cpu": 16, "mps": 32, "cuda": 64}  # pictures per step
_STEPS, _FEWEST = 10, 4  # steps that an epoch should have, but of so many pictures at least


@dataclass(frozen=True, eq=False)
class Source:
    """What a training reads for one split, and the network that gives logits for it."""

    network: nn.Module
    inputs: Callable[[np.ndarray], torch.Tensor]  # places of pictures (B,) -> (B, ...)
    labels: torch.Tensor  # int64 (N,), on the device


@dataclass(eq=False)
class TrainingData:
    """What a training reads, and what it took to prepare it."""

    train: Source
    val: Source
    cached_until: str | None = None  # layer from whose stored output the training begins
    features: Features | None = None  # of the task, where all of the body is frozen
    prepare_seconds: float = 0.0  # what computing the stored output took


def training_data(
    network: Network, task: Task, frozen: Sequence[str | None], settings: Settings
) -> TrainingData:
    """Decide from where a training begins: from pictures, or from a frozen part's stored output.

    `frozen` are the layers that will be the last frozen one in some epoch; None freezes nothing.
    """
    network.to(memory_format=torch.channels_last)
    backbone, layers = network.backbone, [layer for layer in frozen if layer is not None]
    fresh = fresh_views(settings.augment, task, backbone)
    train = _pictures(network, task.train, fresh)
    data = TrainingData(train, _pictures(network, task.val))
    if not settings.cache_frozen or len(layers) < len(frozen):
        return data
    layer = min(layers, key=backbone.depth)  # all up to here is frozen in every epoch
    worth = is_kept(backbone, layer, network.layer, n_pictures=len(task.train) + len(task.val))
    behind = tail_behind(network, layer) if worth else None
    if behind is None:
        return data
    tail, _ = behind
    if fresh and not tail.steps:  # a frozen body sees each view, on a copy that is faster
        body = fast_copy(backbone, [network.layer])

        def maps(places: np.ndarray) -> torch.Tensor:
            return activations(body, train.inputs(places), network.layer)[network.layer]

        data.train = Source(tail, maps, train.labels)
    extract = partial(
        extract_features, backbone, progress=settings.progress, on_batch=settings.on_step
    )
    for name in ("val",) if settings.augment else ("train", "val"):  # each epoch has new crops
        split: Split = getattr(task, name)
        if not len(split):
            continue
        if tail.steps:
            features = extract(split, layer, pool="none")
            values, _ = features.of("all", layer)
        else:  # only the head is left, so these are the features of the task
            features = data.features = data.features or extract(
                task, network.layer, pool=network.pool
            )
            values, _ = features.of(name, network.layer)
        data.prepare_seconds += features.seconds * (len(split) / len(features.y))
        labels = getattr(data, name).labels
        setattr(data, name, Source(tail, partial(_rows, values, labels.device), labels))
        if name == "train":
            data.cached_until = layer
    return data


def is_kept(backbone: Backbone, layer: str, cut: str, *, n_pictures: int = 0) -> bool:
    """Tell whether a frozen part is worth storing: up to the cut, or deep and of little room."""
    if backbone.depth(layer) >= backbone.depth(cut):
        return True
    trace, path, end = backbone.trace, backbone.layer(layer).path, backbone.layer(cut).path
    size = 4 * int(np.prod(trace[path].output_shape or ())) * n_pictures
    share = up_to(trace, path)[1] / max(up_to(trace, end)[1], 1)
    return share >= WORTH_KEEPING and size <= _LARGEST_KEPT


def default_batch_size(network: Network, n_pictures: int) -> int:
    """Pictures per training step that all of the device's memory allows, whatever is free now.

    Few pictures are learned in smaller batches, since an epoch of two or three steps teaches little.
    """
    backbone = network.backbone
    trace, kind = backbone.trace, backbone.device.type
    cut = backbone.depth(network.layer)
    holders = {path.rpartition(".")[0] for path in trace}
    values = sum(
        int(np.prod(record.output_shape))
        for path, record in trace.items()
        if 0 <= record.position <= cut
        and record.output_shape
        and path not in holders
        and path not in network.frozen_paths
    )
    whole = torch.cuda.mem_get_info(backbone.device)[1] if kind == "cuda" else memory()[0]
    room = whole // (2 if kind == "cuda" else 8)
    most = min(_MOST.get(kind, 16), max(n_pictures // _STEPS, _FEWEST))
    fitting = int(min(most, room // (4 * max(values, 1))))
    return max(2, fitting - fitting % 4 if fitting > 4 else fitting)


def shuffled(n: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Places 0 to n-1 in random order, in batches; the same for the same seed and epoch."""
    order = np.random.default_rng([seed, epoch]).permutation(n)
    parts = [order[i : i + batch_size] for i in range(0, n, batch_size)]
    if len(parts) > 1 and len(parts[-1]) == 1:  # BatchNorm cannot learn from one picture
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts


class KeptPictures:
    """Pictures of a split, decoded once and kept as far as they fit, at most `side` pixels high."""

    def __init__(self, split: Split, side: int, interpolation: str, max_bytes: int = 2**28) -> None:
        self._split, self._side, self._interpolation = split, side, interpolation
        self._kept: dict[int, Image | Sound] = {}
        self._room = max_bytes

    def __getitem__(self, place: int) -> Image | Sound:
        from torchvision.transforms.functional import InterpolationMode, resize

        if place in self._kept:
            return self._kept[place]
        opened = self._split[place][0]
        picture: Image | Sound = opened
        if isinstance(opened, Sound):  # kept as it is, to be changed before it is drawn
            size = opened.samples.nbytes
        else:
            if min(opened.size) > self._side:
                opened = resize(opened, self._side, InterpolationMode(self._interpolation))
            picture, size = opened, opened.width * opened.height * 3
        if size <= self._room:
            self._kept[place] = picture
            self._room -= size
        return picture


def fresh_views(
    augment: bool | Augmentation, task: Task, backbone: Backbone
) -> Callable[[Any], torch.Tensor] | None:
    """Return what makes a new preprocessed view of a picture; None where `augment` wants none.

    Views are changed by your own function, or as the task's pictures vary, or by random crops and
    mirror images.
    """
    if augment is False:
        return None
    change: Callable[[Any], Any] | None = task.change if augment is True else augment
    if change is None:
        return backbone.augment
    return lambda picture: backbone.preprocess(change(picture))


def _pictures(
    network: Network, split: Split, fresh: Callable[[Any], torch.Tensor] | None = None
) -> Source:
    """Read a split from its pictures, as they are or each time in a fresh view."""
    backbone, preprocess = network.backbone, network.backbone.preprocess
    transform = fresh or preprocess
    side, interpolation = sys.maxsize, "bilinear"  # a sound stays as it is
    if isinstance(preprocess, Preprocess):
        side = 2 * preprocess.crop_size if fresh else preprocess.resize_size
        interpolation = preprocess.interpolation
    kept = KeptPictures(split, side, interpolation)

    def inputs(places: np.ndarray) -> torch.Tensor:
        stacked = torch.stack([transform(kept[int(place)]) for place in places])
        return stacked.to(backbone.device, memory_format=torch.channels_last)

    return Source(network, inputs, torch.from_numpy(split.labels).to(backbone.device))


def _rows(values: np.ndarray, device: torch.device, places: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values[places]).to(device)
