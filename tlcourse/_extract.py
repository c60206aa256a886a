"""Run pictures through a frozen network, in memory or on to disk; see `features.extract_features`."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from tlcourse._batches import read_ahead
from tlcourse._fast import fast_copy
from tlcourse._feature_store import Entry, Writer, lock
from tlcourse._fingerprint import layer_fingerprint
from tlcourse._pooling import Pool, pool_positions
from tlcourse._splits import Split
from tlcourse.backbones import Backbone
from tlcourse.errors import CourseError
from tlcourse.tap import activations


class Joined(Sequence[Any]):
    """The pictures of several splits, one after the other."""

    def __init__(self, splits: Sequence[Split]) -> None:
        self.splits = splits
        self._places = [(split, i) for split in splits for i in range(len(split))]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            rest = Joined([])
            rest._places = self._places[index]
            return rest
        split, place = self._places[index]
        return split[place]


@dataclass(frozen=True)
class Run:
    """One way to run some pictures through a network."""

    backbone: Backbone
    pictures: Joined
    pool: Pool
    batch_size: int
    progress: bool
    on_batch: Callable[[], None] | None = None

    def in_memory(self, names: list[str]) -> dict[str, tuple[np.ndarray, float]]:
        pieces: dict[str, list[np.ndarray]] = {name: [] for name in names}
        total = 0.0
        for values, seconds in self._compute(names, 0):
            total += seconds
            for name, rows in values.items():
                pieces[name].append(rows)
        return {name: (np.concatenate(rows), total) for name, rows in pieces.items()}

    def cached(
        self, names: list[str], about: dict[str, str], refresh: bool
    ) -> dict[str, tuple[np.ndarray, float]]:
        example = self.backbone.preprocess(_example()).numpy()
        shared = [repr(self.backbone.preprocess), hashlib.sha256(example.tobytes()).hexdigest()]
        shared += [self.pool, *(d for split in self.pictures.splits for d in split.digests())]
        same = hashlib.sha256("\n".join(shared).encode()).hexdigest()
        fingerprints = layer_fingerprint(self.backbone, names)
        stored = {
            name: Entry(
                hashlib.sha256(f"{same} {fingerprints[name]}".encode()).hexdigest()[:32],
                about | {"layer": name, "pictures": len(self.pictures)},
            )
            for name in names
        }
        found = {} if refresh else {name: entry.load(mend=False) for name, entry in stored.items()}
        if all(found.get(name) for name in names):
            return found  # type: ignore[return-value]
        # Others who ask for the same wait here, and then find what the first one has computed.
        with lock(same[:32]):
            for name, entry in stored.items():
                if refresh:
                    entry.remove()
                else:
                    found[name] = found.get(name) or entry.load()
            missing = list({stored[n].key: n for n in names if not found.get(n)}.values())
            self._complete({name: stored[name].writer(len(self.pictures)) for name in missing})
            found |= {name: stored[name].load() for name in names if not found.get(name)}
        if not all(found.values()):
            raise CourseError("What was just stored cannot be read again: is the disk failing?")
        return found  # type: ignore[return-value]

    def _complete(self, writers: dict[str, Writer]) -> None:
        """Compute the rows that are missing, and give the entries their names."""
        if not writers:
            return
        start = min(writer.done for writer in writers.values())
        if start < len(self.pictures):
            for values, seconds in self._compute(list(writers), start):
                for name, rows in values.items():
                    behind = writers[name].done - start  # rows that an earlier process wrote
                    if behind < len(rows):
                        writers[name].append(rows[max(behind, 0) :], seconds)
                start += len(next(iter(values.values())))
        for writer in writers.values():
            writer.finish()

    def _compute(
        self, names: list[str], start: int
    ) -> Iterator[tuple[dict[str, np.ndarray], float]]:
        """Yield layer -> rows, and seconds, batch by batch, from picture number `start` on."""
        clock = time.perf_counter()
        network = fast_copy(self.backbone, names)
        batches = read_ahead(self.pictures[start:], self.backbone.preprocess, self.batch_size)
        n = len(self.pictures)
        with (
            closing(batches),
            tqdm(
                total=n,
                initial=start,
                desc="features",
                unit="picture",
                leave=False,
                disable=not self.progress,
            ) as bar,
        ):
            for batch in batches:
                values = activations(network, batch, names)
                rows = {
                    name: pool_positions(value, self.pool).float().cpu().numpy()
                    for name, value in values.items()
                }
                for name, row in rows.items():
                    if not np.isfinite(row).all():
                        raise CourseError(
                            f"Layer {name!r} of {self.backbone.name} gives numbers that are not "
                            "finite (NaN or infinity). Load the network again."
                        )
                now = time.perf_counter()
                yield rows, now - clock
                clock = now
                bar.update(len(batch))
                if self.on_batch:  # by now the rows are on the disk
                    self.on_batch()


def _example() -> Image.Image:
    """A picture on which two preprocessings differ: coloured, not square, without symmetry."""
    down, around = Image.linear_gradient("L"), Image.radial_gradient("L")
    return Image.merge("RGB", (down, down.rotate(90), around)).crop((0, 0, 256, 200))
