"""What to run in a given time, fixed before anything is trained, from how fast this machine is."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tlcourse import cost
from tlcourse.base.durations import in_words
from tlcourse.errors import CourseError
from tlcourse.features.features import extract_features
from tlcourse.features.probe import STRENGTHS
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.fast import fast_batch_size
from tlcourse.networks.network import Network
from tlcourse.networks.trace import up_to
from tlcourse.patterns.reuse import CHEAP, PATTERNS
from tlcourse.tasks.split import Split
from tlcourse.tasks.task import Task, used_counts
from tlcourse.training.data import default_batch_size

SEEDS = (0, 1, 2)
EPOCHS = {"frozen_extractor": 10, "fine_tune": 6, "from_scratch": 10}  # with plenty of time
_FEWEST = 3  # epochs
_FILL = 0.8  # of the budget; the rest is for what cannot be foreseen
_FEATURES = 0.4  # of that at most for computing features; more pictures are not used
_PASSES = 30  # of logistic regression over its rows, for each strength
_ENOUGH = 0.7  # of the operations in the frozen part, where not all layers can be trained


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
    size: int  # side of the pictures that go in, in pixels
    budget: float  # seconds that it was made for
    left_out: tuple[str, ...] = ()  # what did not fit, or only in part, in sentences

    @property
    def seconds(self) -> float:
        """How long all runs should take."""
        return sum(run.seconds for run in self.runs)

    def __repr__(self) -> str:
        used = ", ".join(f"{split} {n}" for split, n in self.counts.items())
        lines = [
            f"Plan for {in_words(self.budget)}: {sum(self.counts.values())} pictures ({used}) "
            f"at {self.size} px, about {in_words(self.seconds)} of work"
        ]
        for pattern, runs in _by_pattern(self.runs).items():
            seeds = [str(run.seed) for run in runs if run.seed is not None]
            parts = [f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}"] * bool(seeds)
            parts += [_in_words(*option) for option in runs[0].options.items()]
            seconds = in_words(sum(run.seconds for run in runs))
            line = f"  {pattern:21} {'about ' + seconds:18} {'; '.join(filter(None, parts))}"
            lines.append(line.rstrip())
        return "\n".join([*lines, *(f"  {sentence}" for sentence in self.left_out)])


def _by_pattern(runs: Sequence[PlannedRun]) -> dict[str, list[PlannedRun]]:
    patterns = dict.fromkeys(run.pattern for run in runs)
    return {pattern: [run for run in runs if run.pattern == pattern] for pattern in patterns}


def _in_words(option: str, value: Any) -> str:
    """An option for a reader; nothing for what goes without saying."""
    words = {
        "epochs": f"{value} epochs",
        "batch_size": f"batch {value}",
        "freeze_until": f"frozen up to {value}" if value else "all layers",
        "layer": f"cut at {value}" if value != "embedding" else "",
        "augment": "random crops" if value else "",
    }
    return words.get(option, "")


def make_plan(
    backbone: Backbone,
    task: Task,
    budget: float,
    patterns: Sequence[str],
    *,
    layer: str,
    augment: bool,
    batch_size: int | None = None,
) -> Plan:
    """Measure how fast this machine is, and plan what fits into `budget` seconds.

    The dearest pattern is left out while not even the fewest epochs of all patterns fit.
    """
    started = time.perf_counter()

    def room() -> float:
        return _FILL * budget - (time.perf_counter() - started)

    network = Network(backbone, len(task.classes), layer=layer)
    batch_size = default_batch_size(network) if batch_size is None else batch_size
    training = {"layer": layer, "batch_size": batch_size, "augment": augment}
    seconds, width = time_features(backbone, task.train, layer)
    share, notes = _share(task, seconds, room())
    counts = {name: n for name, n in used_counts(task, share).items() if n}
    forecast = Forecast(backbone, counts, len(task.classes), training, seconds, width)
    fewer = range(max(EPOCHS.values()), _FEWEST - 1, -1)
    efforts: list[tuple[int, tuple[int, ...], str | None]] = [  # from rich to poor
        (fewer[0], SEEDS, None),
        *((n, SEEDS[:1], until) for until in (None, _until(backbone, layer)) for n in fewer),
    ]
    chosen = [pattern for pattern in PATTERNS if pattern in patterns]
    while chosen:
        for epochs, seeds, until in efforts:
            runs = forecast.runs(chosen, epochs=epochs, seeds=seeds, freeze_until=until)
            if sum(run.seconds for run in runs) <= room():
                left_out = (*notes, *_shortened(runs))
                size = backbone.preprocess.crop_size
                return Plan(tuple(runs), share, counts, size, budget, left_out)
        takes = {p: sum(run.seconds for run in each) for p, each in _by_pattern(runs).items()}
        dearest = max(chosen, key=takes.__getitem__)
        chosen.remove(dearest)
        notes.append(f"{dearest} is left out: it would take about {in_words(takes[dearest])}.")
    need = (takes[dearest] + _FILL * budget - room()) / _FILL
    raise CourseError(
        f"A budget of {in_words(budget)} is too small for any pattern: {dearest} needs about "
        f"{in_words(need)}, with the time to get ready. Give more time, or take smaller pictures: "
        "backbone.at_size(128)."
    )


@dataclass(frozen=True, eq=False)
class Forecast:
    """How long each pattern will take on this machine."""

    backbone: Backbone
    counts: dict[str, int]  # split -> pictures
    n_classes: int
    training: dict[str, Any]  # options of all trainings: "layer", "batch_size" and "augment"
    picture_seconds: float  # to open a picture and to compute its features
    width: int  # number of features
    _epochs: dict[str | None, float] = field(default_factory=dict)

    def runs(
        self,
        patterns: Sequence[str],
        *,
        epochs: int,
        seeds: tuple[int, ...],
        freeze_until: str | None,
    ) -> list[PlannedRun]:
        """All runs, in order; what is dear repeats with other seeds only after all patterns."""
        runs: list[PlannedRun] = []
        known = False  # whether the features are stored by then
        tuning = {"epochs": min(epochs, EPOCHS["fine_tune"]), "freeze_until": freeze_until}
        options = {
            "classifier": {},
            "standalone_extractor": {"layer": self.training["layer"]},
            "frozen_extractor": self.training | {"epochs": EPOCHS["frozen_extractor"]},
            "fine_tune": self.training | tuning,
            "from_scratch": self.training | {"epochs": epochs},
        }
        for pattern in patterns:
            each = seeds if pattern not in CHEAP else SEEDS
            for seed in each if pattern in EPOCHS else (None,):
                seconds = self._seconds(pattern, options[pattern], known)
                runs.append(PlannedRun(pattern, seed, options[pattern], seconds))
                known = known or pattern != "classifier"
        return sorted(runs, key=lambda run: bool(run.seed) and run.pattern not in CHEAP)

    def _seconds(self, pattern: str, options: dict[str, Any], known: bool) -> float:
        """Of one run; the first one that needs the features computes them for the others."""
        n, n_train = sum(self.counts.values()), self.counts["train"]
        if pattern == "classifier":
            return self.picture_seconds * (n - n_train)
        seconds = 0.0 if known or pattern == "from_scratch" else self.picture_seconds * n
        if pattern in ("standalone_extractor", "fine_tune"):
            # A probe: its operations, at the speed at which the network makes its own.
            each = 4 * n_train * min(n_train, self.width) * self.n_classes
            operations = len(STRENGTHS) * _PASSES * each
            seconds += operations / max(self.backbone.operations, 1) * self.picture_seconds
        if pattern not in CHEAP:  # each picture is opened, those of val twice
            seconds += self.picture_seconds * (n + self.counts.get("val", 0))
        if pattern in EPOCHS:
            until = options["layer"] if pattern in CHEAP else options.get("freeze_until")
            seconds += options["epochs"] * self._epoch_seconds(until)
        return seconds

    def _epoch_seconds(self, freeze_until: str | None) -> float:
        n = self.counts["train"]
        if freeze_until not in self._epochs:
            self._epochs[freeze_until] = cost.epoch(
                self.backbone,
                n_pictures=n,
                repeats=1,
                batch=self.training["batch_size"],
                size=None,
                layer=self.training["layer"],
                n_classes=self.n_classes,
                freeze_until=freeze_until,
                cached=freeze_until is not None and not self.training["augment"],
            ).seconds
        # A validation picture only goes forward: about a third of a training step.
        return self._epochs[freeze_until] * (1 + self.counts.get("val", 0) / (3 * n))


def time_features(backbone: Backbone, split: Split, layer: str) -> tuple[float, int]:
    """Compute features of a few pictures: the seconds for each, and how many features it has."""
    batch_size = fast_batch_size(backbone)
    n = min(max(4 * batch_size, 32), 96)
    places = np.unique(np.linspace(0, len(split) - 1, n).astype(int))
    stamps = [time.perf_counter()]
    features = extract_features(
        backbone,
        split.take(places),
        layer,
        cache=False,
        batch_size=batch_size,
        progress=False,
        on_batch=lambda: stamps.append(time.perf_counter()),
    )
    width = features.x[layer][0].size
    if len(stamps) > 2:  # in the first batch, which is not counted, the network gets ready
        return (stamps[-1] - stamps[1]) / (len(places) - batch_size), width
    return (stamps[1] - stamps[0]) / len(places), width


def _share(task: Task, picture_seconds: float, room: float) -> tuple[float, list[str]]:
    """Share of the pictures to use, so that there is time left for more than their features."""
    n = sum(used_counts(task, 1.0).values())
    share = max(_FEATURES * room / picture_seconds, 10 * len(task.classes)) / n
    used = sum(used_counts(task, share).values())
    if room <= 0 or used >= n:
        return 1.0, []
    return share, [
        f"Only {used} of the {n} pictures are used, from each class its share: to compute the "
        f"features of all would take about {in_words(n * picture_seconds)}."
    ]


def _shortened(runs: Sequence[PlannedRun]) -> list[str]:
    """Say in a sentence for each pattern what it is given less of than with plenty of time."""
    sentences = []
    for pattern, each in _by_pattern(runs).items():
        options = each[0].options
        epochs, full = options.get("epochs"), EPOCHS.get(pattern)
        less = [f"{epochs} of {full} epochs"] * (epochs != full)
        less += [f"{len(each)} of {len(SEEDS)} seeds"] * (
            full is not None and len(each) < len(SEEDS)
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
