"""Estimates for a card: a lower bound on time, and the batch that fits."""

from dataclasses import replace

import pytest
from tiny_costs import OWNED, made
from tiny_tasks import tiny_backbone

import tlcourse as tl
from tlcourse import cost
from tlcourse.cost.estimate import RESERVE
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.networks.account import training_account

TINY = {"batch": 2, "size": 64, "n_classes": 3}


def test_an_estimate_is_the_longer_of_arithmetic_and_traffic():
    card = cost.CARDS["NVIDIA T4"]
    found = cost.estimate(made())
    traffic = 100 + 10 + 3 * 40 + 2 * 80 + 2 * 1000
    assert found.arithmetic_seconds == 6000 / card.operations_per_second
    assert found.traffic_seconds == traffic / card.bytes_per_second
    assert found.seconds == max(found.arithmetic_seconds, found.traffic_seconds)
    heavy = cost.estimate(made(operations=10**15))
    assert heavy.seconds == heavy.arithmetic_seconds
    assert "at least" in repr(found)
    assert "not measured" in repr(found)
    assert card.source in repr(found)


def test_the_estimate_of_an_epoch_moves_its_bytes_in_each_step():
    step, epoch = made(), made(what="epoch", steps=7)
    one, seven = (cost.estimate(c).traffic_seconds for c in (step, epoch))
    assert seven == pytest.approx(7 * one)


def test_the_largest_batch_fits_and_one_picture_more_does_not():
    network = tl.Network(tiny_backbone(), 3).train()
    measured = cost.training_step(tiny_backbone(), **TINY, repeats=1)
    n = cost.estimate(measured).largest_batch
    room = cost.CARDS["NVIDIA T4"].memory_bytes - RESERVE
    totals = [training_account(network, (3, 64, 64), b).bytes.total for b in (n, n + n // 10)]
    assert totals[0] < room < totals[1]
    huge = replace(OWNED, activations=10**12)
    assert cost.estimate(made(bytes=huge, batch=1)).largest_batch == 0


def test_an_unknown_card_or_something_that_is_no_cost_is_refused():
    with pytest.raises(UnknownNameError, match=r"no card .*NVIDIA T4"):
        cost.estimate(made(), card="NVIDIA T5000")
    with pytest.raises(CourseError, match="needs a cost"):
        cost.estimate(3.0)
