"""What a forward pass, a training step and an epoch cost: seconds, operations, bytes by owner."""

from tlcourse.cost.epoch import epoch
from tlcourse.cost.estimate import CARDS, Card, Estimate, estimate
from tlcourse.cost.fresh_process import FirstStep, first_step
from tlcourse.cost.measure import (
    account,
    devices,
    forward,
    on_every_device,
    side_by_side,
    training_step,
)
from tlcourse.cost.recorded import Recorded
from tlcourse.cost.recorded import read as recorded
from tlcourse.cost.records import Cost, Ratio, SideBySide
from tlcourse.networks.account import Account, Bytes

__all__ = [
    "CARDS",
    "Account",
    "Bytes",
    "Card",
    "Cost",
    "Estimate",
    "FirstStep",
    "Ratio",
    "Recorded",
    "SideBySide",
    "account",
    "devices",
    "epoch",
    "estimate",
    "first_step",
    "forward",
    "on_every_device",
    "recorded",
    "side_by_side",
    "training_step",
]
