"""One step of the optimiser."""

import math

import torch
from tiny_tasks import moved, state
from torch import nn

from tlcourse.training.step import Stepper


def test_a_step_whose_loss_is_no_number_moves_nothing():
    layer, labels = nn.Linear(2, 3), torch.tensor([0, 1])
    groups = [{"params": list(layer.parameters()), "lr": 0.1}]
    stepper = Stepper(groups, nn.CrossEntropyLoss(), torch.device("cpu"), n_steps=5)
    before = state(layer)
    assert math.isnan(stepper.step(layer, torch.full((2, 2), math.nan), labels))
    assert not moved(before, layer)
    assert math.isfinite(stepper.step(layer, torch.ones(2, 2), labels))
    assert moved(before, layer) == {"weight", "bias"}
