"""Exercises of notebook 06: reading a table of layers, paired counts, nested choices, depth."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from tlcourse._exercise import Exercise, Misconception, close, same_text

# Exercise 06.2: of 300 pictures the first probe gets every 10th wrong, the second every 6th.


@cache
def _p(n_first: int, n: int, share: float = 0.5, alternative: str = "two-sided") -> float:
    from scipy.stats import binomtest

    return float(binomtest(n_first, n, share, alternative=alternative).pvalue)


@cache
def _unpaired() -> float:
    from scipy.stats import fisher_exact

    return float(fisher_exact([[270, 30], [250, 50]])[1])


_BEST, _STRENGTHS = 0.1, (0.01, 0.1, 1.0)
Score = Callable[[float, Sequence[int], int], float]


def _looked_at(answer: Any) -> str:
    """What the learner's function does for some folds: "right", or which mistake."""
    if not callable(answer):
        raise TypeError("not a function")
    return max((_for_fold(answer, k) for k in (0, 3, 4)), key=_MISTAKES.index)


_MISTAKES = (
    "right",
    "other",
    "nothing",
    "accuracy",
    "worst",
    "tried on what was learned",
    "scored fold",
    "learned from scored fold",
)


def _for_fold(answer: Any, k: int) -> str:
    calls: list[tuple[tuple[int, ...], int]] = []

    def score(strength: float, learn: Sequence[int], try_on: int) -> float:
        calls.append((tuple(int(fold) for fold in learn), int(try_on)))
        # Best at _BEST, a little different from fold to fold, and never by the same number twice.
        return 0.9 - 0.05 * abs(np.log10(strength / _BEST)) - 0.01 * int(try_on)

    found = answer(score, k, list(_STRENGTHS))
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
    if close(found, _BEST):
        return "right"
    if any(close(found, strength) for strength in _STRENGTHS):
        return "worst"
    return "accuracy"


def _chosen(
    score: Score, k: int, strengths: Sequence[float], folds: Callable[[int], Any], sign: int = 1
) -> tuple[float, float]:
    """Best strength and its mean score, over the (learn, try_on) pairs that `folds(k)` gives."""
    means = [sign * float(np.mean([score(s, *pair) for pair in folds(k)])) for s in strengths]
    return strengths[int(np.argmax(means))], max(means)


def _inside(k: int) -> list[tuple[list[int], int]]:
    return [([f for f in range(5) if f not in (k, j)], j) for j in range(5) if j != k]


def _on_scored(k: int) -> list[tuple[list[int], int]]:
    return [([f for f in range(5) if f != k], k)]


def _all_folds(k: int) -> list[tuple[list[int], int]]:
    return [([f for f in range(5) if f != j], j) for j in range(5) if j != k]


def _same_folds(k: int) -> list[tuple[list[int], int]]:
    return [([f for f in range(5) if f != k], j) for j in range(5) if j != k]


def _chooses_on_scored(score: Score, k: int, strengths: Sequence[float]) -> float:
    return _chosen(score, k, strengths, _on_scored)[0]


def _learns_from_scored(score: Score, k: int, strengths: Sequence[float]) -> float:
    return _chosen(score, k, strengths, _all_folds)[0]


def _tries_on_learned(score: Score, k: int, strengths: Sequence[float]) -> float:
    return _chosen(score, k, strengths, _same_folds)[0]


def _gives_accuracy(score: Score, k: int, strengths: Sequence[float]) -> float:
    return _chosen(score, k, strengths, _inside)[1]


def _gives_worst(score: Score, k: int, strengths: Sequence[float]) -> float:
    return _chosen(score, k, strengths, _inside, -1)[0]


def _gives_nothing(score: Score, k: int, strengths: Sequence[float]) -> None:
    _chosen(score, k, strengths, _inside)


EXERCISES = (
    Exercise(
        id="06.1",
        question="Which is the shallowest layer that cannot be told apart from the best one?",
        right=lambda a: same_text(a, "stage4"),
        praise="It does not matter that stage5, which is deeper, can be told apart.",
        misconceptions=(
            Misconception(
                "best",
                lambda a: same_text(a, "stage6"),
                "That is the best layer itself. Is there a shallower one that the test cannot tell "
                "apart from it?",
                "stage6",
            ),
            Misconception(
                "deepest",
                lambda a: same_text(a, "embedding"),
                "It cannot be told apart, but it is the deepest one. We look for the shallowest.",
                "embedding",
            ),
            Misconception(
                "most alike",
                lambda a: same_text(a, "stage7"),
                "That has the largest p-value, so it is the most alike. But it is not the "
                "shallowest of those with a p-value of 0.05 or more.",
                "stage7",
            ),
            Misconception(
                "p-value read backwards",
                lambda a: same_text(a, "stem", "stage2", "stage5"),
                "Its p-value is below 0.05. A small p-value means that it *can* be told apart.",
                "stem",
            ),
        ),
        hints=(
            "Told apart means: p-value below 0.05.",
            "Cross out the layers that are told apart. Then take the one nearest to the input.",
        ),
        otherwise="Answer with the name of one of the seven layers of the table.",
        expects='the name of a layer, such as "stage2"',
    ),
    Exercise(
        id="06.2",
        question="How large is the paired p-value of the two probes?",
        right=lambda a: close(a, _p(40, 60), rel=0.02),
        praise="Their separate intervals overlap, and yet the paired test tells them apart.",
        misconceptions=(
            Misconception(
                "one side",
                lambda a: close(a, _p(40, 60, alternative="greater"), rel=0.02),
                "That is one side only. Chance could also have favoured the second probe: leave "
                "`alternative` as it is.",
                lambda: _p(40, 60, alternative="greater"),
            ),
            Misconception(
                "unpaired",
                lambda a: close(a, _unpaired(), rel=0.02),
                "That test treats them as two groups of different pictures. Look at the same "
                "pictures in pairs.",
                _unpaired,
            ),
            Misconception(
                "all pictures",
                lambda a: 0 <= a < 1e-6,
                "The pictures that both get right, or both wrong, say nothing. Count out of those "
                "that only one gets right.",
                lambda: _p(40, 300),
            ),
            Misconception(
                "difference",
                lambda a: close(abs(a), 20 / 300, rel=0.02),
                "That is the difference of the two accuracies. Could chance explain it?",
                20 / 300,
            ),
            Misconception(
                "count",
                lambda a: any(close(a, n) for n in (40, 20, 60)),
                "That is a count of pictures. Put the counts into `binomtest`.",
                40,
            ),
        ),
        hints=(
            "Count the pictures that only the first one gets right, and only the second one.",
            "`(first & ~second).sum()` is one of the counts.",
            "`binomtest(only_first, only_first + only_second).pvalue`",
        ),
        otherwise="As in section 3: `binomtest` of the pictures that only one gets right.",
        expects="a number from 0 to 1",
    ),
    Exercise(
        id="06.3",
        question="Which module is VGG-16's last fully connected layer before the output layer?",
        right=lambda a: same_text(a, "classifier.3"),
        praise="It gives 4096 numbers, and 1000 classes are told from them.",
        misconceptions=(
            Misconception(
                "output",
                lambda a: same_text(a, "classifier.6"),
                "That is the output layer itself: it gives the 1000 classes. Go one back.",
                "classifier.6",
            ),
            Misconception(
                "first",
                lambda a: same_text(a, "classifier.0"),
                "That is a fully connected layer, but another one follows before the output.",
                "classifier.0",
            ),
            Misconception(
                "not a layer with weights",
                lambda a: same_text(a, "classifier.4", "classifier.5", "classifier.1"),
                "That is an activation or a dropout: it has no weights. Look for `Linear`.",
                "classifier.4",
            ),
            Misconception(
                "convolution",
                lambda a: same_text(a, "features.28", "features.30", "features", "avgpool"),
                "That belongs to the convolutions and their pooling. Fully connected layers are "
                "called `Linear`.",
                "features.28",
            ),
        ),
        hints=(
            "`vgg.named_modules()` gives each module with its dotted name.",
            "Keep those of type `torch.nn.Linear`. There are three.",
        ),
        otherwise="The dotted name of a module, as `vgg.named_modules()` gives it.",
        expects='a text such as "features.0"',
    ),
    Exercise(
        id="06.4",
        question="Write a function that chooses a strength without looking at the scored fold.",
        right=lambda a: _looked_at(a) == "right",
        praise="The scored fold took no part, neither in learning nor in choosing.",
        misconceptions=(
            Misconception(
                "scored fold",
                lambda a: _looked_at(a) == "scored fold",
                "You tried strengths on fold `k`. That fold will be scored, so its accuracy would "
                "be too good.",
                lambda: _chooses_on_scored,
            ),
            Misconception(
                "learned from scored fold",
                lambda a: _looked_at(a) == "learned from scored fold",
                "Fold `k` is in `learn`. It must be left out there, too.",
                lambda: _learns_from_scored,
            ),
            Misconception(
                "tried on what was learned",
                lambda a: _looked_at(a) == "tried on what was learned",
                "You tried a probe on a fold that it has learned from, or it learned from nothing. "
                "Leave `try_on` out of `learn`.",
                lambda: _tries_on_learned,
            ),
            Misconception(
                "accuracy",
                lambda a: _looked_at(a) == "accuracy",
                "Your function returns a number that is no strength. Is it the accuracy?",
                lambda: _gives_accuracy,
            ),
            Misconception(
                "worst",
                lambda a: _looked_at(a) == "worst",
                "The folds are right, but this strength is not the one with the highest accuracy.",
                lambda: _gives_worst,
            ),
            Misconception(
                "nothing",
                lambda a: _looked_at(a) == "nothing",
                "Your function returns nothing. Does it end with `return`?",
                lambda: _gives_nothing,
            ),
        ),
        hints=(
            "Which folds may you use at all? All but `k`.",
            "Let each of them be `try_on` once, and the other ones without `k` be `learn`.",
            "For each strength take the mean of the accuracies; return the strength of the "
            "largest one.",
        ),
        otherwise="Call `score` with folds other than `k` only, and return one of the strengths.",
        expects="a function of score, k and strengths that returns a strength",
    ),
    Exercise(
        id="06.5",
        question="How deep must you tap to tell faces from other patches?",
        right=lambda a: same_text(a, "stage2"),
        praise="Going deeper brings nothing more that these pictures show, and it costs more.",
        misconceptions=(
            Misconception(
                "too shallow",
                lambda a: same_text(a, "stem", "stage1"),
                "Good, but not as good: the paired test can tell it apart from the best layer.",
                "stem",
            ),
            Misconception(
                "deepest",
                lambda a: same_text(a, "embedding", "stage7", "stage6"),
                "Is there really no shallower layer that cannot be told apart from the best?",
                "embedding",
            ),
            Misconception(
                "middle",
                lambda a: same_text(a, "stage3", "stage4", "stage5"),
                "That one is as good as the best, but not the shallowest of its kind.",
                "stage4",
            ),
            Misconception(
                "result itself",
                lambda a: hasattr(a, "shallowest"),
                "That is the whole result. It has an attribute `shallowest`.",
                lambda: _Result(),
            ),
        ),
        hints=(
            "Three steps: `tl.load_task`, `tl.extract_features`, `tl.probe_layers`.",
            "`tl.extract_features(backbone, faces, layers)` gives the features of all layers.",
        ),
        otherwise='Answer with the name of a layer, such as "stem".',
        expects="the name of a layer",
    ),
)


class _Result:
    """Stands for what `tl.probe_layers` returns."""

    shallowest = "stage2"
