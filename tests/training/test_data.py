"""Batches come in order, errors come through, no thread is left; every picture once an epoch."""

import threading
import time

import numpy as np
import pytest
import torch
from tiny_features import noise, noise_split
from torchvision.models import ResNet18_Weights

import tlcourse as tl
from tlcourse.errors import PictureError
from tlcourse.features.extract import read_ahead
from tlcourse.networks.preprocess import Preprocess
from tlcourse.training import data
from tlcourse.training.data import KeptPictures, shuffled

MIB = 2**20


@pytest.fixture
def many_threads(monkeypatch):
    """Open pictures with as many threads as a large machine would."""
    monkeypatch.setattr(data, "usable_cores", lambda: 16)


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


# Reading ahead


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
    monkeypatch.setattr(data, "usable_cores", lambda: 2)  # one thread
    pictures = Numbers(100, lambda number: time.sleep(0.01))
    batches = read_ahead(pictures, as_tensor, 20)
    next(batches)
    batches.close()
    assert 20 <= len(pictures.opened) < 50  # 60 were asked for


# Pictures that are kept


def torchvision_preprocess():
    return Preprocess.from_torchvision(ResNet18_Weights.DEFAULT.transforms())


def timm_preprocess():
    return tl.load_backbone("timm/test_efficientnet", pretrained=False, device="cpu").preprocess


@pytest.mark.parametrize("size", [32, 45, 128])
@pytest.mark.parametrize("make", [torchvision_preprocess, timm_preprocess])
def test_a_kept_picture_gives_what_the_opened_one_gives(make, size):
    preprocess = make().at_size(size)
    sizes = [(200, 131), (90, 257), (150, 150), (30, 20), (20, 31), (preprocess.resize_size, 70)]
    split = noise_split(range(len(sizes)), open_item=lambda i: noise(i, sizes[i]))
    kept = KeptPictures(split, preprocess.resize_size, preprocess.interpolation)
    for _ in range(2):
        for i, (picture, label) in enumerate(split):
            assert torch.equal(preprocess(kept[i][0]), preprocess(picture))
            assert kept[i][1] == label
    for i, (width, height) in enumerate(sizes):  # made smaller, never larger
        assert min(kept[i][0].size) == min(width, height, preprocess.resize_size)


def test_a_kept_picture_is_opened_once():
    opened = []
    kept = KeptPictures(noise_split(range(5), opened), 16, "bilinear")
    assert len(kept) == 5
    assert opened == []
    first = [(np.asarray(picture), label) for picture, label in kept]
    again = [(np.asarray(picture), label) for picture, label in kept]
    assert opened == [0, 1, 2, 3, 4]
    assert [label for _, label in again] == [0, 1, 0, 1, 0]
    for (a, _), (b, _) in zip(first, again, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(("fit", "spare"), [(0, 0), (2, 0), (2, -1), (3, 5), (9, 0)])
def test_no_more_pictures_are_kept_than_fit(fit, spare):
    opened = []
    size = 16 * 19 * 3  # 24 x 20 pixels, with the shorter side made 16
    room = fit * size + spare
    kept = KeptPictures(noise_split(range(6), opened), 16, "bilinear", max_bytes=room)
    for _ in range(3):
        assert [label for _, label in kept] == [0, 1] * 3
    n_kept = min(6, room // size)
    assert sorted(opened) == sorted([*range(n_kept), *(3 * list(range(n_kept, 6)))])


# Shuffling


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [
        (10, 4, [4, 4, 2]),
        (9, 3, [3, 3, 3]),
        (10, 3, [3, 3, 4]),
        (5, 4, [5]),
        (4, 8, [4]),
        (1, 4, [1]),
        (0, 4, []),
    ],
)
def test_each_place_comes_once_and_no_batch_of_one_is_last(n, batch_size, sizes):
    for epoch in range(5):
        batches = shuffled(n, batch_size, seed=3, epoch=epoch)
        assert [len(batch) for batch in batches] == sizes
        assert sorted(i for batch in batches for i in batch) == list(range(n))


def test_the_order_follows_from_seed_and_epoch():
    def order(seed, epoch, batch_size=8):
        return np.concatenate(shuffled(50, batch_size, seed, epoch)).tolist()

    np.random.seed(0)  # noqa: NPY002  the global generator must not matter
    first = order(1, 2)
    np.random.seed(1)  # noqa: NPY002
    assert order(1, 2) == first
    assert order(1, 2, batch_size=5) == first
    others = [order(1, 3), order(2, 2), order(2, 1), list(range(50))]
    assert all(other != first for other in others)
    assert order(2, 1) != order(1, 2)
