"""Questions of notebook 06: reading a table of layers, paired counts, nested choices, depth."""

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from typing import Any

import numpy as np

from tlcourse._exercise import Exercise, Misconception, close, number, same_text
from tlcourse._prediction import Prediction

# Exercise 06.2: of 300 pictures the first probe gets every 10th wrong, the second every 6th.


@cache
def _p(n_first: int, n: int, share: float = 0.5, alternative: str = "two-sided") -> float:
    from scipy.stats import binomtest

    return float(binomtest(n_first, n, share, alternative=alternative).pvalue)


def _whole(n_first: int, n: int) -> Any:
    from scipy.stats import binomtest

    return binomtest(n_first, n)


@cache
def _unpaired() -> float:
    from scipy.stats import fisher_exact

    return float(fisher_exact([[270, 30], [250, 50]])[1])


@cache
def _chi_square(correction: int) -> float:
    """The usual approximations of McNemar's test, which large counts allow."""
    from scipy.stats import chi2

    return float(chi2.sf((20 - correction) ** 2 / 60, 1))


def _is(answer: Any, *layers: str) -> bool:
    """Compare the names of layers; "Stage 4" is "stage4"."""
    if not isinstance(answer, str):
        raise TypeError("not a name")
    return same_text(answer.replace(" ", ""), *layers)


def _module(answer: Any) -> str:
    """A module's dotted name in plain form: "vgg.classifier[3]" is "classifier.3"."""
    if not isinstance(answer, str):
        raise TypeError("not a name")
    plain = answer.casefold().strip(" \"'`.").replace("[", ".").replace("]", "")
    return plain.removeprefix("vgg.")


# No strength is 0, 1 or 2, so that a strength is never mistaken for its place in the list.
_BEST, _STRENGTHS = 0.2, (0.02, 0.2, 20.0)
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
    "another form",
    "accuracy",
    "place",
    "pair",
    "worst",
    "tried on what was learned",
    "scored fold",
    "learned from scored fold",
)


def _for_fold(answer: Any, k: int) -> str:
    calls: list[tuple[tuple[int, ...], int]] = []
    other_forms = []

    def score(strength: float, learn: Sequence[int], try_on: int) -> float:
        try:
            calls.append((tuple(int(fold) for fold in learn), int(try_on)))
        except TypeError:
            other_forms.append((learn, try_on))
            return 0.5
        # Best at _BEST, a little different from fold to fold, and never by the same number twice.
        return 0.9 - 0.05 * abs(np.log10(strength / _BEST)) - 0.01 * int(try_on)

    with redirect_stdout(StringIO()):  # it is called several times
        found = answer(score, k, list(_STRENGTHS))
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
    if close(found, _BEST):
        return "right"
    if number(found) in range(len(_STRENGTHS)):
        return "place"
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


def _tries_on_a_list(score: Any, k: int, strengths: Sequence[float]) -> float:
    return max(strengths, key=lambda s: sum(score(s, learn, [t]) for learn, t in _inside(k)))


def _gives_accuracy(score: Score, k: int, strengths: Sequence[float]) -> float:
    return _chosen(score, k, strengths, _inside)[1]


def _gives_place(score: Score, k: int, strengths: Sequence[float]) -> int:
    return list(strengths).index(_chosen(score, k, strengths, _inside)[0])


def _gives_pair(score: Score, k: int, strengths: Sequence[float]) -> tuple[float, float]:
    return _chosen(score, k, strengths, _inside)


def _gives_worst(score: Score, k: int, strengths: Sequence[float]) -> float:
    return _chosen(score, k, strengths, _inside, -1)[0]


def _gives_nothing(score: Score, k: int, strengths: Sequence[float]) -> None:
    _chosen(score, k, strengths, _inside)


def _linear() -> Any:
    from torch import nn

    return nn.Linear(2, 2)


EXERCISES = (
    Exercise(
        id="06.1",
        question="Which is the shallowest layer that cannot be told apart from the best one?",
        right=lambda a: _is(a, "stage4"),
        praise="It does not matter that stage5, which is deeper, can be told apart.",
        misconceptions=(
            Misconception(
                "best",
                lambda a: _is(a, "stage6"),
                "That is the best layer itself. Is there a shallower one that the test cannot tell "
                "apart from it?",
                "stage6",
            ),
            Misconception(
                "deepest",
                lambda a: _is(a, "embedding"),
                "It cannot be told apart, but it is the deepest one. We look for the shallowest.",
                "embedding",
            ),
            Misconception(
                "most alike",
                lambda a: _is(a, "stage7"),
                "That has the largest p-value, so it is the most alike. But it is not the "
                "shallowest of those with a p-value of 0.05 or more.",
                "stage7",
            ),
            Misconception(
                "p-value read backwards",
                lambda a: _is(a, "stem", "stage2"),
                "Its p-value is below 0.05. A small p-value means that it *can* be told apart.",
                "stem",
            ),
            Misconception(
                "just below the border",
                lambda a: _is(a, "stage5"),
                "Its p-value is only just below 0.05, but it is below: told apart. It also stands "
                "deeper than another layer that is not told apart.",
                "stage5",
            ),
            Misconception(
                "not in the table",
                lambda a: _is(a, "stage1", "stage3"),
                "This layer was not probed: it has no row in the table.",
                "stage3",
            ),
            Misconception(
                "a number of the table",
                lambda a: number(a) >= 0,
                "That is a number. Answer with the name at the left of its row.",
                0.08,
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
        right=lambda a: close(a, _p(40, 60), rel=0.04),
        praise="Their separate intervals overlap, and yet the paired test tells them apart.",
        misconceptions=(
            Misconception(
                "one side",
                lambda a: any(
                    close(a, _p(40, 60, alternative=side), rel=0.04) for side in ("greater", "less")
                ),
                "That is one side only. Chance could also have favoured the second probe: leave "
                "`alternative` as it is.",
                lambda: _p(40, 60, alternative="greater"),
            ),
            Misconception(
                "approximation",
                lambda a: any(close(a, _chi_square(c), rel=0.008) for c in (0, 1)),
                "That is the chi-square approximation of the same test. Use `binomtest`, which is "
                "exact.",
                lambda: _chi_square(1),
            ),
            Misconception(
                "percent",
                lambda a: close(a, 100 * _p(40, 60), rel=0.04),
                "Right as a percentage. A p-value is written as a number from 0 to 1.",
                lambda: 100 * _p(40, 60),
            ),
            Misconception(
                "one digit",
                lambda a: number(a) in (0.01, 0.02),
                "The size is right. Give two digits that are not 0, or do not round at all.",
                0.01,
            ),
            Misconception(
                "the border",
                lambda a: number(a) == 0.05,
                "That is the border between told apart and not. Which p-value do these two have?",
                0.05,
            ),
            Misconception(
                "whole result",
                lambda a: hasattr(a, "pvalue") and hasattr(a, "proportion_ci"),
                "That is the whole result of the test. Its p-value is the attribute `pvalue`.",
                lambda: _whole(40, 60),
            ),
            Misconception(
                "what compare returns",
                lambda a: len(a) == 3 and (number(a[0]), number(a[1])) == (40, 20),
                "The counts are right, and the p-value is in it: the last of the three.",
                lambda: (40, 20, _p(40, 60)),
            ),
            Misconception(
                "unpaired",
                lambda a: close(a, _unpaired(), rel=0.04),
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
                lambda a: any(close(a, n) for n in (40, 20, 60, 30, 50, 270, 250)),
                "That is a count of pictures. Put the two counts that matter into `binomtest`.",
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
        right=lambda a: _module(a) == "classifier.3",
        praise="It gives 4096 numbers, and 1000 classes are told from them.",
        misconceptions=(
            Misconception(
                "output",
                lambda a: _module(a) == "classifier.6",
                "That is the output layer itself: it gives the 1000 classes. Go one back.",
                "classifier.6",
            ),
            Misconception(
                "first",
                lambda a: _module(a) == "classifier.0",
                "That is a fully connected layer, but another one follows before the output.",
                "classifier.0",
            ),
            Misconception(
                "not a layer with weights",
                lambda a: _module(a) in ("classifier.1", "classifier.2", "classifier.5"),
                "That is an activation or a dropout: it has no weights. Look for `Linear`.",
                "classifier.5",
            ),
            Misconception(
                "AlexNet's",
                lambda a: _module(a) == "classifier.4",
                "That is the name in AlexNet. VGG-16 counts its modules differently: in it, this "
                "one has no weights. List those of VGG-16.",
                "classifier.4",
            ),
            Misconception(
                "all of them",
                lambda a: _module(a) == "classifier",
                "That is the part with all three fully connected layers. Which one of them?",
                "classifier",
            ),
            Misconception(
                "this course's network",
                lambda a: _module(a) in ("embedding", "global_pool", "conv_head"),
                "That is a name in this course's network. VGG-16 has other ones.",
                "embedding",
            ),
            Misconception(
                "module itself",
                lambda a: hasattr(a, "named_modules"),
                "That is a module itself. Answer with its dotted name, a text.",
                _linear,
            ),
            Misconception(
                "several",
                lambda a: "classifier.3" in list(a) and not isinstance(a, str),
                "It is among them. Which one of these is the last before the output layer?",
                lambda: ["classifier.0", "classifier.3", "classifier.6"],
            ),
            Misconception(
                "size",
                lambda a: number(a) in (4096, 1000, 25088),
                "That is how many numbers a layer takes or gives. Answer with its name.",
                4096,
            ),
            Misconception(
                "convolution",
                lambda a: _module(a).startswith(("features", "avgpool")),
                "That belongs to the convolutions and their pooling. Fully connected layers are "
                "called `Linear`.",
                "features.28",
            ),
        ),
        hints=(
            "`vgg.named_modules()` gives each module with its dotted name.",
            "Keep those of type `torch.nn.Linear`. There are three.",
            "The last of the three gives the 1000 classes. Take the name of the one before it.",
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
                "another form",
                lambda a: _looked_at(a) == "another form",
                "`try_on` is one fold, such as `2`, not a list. `learn` is a list of folds, such as "
                "`[0, 1, 4]`.",
                lambda: _tries_on_a_list,
            ),
            Misconception(
                "accuracy",
                lambda a: _looked_at(a) == "accuracy",
                "Your function returns a number that is no strength. Is it the accuracy?",
                lambda: _gives_accuracy,
            ),
            Misconception(
                "place",
                lambda a: _looked_at(a) == "place",
                "Your function returns the place of a strength in the list. Return the strength: "
                "`strengths[place]`.",
                lambda: _gives_place,
            ),
            Misconception(
                "pair",
                lambda a: _looked_at(a) == "pair",
                "Your function returns several things. Return the strength alone.",
                lambda: _gives_pair,
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
        right=lambda a: _is(a, "stage2"),
        praise="Going deeper brings nothing more that these pictures show, and it costs more.",
        misconceptions=(
            Misconception(
                "too shallow",
                lambda a: _is(a, "stem", "stage1"),
                "Good, but not as good: the paired test can tell it apart from the best layer.",
                "stem",
            ),
            Misconception(
                "deepest",
                lambda a: _is(a, "embedding", "stage7", "stage6"),
                "Is there really no shallower layer that cannot be told apart from the best?",
                "embedding",
            ),
            Misconception(
                "middle",
                lambda a: _is(a, "stage3", "stage4", "stage5"),
                "That one cannot be told apart from the best layer. But neither can a shallower one.",
                "stage4",
            ),
            Misconception(
                "result itself",
                lambda a: hasattr(a, "shallowest"),
                "That is the whole result. It has an attribute `shallowest`.",
                lambda: _Result(),
            ),
            Misconception(
                "raw pixels",
                lambda a: _is(a, "pixels", "rawpixels"),
                "Raw pixels are no layer of the network. Probe the `layers` of `backbone`.",
                "pixels",
            ),
            Misconception(
                "its table",
                lambda a: "told_apart" in a.columns,
                "The answer stands in this table: the first row that is not told apart.",
                lambda: _table(),
            ),
            Misconception(
                "an accuracy",
                lambda a: number(a) > 0,
                "That is a number. Which layer does it belong to?",
                0.99,
            ),
        ),
        hints=(
            "Three steps: `tl.load_task`, `tl.extract_features`, `tl.probe_layers`.",
            "`tl.extract_features(backbone, faces, layers)` gives the features of all layers.",
            "Give these to `tl.probe_layers`. The attribute `shallowest` of what it returns is the "
            "answer.",
        ),
        otherwise='Answer with the name of a layer, such as "stem".',
        expects="the name of a layer",
    ),
)


class _Result:
    """Stands for what `tl.probe_layers` returns."""

    shallowest = "stage2"


def _table() -> Any:
    import pandas as pd

    return pd.DataFrame({"told_apart": [True, False]}, index=["stem", "stage2"])


_LAYERS = ("stem", *(f"stage{n}" for n in range(1, 8)), "embedding")
_COMPARED = ("worse", "cannot be told apart", "better")

PREDICTIONS = (
    Prediction(
        id="06.A",
        question="At which layer does a probe tell ants from bees best?",
        options=_LAYERS,
        figure="Figure 1",
        look="In the first panel the star marks the best layer, the ring the shallowest one that "
        "cannot be told apart from it.",
    ),
    Prediction(
        id="06.B",
        question="At which layer does a probe tell the kinds of drawings apart best?",
        options=_LAYERS,
        figure="Figure 1",
        look="The middle panel shows it: look for the star and the ring there.",
    ),
    Prediction(
        id="06.C",
        question="At which layer does a probe tell handwritten digits apart best?",
        options=_LAYERS,
        figure="Figure 1",
        look="See the right panel, and what the blue line does after its star.",
    ),
    Prediction(
        id="06.D",
        question="On digits, how good are random weights at the embedding, compared with trained "
        "ones?",
        options=_COMPARED,
        figure="Figure 1",
        look="Compare blue and orange at the right end of the right panel.",
    ),
    Prediction(
        id="06.E",
        question="On digits, how good are raw pixels, compared with the network's best layer?",
        options=_COMPARED,
        figure="Figure 2",
        look="Look at the green circle of the digits: filled means told apart, to the left of 0 "
        "means worse.",
    ),
)
