"""Linear probes at every layer: how deep to tap a network (notebook 06)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tlcourse._metrics import Paired, paired, wilson_interval
from tlcourse._nested import check_folds, cross_validate, draw_folds
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.features import Features, named_splits
from tlcourse.tasks import Split, Task

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
        return {layer: paired(right, best) for layer, right in self.right.items()}

    @property
    def shallowest(self) -> str:
        """The shallowest layer that cannot be told apart from the best one (95 %, paired).

        That does not make the two equal: more pictures might tell them apart.
        """
        pairs = self.paired_with_best
        return next(layer for layer in self.right if not pairs[layer].told_apart)

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
                "told_apart": pairs[layer].told_apart,
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
            return said + "  every shallower layer can be told apart from it"
        difference = self.paired_with_best[self.shallowest]
        low, high = difference.interval
        return said + (
            f"  shallowest that cannot be told apart from it: {self.shallowest}, "
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

    Before, features are shifted and turned so that D numbers per picture hold them, fewer than N.
    Distances and angles stay as they are, and such a probe sees nothing else, but is much faster.
    Then they are divided by one number, the root of their mean variance. (`fit_probe` takes the
    mean over all C features; where C is larger than D, a strength of 1 there is C / D here.)

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
    found = {}
    for name in tqdm(names, desc="probes", leave=False, disable=not progress):
        found[name] = cross_validate(features.x[name], features.y, fold, ordered)
    return LayerProbes(
        right={name: nested.predicted == features.y for name, nested in found.items()},
        y=features.y,
        classes=features.classes,
        n_features={name: features.x[name].shape[1] for name in names},
        strengths={name: nested.strengths for name, nested in found.items()},
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
        if name not in features.x:
            raise UnknownNameError("layer among these features", name, features.x)
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
            25 x 25), those are taken; other pictures are made smaller, or larger, to a square.
        side: Pixels per side of that square.

    Returns:
        `x["pixels"]` float32 (N, D) from 0 to 1. D is 3 x side x side (red, green, blue), or what
        is stored.

    Raises:
        CourseError: No task, no picture, or a side that is not a whole number above 0.
    """
    from PIL import Image

    splits = named_splits(task)
    if not isinstance(side, int | np.integer) or side < 1:
        raise CourseError(f"side is {side!r}, but must be a whole number, 1 or larger.")
    if not any(len(split) for _, split in splits):
        raise CourseError("There is no picture to take pixels from.")
    start = time.perf_counter()
    stored = [split.raw for _, split in splits]
    rows: list[np.ndarray] = []
    if all(values is not None for values in stored):
        rows = [values.reshape(len(values), -1) for values in stored if values is not None]
        x = np.concatenate(rows).astype(np.float32)
        x /= max(float(x.max()), 1.0)
        source = f"raw pixels as stored, {' x '.join(map(str, rows[0].shape[1:]))}"
    else:
        for _, split in splits:
            for picture, _ in split:
                small = picture.resize((side, side), Image.Resampling.BICUBIC)
                rows.append(np.asarray(small, dtype=np.uint8).ravel())
        x = np.stack(rows).astype(np.float32) / 255
        source = f"raw pixels, {side} x {side} x 3"
    return Features(
        x={"pixels": x},
        y=np.concatenate([split.labels for _, split in splits]),
        split=np.concatenate([np.full(len(split), name) for name, split in splits]),
        classes=getattr(task, "classes", ()),
        names=tuple(name for _, split in splits for name in split.names),
        logits=None,
        source=source,
        seconds=time.perf_counter() - start,
    )
