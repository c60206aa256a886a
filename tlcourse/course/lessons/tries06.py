"""What tries the answers to the exercises of notebook 06, and wrong answers to try it with."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from typing import Any

import numpy as np

from tlcourse.course.exercise import close, same_text

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


class Result:
    """Stands for what `tl.probe_layers` returns."""

    shallowest = "stage2"


# Exercise 06.2: predicted classes of the test pictures of `clothes`.


@cache
def labels() -> np.ndarray:
    from tlcourse.tasks.load import load_task

    return load_task("fashion").test.labels


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


# Exercise 06.4: a function that chooses a strength.

BEST, STRENGTHS = 0.2, (0.02, 0.2, 20.0)
Score = Callable[[float, Sequence[int], int], float]
# From the mistake that matters least to the one that matters most.
MISTAKES = ("right", "other", "nothing", "worst", "tried on what was learned", "scored fold", "leak")


def looked_at(answer: Any) -> str:
    """What the learner's function does for some folds: "right", or which mistake."""
    if not callable(answer):
        raise TypeError("not a function")
    return max((_for_fold(answer, k) for k in (0, 3, 4)), key=MISTAKES.index)


def _for_fold(answer: Any, k: int) -> str:
    calls: list[tuple[tuple[int, ...], int]] = []

    def score(strength: float, learn: Iterable[int], try_on: int) -> float:
        calls.append((tuple(int(fold) for fold in learn), int(try_on)))
        # Best at BEST, and a little different from fold to fold.
        return 0.9 - 0.05 * abs(float(np.log10(strength / BEST))) - 0.01 * int(try_on)

    with redirect_stdout(StringIO()):  # it is called several times
        found = answer(score, k, list(STRENGTHS))
    if any(k in learn for learn, _ in calls):
        return "leak"
    if any(k == try_on for _, try_on in calls):
        return "scored fold"
    if any(try_on in learn or not learn for learn, try_on in calls):
        return "tried on what was learned"
    if found is None:
        return "nothing"
    if not calls or not any(close(found, strength) for strength in STRENGTHS):
        return "other"
    return "right" if close(found, BEST) else "worst"


def chooser(
    learn: Callable[[int, int], Sequence[int]],
    try_on: Callable[[int], Sequence[int]],
    pick: Callable[[Sequence[float], Sequence[float]], Any] = lambda s, means: s[np.argmax(means)],
) -> Callable[[Score, int, Sequence[float]], Any]:
    """A function that chooses; `try_on(k)` gives folds, `learn(k, j)` what is learned for one."""

    def choose(score: Score, k: int, strengths: Sequence[float]) -> Any:
        means = [float(np.mean([score(s, learn(k, j), j) for j in try_on(k)])) for s in strengths]
        return pick(strengths, means)

    return choose


def without(*folds: int) -> list[int]:
    return [fold for fold in range(5) if fold not in folds]
