"""What tries the answers to the exercises of notebook 02, and wrong answers to try it with."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

ANT, BEE = 310, 309  # their places among the 1000 ImageNet classes
CATS = ("tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat")
EXACT = 1e-3  # of values from -1 to 1
BIG_CATS = {"cougar", "lynx", "leopard", "snow leopard", "jaguar", "lion", "tiger", "cheetah"}


@cache
def classes() -> frozenset[str]:
    """Names of the network's classes, in small letters."""
    from torchvision.models import ResNet18_Weights

    return frozenset(name.lower() for name in ResNet18_Weights.DEFAULT.meta["categories"])


def names(answer: Any) -> set[str]:
    """The learner's names, in small letters. It raises for other things than texts."""
    if isinstance(answer, str):
        raise TypeError("one text is not a list")
    return {name.strip().lower() for name in answer}


def log_loss(temperature: float) -> float:
    """That of two scores on the held-out ants and bees."""
    from scipy.special import log_softmax

    shipped = shipped_features()
    assert shipped.logits is not None, "they are shipped with their logits"
    of = shipped.split != "train"
    two = shipped.logits[of][:, [ANT, BEE]].astype(float)
    logs = log_softmax(two / temperature, axis=1)
    return float(-logs[np.arange(len(two)), shipped.y[of]].mean())


@cache
def lowest_threshold(split: str = "train") -> float:
    """The lowest one at which at most 5 % of the answers are wrong, of all 1000 classes."""
    from tlcourse.metrics import coverage_risk

    shipped = shipped_features()
    assert shipped.logits is not None, "they are shipped with their logits"
    of = shipped.split != "train" if split == "rest" else shipped.split == split
    curve = coverage_risk(shipped.logits[of], np.where(shipped.y[of] == 1, BEE, ANT))
    return float(curve[curve.risk <= 0.05].threshold.min())


@cache
def shipped_features() -> Any:
    from tlcourse.features.features import load_features

    return load_features()


def gives(answer: Any, black: float, white: float, within: float = 0.02) -> bool:
    """Whether the learner's function maps 0 and 255 to these values (mean over colours)."""
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    for level, expected in ((0.0, black), (255.0, white)):
        fixed = answer(torch.full((3, 224, 224), level))
        if tuple(fixed.shape) != (3, 224, 224):
            return False
        if not abs(float(fixed.mean()) - expected) <= within:  # NaN is not near anything
            return False
    return True


def without_return(x: Any) -> None:
    x / 255


def by_preprocess(answer: Any) -> bool:
    """Whether the function calls `backbone.preprocess`, which is made for pictures."""
    used = {*answer.__code__.co_names}
    return "preprocess" in used and not used & {"undo", "mean", "std"}


def on_black(answer: Any) -> Any:
    import torch

    return answer(torch.zeros(3, 224, 224))


def calls_preprocess(x: Any) -> Any:
    from tlcourse.networks.load import load_backbone

    return load_backbone(device="cpu").preprocess(x)


def linear(divide: float, mean: float, std: float) -> Callable[[Any], Any]:
    return lambda x: (x / divide - mean) / std
