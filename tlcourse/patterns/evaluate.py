"""Count what a pattern gets right, on the validation pictures and, once, on the test pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from tlcourse import metrics
from tlcourse.features.features import Features, extract_features
from tlcourse.networks.account import forward_account
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.fast import fast_batch_size
from tlcourse.networks.network import Network
from tlcourse.patterns.result import Result, describe
from tlcourse.tasks.task import Task
from tlcourse.training.finetune import trainable
from tlcourse.training.history import History


def trained(
    pattern: str,
    network: Network,
    task: Task,
    backbone: Backbone,
    history: History,
    *,
    seconds: float = 0.0,
) -> Result:
    """Look at what a training made: validation and test pictures, once.

    `seconds` is what came before the training.
    """
    view = network.as_backbone(task.classes)
    if network.frozen_until == network.layer:  # its features are stored: only the head is new
        logits = _head_on_features(network, task, backbone)
    else:
        logits, _ = look(view, task, progress=False)
    return counted(
        pattern,
        task,
        network.layer,
        logits,
        note=history.stopped,
        seconds=history.seconds + seconds,
        peak_bytes=history.peak_bytes,
        trainable_parameters=trainable(network),
        history=history,
        network=view,
        about=describe(backbone, layer=network.layer, pool=network.pool),
    )


def _head_on_features(network: Network, task: Task, backbone: Backbone) -> dict[str, np.ndarray]:
    """Return a head's logits of the val and test pictures, from the features of a frozen body."""
    found = extract_features(backbone, task, network.layer, pool=network.pool, progress=False)
    logits = {}
    with torch.no_grad():
        for name in ("val", "test"):
            x = torch.from_numpy(np.array(rows_of(found, name, network.layer)[0]))
            logits[name] = network.head(x.to(backbone.device)).cpu().numpy()
    return logits


def look(
    network: Backbone, task: Task, *, progress: bool
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return a network's logits of the val and test pictures, and the seconds for each split."""
    logits, seconds = {}, {}
    for name in ("val", "test"):
        split = getattr(task, name)
        logits[name], seconds[name] = np.zeros((0, len(task.classes))), 0.0
        if len(split):
            found = extract_features(network, split, "logits", cache=False, progress=progress)
            logits[name], seconds[name] = found.x["logits"], found.seconds
    return logits, seconds


def counted(
    pattern: str, task: Task, layer: str, logits: Mapping[str, np.ndarray], **rest: Any
) -> Result:
    """Count what was right."""
    predicted = {name: values.argmax(axis=1) for name, values in logits.items()}
    last = "test" if len(task.test) else "val"
    labels = getattr(task, last).labels
    confusion = metrics.confusion_matrix(predicted[last], labels, len(task.classes))
    return Result(
        pattern=pattern,
        task=task.name,
        classes=task.classes,
        layer=layer,
        val_accuracy=metrics.accuracy(predicted["val"], task.val.labels),
        test_accuracy=metrics.accuracy(predicted["test"], task.test.labels),
        interval=metrics.wilson_interval(int((predicted[last] == labels).sum()), len(labels)),
        balanced_accuracy=metrics.balanced_accuracy(confusion),
        confusion=confusion,
        predicted=predicted,
        **rest,
    )


def rows_of(found: Features, split: str, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Features of a split; none of them where the task has no such pictures."""
    if split in found.split:
        return found.of(split, layer)
    return found.x[layer][:0], found.y[:0]


def forward_bytes(backbone: Backbone, model: nn.Module) -> int:
    """Bytes that a look at one batch of pictures needs."""
    size = backbone.preprocess.crop_size
    return forward_account(model, (3, size, size), fast_batch_size(backbone)).bytes.total


def standalone_bytes(backbone: Backbone, network: Network, found: Features, layer: str) -> int:
    """Bytes of the extraction, or of the tables that the probe is fitted to, if they are more."""
    n_train, width = found.of("train", layer)[0].shape
    weights = sum(p.nbytes for p in network.parameters())
    tables = found.x[layer].nbytes + 2 * 8 * n_train * width  # as read, and in double precision
    return max(forward_bytes(backbone, network), weights + tables)
