"""What tries the answers to the exercises of notebook 06, and wrong answers to try it with."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tlcourse.course.exercise import same_text

LAYERS = ("stem", *(f"stage{n}" for n in range(1, 8)), "embedding")


def is_named(answer: Any, *layers: str) -> bool:
    """Compare the names of layers; "Stage 4" is "stage4"."""
    if not isinstance(answer, str):
        raise TypeError("not a name")
    return same_text(answer.replace(" ", ""), *layers)


def module(answer: Any) -> str:
    """A module's dotted name in plain form: "vgg.classifier[3]" is "classifier.3"."""
    if not isinstance(answer, str):
        raise TypeError("not a name")
    plain = answer.casefold().strip(" \"'`.").replace("[", ".").replace("]", "")
    return plain.removeprefix("vgg.")


class Probes:
    """Stands for what `tl.probe_layers` returns."""

    shallowest = "stage2"


# Exercise 06.2: predicted classes of the test digits.


@cache
def labels() -> np.ndarray:
    from tlcourse.tasks.load import load_task

    return load_task("digits", test_fraction=0.6).test.labels


def predicted(n_wrong: int) -> np.ndarray:
    """Answers of which so many are wrong, spread over all classes."""
    answers = labels().copy()
    answers[np.linspace(0, len(answers) - 1, n_wrong).astype(int)] += 1
    return answers % 10


def share_right(answer: Any) -> float:
    """Share of the test pictures whose class is right; another form of answer raises."""
    array = np.asarray(answer.detach() if hasattr(answer, "detach") else answer)
    if array.shape != labels().shape or array.dtype.kind not in "iu":
        raise TypeError("not one class for each test picture")
    return float((array == labels()).mean())


# Exercise 06.4: a fine-tuned network.


@dataclass(frozen=True)
class Trained:
    """Stands for a `tl.Result`."""

    trainable_parameters: int
    test_accuracy: float
    pattern: str = "fine_tune"
    task: str = "digits"


def trained(answer: Any) -> bool:
    """Whether this is the result of a fine-tuning for the digits."""
    return (answer.pattern, answer.task) == ("fine_tune", "digits")
