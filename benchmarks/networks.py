"""Which network suits a small task, how it could have been told before, and what each costs.

    python -m benchmarks.networks --save --only network_scores

Needs the two packages of `pip install "tlcourse[more]"`. Three draws (seeds) of 30 training pictures
of each class; the same pictures serve the probes, the scores and the fine-tuning. Layers are chosen
on validation pictures, and the test pictures are opened once for each way. Commit between two
experiments, or the second one says that its code was changed. About 20 minutes on one slow core.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import tlcourse as tl
from benchmarks.recording import Row, record
from benchmarks.wins import SEEDS, digits
from tlcourse.features.layerwise import STRENGTHS, cross_validate, draw_folds
from tlcourse.features.ranking import milliseconds
from tlcourse.features.transferability import h_score, logme
from tlcourse.networks.trace import up_to

NETWORKS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "squeezenet1_1")
RANDOM = "random weights"  # of the default network, another draw for each seed
SIZE = 96  # pixels
# Of the body: the pattern's own, which validation pictures chose (`benchmarks/fine_tuning.py`), and a
# third of it for the network without BatchNorm.
RATES = {"": 1e-3, "squeezenet1_1": 3e-4}
EPOCHS = 3
ROUNDS = 3  # of timing
TRAIN, VAL = 30, 20  # pictures of each class


def network_scores(name: str) -> Iterator[Row]:
    """Probes and scores of each network, and its milliseconds."""
    for seed in SEEDS:
        task = drawn(name, seed)
        yield {"seed": seed, **pixels(task)}
        for network in (*NETWORKS, RANDOM):
            yield {"seed": seed, "network": network, **probes(load(network, seed), task)}


def network_tuning(name: str) -> Iterator[Row]:
    """Each network after its fine-tuning; random weights are trained from scratch."""
    for seed in SEEDS:
        task = drawn(name, seed)
        for network in (*NETWORKS, RANDOM):
            yield {"seed": seed, "network": network, **fine_tuned(network, task, seed)}


def network_costs(name: str) -> Iterator[Row]:
    """Time of a forward pass up to the embedding: the fastest of rounds in which all take turns."""
    backbones = {network: load(network, 0) for network in NETWORKS}
    times: dict[str, list[float]] = {network: [] for network in NETWORKS}
    for _ in range(ROUNDS):
        for network, backbone in backbones.items():
            times[network].append(milliseconds(backbone))
    for network, backbone in backbones.items():
        where = backbone.layer("embedding")
        n_parameters, operations = up_to(backbone.trace, where.path, inclusive=False)
        yield {
            "network": network,
            "milliseconds": min(times[network]),
            "parameters": n_parameters,
            "operations": operations,
        }


def drawn(name: str, seed: int) -> tl.Task:
    """Return a task with the training pictures of one draw; those of the test are always the same."""
    task = tl.load_task("fashion") if name == "fashion" else digits(0, per_class=10_000)
    return task.few_of_each(train=TRAIN, val=VAL, seed=seed)


def load(network: str, seed: int, size: int = SIZE) -> tl.Backbone:
    """Load a network for pictures of one size; random weights follow the seed."""
    if network == RANDOM:
        tl.seed_everything(seed)
        return tl.load_backbone(pretrained=False).at_size(size)
    return tl.load_backbone(network).at_size(size)


def probes(backbone: tl.Backbone, task: tl.Task) -> Row:
    """Probe each layer, choose by the validation pictures, and score the features without them."""
    layers = list(backbone.layers[:-1])
    features = tl.extract_features(backbone, task, layers, cache=False, progress=False)
    fitted = {
        name: tl.fit_probe(*features.of("train", name), *val(features, name)) for name in layers
    }
    right = {name: share(fitted[name], *val(features, name)) for name in layers}
    best = max(layers, key=lambda name: right[name])
    train = {name: features.of("train", name) for name in layers}
    fold = draw_folds(task.train.labels, 5, 0)
    x, y = train["embedding"]
    return {
        "best_layer": best,
        "val_accuracy": right[best],
        "test_accuracy": share(fitted[best], *features.of("test", best)),
        "val_embedding": right["embedding"],
        "test_embedding": share(fitted["embedding"], *features.of("test", "embedding")),
        "logme": logme(x, y),
        "logme_best": max(logme(*pair) for pair in train.values()),
        "h_score": h_score(x, y),
        "h_score_best": max(h_score(*pair) for pair in train.values()),
        "probe": float((cross_validate(x, y, fold, STRENGTHS)[0] == y).mean()),
    }


def pixels(task: tl.Task) -> Row:
    """Probe the pixels themselves."""
    features = tl.raw_pixels(task, side=16)
    probe = tl.fit_probe(*features.of("train", "pixels"), *val(features, "pixels"))
    return {
        "network": "pixels",
        "val_accuracy": share(probe, *val(features, "pixels")),
        "test_accuracy": share(probe, *features.of("test", "pixels")),
    }


def val(features: tl.Features, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the validation rows."""
    return features.of("val", layer)


def share(probe: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Share of the pictures that a probe gets right."""
    return float((probe.logits(x).argmax(axis=1) == y).mean())


def network_sizes(name: str) -> Iterator[Row]:
    """Pictures in the size that each network was made for; all of them, by cross-validation."""
    task = tl.load_task(name)
    for network in NETWORKS:
        backbone = tl.load_backbone(network)
        layers = ["stage5", "stage6", "stage7", "embedding"]
        features = tl.extract_features(backbone, task, layers, cache=False, progress=False)
        probed = tl.probe_layers(features, progress=False)
        for layer in layers:
            yield {
                "network": network,
                "layer": layer,
                "pixels": backbone.preprocess.crop_size,
                "accuracy": probed.accuracy[layer],
                "n_test": len(features.y),
                "milliseconds": milliseconds(backbone),
            }


def fine_tuned(network: str, task: tl.Task, seed: int) -> Row:
    """Fine-tune, then open the test pictures; random weights are trained from scratch."""
    closed = replace(task, test=task.test.take([]))
    backbone = load(network, seed)
    if network == RANDOM:
        result = tl.patterns.from_scratch(backbone, closed, **options(seed))
    else:
        rate = RATES.get(network, RATES[""])
        result = tl.patterns.fine_tune(backbone, closed, body_rate=rate, **options(seed))
    logits = tl.extract_features(
        result.backbone, task.test, "logits", cache=False, progress=False
    ).x["logits"]
    return {
        "val_accuracy": result.val_accuracy,
        "test_accuracy": float((logits.argmax(axis=1) == task.test.labels).mean()),
        "seconds": result.seconds,
    }


def options(seed: int) -> dict[str, Any]:
    """Options of every training."""
    return {"epochs": EPOCHS, "seed": seed, "live": False, "progress": False}


def of_task(experiment: Callable[[str], Iterator[Row]], task: str) -> Iterator[Row]:
    """Run an experiment on a task, and say in each row which one it is."""
    for row in experiment(task):
        yield {"task": task, **row}


EXPERIMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    "network_scores": partial(of_task, network_scores, "fashion"),
    "network_sizes": partial(of_task, network_sizes, "emoji"),
    "network_tuning": partial(of_task, network_tuning, "fashion"),
    "network_costs": partial(of_task, network_costs, "fashion"),
}

if __name__ == "__main__":
    record("python -m benchmarks.networks", __doc__, EXPERIMENTS)
