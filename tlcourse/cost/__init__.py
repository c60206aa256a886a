"""What a forward pass, a training step and an epoch cost: seconds, operations, bytes by owner."""

from tlcourse.cost.estimate import CARDS, Card, Estimate, estimate
from tlcourse.cost.measure import (
    account,
    devices,
    epoch,
    forward,
    on_every_device,
    side_by_side,
    training_step,
)
from tlcourse.cost.records import Cost, Ratio, Recorded, SideBySide, recorded
from tlcourse.networks.account import Account, Bytes

__all__ = [
    "CARDS",
    "Account",
    "Bytes",
    "Card",
    "Cost",
    "Estimate",
    "Ratio",
    "Recorded",
    "SideBySide",
    "account",
    "devices",
    "epoch",
    "estimate",
    "forward",
    "on_every_device",
    "recorded",
    "side_by_side",
    "training_step",
]
