"""What tries the answers to the exercises of notebook 06, and wrong answers to try it with."""

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from typing import Any

import numpy as np

from tlcourse.course.exercise import close, number, same_text

# Exercise 06.2: of 300 pictures the first probe gets every 10th wrong, the second every 6th.


@cache
def p(n_first: int, n: int, share: float = 0.5, alternative: str = "two-sided") -> float:
    from scipy.stats import binomtest

    return float(binomtest(n_first, n, share, alternative=alternative).pvalue)


def whole(n_first: int, n: int) -> Any:
    from scipy.stats import binomtest

    return binomtest(n_first, n)


@cache
def unpaired() -> float:
    from scipy.stats import fisher_exact

    return float(fisher_exact([[270, 30], [250, 50]])[1])


@cache
def chi_square(correction: int) -> float:
    """The usual approximations of McNemar's test, which large counts allow."""
    from scipy.stats import chi2

    return float(chi2.sf((20 - correction) ** 2 / 60, 1))


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


# No strength is 0, 1 or 2, so that a strength is never mistaken for its place in the list.
BEST, STRENGTHS = 0.2, (0.02, 0.2, 20.0)
Score = Callable[[float, Sequence[int], int], float]


def looked_at(answer: Any) -> str:
    """What the learner's function does for some folds: "right", or which mistake."""
    if not callable(answer):
        raise TypeError("not a function")
    return max((for_fold(answer, k) for k in (0, 3, 4)), key=MISTAKES.index)


MISTAKES = (
    "right",
    "other",
    "nothing",
    "another form",
    "accuracy",
    "place",
    "pair",
    "worst",
    "tried on what was learned",
    "scored fold",
    "learned from scored fold",
)


def for_fold(answer: Any, k: int) -> str:
    calls: list[tuple[tuple[int, ...], int]] = []
    other_forms = []

    def score(strength: float, learn: Sequence[int], try_on: int) -> float:
        try:
            calls.append((tuple(int(fold) for fold in learn), int(try_on)))
        except TypeError:
            other_forms.append((learn, try_on))
            return 0.5
        # Best at _BEST, a little different from fold to fold, and never by the same number twice.
        return 0.9 - 0.05 * abs(np.log10(strength / BEST)) - 0.01 * int(try_on)

    with redirect_stdout(StringIO()):  # it is called several times
        found = answer(score, k, list(STRENGTHS))
    if other_forms:
        return "another form"
    if any(k in learn for learn, _ in calls):
        return "learned from scored fold"
    if any(k == try_on for _, try_on in calls):
        return "scored fold"
    if any(try_on in learn or not learn for learn, try_on in calls):
        return "tried on what was learned"
    if found is None:
        return "nothing"
    if not calls:
        return "other"
    if isinstance(found, tuple | list):
        return "pair"
    if close(found, BEST):
        return "right"
    if number(found) in range(len(STRENGTHS)):
        return "place"
    if any(close(found, strength) for strength in STRENGTHS):
        return "worst"
    return "accuracy"


def chosen(
    score: Score, k: int, strengths: Sequence[float], folds: Callable[[int], Any], sign: int = 1
) -> tuple[float, float]:
    """Best strength and its mean score, over the (learn, try_on) pairs that `folds(k)` gives."""
    means = [sign * float(np.mean([score(s, *pair) for pair in folds(k)])) for s in strengths]
    return strengths[int(np.argmax(means))], max(means)


def inside(k: int) -> list[tuple[list[int], int]]:
    return [([f for f in range(5) if f not in (k, j)], j) for j in range(5) if j != k]


def on_scored(k: int) -> list[tuple[list[int], int]]:
    return [([f for f in range(5) if f != k], k)]


def all_folds(k: int) -> list[tuple[list[int], int]]:
    return [([f for f in range(5) if f != j], j) for j in range(5) if j != k]


def same_folds(k: int) -> list[tuple[list[int], int]]:
    return [([f for f in range(5) if f != k], j) for j in range(5) if j != k]


def chooses_on_scored(score: Score, k: int, strengths: Sequence[float]) -> float:
    return chosen(score, k, strengths, on_scored)[0]


def learns_from_scored(score: Score, k: int, strengths: Sequence[float]) -> float:
    return chosen(score, k, strengths, all_folds)[0]


def tries_on_learned(score: Score, k: int, strengths: Sequence[float]) -> float:
    return chosen(score, k, strengths, same_folds)[0]


def tries_on_a_list(score: Any, k: int, strengths: Sequence[float]) -> float:
    return max(strengths, key=lambda s: sum(score(s, learn, [t]) for learn, t in inside(k)))


def gives_accuracy(score: Score, k: int, strengths: Sequence[float]) -> float:
    return chosen(score, k, strengths, inside)[1]


def gives_place(score: Score, k: int, strengths: Sequence[float]) -> int:
    return list(strengths).index(chosen(score, k, strengths, inside)[0])


def gives_pair(score: Score, k: int, strengths: Sequence[float]) -> tuple[float, float]:
    return chosen(score, k, strengths, inside)


def gives_worst(score: Score, k: int, strengths: Sequence[float]) -> float:
    return chosen(score, k, strengths, inside, -1)[0]


def gives_nothing(score: Score, k: int, strengths: Sequence[float]) -> None:
    chosen(score, k, strengths, inside)


def linear() -> Any:
    from torch import nn

    return nn.Linear(2, 2)


class Result:
    """Stands for what `tl.probe_layers` returns."""

    shallowest = "stage2"


def table() -> Any:
    import pandas as pd

    return pd.DataFrame({"told_apart": [True, False]}, index=["stem", "stage2"])


LAYERS = ("stem", *(f"stage{n}" for n in range(1, 8)), "embedding")
COMPARED = ("worse", "cannot be told apart", "better")
