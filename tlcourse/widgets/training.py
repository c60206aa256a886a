"""Fine-tune by hand: how deep, how fast, how long, with how many pictures (notebook 05)."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import ipywidgets as widgets
import numpy as np

from tlcourse import cost
from tlcourse.base.machine import give_memory_back
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.plots.figure import Figure
from tlcourse.tasks.task import Task, few_of_each
from tlcourse.training.finetune import freeze
from tlcourse.training.history import History
from tlcourse.widgets.controls import Steps
from tlcourse.widgets.explorer import Explorer, Stale, close_parts, on_change, panel
from tlcourse.widgets.training_job import Job, check_training
from tlcourse.widgets.training_progress import Foresight, Progress, Setting, bar, foresee, work_of
from tlcourse.widgets.training_runs import (
    Run,
    check_reference,
    runs_figure,
    runs_of,
    runs_static,
    runs_table,
)

_NOTHING, _ALL, _CUT = "nothing", "everything but the head", "embedding"
_RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
_COUNTS = (2, 5, 10, 20)
_MOST, _FEWEST = 8, 2  # runs that are shown, those of the lesson included; of one's own at least
_EVERY = 0.2  # seconds between two messages about the progress
_TIMED = 8  # pictures
_STOPPING = "Stopping ..."


class TrainingExplorer(Explorer):
    """Set a training, run it, stop it, and see its curve beside those of earlier runs.

    Each run trains a copy of its own, in a thread, and leaves nothing but numbers. No button is
    ever disabled: one that is pressed by keyboard would lose the focus.
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
        check_training(backbone, task, batch_size, seed)
        check_reference(reference)
        cut = backbone.layers.index(backbone.layer(_CUT).name)
        self._backbone: Backbone | None = backbone
        self._task: Task | None = task
        self._batch_size, self._reference, self._seed = batch_size, reference, int(seed)
        self._lesson = runs_of({} if runs is None else runs)
        self._own: tuple[Run, ...] = ()
        self._lock = threading.Lock()  # of what both threads show
        self._foreseen: Foresight | None = None
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
        self.stop = widgets.Button(description="Stop")
        self.forget = widgets.Button(description="Forget earlier runs", layout={"width": "14em"})
        self.about, self.progress, self.curves, self.table = (panel() for _ in range(4))
        controls = [self.until, self.rate, self.epochs, self.per_class, self.pretrained]
        buttons = [self.train, self.stop, self.forget]
        wrapped = widgets.HBox(buttons, layout={"flex_flow": "row wrap"})
        parts = [*controls, self.about, wrapped, self.progress, self.curves, self.table]
        super().__init__(parts, "Fine-tuning explorer", at=parts.index(self.progress))
        on_change(self._moved, *controls)
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
        with self._lock:
            job = self._running
            if job:
                stopping = job.stop.is_set()
                self._say(_STOPPING if stopping else "A training is running; press Stop first.")
        if not job:
            self.ask()

    def _stop(self, _: Any) -> None:
        with self._lock:
            job = self._running
            if job:
                job.stop.set()
            self._say(_STOPPING if job else "No training is running.")

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

    @property
    def _running(self) -> Job | None:
        job = self._job
        return None if job is None or job.over else job

    def _moved(self, _: Any) -> None:
        with self._adding_problems():
            self._foresee()

    def _foresee(self) -> None:
        """Say what the controls mean; only the main thread reads them."""
        backbone, task = self._backbone, self._task
        if backbone is None or task is None:
            return
        setting = self._setting()
        task = few_of_each(task, setting.per_class, self._seed)
        foreseen = foresee(backbone, task, setting, self._batch_size, cut=_CUT)
        with self._lock:
            self._foreseen = foreseen
        self._show_foreseen()

    def _show_foreseen(self) -> None:
        """Show what the newest setting means, and how long it would take; for both threads."""
        with self._lock:
            if self._foreseen:
                self.about.value = self._foreseen.html(self._look)

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
        self._mark_buttons()
        return self._job

    def _work(self, job: Job, stale: Stale) -> None:
        try:
            with self.showing_problems():
                self._answer(job, stale)
        finally:
            with self._lock:
                job.over = True  # first of all: from here on Train is heard again
                if not stale():
                    self._say(job.run.ending)
        with self._adding_problems():
            give_memory_back()
            self._mark_buttons()
            if not stale():
                self._show_progress("" if job.run.note else bar(job.run.name, 1.0, "Done"))
                self._show_foreseen()
        if self._latest.closed:  # meanwhile, and the panels were filled after that
            close_parts(self)

    def _answer(self, job: Job, stale: Stale) -> None:
        with self._lock:
            used = {run.look for run in self.runs}
        look = next(i for i in range(len(used) + 1) if i not in used)
        job.run = replace(job.run, look=look)
        progress = Progress(job.work, self._look)
        self._keep(job.run)
        last = 0.0

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

    def _mark_buttons(self) -> None:
        """Let the button stand out that does something just now."""
        with self._lock:
            running = self._running is not None
            self.train.button_style = "" if running else "primary"
            self.stop.button_style = "primary" if running else ""

    def _adding_problems(self) -> ExitStack:
        """A block whose errors are shown; an older one that is shown stays."""
        stack = ExitStack()
        stack.push(self.showing_problems())  # which is not entered
        return stack

    def _show_progress(self, content: str) -> None:
        self.progress.value = f'<div style="min-height:1.5em;line-height:1.5">{content}</div>'

    def _static(self) -> Figure | None:
        return runs_static(self.runs, self._reference)
