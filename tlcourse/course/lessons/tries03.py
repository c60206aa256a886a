"""What tries the answers to the exercises of notebook 03, and wrong answers to try it with."""

from functools import cache
from typing import Any

import numpy as np

N_FEATURES, N_CLASSES = 320, 5
OTHER_LAYERS = ("stem", "stage1", "stage2", "stage3", "stage4", "stage6", "stage7")


@cache
def probe_accuracy(
    layer: str, split: str = "val", weights: str = "imagenet", *, chosen_on_val: bool = False
) -> float:
    """Accuracy of a linear probe on the shipped features of ants and bees."""
    from tlcourse.features.features import load_features
    from tlcourse.features.probe import fit_probe

    shipped = load_features(weights=weights)  # type: ignore[arg-type]
    held_back = shipped.of("val", layer) if chosen_on_val else ()
    probe = fit_probe(*shipped.of("train", layer), *held_back)
    x, y = shipped.of(split, layer)
    return float((probe.logits(x).argmax(axis=1) == y).mean())


def points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training points and labels, and queries for which usual mistakes give other answers."""
    x = np.array([[14, 11], [7, 13], [17, 27], [12, 26], [29, 13], [15, 25], [0, 17.0]])
    y = np.array([2, 0, 1, 0, 1, 0, 2])
    queries = np.array([[27, 28], [3, 20], [13, 17], [8, 22], [21, 6], [3, 12.0]])
    return x, y, queries


def nearest_mean(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - means[None], axis=2).argmin(axis=1)


def farthest_mean(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - means[None], axis=2).argmax(axis=1)


def nearest_picture(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return y[np.linalg.norm(queries[:, None] - x[None], axis=2).argmin(axis=1)]


def distances(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - means[None], axis=2)


def nearest_sum(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    sums = np.stack([x[y == c].sum(axis=0) for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - sums[None], axis=2).argmin(axis=1)


def nearest_median(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    medians = np.stack([np.median(x[y == c], axis=0) for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - medians[None], axis=2).argmin(axis=1)


def other_distance(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return np.abs(queries[:, None] - means[None]).sum(axis=2).argmin(axis=1)


def cosine(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return (queries @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(axis=1)


def column(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return nearest_mean(x, y, queries)[:, None]


def largest_product(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])
    return (queries @ means.T).argmax(axis=1)


def one_label(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return distances(x, y, queries).sum(axis=0).argmin()


def names_of_rows(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return np.linalg.norm(queries[:, None] - x[None], axis=2).argmin(axis=1)


def centred(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return nearest_mean(x - x.mean(axis=0), y, queries)


def one_class_less(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return distances(x, y, queries)[:, :-1].argmin(axis=1)


def seven_classes(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.full((7, x.shape[1]), np.nan)  # the mean of no picture is NaN, and `argmin` takes it
    for c in range(int(y.max()) + 1):
        means[c] = x[y == c].mean(axis=0)
    return np.linalg.norm(queries[:, None] - means[None], axis=2).argmin(axis=1)


def number_means(x: np.ndarray, y: np.ndarray, queries: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == c].mean() for c in range(int(y.max()) + 1)])
    return np.linalg.norm(queries[:, None] - means[None, :, None], axis=2).argmin(axis=1)


def does_not_fit(answer: Any) -> bool:
    """Whether the learner's function stops where arrays of these shapes are put together."""
    try:
        called(answer)
    except ValueError as error:
        return "broadcast" in str(error)
    except np.exceptions.AxisError:
        return True
    return False


def says_nothing(x: Any, y: Any, queries: Any) -> None:
    nearest_mean(x, y, queries)


def called(answer: Any) -> Any:
    """What the learner's function gives for the points."""
    if not callable(answer):
        raise TypeError("not a function")
    return answer(*points())


def gives(answer: Any, expected: np.ndarray) -> bool:
    found = np.asarray(called(answer))
    return found.shape == expected.shape and bool((found == expected).all())
