"""What tries the answers to the exercises of notebook 04, and wrong answers to try it with."""

import re
from typing import Any

BEATS = 0.7  # exercise 04.1: a probe on the stored embedding reaches 0.61


# Exercise 04.2: what is done before an epoch.


def tiny() -> Any:
    """Make a small network; its body holds BatchNorm and dropout."""
    from torch import nn

    net = nn.Module()
    net.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    net.head = nn.Sequential(nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    return net.eval()


def begun(answer: Any) -> str:
    """What the learner's function makes of a small network: "right", or which mistake."""
    if not callable(answer):
        raise TypeError("not a function")
    net = tiny()
    answer(net)
    _, norm, dropout = net.body
    if norm.training:
        return "training mode"
    if dropout.training:
        return "dropout"
    if not all(p.requires_grad for p in net.head.parameters()):
        return "head frozen"
    if any(p.requires_grad for p in net.body.parameters()):
        return "body learns"
    return "right" if all(m.training for m in net.head.modules()) else "head evaluates"


def fault(net: Any) -> None:
    net.body.requires_grad_(False)
    net.body.eval()
    net.train()


def fixed(net: Any) -> None:
    net.train()
    net.body.requires_grad_(False)
    net.body.eval()


def norms_only(net: Any) -> None:
    fault(net)
    net.body[1].eval()


def frozen_and_evaluated(net: Any) -> None:
    fault(net)
    net.eval()


def no_gradient_is_stopped(net: Any) -> None:
    net.train()
    net.body.eval()


def freezes_both(net: Any) -> None:
    fixed(net)
    net.requires_grad_(False)


def called_already() -> Any:
    net = tiny()
    fixed(net)
    return net


# Exercise 04.3: letters.


def letters(answer: Any) -> Any:
    """The letters of an answer; texts such as "A, D", "AD" or "A and D" will do."""
    texts = [answer] if isinstance(answer, str) else list(answer)
    without = [re.sub(r"\b(and|or)\b", " ", text, flags=re.IGNORECASE) for text in texts]
    return [c.upper() for text in without for c in text if c.isalpha()]


def names(answer: Any, letter: str) -> bool:
    return letter in letters(answer)
