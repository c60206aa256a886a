"""Where each of the four patterns wins: the experiments that the lessons quote as recorded.

    TLCOURSE_DATA=folder/that/holds/hymenoptera_data python benchmarks/wins.py --save

Each experiment runs with three seeds. Layers, rates, strengths and epochs were chosen on validation
pictures; the test pictures are opened once, by the last line of each run. `--save` writes what was
measured to `tlcourse/data/runs.json`, with command, commit, versions and date, and leaves the other
experiments in that file as they are; `--only` names those to run. All of them take about an hour on
2 slow cores.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tlcourse as tl
from benchmarks.recording import Row, record
from tlcourse.features.probe import Kind

SEEDS = (0, 1, 2)
TURNED = {"turn": 40, "shift": 0.125, "scale": (0.7, 1.2)}
DRAWS = 50  # of labelled pictures, where training takes no time

# Of the classes of `things`: which of the network's 1000 classes belong to each.
THINGS = {
    "fish": "tench, goldfish, great white shark, tiger shark, hammerhead, electric ray, stingray, "
    "coho, eel, rock beauty, anemone fish, sturgeon, gar, lionfish, puffer, barracouta",
    "monuments": "palace, castle, church, triumphal arch, obelisk, stupa, mosque, monastery, dome, "
    "bell cote, megalith, totem pole, pedestal, viaduct, steel arch bridge, suspension bridge, "
    "library, barn, beacon, fountain, vault, altar, cliff dwelling",
    "tools": "hammer, screwdriver, power drill, carpenter's kit, chain saw, hatchet, plane, plunger, "
    "shovel, nail, screw, rule, lawn mower, can opener, corkscrew, letter opener, cleaver, "
    "hand blower, paintbrush, stopwatch, scale, padlock, safety pin, buckle, syringe",
}


# Pattern 1: where classes are shared


def shared_classes() -> Iterator[Row]:
    """Ants and bees, and fish, monuments and tools: no label against all labels."""
    backbone = tl.load_backbone()
    for name, mapping in (("hymenoptera", None), ("things", _mapping(backbone))):
        task = tl.load_task(name)
        for result in (
            tl.patterns.classifier(backbone, task, mapping=mapping, progress=False),
            tl.patterns.standalone_extractor(backbone, task, progress=False),
        ):
            labels = 0 if result.pattern == "classifier" else len(task.train)
            yield {
                "task": name,
                "pattern": result.pattern,
                "labels": labels,
                "val_accuracy": result.val_accuracy,
                "test_accuracy": result.test_accuracy,
                "n_test": len(task.test) or len(task.val),
            }


def _mapping(backbone: tl.Backbone) -> dict[str, list[str]]:
    wanted = {kind: names.split(", ") for kind, names in THINGS.items()}
    return {k: [n for n in names if n in backbone.classes] for k, names in wanted.items()}


# Pattern 2: few labels


def few_labels() -> Iterator[Row]:
    """Photographs of `things`: n labelled ones of each class, the others are the test."""
    task = tl.load_task("things")
    inputs = {"pixels": tl.raw_pixels(task, side=16)}
    inputs["features"] = tl.extract_features(tl.load_backbone(), task, progress=False)
    for seed in SEEDS:
        tl.seed_everything(seed)
        random = tl.load_backbone(pretrained=False)
        inputs[f"random weights {seed}"] = tl.extract_features(random, task, progress=False)
    for name, features in inputs.items():
        x, y = next(iter(features.x.values())), features.y
        for kind in ("nearest_mean", "logistic"):  # each input may take what suits it better
            for n in (1, 2, 5, 10):
                scores = [few_labels_once(x, y, n, draw, kind) for draw in range(DRAWS)]
                mean, spread = float(np.mean(scores)), float(np.std(scores))
                row = {"input": name, "probe": kind, "per_class": n}
                yield row | {"test_accuracy": mean, "deviation": spread}


def few_labels_once(x: np.ndarray, y: np.ndarray, per_class: int, draw: int, kind: Kind) -> float:
    """Accuracy of a probe on all pictures but the `per_class` ones of each class that it learned."""
    random = np.random.default_rng([per_class, draw])
    chosen = [random.permutation(np.flatnonzero(y == c))[:per_class] for c in np.unique(y)]
    train = np.concatenate(chosen)
    test = np.setdiff1d(np.arange(len(y)), train)
    probe = tl.fit_probe(x[train], y[train], kind=kind)
    return float((probe.logits(x[test]).argmax(axis=1) == y[test]).mean())


# Pattern 3: pictures that vary


def turned_digits() -> Iterator[Row]:
    """300 upright digits to learn from; the test digits are turned, moved and scaled."""
    backbone = tl.load_backbone().at_size(96)
    for seed in SEEDS:
        upright = digits(seed)
        for views in (0, 8):
            for what in ("pixels", "stage5"):
                yield {"seed": seed, **stored(backbone, upright, what, views)}
        turned = upright.changed(**TURNED)
        for name, train in TRAININGS.items():
            result = train(backbone, turned, seed)
            yield {
                "seed": seed,
                "pattern": name,
                "turned": result.test_accuracy,
                "upright": _right(_logits(result, upright), upright),
                "seconds": result.seconds,
                "val_accuracy": result.val_accuracy,
                "parameters": result.trainable_parameters,
            }


def digits(seed: int, per_class: int = 30) -> tl.Task:
    """The digits as they are: `per_class` of each to learn from, and over 1,000 for the test."""
    task = tl.load_task("digits", seed=seed, val_fraction=0.2, test_fraction=0.6)
    return task.few_of_each(train=per_class, seed=seed)


def stored(backbone: tl.Backbone, upright: tl.Task, what: str, views: int) -> Row:
    """Pattern 2, or the pixels, on turned digits; `views` changed copies are stored too."""
    turned = upright.changed(**TURNED, views=views)
    began = time.perf_counter()
    features = _features(backbone, turned, what)
    probe = tl.fit_probe(*features.of("train", what), *features.of("val", what))
    seconds = time.perf_counter() - began
    others = _features(backbone, upright.changed().test, what)  # of the same size
    x, y = next(iter(others.x.values())), others.y
    return {
        "pattern": f"stored {what}" + f", {views} views" * bool(views),
        "turned": _right(probe.logits(features.of("test", what)[0]), turned),
        "upright": float((probe.logits(x).argmax(axis=1) == y).mean()),
        "seconds": seconds,
        "stored_bytes": features.of("train", what)[0].nbytes,
    }


def _features(backbone: tl.Backbone, task: Any, what: str) -> tl.Features:
    if what == "pixels":
        return tl.raw_pixels(task, side=16)
    return tl.extract_features(backbone, task, what, cache=False, progress=False)


def _logits(result: tl.Result, task: tl.Task) -> np.ndarray:
    """A finished network's scores of a task's test pictures, (N, classes)."""
    features = tl.extract_features(
        result.backbone, task.test, "logits", cache=False, progress=False
    )
    return features.x["logits"]


def _right(logits: np.ndarray, task: tl.Task) -> float:
    return float((logits.argmax(axis=1) == task.test.labels).mean())


Training = Callable[[tl.Backbone, tl.Task, int], tl.Result]


def _frozen(**options: Any) -> Training:
    return lambda backbone, task, seed: tl.patterns.frozen_extractor(
        backbone, task, seed=seed, progress=False, live=False, **{"layer": "stage5", **options}
    )


def _moving(**options: Any) -> Training:
    return lambda backbone, task, seed: tl.patterns.fine_tune(
        backbone, task, seed=seed, progress=False, live=False, **options
    )


def _scratch(**options: Any) -> Training:
    return lambda backbone, task, seed: tl.patterns.from_scratch(
        backbone, task, seed=seed, progress=False, live=False, **options
    )


TRAININGS: dict[str, Training] = {
    "frozen, head on maps, fresh views": _frozen(epochs=20),
    "frozen, linear head, fresh views": _frozen(head="linear", epochs=20),
    "frozen, head on maps, no views": _frozen(augment=False, epochs=20),
    "fine-tuned, fresh views": _moving(augment=True, epochs=10, body_rate=1e-3),
    "from scratch, fresh views": _scratch(augment=True, epochs=10),
}


# Pattern 4: labels enough


def enough_labels() -> Iterator[Row]:
    """Upright digits, by labels of each class: probe, frozen body, fine-tuning, from scratch."""
    backbone = tl.load_backbone().at_size(96)
    for per_class in (2, 5, 10, 30):
        for seed in SEEDS:
            task = digits(seed, per_class)
            for name, train in LABELLED.items():
                result = train(backbone, task, seed)
                yield {
                    "per_class": per_class,
                    "seed": seed,
                    "pattern": name,
                    "val_accuracy": result.val_accuracy,
                    "test_accuracy": result.test_accuracy,
                    "seconds": result.seconds,
                }


def _best_probe(backbone: tl.Backbone, task: tl.Task, seed: int) -> tl.Result:
    """Pattern 2 at the layer that the validation pictures choose; `seed` decides nothing."""
    made = [
        tl.patterns.standalone_extractor(backbone, task, layer=layer, progress=False)
        for layer in ("stage4", "stage5", "stage6", "stage7", "embedding")
    ]
    return max(made, key=lambda result: result.val_accuracy)


LABELLED: dict[str, Training] = {
    "probe at the best layer": _best_probe,
    "frozen, head on maps": _frozen(augment=False, epochs=20),
    "fine-tuned": _moving(epochs=10, body_rate=1e-3),
    "from scratch": _scratch(epochs=10),
}


EXPERIMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    "shared_classes": shared_classes,
    "few_labels": few_labels,
    "turned_digits": turned_digits,
    "enough_labels": enough_labels,
}

if __name__ == "__main__":
    record("python benchmarks/wins.py", __doc__, EXPERIMENTS)
