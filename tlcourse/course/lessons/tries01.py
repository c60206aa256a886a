"""What tries the answers to the exercises of notebook 01, and wrong answers to try it with."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from tlcourse.course.lessons.answers import share_right

if TYPE_CHECKING:
    from torch import nn

    from tlcourse.features.features import Weights

STEM = ("conv_stem.", "bn1.")


def predicted(answer: Any) -> float:
    """Share of the validation ants and bees that a learner's classes get right."""
    from tlcourse.features.features import load_features

    shipped = load_features("hymenoptera")
    return share_right(answer, shipped.y[shipped.split == "val"])


@cache
def mostly_random(layer: str, weights: "Weights") -> Any:
    """Classes that a probe at one layer predicts for the validation ants and bees."""
    from tlcourse.features.features import load_features
    from tlcourse.features.probe import fit_probe

    shipped = load_features("hymenoptera", weights=weights)
    train, val = shipped.split == "train", shipped.split == "val"
    probe = fit_probe(shipped.x[layer][train], shipped.y[train])
    return probe.logits(shipped.x[layer][val]).argmax(axis=1)


def is_network(answer: Any) -> bool:
    return hasattr(answer, "conv_stem") and hasattr(answer, "state_dict")


@cache
def colour_network() -> Any:
    from tlcourse.networks.load import load_backbone

    return load_backbone(device="cpu").model


def grey_network(change: Callable[[Any], Any]) -> Any:
    """The trained network for one channel, with changed weights of its first layer."""
    network = fresh_stem()
    network.conv_stem.weight.data.copy_(change(colour_network().conv_stem.weight.data))
    return network


def fresh_stem() -> Any:
    """The trained network for one channel, with a random first layer."""
    import timm

    network = timm.create_model("tf_efficientnet_lite0", in_chans=1).eval()
    own = "conv_stem.weight"
    network.load_state_dict(dict(colour_network().state_dict()) | {own: network.state_dict()[own]})
    return network


def stem_is(answer: Any, change: Callable[[Any], Any]) -> bool:
    """Whether a network is the trained one, but for these weights of its first layer."""
    import torch

    if not is_network(answer):
        raise TypeError("not a network")
    trained = dict(colour_network().state_dict())
    trained["conv_stem.weight"] = change(trained["conv_stem.weight"])
    found = answer.state_dict()
    return found.keys() == trained.keys() and all(
        t.shape == trained[name].shape
        and torch.allclose(t.cpu().float(), trained[name].float(), atol=1e-6)
        for name, t in found.items()
        if t.ndim > 0
    )


def a_mean(weight: Any) -> Any:
    return weight.mean(dim=1, keepdim=True)


def added(weight: Any) -> Any:
    return weight.sum(dim=1, keepdim=True)


COLOURS: tuple[Callable[[Any], Any], ...] = tuple(
    partial(lambda i, weight: weight[:, i : i + 1], i) for i in range(3)
)


class Operation:
    """What a learner's transplant did to two fresh networks.

    Attributes:
        taken: Names of the stem's tensors that are now the donor's.
        missing: Names of the stem's tensors that are not.
        beyond: Whether another part of the receiver changed.
        donor_moved: Whether the donor changed.
        shared: Whether the two networks now hold one tensor in common.
        other: Whether another network came back, and the receiver is as before.
    """

    def __init__(self, answer: Any) -> None:
        import torch

        if not callable(answer):
            raise TypeError("not a function")
        donor, receiver = small_network(1), small_network(2)
        given, before = copied(donor), copied(receiver)
        returned = answer(donor, receiver)
        after = receiver.state_dict()
        stem = [name for name in before if name.startswith(STEM)]
        stem = [name for name in stem if not name.endswith("num_batches_tracked")]
        self.taken = [name for name in stem if torch.equal(after[name], given[name])]
        self.missing = [name for name in stem if name not in self.taken]
        self.beyond = any(
            not torch.equal(after[name], tensor)
            for name, tensor in before.items()
            if not name.startswith(STEM)
        )
        self.donor_moved = any(
            not torch.equal(tensor, given[name]) for name, tensor in donor.state_dict().items()
        )
        theirs = {tensor.data_ptr() for tensor in donor.state_dict().values()}
        self.shared = any(tensor.data_ptr() in theirs for tensor in after.values())
        self.other = (
            isinstance(returned, torch.nn.Module) and returned is not receiver and not self.taken
        )

    @property
    def clean(self) -> bool:
        """Whether nothing happened that should not."""
        return not (self.beyond or self.donor_moved or self.shared or self.other)


def small_network(seed: int) -> "nn.Module":
    """A fresh network of the course's kind, whose BatchNorm has seen something."""
    import timm
    import torch

    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network: nn.Module = timm.create_model("tf_efficientnet_lite0").eval()
        with torch.no_grad():
            for tensor in network.state_dict().values():
                if tensor.ndim == 1:  # those of BatchNorm are the same in all fresh networks
                    tensor.copy_(torch.rand_like(tensor) + 0.5)
    return network


def copied(network: "nn.Module") -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def copies(*parts: str, only: Sequence[str] = ()) -> Callable[[Any, Any], None]:
    """A transplant of some parts, or of only some of their tensors."""

    def transplant(donor: Any, receiver: Any) -> None:
        for part in parts:
            given = getattr(donor, part).state_dict() if part else donor.state_dict()
            given = {name: t for name, t in given.items() if not only or name in only}
            (getattr(receiver, part) if part else receiver).load_state_dict(given, strict=False)

    return transplant


def shares_modules(donor: Any, receiver: Any) -> None:
    receiver.conv_stem, receiver.bn1 = donor.conv_stem, donor.bn1
