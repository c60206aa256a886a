"""All patterns on one task, side by side, inside a time budget (notebook 08)."""

import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tlcourse import _verdict
from tlcourse._durations import in_words, to_seconds
from tlcourse._groups import matching_classes
from tlcourse._metrics import Paired, p_in_words, paired
from tlcourse._notes import say
from tlcourse._plan import Plan, PlannedRun, subset
from tlcourse._planning import PATTERNS, make_plan
from tlcourse._race import Race
from tlcourse._task_checks import check_task
from tlcourse.backbones import Backbone
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.results import Result
from tlcourse.tasks import Task

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
        return _verdict.recommended(self)

    @property
    def recommendation(self) -> str:
        """Which pattern to take and why, in sentences."""
        return _verdict.sentences(self)

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
        return paired(self.right(first, split), self.right(second, split))

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
        from tlcourse._comparison_files import write

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
    race = Race(backbone, task, mapping, limit, started, progress)
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
