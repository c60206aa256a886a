"""What tries the answers to the exercises of notebook 07, and wrong answers to try it with."""

from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from tlcourse.course.exercise import close


def small_net() -> Any:
    from torch import nn

    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    return net


def learning_bytes(net: Any) -> int:
    return 3 * sum(p.nbytes for p in net.parameters() if p.requires_grad)


def all_move(net: Any) -> int:
    return 3 * sum(p.nbytes for p in net.parameters())


def numbers(net: Any) -> int:
    return 3 * sum(p.numel() for p in net.parameters() if p.requires_grad)


def gradients_only(net: Any) -> int:
    return sum(p.nbytes for p in net.parameters() if p.requires_grad)


def one_average(net: Any) -> int:
    return 2 * sum(p.nbytes for p in net.parameters() if p.requires_grad)


def and_parameters(net: Any) -> int:
    return 4 * sum(p.nbytes for p in net.parameters() if p.requires_grad)


def in_mib(net: Any) -> float:
    return learning_bytes(net) / 2**20


def in_millions(net: Any) -> float:
    return learning_bytes(net) / 1e6


def buffers_too(net: Any) -> int:
    return learning_bytes(net) + 3 * sum(b.nbytes for b in net.buffers())


def all_stored(net: Any) -> int:
    return 3 * sum(t.nbytes for t in net.state_dict().values())


def says_nothing(net: Any) -> None:
    learning_bytes(net)


def same_as(function: Callable[[Any], float | None]) -> Callable[[Any], bool]:
    """Whether the learner's function gives what another one gives for a small network."""

    def matches(answer: Any) -> bool:
        if not callable(answer):
            raise TypeError("not a function")
        with redirect_stdout(StringIO()):  # it is called several times
            found, expected = answer(small_net()), function(small_net())
        return found is None if expected is None else close(found, expected, rel=1e-9)

    return matches
