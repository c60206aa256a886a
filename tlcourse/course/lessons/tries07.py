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


def net_with_head() -> Any:
    from torch import nn

    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    net.add_module("classifier", nn.Linear(4, 2))
    return net


def moves(answer: Callable[[Any], Any]) -> tuple[bool, bool]:
    """Whether some parameter of the body, and each one of the head, may move after a call."""
    if not callable(answer):
        raise TypeError("not a function")
    net = net_with_head()
    answer(net)
    body = [p for name, p in net.named_parameters() if not name.startswith("classifier.")]
    head = [*net.classifier.parameters()]
    return any(p.requires_grad for p in body), all(p.requires_grad for p in head)


def freezes_nothing(net: Any) -> None:
    net.eval()


def freezes_all(net: Any) -> None:
    net.requires_grad_(False)


def freezes_head(net: Any) -> None:
    net.classifier.requires_grad_(False)


def head_only() -> Any:
    import torch

    return torch.optim.AdamW(net_with_head().classifier.parameters())


def learning_bytes(net: Any) -> int:
    return 3 * sum(p.nbytes for p in net.parameters() if p.requires_grad)


def all_move(net: Any) -> int:
    return 3 * sum(p.nbytes for p in net.parameters())


def numbers(net: Any) -> int:
    return 3 * sum(p.numel() for p in net.parameters() if p.requires_grad)


def gradients_only(net: Any) -> int:
    return sum(p.nbytes for p in net.parameters() if p.requires_grad)


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
