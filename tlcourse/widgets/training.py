"""Fine-tune by hand: how deep, how fast, how long, with how many pictures (notebook 05)."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np

from tlcourse.base.machine import give_memory_back
from tlcourse.errors import CourseError, check_whole
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.plots.figure import Figure
from tlcourse.tasks.task import Task, check_task
from tlcourse.training.finetune import freeze
from tlcourse.training.history import History
from tlcourse.training.settings import Settings
from tlcourse.widgets.controls import Steps
from tlcourse.widgets.explorer import Explorer, Stale, on_change, panel
from tlcourse.widgets.training_job import Job, bar, steps_of
from tlcourse.widgets.training_runs import (
    TrainingCurve,
    check_reference,
    curves_html,
    draw_curves,
    lesson_curve,
    runs_table,
)

_NOTHING, _ALL, _CUT = "nothing", "everything but the head", "embedding"
_RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
_COUNTS = (2, 5, 10, 20)
_MOST, _FEWEST = 8, 2  # runs that are shown, those of the lesson included; of one's own at least
_BETWEEN_TEXTS, _BETWEEN_FIGURES = 0.2, 1.0  # seconds, at least


class TrainingExplorer(Explorer):
    """Fine-tune with settings of your choice, beside the curves of earlier trainings.

    Each training runs in a thread, on a copy of the network, and only its numbers are kept. The
    button "Stop" ends it within one batch.

    Args:
        backbone: The network to start from.
        task: Its train split is learned; after each epoch its val split is predicted.
        runs: Name -> what `fit` returned, or validation accuracies, one for each epoch: the curves
            that are there from the beginning.
        batch_size: Pictures per step.
        reference: Name and validation accuracy of something to compare with, drawn as a line.
        seed: Decides the head's first weights and the order of the pictures.

    Raises:
        CourseError: The task has no training or no validation pictures, or an argument is of a
            wrong kind.
    """

    def __init__(
        self,
        backbone: Backbone,
        task: Task,
        *,
        runs: Mapping[str, History | Sequence[float]] | None = None,
        batch_size: int = 8,
        reference: tuple[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        _check(backbone, task)
        check_reference(reference)
        self._backbone: Backbone | None = backbone
        self._task: Task | None = task
        self._settings = Settings(
            batch_size=check_whole("batch_size", batch_size, least=2),
            seed=check_whole("seed", seed, least=0, most=2**64 - 1),
            progress=False,
        )
        self._reference = reference
        self._lesson = [lesson_curve(str(name), run) for name, run in dict(runs or {}).items()]
        self._room = max(_MOST - len(self._lesson), _FEWEST)
        self._own: dict[str, TrainingCurve] = {}  # by name, the newest last
        self._lock = threading.RLock()  # of what both threads show
        self._job: Job | None = None  # the one that is running
        self._made = 0
        self._told = self._drawn = 0.0  # when the newest text and figure were shown
        cut = backbone.layers.index(backbone.layer(_CUT).name)
        depths = [_NOTHING, *backbone.layers[:cut], _ALL]
        each = np.bincount(task.train.labels, minlength=len(task.classes))
        counts = [n for n in _COUNTS if n <= each.min() and n * len(each) < each.sum()]
        self.until = Steps("Frozen up to", depths, round(2 / 3 * (len(depths) - 1)))
        self.rate = Steps("Learning rate of the head", _RATES, _RATES.index(0.003))
        self.epochs = Steps("Epochs", range(1, 9), 2)
        self.per_class = Steps("Pictures per class", [*counts, "all"], len(counts))
        self.pretrained = widgets.Checkbox(value=True, description="Pre-trained weights")
        # No button is ever disabled: one that is pressed by keyboard would lose the focus.
        self.train = widgets.Button(description="Train", button_style="primary")
        self.stop = widgets.Button(description="Stop")
        self.forget = widgets.Button(description="Forget earlier runs", layout={"width": "14em"})
        self.about, self.progress, self.curves, self.table = (panel() for _ in range(4))
        controls = [self.until, self.rate, self.epochs, self.per_class, self.pretrained]
        buttons = [self.train, self.stop, self.forget]
        wrapped = widgets.HBox(buttons, layout={"flex_flow": "row wrap"})
        parts = [*controls, self.about, wrapped, self.progress, self.curves, self.table]
        super().__init__(parts, "Fine-tuning explorer", at=parts.index(self.progress))
        on_change(self._explain, *controls)
        self.train.on_click(self._start)
        self.stop.on_click(self._stop)
        self.forget.on_click(self._forget)
        self._show_progress("")
        self._explain()
        self._draw()

    @property
    def runs(self) -> tuple[TrainingCurve, ...]:
        """All runs that are shown, those of the lesson first, the newest last."""
        return (*self._lesson, *list(self._own.values())[-self._room :])

    def close(self) -> None:
        """Let go of the network and the pictures; a training ends, since nobody wants it now."""
        self._backbone = self._task = self._job = None
        super().close()

    def _start(self, _: Any) -> None:
        with self._lock:
            if not self._job:
                self.ask()
            elif self._job.stop.is_set():
                self._say("Stopping ...")
            else:
                self._say("A training is running; press Stop first.")

    def _stop(self, _: Any) -> None:
        with self._lock:
            if self._job:
                self._job.stop.set()
            self._say("Stopping ..." if self._job else "No training is running.")

    def _forget(self, _: Any) -> None:
        with self._lock:
            self._own = {name: run for name, run in self._own.items() if run.seconds is None}
        self._draw()

    def _chosen(self) -> tuple[Task, Settings]:
        assert self._task is not None, "a closed explorer is not asked"
        count, rate = self.per_class.label, _RATES[self.rate.value]
        few = None if count == "all" else int(count)
        task = self._task.few_of_each(train=few, test=0, seed=self._settings.seed)
        # Random weights have nothing to lose and learn as fast as the head.
        body_rate = rate / 10 if self.pretrained.value else rate
        chosen = {"epochs": int(self.epochs.label), "learning_rate": rate, "body_rate": body_rate}
        return task, self._settings.changed(**chosen)

    def _explain(self, _: Any = None) -> None:
        """Say what the controls mean."""
        with self.showing_problems(keep=True):
            task, settings = self._chosen()
            rates = f"the head's rate: {settings.body_rate:g}."
            if self.until.label == _ALL:
                rates = "Only the head learns."
            elif self.pretrained.value:
                rates = f"The body learns at a tenth of {rates}"
            else:
                rates = f"Random weights: the body learns at {rates}"
            steps = steps_of(task, settings)
            said = f"{len(task.train)} training pictures, {steps} step{'s' * (steps != 1)}"
            self.about.value = f'<div style="line-height:1.4">{rates} {said} in each epoch.</div>'

    def _request(self) -> Job:
        assert self._backbone is not None, "a closed explorer is not asked"
        task, settings = self._chosen()
        until, random = self.until.label, not self.pretrained.value
        # The copy is made here: in the main thread nobody else uses the network just now.
        network = Network(
            self._backbone, len(task.classes), seed=settings.seed, random_weights=random
        )
        freeze(network, {_NOTHING: None, _ALL: _CUT}.get(until, until))
        steps = (self.until, self.rate, self.epochs, self.per_class)
        words = (*(control.label for control in steps), "random" if random else "pre-trained")
        self._made += 1
        curve = TrainingCurve(f"run {self._made}", settings=words, note="running")
        self._job = Job(curve, network, task, settings)
        self._mark_buttons()
        return self._job

    def _answer(self, job: Job, stale: Stale) -> None:
        try:
            self._keep(job.curve)
            self.show_problem(" ".join(job.train(stale, self._show_sometimes, self._keep)))
        finally:
            self._tell(job.curve.ending)
            with self._lock:
                if self._job is job:
                    self._job = None  # from here on Train is heard again
            self._mark_buttons()
            if not stale():
                self._show_progress("" if job.curve.note else bar(job.curve.name, 1.0, "Done"))
            give_memory_back()

    def _keep(self, curve: TrainingCurve) -> None:
        """Show what is new of a run."""
        with self._lock:
            self._own[curve.name] = curve
        self._say(curve.ending)
        self._draw(at_once=curve.seconds is not None)

    def _draw(self, *, at_once: bool = True) -> None:
        """Show table and curves; the curves of many short epochs may wait for the next one."""
        with self._lock:
            job, newest = self._job, ["", *self._own][-1]
            dropped = max(0, len(self._own) - self._room)
            self.table.value = runs_table(self.runs, newest=newest, dropped=dropped)
            if at_once or time.monotonic() - self._drawn >= _BETWEEN_FIGURES:
                n_epochs, line = job.settings.epochs if job else 1, self._reference
                figure = draw_curves(self.runs, n_epochs=n_epochs, newest=newest, reference=line)
                self.curves.value = curves_html(figure)
                self._drawn = time.monotonic()

    def _mark_buttons(self) -> None:
        """Let the button stand out that does something just now."""
        with self._lock:
            self.train.button_style = "" if self._job else "primary"
            self.stop.button_style = "primary" if self._job else ""

    def _show_sometimes(self, content: str) -> None:
        """Show how far a training is, but not after each of many short batches."""
        if time.monotonic() - self._told >= _BETWEEN_TEXTS:
            self._told = time.monotonic()
            self._show_progress(content)

    def _show_progress(self, content: str) -> None:
        self.progress.value = f'<div style="min-height:1.5em;line-height:1.5">{content}</div>'

    def _static(self) -> Figure | None:
        finished = [run for run in self.runs if run.accuracies]
        return draw_curves(finished, reference=self._reference) if finished else None


def _check(backbone: Any, task: Task) -> None:
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
