"""All patterns on one task, side by side, inside a time budget (notebook 08)."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tqdm.auto import tqdm

from tlcourse import patterns
from tlcourse.base.durations import in_words, to_seconds
from tlcourse.base.machine import give_memory_back
from tlcourse.base.messages import say
from tlcourse.comparison.comparison import Comparison
from tlcourse.comparison.plan import Plan, PlannedRun, make_plan
from tlcourse.errors import CourseError, check_choice, check_whole
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.grouped import matching_classes
from tlcourse.patterns.result import Result
from tlcourse.patterns.reuse import PATTERNS
from tlcourse.tasks.task import Task, check_task, subset


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

    First a few pictures and a training step are timed. From that follows a plan: which patterns,
    how many seeds and epochs, which layers may move, and, where there are very many pictures, how
    many of them are used. It is printed, with a sentence for whatever is shortened or left out, and
    then it does not change. The frozen extractor gets three seeds, the patterns that train the
    network get one or three; nothing is random in the first two patterns. If the time runs out,
    whole runs are dropped, and you are told; so the same plan always gives the same results. Ctrl-C
    ends the comparison with the runs that are finished.

    Args:
        backbone: The network. Smaller pictures are faster: `backbone.at_size(128)`.
        task: Labelled pictures. The validation split chooses; the test split is used once for each
            run.
        budget: Time for everything: seconds, or a text such as "90s" or "5m". By default "5m"; with
            `plan`, no limit.
        patterns: Which ones, by name.
        layer: Where the backbone is cut before the new head.
        mapping: Which of the network's own classes mean a class of the task; see
            `tlcourse.patterns.classifier`. Without it, classes with the same name are found.
        augment: Show random crops and mirror images in training; then the frozen body runs in every
            epoch.
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
        check_choice("pattern", name, PATTERNS)
    if not patterns:
        raise CourseError(f"No pattern was named. Choose from {', '.join(PATTERNS)}.")
    if batch_size is not None:
        check_whole("batch_size", batch_size)
    limit = math.inf if budget is None and plan else to_seconds("5m" if budget is None else budget)
    applicable, notes = _applicable(backbone, task, patterns, mapping)
    if plan is None:
        if not applicable:
            raise CourseError(f"There is nothing to compare: {notes[0]}")
        plan = make_plan(
            backbone, task, limit, applicable, layer=layer, augment=augment, batch_size=batch_size
        )
    elif plan.size != backbone.preprocess.crop_size:
        raise CourseError(
            f"The plan was made for pictures of {plan.size} px; take backbone.at_size({plan.size})."
        )
    say(repr(plan))
    task = subset(task, plan.share)
    runner = Runner(backbone, task, mapping, deadline=started + limit, progress=progress)
    runner.run(plan)
    if not runner.done:
        raise CourseError(" ".join(["No pattern was finished.", *runner.notes]))
    return Comparison(
        task=task,
        plan=plan,
        runs=tuple(runner.done),
        results=runner.chosen(),
        notes=(*notes, *plan.left_out, *runner.notes),
        seconds=time.perf_counter() - started,
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


class _OutOfTimeError(Exception):
    """The budget is used up in the middle of a run."""


class Runner:
    """The runs of a plan, one after the other, against the clock.

    Attributes:
        deadline: When the time is used up, on the clock of `time.perf_counter`.
        done: Each finished run with its result.
        notes: What was not run, or not to the end, in sentences.
    """

    def __init__(
        self,
        backbone: Backbone,
        task: Task,
        mapping: Mapping[str, Sequence[str]] | None,
        *,
        deadline: float,
        progress: bool,
    ) -> None:
        self.backbone, self.task, self.mapping = backbone, task, mapping
        self.deadline, self.progress = deadline, progress
        self.done: list[tuple[PlannedRun, Result]] = []
        self.notes: list[str] = []

    def run(self, plan: Plan) -> None:
        """Do all runs that fit into the time."""
        bar = tqdm(
            total=len(plan.runs),
            desc="comparing",
            unit="run",
            leave=False,
            disable=not self.progress,
        )
        with bar:
            for i, run in enumerate(plan.runs):
                bar.set_postfix_str(run.name)
                began = time.perf_counter()
                left = self.deadline - began
                if run.seconds > left:
                    there = f"{in_words(left)} are left" if left > 0.5 else "the time is used up"
                    self._drop(run, f"it needs about {in_words(run.seconds)}, and {there}")
                    continue
                try:
                    result = self._one(run)
                except _OutOfTimeError:
                    seconds = time.perf_counter() - began
                    self._drop(run, f"it was not done after {in_words(seconds)}")
                    continue
                except KeyboardInterrupt:
                    result = None
                if result is None or result.note.startswith("interrupted"):
                    self.notes.append(f"Interrupted: {len(plan.runs) - i} runs are missing.")
                    return
                self._keep(run, result)
                bar.update()

    def chosen(self) -> dict[str, Result]:
        """Of each pattern the run with the highest validation accuracy; of equals the first."""
        chosen: dict[str, Result] = {}
        for run, result in self.done:
            if run.pattern not in chosen or result.val_accuracy > chosen[run.pattern].val_accuracy:
                chosen[run.pattern] = result
        return chosen

    def _one(self, run: PlannedRun) -> Result:
        options = dict(run.options)
        if run.pattern == "classifier":
            options["mapping"] = self.mapping
        if run.seed is not None:
            options |= {"seed": run.seed, "live": False, "on_step": self._check_clock}
        call: Callable[..., Result] = getattr(patterns, run.pattern)
        return call(self.backbone, self.task, progress=self.progress, **options)

    def _check_clock(self) -> None:
        """Called after each training step."""
        if time.perf_counter() > self.deadline:
            raise _OutOfTimeError

    def _keep(self, run: PlannedRun, result: Result) -> None:
        """Note a result; of each pattern only the best run keeps its network."""
        if not result.applicable:
            self.notes.append(f"{run.pattern} is not applicable. {result.note}")
            return
        if result.note:
            self.notes.append(f"{run.name}: {result.note}.")
        self.done.append((run, result))
        best = self.chosen()[run.pattern]
        self.done = [
            (r, x if r.pattern != run.pattern or x is best else replace(x, made=None))
            for r, x in self.done
        ]
        give_memory_back()

    def _drop(self, run: PlannedRun, why: str) -> None:
        self.notes.append(f"{run.name} was dropped: {why}.")
