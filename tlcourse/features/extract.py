"""Run pictures through a frozen network, in memory or on to disk; see `features.extract_features`."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from tlcourse.base.machine import usable_cores
from tlcourse.errors import CourseError
from tlcourse.features.store import Entry, Writer, lock
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.fast import fast_copy
from tlcourse.networks.layers import Pool, pool_positions
from tlcourse.networks.tap import activations
from tlcourse.networks.trace import modules_up_to
from tlcourse.tasks.split import Split


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


def layer_fingerprint(backbone: Backbone, layers: Sequence[str]) -> dict[str, str]:
    """Return a SHA-256 for each layer: of kinds, options, weights and buffers up to it.

    What comes after the layer does not matter: a new head leaves the fingerprint as it is.
    """
    parts = {path: _own(module) for path, module in backbone.model.named_modules()}
    found = {}
    for name in layers:
        layer = backbone.layer(name)
        if layer.path in backbone.trace:
            inclusive = layer.side == "output"
            inside = set(modules_up_to(backbone.trace, layer.path, inclusive=inclusive))
            # The modules that hold it may have weights of their own, such as a class token.
            inside |= {path for path in parts if _holds(path, layer.path)}
        else:  # a module that the learner put in later
            inside = set(parts)
        digest = hashlib.sha256(f"{layer.path} {layer.side}".encode())
        for path, part in parts.items():
            if _traced(path, backbone.trace) in inside:
                digest.update(f"{path} {part}".encode())
        found[name] = digest.hexdigest()
    return found


def _own(module: nn.Module) -> str:
    """Digest of a module's kind, options and own tensors, without those of its parts."""
    digest = hashlib.sha256(f"{type(module).__name__}({module.extra_repr()})".encode())
    options = {k: v for k, v in vars(module).items() if isinstance(v, int | float | str)}
    options.pop("training", None)
    digest.update(repr(sorted(options.items())).encode())
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    for name, tensor in tensors:
        if name == "num_batches_tracked":  # counts training steps; nothing is computed with it
            continue
        flat = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {flat.dtype} {tuple(flat.shape)}".encode())
        digest.update(flat.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _traced(path: str, records: Container[str]) -> str:
    """The module itself, or of one that was put in later the nearest around it that is known."""
    while path and path not in records:
        path = path.rpartition(".")[0]
    return path


def _holds(path: str, part: str) -> bool:
    return not path or part.startswith(path + ".")


_AHEAD = 2  # batches that are opened while one is computed


def read_ahead(
    pictures: Sequence[Any], transform: Callable[[Any], torch.Tensor], batch_size: int
) -> Iterator[torch.Tensor]:
    """Yield batches (B, 3, H, W), in order, while the next ones are opened by other threads.

    Args:
        pictures: Gives (PIL picture, label) pairs, such as a `Split`.
        transform: Turns a picture into a tensor (3, H, W). It must not draw random numbers.
        batch_size: Pictures per batch; the last one may be smaller.
    """

    def look(place: int) -> torch.Tensor:
        return transform(pictures[place][0])

    ahead: deque[Future[torch.Tensor]] = deque()
    places = iter(range(len(pictures)))
    pool = ThreadPoolExecutor(max(1, min(8, usable_cores() // 2)))
    try:
        for _ in range(0, len(pictures), batch_size):
            while len(ahead) < batch_size * (1 + _AHEAD) and (i := next(places, None)) is not None:
                ahead.append(pool.submit(look, i))
            taken = [ahead.popleft().result() for _ in range(min(batch_size, len(ahead)))]
            yield torch.stack(taken).contiguous(memory_format=torch.channels_last)
    finally:  # an error or Ctrl-C does not wait for what is not needed any more
        pool.shutdown(cancel_futures=True)
