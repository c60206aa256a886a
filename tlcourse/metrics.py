"""How well predictions fit the labels, and how far their probabilities can be trusted.

Where a function takes `scores`, these are logits (N, classes). Probabilities will do too: they are
known by rows that are never negative and add up to 1.
"""

import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from tlcourse.errors import CourseError, check_whole

if TYPE_CHECKING:
    import pandas as pd

_HOTTEST = 100.0  # a temperature at which hardly any difference between the classes is left


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """95 % interval of an accuracy, given `n_right` of `n` right (Wilson 1927); (0, 1) if n is 0."""
    from scipy.stats import binomtest

    if n == 0:
        return 0.0, 1.0
    low, high = binomtest(n_right, n).proportion_ci(method="wilson")
    return float(low), float(high)


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Share of right predictions; NaN if there is no picture."""
    return float((predicted == labels).mean()) if len(labels) else math.nan


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (n, n): a row for each true class, a column for each predicted one."""
    from sklearn.metrics import confusion_matrix as count

    if not len(labels):
        return np.zeros((n_classes, n_classes), dtype=np.int64)
    return count(labels, predicted, labels=range(n_classes))


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Mean over the classes of the share that is right; classes without pictures do not count."""
    totals = confusion.sum(axis=1)
    there = totals > 0
    return float((np.diag(confusion)[there] / totals[there]).mean()) if there.any() else math.nan


@dataclass(frozen=True, repr=False)
class Groups:
    """The accuracy of each group, and how far the groups are apart.

    It shows itself as a table with one line below.

    Attributes:
        table: A row for each group, by its name: `n` pictures, of which `right` ones are answered
            right, their share `accuracy`, and the ends `low` and `high` of Wilson's 95 % interval.
        worst: Name of the group with the lowest accuracy.
        best: Name of the group with the highest accuracy.
        spread: Accuracy of the best group minus that of the worst.
        accuracy: Of all pictures together.
    """

    table: "pd.DataFrame"
    worst: str
    best: str
    spread: float
    accuracy: float

    def __repr__(self) -> str:
        rows = self.table["accuracy"]
        return (
            f"{self.table.round(3).to_string()}\n"
            f"all: {self.accuracy:.3f}; worst {self.worst!r} {rows[self.worst]:.3f}, "
            f"best {self.best!r} {rows[self.best]:.3f}, spread {self.spread:.3f}"
        )


def by_group(predicted: Any, labels: Any, groups: Any) -> Groups:
    """Count what is right in each group of pictures; one accuracy for all hides the worst group.

    With few pictures in a group the worst one is low by chance too: look at the intervals.

    Args:
        predicted: The predicted classes, (N,).
        labels: The true classes, (N,).
        groups: What each picture belongs to, such as a camera, a writer, or its class: (N,) names
            or numbers.

    Raises:
        CourseError: There is no picture, or not one label and one group for each.

    Reference: the worst group counts: Sagawa et al. (2019), arXiv:1911.08731.
    """
    import pandas as pd

    answers, truth, names = np.asarray(predicted), np.asarray(labels), np.asarray(groups)
    if answers.ndim != 1 or not len(answers) or not answers.shape == truth.shape == names.shape:
        raise CourseError(
            "Each picture needs an answer, a label and a group, each of shape (N,): got "
            f"{answers.shape}, {truth.shape} and {names.shape}."
        )
    right = pd.Series(answers == truth).groupby(names.astype(str), sort=False)
    numbers = np.issubdtype(names.dtype, np.number)  # in the order of numbers
    kept = list(dict.fromkeys(np.sort(names if numbers else names.astype(str)).astype(str)))
    table = right.agg(n="size", right="sum", accuracy="mean").loc[kept]
    pairs = zip(table["right"].tolist(), table["n"].tolist(), strict=True)
    table["low"], table["high"] = zip(*(wilson_interval(*pair) for pair in pairs), strict=True)
    worst, best = str(table["accuracy"].idxmin()), str(table["accuracy"].idxmax())
    spread = float(table["accuracy"].max() - table["accuracy"].min())
    return Groups(table, worst, best, spread, float((answers == truth).mean()))


@dataclass(frozen=True, repr=False)
class Paired:
    """Two methods on the same pictures, compared picture by picture.

    It shows itself as one line in words.

    Attributes:
        only_first: Pictures that only the first one gets right.
        only_second: Pictures that only the second one gets right.
        n: All pictures.
        accuracies: Those of the first and of the second one.
        p_value: Exact McNemar test (McNemar 1947): how often chance alone would split the pictures
            that only one gets right at least as unevenly. 1 if there is none.
        difference: Accuracy of the first minus that of the second.
        interval: 95 % interval of the difference, given how many pictures only one gets right; it
            leaves out 0 exactly if `p_value` is below 0.05.
        names: What the two are called.
    """

    only_first: int
    only_second: int
    n: int
    accuracies: tuple[float, float]
    p_value: float
    difference: float
    interval: tuple[float, float]
    names: tuple[str, str]

    @property
    def significant(self) -> bool:
        """Whether chance would bring so large a difference in less than 5 % of the cases."""
        return self.p_value < 0.05

    @property
    def verdict(self) -> str:
        """What there is to say of the difference: "is significant (p = 0.01)"."""
        said = "is significant" if self.significant else "could be chance"
        sign = "" if self.p_value < 0.001 else "= "
        return f"{said} (p {sign}{p_in_words(self.p_value)})"

    def __repr__(self) -> str:
        both = ", ".join(f"{n} {a:.3f}" for n, a in zip(self.names, self.accuracies, strict=True))
        said = f"{both} on the same {self.n} pictures"
        if self.only_first + self.only_second == 0:
            return f"{said}: both are right on the same ones, so there is no difference."
        return (
            f"{said}: only the first is right on {self.only_first}, only the second on "
            f"{self.only_second}. The difference {self.verdict}."
        )


def p_in_words(p: float) -> str:
    """Write a p-value for a table: two digits, and no more than can be trusted."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def compare_paired(
    first_right: np.ndarray,
    second_right: np.ndarray,
    names: tuple[str, str] = ("first", "second"),
) -> Paired:
    """Compare which pictures two methods get right, with the exact McNemar test.

    The test is the one that Dietterich (1998) advises for two classifiers and one test set.

    Args:
        first_right: (N,) True where the first one is right.
        second_right: (N,) likewise for the second one, for the same pictures in the same order.
        names: What the two are called.

    Raises:
        CourseError: They have different lengths, or no picture.
    """
    from scipy.stats import binomtest

    if len(first_right) != len(second_right):
        raise CourseError(
            f"Only answers to the same pictures can be compared: {len(first_right)} and "
            f"{len(second_right)}."
        )
    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    n, a, b = len(first), int((first & ~second).sum()), int((second & ~first).sum())
    accuracies = (int(first.sum()) / max(n, 1), int(second.sum()) / max(n, 1))
    if a + b == 0:
        return Paired(0, 0, n, accuracies, 1.0, 0.0, (0.0, 0.0), names)
    test = binomtest(a, a + b)
    share = test.proportion_ci(method="exact")
    low, high = ((2 * end - 1) * (a + b) / n for end in (share.low, share.high))
    interval = (float(low), float(high))
    return Paired(a, b, n, accuracies, float(test.pvalue), (a - b) / n, interval, names)


def probabilities(scores: Any, *, temperature: float = 1.0) -> np.ndarray:
    """Turn logits into probabilities, (N, classes): the softmax of logits / temperature.

    Args:
        scores: Logits or probabilities, (N, classes).
        temperature: Above 1 makes a network less sure, below 1 surer; no answer changes.

    Raises:
        CourseError: The scores are no finite numbers (N, classes), or the temperature is not
            above 0.
    """
    from scipy.special import softmax

    values = _checked(scores)
    if not isinstance(temperature, Real) or not 0 < float(temperature) < math.inf:
        raise CourseError(f"temperature is {temperature!r}, but must be a number above 0.")
    if temperature == 1 and _are_probabilities(values):
        return values
    return softmax(_logits(values) / float(temperature), axis=1)


def reliability(
    scores: Any, labels: Any, *, bins: int = 15, temperature: float = 1.0
) -> "pd.DataFrame":
    """Sort pictures into bins by the probability of their answer, and count who is right.

    Args:
        scores: Logits or probabilities, (N, classes).
        labels: The true classes, (N,).
        bins: How many bins of equal width.
        temperature: See `probabilities`.

    Returns:
        A row for each bin: its limits `low` and `high`, `n` pictures, of which `right` ones are
        answered right, their share `accuracy`, and `confidence`, the mean probability of the
        answers. Both are NaN in an empty bin.

    Raises:
        CourseError: There is no picture, or not one label for each.
    """
    import pandas as pd

    check_whole("bins", bins)
    confidence, right = _confidence(scores, labels, temperature)
    edges = np.linspace(0, 1, bins + 1)
    place = np.digitize(confidence, edges[1:-1], right=True)
    n = np.bincount(place, minlength=bins)
    hits = np.bincount(place, right, bins).astype(int)
    filled = np.where(n, n, np.nan)
    table = {
        "low": edges[:-1],
        "high": edges[1:],
        "n": n,
        "right": hits,
        "accuracy": hits / filled,
        "confidence": np.bincount(place, confidence, bins) / filled,
    }
    return pd.DataFrame(table)


def calibration_error(
    scores: Any, labels: Any, *, bins: int = 15, temperature: float = 1.0
) -> float:
    """Return the expected calibration error: how far confidence is from accuracy, from 0 to 1.

    Pictures are sorted into bins of equal width by the probability of their answer. 0 means that of
    the answers with 80 %, 80 % are right. It needs a few hundred pictures to be trusted.

    Args:
        scores: Logits or probabilities, (N, classes).
        labels: The true classes, (N,).
        bins: How many bins.
        temperature: See `probabilities`.

    Raises:
        CourseError: There is no picture, or not one label for each.

    Reference: Guo et al. (2017), arXiv:1706.04599.
    """
    table = reliability(scores, labels, bins=bins, temperature=temperature)
    distance = (table["accuracy"] - table["confidence"]).abs()
    return float((distance * table["n"]).sum() / table["n"].sum())


def fit_temperature(logits: Any, labels: Any) -> float:
    """Find the temperature with the lowest log loss; fit it to validation pictures, never to test.

    Args:
        logits: (N, classes).
        labels: The true classes, (N,).

    Returns:
        From 0.01 to 100. It is 1 where every answer is right: then the loss would fall for ever as
        the temperature does, and a later mistake would be made with certainty.

    Raises:
        CourseError: There is no picture, or not one label for each.

    Reference: Guo et al. (2017), arXiv:1706.04599.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    _, right = _confidence(logits, labels, 1.0)
    if right.all():
        return 1.0
    values, rows = _logits(_checked(logits)), np.arange(len(right))

    def loss(log_temperature: float) -> float:
        logs = log_softmax(values / math.exp(log_temperature), axis=1)
        return float(-logs[rows, np.asarray(labels)].mean())

    most = math.log(_HOTTEST)
    best = minimize_scalar(loss, bounds=(-most, most), method="bounded", options={"xatol": 1e-6})
    return math.exp(float(best.x))


def coverage_risk(scores: Any, labels: Any, *, temperature: float = 1.0) -> "pd.DataFrame":
    """Say what is gained by answering only where the answer is probable enough.

    Args:
        scores: Logits or probabilities, (N, classes).
        labels: The true classes, (N,).
        temperature: See `probabilities`.

    Returns:
        A row for each `threshold`, highest first: `coverage`, the share of the pictures whose
        answer is at least so probable, and `risk`, the share of wrong answers among these.

    Raises:
        CourseError: There is no picture, or not one label for each.

    Reference: Geifman and El-Yaniv (2017), arXiv:1705.08500.
    """
    import pandas as pd

    confidence, right = _confidence(scores, labels, temperature)
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], np.cumsum(~right[order])
    answered = np.arange(1, len(right) + 1)
    last = np.append(confidence[1:] != confidence[:-1], True)  # equal ones are answered together
    table = {
        "threshold": confidence[last],
        "coverage": answered[last] / len(right),
        "risk": wrong[last] / answered[last],
    }
    return pd.DataFrame(table)


def _checked(scores: Any) -> np.ndarray:
    """Return scores (N, classes) in double precision, or say what is wrong with them."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2 or not np.isfinite(values).all():
        raise CourseError(
            f"Scores must be finite numbers of shape (N, classes), got shape {values.shape}. "
            'Pass logits such as result.logits["test"], or probabilities.'
        )
    return values


def _are_probabilities(values: np.ndarray) -> bool:
    return bool((values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-4))


def _logits(values: np.ndarray) -> np.ndarray:
    """Return logits (N, classes); those of probabilities are their logarithms."""
    return np.log(np.maximum(values, 1e-30)) if _are_probabilities(values) else values


def _confidence(scores: Any, labels: Any, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return each answer's probability, and whether it is right, (N,) both."""
    found, truth = probabilities(scores, temperature=temperature), np.asarray(labels)
    if truth.shape != (len(found),) or not len(found):
        raise CourseError(
            f"Each picture needs its label: there are {len(found)} rows of scores, and labels of "
            f"shape {truth.shape}."
        )
    return found.max(axis=1), found.argmax(axis=1) == truth
