"""Values come in order, errors come through, and no thread is left."""

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tlcourse.engines import stream as stream_module
from tlcourse.engines.stream import stream
from tlcourse.errors import PictureError


@pytest.fixture
def many_threads(monkeypatch):
    """Open pictures with as many threads as a large machine would."""
    monkeypatch.setattr(stream_module, "usable_cores", lambda: 16)


def as_it_is(number):
    return float(number)


@dataclass
class Doubler:
    """An engine of numbers: its one layer gives twice the number."""

    batch_size: int
    prepare: Any = as_it_is
    at_once: int = 1
    workers: int = 0
    name: str = "doubler"

    def __call__(self, items):
        if self.at_once > 1:  # earlier ones take longer
            time.sleep(0.003 * (3 - items[0] % 4))
        return {"twice": 2 * np.array(items)}


class Numbers:
    """ "Pictures" that are numbers, and what was opened so far, by which thread."""

    def __init__(self, n, open_item=lambda number: None):
        self.n, self.open_item = n, open_item
        self.opened, self.threads = [], set()

    def __len__(self):
        return self.n

    def __getitem__(self, number):
        self.open_item(number)
        self.opened.append(number)
        self.threads.add(threading.current_thread())
        return number, 0


def wait_until(true, seconds=10):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return true()


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [(7, 2, [2, 2, 2, 1]), (6, 3, [3, 3]), (2, 5, [2]), (40, 1, [1] * 40), (0, 4, [])],
)
@pytest.mark.parametrize("at_once", [1, 3])
def test_batches_come_in_order_whichever_picture_is_opened_first(
    many_threads, n, batch_size, sizes, at_once
):
    earlier_take_longer = Numbers(n, lambda number: time.sleep(0.003 * (3 - number % 4)))
    batches = list(stream(Doubler(batch_size, at_once=at_once), earlier_take_longer))
    assert [len(places) for places, _ in batches] == sizes
    assert [place for places, _ in batches for place in places] == list(range(n))
    assert [v for _, rows in batches for v in rows["twice"]] == list(range(0, 2 * n, 2))
    if n == 40:
        assert earlier_take_longer.opened != sorted(earlier_take_longer.opened)


def test_the_next_two_batches_are_opened_in_the_background_and_no_more(many_threads):
    pictures = Numbers(100)
    batches = stream(Doubler(4), pictures)
    assert pictures.opened == []  # nothing happens before the first batch is asked for
    next(batches)
    assert wait_until(lambda: len(pictures.opened) >= 12)
    time.sleep(0.05)
    assert sorted(pictures.opened) == list(range(12))
    next(batches)
    assert wait_until(lambda: len(pictures.opened) >= 16)
    batches.close()
    assert threading.current_thread() not in pictures.threads


def test_an_error_while_opening_comes_through_in_its_place(many_threads):
    def open_item(number):
        if number == 5:
            raise PictureError("5.png cannot be read: it is cut off or damaged.")

    before = set(threading.enumerate())
    batches = stream(Doubler(2), Numbers(20, open_item))
    assert [next(batches)[1]["twice"][0] for _ in range(2)] == [0, 4]
    with pytest.raises(PictureError, match=r"5\.png cannot be read"):
        next(batches)
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("stop", ["close", "break", "transform fails"])
def test_no_thread_survives_an_early_stop(many_threads, stop, at_once):
    def transform(number):
        if stop == "transform fails" and number == 9:
            raise ValueError("no picture of mine")
        return float(number)

    before = set(threading.enumerate())
    pictures = Numbers(1000)
    batches = stream(Doubler(4, transform, at_once), pictures)
    next(batches)
    assert set(threading.enumerate()) > before
    if stop == "close":
        batches.close()
    elif stop == "break":
        for _ in batches:
            break
        del batches
    else:
        with pytest.raises(ValueError, match="no picture of mine"):
            list(batches)
    assert set(threading.enumerate()) == before
    assert len(pictures.opened) < 100


def test_an_early_stop_does_not_wait_for_what_was_to_be_opened(monkeypatch):
    monkeypatch.setattr(stream_module, "usable_cores", lambda: 2)  # one thread
    pictures = Numbers(100, lambda number: time.sleep(0.01))
    batches = stream(Doubler(20), pictures)
    next(batches)
    batches.close()
    assert 20 <= len(pictures.opened) < 50  # 60 were asked for
