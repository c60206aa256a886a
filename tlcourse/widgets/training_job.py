"""A training that somebody asked for and may stop, and how far it has come."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tlcourse.base.durations import in_words
from tlcourse.base.messages import notes_to
from tlcourse.errors import CourseError, check_whole
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.tasks.task import Task, check_task
from tlcourse.training.data import shuffled
from tlcourse.training.fit import fit
from tlcourse.training.history import Epoch
from tlcourse.widgets.explorer import Stale
from tlcourse.widgets.training_runs import TrainingCurve


class _StoppedError(Exception):
    """Nobody wants the training any more."""


@dataclass(eq=False)
class Job:
    """A training that was asked for.

    Attributes:
        curve: What is known of it so far.
        network: What is trained; let go of when the training begins.
        task, epochs, learning_rate, body_rate, batch_size, seed: As `fit` takes them.
        stop: Set it to end the training within one batch.
        prepared: Batches of the frozen part that are computed.
        done: Steps that are done.
    """

    curve: TrainingCurve
    network: Network | None
    task: Task
    epochs: int
    learning_rate: float
    body_rate: float
    batch_size: int
    seed: int
    stop: threading.Event = field(default_factory=threading.Event)
    prepared: int = 0
    done: int = 0

    def train(
        self, stale: Stale, show: Callable[[str], None], keep: Callable[[TrainingCurve], None]
    ) -> list[str]:
        """Train, and return the notes that `fit` made.

        Args:
            stale: Tells whether nobody wants the training any more.
            show: Called after each batch with how far it is.
            keep: Called when there is something new of the curve.
        """
        network, self.network = self.network, None
        assert network is not None, "a job is done once"
        notes: list[str] = []
        self._began = self._first_step = time.monotonic()
        note = "an error"

        def listen() -> None:
            self.count(network.training)
            if self.stop.is_set() or stale():
                raise _StoppedError
            show(self.progress(network.training))

        def finish_epoch(epochs: Sequence[Epoch]) -> None:
            self.curve = replace(self.curve, accuracies=tuple(e.val_accuracy for e in epochs))
            keep(self.curve)

        show(self.progress(False))
        try:
            with notes_to(notes.append):
                note = fit(
                    network,
                    self.task,
                    epochs=self.epochs,
                    learning_rate=self.learning_rate,
                    body_rate=self.body_rate,
                    batch_size=self.batch_size,
                    seed=self.seed,
                    live=finish_epoch,
                    progress=False,
                    on_step=listen,
                ).stopped
        except _StoppedError:
            where = f"in epoch {self.epoch}" if self.done else "before the first step"
            note = f"stopped {where}"
        finally:
            self.curve = replace(self.curve, seconds=time.monotonic() - self._began, note=note)
            keep(self.curve)
        return notes

    def count(self, training: bool) -> None:
        """Note that a batch is done: one of a training step, or another one."""
        if training:
            self.done += 1
        elif not self.done:
            self.prepared += 1
            self._first_step = time.monotonic()  # at the earliest

    @property
    def epoch(self) -> int:
        """The epoch that is on its way, from 1 on; 0 before the first step."""
        return -(-self.done // self.steps)

    @cached_property
    def steps(self) -> int:
        """Steps of one epoch."""
        return steps_of(self.task, self.batch_size)

    def progress(self, training: bool) -> str:
        """Show what has gone by; how long the rest will take follows from that alone."""
        now, share = time.monotonic(), self.done / (self.epochs * self.steps)
        doing, left = "Getting ready", ""
        if self.done:
            step = f"step {self.done - (self.epoch - 1) * self.steps} of {self.steps}"
            where = step if training else "validation pictures"
            doing = f"Epoch {self.epoch} of {self.epochs}, {where}"
            seconds = round((now - self._first_step) * (1 / share - 1))
            left = f", about {f'{seconds} s' if seconds < 10 else in_words(seconds)} left"
        elif self.prepared:
            doing = f"Computing what the frozen part gives, batch {self.prepared}"
        sentence = f"{doing}; {in_words(now - self._began)} so far{left}"
        return bar(self.curve.name, share or None, sentence)


def bar(name: str, share: float | None, sentence: str) -> str:
    """A progress bar and what is said beside it; without a share it only moves."""
    value = "" if share is None else f'value="{share:.2f}" '
    return (
        f'<progress {value}aria-label="{name}" style="width:14em;max-width:100%;'
        'vertical-align:middle;accent-color:var(--jp-brand-color1, #0072B2)"></progress> '
        f"{sentence}"
    )


def steps_of(task: Task, batch_size: int) -> int:
    """Steps of one epoch."""
    return len(shuffled(len(task.train), batch_size, 0, 0))


def check_training(backbone: Any, task: Task, *, batch_size: int, seed: int) -> None:
    """Refuse what no training can be made of, in one sentence."""
    if not isinstance(backbone, Backbone):
        raise CourseError(
            f"A backbone is needed, not {type(backbone).__name__}. Load one with "
            "tl.load_backbone()."
        )
    check_task(task)
    if not len(task.val):
        raise CourseError(
            f"Task {task.name!r} has no validation pictures, so there is nothing to draw. Load it "
            "with val_fraction=0.2."
        )
    check_whole("batch_size", batch_size, least=2)
    check_whole("seed", seed, least=0, most=2**64 - 1)
