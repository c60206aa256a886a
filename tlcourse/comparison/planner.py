"""What to run in a given time: the plan that follows from how fast this machine is."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tlcourse import cost
from tlcourse.base.durations import in_words
from tlcourse.comparison.plan import Plan, PlannedRun
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
_FILL = 0.8  # of the budget; the rest is for what cannot be foreseen
_FEATURES = 0.4  # of that at most for computing features; more pictures are not used
_HEAD_EPOCHS = 10
_PASSES = 30  # of logistic regression over its rows, for each strength
_ENOUGH = 0.7  # of the operations in the frozen part, where not all layers can be trained


@dataclass(frozen=True)
class Effort:
    """How much the two patterns that train the network are given.

    Attributes:
        tuning_epochs: Of fine_tune.
        scratch_epochs: Of from_scratch.
        n_seeds: Of both.
        freeze: Whether the early layers stay frozen in fine_tune.
    """

    tuning_epochs: int
    scratch_epochs: int
    n_seeds: int = 1
    freeze: bool = False


EFFORTS = (  # from rich to poor; the first one that fits is taken
    Effort(6, 10, n_seeds=len(SEEDS)),
    Effort(6, 10),
    Effort(6, 6),
    Effort(5, 5),
    Effort(4, 4),
    Effort(3, 3),
    Effort(6, 3, freeze=True),
    Effort(3, 3, freeze=True),
)


@dataclass(frozen=True, eq=False)
class Forecast:
    """How long each pattern will take on this machine.

    Attributes:
        backbone: The network.
        counts: Split -> number of pictures.
        n_classes: Of the task.
        training: Options of all trainings: "layer", "batch_size" and "augment".
        picture_seconds: To open a picture and to compute its features.
        width: Number of features.
    """

    backbone: Backbone
    counts: dict[str, int]
    n_classes: int
    training: dict[str, Any]
    picture_seconds: float
    width: int
    _epochs: dict[str | None, float] = field(default_factory=dict)

    def runs(self, patterns: Sequence[str], effort: Effort) -> list[PlannedRun]:
        """All runs, the first seed of each pattern before the others."""
        first: list[PlannedRun] = []
        later: list[PlannedRun] = []
        known = False  # whether the features are stored by then
        for pattern in patterns:
            options = self._options(pattern, effort)
            seeds = SEEDS if pattern == "frozen_extractor" else SEEDS[: effort.n_seeds]
            for seed in seeds if "epochs" in options else (None,):
                run = PlannedRun(pattern, seed, options, self._seconds(pattern, options, known))
                (later if seed and pattern not in CHEAP else first).append(run)
                known = known or pattern != "classifier"
        return first + later

    def _options(self, pattern: str, effort: Effort) -> dict[str, Any]:
        until = _until(self.backbone, self.training["layer"]) if effort.freeze else None
        return {
            "classifier": {},
            "standalone_extractor": {"layer": self.training["layer"]},
            "frozen_extractor": self.training | {"epochs": _HEAD_EPOCHS},
            "fine_tune": self.training | {"epochs": effort.tuning_epochs, "freeze_until": until},
            "from_scratch": self.training | {"epochs": effort.scratch_epochs},
        }[pattern]

    def _seconds(self, pattern: str, options: dict[str, Any], known: bool) -> float:
        """Of one run; the first one that needs the features computes them for the others."""
        n = sum(self.counts.values())
        if pattern == "classifier":
            return self.picture_seconds * (n - self.counts["train"])
        seconds = 0.0 if known or pattern == "from_scratch" else self.picture_seconds * n
        if pattern in ("standalone_extractor", "fine_tune"):
            seconds += self._probe_seconds()
        if pattern in ("fine_tune", "from_scratch"):  # each picture is opened, those of val twice
            seconds += self.picture_seconds * (n + self.counts.get("val", 0))
        if "epochs" in options:
            until = options["layer"] if pattern in CHEAP else options.get("freeze_until")
            seconds += options["epochs"] * self._epoch_seconds(until)
        return seconds

    def _probe_seconds(self) -> float:
        """To fit a probe: its operations, at the speed at which the network makes its own."""
        n = self.counts["train"]
        operations = len(STRENGTHS) * _PASSES * 4 * n * min(n, self.width) * self.n_classes
        return operations / max(self.backbone.operations, 1) * self.picture_seconds

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

    Raises:
        CourseError: Not even one pattern fits.
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
    chosen = [pattern for pattern in PATTERNS if pattern in patterns]
    while chosen:
        for effort in EFFORTS:
            runs = forecast.runs(chosen, effort)
            if sum(run.seconds for run in runs) <= room():
                notes += _shortened(runs, effort)
                size = backbone.preprocess.crop_size
                return Plan(tuple(runs), share, counts, size, budget, tuple(notes))
        takes = {p: sum(run.seconds for run in runs if run.pattern == p) for p in chosen}
        dearest = max(chosen, key=takes.__getitem__)
        chosen.remove(dearest)
        notes.append(f"{dearest} is left out: it would take about {in_words(takes[dearest])}.")
    need = (takes[dearest] + _FILL * budget - room()) / _FILL
    raise CourseError(
        f"A budget of {in_words(budget)} is too small for any pattern: {dearest} needs about "
        f"{in_words(need)}, with the time to get ready. Give more time, or take smaller pictures: "
        "backbone.at_size(128)."
    )


def time_features(backbone: Backbone, split: Split, layer: str) -> tuple[float, int]:
    """Compute features of a few pictures: the seconds for each, and how many features it has.

    The first batch is not counted where there are more: in it the network gets ready.
    """
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
    if len(stamps) > 2:
        return (stamps[-1] - stamps[1]) / (len(places) - batch_size), width
    return (stamps[1] - stamps[0]) / len(places), width


def _share(task: Task, picture_seconds: float, room: float) -> tuple[float, list[str]]:
    """Share of the pictures to use, so that there is time left for more than their features."""
    n = sum(used_counts(task, 1.0).values())
    possible = _FEATURES * room / picture_seconds
    share = max(possible, 10 * len(task.classes)) / n
    used = sum(used_counts(task, share).values())
    if room <= 0 or used >= n:
        return 1.0, []
    return share, [
        f"Only {used} of the {n} pictures are used, from each class its share: to compute the "
        f"features of all would take about {in_words(n * picture_seconds)}."
    ]


def _shortened(runs: Sequence[PlannedRun], effort: Effort) -> list[str]:
    """Say in a sentence for each pattern what it is given less of than with plenty of time."""
    full, sentences = EFFORTS[0], []
    for run in runs:
        if run.seed != 0 or run.pattern in CHEAP:
            continue
        epochs = full.tuning_epochs if run.pattern == "fine_tune" else full.scratch_epochs
        less = [f"{run.options['epochs']} of {epochs} epochs"] * (run.options["epochs"] < epochs)
        less += [f"{effort.n_seeds} of {full.n_seeds} seeds"] * (effort.n_seeds < full.n_seeds)
        if run.options.get("freeze_until"):
            less.append(f"frozen up to {run.options['freeze_until']}")
        if less:
            sentences.append(f"{run.pattern} is shortened to fit the time: {', '.join(less)}.")
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
