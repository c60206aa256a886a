"""The search for a learning rate touches nothing and proposes a rate that it has tried."""

import math

import numpy as np
import pytest
import torch
from tiny_tasks import make_task, moved, state, tiny_backbone, traces
from torch.optim.optimizer import register_optimizer_step_pre_hook

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.training.finetune import freeze

QUICK = {"progress": False, "batch_size": 6, "steps": 8}


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture
def network():
    return tl.Network(tiny_backbone(), 3)


@pytest.mark.parametrize("until", [None, "stage2", "embedding"])
def test_the_network_is_left_bit_for_bit(network, task, until):
    network.updates_batchnorm = True
    freeze(network, until)
    network.train()
    network.body.blocks[3].eval()
    network.body.register_forward_hook(lambda *_: None)
    before, found, drawn = state(network), traces(network), torch.get_rng_state()
    search = tl.find_learning_rate(network, task, **QUICK)
    assert not moved(before, network)
    assert traces(network) == found
    assert network.frozen_until == until
    assert torch.equal(torch.get_rng_state(), drawn)
    assert len(set(search.losses)) == len(search.losses)  # its copy did learn


def test_rates_grow_evenly_and_are_those_of_the_steps(network, task):
    used = []

    def look(optimiser, *_):
        used.append({group["name"]: group["lr"] for group in optimiser.param_groups})

    handle = register_optimizer_step_pre_hook(look)
    search = tl.find_learning_rate(network, task, lowest=1e-5, highest=1e-2, **QUICK)
    handle.remove()
    assert len(search.rates) == len(search.losses) == len(search.smooth) == 8
    assert search.rates[[0, -1]].tolist() == pytest.approx([1e-5, 1e-2])
    ratios = search.rates[1:] / search.rates[:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    assert [r["head"] for r in used] == pytest.approx(search.rates.tolist())
    assert [r["stem"] for r in used] == pytest.approx((search.rates / 10).tolist())


def test_the_proposal_is_a_tenth_of_the_rate_with_the_lowest_smooth_loss(network, task):
    search = tl.find_learning_rate(network, task, lowest=1e-4, highest=10, **QUICK)
    for i, smooth in enumerate(search.smooth):
        assert smooth == pytest.approx(search.losses[max(0, i - 4) : i + 1].mean())
    assert search.suggestion == pytest.approx(search.rates[search.smooth.argmin()] / 10)
    assert 1e-5 <= search.suggestion <= 1


def test_it_ends_once_the_loss_runs_away(network, task):
    options = QUICK | {"steps": 16}
    far = tl.find_learning_rate(network, task, lowest=1e-3, highest=1e6, **options)
    assert len(far.rates) < 16
    assert np.isfinite(far.losses).all()
    assert all(loss <= 4 * far.smooth[:i].min() for i, loss in enumerate(far.losses) if i)
    near = tl.find_learning_rate(network, task, lowest=1e-6, highest=1e-4, **options)
    assert len(near.rates) == 16


def test_the_same_seed_gives_the_same_search(network, task):
    first, again, other = (
        tl.find_learning_rate(network, task, seed=seed, **QUICK).losses for seed in (0, 0, 1)
    )
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lowest": 0}, "lowest is 0, but must be a positive number"),
        ({"highest": math.inf}, "highest is inf"),
        ({"lowest": 0.1, "highest": 0.01}, r"lowest is 0\.1"),
        ({"steps": 1}, "steps is 1"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_searches_that_make_no_sense_are_refused(network, task, options, said):
    with pytest.raises(CourseError, match=said):
        tl.find_learning_rate(network, task, **QUICK | options)


def test_a_loss_that_is_no_number_from_the_start_is_an_error(network, task):
    network.head.weight.data.fill_(math.nan)
    with pytest.raises(CourseError, match="The loss is not finite from the start"):
        tl.find_learning_rate(network, task, **QUICK)
