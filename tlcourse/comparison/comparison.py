"""What each pattern brought and cost, on the same pictures, and which one to take (notebook 08)."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tlcourse.base.durations import in_words
from tlcourse.comparison.plan import Plan, PlannedRun
from tlcourse.errors import check_choice
from tlcourse.metrics import Paired, compare_paired, p_in_words
from tlcourse.patterns.result import Result
from tlcourse.patterns.reuse import PATTERNS
from tlcourse.tasks.split import Split
from tlcourse.tasks.task import Task

if TYPE_CHECKING:
    import pandas as pd

_NAMED = {"val": "validation", "test": "test"}
_UNBALANCED = 1.5  # the largest class has so many times the pictures of the smallest one


@dataclass(frozen=True, eq=False)
class Comparison:
    """What each pattern brought and cost, on the same pictures.

    Attributes:
        task: The pictures that were used.
        plan: What was to run; `compare(plan=...)` runs it again.
        runs: Each finished run with its result. Of each pattern, only the run in `results` keeps
            its network.
        results: Pattern -> the result of its run with the highest validation accuracy. A pattern with
            several seeds has several runs.
        notes: What was shortened, not run, or not run to the end, and why.
        seconds: For everything.
    """

    task: Task
    plan: Plan
    runs: tuple[tuple[PlannedRun, Result], ...]
    results: Mapping[str, Result]
    notes: tuple[str, ...]
    seconds: float
    _pairs: dict[tuple[str, str, str], Paired] = field(default_factory=dict, init=False)

    @property
    def split(self) -> str:
        """Which pictures the accuracies are of: "test", or "val" where there is no test picture."""
        return "test" if len(self.task.test) else "val"

    @property
    def labels(self) -> np.ndarray:
        """Their classes, int64 (N,)."""
        return self._pictures(self.split).labels

    @cached_property
    def best(self) -> str:
        """Pattern with the highest validation accuracy, the mean of its seeds; else the simplest."""
        return max(self._in_order, key=lambda pattern: self._mean(pattern, "val"))

    @cached_property
    def recommended(self) -> str:
        """The simplest pattern that is not significantly worse than the best one.

        Neither on the test pictures nor on the validation pictures: with a few test pictures alone,
        almost every difference could be chance. Simple means early in the course.
        """
        return next(pattern for pattern in self._in_order if not self._is_worse(pattern))

    @cached_property
    def recommendation(self) -> str:
        """Which pattern to take and why, in sentences."""
        return " ".join([self._advice(), *self._warnings()])

    def accuracies(self, pattern: str, split: str | None = None) -> tuple[float, ...]:
        """Accuracy of each seed of a pattern, in the order in which they were run.

        Args:
            pattern: Its name.
            split: "val" or "test"; by default those pictures that the table is of.

        Raises:
            UnknownNameError: There is no result of such a pattern.
        """
        check_choice("pattern with a result", pattern, self.results)
        results = [result for run, result in self.runs if run.pattern == pattern]
        if (split or self.split) == "val":
            return tuple(result.val_accuracy for result in results)
        return tuple(result.test_accuracy for result in results)

    def right(self, pattern: str, split: str | None = None) -> np.ndarray:
        """Whether a pattern is right, for each picture of a split, bool (N,).

        Raises:
            UnknownNameError: There is no result of such a pattern.
        """
        check_choice("pattern with a result", pattern, self.results)
        split = split or self.split
        return np.asarray(self.results[pattern].predicted[split] == self._pictures(split).labels)

    def paired(self, first: str, second: str, split: str | None = None) -> Paired:
        """Compare two patterns picture by picture with the exact McNemar test.

        Raises:
            UnknownNameError: There is no result of such a pattern.
        """
        key = (first, second, split or self.split)
        if key not in self._pairs:
            right = self.right(first, split), self.right(second, split)
            self._pairs[key] = compare_paired(*right, names=(first, second))
        return self._pairs[key]

    @property
    def table(self) -> "pd.DataFrame":
        """One row for each pattern.

        All but `validation` is about the test pictures, or the validation pictures where there is
        no test picture. `accuracy`, its 95 % interval (`low`, `high`; Wilson), `balanced` (the mean
        over the classes) and the costs are those of the result that is kept. `mean` is the mean of
        all seeds, and `seeds` has the accuracy of each one. `validation` is a mean of the seeds,
        too; it decides which pattern is the best. `p` is that of the exact McNemar test against the
        best pattern, on the same pictures.
        """
        import pandas as pd

        rows = {}
        for pattern, result in self.results.items():
            pair = self.paired(pattern, self.best)
            rows[pattern] = {
                "accuracy": self._accuracy(result),
                "mean": self._mean(pattern, self.split),
                "seeds": " ".join(f"{value:.3f}" for value in self.accuracies(pattern)),
                "low": result.interval[0],
                "high": result.interval[1],
                "balanced": result.balanced_accuracy,
                "validation": self._mean(pattern, "val"),
                "only this one": pair.only_first,
                "only the best": pair.only_second,
                "p": pair.p_value,
                "seconds": result.seconds,
                "MiB": result.peak_bytes / 2**20,
                "trained": result.trainable_parameters,
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
            f"{len(self.labels)} {self.split} {self.task.holds} of {self.task.name!r}",
            f"{'pattern':21} {head:24} {'each seed':17} {'p':>7} {'time':>12} {'memory':>9} learned",
        ]
        for pattern, row in self.table.iterrows():
            interval = f"{row.accuracy:.3f} ({row.low:.3f} to {row.high:.3f})"
            p = "best" if pattern == self.best else p_in_words(row.p)
            lines.append(
                f"{pattern:21} {interval:24} {row.seeds:17} {p:>7} "
                f"{in_words(row.seconds):>12} {row.MiB:5.0f} MiB {row.trained:,.0f}"
            )
        sentences = [textwrap.fill(text, 100) for text in (*self.notes, self.recommendation)]
        return "\n".join([*lines, *sentences])

    @property
    def _in_order(self) -> list[str]:
        """Patterns with a result, from simple to complex."""
        return [pattern for pattern in PATTERNS if pattern in self.results]

    def _pictures(self, split: str) -> Split:
        pictures: Split = getattr(self.task, split)
        return pictures

    def _accuracy(self, result: Result) -> float:
        return result.test_accuracy if self.split == "test" else result.val_accuracy

    def _mean(self, pattern: str, split: str) -> float:
        """Mean accuracy of the seeds, rounded, so that equal ones stay equal."""
        return round(float(np.mean(self.accuracies(pattern, split))), 9)

    def _is_worse(self, pattern: str) -> bool:
        """Whether a pattern is significantly worse than the best one, on either split."""
        if pattern == self.best:
            return False
        splits = [split for split in ("val", "test") if len(self._pictures(split))]
        pairs = [self.paired(pattern, self.best, split) for split in splits]
        return any(pair.significant and pair.difference < 0 for pair in pairs)

    def _advice(self) -> str:
        best, chosen = self.best, self.recommended
        if chosen != best:
            pair = self.paired(chosen, best)
            return (
                f"Take {chosen}: the simplest pattern that is not significantly worse than the "
                f"best one. {best} has the highest validation accuracy, but on "
                f"{len(self.labels)} {_NAMED[self.split]} {self.task.holds} its difference "
                f"{pair.verdict}: only {chosen} is right on {pair.only_first}, only {best} on "
                f"{pair.only_second}. "
                f"{chosen} took {self._costs(chosen)}, {best} {self._costs(best)}."
            )
        if simpler := self._in_order[: self._in_order.index(best)]:
            return (
                f"Take {best}: it has the highest validation accuracy, and what is simpler is "
                f"significantly worse ({', '.join(simpler)})."
            )
        return (
            f"Take {best}: none has a higher validation accuracy, and none that was run is simpler. "
            f"{self._others()}"
        )

    def _costs(self, pattern: str) -> str:
        result = self.results[pattern]
        return f"{in_words(result.seconds)} and {result.peak_bytes / 2**20:.0f} MiB"

    def _others(self) -> str:
        """Say which of the others are significantly worse than the best one."""
        worse = [pattern for pattern in self.results if self._is_worse(pattern)]
        same = [pattern for pattern in self.results if pattern not in (*worse, self.best)]
        sentences = [f"The difference could be chance for {', '.join(same)}."] * bool(same)
        sentences += [f"Significantly worse: {', '.join(worse)}."] * bool(worse)
        return " ".join(sentences) or "Nothing else was run."

    def _warnings(self) -> list[str]:
        sizes = np.bincount(self.task.train.labels, minlength=len(self.task.classes))
        common, warnings = sizes.argmax(), []
        pair = compare_paired(self.right(self.recommended), self.labels == common)
        if not (pair.significant and pair.difference > 0):
            warnings.append(
                f"Be careful: on these {_NAMED[self.split]} {self.task.holds} it is not clearly "
                f"better than a program that always answers {self.task.classes[common]!r}."
            )
        if sizes.max() > _UNBALANCED * sizes.min():
            warnings.append(
                f"The classes are of unequal size (from {sizes.min()} to {sizes.max()} training "
                f"{self.task.holds}), so look at the balanced accuracy too."
            )
        return warnings
