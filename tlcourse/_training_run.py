"""The epochs of a training, one after the other; see `train.fit`."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tlcourse._batches import shuffled
from tlcourse._notes import say
from tlcourse._steps import Stepper
from tlcourse._training_data import TrainingData
from tlcourse.finetune import freeze
from tlcourse.history import Epoch
from tlcourse.network import Network


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
