"""Exercises of notebook 02: cats, a baseline, a mended loader, sure and wrong."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tlcourse._exercise import Exercise, Misconception, close, number, same_set

ANT, BEE = 310, 309  # their places among the 1000 ImageNet classes
_CATS = ("tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat")
_BIG_CATS = {"cougar", "lynx", "leopard", "snow leopard", "jaguar", "lion", "tiger", "cheetah"}


@cache
def _accuracy(split: str, *, all_classes: bool = False) -> float:
    """Accuracy on a split of ants and bees, by two scores or by all 1000."""
    from tlcourse.features import load_features

    shipped = load_features()
    of = shipped.split == split
    is_bee = shipped.y[of] == 1
    if all_classes:
        best = shipped.logits[of].argmax(axis=1)
        return float((best == np.where(is_bee, BEE, ANT)).mean())
    return float(((shipped.logits[of, BEE] > shipped.logits[of, ANT]) == is_bee).mean())


@cache
def _sure_of_something_else(*, val_only: bool = True, any_class: bool = False) -> int:
    from tlcourse.features import load_features

    shipped = load_features()
    of = shipped.split == "val" if val_only else np.ones(len(shipped.y), bool)
    scores = np.exp(shipped.logits[of] - shipped.logits[of].max(axis=1, keepdims=True))
    p = scores / scores.sum(axis=1, keepdims=True)
    best = p.argmax(axis=1)
    neither = any_class | ((best != ANT) & (best != BEE))
    return int(((p.max(axis=1) > 0.5) & neither).sum())


def _gives(answer: Any, black: float, white: float) -> bool:
    """Whether the learner's function maps 0 and 255 to these values (mean over colours)."""
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    for level, expected in ((0.0, black), (255.0, white)):
        mended = answer(torch.full((3, 224, 224), level))
        if tuple(mended.shape) != (3, 224, 224):
            return False
        if abs(float(mended.mean()) - expected) > 0.02:
            return False
    return True


def _without_return(x: Any) -> None:
    x / 255


def _returns_nothing(answer: Any) -> bool:
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    return answer(torch.zeros(3, 224, 224)) is None


def _linear(divide: float, mean: float, std: float) -> Callable[[Any], Any]:
    return lambda x: (x / divide - mean) / std


EXERCISES = (
    Exercise(
        id="02.1",
        question="Which five classes of the network mean a house cat?",
        right=lambda a: same_set(a, _CATS),
        praise="Add their probabilities, and you have a detector of cats.",
        misconceptions=(
            Misconception(
                "big cats",
                lambda a: bool({str(name).lower() for name in a} & _BIG_CATS),
                "Cats of the wild are in your list. The question asks for house cats.",
                [*_CATS, "cougar", "lynx"],
            ),
            Misconception(
                "the word cat",
                lambda a: any(str(n) in ("polecat", "Madagascar cat", "catamaran") for n in a),
                "Having `cat` in the name does not make it one. And is one of them missing that "
                "does not have the word in its name?",
                ["tiger cat", "Persian cat", "Siamese cat", "Egyptian cat", "polecat"],
            ),
            Misconception(
                "not a class",
                lambda a: any(str(n).lower() in ("cat", "house cat", "domestic cat") for n in a),
                "The network has no class of that name. Look into `backbone.classes`.",
                ["cat"],
            ),
            Misconception(
                "places",
                lambda a: {int(n) for n in a} == {281, 282, 283, 284, 285},
                "Those are the right places. Give the names.",
                [281, 282, 283, 284, 285],
            ),
            Misconception(
                "some are missing",
                lambda a: {str(n).lower() for n in a} < {n.lower() for n in _CATS},
                "All of these are right, but there are five.",
                ["tabby", "tiger cat", "Egyptian cat"],
            ),
        ),
        hints=(
            "`backbone.classes.index('tiger cat')` is the place of one of them.",
            "Print the neighbours of that place: `backbone.classes[278:290]`.",
            "Stop before the first wild one. And one house cat has no `cat` in its name.",
        ),
        otherwise="Look at the classes around `tiger cat` in `backbone.classes`.",
        expects="a list of five names",
    ),
    Exercise(
        id="02.2",
        question="What is the accuracy of the two scores on the training photographs?",
        right=lambda a: close(a, _accuracy("train"), absolute=0.002),
        praise="We fitted nothing to any of these pictures, so both splits serve equally well.",
        misconceptions=(
            Misconception(
                "validation",
                lambda a: close(a, _accuracy("val"), absolute=0.002),
                "That is the accuracy on the validation photographs.",
                lambda: _accuracy("val"),
            ),
            Misconception(
                "all 1000 classes",
                lambda a: close(a, _accuracy("train", all_classes=True), absolute=0.002),
                "That is the accuracy when all 1000 classes compete. Compare only two scores.",
                lambda: _accuracy("train", all_classes=True),
            ),
            Misconception(
                "swapped",
                lambda a: close(a, 1 - _accuracy("train"), absolute=0.002),
                "Far below one half: which label is the bee, and which score?",
                lambda: 1 - _accuracy("train"),
            ),
            Misconception(
                "per cent",
                lambda a: close(a, 100 * _accuracy("train"), absolute=0.1),
                "Right, in per cent. Give it as a number from 0 to 1.",
                lambda: 100 * _accuracy("train"),
            ),
        ),
        hints=(
            "Copy the cell that makes `val` and `says_bee`, and change one word.",
            "`shipped.split == 'train'` chooses the photographs.",
            "`(says_bee == (shipped.y[train] == 1)).mean()` is the share that is right.",
        ),
        otherwise="Do as in section 4, with `shipped.split == 'train'`.",
        expects="a number from 0 to 1",
    ),
    Exercise(
        id="02.3",
        question="Turn values from 0 to 255 into what this network expects.",
        right=lambda a: _gives(a, -1.0, 1.0),
        praise="0 becomes -1 and 255 becomes 1, as in the network's training.",
        misconceptions=(
            Misconception(
                "nothing",
                _returns_nothing,
                "Your function returns nothing. Does it end with `return`?",
                lambda: _without_return,
            ),
            Misconception(
                "only divided by 255",
                lambda a: _gives(a, 0.0, 1.0),
                "Now the values go from 0 to 1. One step is missing: print `backbone.preprocess`.",
                lambda: _linear(255, 0, 1),
            ),
            Misconception(
                "mean without std",
                lambda a: _gives(a, -0.5, 0.5),
                "The middle is right, the range is too small. What comes after the mean?",
                lambda: _linear(255, 0.5, 1),
            ),
            Misconception(
                "numbers of another network",
                lambda a: _gives(a, -1.985, 2.441),
                "Those are the mean and standard deviation of many other networks. Which does "
                "this one have?",
                lambda: _linear(255, 0.449, 0.2260),
            ),
            Misconception(
                "not divided",
                lambda a: _gives(a, -1.0, 509.0),
                "Mean and standard deviation are meant for values from 0 to 1. What comes first?",
                lambda: _linear(1, 0.5, 0.5),
            ),
        ),
        hints=(
            "Two steps: first bring the values to 0 to 1, then normalise.",
            "`backbone.preprocess` shows mean and standard deviation of this network.",
            "To normalise: subtract the mean, then divide by the standard deviation.",
        ),
        otherwise="Try your function on a tensor of zeros and one of 255. What should come out?",
        expects="a function that takes a tensor (3, 224, 224) and returns one",
    ),
    Exercise(
        id="02.4",
        question="On how many validation photographs does a class that is neither get over half?",
        right=lambda a: close(a, _sure_of_something_else(), absolute=0.5),
        praise="Few. But for these, a threshold would not have warned you.",
        misconceptions=(
            Misconception(
                "ants and bees counted too",
                lambda a: close(a, _sure_of_something_else(any_class=True), absolute=0.5),
                "That counts all sure answers. Leave out those that say ant or bee.",
                lambda: _sure_of_something_else(any_class=True),
            ),
            Misconception(
                "all photographs",
                lambda a: close(a, _sure_of_something_else(val_only=False), absolute=0.5),
                "That counts all photographs. Take only those of the validation split.",
                lambda: _sure_of_something_else(val_only=False),
            ),
            Misconception(
                "a share",
                lambda a: 0 < number(a) < 1,
                "That is a share. The question asks how many.",
                0.1,
            ),
        ),
        hints=(
            "Softmax turns each row of logits into probabilities.",
            "`p.max(dim=1)` gives the highest probability and its class, for each photograph.",
            "Combine three conditions with `&`, each in brackets, and count.",
        ),
        otherwise="Check the three conditions one by one: above 0.5, not ant, not bee.",
        expects="a whole number",
    ),
)
