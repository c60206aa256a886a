"""Four baselines of the capstone: what `tl.submit` ranks a learner among (notebook 16).

    python -m benchmarks.capstone --save

Pixels, pattern 1, and a linear probe at the last layer and at the best one, each with the task's own
480 training pictures. The 120 validation pictures choose the strength of each probe, and the layer.
The answers are kept, so that a learner is compared picture by picture. `--save` writes to
`tlcourse/data/runs.json`. It takes a minute on 2 slow cores.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

import tlcourse as tl
from benchmarks.recording import Row, record
from tlcourse.course.submission import RUNS, TO_BEAT
from tlcourse.tasks import capstone
from tlcourse.tasks.capstone import Part
from tlcourse.tasks.load import capstone_part

SIZE = 96  # pixels
PIXELS = 16  # a side, for the probe on them
PARTS: tuple[Part, ...] = ("tries", "private")
# What ImageNet's network may say for each class of the task.
MAPPING = {
    "T-shirt": ["jersey"],
    "trousers": ["jean"],
    "pullover": ["sweatshirt", "cardigan"],
    "dress": ["gown", "hoopskirt", "overskirt"],
    "coat": ["trench coat", "fur coat", "lab coat"],
    "sandal": ["sandal", "clog"],
    "shirt": ["pajama"],
    "sneaker": ["running shoe"],
    "bag": ["mailbag", "purse", "backpack"],
    "ankle boot": ["cowboy boot"],
}


def pixels(task: tl.Task) -> tuple[np.ndarray, float]:
    """Answers to the test pictures (N,) of a probe on pixels, and its validation accuracy."""
    features = tl.raw_pixels(task, side=PIXELS)
    x_val, y_val = features.of("val", "pixels")
    probe = tl.fit_probe(*features.of("train", "pixels"), x_val, y_val)
    right = probe.logits(x_val).argmax(axis=1) == y_val
    return probe.logits(features.of("test", "pixels")[0]).argmax(axis=1), float(right.mean())


def baselines(part: Part) -> Iterator[Row]:
    """Score the four baselines on a part."""
    task = replace(tl.load_task("capstone"), test=capstone_part(part))
    backbone = tl.load_backbone().at_size(SIZE)
    answers, right = pixels(task)
    yield _row("pixels", part, answers, right)
    pattern_1 = tl.patterns.classifier(backbone, task, mapping=MAPPING, progress=False)
    yield _row("pattern 1", part, pattern_1.predicted["test"], pattern_1.val_accuracy)
    probes = {
        layer: tl.patterns.standalone_extractor(backbone, task, layer=layer, progress=False)
        for layer in backbone.layers[:-1]
    }
    best = max(probes, key=lambda layer: probes[layer].val_accuracy)
    for name, layer in (("probe at the last layer", "embedding"), (TO_BEAT, best)):
        result = probes[layer]
        row = _row(name, part, result.predicted["test"], result.val_accuracy)
        yield row | {"layer": layer}


def _row(name: str, part: Part, answers: np.ndarray, val_accuracy: float) -> Row:
    labels = capstone.labels(part)
    return {
        "baseline": name,
        "part": part,
        "val_accuracy": val_accuracy,
        "right": int((answers == labels).sum()),
        "n": len(labels),
        "answers": "".join(map(str, answers)),
    }


def all_baselines() -> Iterator[Row]:
    """Score them on both parts."""
    for part in PARTS:
        yield from baselines(part)


EXPERIMENTS: dict[str, Callable[[], Iterator[Row]]] = {RUNS: all_baselines}

if __name__ == "__main__":
    record("python -m benchmarks.capstone", __doc__, EXPERIMENTS)
