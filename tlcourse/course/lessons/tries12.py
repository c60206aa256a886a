"""What tries the answers to the exercises of notebook 12, and wrong answers to try it with."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

MOST = 300_000  # exercise 12.1: parameters up to the cut
LEAST = 0.95  # of the validation digits
BEATS = 0.83  # exercise 12.4: with 300 labels the best probe of SqueezeNet reaches .79
CHEATED = 8.75  # exercise 12.5: random weights


# Exercise 12.1: a small network


@dataclass(frozen=True)
class Small:
    """Stands for a `tl.Result`."""

    val_accuracy: float
    parameters: int
    task: str = "digits"


def parameters(answer: Any) -> int:
    """Parameters of a result's network up to the cut, without its head."""
    if isinstance(answer, Small):
        return answer.parameters
    return sum(p.numel() for p in answer.backbone.model.body.parameters())


def read(answer: Any) -> float:
    """Share of the validation digits that a result reads; an error for anything else."""
    if answer.task != "digits":
        raise TypeError("another task")
    return float(answer.val_accuracy)


# Exercise 12.2: linear CKA


@cache
def pairs() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Positive features of the same pictures, of equal and of other widths."""
    random = np.random.default_rng(12)
    a = random.random((60, 7)) + 2
    b = a @ random.random((7, 5)) + random.random((60, 5))
    return (a, b), (a, random.random((60, 9)))


def compared(answer: Any) -> str:
    """What a learner's function computes: "right", or which mistake."""
    from tlcourse.features.similarity import cka

    if not callable(answer):
        raise TypeError("not a function")
    before = [(a.copy(), b.copy()) for a, b in pairs()]
    found = [float(answer(a, b)) for a, b in pairs()]
    changed = False
    for pair, copies in zip(pairs(), before, strict=True):
        for array, copy in zip(pair, copies, strict=True):
            changed |= not np.array_equal(array, copy)
            array[...] = copy
    if changed:
        return "changed"
    if np.allclose(found, [cka(a, b) for a, b in pairs()], atol=1e-6):
        return "right"
    for name, function in (("unchanged", fault), ("all rows", all_rows), ("one", only_first)):
        if np.allclose(found, [function(a, b) for a, b in pairs()], atol=1e-6):
            return name
    return "something else"


def fault(a: np.ndarray, b: np.ndarray) -> float:
    shared = np.linalg.norm(a.T @ b) ** 2
    return float(shared / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)))


def fixed(a: np.ndarray, b: np.ndarray) -> float:
    return fault(a - a.mean(axis=0), b - b.mean(axis=0))


def all_rows(a: np.ndarray, b: np.ndarray) -> float:
    return fault(a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True))


def only_first(a: np.ndarray, b: np.ndarray) -> float:
    return fault(a - a.mean(axis=0), b)


def in_place(a: np.ndarray, b: np.ndarray) -> float:
    a -= a.mean(axis=0)
    b -= b.mean(axis=0)
    return fault(a, b)


# Exercise 12.3: a network and a layer


def chosen(answer: Any) -> tuple[str, str]:
    """The network and the layer of an answer, in small letters."""
    network, layer = answer
    if not isinstance(network, str) or not isinstance(layer, str):
        raise TypeError("not two names")
    short = network.casefold().replace("1_1", "").replace("1.1", "").replace("efficientnet_", "")
    return short.strip(), layer.casefold().strip()


# Exercise 12.5: features that only look better


@cache
def clothes_labels() -> np.ndarray:
    """Labels of the notebook's 300 training pictures."""
    from tlcourse.tasks.load import load_task

    return load_task("fashion").few_of_each(train=30, val=20).train.labels


@cache
def embedding() -> np.ndarray:
    """Stand-in for an embedding of these pictures, (300, 40)."""
    random, y = np.random.default_rng(5), clothes_labels()
    return random.normal(size=(10, 40))[y] + random.normal(size=(300, 40)) * 2


def h_of(answer: Any) -> float:
    """H-score of an array (300, C) with the labels of the clothes; another form raises."""
    from tlcourse.features.transferability import h_score

    x = np.asarray(answer.detach() if hasattr(answer, "detach") else answer, dtype=np.float64)
    if x.ndim != 2 or len(x) != 300:
        raise TypeError("not one row for each of the 300 pictures")
    return h_score(x, clothes_labels())


def knows_labels(answer: Any) -> bool:
    """Whether LogME is far above what features of SqueezeNet reach: labels were put in."""
    from tlcourse.features.transferability import logme

    return h_of(answer) > 0 and logme(np.asarray(answer), clothes_labels()) > 0.35


def with_labels() -> np.ndarray:
    return np.hstack([0.01 * embedding(), np.eye(10)[clothes_labels()]])


def little_noise() -> np.ndarray:
    return np.hstack([embedding(), np.random.default_rng(0).normal(size=(300, 5))])
