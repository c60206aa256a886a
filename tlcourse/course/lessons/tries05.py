"""What tries the answers to the exercises of notebook 05, and wrong answers to try it with."""

from collections import OrderedDict
from typing import Any

from tlcourse.course.exercise import close, number, same_set

RATE = 0.02  # of no example in the text


DIGITS, PHOTOGRAPHS = 0.9, 0.9  # exercise 05.2


def reached(answer: Any) -> str:
    """What a pair of accuracies, digits and photographs, has reached."""
    if len(answer) != 2 or not all(0 <= number(part) <= 1 for part in answer):
        raise TypeError("not two accuracies")
    learned, kept = number(answer[0]) >= DIGITS - 1e-6, number(answer[1]) >= PHOTOGRAPHS - 1e-6
    names = {(True, True): "right", (True, False): "forgot", (False, True): "not learned"}
    return names.get((learned, kept), "neither")


def small_net() -> Any:
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
            self.header = nn.Linear(4, 4)  # not the head, although its name begins alike
            self.head = nn.Linear(4, 2)

    return Net()


def looked_at(answer: Any) -> str:
    """What the learner's function makes of a small network: "right", or which mistake."""
    if not callable(answer):
        raise TypeError("not a function")
    net = small_net()
    found = answer(net, RATE)
    if found is None:
        return "nothing"
    groups = [list(group["params"]) for group in found]
    sets = [{id(p) for p in group} for group in groups]
    rates = [group["lr"] for group in found]
    head = {id(p) for p in net.head.parameters()}
    body = {id(p) for p in net.parameters()} - head
    header = {id(p) for p in net.header.parameters()}
    if len(sets) != 2:
        return "other"
    if sets[0] & sets[1]:
        return "twice"
    if sets == [body, head]:
        return "order"
    if sets == [head | header, body - header]:
        return "header"
    if sets[0] != head or sets[1] != body:
        return "missing"
    if close(rates[0], RATE) and close(rates[1], RATE / 10):
        return "right"
    if close(rates[0], RATE) and close(rates[1], RATE):
        return "same rate"
    return "rates"


def groups_of(net: Any, rate: float, body_rate: float | None = None) -> list[dict[str, Any]]:
    head = [p for name, p in net.named_parameters() if name.startswith("head.")]
    body = [p for name, p in net.named_parameters() if not name.startswith("head.")]
    return [
        {"params": head, "lr": rate},
        {"params": body, "lr": rate / 10 if body_rate is None else body_rate},
    ]


def says_nothing(net: Any, rate: float) -> None:
    groups_of(net, rate)


def swapped(net: Any, rate: float) -> list[dict[str, Any]]:
    return groups_of(net, rate)[::-1]


def all_twice(net: Any, rate: float) -> list[dict[str, Any]]:
    head = groups_of(net, rate)[0]
    return [head, {"params": list(net.parameters()), "lr": rate / 10}]


def all_twice_and_swapped(net: Any, rate: float) -> list[dict[str, Any]]:
    return all_twice(net, rate)[::-1]


def body_only_of_a_name(net: Any, rate: float) -> list[dict[str, Any]]:
    return [
        {"params": list(net.head.parameters()), "lr": rate},
        {"params": list(net.body.parameters()), "lr": rate / 10},
    ]


def wrong_rates(net: Any, rate: float) -> list[dict[str, Any]]:
    return groups_of(net, rate / 10, rate)


def with_header(net: Any, rate: float) -> list[dict[str, Any]]:
    head = [p for name, p in net.named_parameters() if name.startswith("head")]
    body = [p for name, p in net.named_parameters() if not name.startswith("head")]
    return [{"params": head, "lr": rate}, {"params": body, "lr": rate / 10}]


def two_networks() -> tuple[Any, Any]:
    """Return a network to start, and one whose weights fit in part: new head, one layer renamed."""
    import torch
    from torch import nn

    def make(n_classes: int, extra: str) -> Any:
        layers = {"conv": nn.Conv2d(3, 4, 3), "bn": nn.BatchNorm2d(4), extra: nn.Linear(4, 4)}
        return nn.Sequential(OrderedDict(**layers, head=nn.Linear(4, n_classes)))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net, source = make(2, "added"), make(9, "left_out")
        source.bn.running_mean += 3
        return net, source


def started(answer: Any) -> str:
    """What the learner's function does to a small network: "right", or which mistake."""
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    net, source = two_networks()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    weights = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    try:
        found = answer(net, weights)
    except RuntimeError as error:
        if "size mismatch" in str(error) or "size of tensor" in str(error):
            return "another shape"
        raise
    after = net.state_dict()
    fits = {n for n, t in before.items() if n in weights and t.shape == weights[n].shape}
    copied = {n for n in fits if torch.equal(after[n], weights[n])}
    others = set(before) - fits
    if any(not torch.equal(after[n], before[n]) for n in others):
        return "changed"
    if {"conv.weight", "bn.running_mean"} & copied == set():
        return "nothing copied"
    if "bn.running_mean" not in copied:
        return "no averages"
    if copied != fits:
        return "some left out"
    if found is None:
        return "nothing"
    if same_set(found, others):
        return "right"
    if same_set(found, fits):
        return "copied ones"
    if same_set(found, others & set(weights)):
        return "shapes only"
    if same_set(found, set(weights) - fits):
        return "the other network"
    return "other"


def start_from(net: Any, weights: Any) -> list[str]:
    own = net.state_dict()
    fits = {n: t for n, t in weights.items() if n in own and t.shape == own[n].shape}
    net.load_state_dict(fits, strict=False)
    return [name for name in own if name not in fits]


def start_silently(net: Any, weights: Any) -> None:
    start_from(net, weights)


def start_at_once(net: Any, weights: Any) -> list[str]:
    net.load_state_dict(weights, strict=False)
    return [name for name in net.state_dict() if name not in weights]


def start_nothing(net: Any, weights: Any) -> list[str]:
    own = net.state_dict()
    left = [n for n in own if n not in weights or weights[n].shape != own[n].shape]
    own.update({n: t for n, t in weights.items() if n not in left})
    return left


def start_parameters(net: Any, weights: Any) -> list[str]:
    own = dict(net.named_parameters())
    fits = [n for n in own if n in weights and own[n].shape == weights[n].shape]
    for name in fits:
        own[name].data.copy_(weights[name])
    return [name for name in own if name not in fits]


def start_copied(net: Any, weights: Any) -> list[str]:
    left = start_from(net, weights)
    return [name for name in net.state_dict() if name not in left]


def start_other(net: Any, weights: Any) -> list[str]:
    own = net.state_dict()
    left = start_from(net, weights)
    return [name for name in weights if name in left or name not in own]


def start_shapes(net: Any, weights: Any) -> list[str]:
    return [name for name in start_from(net, weights) if name in weights]
