"""Exercises of notebook 08: the rule for choosing, the paired test, intervals, balanced accuracy."""

from functools import cache
from typing import Any

import numpy as np

from tlcourse._exercise import Exercise, Misconception, close, number, same_text


@cache
def _p(k: int, n: int, alternative: str = "two-sided") -> float:
    from scipy.stats import binomtest

    return float(binomtest(k, n, alternative=alternative).pvalue)


@cache
def _needed(width: float) -> int:
    """Smallest multiple of 100 for which 90 % right has an interval at most so wide."""
    from tlcourse._metrics import wilson_interval

    n = 100
    while True:
        low, high = wilson_interval(round(0.9 * n), n)
        if high - low <= width:
            return n
        n += 100


# Class 2 is never predicted, class 3 is predicted but never true, and the classes differ in size.
_LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
_PREDICTED = np.array([0, 0, 0, 0, 1, 3, 1, 0, 1])


def _balanced(predicted: Any, labels: Any) -> float:
    return float(np.mean([(predicted[labels == k] == k).mean() for k in np.unique(labels)]))


def _plain(predicted: Any, labels: Any) -> float:
    return float((predicted == labels).mean())


def _precision(predicted: Any, labels: Any) -> float:
    return float(np.mean([(labels[predicted == k] == k).mean() for k in np.unique(predicted)]))


def _over_all(predicted: Any, labels: Any) -> float:

    there = np.unique(np.concatenate([predicted, labels]))
    return float(
        sum(((predicted == k) & (labels == k)).sum() / max((labels == k).sum(), 1) for k in there)
        / len(there)
    )


def _nothing(predicted: Any, labels: Any) -> None:
    _balanced(predicted, labels)


def _gives(answer: Any) -> Any:
    if not callable(answer):
        raise TypeError("not a function")
    return answer(_PREDICTED.copy(), _LABELS.copy())


def _gives_what(answer: Any, function: Any) -> bool:
    return close(_gives(answer), function(_PREDICTED, _LABELS), absolute=1e-6)


EXERCISES = (
    Exercise(
        id="08.1",
        question="Which pattern does the rule take?",
        right=lambda a: same_text(a, "standalone_extractor", "standalone extractor"),
        praise="Simple enough, and these pictures do not show that anything is better.",
        misconceptions=(
            Misconception(
                "highest accuracy",
                lambda a: same_text(a, "fine_tune", "fine-tune", "fine tune"),
                "It has the most right. But is it told apart from simpler ones?",
                "fine_tune",
            ),
            Misconception(
                "nearest to the best",
                lambda a: same_text(a, "frozen_extractor", "frozen extractor"),
                "It is not told apart from the best one. But there is a simpler one of that kind.",
                "frozen_extractor",
            ),
            Misconception(
                "simplest of all",
                lambda a: same_text(a, "classifier"),
                "It is the simplest and quickest. But look at its p-value.",
                "classifier",
            ),
        ),
        hints=(
            "First cross out each pattern that is told apart from the best: p below 0.05.",
            "Of those that are left, take the one that stands first in the list of section 3.",
        ),
        otherwise="Answer with one of the four names in the table.",
        expects="the name of a pattern",
    ),
    Exercise(
        id="08.2",
        question="What is the p-value of the exact McNemar test for 14 against 4?",
        right=lambda a: close(a, _p(14, 18), rel=0.02),
        praise="Below 0.05: these two are told apart, although they agree on most pictures.",
        misconceptions=(
            Misconception(
                "all pictures",
                lambda a: close(a, _p(14, 200), rel=0.02),
                "You tested 14 of all 200. The pictures on which both agree say nothing.",
                lambda: _p(14, 200),
            ),
            Misconception(
                "one side",
                lambda a: close(a, _p(14, 18, "greater"), rel=0.02),
                "That is one side only. The second method might as well have been the better one.",
                lambda: _p(14, 18, "greater"),
            ),
            Misconception(
                "a share",
                lambda a: close(a, 14 / 18, rel=0.02),
                "That is the share of the first one. How often would a coin give at least this?",
                14 / 18,
            ),
            Misconception(
                "14 of 14",
                lambda a: close(a, _p(4, 14), rel=0.02),
                "You took 4 of 14. On how many pictures do the two differ, altogether?",
                lambda: _p(4, 14),
            ),
        ),
        hints=(
            "On how many pictures do the two differ?",
            "`binomtest(k, n).pvalue` with n the number of these pictures.",
        ),
        otherwise="Use `binomtest` as in section 1, with the two counts.",
        expects="a number from 0 to 1",
    ),
    Exercise(
        id="08.3",
        question="How many test pictures make the interval of 90 % at most 0.04 wide?",
        right=lambda a: number(a) == _needed(0.04),
        praise="So many, to know an accuracy to two points in either direction.",
        misconceptions=(
            Misconception(
                "half the width",
                lambda a: number(a) == _needed(0.08),
                "With so many, each half is 0.04 wide. The whole interval shall be 0.04.",
                lambda: _needed(0.08),
            ),
            Misconception(
                "twice too strict",
                lambda a: number(a) == _needed(0.02),
                "With so many, the whole interval is 0.02 wide. Twice that is enough.",
                lambda: _needed(0.02),
            ),
            Misconception(
                "one step short",
                lambda a: number(a) == _needed(0.04) - 100,
                "Nearly: with so many it is still a little wider than 0.04.",
                lambda: _needed(0.04) - 100,
            ),
            Misconception(
                "no multiple",
                lambda a: _needed(0.04) - 100 < number(a) < _needed(0.04),
                "Close. Round up to the next multiple of 100.",
                lambda: _needed(0.04) - 50,
            ),
        ),
        hints=(
            '`binomtest(90, 100).proportion_ci(method="wilson")` has a `low` and a `high`.',
            "Write a loop: n = 100, 200, 300, ... until `high - low` is at most 0.04.",
            "Take `round(0.9 * n)` right pictures of n.",
        ),
        otherwise="Try multiples of 100, and compare `high - low` with 0.04.",
        expects="a whole number",
    ),
    Exercise(
        id="08.4",
        question="Write a function that gives the balanced accuracy.",
        right=lambda a: _gives_what(a, _balanced),
        praise="Now each class counts the same, however few pictures it has.",
        misconceptions=(
            Misconception(
                "returns nothing",
                lambda a: _gives(a) is None,
                "Your function returns nothing. Does it end with `return`?",
                lambda: _nothing,
            ),
            Misconception(
                "plain accuracy",
                lambda a: _gives_what(a, _plain),
                "That is the plain accuracy: a large class counts more than a small one.",
                lambda: _plain,
            ),
            Misconception(
                "predicted classes",
                lambda a: _gives_what(a, _precision),
                "You grouped by what is predicted. Group by the true class.",
                lambda: _precision,
            ),
            Misconception(
                "too many classes",
                lambda a: _gives_what(a, _over_all),
                "A class that is predicted but never true counts, too. Only true classes should.",
                lambda: _over_all,
            ),
        ),
        hints=(
            "`np.unique(labels)` gives the classes.",
            "`labels == label` picks the pictures of one class.",
            "For one class: `(predicted[labels == label] == label).mean()`.",
        ),
        otherwise="For each true class one share, then the mean of the shares.",
        expects="a function of predicted and labels",
    ),
)
