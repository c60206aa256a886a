"""What tries the answers to the exercises of notebook 11, and wrong answers to try it with."""

from functools import cache
from types import SimpleNamespace
from typing import Any

MOST_PARAMETERS, LEAST_RIGHT = 40_000, 0.93  # exercise 11.1
ROOM = 150  # MiB, exercise 11.3
LORA = 4 * (112 + 672)  # exercise 11.4


def one_layer() -> tuple[Any, Any, Any, float]:
    """A convolution's weight (6, 4, 3, 3), `up` (6, 2), `down` (2, 36), and a scale."""
    import torch

    random = torch.Generator().manual_seed(3)
    shapes = ((6, 4, 3, 3), (6, 2), (2, 36))
    weight, up, down = (torch.randn(*shape, generator=random) for shape in shapes)
    return weight, up, down, 0.5


def merged(answer: Any) -> str:
    """What the learner's function makes of a layer: "right", or which mistake."""
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    weight, up, down, scale = one_layer()
    before = weight.clone()
    try:
        found = answer(weight, up, down, scale)
    except RuntimeError:
        return "shape"
    if not torch.equal(weight, before):
        return "changed"
    if found is None:
        return "nothing"
    product = (up @ down).view_as(before)
    mistakes = {
        "right": before + scale * product,
        "no scale": before + product,
        "no weight": scale * product,
        "minus": before - scale * product,
    }
    if tuple(found.shape) != tuple(before.shape):
        return "shape"
    near = (name for name, value in mistakes.items() if torch.allclose(found, value, atol=1e-5))
    return next(near, "other")


def merge_right(weight: Any, up: Any, down: Any, scale: float) -> Any:
    return weight + scale * (up @ down).view_as(weight)


def merge_without_scale(weight: Any, up: Any, down: Any, scale: float) -> Any:
    return weight + (up @ down).view_as(weight)


def merge_without_weight(weight: Any, up: Any, down: Any, scale: float) -> Any:
    return scale * (up @ down).view_as(weight)


def merge_without_shape(weight: Any, up: Any, down: Any, scale: float) -> Any:
    return weight + scale * (up @ down)


def merge_in_place(weight: Any, up: Any, down: Any, scale: float) -> Any:
    weight += scale * (up @ down).view_as(weight)
    return weight


def merge_silently(weight: Any, up: Any, down: Any, scale: float) -> None:
    merge_right(weight, up, down, scale)


@cache
def a_network(kind: str) -> Any:
    """The course's network at 96 pixels that says what was added to it; or "head only"."""
    from tlcourse.networks.load import load_backbone
    from tlcourse.networks.network import Network

    network = Network(load_backbone(pretrained=False).at_size(96), 10)
    if kind == "head only":
        network.freeze_body()
    else:
        network.added = SimpleNamespace(kind=kind)
    return network


def fits(answer: Any) -> str:
    """What a network's training step takes: "right", or why not."""
    from tlcourse.networks.account import training_account
    from tlcourse.networks.network import Network

    if not isinstance(answer, Network):
        raise TypeError("not a network")
    moves = sum(p.numel() for p in answer.body.parameters() if p.requires_grad)
    if not moves:
        return "head only"
    size = answer.backbone.preprocess.size
    if size != 96:
        return "size"
    if answer.added is None or answer.added.kind != "lora":
        return "no lora"
    mode = answer.training
    used = training_account(answer.train(), (3, size, size), 16).bytes.total / 2**20
    answer.train(mode)
    return "right" if used <= ROOM else "too much"


def a_small_net() -> tuple[Any, dict[str, Any]]:
    """Return a network after some training, and its tensors from before."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        with torch.no_grad():
            for name in ("1.running_mean", "1.bias", "3.weight"):
                net.state_dict()[name].add_(1e-4)  # too little for a comparison with a tolerance
    return net, before


MOVED = {"1.running_mean", "1.bias", "3.weight"}


def changed(answer: Any) -> str:
    """What the learner's function finds in a small network: "right", or which mistake."""
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    net, before = a_small_net()
    found = answer(net, before)
    if found is None:
        return "nothing"
    if not isinstance(found, dict):
        return "no dictionary"
    names = set(found)
    if names == MOVED - {"1.running_mean"}:
        return "no statistics"
    if names == set(before):
        return "everything"
    if names == set(before) - MOVED:
        return "the others"
    if names != MOVED:
        return "other"
    now = net.state_dict()
    new = all(torch.equal(found[name], now[name]) for name in names)
    return "right" if new else "old values"


def changes(net: Any, before: Any) -> dict[str, Any]:
    import torch

    return {n: t for n, t in net.state_dict().items() if not torch.equal(t, before[n])}


def changes_of_parameters(net: Any, before: Any) -> dict[str, Any]:
    import torch

    return {n: p.data for n, p in net.named_parameters() if not torch.equal(p, before[n])}


def all_of_it(net: Any, before: Any) -> dict[str, Any]:
    return dict(net.state_dict())


def what_stayed(net: Any, before: Any) -> dict[str, Any]:
    return {name: tensor for name, tensor in net.state_dict().items() if name not in MOVED}


def values_from_before(net: Any, before: Any) -> dict[str, Any]:
    return {name: before[name] for name in changes(net, before)}


def names_only(net: Any, before: Any) -> list[str]:
    return list(changes(net, before))


def changes_silently(net: Any, before: Any) -> None:
    changes(net, before)
