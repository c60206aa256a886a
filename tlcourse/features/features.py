"""Features of pictures: the numbers that a layer gives for each of them (notebooks 03 to 06).

`extract_features` computes them once and keeps them on disk. `load_features` gives those of the
ants and bees photographs, which come with the course: the photographs themselves are of unclear
licence and are not included; numbers computed from them are.
"""

import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, Literal, cast, get_args

import numpy as np
from torch.utils.data import ConcatDataset, Dataset, Subset
from tqdm.auto import tqdm

from tlcourse.base.machine import give_memory_back
from tlcourse.base.messages import printable
from tlcourse.engines.engine import EngineName, make_engine
from tlcourse.engines.stream import stream
from tlcourse.errors import CourseError, UnknownNameError, check_choice, check_whole
from tlcourse.features.store import Entry, Stored, get_or_compute
from tlcourse.networks.backbone import Backbone, layer_fingerprints
from tlcourse.networks.tap import Pool
from tlcourse.tasks.split import SPLITS, Split
from tlcourse.tasks.task import Task

_TOGETHER = 32  # rows

Weights = Literal["imagenet", "random0", "random1", "random2", "pixels"]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of N labelled pictures.

    Attributes:
        x: Layer name -> float32 (N, C), pooled over the positions of the layer's map; with
            `pool="none"` the maps themselves, (N, C, H, W).
        y: Class of each picture, int64 (N,).
        split: "train", "val" or "test" for each picture, (N,); "all" where no task was given.
        classes: Names of the classes, in the order of `y`.
        names: "folder/class/file" for each picture, so that you can find it if you have the pictures.
        logits: The network's own 1000 outputs, float32 (N, 1000); None for random weights.
        source: How they were made.
        seconds: What it took to compute them, also where they were read from the cache.
        engine: What computed them in this call, such as "OpenVINO 2026.4.1", or that all of them
            were stored already. Empty for features that came with the course.
    """

    x: dict[str, np.ndarray]
    y: np.ndarray
    split: np.ndarray
    classes: tuple[str, ...]
    names: tuple[str, ...]
    logits: np.ndarray | None
    source: str
    seconds: float = 0.0
    engine: str = ""

    def of(self, split: str, layer: str = "embedding") -> tuple[np.ndarray, np.ndarray]:
        """Return the features (n, C) and labels (n,) of one split.

        Raises:
            UnknownNameError: There is no such layer or split among these features.
        """
        if layer not in self.x:
            raise UnknownNameError("layer among these features", layer, self.x)
        if split not in self.split:
            raise UnknownNameError("split among these features", split, sorted({*self.split}))
        chosen = self.split == split
        # A split of a task is one run of rows; a slice of them stays on the disk.
        first, count = int(chosen.argmax()), int(chosen.sum())
        if chosen[first : first + count].all():
            return self.x[layer][first : first + count], self.y[first : first + count]
        return self.x[layer][chosen], self.y[chosen]

    def __repr__(self) -> str:
        names = SPLITS if set(self.split) <= set(SPLITS) else sorted(set(self.split))
        counts = ", ".join(f"{name} {(self.split == name).sum()}" for name in names)
        return (
            f"Features of {len(self.y)} pictures ({counts}), classes {printable(', '.join(self.classes))}\n"
            f"  layers: {', '.join(f'{name} {_shape(x)}' for name, x in self.x.items())}\n"
            f"  {self.source}" + (f"\n  engine: {self.engine}" if self.engine else "")
        )


def extract_features(
    backbone: Backbone,
    task: Task | Split,
    layers: str | Sequence[str] = "embedding",
    *,
    pool: Pool = "mean",
    cache: bool = True,
    refresh: bool = False,
    engine: EngineName = "auto",
    batch_size: int | None = None,
    progress: bool = True,
    on_batch: Callable[[], None] | None = None,
) -> Features:
    """Run each picture once through a frozen network and keep what some layers give.

    One pass serves all layers and stops at the deepest. Rows go to disk as they come, so memory
    does not grow with the number of pictures. Asking again takes no time, also in another process;
    a run that was stopped, or killed, goes on where it was. Stored features are found by what
    decides their values: the weights up to the layer, pooling, preprocessing, and the pictures'
    content. The engine may be another one than PyTorch where it was proven to give the same up to
    1e-4 of a layer's largest value; the network itself is not touched.

    Args:
        backbone: The network; its own preprocessing is applied, no augmentation.
        task: A task, or one split of it; N pictures, read in the order train, val, test.
        layers: Names from `backbone.layers`, or dotted module paths.
        pool: How a map (C, H, W) becomes (C,): "mean" or "max" over the positions. "none" keeps
            the map. Transformers' tokens are pooled likewise. Of a Vision Transformer
            "class_token" takes that token, "patch_mean" the mean of the patches without it. Vectors
            stay as they are.
        cache: Keep the features on disk and look for them there; otherwise only in memory.
        refresh: Compute again what is stored.
        engine: What computes: "pytorch", "openvino", "half" (half precision on an NVIDIA GPU), or
            "auto". See `tlcourse.engines.make_engine`.
        batch_size: Pictures per pass; by default what suits the engine.
        progress: Show a progress bar.
        on_batch: Called after each batch, or after some small ones. If it raises, the work ends with that error; what was
            stored by then stays.

    Returns:
        `x[layer]` float32 (N, C) and labels, on the CPU. From the cache, rows are read from the
        disk when they are used.

    Raises:
        UnknownNameError: There is no such layer, pooling or engine.
        CourseError: No picture, no layer; a pooling for tokens where there are none; the disk is
            full; a network gives NaN or infinity; an engine that was named cannot run here.
    """
    names = [layers] if isinstance(layers, str) else list(dict.fromkeys(layers))
    if not names:
        raise CourseError("No layer was named. Pass at least one of `backbone.layers`.")
    check_choice("pooling", pool, get_args(Pool))
    for name in names:
        backbone.layer(name)
    check_choice("engine", engine, get_args(EngineName))
    if batch_size is not None:
        check_whole("batch_size", batch_size)
    splits = cast("list[Dataset[Any]]", list(named_splits(task).values()))  # any sequence will do
    pictures: ConcatDataset[Any] = ConcatDataset(splits)
    if not len(pictures):
        raise CourseError("There is no picture to extract features from.")
    run = Extraction(backbone, pictures, pool, engine, batch_size, progress, on_batch)
    about = {"task": getattr(task, "name", "pictures"), "backbone": backbone.name, "pool": pool}
    stored = run.on_disk(names, about, refresh=refresh) if cache else run.in_memory(names)
    give_memory_back()
    arrays, seconds = zip(*map(stored.__getitem__, names), strict=True)
    size = f"{backbone.preprocess.shape[1]} {backbone.preprocess.unit}"
    source = f"{backbone.name}, pool {pool}, {size}; weights: {backbone.source}"
    x = dict(zip(names, arrays, strict=True))
    return features_of(task, x, source=source, seconds=max(seconds), engine=run.ran)


def features_of(
    task: Task | Split,
    x: dict[str, np.ndarray],
    *,
    source: str,
    seconds: float,
    engine: str = "",
) -> Features:
    """Join features of a task's pictures, in the order of its splits, with labels and names."""
    splits = named_splits(task)
    parts = splits.values()
    return Features(
        x=x,
        y=np.concatenate(list(map(attrgetter("labels"), parts))),
        split=np.repeat(list(splits), list(map(len, parts))),
        classes=getattr(task, "classes", ()),
        names=tuple(chain.from_iterable(map(attrgetter("names"), parts))),
        logits=None,
        source=source,
        seconds=seconds,
        engine=engine,
    )


def named_splits(task: Task | Split) -> dict[str, Split]:
    """Return a task's splits by name, in order; a single split is called "all"."""
    if isinstance(task, Split):
        return {"all": task}
    if isinstance(task, Task):
        return {"train": task.train, "val": task.val, "test": task.test}
    raise CourseError(
        f"Features are extracted from a task or a split, not from {type(task).__name__}. "
        'Make one with tl.load_task("emoji") or tl.load_task("my/folder").'
    )


def gathered(
    parts: Iterable[dict[str, np.ndarray]], least: int
) -> Generator[dict[str, np.ndarray], None, None]:
    """Join layer -> rows with those that follow, until there are `least` rows."""
    waiting: list[dict[str, np.ndarray]] = []
    for rows in chain(parts, [None]):
        if rows is not None:
            waiting.append(rows)
        n = sum(len(next(iter(each.values()))) for each in waiting)
        if n >= least or (rows is None and waiting):
            yield {name: np.concatenate([each[name] for each in waiting]) for name in waiting[0]}
            waiting = []


def _shape(x: np.ndarray) -> str:
    return " x ".join(map(str, x.shape[1:]))


def load_features(task: str = "hymenoptera", weights: Weights = "imagenet") -> Features:
    """Load the features that come with the course; nothing is downloaded or computed.

    They were made with the default backbone and its own preprocessing (`tools/hymenoptera_features.py`)
    and are stored as 16-bit floats.

    Args:
        task: "hymenoptera", the ants and bees photographs.
        weights: "imagenet", or one of three random initialisations, "random0" to "random2". Or
            "pixels", without any network: `x["pixels"]` (N, 396), the photographs at 32 x 32
            pixels, turned in a way that nobody can undo. All distances and angles between
            them are those of the pixels (around their mean), so that a linear probe gives the
            same answers; but no number is a pixel's, and no picture can be made of them.

    Raises:
        UnknownNameError: There are no such features.
    """
    from safetensors import safe_open

    check_choice("set of shipped features", task, ["hymenoptera"])
    check_choice("set of weights", weights, get_args(Weights))

    def read(stem: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        with (
            as_file(files("tlcourse") / "data" / f"{stem}.safetensors") as path,
            safe_open(path, "numpy") as stored,
        ):
            # A safetensors file lists its tensors by name; `layers` remembers their order.
            notes = stored.metadata()
            return {k: stored.get_tensor(k) for k in notes["tensors"].split(",")}, notes

    x, notes = read(f"{task}_{weights}")
    labels, about = read(f"{task}_labels")
    return Features(
        x={name: value.astype(np.float32) for name, value in x.items()},
        y=labels["y"].astype(np.int64),
        split=np.array(SPLITS)[labels["split"]],
        classes=tuple(about["classes"].split(",")),
        names=tuple(about["names"].split("\n")),
        logits=labels["logits"].astype(np.float32) if weights == "imagenet" else None,
        source=notes["source"],
    )


@dataclass
class Extraction:
    """One way to run the N pictures of some splits through a network."""

    backbone: Backbone
    pictures: ConcatDataset[Any]  # of splits
    pool: Pool
    engine: EngineName
    batch_size: int | None
    progress: bool
    on_batch: Callable[[], None] | None
    ran: str = "none, all was stored"  # engine that computed

    def in_memory(self, names: list[str]) -> dict[str, Stored]:
        """Layer -> its features (N, ...), and the seconds that they took."""
        pieces: dict[str, list[np.ndarray]] = {name: [] for name in names}
        total = 0.0
        for batch, seconds in self._compute(names, 0):
            total += seconds
            for name, rows in batch.items():
                pieces[name].append(rows)
        return {name: (np.concatenate(rows), total) for name, rows in pieces.items()}

    def on_disk(
        self, names: list[str], about: dict[str, str], *, refresh: bool
    ) -> dict[str, Stored]:
        """Do the same, but look on the disk first and keep there what was computed."""
        n, preprocess = len(self.pictures), self.backbone.preprocess
        example = preprocess(preprocess.example()).numpy()
        shared = [repr(preprocess), hashlib.sha256(example.tobytes()).hexdigest(), self.pool]
        shared += ["half"] * (self.engine == "half")  # the others give the same up to 1e-4
        for split in self.pictures.datasets:
            assert isinstance(split, Split)
            shared += split.digests()
        same = hashlib.sha256("\n".join(shared).encode()).hexdigest()
        wanted = {}
        for name, fingerprint in layer_fingerprints(self.backbone, names).items():
            key = hashlib.sha256(f"{same} {fingerprint}".encode()).hexdigest()[:32]
            wanted[name] = Entry(key, about | {"layer": name, "pictures": n})
        return get_or_compute(wanted, n, self._compute, lock=same[:32], refresh=refresh)

    def _compute(
        self, names: list[str], start: int
    ) -> Generator[tuple[dict[str, np.ndarray], float], None, None]:
        """Yield layer -> rows, and seconds, batch by batch, from picture number `start` on."""
        clock = time.perf_counter()
        n = len(self.pictures)
        engine = make_engine(
            self.backbone,
            names,
            pool=self.pool,
            engine=self.engine,
            n=n - start,
            batch_size=self.batch_size,
        )
        self.ran = engine.name
        batches = stream(engine, cast(Any, Subset(self.pictures, range(start, n))))
        parts: Iterator[dict[str, np.ndarray]] = map(itemgetter(1), batches)
        if engine.at_once > 1:  # small batches, computed side by side, go to the disk together
            parts = gathered(parts, max(engine.batch_size, _TOGETHER))
        bar = tqdm(
            total=n,
            initial=start,
            desc="features",
            unit="picture",
            leave=False,
            disable=not self.progress,
        )
        with closing(batches), bar:
            for rows in parts:
                for name, values in rows.items():
                    if not np.isfinite(values).all():
                        raise CourseError(
                            f"Layer {name!r} of {self.backbone.name} gives numbers that are not "
                            "finite (NaN or infinity). Load the network again."
                        )
                now = time.perf_counter()
                yield rows, now - clock
                clock = now
                bar.update(len(next(iter(rows.values()))))
                if self.on_batch:  # by now the rows are on the disk
                    self.on_batch()
