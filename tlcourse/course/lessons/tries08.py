"""What tries the answers to the exercises of notebook 08, and wrong answers to try it with."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace
from typing import Any

import numpy as np

from tlcourse.course.exercise import close

PATTERNS = ("classifier", "standalone_extractor", "frozen_extractor", "fine_tune", "from_scratch")
ALSO_CALLED = {"standalone": PATTERNS[1], "frozen": PATTERNS[2], "frozen_body": PATTERNS[2]}
ALSO_CALLED |= dict.fromkeys(("fine_tuning", "finetune", "finetuning"), PATTERNS[3])


def pattern(answer: Any) -> str:
    """A pattern's name in plain form: "Fine-tuning" is "fine_tune"."""
    if not isinstance(answer, str):
        raise TypeError("not a name")
    plain = "_".join(answer.casefold().replace("-", " ").replace("_", " ").strip("\"'`. ").split())
    return ALSO_CALLED.get(plain, plain)


# Three trained networks; the second is the best on the validation pictures: exercise 08.3.
TRIED = [
    SimpleNamespace(val_accuracy=val, test_accuracy=test)
    for val, test in ((0.90, 0.91), (0.94, 0.92), (0.92, 0.95))
]


def kept(answer: Any) -> Any:
    """The one of `TRIED` that a function keeps."""
    return called(answer, list(TRIED))


def by_test(results: Sequence[Any]) -> Any:
    return max(results, key=lambda result: result.test_accuracy)


def first_of(results: Sequence[Any]) -> Any:
    return results[0]


def its_accuracy(results: Sequence[Any]) -> float:
    return float(max(result.val_accuracy for result in results))


def all_of(results: Sequence[Any]) -> list[Any]:
    return list(results)


def nothing_kept(results: Sequence[Any]) -> None:
    by_test(results)


# Class 2 is never predicted, class 3 is predicted but never true, and the classes differ in size.
LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 0, 0, 1, 3, 1, 0, 1])


def balanced(predicted: Any, labels: Any) -> float:
    return float(np.mean([(predicted[labels == k] == k).mean() for k in np.unique(labels)]))


def plain_text(predicted: Any, labels: Any) -> float:
    return float((predicted == labels).mean())


def precision(predicted: Any, labels: Any) -> float:
    return float(np.mean([(labels[predicted == k] == k).mean() for k in np.unique(predicted)]))


def shares_of(predicted: Any, labels: Any) -> list[float]:
    return [float((predicted[labels == k] == k).mean()) for k in np.unique(labels)]


def empty_class(predicted: Any, labels: Any) -> float:
    there = np.union1d(predicted, labels)
    shares = [(predicted[labels == k] == k).sum() / (labels == k).sum(dtype=float) for k in there]
    return float(np.mean(shares))


def nothing(predicted: Any, labels: Any) -> None:
    balanced(predicted, labels)


def called(answer: Any, *arguments: Any) -> Any:
    if not callable(answer):
        raise TypeError("not a function")
    # It is called several times, so that what it prints or warns of would show several times.
    with np.errstate(all="ignore"), redirect_stdout(StringIO()):
        return answer(*arguments)


def gives(answer: Any) -> Any:
    return called(answer, PREDICTED.copy(), LABELS.copy())


def listed(given: Any) -> Any:
    return list(given.values()) if isinstance(given, dict) else given


def gives_what(answer: Any, function: Any) -> bool:
    return close(gives(answer), function(PREDICTED, LABELS), absolute=1e-6)
