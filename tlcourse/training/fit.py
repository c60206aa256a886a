"""One training, the same for every pattern: `fit` (notebooks 04 and 05)."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tlcourse.base.device import fixed_seed
from tlcourse.base.machine import give_memory_back
from tlcourse.base.messages import say
from tlcourse.errors import CourseError
from tlcourse.networks.account import forward_account, training_account
from tlcourse.networks.fast import fast_batch_size
from tlcourse.networks.network import Network
from tlcourse.tasks.task import Task, check_task
from tlcourse.training.data import TrainingData, default_batch_size, shuffled, training_data
from tlcourse.training.finetune import freeze, parameter_groups
from tlcourse.training.history import Epoch, History
from tlcourse.training.step import Stepper


def fit(
    network: Network,
    task: Task,
    *,
    epochs: int = 8,
    learning_rate: float = 1e-3,
    body_rate: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 0.01,
    batch_size: int | None = None,
    warmup: float = 0.1,
    label_smoothing: float = 0.1,
    patience: int | None = None,
    augment: bool = False,
    unfreeze: Mapping[int, str | None] | None = None,
    cache_frozen: bool = True,
    start_counts: bool = False,
    seed: int = 0,
    live: bool | Callable[[Sequence[Epoch]], None] | None = None,
    progress: bool = True,
    on_step: Callable[[], None] | None = None,
) -> History:
    """Train what is not frozen, and keep the weights of the best epoch.

    The optimiser is AdamW. The learning rates rise during the warm-up and then fall along a cosine
    to zero. After each epoch the validation pictures are looked at; the weights with the highest
    accuracy (of equal ones, with the lowest loss) are those that stay. If you interrupt it, or the
    loss stops being a number, it ends and leaves the best weights so far.

    Frozen parts are in evaluation mode all the time. Without augmentation their output is computed
    once per picture and kept on disk, and the epochs begin from there. On a CUDA GPU it computes
    in mixed precision; if its memory is not enough, batches are cut in halves.

    It may run in a thread of its own. PyTorch's random numbers are one for the whole process: those
    that other threads draw meanwhile cannot be repeated, and at the end they are where they were at
    the beginning.

    Args:
        network: What to train; it is changed. `tlcourse.training.finetune.freeze` says what may move.
        task: Its train split is learned, its val split chooses the epoch.
        epochs: Passes over the training pictures.
        learning_rate: Highest rate of the head.
        body_rate: Of the backbone's deepest stage; by default a tenth of the head's.
        layer_decay: See `parameter_groups`.
        weight_decay: See `parameter_groups`.
        batch_size: Pictures per step; by default what this machine's memory allows, at most 16 on a
            CPU.
        warmup: Share of all steps in which the rates rise.
        label_smoothing: Share of the label that is spread over all classes; 0 for none.
        patience: Stop after so many epochs without a better one. By default it never stops early.
        augment: Show the pictures with random crops and mirror images (`backbone.augment`).
        unfreeze: Epoch -> last frozen layer from then on; see `gradual_unfreezing`.
        cache_frozen: Compute the output of the frozen part once per picture, where that is possible.
        start_counts: Look at the validation pictures before the first epoch too, and keep the
            weights of the start if no epoch is better: for a head that was fitted beforehand.
        seed: Decides the order of the pictures and the augmentation.
        live: Draw the curves while it runs; by default in a notebook. A function is called after
            each epoch instead, with the finished ones.
        progress: Show a progress bar.
        on_step: Called after each step, and after each batch of the preparation and of the looks at
            the validation pictures: whoever waits is heard within one batch. If it raises, the
            training ends with that error, and the best weights so far are put back.

    Raises:
        CourseError: A task or an option that nothing can be trained with; see the sentence.
    """
    _check(task, network, epochs, warmup, label_smoothing, patience)
    groups = parameter_groups(
        network,
        learning_rate,
        body_rate=body_rate,
        layer_decay=layer_decay,
        weight_decay=weight_decay,
    )
    batch_size = default_batch_size(network) if batch_size is None else batch_size
    if batch_size < 1:
        raise CourseError(f"batch_size is {batch_size}, but must be at least 1.")
    plan = dict(unfreeze or {})
    for layer in plan.values():
        if layer is not None:
            network.backbone.layer(layer)  # a misspelt one is told before the training begins
    started = time.perf_counter()
    with fixed_seed(seed, network.backbone.device):
        frozen = [network.frozen_until, *plan.values()] if 1 not in plan else [*plan.values()]
        data = training_data(
            network,
            task,
            frozen,
            augment=augment,
            cache_frozen=cache_frozen,
            progress=progress,
            on_batch=on_step,
        )
        options = (epochs, batch_size, label_smoothing, warmup, seed, on_step)
        run = TrainingRun(network, data, groups, *options)
        if start_counts:
            run.look_at_start()
        run.go(plan, patience, _shown_by(live), progress)
    seconds = time.perf_counter() - started - data.waited + data.prepare_seconds
    peak_bytes = _largest_step(network, batch_size, data.cached_until)
    give_memory_back()
    return History(
        epochs=tuple(run.epochs),
        best_epoch=run.best_epoch,
        stopped=run.stopped,
        seconds=seconds,
        prepare_seconds=data.prepare_seconds,
        peak_bytes=peak_bytes,
        batch_size=batch_size,
        cached_until=data.cached_until,
    )


def _shown_by(
    live: bool | Callable[[Sequence[Epoch]], None] | None,
) -> Callable[[Sequence[Epoch]], None] | None:
    """Return what is called after each epoch."""
    if callable(live):
        return live
    from tlcourse.plots.training import LiveCurve, in_notebook

    return LiveCurve().update if live or (live is None and in_notebook()) else None


def _largest_step(network: Network, batch_size: int, cached_until: str | None) -> int:
    """Bytes that a step of the training needs, or a look at other pictures between the epochs."""
    at_once = fast_batch_size(network.backbone) if cached_until else 2 * batch_size
    shape = (3, network.backbone.preprocess.crop_size, network.backbone.preprocess.crop_size)
    mode = network.training
    network.train()
    step = training_account(network, shape, batch_size).bytes.total
    network.eval()
    look = forward_account(network, shape, at_once).bytes.total
    network.train(mode)
    return max(step, look)


def _check(
    task: Task,
    network: Network,
    epochs: int,
    warmup: float,
    label_smoothing: float,
    patience: int | None,
) -> None:
    check_task(task, n_outputs=network.n_classes)
    if not isinstance(epochs, int) or epochs < 1:
        raise CourseError(f"epochs is {epochs!r}, but must be a whole number from 1 on.")
    for name, share in (("warmup", warmup), ("label_smoothing", label_smoothing)):
        if not 0 <= share < 1:
            raise CourseError(f"{name} is {share!r}, but must be a share from 0 to below 1.")
    if patience is not None and patience < 1:
        raise CourseError(f"patience is {patience!r}, but must be at least 1, or None.")


class TrainingRun:
    """A training on its way.

    Attributes:
        epochs: The finished ones.
        best_epoch: The one whose weights are kept; 0 for those of the start.
        stopped: Why it ended early; empty if it did not.
    """

    def __init__(
        self,
        network: Network,
        data: TrainingData,
        groups: list[dict[str, Any]],
        epochs: int,
        batch_size: int,
        label_smoothing: float,
        warmup: float,
        seed: int,
        on_step: Callable[[], None] | None = None,
    ) -> None:
        self.network, self.data, self.n_epochs, self.seed = network, data, epochs, seed
        self.batch_size, self.on_step = batch_size, on_step
        n_steps = epochs * len(shuffled(len(data.train_labels), batch_size, seed, 0))
        self.stepper = Stepper(
            groups,
            nn.CrossEntropyLoss(label_smoothing=label_smoothing),
            network.backbone.device,
            n_steps=n_steps,
            warmup=warmup,
        )
        self.n_steps = n_steps
        self.epochs: list[Epoch] = []
        self.best_epoch, self.stopped = 0, ""
        self.best: dict[str, torch.Tensor] = {}
        self.best_score = (-math.inf, -math.inf)

    def look_at_start(self) -> None:
        """Let the weights as they are compete with those of the epochs."""
        mode = self.network.training
        try:
            val_loss, val_accuracy = self._validate()
        finally:
            self.network.train(mode)
        if not math.isnan(val_accuracy):
            self.best_score = (val_accuracy, -val_loss)

    def go(
        self,
        plan: Mapping[int, str | None],
        patience: int | None,
        show: Callable[[Sequence[Epoch]], None] | None,
        progress: bool,
    ) -> None:
        """Run the epochs, and put the best weights back.

        Args:
            plan: Epoch -> last frozen layer from then on.
            patience: Stop after so many epochs without a better one.
            show: Called after each epoch with the finished ones.
            progress: Show a progress bar.
        """
        from tqdm.auto import tqdm

        mode = self.network.training
        self._keep(0)
        bar = tqdm(
            total=self.n_steps, desc="training", unit="step", leave=False, disable=not progress
        )
        try:
            for epoch in range(1, self.n_epochs + 1):
                if epoch in plan:
                    freeze(self.network, plan[epoch])
                self._one_epoch(epoch, bar)
                if self.stopped:
                    break
                if show:
                    show(tuple(self.epochs))
                if patience is not None and epoch - self.best_epoch >= patience:
                    self.stopped = f"no better epoch in {patience}, so it ended after {epoch}"
                    break
        except KeyboardInterrupt:
            self.stopped = f"interrupted in epoch {len(self.epochs) + 1}"
            say(f"Training was {self.stopped}; the best weights so far are kept.")
        finally:
            bar.close()
            nothing_yet = not self.best_epoch and self.best_score[0] == -math.inf
            if not (nothing_yet and self.stopped.startswith("interrupted")):
                self.network.load_state_dict(self.best)
            self.network.train(mode)

    def _one_epoch(self, epoch: int, bar: Any) -> None:
        started = time.perf_counter()
        self.network.train()
        total, seen = 0.0, 0
        for places in shuffled(len(self.data.train_labels), self.batch_size, self.seed, epoch):
            inputs, labels = self.data.train_batch(places)
            loss = self.stepper.step(self.data.train_network, inputs, labels)
            if not math.isfinite(loss):
                self._stop(f"the loss was {loss} at step {self.stepper.steps}")
                return
            total, seen = total + loss * len(labels), seen + len(labels)
            bar.update()
            if self.on_step:
                self.on_step()
        val_loss, val_accuracy = self._validate()
        if len(self.data.val_labels) and not math.isfinite(val_loss):
            self._stop(f"the validation loss was {val_loss} after step {self.stepper.steps}")
            return
        seconds = time.perf_counter() - started
        self.epochs.append(
            Epoch(epoch, total / seen, val_loss, val_accuracy, seconds, self.network.frozen_until)
        )
        bar.set_postfix_str(f"validation accuracy {val_accuracy:.2f}")
        score = (val_accuracy, -val_loss)
        if math.isnan(val_accuracy) or score > self.best_score:
            self.best_score = score
            self._keep(epoch)

    def _stop(self, why: str) -> None:
        self.stopped = why
        say(
            f"Training stopped: {why}. Try a learning rate ten times smaller. "
            "The best weights so far are kept."
        )

    def _validate(self) -> tuple[float, float]:
        labels = self.data.val_labels
        if not len(labels):
            return math.nan, math.nan
        self.network.eval()
        logits = self.data.val_logits(2 * self.batch_size, self.on_step)
        loss = nn.functional.cross_entropy(logits, labels).item()
        return loss, (logits.argmax(dim=1) == labels).float().mean().item()

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        self.best = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
