"""One training, the same for every pattern: `fit` (notebooks 04 and 05)."""

import math
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from tlcourse.base.machine import fixed_seed, give_memory_back
from tlcourse.base.messages import say
from tlcourse.engines.pytorch import fast_batch_size
from tlcourse.features.features import Features
from tlcourse.networks.account import forward_account, training_account
from tlcourse.networks.network import Network
from tlcourse.networks.trace import meta_copy
from tlcourse.tasks.task import Task, check_task
from tlcourse.training.data import default_batch_size, shuffled, training_data
from tlcourse.training.finetune import freeze, parameter_groups
from tlcourse.training.history import Epoch, History
from tlcourse.training.settings import Settings, show_options
from tlcourse.training.step import Stepper


@partial(show_options, Settings())
def fit(network: Network, task: Task, settings: Settings | None = None, **options: Any) -> History:
    """Train what is not frozen, and keep the weights of the best epoch.

    The optimiser is AdamW; its learning rates rise during the warm-up, then fall along a cosine to
    zero. Those weights stay that have the highest validation accuracy (of equal ones, the lowest
    loss) at the end of an epoch, also if you interrupt it or the loss stops being a number.

    Frozen parts are in evaluation mode all the time. Without augmentation their output is computed
    once per picture and kept on disk, and the epochs begin from there. On a CUDA GPU it computes
    in mixed precision; if its memory is not enough, batches are cut in halves. In a thread of its
    own it cannot be repeated if other threads draw PyTorch's random numbers meanwhile.

    Args:
        network: What to train; it is changed. `tlcourse.training.finetune.freeze` says what may move.
        task: Its train split is learned, its val split chooses the epoch.
        settings: All options in one; `tlcourse.training.settings.Settings` explains each of them.
        options: Single ones by name, such as `epochs=8`, `learning_rate=1e-3` or `augment=False`.

    Raises:
        CourseError: A task or an option that nothing can be trained with; see the sentence.
        TypeError: There is no such option.
    """
    history, _ = train(network, task, (settings or Settings()).changed(**options))
    return history


def train(network: Network, task: Task, settings: Settings) -> tuple[History, Features | None]:
    """Train as `fit` does; return also the task's features, if the training began from them."""
    check_task(task, n_outputs=network.n_classes)
    with fixed_seed(settings.seed, network.backbone.device):
        run = TrainingRun(network, task, settings)
        started = time.perf_counter()
        run.go()
    data, batch_size = run.data, run.batch_size
    seconds = time.perf_counter() - started + data.prepare_seconds
    give_memory_back()
    shape = network.backbone.preprocess.shape
    at_once = fast_batch_size(network.backbone) if data.cached_until else 2 * batch_size
    history = History(
        epochs=tuple(run.epochs),
        best_epoch=run.best_epoch,
        stopped=run.stopped,
        seconds=seconds,
        prepare_seconds=data.prepare_seconds,
        memory=partial(_largest_step, meta_copy(network), shape, batch_size, at_once),
        batch_size=batch_size,
        cached_until=data.cached_until,
    )
    return history, data.features


def _largest_step(network: nn.Module, shape: tuple[int, ...], batch_size: int, at_once: int) -> int:
    """Bytes that a step of the training needs, or a forward pass between the epochs."""
    step = training_account(network.train(), shape, batch_size)
    forward = forward_account(network.eval(), shape, at_once)
    return max(step.bytes.total, forward.bytes.total)


class _NotFiniteError(Exception):
    """Ends a training whose loss is no number any more."""


class TrainingRun:
    """A training on its way: what it reads, its epochs so far, and the best weights."""

    def __init__(self, network: Network, task: Task, settings: Settings) -> None:
        self.network, self.settings = network, settings
        self.plan = dict(settings.unfreeze or {})
        for layer in filter(None, self.plan.values()):
            network.backbone.layer(layer)  # a misspelt one is told before the training begins
        self.batch_size = settings.batch_size or default_batch_size(network, len(task.train))
        frozen = {1: network.frozen_until} | self.plan
        self.data = training_data(network, task, list(frozen.values()), settings)
        groups = parameter_groups(
            network,
            settings.learning_rate,
            body_rate=settings.body_rate,
            layer_decay=settings.layer_decay,
            weight_decay=settings.weight_decay,
        )
        loss = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
        n_steps = settings.epochs * len(self._batches(0))
        device = network.backbone.device
        self.stepper = Stepper(groups, loss, device, n_steps=n_steps, warmup=settings.warmup)
        self.epochs: list[Epoch] = []
        self.best_epoch, self.stopped = 0, ""  # the best one is 0 for the weights of the start
        self.best_score = (-math.inf, -math.inf)
        self.best: dict[str, torch.Tensor] = {}

    def go(self) -> None:
        """Run the epochs, and put the best weights back."""
        mode, interrupted = self.network.training, False
        self._keep(0)
        try:
            self._run_epochs()
        except KeyboardInterrupt:
            interrupted = True
            self.stopped = f"interrupted in epoch {len(self.epochs) + 1}"
            say(f"Training was {self.stopped}; the best weights so far are kept.")
        except _NotFiniteError as error:
            self.stopped = str(error)
            say(
                f"Training stopped: {error}. Try a learning rate ten times smaller. "
                "The best weights so far are kept."
            )
        finally:
            nothing_yet = not self.best_epoch and self.best_score[0] == -math.inf
            if not (nothing_yet and interrupted):
                self.network.load_state_dict(self.best)
            self.network.train(mode)

    def _run_epochs(self) -> None:
        show, patience = self.settings.live, self.settings.patience
        if not callable(show):
            from tlcourse.plots.training import LiveCurve, in_notebook

            show = LiveCurve().update if show or (show is None and in_notebook()) else None
        if self.settings.start_counts and len(self.data.val.labels):
            val_loss, val_accuracy = self._validate()
            self.best_score = (val_accuracy, -val_loss)
        n_steps, hidden = self.stepper.n_steps, not self.settings.progress
        with tqdm(total=n_steps, desc="training", unit="step", leave=False, disable=hidden) as bar:
            for epoch in range(1, self.settings.epochs + 1):
                if epoch in self.plan:
                    freeze(self.network, self.plan[epoch])
                self._run_epoch(epoch, bar)
                if show:
                    show(tuple(self.epochs))
                if patience is not None and epoch - self.best_epoch >= patience:
                    self.stopped = f"no better epoch in {patience}, so it ended after {epoch}"
                    return

    def _run_epoch(self, epoch: int, bar: tqdm) -> None:
        started = time.perf_counter()
        self.network.train()
        total, seen = 0.0, 0
        source = self.data.train
        for places in self._batches(epoch):
            inputs, labels = source.inputs(places), source.labels[places]
            loss = self.stepper.step(source.network, inputs, labels)
            if not math.isfinite(loss):
                raise _NotFiniteError(f"the loss was {loss} at step {self.stepper.steps}")
            total, seen = total + loss * len(labels), seen + len(labels)
            bar.update()
            if self.settings.on_step:
                self.settings.on_step()
        loss, accuracy = self._validate()
        if len(self.data.val.labels) and not math.isfinite(loss):
            raise _NotFiniteError(f"the validation loss was {loss} after step {self.stepper.steps}")
        seconds = time.perf_counter() - started
        frozen_until = self.network.frozen_until
        self.epochs.append(Epoch(epoch, total / seen, loss, accuracy, seconds, frozen_until))
        bar.set_postfix_str(f"validation accuracy {accuracy:.2f}")
        if math.isnan(accuracy) or (accuracy, -loss) > self.best_score:
            self.best_score = accuracy, -loss
            self._keep(epoch)

    def _batches(self, epoch: int) -> list[np.ndarray]:
        n_train = len(self.data.train.labels)
        return shuffled(n_train, self.batch_size, self.settings.seed, epoch)

    def _validate(self) -> tuple[float, float]:
        """Loss and accuracy on the validation pictures; NaN without any."""
        source, at_once, parts = self.data.val, 2 * self.batch_size, []
        if not len(source.labels):
            return math.nan, math.nan
        self.network.eval()
        for start in range(0, len(source.labels), at_once):
            places = np.arange(start, min(start + at_once, len(source.labels)))
            with torch.no_grad():
                parts.append(source.network(source.inputs(places)).float())
            if self.settings.on_step:
                self.settings.on_step()
        logits = torch.cat(parts)
        loss = nn.functional.cross_entropy(logits, source.labels).item()
        return loss, (logits.argmax(dim=1) == source.labels).float().mean().item()

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        self.best = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
