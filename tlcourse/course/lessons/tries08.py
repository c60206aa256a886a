"""What tries the answers to the exercises of notebook 08, and wrong answers to try it with."""

from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from typing import Any

import numpy as np

from tlcourse.course.exercise import close


@cache
def p(k: int, n: int, alternative: str = "two-sided") -> float:
    from scipy.stats import binomtest

    return float(binomtest(k, n, alternative=alternative).pvalue)


@cache
def needed(width: float) -> int:
    """Smallest multiple of 100 for which 90 % right has an interval at most so wide."""
    from tlcourse.metrics import wilson_interval

    n = 100
    while True:
        low, high = wilson_interval(round(0.9 * n), n)
        if high - low <= width:
            return n
        n += 100


@cache
def chi_square(correction: int) -> float:
    """The usual approximations of McNemar's test, which large counts allow."""
    from scipy.stats import chi2

    return float(chi2.sf((10 - correction) ** 2 / 18, 1))


def whole() -> Any:
    from scipy.stats import binomtest

    return binomtest(14, 18)


# Four people, and what each of them does: exercise 08.1.
FOUR = ("classifier", "standalone_extractor", "frozen_extractor", "fine_tune")
PATTERNS = (*FOUR, "from_scratch")
ALSO_CALLED = {"standalone": FOUR[1], "frozen": FOUR[2], "fine_tuning": FOUR[3]}
ALSO_CALLED |= {"frozen_body": FOUR[2], "finetune": FOUR[3], "finetuning": FOUR[3]}


def pattern(answer: Any) -> str:
    """A pattern's name in plain form: "Fine-tuning" is "fine_tune"."""
    if not isinstance(answer, str):
        raise TypeError("not a name")
    plain = "_".join(answer.casefold().replace("-", " ").replace("_", " ").strip("\"'`. ").split())
    return ALSO_CALLED.get(plain, plain)


def four(answer: Any) -> tuple[str, ...]:
    """The names that were given for A, B, C and D."""
    if isinstance(answer, str | set | dict):
        raise TypeError("not four names in order")
    return tuple(pattern(name) for name in answer)


def wrong(answer: Any) -> set[int]:
    """Which of the four are wrong, if all are names of patterns."""
    given = four(answer)
    if len(given) != 4 or not set(given) <= set(PATTERNS):
        raise TypeError("not four names of patterns")
    return {i for i, (name, right) in enumerate(zip(given, FOUR, strict=True)) if name != right}


def c_moves(answer: Any) -> bool:
    """Whether C alone is wrong, and was taken for fine-tuning."""
    return wrong(answer) == {2} and four(answer)[2] == "fine_tune"


# Class 2 is never predicted, class 3 is predicted but never true, and the classes differ in size.
LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 0, 0, 1, 3, 1, 0, 1])


def balanced(predicted: Any, labels: Any) -> float:
    return float(np.mean([(predicted[labels == k] == k).mean() for k in np.unique(labels)]))


def plain_text(predicted: Any, labels: Any) -> float:
    return float((predicted == labels).mean())


def precision(predicted: Any, labels: Any) -> float:
    return float(np.mean([(labels[predicted == k] == k).mean() for k in np.unique(predicted)]))


def over_all(predicted: Any, labels: Any) -> float:
    there = np.unique(np.concatenate([predicted, labels]))
    return float(
        sum(((predicted == k) & (labels == k)).sum() / max((labels == k).sum(), 1) for k in there)
        / len(there)
    )


def percent(predicted: Any, labels: Any) -> float:
    return 100 * balanced(predicted, labels)


def sum_of(predicted: Any, labels: Any) -> float:
    return balanced(predicted, labels) * len(np.unique(labels))


def shares_of(predicted: Any, labels: Any) -> list[float]:
    return [float((predicted[labels == k] == k).mean()) for k in np.unique(labels)]


def empty_class(predicted: Any, labels: Any) -> float:
    there = np.union1d(predicted, labels)
    shares = [(predicted[labels == k] == k).sum() / (labels == k).sum(dtype=float) for k in there]
    return float(np.mean(shares))


def nothing(predicted: Any, labels: Any) -> None:
    balanced(predicted, labels)


def gives(answer: Any) -> Any:
    if not callable(answer):
        raise TypeError("not a function")
    # It is called several times, so that what it prints or warns of would show several times.
    with np.errstate(all="ignore"), redirect_stdout(StringIO()):
        return answer(PREDICTED.copy(), LABELS.copy())


def listed(given: Any) -> Any:
    return list(given.values()) if isinstance(given, dict) else given


def gives_what(answer: Any, function: Any) -> bool:
    return close(gives(answer), function(PREDICTED, LABELS), absolute=1e-6)


STEPS = ("at every step", "at some steps", "at no step")
