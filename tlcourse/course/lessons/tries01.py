"""What tries the answers to the exercises of notebook 01, and wrong answers to try it with."""

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from tlcourse.course.exercise import number

if TYPE_CHECKING:
    from torch import nn

    from tlcourse.features.features import Weights

STEM = ("conv_stem.", "bn1.")


@cache
def share_of_own_kind(
    layer: str, n: int = 1, split: str = "all", weights: "Weights" = "imagenet"
) -> float:
    """Share of the nearest neighbours of ants and bees that are of the photograph's own kind."""
    import numpy as np

    from tlcourse.features.features import load_features
    from tlcourse.features.neighbours import nearest

    shipped = load_features("hymenoptera", weights=weights)
    of = np.ones(len(shipped.y), bool) if split == "all" else shipped.split == split
    y = shipped.y[of]
    found, _ = nearest(shipped.x[layer][of], range(len(y)), n)
    return float((y[found] == y[:, None]).mean())


def two(answer: Any) -> list[float]:
    """The learner's two numbers, also where each is NumPy's or PyTorch's."""
    if isinstance(answer, dict):
        answer = answer["stage1"], answer["embedding"]
    first, second = answer.tolist() if hasattr(answer, "tolist") else answer
    return [number(first), number(second)]


def near(
    answer: Any, shallow: float, deep: float, factor: float = 1.0, within: float = 0.01
) -> bool:
    """Whether two numbers are these two shares, or `factor` times them."""
    a, b = two(answer)
    return abs(a / factor - shallow) < within and abs(b / factor - deep) < within


def shares_of(**options: Any) -> tuple[float, float]:
    return share_of_own_kind("stage1", **options), share_of_own_kind("embedding", **options)


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


def takes_two(answer: Callable[..., Any]) -> bool:
    try:
        inspect.signature(answer).bind("donor", "receiver")
    except TypeError:
        return False
    return True


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


def stem_of(network: Any) -> dict[str, Any]:
    return {name: t for name, t in network.state_dict().items() if name.startswith(STEM)}


def loads_into_the_whole(donor: Any, receiver: Any) -> None:
    receiver.load_state_dict(stem_of(donor))


def loads_long_names(donor: Any, receiver: Any) -> None:
    for part in (receiver.conv_stem, receiver.bn1):
        part.load_state_dict(stem_of(donor))


def refused(answer: Any) -> str:
    """What `load_state_dict` says to a learner's transplant, if it refuses."""
    try:
        answer(small_network(1), small_network(2))
    except RuntimeError as error:
        return str(error)
    return ""


def makes_another(donor: Any, receiver: Any) -> Any:
    import copy

    other = copy.deepcopy(receiver)
    copies("conv_stem", "bn1")(donor, other)
    return other
