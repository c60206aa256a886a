"""What tries the answers to the exercises of notebook 04, and wrong answers to try it with."""

import copy
import re
from collections import OrderedDict
from typing import Any, NamedTuple

BATCHES = 22  # 0.9 ** 22 < 0.1 < 0.9 ** 21


def tiny() -> Any:
    """Make a small network of which several parts behave differently in training mode."""
    from torch import nn

    parts = {
        "conv": nn.Conv2d(3, 4, 3),
        "norm": nn.BatchNorm2d(4),
        "relu": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
        "norm_of_rows": nn.BatchNorm1d(4),
        "dropout": nn.Dropout(),
        "classifier": nn.Linear(4, 2),
    }
    return nn.Sequential(OrderedDict(parts)).train()


class State(NamedTuple):
    """What a network looks like after the learner's function froze it."""

    same: bool  # the function changed the network that it was given, and no copy
    learns: float  # share of the parameters with a gradient
    still: bool  # no BatchNorm average moved when pictures went through
    evaluates: bool  # all of it is in evaluation mode


def state(answer: Any) -> State:
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    net = tiny()
    found = answer(net)
    if not is_network(found):
        raise ValueError("no network was returned")
    norms = [m for m in found.modules() if getattr(m, "running_mean", None) is not None]
    before = [m.running_mean.clone() for m in norms]
    with torch.no_grad():
        found(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 3)
    learns = [p.requires_grad for p in found.parameters()]
    return State(
        same=found is net,
        learns=sum(learns) / len(learns),
        still=all(torch.equal(old, m.running_mean) for old, m in zip(before, norms, strict=True)),
        evaluates=not any(m.training for m in found.modules()),
    )


def freeze(net: Any) -> Any:
    return only_gradients(net).eval()


def only_gradients(net: Any) -> Any:
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net


def only_mode(net: Any) -> Any:
    return net.eval()


def neither(net: Any) -> Any:
    return net


def a_copy(net: Any) -> Any:
    return freeze(copy.deepcopy(net))


def all_but_the_classifier(net: Any) -> Any:
    for name, parameter in net.named_parameters():
        if "classifier" not in name:
            parameter.requires_grad_(False)
    return net.eval()


def still_averages(net: Any) -> Any:
    for module in net.modules():
        if hasattr(module, "momentum"):
            module.momentum = 0.0
    return only_gradients(net)


def without_return(net: Any) -> None:
    freeze(net)


def letters(answer: Any) -> Any:
    """The letters of an answer; texts such as "A, D", "AD" or "A and D" will do."""
    texts = [answer] if isinstance(answer, str) else list(answer)
    without = [re.sub(r"\b(and|or)\b", " ", text, flags=re.IGNORECASE) for text in texts]
    return [c.upper() for text in without for c in text if c.isalpha()]


def names(answer: Any, letter: str) -> bool:
    return letter in letters(answer)


def called_already() -> Any:
    return freeze(tiny())


def is_network(answer: Any) -> bool:
    from torch import nn

    return isinstance(answer, nn.Module)


def returns_nothing(answer: Any) -> bool:
    if not callable(answer):
        raise TypeError("not a function")
    return answer(tiny()) is None
