"""Fine-tune by hand: how deep, how fast, how long, with how many pictures (notebook 05)."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import ipywidgets as widgets
import numpy as np

from tlcourse import cost
from tlcourse._controls import Steps
from tlcourse._explorer import Explorer, on_change, panel
from tlcourse._figures import Figure
from tlcourse._latest import Stale
from tlcourse._machine import give_memory_back
from tlcourse._plots_numbers import lines
from tlcourse._task_checks import check_task
from tlcourse._training_job import Job
from tlcourse._training_progress import Progress, bar, roughly, work_of
from tlcourse._training_runs import Run, runs_figure, runs_in_words, runs_of, runs_table
from tlcourse._training_setting import Setting, few_of_each
from tlcourse.backbones import Backbone
from tlcourse.errors import CourseError
from tlcourse.finetune import freeze
from tlcourse.history import History
from tlcourse.network import Network
from tlcourse.tasks import Task

_NOTHING, _ALL, _CUT = "nothing", "everything but the head", "embedding"
_RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
_COUNTS = (2, 5, 10, 20)
_MOST, _FEWEST = 8, 2  # runs that are shown, those of the lesson included; of one's own at least
_EVERY = 0.2  # seconds between two messages about the progress
_TIMED = 8  # pictures


class TrainingExplorer(Explorer):
    """Set a training, run it, stop it, and see its curve beside those of earlier runs.

    Each run trains a copy of its own, in a thread, and leaves nothing but numbers.
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
        _check(task, batch_size, reference)
        cut = backbone.layers.index(backbone.layer(_CUT).name)
        self._backbone: Backbone | None = backbone
        self._task: Task | None = task
        self._batch_size, self._reference, self._seed = batch_size, reference, seed
        self._lesson = runs_of(runs or {})
        self._own: tuple[Run, ...] = ()
        self._lock = threading.Lock()  # of the runs, and of what is drawn of them
        self._job: Job | None = None
        self._made = self._dropped = 0
        timed = cost.forward(backbone, batch=_TIMED, layer=_CUT, repeats=2)
        self._look = timed.seconds / _TIMED
        depths = [_NOTHING, *backbone.layers[:cut], _ALL]
        counts = [n for n in _COUNTS if n <= np.bincount(task.train.labels).min()]
        counts = [n for n in counts if n * len(task.classes) < len(task.train)]
        self.until = Steps("Frozen up to", depths, round(2 / 3 * (len(depths) - 1)))
        self.rate = Steps("Learning rate of the head", _RATES, _RATES.index(0.003))
        self.epochs = Steps("Epochs", range(1, 9), 2)
        self.per_class = Steps("Pictures per class", [*counts, "all"], len(counts))
        self.pretrained = widgets.Checkbox(value=True, description="Pre-trained weights")
        self.train = widgets.Button(description="Train", button_style="primary")
        self.stop = widgets.Button(description="Stop", disabled=True)
        self.forget = widgets.Button(description="Forget earlier runs", layout={"width": "14em"})
        self.about, self.progress, self.curves, self.table = (panel() for _ in range(4))
        controls = [self.until, self.rate, self.epochs, self.per_class, self.pretrained]
        buttons = [self.train, self.stop, self.forget]
        wrapped = widgets.HBox(buttons, layout={"flex_flow": "row wrap"})
        parts = [*controls, self.about, wrapped, self.progress, self.curves, self.table]
        super().__init__(parts, "Fine-tuning explorer")
        on_change(self._foresee, *controls)
        self.train.on_click(self._start)
        self.stop.on_click(self._stop)
        self.forget.on_click(self._forget)
        self._show_progress("")
        self._foresee()
        self._draw()

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs that are shown, those of the lesson first, the newest last."""
        return (*self._lesson, *self._own)

    def close(self) -> None:
        """Let go of the network and the pictures; a training ends, since nobody wants it now."""
        self._backbone = self._task = self._job = None
        super().close()

    def _start(self, _: Any) -> None:
        if not self.train.disabled:  # a second click may have been on its way
            self.ask()

    def _stop(self, _: Any) -> None:
        if self._job:
            self._job.stop.set()
        self.stop.disabled = True

    def _forget(self, _: Any) -> None:
        with self._lock:
            self._own = tuple(run for run in self._own if run.seconds is None)
            self._dropped = 0
        self._draw()

    def _setting(self) -> Setting:
        until, count = self.until.label, self.per_class.label
        return Setting(
            until={_NOTHING: None, _ALL: _CUT}.get(until, until),
            rate=_RATES[self.rate.value],
            epochs=int(self.epochs.label),
            per_class=None if count == "all" else int(count),
            pretrained=self.pretrained.value,
        )

    def _foresee(self, _: Any = None) -> None:
        """Say what the controls mean, and how long it would take."""
        backbone, task = self._backbone, self._task
        if backbone is None or task is None:
            return
        setting = self._setting()
        task = few_of_each(task, setting.per_class, self._seed)
        work = work_of(backbone, task, setting, self._batch_size)
        if setting.until == _CUT:
            rates = "Only the head learns."
        elif setting.pretrained:
            rates = f"The body learns at a tenth of the head's rate: {setting.body_rate:g}."
        else:
            rates = f"Random weights: the body learns at the head's rate, {setting.body_rate:g}."
        steps = f"{work.steps} step{'s' * (work.steps != 1)}"
        self.about.value = (
            f'<div style="line-height:1.4">{rates} {len(task.train)} training pictures, {steps} '
            f"in each epoch. About {roughly(work.seconds(self._look))}.</div>"
        )

    def _request(self) -> Job:
        backbone, setting = self._backbone, self._setting()
        task = few_of_each(self._task, setting.per_class, self._seed)
        # The copy is made here: in the main thread nobody else uses the network just now.
        how = {"seed": self._seed, "random_weights": not setting.pretrained}
        network = Network(backbone, len(task.classes), **how)
        freeze(network, setting.until)
        self._made += 1
        settings = (
            self.until.label,
            f"{setting.rate:g}",
            f"{setting.epochs}",
            self.per_class.label,
            "pre-trained" if setting.pretrained else "random",
        )
        run = Run(f"run {self._made}", (), 0, settings=settings, note="running")
        work = work_of(backbone, task, setting, self._batch_size)
        self._job = Job(run, setting, task, work, network, self._batch_size, self._seed)
        self.train.disabled, self.stop.disabled = True, False
        return self._job

    def _work(self, job: Job, stale: Stale) -> None:
        with self.showing_problems():
            self._answer(job, stale)
        give_memory_back()
        if not stale():
            self._show_progress("" if job.run.note else bar(job.run.name, 1.0, "Done"))
            self._foresee()
            self.train.disabled, self.stop.disabled = False, True

    def _answer(self, job: Job, stale: Stale) -> None:
        with self._lock:
            used = {run.look for run in self.runs}
        look = next(i for i in range(len(used) + 1) if i not in used)
        job.run = replace(job.run, look=look)
        self._keep(job.run)
        progress, last = Progress(job.work, self._look), 0.0

        def show(content: str) -> None:
            nonlocal last
            if time.monotonic() - last >= _EVERY:
                last = time.monotonic()
                self._show_progress(content)

        show(progress.html(job.run.name))
        try:
            notes = job.go(progress, stale, show, self._keep)
        finally:
            self._look = progress.pace
        if notes:
            self.show_problem(" ".join(notes))

    def _keep(self, run: Run) -> None:
        """Show what is new of a run; the oldest give way."""
        room = max(_MOST - len(self._lesson), _FEWEST)
        with self._lock:
            own = (*(other for other in self._own if other.name != run.name), run)
            self._own = own[-room:]
            self._dropped += len(own) - len(self._own)
        self._draw()
        self._say(run.ending)

    def _draw(self) -> None:
        with self._lock:
            newest = self._own[-1].name if self._own else ""
            job = self._job
            n_epochs = job.setting.epochs if job else 1
            self.curves.value = runs_figure(self.runs, n_epochs, newest, self._reference)
            self.table.value = runs_table(self.runs, newest, self._dropped)

    def _show_progress(self, content: str) -> None:
        self.progress.value = f'<div style="min-height:1.5em;line-height:1.5">{content}</div>'

    def _static(self) -> Figure | None:
        shown = [run for run in self.runs if run.accuracies]
        if not shown:
            return None
        longest = max(len(run.accuracies) for run in shown)
        return lines(
            [str(epoch) for epoch in range(1, longest + 1)],
            {
                run.name: (*run.accuracies, *[np.nan] * (longest - len(run.accuracies)))
                for run in shown
            },
            xlabel="epoch",
            ylabel="validation accuracy",
            reference=self._reference,
            alt=runs_in_words(shown, self._reference),
        )


def _check(task: Task, batch_size: int, reference: tuple[str, float] | None) -> None:
    check_task(task)
    if not len(task.val):
        raise CourseError(
            f"Task {task.name!r} has no validation pictures, so there is nothing to draw. Load it "
            "with val_fraction=0.2."
        )
    if not isinstance(batch_size, int) or batch_size < 2:
        raise CourseError(f"batch_size is {batch_size!r}, but must be a whole number from 2 on.")
    if reference is not None and not (isinstance(reference[1], Real) and 0 <= reference[1] <= 1):
        raise CourseError(
            f"reference is {reference!r}, but must be a name and an accuracy from 0 to 1, such as "
            '("frozen body, probe", 0.9).'
        )
