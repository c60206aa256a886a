"""All patterns on one task, side by side, inside a time budget (notebook 08)."""

import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from tlcourse import patterns
from tlcourse.base.durations import in_words, to_seconds
from tlcourse.base.machine import give_memory_back
from tlcourse.base.messages import say
from tlcourse.comparison import verdict
from tlcourse.comparison.plan import Plan, PlannedRun
from tlcourse.comparison.planner import make_plan
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.metrics import Paired, compare_paired, p_in_words
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.grouped import matching_classes
from tlcourse.patterns.result import Result
from tlcourse.patterns.reuse import PATTERNS
from tlcourse.tasks.task import Task, check_task, subset

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Comparison:
    """What each pattern brought and cost, on the same pictures.

    Attributes:
        task: The pictures that were used.
        plan: What was to run; `compare(plan=...)` runs it again.
        runs: Each finished run with its result. Of each pattern, only the run in `results` keeps
            its network.
        results: Pattern -> the result of its run with the highest validation accuracy.
        notes: What was not run, or not to the end, and why.
        seconds: For everything.
    """

    task: Task
    plan: Plan
    runs: tuple[tuple[PlannedRun, Result], ...]
    results: Mapping[str, Result]
    notes: tuple[str, ...]
    seconds: float

    @property
    def split(self) -> str:
        """Which pictures the accuracies are of: "test", or "val" where there is no test picture."""
        return "test" if len(self.task.test) else "val"

    @property
    def labels(self) -> np.ndarray:
        """Their classes, int64 (N,)."""
        return getattr(self.task, self.split).labels

    @property
    def best(self) -> str:
        """Pattern with the highest validation accuracy; of equal ones the simplest."""
        there = [pattern for pattern in PATTERNS if pattern in self.results]
        return max(there, key=lambda pattern: self.results[pattern].val_accuracy)

    @property
    def recommended(self) -> str:
        """The simplest pattern that is not told apart from the best one; see `recommendation`."""
        return verdict.recommended(self)

    @property
    def recommendation(self) -> str:
        """Which pattern to take and why, in sentences."""
        return verdict.sentences(self)

    def right(self, pattern: str, split: str | None = None) -> np.ndarray:
        """Whether a pattern is right, for each picture of a split, bool (N,).

        Raises:
            UnknownNameError: There is no result of such a pattern.
        """
        if pattern not in self.results:
            raise UnknownNameError("pattern with a result", pattern, self.results)
        split = split or self.split
        return self.results[pattern].predicted[split] == getattr(self.task, split).labels

    def told_apart(self, first: str, second: str, split: str | None = None) -> Paired:
        """Compare two patterns picture by picture with the exact McNemar test.

        Raises:
            UnknownNameError: There is no result of such a pattern.
        """
        return compare_paired(self.right(first, split), self.right(second, split))

    def table(self) -> "pd.DataFrame":
        """One row for each pattern.

        `accuracy` and its 95 % interval (`low`, `high`; Wilson) are of the test pictures, or of the
        validation pictures where there is no test picture, as is `balanced`, the mean over the
        classes. `p` is that of the exact McNemar test against the best pattern, on the same
        pictures. `lowest` and `highest` are the accuracies of all seeds.
        """
        import pandas as pd

        rows = {}
        for pattern, result in self.results.items():
            all_seeds = [_accuracy(r, self.split) for run, r in self.runs if run.pattern == pattern]
            against = self.told_apart(pattern, self.best)
            rows[pattern] = {
                "accuracy": _accuracy(result, self.split),
                "low": result.interval[0],
                "high": result.interval[1],
                "balanced": result.balanced_accuracy,
                "validation": result.val_accuracy,
                "only this one": against.only_first,
                "only the best": against.only_second,
                "p": against.p_value,
                "seconds": result.seconds,
                "MiB": result.peak_bytes / 2**20,
                "trained": result.trainable_parameters,
                "runs": len(all_seeds),
                "lowest": min(all_seeds),
                "highest": max(all_seeds),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pattern")

    def save(self, folder: str | Path) -> Path:
        """Write `report.html`, `results.csv`, `skipped.csv` and `model/`, whole or not at all.

        `model/` holds the recommended pattern's result; `tlcourse.load_result` reads it. A folder
        that holds an earlier comparison is replaced, any other one is left alone.

        Raises:
            CourseError: The folder holds something else, or cannot be written to.
        """
        from tlcourse.comparison.report import write

        return write(self, Path(folder))

    def __repr__(self) -> str:
        head = "accuracy (95 % interval)"
        lines = [
            f"{len(self.labels)} {self.split} pictures of {self.task.name!r}",
            f"{'pattern':21} {head:24} {'balanced':>8} {'p':>7} {'time':>12} {'memory':>9} learned",
        ]
        for pattern, row in self.table().iterrows():
            interval = f"{row.accuracy:.3f} ({row.low:.3f} to {row.high:.3f})"
            p = "best" if pattern == self.best else p_in_words(row.p)
            lines.append(
                f"{pattern:21} {interval:24} {row.balanced:8.3f} {p:>7} "
                f"{in_words(row.seconds):>12} {row.MiB:5.0f} MiB {row.trained:,.0f}"
            )
        told = [textwrap.fill(text, 100) for text in (*self.notes, self.recommendation)]
        return "\n".join([*lines, *told])


def compare(
    backbone: Backbone,
    task: Task,
    *,
    budget: str | float | None = None,
    patterns: Sequence[str] = PATTERNS,
    layer: str = "embedding",
    mapping: Mapping[str, Sequence[str]] | None = None,
    augment: bool = False,
    batch_size: int | None = None,
    plan: Plan | None = None,
    progress: bool = True,
) -> Comparison:
    """Run all patterns, and training from scratch, on the same pictures, and compare them.

    First a few pictures and one training step are timed. From that follows a plan: which patterns,
    how many seeds and epochs, and, where there are very many pictures, how many of them. It is
    printed and then stays as it is. Three seeds are used for the frozen extractor, at least one for
    the patterns that train the network; nothing is random in the first two patterns. If time runs
    out, whole runs are dropped, and that is said; so the same plan always gives the same results.
    Ctrl-C ends it with what is there.

    Args:
        backbone: The network. Smaller pictures are faster: `backbone.at_size(128)`.
        task: Labelled pictures. The validation split chooses, the test split is looked at once for
            each run.
        budget: Time for everything: seconds, or a text such as "90s" or "5m". By default "5m"; with
            `plan`, no limit.
        patterns: Which ones, by name.
        layer: Where the backbone is cut before the new head.
        mapping: Which of the network's own classes mean a class of the task; see
            `tlcourse.patterns.classifier`. Without it, classes with the same name are found.
        augment: Show random crops and mirror images in training; then a frozen body takes as long
            as its forward passes.
        batch_size: Pictures per training step; by default what this machine's memory allows.
        plan: An earlier comparison's `plan`, to run the same again.
        progress: Show progress bars.

    Raises:
        UnknownNameError: There is no such pattern or layer.
        CourseError: A task that nothing can be learned from, or a budget that is too small for any
            pattern.
    """
    started = time.perf_counter()
    check_task(task)
    if not len(task.val):
        raise CourseError(
            f"Task {task.name!r} has no validation picture, but these choose between epochs and "
            "between patterns. Load it with a val_fraction above 0."
        )
    for name in (*patterns, *(run.pattern for run in (plan.runs if plan else ()))):
        if name not in PATTERNS:
            raise UnknownNameError("pattern", name, PATTERNS)
    if not patterns:
        raise CourseError(f"No pattern was named. Choose from {', '.join(PATTERNS)}.")
    limit = None if budget is None and plan else to_seconds("5m" if budget is None else budget)
    patterns, notes = _applicable(backbone, task, patterns, mapping)
    if batch_size is not None and batch_size < 1:
        raise CourseError(f"batch_size is {batch_size}, but must be at least 1.")
    if plan is None and not patterns:
        raise CourseError(f"There is nothing to compare: {notes[0]}")
    if plan is None:
        plan = make_plan(
            backbone, task, limit, patterns, layer=layer, augment=augment, batch_size=batch_size
        )
    elif plan.size != backbone.preprocess.crop_size:
        raise CourseError(
            f"The plan was made for pictures of {plan.size} px; take backbone.at_size({plan.size})."
        )
    say(repr(plan))
    task = subset(task, plan.share)
    race = Runner(backbone, task, mapping, limit, started, progress)
    race.run(plan)
    if not race.done:
        raise CourseError(" ".join(["No pattern was finished.", *race.notes]))
    return Comparison(
        task,
        plan,
        tuple(race.done),
        race.chosen(),
        (*notes, *plan.left_out, *race.notes),
        time.perf_counter() - started,
    )


def _applicable(
    backbone: Backbone,
    task: Task,
    patterns: Sequence[str],
    mapping: Mapping[str, Sequence[str]] | None,
) -> tuple[list[str], list[str]]:
    """Leave out the classifier where the network has not the classes; say so in a sentence."""
    if "classifier" in patterns:
        _, missing = matching_classes(backbone, task, mapping)
        if missing:
            shown = ", ".join(missing[:5]) + (" and so on" if len(missing) > 5 else "")
            note = f"classifier is not applicable: the network has no class called {shown}."
            return [p for p in patterns if p != "classifier"], [note]
    return list(patterns), []


def _accuracy(result: Result, split: str) -> float:
    return result.test_accuracy if split == "test" else result.val_accuracy


_GRACE = 1.1  # of the budget; what still runs then is dropped


class _OutOfTimeError(Exception):
    """The budget is used up in the middle of a run."""


class Runner:
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
            (r, x if r.pattern != run.pattern or x is best else replace(x, made=None))
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
