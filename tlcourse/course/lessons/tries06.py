"""What tries the answers to the exercises of notebook 06, and wrong answers to try it with."""

from typing import Any

import numpy as np

from tlcourse.course.exercise import same_text
from tlcourse.course.lessons.answers import true_classes

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


def digits() -> np.ndarray:
    return true_classes("digits", test_fraction=0.6)


# Exercise 06.4: a fine-tuned network.


def trained(answer: Any) -> bool:
    """Whether this is the result of a fine-tuning for the digits."""
    return (answer.pattern, answer.task) == ("fine_tune", "digits")
