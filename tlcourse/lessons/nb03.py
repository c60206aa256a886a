"""Notebook 03: numbers to learn, megabytes, a probe in the middle, nearest class mean."""

from functools import cache
from typing import Any

import numpy as np

from tlcourse._exercise import Exercise, Misconception, close, number
from tlcourse._prediction import Prediction

_N_FEATURES, _N_CLASSES = 320, 5
_OTHER_LAYERS = ("stem", "stage1", "stage2", "stage3", "stage4", "stage6", "stage7")

PREDICTIONS = (
    Prediction(
        id="03.A",
        question="Which classifier is right on more test drawings?",
        options=("the probe", "the neighbours", "a tie"),
        figure="Table 1",
        look="Compare the two counts in the last line, of drawings that only one of them gets right.",
    ),
    Prediction(
        id="03.B",
        question="How many labels do raw pixels need to do as well as the embedding with 4 per class?",
        options=("as many", "twice as many", "four times as many", "even more"),
        figure="Figure 4",
        look="Start at the embedding's point for 4 pictures and go right at the same height. Does the "
        "line of the pixels reach it, and where?",
    ),
    Prediction(
        id="03.C",
        question="How many times as long as fifty probes do two networks from random weights take?",
        unit="times",
        within=3,
        figure="Table 2",
        look="Divide the last row by the row above it.",
    ),
)


@cache
def _probe_accuracy(
    layer: str, split: str = "val", weights: str = "imagenet", *, chosen_on_val: bool = False
) -> float:
    """Accuracy of a linear probe on the shipped features of ants and bees."""
    from tlcourse.features import load_features
    from tlcourse.probe import fit_probe

    shipped = load_features(weights=weights)  # type: ignore[arg-type]
    held_back = shipped.of("val", layer) if chosen_on_val else ()
    probe = fit_probe(*shipped.of("train", layer), *held_back)
    x, y = shipped.of(split, layer)
    return float((probe.logits(x).argmax(axis=1) == y).mean())


def _points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training points and labels, and queries for which usual mistakes give other answers."""
    x = np.array([[14, 11], [7, 13], [17, 27], [12, 26], [29, 13], [15, 25], [0, 17.0]])
    y = np.array([2, 0, 1, 0, 1, 0, 2])
    queries = np.array([[27, 28], [3, 20], [13, 17], [8, 22], [21, 6], [3, 12.0]])
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


def _nearest_sum(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    sums = np.stack([x[y == c].sum(axis=0) for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - sums[None], axis=2).argmin(axis=1)


def _nearest_median(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    medians = np.stack([np.median(x[y == c], axis=0) for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - medians[None], axis=2).argmin(axis=1)


def _other_distance(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return np.abs(queries[:, None] - means[None]).sum(axis=2).argmin(axis=1)


def _cosine(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return (queries @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(axis=1)


def _column(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return _nearest_mean(x, y, queries)[:, None]


def _largest_product(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return (queries @ means.T).argmax(axis=1)


def _one_label(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return _distances(x, y, queries).sum(axis=0).argmin()


def _names_of_rows(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return np.linalg.norm(queries[:, None] - x[None], axis=2).argmin(axis=1)


def _centred(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return _nearest_mean(x - x.mean(axis=0), y, queries)


def _one_class_less(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return _distances(x, y, queries)[:, :-1].argmin(axis=1)


def _seven_classes(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.full((7, x.shape[1]), np.nan)  # the mean of no picture is NaN, and `argmin` takes it
    for c in range(int(y.max()) + 1):
        means[c] = x[y == c].mean(axis=0)
    return np.linalg.norm(queries[:, None] - means[None], axis=2).argmin(axis=1)


def _number_means(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean() for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - means[None, :, None], axis=2).argmin(axis=1)


def _does_not_fit(answer: Any) -> bool:
    """Whether the learner's function stops where arrays of these shapes are put together."""
    try:
        _called(answer)
    except ValueError as error:
        return "broadcast" in str(error)
    except np.exceptions.AxisError:
        return True
    return False


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
                "scaler too",
                lambda a: close(a, 7 * _N_FEATURES + _N_CLASSES, absolute=0.5),
                "That counts the scaler's mean and spread of each feature, too. Count what the "
                "probe learns.",
                7 * _N_FEATURES + _N_CLASSES,
            ),
            Misconception(
                "embedding",
                lambda a: number(a) in (1280 * _N_CLASSES + _N_CLASSES, 1280 * 7 + 7),
                "That is a probe on the embedding. `stage7` gives 320 numbers per picture.",
                1280 * _N_CLASSES + _N_CLASSES,
            ),
            Misconception(
                "seven classes",
                lambda a: close(a, _N_FEATURES * 7 + 7, absolute=0.5),
                "That is for the seven classes of the drawings. Here there are five.",
                _N_FEATURES * 7 + 7,
            ),
            Misconception(
                "plus",
                lambda a: close(a, _N_FEATURES + _N_CLASSES, absolute=0.5),
                "Each class has a weight of its own for each feature, so multiply.",
                _N_FEATURES + _N_CLASSES,
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
            "Do that for each of the 5 classes: `5 * (320 + 1)`.",
        ),
        otherwise="Count the weights of one class first, then all classes.",
        expects="a whole number",
    ),
    Exercise(
        id="03.2",
        question="How many megabytes do 10,000 embeddings of 1280 float32 numbers take?",
        right=lambda a: close(a, 51.2, rel=0.03),
        praise="Nearly small enough for one e-mail. The photographs take many times as much.",
        misconceptions=(
            Misconception(
                "bytes",
                lambda a: close(a, 51.2e6, rel=0.03),
                "That is right in bytes. A megabyte is a million bytes.",
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
                "units of 1024",
                lambda a: close(a, 51.2e6 / 1024**2, rel=0.01),
                "That is right in units of 1024 x 1024 bytes. Here a megabyte is a million bytes.",
                48.8,
            ),
            Misconception(
                "two bytes",
                lambda a: close(a, 25.6, rel=0.03),
                "That would be two bytes for each number, as in `float16`. `float32` takes four.",
                25.6,
            ),
            Misconception(
                "eight bytes",
                lambda a: close(a, 102.4, rel=0.03),
                "That would be eight bytes for each number, as in `float64`. `float32` takes four.",
                102.4,
            ),
            Misconception(
                "kilobytes",
                lambda a: close(a, 51_200, rel=0.03),
                "That is right in thousands of bytes. A megabyte is a million bytes.",
                51_200,
            ),
            Misconception(
                "one picture",
                lambda a: close(a, 0.00512, rel=0.03),
                "That is one photograph. There are 10,000.",
                0.00512,
            ),
            Misconception(
                "pixels",
                lambda a: close(a, 1505, rel=0.03) or close(a, 6021, rel=0.03),
                "Those are the pixels. Only the embedding goes into the file.",
                1505,
            ),
            Misconception(
                "gigabytes",
                lambda a: close(a, 0.0512, rel=0.03),
                "That is right in gigabytes. How many megabytes is that?",
                0.0512,
            ),
        ),
        hints=(
            "How many numbers does one photograph give? And all of them?",
            "`10_000 * 1280` numbers, times 4 bytes, divided by a million.",
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
                "another layer",
                lambda a: any(close(a, _probe_accuracy(n), absolute=0.003) for n in _OTHER_LAYERS),
                "That is another layer's accuracy. The question is about `stage5`.",
                lambda: _probe_accuracy("stage7"),
            ),
            Misconception(
                "training pictures",
                lambda a: close(a, _probe_accuracy("stage5", "train"), absolute=0.002),
                "That is the accuracy on the pictures that it was trained with.",
                lambda: _probe_accuracy("stage5", "train"),
            ),
            Misconception(
                "chosen on the counted pictures",
                lambda a: close(a, _probe_accuracy("stage5", chosen_on_val=True), absolute=0.005),
                "You gave `tl.fit_probe` the `val` pictures, too, so it chose `C` on the pictures "
                "that you count. Give it only the `train` split.",
                lambda: _probe_accuracy("stage5", chosen_on_val=True),
            ),
            Misconception(
                "wrong ones",
                lambda a: close(a, 1 - _probe_accuracy("stage5"), absolute=0.015),
                "That is the share that is wrong. How large is the share that is right?",
                lambda: 1 - _probe_accuracy("stage5"),
            ),
            Misconception(
                "a count",
                lambda a: 100 < number(a) <= 153,
                "That looks like a count of photographs. Divide it by their number.",
                132,
            ),
            Misconception(
                "random weights",
                lambda a: any(
                    close(a, _probe_accuracy(layer, weights="random0"), absolute=0.003)
                    for layer in ("stage5", "embedding")
                ),
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
                "number of classes",
                lambda a: (
                    _gives(a, _one_class_less(*_points())) or _gives(a, _seven_classes(*_points()))
                ),
                "How many classes are there? Count them from `y`: `y.max() + 1`.",
                lambda: _seven_classes,
            ),
            Misconception(
                "one number for all features",
                lambda a: _does_not_fit(a) or _gives(a, _number_means(*_points())),
                "Has each mean as many numbers as a picture has features? `mean()` without `axis=0` "
                "gives one number for all features.",
                lambda: _number_means,
            ),
            Misconception(
                "only the training features moved",
                lambda a: _gives(a, _centred(*_points())),
                "You subtracted a mean from the training features, but not from the queries. Leave "
                "both as they are.",
                lambda: _centred,
            ),
            Misconception(
                "sums",
                lambda a: _gives(a, _nearest_sum(*_points())),
                "That compares with the sum of each class, which grows with its pictures. Take "
                "the mean.",
                lambda: _nearest_sum,
            ),
            Misconception(
                "product",
                lambda a: _gives(a, _largest_product(*_points())),
                "That takes the largest product of query and mean, which prefers long means. Take "
                "the smallest distance.",
                lambda: _largest_product,
            ),
            Misconception(
                "median",
                lambda a: _gives(a, _nearest_median(*_points())),
                "That takes the median of each class. Take the mean.",
                lambda: _nearest_median,
            ),
            Misconception(
                "another distance",
                lambda a: _gives(a, _other_distance(*_points())) or _gives(a, _cosine(*_points())),
                "That is another distance. The Euclidean one is the root of the sum of the squared "
                "differences.",
                lambda: _other_distance,
            ),
            Misconception(
                "a column",
                lambda a: np.asarray(_called(a)).shape == (6, 1),
                "The labels stand in a table of one column, (M, 1). Return them in a row, (M,).",
                lambda: _column,
            ),
            Misconception(
                "rows",
                lambda a: _gives(a, _names_of_rows(*_points())),
                "Those are row numbers of the nearest training pictures, not classes.",
                lambda: _names_of_rows,
            ),
            Misconception(
                "one label",
                lambda a: _called(a) is not None and np.asarray(_called(a)).size == 1,
                "Your function returns one value. It should return a label for each query.",
                lambda: _one_label,
            ),
            Misconception(
                "distances",
                lambda a: np.asarray(_called(a)).shape == (6, 3),
                "Those are the distances to all means. Which class is the nearest?",
                lambda: _distances,
            ),
        ),
        hints=(
            "Two steps: the means of the classes, then the distances to them.",
            "`x[y == c].mean(axis=0)` is the mean of class `c`.",
            "`np.linalg.norm(queries[:, None] - means[None], axis=2)` gives all distances (M, classes).",
        ),
        otherwise="Try it on two classes of two points each, where you know the answer: which mean "
        "is nearest to each query?",
        expects="a function of x, y and queries that returns labels",
    ),
)
