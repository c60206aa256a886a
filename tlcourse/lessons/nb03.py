"""Exercises of notebook 03: numbers to learn, megabytes, a probe in the middle, nearest class mean."""

from functools import cache
from typing import Any

import numpy as np

from tlcourse._exercise import Exercise, Misconception, close, number

_N_FEATURES, _N_CLASSES = 320, 5


@cache
def _probe_accuracy(layer: str, split: str = "val", weights: str = "imagenet") -> float:
    """Accuracy of a linear probe on the shipped features of ants and bees."""
    from tlcourse.features import load_features
    from tlcourse.probe import fit_probe

    shipped = load_features(weights=weights)  # type: ignore[arg-type]
    probe = fit_probe(*shipped.of("train", layer))
    x, y = shipped.of(split, layer)
    return float((probe.logits(x).argmax(axis=1) == y).mean())


def _points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training points and labels, and queries for which usual mistakes give other answers."""
    x = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0], [5.0, 0.5], [9.0, 0.5], [30.0, 2.0]])
    y = np.array([0, 0, 0, 1, 1, 2])
    queries = np.array([[4.2, 0.2], [4.4, 1.0], [29.0, 0.0], [1.0, 4.0]])
    return x, y, queries


def _nearest_mean(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - means[None], axis=2).argmin(axis=1)


def _farthest_mean(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - means[None], axis=2).argmax(axis=1)


def _nearest_picture(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return y[np.linalg.norm(queries[:, None] - x[None], axis=2).argmin(axis=1)]


def _distances(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - means[None], axis=2)


def _says_nothing(x: Any, y: Any, queries: Any) -> None:
    _nearest_mean(x, y, queries)


def _called(answer: Any) -> Any:
    """What the learner's function gives for the points."""
    if not callable(answer):
        raise TypeError("not a function")
    return answer(*_points())


def _gives(answer: Any, expected: np.ndarray) -> bool:
    found = np.asarray(_called(answer))
    return found.shape == expected.shape and bool((found == expected).all())


EXERCISES = (
    Exercise(
        id="03.1",
        question="How many numbers does a linear probe on 320 features learn for 5 classes?",
        right=lambda a: close(a, _N_FEATURES * _N_CLASSES + _N_CLASSES, absolute=0.5),
        praise="Not even two thousand, while the network keeps its millions as they are.",
        misconceptions=(
            Misconception(
                "no bias",
                lambda a: close(a, _N_FEATURES * _N_CLASSES, absolute=0.5),
                "Nearly. A linear layer also learns one number per class that is always added.",
                _N_FEATURES * _N_CLASSES,
            ),
            Misconception(
                "one bias only",
                lambda a: close(a, _N_FEATURES * _N_CLASSES + 1, absolute=0.5),
                "Each class has its own number that is added, not one for all.",
                _N_FEATURES * _N_CLASSES + 1,
            ),
            Misconception(
                "one class",
                lambda a: close(a, _N_FEATURES + 1, absolute=0.5),
                "That is enough for one class. How many classes are there?",
                _N_FEATURES + 1,
            ),
            Misconception(
                "the whole network",
                lambda a: number(a) > 1e6,
                "That counts the network too. It is frozen: only the probe learns.",
                3_379_975,
            ),
        ),
        hints=(
            "For one class: one weight per feature, and one number that is added.",
            "Do that for each of the 5 classes.",
        ),
        otherwise="Count the weights of one class first, then all classes.",
        expects="a whole number",
    ),
    Exercise(
        id="03.2",
        question="How many megabytes do 10,000 embeddings of 1280 float32 numbers take?",
        right=lambda a: close(a, 51.2, rel=0.03),
        praise="Nearly small enough for one e-mail. The photographs take a hundred times as much, or more.",
        misconceptions=(
            Misconception(
                "bytes",
                lambda a: close(a, 51.2e6, rel=0.03),
                "Right, in bytes. A megabyte is a million bytes.",
                51_200_000,
            ),
            Misconception(
                "one byte per number",
                lambda a: close(a, 12.8, rel=0.03),
                "That would be one byte for each number. `float32` takes four.",
                12.8,
            ),
            Misconception(
                "bits",
                lambda a: close(a, 51.2 * 8, rel=0.03),
                "You counted bits. The 32 of `float32` are bits, and a byte has 8 of them.",
                409.6,
            ),
            Misconception(
                "gigabytes",
                lambda a: close(a, 0.0512, rel=0.03),
                "Right, in gigabytes. How many megabytes is that?",
                0.0512,
            ),
        ),
        hints=(
            "How many numbers are there in all?",
            "Times 4 bytes, divided by a million.",
        ),
        otherwise="Pictures, times numbers per picture, times bytes per number, in millions.",
        expects="a number of megabytes",
    ),
    Exercise(
        id="03.3",
        question="How accurate is a linear probe on stage5 of the ants and bees?",
        right=lambda a: close(a, _probe_accuracy("stage5"), absolute=0.015),
        praise="Below the embedding: these photographs want the deep layers.",
        misconceptions=(
            Misconception(
                "embedding",
                lambda a: close(a, _probe_accuracy("embedding"), absolute=0.01),
                "That is the embedding. Name the layer: `of('train', 'stage5')`.",
                lambda: _probe_accuracy("embedding"),
            ),
            Misconception(
                "training pictures",
                lambda a: close(a, _probe_accuracy("stage5", "train"), absolute=0.01),
                "That is the accuracy on the pictures that it was trained with.",
                lambda: _probe_accuracy("stage5", "train"),
            ),
            Misconception(
                "random weights",
                lambda a: close(a, _probe_accuracy("stage5", weights="random0"), absolute=0.01),
                'Those are random weights. Take `shipped["imagenet"]`.',
                lambda: _probe_accuracy("stage5", weights="random0"),
            ),
            Misconception(
                "per cent",
                lambda a: 1 < number(a) <= 100,
                "Give it as a number from 0 to 1.",
                86.9,
            ),
        ),
        hints=(
            'Begin with `table = shipped["imagenet"]`.',
            "`tl.fit_probe(*table.of('train', 'stage5'))` trains the probe.",
            "`probe.logits(x).argmax(axis=1) == y` tells which are right; take the mean.",
        ),
        otherwise="Train on `of('train', 'stage5')`, count on `of('val', 'stage5')`.",
        expects="a number from 0 to 1",
    ),
    Exercise(
        id="03.4",
        question="Write a nearest class mean classifier.",
        right=lambda a: _gives(a, _nearest_mean(*_points())),
        praise="Now try it on the drawings, with few labels per class.",
        misconceptions=(
            Misconception(
                "returns nothing",
                lambda a: _called(a) is None,
                "Your function returns nothing. Does it end with `return`?",
                lambda: _says_nothing,
            ),
            Misconception(
                "nearest picture",
                lambda a: _gives(a, _nearest_picture(*_points())),
                "That is the class of the nearest single picture. Take the mean of a class first.",
                lambda: _nearest_picture,
            ),
            Misconception(
                "farthest",
                lambda a: _gives(a, _farthest_mean(*_points())),
                "That picks the mean that is farthest away. `argmin`, not `argmax`.",
                lambda: _farthest_mean,
            ),
            Misconception(
                "distances",
                lambda a: np.asarray(_called(a)).shape == (4, 3),
                "Those are the distances to all means. Which class is the nearest?",
                lambda: _distances,
            ),
        ),
        hints=(
            "Two steps: the means of the classes, then the distances to them.",
            "`x[y == c].mean(axis=0)` is the mean of class `c`.",
            "`np.linalg.norm(queries[:, None] - means[None], axis=2)` gives all distances (M, classes).",
        ),
        otherwise="Try it on three classes of two points each, where you know the answer.",
        expects="a function of x, y and queries that returns labels",
    ),
)
