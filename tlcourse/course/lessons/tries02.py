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
def n_right(split: str, *, all_classes: bool = False) -> int:
    """Photographs of ants and bees that are right, by two scores or by all 1000."""
    from tlcourse.features.features import load_features

    shipped = load_features()
    assert shipped.logits is not None, "they are shipped with their logits"
    of = np.ones(len(shipped.y), bool) if split == "all" else shipped.split == split
    is_bee = shipped.y[of] == 1
    if all_classes:
        best = shipped.logits[of].argmax(axis=1)
        return int((best == np.where(is_bee, BEE, ANT)).sum())
    return int(((shipped.logits[of, BEE] > shipped.logits[of, ANT]) == is_bee).sum())


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


@cache
def sure_of_something_else(
    split: str = "val", *, any_class: bool = False, above: float = 0.5
) -> int:
    from tlcourse.features.features import load_features

    shipped = load_features()
    assert shipped.logits is not None, "they are shipped with their logits"
    of = np.ones(len(shipped.y), bool) if split == "all" else shipped.split == split
    scores = np.exp(shipped.logits[of] - shipped.logits[of].max(axis=1, keepdims=True))
    p = scores / scores.sum(axis=1, keepdims=True)
    best = p.argmax(axis=1)
    neither = any_class | ((best != ANT) & (best != BEE))
    return int(((p.max(axis=1) > above) & neither).sum())


def gives(answer: Any, black: float, white: float, within: float = 0.02) -> bool:
    """Whether the learner's function maps 0 and 255 to these values (mean over colours)."""
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    for level, expected in ((0.0, black), (255.0, white)):
        mended = answer(torch.full((3, 224, 224), level))
        if tuple(mended.shape) != (3, 224, 224):
            return False
        if not abs(float(mended.mean()) - expected) <= within:  # NaN is not near anything
            return False
    return True


def without_return(x: Any) -> None:
    x / 255


def own_statistics(answer: Any) -> bool:
    """Whether a picture of one grey gives NaN, or 0 whatever the grey."""
    import torch

    return bool(answer(torch.full((3, 224, 224), 255.0)).isnan().any()) or gives(answer, 0.0, 0.0)


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
