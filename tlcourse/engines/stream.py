"""Pictures through an engine, batch by batch, while the next pictures are opened."""

import sys
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any, cast

import numpy as np
from torch.utils.data import DataLoader

from tlcourse.base.machine import usable_cores
from tlcourse.engines.engine import Engine
from tlcourse.errors import UnreadableError

_AHEAD = 2  # batches that are opened beside those that are computed

Rows = dict[str, np.ndarray]  # layer -> (n, ...)
Batch = tuple[np.ndarray, list[Any]]  # places, and what was prepared of their pictures


def stream(
    engine: Engine,
    pictures: Sequence[tuple[Any, Any]],
    *,
    unreadable: Callable[[int, UnreadableError], None] | None = None,
) -> Generator[tuple[np.ndarray, Rows], None, None]:
    """Yield what an engine gives for pictures, in order, while later ones are opened.

    Args:
        engine: See `make_engine`.
        pictures: Opens a picture when it is asked for: `pictures[i]` is (picture, anything).
        unreadable: Called with the place of a picture that cannot be read, and the error; its row is
            left out. By default the error is raised.

    Yields:
        Places (n,) of some pictures, and layer -> their values (n, ...), as soon as both are there.
    """
    # A process in which OpenVINO has run its threads may crash when it is forked.
    forks = engine.workers and "openvino" not in sys.modules
    source = _from_processes if forks else _from_threads
    with (
        closing(source(engine, pictures)) as opened,
        closing(_batches(opened, engine.batch_size, unreadable)) as batches,
    ):
        if engine.at_once > 1:
            yield from _side_by_side(engine, batches)
        else:
            for places, items in batches:
                yield places, engine(items)


def _from_threads(engine: Engine, pictures: Sequence[Any]) -> Generator[Any, None, None]:
    """Yield what is prepared of each picture, or why it cannot be read, in order."""
    threads = engine.at_once if engine.at_once > 1 else max(1, min(8, usable_cores() // 2))
    most = engine.batch_size * (engine.at_once + _AHEAD)
    ahead: deque[Future[Any]] = deque()
    places = iter(range(len(pictures)))
    pool = ThreadPoolExecutor(threads)
    try:
        while True:
            while len(ahead) < most and (place := next(places, None)) is not None:
                ahead.append(pool.submit(_prepared, engine, pictures, place))
            if not ahead:
                return
            yield ahead.popleft().result()
    finally:  # an error or Ctrl-C does not wait for what is not needed any more
        pool.shutdown(cancel_futures=True)


def _from_processes(engine: Engine, pictures: Sequence[Any]) -> Generator[Any, None, None]:
    """Do the same in processes of their own, for an engine that is faster than threads can feed."""
    with warnings.catch_warnings():  # Python warns of forking beside threads; these only read
        warnings.simplefilter("ignore", DeprecationWarning)
        yield from DataLoader(
            cast(Any, range(len(pictures))),  # any sequence will do
            batch_size=None,
            collate_fn=partial(_prepared, engine, pictures),
            num_workers=engine.workers,
            prefetch_factor=engine.batch_size * _AHEAD // engine.workers + 1,
            multiprocessing_context="fork",
        )


def _prepared(engine: Engine, pictures: Sequence[Any], place: int) -> Any:
    """Prepare one picture; in place of one that cannot be read is the error."""
    try:
        prepared = engine.prepare(pictures[place][0])
    except UnreadableError as error:
        return error
    return np.asarray(prepared)  # a tensor from another process would need shared memory


def _batches(
    opened: Iterator[Any],
    batch_size: int,
    unreadable: Callable[[int, UnreadableError], None] | None,
) -> Generator[Batch, None, None]:
    """Gather what was opened, without what cannot be read."""
    places: list[int] = []
    items: list[Any] = []
    for place, item in enumerate(opened):
        if isinstance(item, UnreadableError):
            if unreadable is None:
                raise item
            unreadable(place, item)
            continue
        places.append(place)
        items.append(item)
        if len(items) == batch_size:
            yield np.array(places), items
            places, items = [], []
    if items:
        yield np.array(places), items


def _side_by_side(
    engine: Engine, batches: Iterator[Batch]
) -> Generator[tuple[np.ndarray, Rows], None, None]:
    """Yield places and values, in order, from an engine that takes several batches at once."""
    running: deque[tuple[np.ndarray, Future[Rows]]] = deque()
    pool = ThreadPoolExecutor(engine.at_once)
    try:
        for places, items in batches:
            running.append((places, pool.submit(engine, items)))
            if len(running) > engine.at_once:
                places, rows = running.popleft()
                yield places, rows.result()
        while running:
            places, rows = running.popleft()
            yield places, rows.result()
    finally:
        pool.shutdown(cancel_futures=True)
