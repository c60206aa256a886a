"""The runs of a plan, one after the other, against the clock."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tqdm.auto import tqdm

from tlcourse import patterns
from tlcourse._durations import in_words
from tlcourse._machine import give_memory_back
from tlcourse._plan import Plan, PlannedRun
from tlcourse.backbones import Backbone
from tlcourse.results import Result
from tlcourse.tasks import Task

_GRACE = 1.1  # of the budget; what still runs then is dropped


class _OutOfTimeError(Exception):
    """The budget is used up in the middle of a run."""


class Race:
    """The runs of a plan, one after the other, against the clock."""

    def __init__(
        self,
        backbone: Backbone,
        task: Task,
        mapping: Mapping[str, Sequence[str]] | None,
        limit: float | None,
        started: float,
        progress: bool,
    ) -> None:
        self.backbone, self.task, self.mapping = backbone, task, mapping
        self.limit, self.started, self.progress = limit, started, progress
        self.done: list[tuple[PlannedRun, Result]] = []
        self.notes: list[str] = []

    def run(self, plan: Plan) -> None:
        planned, taken = 0.0, 0.0
        how = {"desc": "comparing", "unit": "run", "leave": False, "disable": not self.progress}
        with tqdm(total=len(plan.runs), **how) as bar:
            for i, run in enumerate(plan.runs):
                bar.set_postfix_str(_name(run))
                slower = min(max(1.0, taken / planned), 1.5) if planned > 1 else 1.0
                needed = run.seconds * slower
                if self.limit and self.gone() + needed > _GRACE * self.limit:
                    self.drop(run, f"it needs about {in_words(needed)}, and {self.left()}")
                    continue
                began = time.perf_counter()
                try:
                    result = self.one(run)
                except _OutOfTimeError:
                    self.drop(run, f"it was not done after {in_words(time.perf_counter() - began)}")
                    continue
                except KeyboardInterrupt:
                    result = None
                if result is None or result.note.startswith("interrupted"):
                    self.notes.append(f"Interrupted: {len(plan.runs) - i} runs are missing.")
                    return
                planned, taken = planned + run.seconds, taken + time.perf_counter() - began
                self.keep(run, result)
                bar.update()

    def one(self, run: PlannedRun) -> Result:
        options: dict[str, Any] = dict(run.options)
        if run.pattern == "classifier":
            options["mapping"] = self.mapping
        if run.seed is not None:
            options |= {"seed": run.seed, "live": False, "on_step": self.watch()}
        call = getattr(patterns, run.pattern)
        return call(self.backbone, self.task, progress=self.progress, **options)

    def watch(self) -> Callable[[], None] | None:
        """Return what looks at the clock after each training step."""
        if self.limit is None:
            return None
        last = _GRACE * self.limit

        def look() -> None:
            if self.gone() > last:
                raise _OutOfTimeError

        return look

    def keep(self, run: PlannedRun, result: Result) -> None:
        """Note a result; of each pattern only the best run keeps its network."""
        if not result.applicable:
            self.notes.append(f"{run.pattern} is not applicable. {result.note}")
            return
        if result.note:
            self.notes.append(f"{_name(run)}: {result.note}.")
        self.done.append((run, result))
        best = self.chosen()[run.pattern]
        self.done = [
            (r, x if r.pattern != run.pattern or x is best else replace(x, network=None))
            for r, x in self.done
        ]
        give_memory_back()

    def chosen(self) -> dict[str, Result]:
        """Of each pattern the run with the highest validation accuracy; of equals the first."""
        found: dict[str, Result] = {}
        for run, result in self.done:
            if run.pattern not in found or result.val_accuracy > found[run.pattern].val_accuracy:
                found[run.pattern] = result
        return found

    def drop(self, run: PlannedRun, why: str) -> None:
        self.notes.append(f"{_name(run)} was dropped: {why}.")

    def gone(self) -> float:
        return time.perf_counter() - self.started

    def left(self) -> str:
        assert self.limit is not None
        left = self.limit - self.gone()
        return f"{in_words(left)} are left" if left > 0.5 else "the time is used up"


def _name(run: PlannedRun) -> str:
    return run.pattern if run.seed is None else f"{run.pattern} with seed {run.seed}"
