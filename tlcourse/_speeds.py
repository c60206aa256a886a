"""A short timing probe: how fast this machine looks at pictures and learns from them."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tlcourse._device import own_random_numbers, synchronize
from tlcourse._steps import Stepper
from tlcourse.features import extract_features
from tlcourse.finetune import parameter_groups
from tlcourse.network import Network
from tlcourse.probe import STRENGTHS
from tlcourse.tasks import Task

_ITERATIONS = 60  # of logistic regression; seen were 10 to 60


@dataclass(frozen=True)
class Speeds:
    """What the timing probe found, in seconds.

    Attributes:
        start: To get ready to compute features.
        look: For each picture whose features are computed.
        open: To open and preprocess a picture.
        learn: For each picture in a training step of all layers.
        probe: To fit a linear probe to the features of all training pictures.
    """

    start: float
    look: float
    open: float
    learn: float
    probe: float


def measure_speeds(network: Network, task: Task, batch_size: int) -> Speeds:
    """Time a few pictures and a training step; the network is a copy that may be spoilt."""
    backbone = network.backbone
    enough = int(np.clip(28 * (224 / backbone.preprocess.crop_size) ** 2, 28, 120))
    places = np.unique(np.linspace(0, len(task.train) - 1, enough).astype(int))
    few, more = task.train.take(places[:4]), task.train.take(places)
    options = {"layers": network.layer, "cache": False, "progress": False}
    first, second = (extract_features(backbone, split, **options) for split in (few, more))
    added = max(len(more) - len(few), 1)
    look = max((second.seconds - first.seconds) / added, 0.2 * second.seconds / len(more))
    start = max(second.seconds - look * len(more), 0.0)
    began = time.perf_counter()
    opened = [backbone.preprocess(picture) for picture, _ in few]
    opening = (time.perf_counter() - began) / len(few)
    learn = _step_seconds(network, opened, batch_size) / batch_size
    width = first.x[network.layer].reshape(len(few), -1).shape[1]
    return Speeds(start, look, opening, learn, _probe_seconds(task, width))


def _step_seconds(network: Network, pictures: list[torch.Tensor], batch_size: int) -> float:
    """Seconds of a training step of all layers, after a first one."""
    device = network.backbone.device
    whole = [pictures[i % len(pictures)] for i in range(batch_size)]
    batch = torch.stack(whole).to(device, memory_format=torch.channels_last)
    labels = torch.zeros(batch_size, dtype=torch.int64, device=device)
    with own_random_numbers(0, device):
        groups = parameter_groups(network, 1e-6)
        stepper = Stepper(groups, nn.CrossEntropyLoss(), device, n_steps=3)
        network.to(memory_format=torch.channels_last).train()
        seconds = []
        for _ in range(3):
            synchronize(device)
            began = time.perf_counter()
            stepper.step(network, batch, labels)
            synchronize(device)
            seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def _probe_seconds(task: Task, width: int) -> float:
    """Seconds to fit a probe to all training pictures, from the speed of matrix products."""
    square = np.ones((512, 512))
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        square @ square
        seconds.append(time.perf_counter() - began)
    rate = 2 * 512**3 / min(seconds)  # operations per second
    n, n_classes = len(task.train), len(task.classes)
    turned = min(n, width)
    turning = 20 * n * turned * width / rate if n < width else 0.0
    each = 4 * n * turned * n_classes / rate + 1e-3  # one iteration: forward and backward
    return turning + len(STRENGTHS) * _ITERATIONS * each
