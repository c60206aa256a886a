"""Which pattern to take, and why: what follows from a comparison."""

from typing import TYPE_CHECKING

import numpy as np

from tlcourse.base.durations import in_words
from tlcourse.metrics import Paired, compare_paired, p_in_words
from tlcourse.patterns.reuse import PATTERNS

if TYPE_CHECKING:
    from tlcourse.comparison.compare import Comparison

_UNBALANCED = 1.5  # the largest class has so many times the pictures of the smallest one


def recommended(comparison: "Comparison") -> str:
    """The simplest pattern that is not told apart from the best one, in the order of the course.

    Neither on the test pictures nor on the validation pictures: few test pictures alone would tell
    hardly anything apart.
    """
    best = comparison.best
    return next(p for p in PATTERNS if p in comparison.results and not worse(comparison, p, best))


def sentences(comparison: "Comparison") -> str:
    """Say what to take, and on what grounds."""
    best, chosen = comparison.best, recommended(comparison)
    n = len(comparison.labels)
    split = "test" if comparison.split == "test" else "validation"
    if chosen != best:
        against = comparison.told_apart(chosen, best)
        parts = [
            f"Take {chosen}: the simplest pattern that is not told apart from the best one. "
            f"{best} has the highest validation accuracy, but these two cannot be told apart with "
            f"{n} {split} pictures ({_counts(chosen, best, against)}). {_costs(comparison)}"
        ]
    elif simpler := [p for p in PATTERNS[: PATTERNS.index(best)] if p in comparison.results]:
        parts = [
            f"Take {best}: it has the highest validation accuracy, and what is simpler is told "
            f"apart from it ({', '.join(simpler)})."
        ]
    else:
        parts = [
            f"Take {best}: none has a higher validation accuracy, and none that was run is simpler. "
            f"{_told_apart(comparison)}"
        ]
    parts += _warnings(comparison, chosen, split)
    return " ".join(parts)


def worse(comparison: "Comparison", pattern: str, best: str) -> bool:
    """Whether a pattern is told apart from the best one, on either of the two splits."""
    if pattern == best:
        return False
    found = [
        comparison.told_apart(pattern, best, split)
        for split in ("val", "test")
        if len(getattr(comparison.task, split))
    ]
    return any(pair.told_apart and pair.difference < 0 for pair in found)


def _warnings(comparison: "Comparison", chosen: str, split: str) -> list[str]:
    """What else the reader has to know before they follow the advice."""
    labels, found = comparison.labels, []
    common = np.bincount(comparison.task.train.labels).argmax()
    against = compare_paired(comparison.right(chosen), labels == common)
    if not (against.told_apart and against.difference > 0):
        found.append(
            f"Be careful: on these {split} pictures it is not clearly better than a program that "
            f"always answers {comparison.task.classes[common]!r}."
        )
    sizes = np.bincount(comparison.task.train.labels, minlength=len(comparison.task.classes))
    if sizes.max() > _UNBALANCED * sizes.min():
        found.append(
            f"The classes are of unequal size (from {sizes.min()} to {sizes.max()} training "
            "pictures), so look at the balanced accuracy too."
        )
    return found


def _counts(first: str, second: str, pair: Paired) -> str:
    return (
        f"only {first} is right on {pair.only_first}, only {second} on {pair.only_second}; "
        f"exact McNemar test, p {p_in_words(pair.p_value)}"
    )


def _costs(comparison: "Comparison") -> str:
    chosen, best = (comparison.results[p] for p in (comparison.recommended, comparison.best))
    return (
        f"{chosen.pattern} took {in_words(chosen.seconds)} and {chosen.peak_bytes / 2**20:.0f} MiB, "
        f"{best.pattern} {in_words(best.seconds)} and {best.peak_bytes / 2**20:.0f} MiB."
    )


def _told_apart(comparison: "Comparison") -> str:
    """Say which of the others the pictures do tell apart from the best one."""
    best = comparison.best
    others = [p for p in comparison.results if p != best]
    if not others:
        return "Nothing else was run."
    apart = [p for p in others if worse(comparison, p, best)]
    same = [p for p in others if p not in apart]
    said = []
    if same:
        said.append(f"Not told apart from it: {', '.join(same)}.")
    if apart:
        said.append(f"Told apart, and worse: {', '.join(apart)}.")
    return " ".join(said)
