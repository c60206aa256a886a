"""A linear probe over more features than fit in memory: each pass reads their files again."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b
from numbers import Real
from operator import add, itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from tlcourse.base.files import parse_json
from tlcourse.base.machine import one_thread, usable_cores
from tlcourse.errors import CourseError, check_choice, check_share
from tlcourse.features.probe import STRENGTHS, Probe

_NUMBERS = 2**20  # that a thread reads at once
_WIDEST = 8192  # numbers in a row; their covariance fills half a GiB


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamedProbe(Probe):
    """A linear layer that was fitted to the features in files.

    Attributes:
        classes: The labels, in the order of the rows of `weight`.
        layer: Where the features come from.
        val_accuracy: Share of the validation rows that are predicted right.
        fingerprint: That of the weights and the preprocessing, which `tlcourse extract` notes.
    """

    classes: tuple[str, ...]
    layer: str
    val_accuracy: float
    fingerprint: str

    def accuracy(self, folder: str | Path) -> float:
        """Share of the rows in another folder's files, such as test pictures, predicted right.

        Raises:
            UnknownNameError: There is no such layer.
            CourseError: A file cannot be used, comes from other weights or preprocessing than the
                probe's, or has a label that the probe does not know; or no row has a label.
        """
        with one_thread():
            own = self.fingerprint, self.weight.shape[1]
            rows = _Rows(folder, self.layer, 1.0, tqdm(disable=True), own)
            if not rows.val:
                raise CourseError(
                    f"No row in {folder} has a label, so there is nothing to compare predictions "
                    "with. Extract features of pictures in a folder for each class."
                )
            if strange := sorted(set(rows.val) - set(self.classes)):
                raise CourseError(f"The probe knows no class {strange[0]!r}, a label in {folder}.")
            rows.classes = self.classes
            _, _, n_right = rows.measure(np.column_stack([self.weight, self.bias]), val=True)
        return n_right / rows.val.total()


def fit_streamed_probe(
    folder: str | Path,
    layer: str = "embedding",
    *,
    strengths: Sequence[float] = STRENGTHS,
    val_share: float = 0.2,
    progress: bool = True,
) -> StreamedProbe:
    """Fit the logistic regression of `tl.fit_probe` to the features in files, however many.

    Few rows are in memory at a time: each step of the solver (L-BFGS) is a pass over the files,
    in as many threads as there are cores. A digest of its name says whether a row is for
    validation, so the order of the rows and their division into files change nothing.

    Args:
        folder: What `tlcourse extract` wrote: Parquet files with the columns `name`, `label` and
            one for each layer. Rows without a label are passed over.
        layer: The column to use.
        strengths: Values of scikit-learn's `C`, above 0; the log loss on the validation rows
            chooses.
        val_share: Share of the rows that are for validation.
        progress: Show a bar that counts the files read.

    Raises:
        UnknownNameError: There is no such layer.
        CourseError: A file cannot be used, they come from different weights, a class has no rows
            for training, or a strength is not a number above 0.
    """
    values = list(strengths) if isinstance(strengths, Iterable) else []
    if not values or not all(isinstance(s, Real) and 0 < s < math.inf for s in values):
        expected = f"one number above 0 or more, such as {STRENGTHS}"
        raise CourseError(f"strengths is {strengths!r}, but must be {expected}.")
    with one_thread(), tqdm(unit=" files", leave=False, disable=not progress) as bar:
        rows = _Rows(folder, layer, check_share("val_share", val_share), bar)
        train, val = rows.train, rows.val
        if len(train) < 2 or not val or set(val) - set(train):
            raise CourseError(
                "A linear probe needs two classes or more, rows of each for training, and some for "
                f"validation. {folder} has {train.total()} rows of {len(train)} classes for "
                f"training and {val.total()} of {len(val)} for validation."
            )
        last, tried = np.zeros((len(train), len(rows.centre) + 1)), []
        for strength in values:
            bar.set_description(f"strength {strength:g}")
            last = rows.fit(last, strength)
            loss, _, n_right = rows.measure(last, val=True)
            tried.append((loss, n_right / val.total(), strength, last))
    _, accuracy, strength, best = min(tried, key=itemgetter(0))
    weight = best[:, :-1] / rows.spread
    bias = best[:, -1] - weight @ rows.centre
    return StreamedProbe(
        weight=weight,
        bias=bias,
        strength=strength,
        classes=rows.classes,
        layer=layer,
        val_accuracy=accuracy,
        fingerprint=rows.fingerprint,
    )


class _Rows:
    """The rows in a folder's files. A first pass counts them, and finds their mean and spread."""

    def __init__(
        self,
        folder: str | Path,
        layer: str,
        val_share: float,
        bar: tqdm,
        expected: tuple[str, int] | None = None,
    ) -> None:
        self.layer, self.val_share, self.bar = layer, val_share, bar
        self.files = sorted(Path(folder).glob("*.parquet"))
        if not self.files:
            raise CourseError(f"{folder} holds no features. `tlcourse extract` writes such files.")
        found = {_origin(file, layer): file for file in self.files}
        if len(prints := sorted({fingerprint for fingerprint, _ in found})) > 1:
            raise CourseError(
                f"{folder} holds features of different weights or preprocessing (fingerprints "
                f"{', '.join(prints)}). Keep those of one of them there."
            )
        self.fingerprint = prints[0]
        expected = expected or next(iter(found))
        for origin, file in found.items():
            if origin != expected:
                raise CourseError(
                    f"{file} has the fingerprint {origin[0]} and {origin[1]} features per row. "
                    f"Expected are {expected[0]} and {expected[1]}: run `tlcourse extract` with "
                    "the same network, layers and options for all files."
                )
        self.train, self.val, total, products = self._each(self._survey)
        n = max(1, self.train.total())
        self.classes, mean = tuple(sorted(self.train)), total / n
        covariance = products / n - np.outer(mean, mean)
        self.centre = mean.astype(np.float32)
        self.spread = np.float32(math.sqrt(max(0.0, np.trace(covariance) / len(mean))) or 1.0)
        self.covariance = covariance / self.spread**2

    def fit(self, start: np.ndarray, strength: float) -> np.ndarray:
        """Weights and bias (classes, C + 1) for standardised features, as scikit-learn fits them.

        The solver moves along the features' principal components, each in a unit that makes the
        loss about equally curved: that takes a quarter of the passes, to the same place.
        """
        from scipy.linalg import block_diag
        from scipy.optimize import minimize

        n, k = self.train.total(), len(start)
        # For two classes scikit-learn has one row w; ours are -w/2 and w/2, with half its square.
        penalty = np.full(start.shape, (2 if k == 2 else 1) / (strength * n))
        penalty[:, -1] = 0.0
        sizes, components = np.linalg.eigh(self.covariance)
        curved = np.append(np.maximum(sizes, 0.0) * (k - 1) / k**2 + penalty[0, 0], 1 / k)
        units = block_diag(components, 1.0) / np.sqrt(curved)

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            coefficients = flat.reshape(start.shape) @ units.T
            loss, slope, _ = self.measure(coefficients, val=False)
            pull = penalty * coefficients
            slope = (slope / n + pull) @ units
            return loss / n + (pull * coefficients).sum() / 2, slope.ravel()

        options = {"maxiter": 500, "gtol": 3e-4, "ftol": 64 * np.finfo(float).eps, "maxls": 50}
        first = np.linalg.solve(units, start.T).T.ravel()
        found = minimize(objective, first, jac=True, method="L-BFGS-B", options=options)
        return found.x.reshape(start.shape) @ units.T

    def measure(self, coefficients: np.ndarray, *, val: bool) -> tuple[float, np.ndarray, int]:
        """One pass: sum of the log losses, its slope (classes, C + 1), number of right answers."""
        from scipy.special import log_softmax

        place = {label: i for i, label in enumerate(self.classes)}
        weight = coefficients[:, :-1].astype(np.float32)

        def one(file: Path) -> tuple[float, np.ndarray, int]:
            loss, slope, n_right = 0.0, np.zeros_like(coefficients), 0
            for x, labels, for_val in self._read(file):
                x = (x[for_val == val] - self.centre) / self.spread
                y = [place[label] for label in labels[for_val == val]]
                own = np.arange(len(y)), y
                excess = log_softmax(x @ weight.T + coefficients[:, -1], axis=1)
                loss -= excess[own].sum()
                n_right += int((excess.argmax(axis=1) == y).sum())
                np.exp(excess, out=excess)
                excess[own] -= 1.0
                slope[:, :-1] += excess.T.astype(np.float32) @ x
                slope[:, -1] += excess.sum(axis=0)
            return loss, slope, n_right

        return self._each(one)

    def _survey(self, file: Path) -> tuple[Counter, Counter, np.ndarray, np.ndarray]:
        """Labels for training and for validation, sums of the features and of their products."""
        train, val, total, products = Counter[str](), Counter[str](), np.zeros(1), np.zeros((1, 1))
        for x, labels, for_val in self._read(file):
            if not np.isfinite(x).all():
                raise CourseError(f"{file} holds features that are not finite numbers.")
            x = x[~for_val].astype(np.float64)  # a float16 has 11 bits: no product loses any
            train.update(labels[~for_val])
            val.update(labels[for_val])
            total, products = total + x.sum(axis=0), products + x.T @ x
        return train, val, total, products

    def _read(self, file: Path) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Some rows of a file at a time: features (n, C), labels, whether they are for validation."""
        with _opened(file) as parquet:
            width = parquet.schema_arrow.field(self.layer).type.list_size
            n = max(1, _NUMBERS // width)
            for batch in parquet.iter_batches(n, columns=["name", "label", self.layer]):
                batch = batch.drop_null()
                names, labels = (batch[key].to_pylist() for key in ("name", "label"))
                drawn = [blake2b(name.encode(), digest_size=4).digest() for name in names]
                for_val = np.array(
                    [int.from_bytes(d) < self.val_share * 2**32 for d in drawn], bool
                )
                x = batch[self.layer].flatten().to_numpy().reshape(len(names), width)
                yield x, np.array(labels, dtype=object), for_val

    def _each(self, work: Callable[[Path], tuple]) -> Any:
        """Do some work on each file, in several threads, and add up what it gives."""

        def one(file: Path) -> tuple:
            found = work(file)
            self.bar.update()
            return found

        with ThreadPoolExecutor(usable_cores()) as pool:
            return reduce(lambda a, b: tuple(map(add, a, b)), pool.map(one, self.files))


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """A Parquet file; what pyarrow says against it becomes a sentence."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        needed = "Parquet files are read by pyarrow: "
        raise CourseError(f'{needed}python -m pip install "tlcourse[cluster]".') from error
    try:
        with parquet.ParquetFile(file, pre_buffer=False, page_checksum_verification=True) as opened:
            yield opened
    except CourseError:
        raise
    except (OSError, ValueError, LookupError, TypeError, ArrowException) as error:
        again = "Delete it and run `tlcourse extract` again: it makes only what is missing."
        raise CourseError(f"{file} cannot be read ({error}). {again}") from error


def _origin(file: Path, layer: str) -> tuple[str, int]:
    """Fingerprint of the weights and the preprocessing behind a file, and features per row."""
    from pyarrow import types

    with _opened(file) as parquet:
        schema = parquet.schema_arrow
        if (about := (schema.metadata or {}).get(b"tlcourse")) is None:
            raise CourseError(f"{file} was not written by `tlcourse extract`. Move it elsewhere.")
        check_choice("layer", layer, schema.names[2:])
        kind, texts = schema.field(layer).type, [schema.field(n).type for n in ("name", "label")]
        if not types.is_fixed_size_list(kind) or not types.is_floating(kind.value_type):
            raise TypeError(f"{layer} holds {kind}")
        if not 0 < kind.list_size <= _WIDEST or not all(map(types.is_string, texts)):
            raise TypeError(f"{kind.list_size} numbers in a row")
        return str(parse_json(about)["fingerprint"]), kind.list_size
