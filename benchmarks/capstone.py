"""Four baselines of the capstone: what `tl.submit` ranks a learner among (notebook 16).

    python -m benchmarks.capstone --save

Below them stand ideas that beat them: solve the capstone before you read on.

Pixels, pattern 1, and a linear probe at the last layer and at the best one, each with the task's own
480 training pictures. The 120 validation pictures choose the strength of each probe, and the layer.
The answers are kept, so that a learner is compared picture by picture. `--save` writes to
`tlcourse/data/runs.json`. They take a minute on 2 slow cores, the ideas 20.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageOps

import tlcourse as tl
from benchmarks.recording import Row, record
from tlcourse.course.submission import RUNS, TO_BEAT, _answers
from tlcourse.tasks import capstone
from tlcourse.tasks.capstone import Part
from tlcourse.tasks.load import capstone_part

SIZE = 96  # pixels
PIXELS = 16  # a side, for the probe on them
SEEDS = range(3)
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


def like_the_capstone(picture: Image.Image) -> Image.Image:
    """Change a picture of "fashion" at random, as somebody would who has looked at both."""
    turn, size, right, down, grey = torch.rand(5).tolist()
    side = int(128 * (0.7 + 0.25 * size))
    sheet = Image.new("RGB", (128, 128), "white")
    sheet.paste(ImageOps.invert(picture).resize((side, side)), 2 * ((128 - side) // 2,))
    sheet = sheet.rotate(80 + 60 * turn, Image.Resampling.BILINEAR, fillcolor="white")
    x, y, shade = int(88 * right), int(88 * down), int(60 + 140 * grey)
    sheet.paste((shade, shade, shade), (x, y, x + 40, y + 40))
    return sheet


def ideas() -> Iterator[Row]:
    """Score ideas of earlier notebooks on the part for tries, three seeds each."""
    task = tl.load_task("capstone")
    source = replace(tl.load_task("fashion"), val=task.val, test=task.test)
    backbone = tl.load_backbone().at_size(SIZE)
    quiet = {"progress": False, "live": False}
    for seed in SEEDS:
        fresh = tl.patterns.frozen_extractor(backbone, task, seed=seed, **quiet)
        yield _idea("fresh views", seed, fresh)
        more = tl.patterns.frozen_extractor(
            backbone, source, epochs=8, augment=like_the_capstone, seed=seed, **quiet
        )
        yield _idea("fresh views of other clothes", seed, more)


def _idea(name: str, seed: int, result: tl.Result) -> Row:
    answers = _answers(result, "tries")
    row = _row(name, "tries", answers, result.val_accuracy)
    del row["answers"]
    return {"idea": row.pop("baseline"), "seed": seed} | row | {"seconds": result.seconds}


EXPERIMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    RUNS: all_baselines,
    "capstone_ideas": ideas,
}

if __name__ == "__main__":
    record("python -m benchmarks.capstone", __doc__, EXPERIMENTS)
