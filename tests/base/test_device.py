"""Random numbers are put back as they were, on every device that is seeded."""

from contextlib import nullcontext

import pytest
import torch

from tlcourse.base.device import fixed_seed


def test_inside_numbers_follow_from_the_seed_and_outside_they_stay():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with fixed_seed(1, torch.device("cpu")):
        first = torch.rand(3)
    with fixed_seed(1, torch.device("cpu")):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("device", "initialised", "forked"),
    [("cuda:1", False, [0, 1]), ("cpu", True, [0, 1]), ("cpu", False, [])],
)
def test_the_numbers_of_every_gpu_are_put_back(device, initialised, forked, monkeypatch):
    """`torch.manual_seed` seeds all of them, whichever one is computed on."""
    given = []

    def fork(devices):
        given.extend(devices)
        return nullcontext()

    monkeypatch.setattr(torch.random, "fork_rng", fork)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: initialised)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "manual_seed", lambda seed: None)
    with fixed_seed(0, torch.device(device)):
        pass
    assert given == forked
