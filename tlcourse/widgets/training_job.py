"""A training that somebody asked for and may stop, in a thread of its own."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tlcourse.base.messages import notes_to
from tlcourse.errors import CourseError
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.tasks.task import Task, check_task
from tlcourse.training.fit import fit
from tlcourse.training.history import Epoch
from tlcourse.widgets.explorer import Stale
from tlcourse.widgets.training_progress import Progress, Setting, Work
from tlcourse.widgets.training_runs import Run


class _StoppedError(Exception):
    """Nobody wants the training any more."""


@dataclass(eq=False)
class Job:
    """A training that was asked for.

    Attributes:
        run: What is known of it so far.
        setting: What was set.
        task: Its pictures.
        work: How much there is to do.
        network: What is trained; it is given away when the training begins.
        batch_size: Pictures per step.
        seed: Decides the order of the pictures.
        stop: Set it to end the training within one batch.
        over: Whether it has ended, in whatever way.
    """

    run: Run
    setting: Setting
    task: Task
    work: Work
    network: Network | None
    batch_size: int
    seed: int
    stop: threading.Event = field(default_factory=threading.Event)
    over: bool = False

    def go(
        self,
        progress: Progress,
        stale: Stale,
        show: Callable[[str], None],
        keep: Callable[[Run], None],
    ) -> list[str]:
        """Train, and return what there is to be told about it.

        Args:
            progress: Counts the batches.
            stale: Tells whether the answer is not wanted any more.
            show: Called after each batch.
            keep: Called when there is something new of the run.
        """
        network, self.network = self.network, None
        assert network is not None  # a job is done once
        notes: list[str] = []
        began, note = time.monotonic(), "an error"

        def listen() -> None:
            progress.count(network.training)
            if self.stop.is_set() or stale():
                raise _StoppedError
            show(progress.html(self.run.name))

        def finished(epochs: Sequence[Epoch]) -> None:
            self.run = replace(self.run, accuracies=tuple(e.val_accuracy for e in epochs))
            keep(self.run)

        try:
            with notes_to(notes.append):
                history = fit(
                    network,
                    self.task,
                    epochs=self.setting.epochs,
                    learning_rate=self.setting.rate,
                    body_rate=self.setting.body_rate,
                    batch_size=self.batch_size,
                    seed=self.seed,
                    live=finished,
                    progress=False,
                    on_step=listen,
                )
            note = history.stopped
        except _StoppedError:
            note = (
                f"stopped in epoch {progress.epoch}"
                if progress.epoch
                else "stopped before the first step"
            )
        finally:
            self.run = replace(self.run, seconds=time.monotonic() - began, note=note)
            keep(self.run)
        return notes


def check_training(backbone: Backbone, task: Task, batch_size: int, seed: int) -> None:
    """Refuse what no training can be made of.

    Raises:
        CourseError: It is no backbone or no task, there are no pictures to train with or to look
            at, or a number is wrong.
    """
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
    if not isinstance(batch_size, int) or batch_size < 2:
        raise CourseError(f"batch_size is {batch_size!r}, but must be a whole number from 2 on.")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise CourseError(f"seed is {seed!r}, but must be a whole number from 0 to 2**64 - 1.")
