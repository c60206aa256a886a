"""Linear probes at every layer: how deep to tap a network (notebook 06)."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from tlcourse.base.machine import one_thread
from tlcourse.errors import CourseError, check_choice, check_whole
from tlcourse.features.features import Features, features_of, named_splits
from tlcourse.features.probe import Probe, Rows
from tlcourse.metrics import Paired, compare_paired, wilson_interval
from tlcourse.tasks.pictures import to_rgb
from tlcourse.tasks.split import Split
from tlcourse.tasks.task import Task

if TYPE_CHECKING:
    import pandas as pd


STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


@dataclass(frozen=True, eq=False, repr=False)
class LayerProbes:
    """How well a linear probe tells the classes apart, layer by layer, for the same N pictures.

    Attributes:
        right: Layer -> bool (N,): whether the picture's class was found by a probe that did not
            see the picture; layers in the order they were asked for.
        y: Labels, int64 (N,).
        classes: Names of the classes.
        n_features: Layer -> numbers per picture.
        strengths: Layer -> the strength that was chosen for each fold.
        folds: Number of folds.
        seconds: What it took.
    """

    right: dict[str, np.ndarray]
    y: np.ndarray
    classes: tuple[str, ...]
    n_features: dict[str, int]
    strengths: dict[str, tuple[float, ...]]
    folds: int
    seconds: float

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, from input to output."""
        return tuple(self.right)

    @property
    def accuracy(self) -> dict[str, float]:
        """Layer -> share of the pictures that are right."""
        return {layer: float(right.mean()) for layer, right in self.right.items()}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Layer -> 95 % interval of the accuracy (Wilson), of each layer by itself."""
        return {
            layer: wilson_interval(int(right.sum()), len(right))
            for layer, right in self.right.items()
        }

    @property
    def chance(self) -> float:
        """Accuracy of one who always says the most frequent class."""
        return float(np.bincount(self.y).max() / len(self.y))

    @property
    def best(self) -> str:
        """The most accurate layer; of equals the shallowest."""
        return max(self.right, key=lambda layer: int(self.right[layer].sum()))

    @cached_property
    def paired_with_best(self) -> dict[str, Paired]:
        """Layer -> this layer against the best one, picture by picture."""
        best = self.right[self.best]
        return {layer: compare_paired(right, best) for layer, right in self.right.items()}

    @property
    def shallowest(self) -> str:
        """The shallowest layer that is not significantly worse than the best one (95 %, paired).

        That does not make the two equal: more pictures might show a difference.
        """
        pairs = self.paired_with_best
        return next(layer for layer in self.right if not pairs[layer].significant)

    @property
    def table(self) -> "pd.DataFrame":
        """A row per layer: its size, accuracy and interval, and how it compares with the best."""
        import pandas as pd

        pairs = self.paired_with_best
        rows = {
            layer: {
                "features": self.n_features[layer],
                "strength": float(np.median(self.strengths[layer])),
                "accuracy": self.accuracy[layer],
                "low": self.intervals[layer][0],
                "high": self.intervals[layer][1],
                "to_best": pairs[layer].difference,
                "p_value": pairs[layer].p_value,
                "significant": pairs[layer].significant,
            }
            for layer in self.right
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")

    def __repr__(self) -> str:
        said = (
            f"Linear probes at {len(self.right)} layers, {len(self.y)} pictures, "
            f"{len(self.classes)} classes, {self.folds} folds\n"
            f"  best: {self.best}, {self.accuracy[self.best]:.3f} right "
            f"(always the most frequent class: {self.chance:.3f})\n"
        )
        if self.shallowest == self.best:
            return said + "  every shallower layer is significantly worse"
        difference = self.paired_with_best[self.shallowest]
        low, high = difference.interval
        return said + (
            f"  shallowest that is not significantly worse: {self.shallowest}, "
            f"difference {difference.difference:+.3f} [{low:+.3f}, {high:+.3f}]"
        )


def probe_layers(
    features: Features,
    layers: str | Sequence[str] | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
    progress: bool = True,
) -> LayerProbes:
    """Fit a linear probe to each layer's features and count on pictures that it did not see.

    All splits of the features are taken together and divided anew into folds, the same for all
    layers. Each fold in turn is predicted by a probe (`fit_probe`'s logistic regression) of the
    other folds. How strongly the probe is regularised is chosen inside these other folds, by a
    cross-validation of its log loss; the fold that is scored takes no part. Strengths are tried
    from small to large until the loss grows. The same features and seed give the same result.

    Before, features are turned so that D < N numbers per picture hold them, which keeps distances
    and angles, and divided by one number, the root of their mean variance. (Where C is larger
    than D, a strength of 1 in `fit_probe` is C / D here.)

    Args:
        features: From `extract_features`, `load_features` or `raw_pixels`; `x[layer]` (N, C).
        layers: Names from `features.x`, from input to output; by default all of them.
        folds: How many; every class needs as many pictures.
        seed: Decides which pictures are in which fold.
        strengths: Values of scikit-learn's `C` to choose from; large means little regularisation.
        progress: Show a progress bar.

    Raises:
        UnknownNameError: There is no such layer among these features.
        CourseError: Features are no vectors, or not finite; too few folds, or too few pictures
            for them; no strength.

    Sources: Alain and Bengio (2016), arXiv:1610.01644; nested cross-validation: Varma and Simon
    (2006), BMC Bioinformatics 7:91.
    """
    from tqdm.auto import tqdm

    names = _check(features, layers)
    check_folds(features.y, folds, strengths)
    start = time.perf_counter()
    fold = draw_folds(features.y, folds, seed)
    ordered = sorted(float(strength) for strength in strengths)
    right, chosen = {}, {}
    for name in tqdm(names, desc="probes", leave=False, disable=not progress):
        predicted, chosen[name] = cross_validate(features.x[name], features.y, fold, ordered)
        right[name] = predicted == features.y
    return LayerProbes(
        right=right,
        y=features.y,
        classes=features.classes,
        n_features={name: features.x[name].shape[1] for name in names},
        strengths=chosen,
        folds=folds,
        seconds=time.perf_counter() - start,
    )


def _check(features: Features, layers: str | Sequence[str] | None) -> list[str]:
    """Return the layers to probe, each once."""
    if not isinstance(features, Features):
        raise CourseError(
            f"Layers are probed on features, not on {type(features).__name__}. "
            "Make them with tl.extract_features(backbone, task, backbone.layers[:-1])."
        )
    names = [layers] if isinstance(layers, str) else list(features.x if layers is None else layers)
    if not names:
        raise CourseError(f"No layer was named. Name at least one of {', '.join(features.x)}.")
    for name in names:
        check_choice("layer among these features", name, features.x)
        if features.x[name].ndim != 2:
            raise CourseError(
                f"A linear probe needs features of shape (N, C), {name} has "
                f"{features.x[name].shape}. These are unpooled maps: extract them again with "
                'pool="mean".'
            )
        if not np.isfinite(features.x[name]).all():
            raise CourseError(f"The features of {name} hold NaN or infinity. Extract them again.")
    return list(dict.fromkeys(names))


def raw_pixels(task: Task | Split, *, side: int = 32) -> Features:
    """Take the pixels themselves as features, as if there were no network.

    Args:
        task: N labelled pictures. Where a task has its values as stored (digits 8 x 8, faces
            25 x 25), those are taken; other pictures are made smaller, or larger, to a square. Of
            a sound they are those of its spectrogram.
        side: Pixels per side of that square.

    Returns:
        `x["pixels"]` float32 (N, D) from 0 to 1. D is 3 x side x side (red, green, blue), or what
        is stored.

    Raises:
        CourseError: No task, no picture, or a side that is not a whole number above 0.
    """
    from PIL import Image

    splits = list(named_splits(task).values())
    check_whole("side", side)
    if not any(len(split) for split in splits):
        raise CourseError("There is no picture to take pixels from.")
    start = time.perf_counter()
    x: np.ndarray
    stored = [split.raw for split in splits if split.raw is not None]
    shape: tuple[int, ...]
    if len(stored) == len(splits):
        shape, source = stored[0].shape[1:], "raw pixels as stored, {} x {}"
        x = np.concatenate(stored).reshape(-1, math.prod(shape)).astype(np.float32)
        x /= max(float(x.max()), 1.0)
    else:
        shape, source = (side, side, 3), "raw pixels, {} x {} x {}"
        small = [
            np.asarray(
                to_rgb(picture).resize((side, side), Image.Resampling.BICUBIC), dtype=np.uint8
            )
            for split in splits
            for picture, _ in split
        ]
        x = np.stack(small).reshape(len(small), -1).astype(np.float32) / 255
    seconds = time.perf_counter() - start
    return features_of(task, {"pixels": x}, source=source.format(*shape), seconds=seconds)


# Nested cross-validation


def check_folds(y: np.ndarray, folds: int, strengths: Sequence[float]) -> None:
    """Refuse folds or strengths that nothing can be chosen with.

    Of the folds one is scored, one chooses the strength, and the others are learned from.
    """
    check_whole("folds", folds, least=3)
    counts = np.bincount(y)
    if len(counts) < 2 or counts.min() < folds:
        raise CourseError(
            f"{folds} folds need at least two classes, each with {folds} pictures or more; here "
            f"the classes have {', '.join(map(str, counts))}. Add pictures or take fewer folds."
        )
    if not len(strengths) or min(strengths) <= 0:
        raise CourseError(
            f"strengths is {tuple(strengths)}, but must hold at least one number, all above 0."
        )


def draw_folds(y: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each picture, int64 (N,); each fold has its share of each class."""
    from sklearn.model_selection import StratifiedKFold

    fold = np.empty(len(y), dtype=np.int64)
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(y)), y)
    for number, (_, rows) in enumerate(splits):
        fold[rows] = number
    return fold


def rotated(x: np.ndarray) -> np.ndarray:
    """Shift and turn features (N, C) into float64 (N, D), D at most N and at most C.

    Distances and angles stay as they are, so a probe gives the same answers, many times faster.
    """
    values = np.asarray(x, dtype=np.float64)
    left, lengths, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    kept = lengths > lengths.max(initial=0) * 1e-10
    kept[0] = True  # features that are all the same keep one number
    return left[:, kept] * lengths[kept]


def cross_validate(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, strengths: Sequence[float]
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Predict each picture's class (N,) by a probe of the other folds; also the strengths chosen."""
    # scikit-learn's GridSearchCV for each fold needs twice as many fits for the same choice.
    with one_thread():
        turned = rotated(x)
        chosen = _choose(turned, y, fold, strengths)
        predicted = np.empty(len(y), dtype=np.int64)
        for number, strength in enumerate(chosen):
            scored = fold == number
            probe = _fit(turned[~scored], y[~scored], strength)
            predicted[scored] = probe.logits(turned[scored]).argmax(axis=1)
    return predicted, tuple(chosen)


def _choose(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, strengths: Sequence[float]
) -> list[float]:
    """Choose a strength for each fold, by pictures of the other folds."""
    n_folds = int(fold.max()) + 1
    chosen = [strengths[0]] * n_folds
    lowest = np.full(n_folds, np.inf)
    searching = np.ones(n_folds, dtype=bool)
    for strength in strengths:
        loss = np.zeros(n_folds)
        for i, j in combinations(range(n_folds), 2):
            if searching[i] or searching[j]:
                # Fitted without folds i and j, so it serves the choices for both.
                rest = (fold != i) & (fold != j)
                probe = _fit(x[rest], y[rest], strength)
                loss[i] += _log_loss(probe.logits(x[fold == j]), y[fold == j])
                loss[j] += _log_loss(probe.logits(x[fold == i]), y[fold == i])
        searching &= loss < lowest
        for number in np.flatnonzero(searching):
            chosen[number], lowest[number] = strength, loss[number]
        if not searching.any():
            break
    return chosen


def _fit(x: np.ndarray, y: np.ndarray, strength: float) -> Probe:
    # They are rotated already; and of each picture only the class is asked for.
    return Rows(x, turn=False).fit(y, strength, tolerance=1e-3)


def _log_loss(scores: np.ndarray, y: np.ndarray) -> float:
    """Sum of the log loss over pictures."""
    from scipy.special import log_softmax

    return -float(log_softmax(scores, axis=1)[np.arange(len(y)), y].sum())
