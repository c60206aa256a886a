"""Costs with figures that are easy to follow."""

from tlcourse import cost
from tlcourse.networks.account import Bytes

OWNED = Bytes(100, 10, 40, 80, 1000, 500)


def made(times=(1.0, 2.0, 4.0), **changes):
    """A cost with figures that are easy to follow."""
    values = {
        "what": "training step",
        "device": "cpu",
        "device_name": "2 cores",
        "batch": 10,
        "size": 64,
        "freeze_until": None,
        "cached": False,
        "trainable_parameters": 10,
        "times": times,
        "pictures": 10,
        "operations": 6000,
        "bytes": OWNED,
    }
    return cost.Cost(**values | changes)
