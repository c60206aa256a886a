"""What to run in a given time, fixed before anything is trained, from how fast this machine is."""

import inspect
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tlcourse import cost
from tlcourse.base.durations import in_words
from tlcourse.engines.engine import make_engine
from tlcourse.engines.stream import stream
from tlcourse.errors import CourseError
from tlcourse.features.probe import STRENGTHS
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.head import map_layer
from tlcourse.networks.network import Network
from tlcourse.networks.tap import are_maps
from tlcourse.networks.trace import up_to
from tlcourse.patterns import reuse
from tlcourse.patterns.reuse import CHEAP, PATTERNS
from tlcourse.tasks.split import Split
from tlcourse.tasks.task import Task, used_counts
from tlcourse.training.data import default_batch_size

SEEDS = (0, 1, 2)
TRAINED = ("frozen_extractor", "fine_tune", "from_scratch")
MOST_EPOCHS = 40  # with plenty of time; twice what is enough, so that a second seed leaves no gap
_FEWEST = 2  # epochs
_FILL = 0.9  # of the budget; the rest is for what cannot be foreseen
_FEATURES = 0.15  # of that at most for computing features; more pictures are not used
_FEATURES_ALONE = 0.6  # the same where nothing is trained
_NEARLY = 0.9  # of the pictures; to leave out fewer than the rest saves nothing
_PASSES = 30  # of logistic regression over its rows, for each strength
_ENOUGH = 0.7  # of the operations in the frozen part, where not all layers can be trained
_STEP = 3  # passes forward that a training step costs at least
_DEAREST = 0.5  # of the time at most for the fewest epochs of one training beside others


@dataclass(frozen=True)
class PlannedRun:
    """One pattern with one seed."""

    pattern: str  # name of a function in `tlcourse.patterns`
    seed: int | None  # decides first weights and order; None where nothing is random
    options: dict[str, Any]  # what else the function is called with
    seconds: float  # how long it should take

    @property
    def name(self) -> str:
        """Pattern and seed, as they stand in a sentence."""
        return self.pattern if self.seed is None else f"{self.pattern} with seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """What `compare` runs, in order; `compare(plan=...)` runs it again."""

    runs: tuple[PlannedRun, ...]  # one for each pattern and seed
    share: float  # of the pictures of each class that are used; 1 for all
    counts: dict[str, int]  # split -> how many pictures that are
    size: int  # side of the pictures that go in, in pixels; of sounds, the length in frames
    budget: float  # seconds that it was made for
    left_out: tuple[str, ...] = ()  # what did not fit, or only in part, in sentences
    spare: tuple[PlannedRun, ...] = ()  # patterns left out, then further seeds, if time is left
    holds: str = "pictures"  # what the task holds
    unit: str = "px"  # of `size`

    @property
    def seconds(self) -> float:
        """How long all runs should take."""
        return sum(run.seconds for run in self.runs)

    def with_spare(self, done: Sequence[PlannedRun]) -> "Plan":
        """The plan of all that was run, where there was time for some of `spare`."""
        runs = (*self.runs, *done)
        about = tuple(f"{run.pattern} is " for run in runs)
        left_out = [sentence for sentence in self.left_out if not sentence.startswith(about)]
        if len(left_out) < len(self.left_out):
            left_out += _shortened(runs)
        spare = tuple(run for run in self.spare if run not in done)
        return replace(self, runs=runs, left_out=tuple(left_out), spare=spare)

    def __repr__(self) -> str:
        used = ", ".join(f"{split} {n}" for split, n in self.counts.items())
        lines = [
            f"Plan for {in_words(self.budget)}: {sum(self.counts.values())} {self.holds} ({used}) "
            f"at {self.size} {self.unit}, about {in_words(self.seconds)} of work"
        ]
        for pattern, runs in _by_pattern(self.runs).items():
            parts = [_seeds(runs), *(_in_words(*option) for option in runs[0].options.items())]
            seconds = in_words(sum(run.seconds for run in runs))
            line = f"  {pattern:21} {'about ' + seconds:18} {'; '.join(filter(None, parts))}"
            lines.append(line.rstrip())
        lines += [f"  {sentence}" for sentence in self.left_out]
        if self.spare:
            more = [
                f"{pattern} with {seeds}" if (seeds := _seeds(runs)) else pattern
                for pattern, runs in _by_pattern(self.spare).items()
            ]
            lines.append(f"  If time is left: {'; '.join(more)}.")
        return "\n".join(lines)


def _by_pattern(runs: Sequence[PlannedRun]) -> dict[str, list[PlannedRun]]:
    patterns = dict.fromkeys(run.pattern for run in runs)
    return {pattern: [run for run in runs if run.pattern == pattern] for pattern in patterns}


def _seeds(runs: Sequence[PlannedRun]) -> str:
    seeds = [str(run.seed) for run in runs if run.seed is not None]
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}" if seeds else ""


def _in_words(option: str, value: Any) -> str:
    """An option for a reader; nothing for what goes without saying."""
    words = {
        "epochs": f"{value} epochs",
        "batch_size": f"batch {value}",
        "freeze_until": f"frozen up to {value}" if value else "all layers",
        "layer": f"cut at {value}" if value != "embedding" else "",
        "head": "a head on maps" if value == "conv" else "",
        "augment": "fresh views" if value else "",
    }
    return words.get(option, "")


def make_plan(
    backbone: Backbone,
    task: Task,
    budget: float,
    patterns: Sequence[str],
    *,
    layer: str,
    augment: bool | None,
    batch_size: int | None = None,
) -> Plan:
    """Measure how fast this machine is, and plan what fills `budget` seconds.

    First each pattern gets a few epochs, then enough of them (its own default), then three seeds,
    then more epochs, up to `MOST_EPOCHS`. The dearest pattern is left out while not even the fewest
    epochs of all patterns fit, or its own would take over half of the time. If time is left after
    all, it gets these.
    """
    started = time.perf_counter()

    def room() -> float:
        return _FILL * budget - (time.perf_counter() - started)

    network = Network(backbone, len(task.classes), layer=layer)
    if batch_size is None:
        batch_size = default_batch_size(network, len(task.train))
    n_pictures = sum(used_counts(task, 1.0).values())
    seconds, width = time_features(backbone, task.train, layer, n_pictures)
    chosen = [pattern for pattern in PATTERNS if pattern in patterns]
    features = _FEATURES if set(chosen) & set(TRAINED) else _FEATURES_ALONE
    share, notes = _share(task, seconds, features * room())
    counts = {name: n for name, n in used_counts(task, share).items() if n}
    options = {p: _options(backbone, p, layer, augment, batch_size) for p in chosen}
    forecast = Forecast(backbone, counts, len(task.classes), options, seconds, width)
    until, whole = _until(backbone, layer), forecast.least_whole_seconds
    others = forecast.seconds(Effort.least([p for p in chosen if p in CHEAP], None))
    too_dear = others + whole > room()  # to measure what cannot fit would take long
    cuts = [None] * (not too_dear) + [until] * (until is not None)
    dropped: dict[str, float] = {}  # pattern -> seconds that it would take
    amount = "more than"
    if too_dear:
        dear = ["from_scratch"] if cuts else ["from_scratch", "fine_tune"]
        for pattern in (pattern for pattern in dear if pattern in chosen):
            chosen.remove(pattern)
            dropped[pattern] = whole
            notes.append(f"{pattern} is left out: it would take more than {in_words(whole)}.")
    while chosen:
        for cut in cuts or [None]:
            effort = Effort.least(chosen, cut)
            if forecast.seconds(effort) <= room() and _shared(forecast.runs(effort)[0], room()):
                effort = _richest(effort, lambda e: forecast.seconds(e) <= room())
                runs, seeds = forecast.runs(effort)
                spare = [
                    PlannedRun(
                        p, _seeds_of(p)[0], forecast.options_of(Effort.least([p], until), p), s
                    )
                    for p, s in reversed(dropped.items())  # the dearest was dropped first
                ]
                left_out, size = (*notes, *_shortened(runs)), backbone.preprocess.size
                about = (task.holds, backbone.preprocess.unit)
                spared = (*spare, *seeds)
                return Plan(tuple(runs), share, counts, size, budget, left_out, spared, *about)
        runs, _ = forecast.runs(effort)
        takes = {p: sum(run.seconds for run in each) for p, each in _by_pattern(runs).items()}
        dearest, amount = max(chosen, key=takes.__getitem__), "about"
        chosen.remove(dearest)
        dropped[dearest] = takes[dearest]
        notes.append(f"{dearest} is left out: it would take about {in_words(takes[dearest])}.")
    dearest = list(dropped)[-1]
    need = (dropped[dearest] + _FILL * budget - room()) / _FILL
    smaller = "shorter sounds" if backbone.preprocess.kind == "sounds" else "smaller pictures"
    raise CourseError(
        f"A budget of {in_words(budget)} is too small for any pattern: {dearest} needs {amount} "
        f"{in_words(need)}, with the time to get ready. Give more time, or take {smaller}: "
        "backbone.at_size(128)."
    )


def _shared(runs: Sequence[PlannedRun], room: float) -> bool:
    """Whether no training takes the time that the others could use better."""
    trained = [run.seconds for run in runs if run.pattern in TRAINED]
    return len(trained) < 2 or max(trained) <= _DEAREST * room


def enough_epochs(pattern: str) -> int:
    """How many epochs a pattern is trained for by default, 0 where it is not trained."""
    return int(_default(pattern, "epochs") or 0)


def _seeds_of(pattern: str) -> tuple[int | None, ...]:
    return SEEDS if pattern in TRAINED else (None,)


def _default(pattern: str, option: str) -> Any:
    """Default of an option of a pattern; None where it has no such option."""
    known = inspect.signature(getattr(reuse, pattern)).parameters
    return known[option].default if option in known else None


def _options(
    backbone: Backbone, pattern: str, layer: str, augment: bool | None, batch_size: int
) -> dict[str, Any]:
    """Options of a pattern but its epochs, which depend on the time."""
    if pattern == "classifier":
        return {}
    if pattern == "standalone_extractor":
        return {"layer": layer}
    views = _default(pattern, "augment") if augment is None else augment
    options = {"layer": layer, "batch_size": batch_size, "augment": views}
    if pattern == "frozen_extractor":
        where = _layer_of_maps(backbone, layer) if views else None
        options |= {"layer": where or layer, "head": "conv" if where else "linear"}
    return options


def _layer_of_maps(backbone: Backbone, layer: str) -> str | None:
    """The layer itself if it gives maps, or else the default one; None for a network without."""
    where = backbone.layer(layer)
    record = backbone.trace.get(where.path)
    behind = where.side == "output" and layer != "embedding"
    if behind and record and are_maps(record.output_shape):
        return layer
    with suppress(CourseError):
        return map_layer(backbone)
    return None


@dataclass(frozen=True)
class Effort:
    """How much is done for each pattern, in the order of the course."""

    epochs: dict[str, int]  # 0 where nothing is trained
    seeds: dict[str, int]  # how many
    freeze_until: str | None  # in fine_tune

    @classmethod
    def least(cls, patterns: Sequence[str], freeze_until: str | None) -> "Effort":
        """The fewest epochs, with one seed.

        All layers of fine_tune may move only where it gets half of what is enough.
        """
        epochs = {pattern: _FEWEST * (pattern in TRAINED) for pattern in patterns}
        if "fine_tune" in epochs and freeze_until is None:
            epochs["fine_tune"] = max(_FEWEST, enough_epochs("fine_tune") // 2)
        return cls(epochs, dict.fromkeys(patterns, 1), freeze_until)

    @property
    def trained(self) -> list[str]:
        """Patterns that are trained."""
        return [pattern for pattern, epochs in self.epochs.items() if epochs]

    def longer(self, pattern: str) -> "Effort":
        """The same with one more epoch for a pattern."""
        return replace(self, epochs=self.epochs | {pattern: self.epochs[pattern] + 1})

    def again(self, pattern: str) -> "Effort":
        """The same with one more seed for a pattern."""
        return replace(self, seeds=self.seeds | {pattern: self.seeds[pattern] + 1})


def _richest(effort: Effort, fits: Callable[[Effort], bool]) -> Effort:
    """Add what fits: enough epochs, then seeds, then epochs again."""
    enough = {pattern: enough_epochs(pattern) for pattern in effort.trained}
    effort = _lengthened(effort, enough, fits)
    if all(effort.epochs[pattern] >= n for pattern, n in enough.items()):
        for pattern in (p for p in effort.trained for _ in SEEDS[1:]):
            if not fits(more := effort.again(pattern)):
                break
            effort = more
    return _lengthened(effort, dict.fromkeys(effort.trained, MOST_EPOCHS), fits)


def _lengthened(effort: Effort, most: dict[str, int], fits: Callable[[Effort], bool]) -> Effort:
    """Add epochs up to `most` while they fit, always for the pattern that has least of its own."""
    growing = list(effort.trained)
    while growing:
        pattern = min(growing, key=lambda p: effort.epochs[p] / most[p])
        more = effort.longer(pattern)
        if effort.epochs[pattern] < most[pattern] and fits(more):
            effort = more
        else:
            growing.remove(pattern)
    return effort


@dataclass(frozen=True, eq=False)
class Forecast:
    """How long each pattern will take on this machine."""

    backbone: Backbone
    counts: dict[str, int]  # split -> pictures
    n_classes: int
    options: dict[str, dict[str, Any]]  # of each pattern, but its epochs
    picture_seconds: float  # to open a picture and to compute its features
    width: int  # number of features
    _epochs: dict[tuple[Any, ...], float] = field(default_factory=dict)

    @property
    def least_whole_seconds(self) -> float:
        """What the fewest epochs in which all layers move take at least."""
        passes = _FEWEST * _STEP * self.counts["train"]
        return self.picture_seconds * passes + self._opening_seconds

    def seconds(self, effort: Effort) -> float:
        """Of all runs."""
        return sum(run.seconds for run in self.runs(effort)[0])

    def runs(self, effort: Effort) -> tuple[list[PlannedRun], list[PlannedRun]]:
        """All runs, in order, and those with the seeds that are not among them.

        Other seeds come after all patterns: what is dropped when time runs out is at the end.
        """
        runs: list[PlannedRun] = []
        spare: list[PlannedRun] = []
        known: set[str | None] = {None}  # layers whose features are stored by then
        for pattern, n_seeds in effort.seeds.items():
            options = self.options_of(effort, pattern)
            for place, seed in enumerate(_seeds_of(pattern)):
                needs = self._features_of(pattern, options)
                seconds = self._seconds(pattern, options, known=needs in known)
                known.add(needs)
                run = PlannedRun(pattern, seed, options, seconds)
                (runs if place < n_seeds else spare).append(run)
        return sorted(runs, key=lambda run: bool(run.seed)), spare

    def options_of(self, effort: Effort, pattern: str) -> dict[str, Any]:
        """All options of a pattern."""
        options = dict(self.options[pattern])
        if pattern in TRAINED:
            options["epochs"] = effort.epochs[pattern]
        if pattern == "fine_tune":
            options["freeze_until"] = effort.freeze_until
        return options

    @property
    def _opening_seconds(self) -> float:
        """Of a training from pictures: each is opened and seen at the end, those of val twice."""
        return self.picture_seconds * (sum(self.counts.values()) + self.counts.get("val", 0))

    @staticmethod
    def _features_of(pattern: str, options: dict[str, Any]) -> str | None:
        """Layer of the stored features that a pattern needs."""
        return None if pattern in ("classifier", "from_scratch") else options["layer"]

    def _seconds(self, pattern: str, options: dict[str, Any], known: bool) -> float:
        """Of one run; the first one that needs the features computes them for the others."""
        n, n_train = sum(self.counts.values()), self.counts["train"]
        if pattern == "classifier":
            return self.picture_seconds * (n - n_train)
        seconds = 0.0 if known else self.picture_seconds * n
        if pattern in ("standalone_extractor", "fine_tune"):
            # A probe: its operations, at the speed at which the network makes its own.
            each = 4 * n_train * min(n_train, self.width) * self.n_classes
            operations = len(STRENGTHS) * _PASSES * each
            seconds += operations / max(self.backbone.operations, 1) * self.picture_seconds
        if pattern not in CHEAP:
            seconds += self._opening_seconds
        if pattern == "frozen_extractor" and options["augment"]:
            # Each view goes through the body, as for features; beside that its head is small.
            seconds += options["epochs"] * n_train * self.picture_seconds
        elif pattern in TRAINED:
            until = options["layer"] if pattern in CHEAP else options.get("freeze_until")
            seconds += options["epochs"] * self._epoch_seconds(pattern, until)
        return seconds

    def _epoch_seconds(self, pattern: str, freeze_until: str | None) -> float:
        n, options = self.counts["train"], self.options[pattern]
        cached = freeze_until is not None and not options["augment"]
        if (freeze_until, cached) not in self._epochs:
            self._epochs[freeze_until, cached] = cost.epoch(
                self.backbone,
                n_pictures=n,
                repeats=1,
                batch=options["batch_size"],
                size=None,
                layer=options["layer"],
                n_classes=self.n_classes,
                freeze_until=freeze_until,
                cached=cached,
            ).seconds
        # A validation picture only goes forward: about a third of a training step.
        return self._epochs[freeze_until, cached] * (1 + self.counts.get("val", 0) / (3 * n))


def time_features(
    backbone: Backbone, split: Split, layer: str, n_pictures: int
) -> tuple[float, int]:
    """Compute features of a few pictures: the seconds for each, and how many features it has.

    The engine is the one that will be taken for `n_pictures`.
    """
    engine = make_engine(backbone, [layer], n=n_pictures)
    at_once = engine.batch_size * engine.at_once
    n = min(max(4 * at_once, 32), 96)
    places = np.unique(np.linspace(0, len(split) - 1, n).astype(int))
    stamps, width = [time.perf_counter()], 0
    with closing(stream(engine, split.take(places))) as batches:
        for _, rows in batches:
            stamps.append(time.perf_counter())
            width = rows[layer][0].size
    # Batches that are computed side by side come out together.
    each = stamps[1 :: engine.at_once]
    if len(each) > 1:  # in the first batch, which is not counted, the network gets ready
        # The median, as another program may have been busy for a moment.
        return float(np.median(np.diff(each))) / at_once, width
    return (stamps[-1] - stamps[0]) / len(places), width


def _share(task: Task, picture_seconds: float, room: float) -> tuple[float, list[str]]:
    """Share of the pictures to use, so that their features take no longer than `room`."""
    n = sum(used_counts(task, 1.0).values())
    share = max(room / picture_seconds, 10 * len(task.classes)) / n
    used = sum(used_counts(task, share).values())
    if room <= 0 or used > _NEARLY * n:
        return 1.0, []
    return share, [
        f"Only {used} of the {n} {task.holds} are used, from each class its share: to compute the "
        f"features of all would take about {in_words(n * picture_seconds)}."
    ]


def _shortened(runs: Sequence[PlannedRun]) -> list[str]:
    """Say in a sentence for each pattern what it is given less of than is enough."""
    sentences = []
    for pattern, each in _by_pattern(runs).items():
        options, full = each[0].options, enough_epochs(pattern)
        epochs = options.get("epochs", 0)
        less = [f"{epochs} of {full} epochs"] * (epochs < full)
        less += [f"{len(each)} of {len(SEEDS)} seeds"] * (
            pattern in TRAINED and len(each) < len(SEEDS)
        )
        if options.get("freeze_until"):
            less.append(f"frozen up to {options['freeze_until']}")
        if less:
            sentences.append(f"{pattern} is shortened to fit the time: {', '.join(less)}.")
    return sentences


def _until(backbone: Backbone, layer: str) -> str | None:
    """First layer up to which most operations are done, if there is one before the cut."""
    trace, cut = backbone.trace, backbone.layer(layer)
    for name in backbone.layers:
        path = backbone.layer(name).path
        if not path or trace[path].position >= trace[cut.path].position:
            return None
        if up_to(trace, path)[1] >= _ENOUGH * backbone.operations:
            return name
    return None
