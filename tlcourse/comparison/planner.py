"""What to run in a given time: the plan that follows from how fast this machine is."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from tlcourse.base.device import fixed_seed, synchronize
from tlcourse.base.durations import in_words
from tlcourse.comparison.plan import Plan, PlannedRun
from tlcourse.errors import CourseError
from tlcourse.features.features import extract_features
from tlcourse.features.probe import STRENGTHS
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.networks.trace import up_to
from tlcourse.patterns.reuse import CHEAP, PATTERNS
from tlcourse.tasks.task import Task, used_counts
from tlcourse.training.data import default_batch_size
from tlcourse.training.finetune import parameter_groups
from tlcourse.training.step import Stepper

_ITERATIONS = 60  # of logistic regression; seen were 10 to 60


@dataclass(frozen=True)
class Speeds:
    """What the timing probe found, in seconds.

    Attributes:
        start: To get ready to compute features.
        look: For each picture whose features are computed.
        open: To open and preprocess a picture.
        learn: For each picture in a training step of all layers.
        probe: To fit a linear probe to the features of all training pictures.
    """

    start: float
    look: float
    open: float
    learn: float
    probe: float


def measure_speeds(network: Network, task: Task, batch_size: int) -> Speeds:
    """Time a few pictures and a training step; the network is a copy that may be spoilt."""
    backbone = network.backbone
    enough = int(np.clip(28 * (224 / backbone.preprocess.crop_size) ** 2, 28, 120))
    places = np.unique(np.linspace(0, len(task.train) - 1, enough).astype(int))
    few, more = task.train.take(places[:4]), task.train.take(places)
    options = {"layers": network.layer, "cache": False, "progress": False}
    first, second = (extract_features(backbone, split, **options) for split in (few, more))
    added = max(len(more) - len(few), 1)
    look = max((second.seconds - first.seconds) / added, 0.2 * second.seconds / len(more))
    start = max(second.seconds - look * len(more), 0.0)
    began = time.perf_counter()
    opened = [backbone.preprocess(picture) for picture, _ in few]
    opening = (time.perf_counter() - began) / len(few)
    learn = _step_seconds(network, opened, batch_size) / batch_size
    width = first.x[network.layer].reshape(len(few), -1).shape[1]
    return Speeds(start, look, opening, learn, _probe_seconds(task, width))


def _step_seconds(network: Network, pictures: list[torch.Tensor], batch_size: int) -> float:
    """Seconds of a training step of all layers, after a first one."""
    device = network.backbone.device
    whole = [pictures[i % len(pictures)] for i in range(batch_size)]
    batch = torch.stack(whole).to(device, memory_format=torch.channels_last)
    labels = torch.zeros(batch_size, dtype=torch.int64, device=device)
    with fixed_seed(0, device):
        groups = parameter_groups(network, 1e-6)
        stepper = Stepper(groups, nn.CrossEntropyLoss(), device, n_steps=3)
        network.to(memory_format=torch.channels_last).train()
        seconds = []
        for _ in range(3):
            synchronize(device)
            began = time.perf_counter()
            stepper.step(network, batch, labels)
            synchronize(device)
            seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def _probe_seconds(task: Task, width: int) -> float:
    """Seconds to fit a probe to all training pictures, from the speed of matrix products."""
    square = np.ones((512, 512))
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        square @ square
        seconds.append(time.perf_counter() - began)
    rate = 2 * 512**3 / min(seconds)  # operations per second
    n, n_classes = len(task.train), len(task.classes)
    turned = min(n, width)
    turning = 20 * n * turned * width / rate if n < width else 0.0
    each = 4 * n * turned * n_classes / rate + 1e-3  # one iteration: forward and backward
    return turning + len(STRENGTHS) * _ITERATIONS * each


SEEDS = (0, 1, 2)

_FILL = 0.8  # of the budget; the rest is for what the probe cannot foresee
_LOOK = 0.4  # of it at most for computing features; more pictures than that are not used
_HEAD_EPOCHS = 10
_EACH = 0.8  # seconds that every training takes beside its steps
_ENOUGH = 0.7  # of the operations in the frozen part, where not all can be trained

# From rich to poor: (freeze?, epochs of fine_tune, epochs of from_scratch, seeds). Without a
# freeze, all layers are trained.
_SETTINGS = (
    *((False, 6, 10, seeds) for seeds in (3, 1)),
    *((False, epochs, epochs, 1) for epochs in (6, 5, 4, 3)),
    *((True, 6, epochs, 1) for epochs in (6, 3)),
    (True, 3, 3, 1),
)


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

    Args:
        backbone: The network.
        task: The pictures.
        budget: Seconds for everything.
        patterns: Names of `PATTERNS`, those to run.
        layer: Where the backbone is cut.
        augment: Whether trainings show random crops.
        batch_size: Pictures per training step; by default what the memory allows.

    Raises:
        CourseError: Not even one pattern fits.
    """
    started = time.perf_counter()
    network = Network(backbone, len(task.classes), layer=layer)
    if batch_size is None:
        batch_size = default_batch_size(network)
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise CourseError(f"batch_size is {batch_size!r}, but must be a whole number from 1 on.")
    speeds = measure_speeds(network, task, batch_size)
    room = _FILL * budget - (time.perf_counter() - started)
    share, notes = _share(task, speeds, room)
    counts = {name: n for name, n in used_counts(task, share).items() if n}
    chosen = [p for p in PATTERNS if p in patterns]
    runs: list[PlannedRun] = []
    while chosen:
        for setting in _SETTINGS:
            runs = _runs(backbone, counts, speeds, chosen, setting, layer, batch_size, augment)
            if sum(run.seconds for run in runs) <= room:
                break
        else:  # not even in the shortest setting: what takes the longest is left out
            takes = {p: sum(r.seconds for r in runs if r.pattern == p) for p in chosen}
            last = max(chosen, key=takes.__getitem__)
            chosen.remove(last)
            notes.append(f"{last} is left out: it would take about {in_words(takes[last])}.")
            runs = []
            continue
        break
    if not runs:
        need = (takes[last] + budget * _FILL - room) / _FILL
        raise CourseError(
            f"A budget of {in_words(budget)} is too small for any pattern: {last} needs "
            f"about {in_words(need)}, with the time to get ready. Give more time, or take smaller "
            "pictures: backbone.at_size(128)."
        )
    return Plan(
        tuple(runs), share, counts, backbone.preprocess.crop_size, budget, left_out=tuple(notes)
    )


def _share(task: Task, speeds: Speeds, room: float) -> tuple[float, list[str]]:
    """Share of the pictures to use, so that there is time left for more than their features."""
    n = sum(used_counts(task, 1.0).values())
    possible = (_LOOK * room - speeds.start) / speeds.look
    if n <= possible or room <= 0:
        return 1.0, []
    least = 10 * len(task.classes)
    share = max(possible, min(least, n)) / n
    used = sum(used_counts(task, share).values())
    if used == n:
        return 1.0, []
    return share, [
        f"Only {used} of the {n} pictures are used, from each class its share: to compute the "
        f"features of all would take about {in_words(n * speeds.look)}."
    ]


def _runs(
    backbone: Backbone,
    counts: dict[str, int],
    speeds: Speeds,
    patterns: Sequence[str],
    setting: tuple[bool, int, int, int],
    layer: str,
    batch_size: int,
    augment: bool,
) -> list[PlannedRun]:
    """All runs of one of the settings, the first seed of each pattern before the others."""
    freeze, tuning, scratch, n_seeds = setting
    until = _until(backbone, layer) if freeze else None
    how = {"layer": layer, "batch_size": batch_size, "augment": augment}
    options: dict[str, dict[str, Any]] = {
        "classifier": {},
        "standalone_extractor": {"layer": layer},
        "frozen_extractor": how | {"epochs": _HEAD_EPOCHS},
        "fine_tune": how | {"epochs": tuning, "freeze_until": until},
        "from_scratch": how | {"epochs": scratch},
    }
    first: list[PlannedRun] = []
    later: list[PlannedRun] = []
    known = False  # whether the features are there
    for pattern in (p for p in PATTERNS if p in patterns):
        chosen = options[pattern]
        part = _moving(backbone, chosen.get("freeze_until"))
        seconds = list(_seconds(pattern, counts, speeds, chosen, part, known))
        known = known or pattern != "classifier"
        fixed = pattern in ("classifier", "standalone_extractor")
        seeds = SEEDS[: 3 if pattern == "frozen_extractor" else n_seeds]
        for i, seed in enumerate([None] if fixed else seeds):
            run = PlannedRun(pattern, seed, chosen, seconds[min(i, 1)])
            (later if i and pattern not in CHEAP else first).append(run)
    return first + later


def _seconds(
    pattern: str,
    counts: dict[str, int],
    speeds: Speeds,
    options: dict[str, Any],
    part: float,
    known: bool,
) -> Iterator[float]:
    """Yield how long the first run of a pattern takes, and each one after it."""
    n_look, n_train = counts.get("val", 0) + counts.get("test", 0), counts["train"]
    features = speeds.start + sum(counts.values()) * speeds.look
    looking = speeds.start + n_look * speeds.look
    if pattern == "classifier":
        yield from (looking, looking)
        return
    if pattern == "standalone_extractor":
        once = (0 if known else features) + speeds.probe
        yield from (once, once)
        return
    epochs, learn = options["epochs"], speeds.learn * part
    if pattern == "frozen_extractor":
        again = speeds.open + speeds.look if options["augment"] else 3e-4
        yield _EACH + epochs * n_train * again + (0 if known else features)
        yield _EACH + epochs * n_train * again
        return
    n_val = counts.get("val", 0)
    opening = speeds.open if part == 1 or options["augment"] else 0.0
    epoch = n_train * (learn + opening) + n_val * (learn / 3 + opening)
    each = _EACH + epochs * epoch + looking
    once = 0.0
    if part < 1:  # the output of the frozen part is computed beforehand
        once += 2 * speeds.start + (n_train + n_val) * speeds.look
    if pattern == "fine_tune":
        once += speeds.probe + (0 if known else features)
    yield each + once
    yield each + (speeds.probe if pattern == "fine_tune" else 0.0)


def _moving(backbone: Backbone, until: str | None) -> float:
    """Share of the operations behind the frozen part."""
    if until is None:
        return 1.0
    frozen = up_to(backbone.trace, backbone.layer(until).path)[1]
    return 1 - frozen / max(backbone.operations, 1)


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
