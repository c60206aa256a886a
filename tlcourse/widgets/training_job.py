"""A training that somebody asked for and may stop, and how far it has come."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tlcourse.base.durations import in_words
from tlcourse.base.messages import notes_to
from tlcourse.networks.network import Network
from tlcourse.tasks.task import Task
from tlcourse.training.data import shuffled
from tlcourse.training.fit import fit
from tlcourse.training.history import Epoch
from tlcourse.training.settings import Settings
from tlcourse.widgets.explorer import Stale
from tlcourse.widgets.training_runs import TrainingCurve


class _StoppedError(Exception):
    """Nobody wants the training any more."""


@dataclass(eq=False)
class Job:
    """A training that was asked for, and how far it has come."""

    curve: TrainingCurve  # what is known of it so far
    network: Network | None  # let go of when the training begins
    task: Task
    settings: Settings  # with a batch size
    stop: threading.Event = field(default_factory=threading.Event)  # ends it within one batch
    prepared: int = 0  # batches of the frozen part that are computed
    done: int = 0  # steps

    def train(
        self, stale: Stale, show: Callable[[str], None], keep: Callable[[TrainingCurve], None]
    ) -> list[str]:
        """Train, and return the notes that `fit` made.

        After each batch `show` is called with how far it is, and `keep` with a curve that has grown
        or ended.
        """
        network, self.network = self.network, None
        assert network is not None, "a job is done once"
        notes: list[str] = []
        self._began = self._first_step = time.monotonic()
        note = "an error"

        def listen() -> None:
            if network.training:
                self.done += 1
            elif not self.done:
                self.prepared += 1
                self._first_step = time.monotonic()  # at the earliest
            if self.stop.is_set() or stale():
                raise _StoppedError
            show(self.progress(training=network.training))

        def finish_epoch(epochs: Sequence[Epoch]) -> None:
            self.curve = replace(self.curve, accuracies=tuple(e.val_accuracy for e in epochs))
            keep(self.curve)

        try:
            show(self.progress())
            with notes_to(notes.append):
                options = {"live": finish_epoch, "on_step": listen}
                note = fit(network, self.task, self.settings, **options).stopped
        except _StoppedError:
            note = f"stopped {f'in epoch {self.epoch}' if self.done else 'before the first step'}"
        finally:
            self.curve = replace(self.curve, seconds=time.monotonic() - self._began, note=note)
            keep(self.curve)
        return notes

    @property
    def epoch(self) -> int:
        """The epoch that is on its way, from 1 on; 0 before the first step."""
        return -(-self.done // self.steps)

    @cached_property
    def steps(self) -> int:
        """Steps of one epoch."""
        return steps_of(self.task, self.settings)

    def progress(self, *, training: bool = False) -> str:
        """Show what has gone by; how long the rest will take follows from that alone."""
        now, epochs = time.monotonic(), self.settings.epochs
        share = self.done / (epochs * self.steps)
        doing, left = "Getting ready", ""
        if self.done:
            step = f"step {self.done - (self.epoch - 1) * self.steps} of {self.steps}"
            where = step if training else "validation pictures"
            doing = f"Epoch {self.epoch} of {epochs}, {where}"
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


def steps_of(task: Task, settings: Settings) -> int:
    """Steps of one epoch."""
    assert settings.batch_size is not None, "the explorer sets it"
    return len(shuffled(len(task.train), settings.batch_size, 0, 0))
