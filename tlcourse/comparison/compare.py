"""All patterns on one task, side by side, inside a time budget (notebook 08)."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tqdm.auto import tqdm

import tlcourse.patterns
from tlcourse.base.durations import in_words, to_seconds
from tlcourse.base.machine import give_memory_back
from tlcourse.base.messages import say
from tlcourse.comparison.comparison import Comparison
from tlcourse.comparison.plan import Plan, PlannedRun, make_plan
from tlcourse.errors import CourseError, check_choice, check_whole
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.grouped import Matching, matching_classes
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
    augment: bool | None = None,
    batch_size: int | None = None,
    plan: Plan | None = None,
    progress: bool = True,
) -> Comparison:
    """Run all patterns, and training from scratch, on the same pictures, and compare them.

    First a few pictures and a training step are timed. From that follows a plan that fills the
    time: which patterns, how many seeds and epochs, which layers may move, and how many of the
    pictures are used. It is printed, with a sentence for whatever is shortened or left out, and
    then it does not change. If the time runs out, whole runs are dropped, and you are told. If time
    is left, the seeds that the plan has in reserve are run. So the same plan always gives the same
    results for the runs it has. Ctrl-C ends the comparison with the runs that are finished.

    Args:
        backbone: The network. Smaller pictures are faster: `backbone.at_size(128)`.
        task: Labelled pictures. Validation chooses; each run uses the test split once.
        budget: Time for everything: seconds, or a text such as "90s". By default "5m"; with `plan`,
            no limit.
        patterns: Which ones, by name.
        layer: Where the backbone is cut before the new head. Where this layer gives no maps,
            `frozen_extractor` is cut at its own default layer, since its head reads maps.
        mapping: Which of the network's own classes mean a class of the task, as in
            `tlcourse.patterns.classifier`; by default those with the same name.
        augment: Whether trainings see fresh views of the pictures in each epoch. By default each
            pattern does as it does alone: `frozen_extractor` sees them. False is for none of them;
            then `frozen_extractor` trains a linear head on stored features, the same computation as
            `standalone_extractor`, and is not run beside it.
        batch_size: Pictures per training step; by default what this machine's memory allows.
        plan: An earlier comparison's `plan`, to run the same again.
        progress: Show progress bars.

    Raises:
        UnknownNameError: There is no such pattern or layer.
        CourseError: Nothing can be learned from the task, or the budget is too small for anything.
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
    applicable, notes, matching = _applicable(backbone, task, patterns, mapping)
    if augment is False and {"standalone_extractor", "frozen_extractor"} <= set(applicable):
        applicable.remove("frozen_extractor")
        notes.append(_THE_SAME)
    if plan is None:
        if not applicable:
            raise CourseError(f"There is nothing to compare: {notes[0]}")
        plan = make_plan(
            backbone, task, limit, applicable, layer=layer, augment=augment, batch_size=batch_size
        )
    elif plan.size != backbone.preprocess.size:
        raise CourseError(
            f"The plan was made for {backbone.preprocess.kind} of {plan.size} "
            f"{backbone.preprocess.unit}; take backbone.at_size({plan.size})."
        )
    say(repr(plan))
    if matching and mapping is None and any(run.pattern == "classifier" for run in plan.runs):
        mapping = matching.names
        say(f"  classes matched by name: {matching}")
    task = subset(task, plan.share)

    def one(run: PlannedRun, on_step: Callable[[], None]) -> Result:
        options: dict[str, object] = dict(run.options)
        if run.pattern == "classifier":
            options["mapping"] = mapping
        if run.seed is not None:
            options |= {"seed": run.seed, "live": False, "on_step": on_step}
        call: Callable[..., Result] = getattr(tlcourse.patterns, run.pattern)
        return call(backbone, task, progress=progress, **options)

    done, not_run = _run_all(plan, one, deadline=started + limit, progress=progress)
    if not done:
        raise CourseError(" ".join(["No pattern was finished.", *not_run]))
    if extra := [run for run, _ in done if run in plan.spare]:
        plan = plan.with_spare(extra)
    return Comparison(
        task=task,
        plan=plan,
        runs=tuple(done),
        results=_best(done),
        notes=(*notes, *plan.left_out, *not_run),
        seconds=time.perf_counter() - started,
    )


def _applicable(
    backbone: Backbone,
    task: Task,
    patterns: Sequence[str],
    mapping: Mapping[str, Sequence[str]] | None,
) -> tuple[list[str], list[str], Matching | None]:
    """Leave out the classifier where the network has not the classes; say so in a sentence."""
    if "classifier" not in patterns:
        return list(patterns), [], None
    matching = matching_classes(backbone, task, mapping)
    if why := matching.missing:
        note = f"classifier is not applicable: {why[0].lower()}{why[1:]}"
        return [p for p in patterns if p != "classifier"], [note], None
    return list(patterns), [], matching


_THE_SAME = (
    "frozen_extractor is not run: without fresh views it would be the same computation as "
    "standalone_extractor."
)


class _OutOfTimeError(Exception):
    """The budget is used up in the middle of a run."""


def _run_all(
    plan: Plan,
    one: Callable[[PlannedRun, Callable[[], None]], Result],
    *,
    deadline: float,
    progress: bool,
) -> tuple[list[tuple[PlannedRun, Result]], list[str]]:
    """Do all runs that fit into the time; say what was not run, or not to the end.

    Those in reserve follow where a limit leaves time, if this machine is as fast as it was so far.
    Of each pattern only the best run keeps its network.
    """

    def check_clock() -> None:
        if time.perf_counter() > deadline:
            raise _OutOfTimeError

    done: list[tuple[PlannedRun, Result]] = []
    notes: list[str] = []
    took: list[tuple[PlannedRun, float]] = []  # finished runs and their seconds

    def needs(run: PlannedRun) -> float:
        """Seconds of a run in reserve: as planned, times how wrong the plan was so far."""
        same = [(r, seconds) for r, seconds in took if r.pattern == run.pattern]
        if run.seed and not same:
            return math.inf  # the pattern itself was not done
        known = same or took
        return run.seconds * sum(s for _, s in known) / sum(r.seconds for r, _ in known)

    runs = (*plan.runs, *(plan.spare if math.isfinite(deadline) else ()))
    with tqdm(runs, "comparing", unit="run", leave=False, disable=not progress) as bar:
        for i, run in enumerate(bar):
            bar.set_postfix_str(run.name)
            began = time.perf_counter()
            left = deadline - began
            if i >= len(plan.runs) and (not took or needs(run) > left):
                continue
            if i < len(plan.runs) and run.seconds > left:
                there = f"{in_words(left)} are left" if left > 0.5 else "the time is used up"
                need = f"it needs about {in_words(run.seconds)}, and {there}"
                notes.append(f"{run.name} was dropped: {need}.")
                continue
            try:
                result = one(run, check_clock)
            except _OutOfTimeError:
                spent = in_words(time.perf_counter() - began)
                notes.append(f"{run.name} was dropped: it was not done after {spent}.")
                continue
            except KeyboardInterrupt:
                result = None
            if result is None or result.note.startswith("interrupted"):
                notes.append(f"Interrupted: {len(runs) - i} runs are missing.")
                break
            if not result.applicable:
                notes.append(f"{run.pattern} is not applicable. {result.note}")
                continue
            if result.note:
                notes.append(f"{run.name}: {result.note}.")
            done.append((run, result))
            took.append((run, time.perf_counter() - began))
            best = _best(done)
            done = [(r, x if x is best[r.pattern] else _without_network(x)) for r, x in done]
            give_memory_back()
    return done, notes


def _without_network(result: Result) -> Result:
    """The same without what holds a network in memory."""
    return replace(result, made=None, facts=dict)


def _best(done: Sequence[tuple[PlannedRun, Result]]) -> dict[str, Result]:
    """Of each pattern the run with the highest validation accuracy; of equals the first."""
    best: dict[str, Result] = {}
    for run, result in done:
        if run.pattern not in best or result.val_accuracy > best[run.pattern].val_accuracy:
            best[run.pattern] = result
    return best
