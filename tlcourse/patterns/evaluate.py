"""Score a pattern on the validation pictures and, once, on the test pictures."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from tlcourse import metrics
from tlcourse.features.features import Features, extract_features
from tlcourse.networks.account import forward_account
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.fast import fast_batch_size
from tlcourse.networks.network import Network
from tlcourse.networks.trace import meta_copy
from tlcourse.patterns.result import Result
from tlcourse.tasks.split import Split
from tlcourse.tasks.task import Task
from tlcourse.training.finetune import trainable

if TYPE_CHECKING:
    from tlcourse.training.history import History


def score(
    pattern: str,
    task: Task,
    layer: str,
    logits: Mapping[str, np.ndarray],
    *,
    made: Backbone | None,
    seconds: float,
    memory: Callable[[], int] | None = None,
    trainable_parameters: int = 0,
    history: "History | None" = None,
) -> Result:
    """Count what is right in the logits of the pictures, "val" and "test" -> (N, classes)."""
    predicted = {name: values.argmax(axis=1) for name, values in logits.items()}
    last = "test" if len(task.test) else "val"
    labels = getattr(task, last).labels
    confusion = metrics.confusion_matrix(predicted[last], labels, len(task.classes))
    return Result(
        pattern=pattern,
        task=task.name,
        classes=task.classes,
        layer=layer,
        note=history.stopped if history else "",
        val_accuracy=metrics.accuracy(predicted["val"], task.val.labels),
        test_accuracy=metrics.accuracy(predicted["test"], task.test.labels),
        interval=metrics.wilson_interval(int((predicted[last] == labels).sum()), len(labels)),
        balanced_accuracy=metrics.balanced_accuracy(confusion),
        confusion=confusion,
        predicted=predicted,
        seconds=seconds,
        memory=memory,
        trainable_parameters=trainable_parameters,
        history=history,
        made=made,
    )


def score_training(
    pattern: str,
    network: Network,
    task: Task,
    history: "History",
    features: Features | None,
    *,
    seconds: float = 0.0,
) -> Result:
    """Score what a training made of the features that it began from, if any.

    `seconds` is what came before the training.
    """
    made = network.as_backbone(task.classes)
    if network.frozen_until == network.layer:  # only the head is new, and the features are stored
        features = features or extract_features(
            network.backbone, task, network.layer, pool=network.pool, progress=False
        )
        logits = {name: _head_logits(network, features, name) for name in ("val", "test")}
    else:
        logits = {
            name: predict_split(made, getattr(task, name), progress=False)[0]
            for name in ("val", "test")
        }
    return score(
        pattern,
        task,
        network.layer,
        logits,
        made=made,
        seconds=history.seconds + seconds,
        trainable_parameters=trainable(network),
        history=history,
    )


def predict_split(backbone: Backbone, split: Split, *, progress: bool) -> tuple[np.ndarray, float]:
    """Return a network's logits (N, classes) of a split's pictures, and the seconds it took."""
    if not len(split):
        return np.zeros((0, len(backbone.classes))), 0.0
    features = extract_features(backbone, split, "logits", cache=False, progress=progress)
    return features.x["logits"], features.seconds


def rows_of(features: Features, split: str, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of a split; none where the task has no such pictures."""
    rows = features.split == split
    return features.x[layer][rows], features.y[rows]


def pass_memory(backbone: Backbone, model: nn.Module, *, least: int = 0) -> Callable[[], int]:
    """Return what counts the bytes of a forward pass of one batch; not less than `least`."""
    size, batch = backbone.preprocess.crop_size, fast_batch_size(backbone)
    return partial(_pass_bytes, meta_copy(model), size, batch, least)


def _pass_bytes(model: nn.Module, size: int, batch: int, least: int) -> int:
    return max(forward_account(model, (3, size, size), batch).bytes.total, least)


def _head_logits(network: Network, features: Features, split: str) -> np.ndarray:
    """Return a head's logits of a split's pictures, from the features of a frozen body."""
    values, _ = rows_of(features, split, network.layer)
    with torch.no_grad():
        return network.head(torch.from_numpy(values).to(network.backbone.device)).cpu().numpy()
