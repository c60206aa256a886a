"""Run pictures through a frozen network, in memory or on to disk; see `features.extract_features`."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from tlcourse.base.machine import usable_cores
from tlcourse.errors import CourseError
from tlcourse.features.store import Entry, Stored, get_or_compute
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.fast import fast_copy
from tlcourse.networks.fingerprint import layer_fingerprints
from tlcourse.networks.layers import Pool, pool_positions
from tlcourse.networks.tap import activations
from tlcourse.tasks.split import Split


class Joined(Sequence[tuple[Image.Image, int]]):
    """The pictures of several splits, one after the other, from one of them on."""

    def __init__(self, splits: Sequence[Split], start: int = 0) -> None:
        self._places = [(split, i) for split in splits for i in range(len(split))][start:]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        split, place = self._places[index]
        return split[place]


@dataclass(frozen=True)
class Extraction:
    """One way to run the N pictures of some splits through a network."""

    backbone: Backbone
    splits: Sequence[Split]
    pool: Pool
    batch_size: int
    progress: bool
    on_batch: Callable[[], None] | None = None

    @property
    def n(self) -> int:
        """Number of pictures."""
        return sum(map(len, self.splits))

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
        example = self.backbone.preprocess(_example()).numpy()
        shared = [repr(self.backbone.preprocess), hashlib.sha256(example.tobytes()).hexdigest()]
        shared += [self.pool, *(d for split in self.splits for d in split.digests())]
        same = hashlib.sha256("\n".join(shared).encode()).hexdigest()
        wanted = {}
        for name, fingerprint in layer_fingerprints(self.backbone, names).items():
            key = hashlib.sha256(f"{same} {fingerprint}".encode()).hexdigest()[:32]
            wanted[name] = Entry(key, about | {"layer": name, "pictures": self.n})
        return get_or_compute(wanted, self.n, self._compute, lock=same[:32], refresh=refresh)

    def _compute(
        self, names: list[str], start: int
    ) -> Generator[tuple[dict[str, np.ndarray], float], None, None]:
        """Yield layer -> rows, and seconds, batch by batch, from picture number `start` on."""
        clock = time.perf_counter()
        network = fast_copy(self.backbone, names)
        pictures = Joined(self.splits, start)
        batches = read_ahead(pictures, self.backbone.preprocess, self.batch_size)
        bar = tqdm(
            total=self.n,
            initial=start,
            desc="features",
            unit="picture",
            leave=False,
            disable=not self.progress,
        )
        with closing(batches), bar:
            for batch in batches:
                rows = {
                    name: pool_positions(value, self.pool).float().cpu().numpy()
                    for name, value in activations(network, batch, names).items()
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


_AHEAD = 2  # batches that are opened while one is computed


def read_ahead(
    pictures: Sequence[Any], transform: Callable[[Any], torch.Tensor], batch_size: int
) -> Generator[torch.Tensor, None, None]:
    """Yield batches (B, 3, H, W), in order, while the next ones are opened by other threads.

    Args:
        pictures: Gives (PIL picture, label) pairs, such as a `Split`.
        transform: Turns a picture into a tensor (3, H, W). It must not draw random numbers.
        batch_size: Pictures per batch; the last one may be smaller.
    """

    def open_one(place: int) -> torch.Tensor:
        return transform(pictures[place][0])

    ahead: deque[Future[torch.Tensor]] = deque()
    places = iter(range(len(pictures)))
    pool = ThreadPoolExecutor(max(1, min(8, usable_cores() // 2)))
    try:
        for _ in range(0, len(pictures), batch_size):
            while len(ahead) < batch_size * (1 + _AHEAD) and (i := next(places, None)) is not None:
                ahead.append(pool.submit(open_one, i))
            taken = [ahead.popleft().result() for _ in range(min(batch_size, len(ahead)))]
            yield torch.stack(taken).contiguous(memory_format=torch.channels_last)
    finally:  # an error or Ctrl-C does not wait for what is not needed any more
        pool.shutdown(cancel_futures=True)
