"""What is left of a network's accuracy when the pictures change: the numbers of notebook 13.

    python -m benchmarks.shift --save

300 upright digits are learned, with three seeds. Rates, epochs and layers are those that
`benchmarks/wins.py` found on validation pictures, and nothing is chosen here. The 500 test pictures
are corrupted, at strengths 1 to 5. The parts of the experiment, in the column `part`:

- strength: three networks, each kind and strength, with what they say of their own certainty;
- views: a frozen body with a head on its maps, trained with fresh views of each kind;
- line: networks between the start of the fine-tuning and its end (WiSE-FT, arXiv:2109.01903);
- things: colour photographs, with a nearest class mean of the network's embedding.

`--save` writes them to `tlcourse/data/runs.json`. It took half an hour on one core of a
busy machine.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import torch
from PIL import Image

import tlcourse as tl
from benchmarks.recording import Row, record
from benchmarks.wins import DRAWS, SEEDS, digits
from tlcourse import metrics
from tlcourse.tasks.corruptions import KINDS

EXPERIMENT = "world_changes"
OF_DIGITS = tuple(kind for kind in KINDS if kind != "grey")  # which have no colours
STRENGTHS = (1, 2, 3, 4, 5)
MIDDLE = 3  # the strength of the parts "views" and "line"
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
EPOCHS = 8
SURE = 0.9  # the threshold above which an answer is given
INSIDE = "inside"
QUIET = {"progress": False, "live": False}


def world_changes() -> Iterator[Row]:
    """All parts of the experiment."""
    yield from things()
    backbone = tl.load_backbone().at_size(96)
    for seed in SEEDS:
        task = laboratory(seed)
        worlds = {(INSIDE, 0): task.test}
        worlds |= {(k, s): task.corrupted(k, s).test for k in OF_DIGITS for s in STRENGTHS}
        maps = {where: maps_of(backbone, pictures) for where, pictures in worlds.items()}
        trained = networks(backbone, task, seed)
        for name, result in trained.items():
            for (kind, strength), pictures in worlds.items():
                scores = (
                    logits_of(result.backbone, pictures)
                    if name == "fine-tuned"
                    else head_logits(result, maps[kind, strength])
                )
                row = {"part": "strength", "seed": seed, "network": name, "kind": kind}
                yield row | {"strength": strength, **certainty(result, scores, pictures.labels)}
        for views, augment in augmentations().items():
            result = frozen(backbone, task, seed, augment)
            for (kind, strength), values in maps.items():
                if strength in (0, MIDDLE):
                    right = head_logits(result, values).argmax(1) == task.test.labels
                    row = {"part": "views", "seed": seed, "views": views, "kind": kind}
                    yield row | {
                        "strength": strength,
                        "accuracy": float(right.mean()),
                        "val_accuracy": result.val_accuracy,
                        "seconds": result.seconds,
                    }
        start = tl.patterns.standalone_extractor(backbone, task, progress=False)
        for alpha in ALPHAS:
            network = tl.finetune.between(start.backbone, trained["fine-tuned"].backbone, alpha)
            for (kind, strength), pictures in worlds.items():
                if strength in (0, MIDDLE):
                    right = logits_of(network, pictures).argmax(1) == pictures.labels
                    row = {"part": "line", "seed": seed, "alpha": alpha, "kind": kind}
                    yield row | {"strength": strength, "accuracy": float(right.mean())}


def laboratory(seed: int) -> tl.Task:
    """Upright digits: 300 to learn from, 200 to choose by, 500 for the test."""
    return digits(seed).few_of_each(val=20, test=50, seed=seed)


def networks(backbone: tl.Backbone, task: tl.Task, seed: int) -> dict[str, tl.Result]:
    """Three networks that have seen upright digits only."""
    return {
        "probe": tl.patterns.standalone_extractor(backbone, task, layer="stage5", progress=False),
        "frozen body": frozen(backbone, task, seed, False),
        "fine-tuned": tl.patterns.fine_tune(
            backbone, task, epochs=EPOCHS, body_rate=1e-3, seed=seed, **QUIET
        ),
    }


def frozen(backbone: tl.Backbone, task: tl.Task, seed: int, augment: object) -> tl.Result:
    """A frozen body with a head on its maps; `augment` makes the views of each epoch."""
    options = {"layer": "stage5", "epochs": EPOCHS, "augment": augment, "seed": seed, **QUIET}
    return tl.patterns.frozen_extractor(backbone, task, **options)


def augmentations() -> Mapping[str, bool | Callable[[Image.Image], Image.Image]]:
    """What the training pictures are shown as: name -> `augment=`."""
    own = {kind: tl.Corruption(kind) for kind in OF_DIGITS}
    return {"none": False, "crops, mirrored": True, **own, "one of the five": partial(any_of, own)}


def any_of(
    corruptions: Mapping[str, Callable[[Image.Image], Image.Image]], picture: Image.Image
) -> Image.Image:
    """Corrupt a picture by one kind, drawn from PyTorch's generator."""
    chosen = int(torch.randint(len(corruptions), (1,)))
    return list(corruptions.values())[chosen](picture)


def certainty(result: tl.Result, scores: np.ndarray, labels: np.ndarray) -> Row:
    """How many answers are right, and how sure they are, calibrated on validation pictures."""
    warm = result.temperature
    table = metrics.coverage_risk(scores, labels, temperature=warm)
    sure = table[table.threshold >= SURE].tail(1)
    return {
        "accuracy": float((scores.argmax(1) == labels).mean()),
        "confidence": float(metrics.probabilities(scores, temperature=warm).max(1).mean()),
        "calibration_error": metrics.calibration_error(scores, labels, temperature=warm),
        "coverage": float(sure.coverage.item()) if len(sure) else 0.0,
        "risk": float(sure.risk.item()) if len(sure) else 0.0,
    }


def maps_of(backbone: tl.Backbone, pictures: object) -> torch.Tensor:
    """The maps of `stage5`, (N, C, H, W)."""
    found = tl.extract_features(
        backbone, pictures, "stage5", pool="none", cache=False, progress=False
    )
    return torch.from_numpy(found.x["stage5"])


@torch.inference_mode()
def head_logits(result: tl.Result, maps: torch.Tensor) -> np.ndarray:
    """Logits (N, classes) of a frozen body's head, from the maps at its cut."""
    network = result.backbone.model.eval()
    return torch.cat([network.head(network.pooled(part)) for part in maps.split(256)]).numpy()


def logits_of(network: tl.Backbone, pictures: object) -> np.ndarray:
    """Logits (N, classes) of a whole network."""
    found = tl.extract_features(network, pictures, "logits", cache=False, progress=False)
    return found.x["logits"]


def things() -> Iterator[Row]:
    """Photographs in colour: five of each class are learned as they are, the others corrupted."""
    backbone, task = tl.load_backbone(), tl.load_task("things")
    clean, labels = photographs(backbone, task, None)
    for kind in (INSIDE, *KINDS):
        for strength in (0,) if kind == INSIDE else (MIDDLE, 5):
            seen = clean
            if kind != INSIDE:
                seen, _ = photographs(backbone, task, tl.Corruption(kind, strength))
            scores = [things_once(clean, seen, labels, draw) for draw in range(DRAWS)]
            row = {"part": "things", "kind": kind, "strength": strength}
            yield row | {"accuracy": float(np.mean(scores)), "deviation": float(np.std(scores))}


def photographs(
    backbone: tl.Backbone, task: tl.Task, corruption: tl.Corruption | None
) -> tuple[np.ndarray, np.ndarray]:
    """The embedding (N, C) and label (N,) of all pictures of a task, corrupted or as they are."""
    x, y = [], []
    for split in (task.train, task.val, task.test):
        seeds = [[seed] for seed in range(len(split))]
        pictures = split.changed(corruption, seeds) if corruption else split
        found = tl.extract_features(backbone, pictures, cache=False, progress=False)
        x.append(found.x["embedding"])
        y.append(found.y)
    return np.concatenate(x), np.concatenate(y)


def things_once(clean: np.ndarray, seen: np.ndarray, labels: np.ndarray, draw: int) -> float:
    """Accuracy on corrupted pictures of a class mean from five clean ones of each class."""
    chooser = random.Random(draw)
    classes = np.unique(labels)
    train = [i for c in classes for i in chooser.sample(np.flatnonzero(labels == c).tolist(), 5)]
    test = np.setdiff1d(np.arange(len(labels)), train)
    probe = tl.fit_probe(clean[train], labels[train], kind="nearest_mean")
    return float((probe.logits(seen[test]).argmax(axis=1) == labels[test]).mean())


EXPERIMENTS = {EXPERIMENT: world_changes}

if __name__ == "__main__":
    record("python -m benchmarks.shift", __doc__, EXPERIMENTS)
