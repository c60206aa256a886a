"""Look for a learning rate: make it grow and watch the loss (notebook 05)."""

import copy
import math
from dataclasses import dataclass

import numpy as np
from torch import nn
from tqdm.auto import tqdm

from tlcourse.base.machine import fixed_seed, give_memory_back
from tlcourse.errors import CourseError, check_whole
from tlcourse.networks.network import Network
from tlcourse.tasks.task import Task, check_task
from tlcourse.training.data import default_batch_size, shuffled, training_data
from tlcourse.training.finetune import parameter_groups
from tlcourse.training.settings import Augmentation, Settings, check_rates
from tlcourse.training.step import Stepper


@dataclass(frozen=True, eq=False)
class RateSearch:
    """The loss while the learning rate grew (Smith 2015, arXiv:1506.01186)."""

    rates: np.ndarray  # of the head, at each step
    losses: np.ndarray  # on the training pictures, at each step
    smooth: np.ndarray  # the same, averaged over the last steps
    suggestion: float  # a rate to begin with: a tenth of the one where the loss was lowest


def find_learning_rate(
    network: Network,
    task: Task,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 40,
    batch_size: int | None = None,
    layer_decay: float = 1.0,
    augment: bool | Augmentation = False,
    seed: int = 0,
    progress: bool = True,
) -> RateSearch:
    """Try ever larger learning rates, one step each, on a copy; the network stays as it is.

    Args:
        network: What will be trained, with what is frozen.
        task: Its train split is used.
        lowest: First rate of the head; the body gets a tenth, as in `fit`.
        highest: Last rate; it ends earlier once the loss has become four times the lowest.
        steps: How many rates, evenly spread on a logarithmic scale.
        batch_size: See `fit`.
        layer_decay: See `parameter_groups`.
        augment: See `fit`.
        seed: Decides the order of the pictures.
        progress: Show a progress bar.
    """
    check_rates(lowest=lowest, highest=highest)
    if lowest >= highest:
        raise CourseError(f"lowest is {lowest!r}, but must be below highest, {highest!r}.")
    check_whole("steps", steps, least=2)
    check_task(task, n_outputs=network.n_classes)
    twin = copy.deepcopy(network)
    if batch_size is None:
        batch_size = default_batch_size(network, len(task.train))
    rates = np.geomspace(lowest, highest, steps)
    losses: list[float] = []
    smooth: list[float] = []
    batches: list[np.ndarray] = []
    with fixed_seed(seed, network.backbone.device):
        settings = Settings(augment=augment, progress=progress)
        source = training_data(twin, task, [twin.frozen_until], settings).train
        groups = parameter_groups(twin, 1.0, layer_decay=layer_decay)
        stepper = Stepper(groups, nn.CrossEntropyLoss(), network.backbone.device)
        twin.train()
        for i, rate in enumerate(tqdm(rates, desc="rates", leave=False, disable=not progress)):
            batches = batches or shuffled(len(source.labels), batch_size, seed, i)
            places = batches.pop()
            inputs, labels = source.inputs(places), source.labels[places]
            loss = stepper.step(source.network, inputs, labels, rate=rate)
            if not math.isfinite(loss) or (smooth and loss > 4 * min(smooth)):
                break
            losses.append(loss)
            smooth.append(float(np.mean(losses[-5:])))
    give_memory_back()
    if len(losses) < 2:
        raise CourseError("The loss is not finite from the start; choose a smaller `lowest`.")
    best = float(rates[int(np.argmin(smooth))])
    return RateSearch(rates[: len(losses)], np.array(losses), np.array(smooth), best / 10)
