"""Batches of preprocessed pictures: opened in the background, the same order at each run."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from tlcourse._machine import usable_cores

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


class KeptPictures(Sequence[tuple[Any, int]]):
    """Pictures of a split that are opened once and then kept, made smaller, as far as they fit.

    An epoch after the first need not decode them again. Each is kept with its shorter side at most
    `side` pixels long: enough for a crop to be taken from it.
    """

    def __init__(self, split: Any, side: int, interpolation: str, max_bytes: int = 2**28) -> None:
        self._split, self._side, self._interpolation = split, side, interpolation
        self._kept: dict[int, Any] = {}
        self._room = max_bytes

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: Any) -> tuple[Any, int]:
        label = int(self._split.labels[index])
        if index in self._kept:
            return self._kept[index], label
        picture = self._smaller(self._split[index][0])
        size = picture.width * picture.height * 3
        if size <= self._room:
            self._kept[index] = picture
            self._room -= size
        return picture, label

    def _smaller(self, picture: Any) -> Any:
        from torchvision.transforms import functional as F
        from torchvision.transforms.functional import InterpolationMode

        if min(picture.size) <= self._side:
            return picture
        return F.resize(picture, self._side, InterpolationMode(self._interpolation))


def shuffled(n: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Places 0 to n-1 in random order, in batches; the same for the same seed and epoch.

    A last batch of one picture is joined to the one before it: BatchNorm cannot learn from one.
    """
    order = np.random.default_rng([seed, epoch]).permutation(n)
    parts = [order[i : i + batch_size] for i in range(0, n, batch_size)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts
