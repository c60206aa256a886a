"""Every picture comes once an epoch, and is opened once in a training."""

import numpy as np
import pytest
import torch
from tiny_features import noise, noise_split
from tiny_tasks import made_backbone, make_task, tiny_backbone
from torchvision.models import ResNet18_Weights

import tlcourse as tl
from tlcourse.networks.preprocess import Preprocess
from tlcourse.networks.trace import up_to
from tlcourse.training import data
from tlcourse.training.data import (
    WORTH_KEEPING,
    KeptPictures,
    default_batch_size,
    is_kept,
    shuffled,
)
from tlcourse.training.finetune import freeze

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
        for i, (picture, _) in enumerate(split):
            assert torch.equal(preprocess(kept[i]), preprocess(picture))
    for i, (width, height) in enumerate(sizes):  # made smaller, never larger
        assert min(kept[i].size) == min(width, height, preprocess.resize_size)


def test_a_kept_picture_is_opened_once():
    opened = []
    kept = KeptPictures(noise_split(range(5), opened), 16, "bilinear")
    assert opened == []
    first, again = ([np.asarray(kept[i]) for i in range(5)] for _ in range(2))
    assert opened == [0, 1, 2, 3, 4]
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(("fit", "spare"), [(0, 0), (2, 0), (2, -1), (3, 5), (9, 0)])
def test_no_more_pictures_are_kept_than_fit(fit, spare):
    opened = []
    size = 16 * 19 * 3  # 24 x 20 pixels, with the shorter side made 16
    room = fit * size + spare
    kept = KeptPictures(noise_split(range(6), opened), 16, "bilinear", max_bytes=room)
    for _ in range(3):
        assert [min(kept[i].size) for i in range(6)] == [16] * 6
    n_kept = min(6, room // size)
    assert sorted(opened) == sorted([*range(n_kept), *(3 * list(range(n_kept, 6)))])


# What is worth storing


def test_a_deep_frozen_part_is_worth_storing_and_a_shallow_one_is_not():
    backbone = tiny_backbone()
    shares = {
        layer: up_to(backbone.trace, backbone.layer(layer).path)[1] / backbone.operations
        for layer in ("stem", "stage1", "stage2", "stage3")
    }
    assert min(shares.values()) < WORTH_KEEPING < max(shares.values())
    for layer, share in shares.items():
        assert is_kept(backbone, layer, "embedding") == (share >= WORTH_KEEPING), layer


def test_what_would_fill_the_disk_is_not_stored_but_vectors_always_are():
    backbone = tiny_backbone()
    assert is_kept(backbone, "stage3", "embedding", n_pictures=10**4)
    assert not is_kept(backbone, "stage3", "embedding", n_pictures=10**7)
    assert is_kept(backbone, "embedding", "embedding", n_pictures=10**7)
    assert is_kept(backbone, "stage2", "stage2", n_pictures=10**7)  # only the head comes after it


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


@pytest.mark.parametrize(("n", "size"), [(17, 16), (17, 4), (1, 4), (12, 4), (3, 2)])
def test_every_picture_is_in_one_batch_and_no_batch_has_a_single_one(n, size):
    batches = shuffled(n, size, seed=0, epoch=1)
    assert sorted(np.concatenate(batches).tolist()) == list(range(n))
    assert n == 1 or all(1 < len(batch) <= size + 1 for batch in batches)
    assert n < 4 or [*map(list, batches)] != [*map(list, shuffled(n, size, seed=0, epoch=2))]


# How many pictures per step


def test_the_batch_size_follows_from_the_memory(monkeypatch):
    network = tl.Network(made_backbone(), 3)
    # Values per picture: conv, norm and act 4 x 6 x 6 each, deep 5 x 4 x 4.
    bytes_each = 4 * (3 * 144 + 80)

    def room_for(pictures):
        whole = int(8 * bytes_each * pictures)  # an eighth is used
        monkeypatch.setattr(data, "memory", lambda: (whole, 0))
        return default_batch_size(network, 1000)

    assert [room_for(n) for n in (0.1, 2.5, 3.5, 4.5, 9.5, 15.9, 20, 1000)] == [
        *(2, 2, 3, 4, 8, 12, 16, 16)
    ]


def test_it_grows_when_more_is_frozen_and_is_what_fit_uses(monkeypatch):
    task = make_task()
    network = tl.Network(tiny_backbone(), 3)
    monkeypatch.setattr(data, "memory", lambda: (8 * 10_000_000, 0))
    sizes = []
    for until in (None, "stage1", "stage3", "embedding"):
        freeze(network, until)
        sizes.append(default_batch_size(network, 1000))
    assert sizes == sorted(sizes)
    assert 2 < sizes[0] < sizes[1] < sizes[-1]
    freeze(network, None)
    history = tl.fit(network, task, epochs=1, progress=False)
    assert history.batch_size == default_batch_size(network, len(task.train))


@pytest.mark.parametrize(("n", "size"), [(1000, 16), (160, 16), (100, 8), (50, 4), (20, 4), (3, 4)])
def test_few_pictures_are_learned_in_ten_steps_an_epoch(monkeypatch, n, size):
    monkeypatch.setattr(data, "memory", lambda: (2**40, 0))
    assert default_batch_size(tl.Network(made_backbone(), 3), n) == size


def test_a_network_that_is_cut_early_needs_less_memory(monkeypatch):
    monkeypatch.setattr(data, "memory", lambda: (8 * 10_000_000, 0))
    whole, cut = (tl.Network(tiny_backbone(), 3, layer=layer) for layer in ("embedding", "stage1"))
    assert default_batch_size(whole, 1000) < default_batch_size(cut, 1000)
