"""Batches come in order, errors come through, and no thread is left."""

import threading
import time

import pytest
import torch

from tlcourse.errors import PictureError
from tlcourse.features import features
from tlcourse.features.features import read_ahead


@pytest.fixture
def many_threads(monkeypatch):
    """Open pictures with as many threads as a large machine would."""
    monkeypatch.setattr(features, "usable_cores", lambda: 16)


def as_tensor(number):
    return torch.full((3, 2, 2), float(number))


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
def test_batches_come_in_order_whichever_picture_is_opened_first(
    many_threads, n, batch_size, sizes
):
    earlier_take_longer = Numbers(n, lambda number: time.sleep(0.003 * (3 - number % 4)))
    batches = list(read_ahead(earlier_take_longer, as_tensor, batch_size))
    assert [len(batch) for batch in batches] == sizes
    values = torch.cat([b[:, 0, 0, 0] for b in batches]) if batches else torch.empty(0)
    assert values.tolist() == list(range(n))
    if n == 40:
        assert earlier_take_longer.opened != sorted(earlier_take_longer.opened)


def test_the_next_two_batches_are_opened_in_the_background_and_no_more(many_threads):
    pictures = Numbers(100)
    batches = read_ahead(pictures, as_tensor, 4)
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
    batches = read_ahead(Numbers(20, open_item), as_tensor, 2)
    assert [next(batches)[0, 0, 0, 0].item() for _ in range(2)] == [0, 2]
    with pytest.raises(PictureError, match=r"5\.png cannot be read"):
        next(batches)
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("stop", ["close", "break", "transform fails"])
def test_no_thread_survives_an_early_stop(many_threads, stop):
    def transform(number):
        if stop == "transform fails" and number == 9:
            raise ValueError("no picture of mine")
        return as_tensor(number)

    before = set(threading.enumerate())
    pictures = Numbers(1000)
    batches = read_ahead(pictures, transform, 4)
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
    monkeypatch.setattr(features, "usable_cores", lambda: 2)  # one thread
    pictures = Numbers(100, lambda number: time.sleep(0.01))
    batches = read_ahead(pictures, as_tensor, 20)
    next(batches)
    batches.close()
    assert 20 <= len(pictures.opened) < 50  # 60 were asked for
