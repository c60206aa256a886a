"""Notebook 04: numbers that learn, freezing, stored features, BatchNorm's averages."""

import copy
import re
from collections import OrderedDict
from typing import Any, NamedTuple

from tlcourse._exercise import Exercise, Misconception, close, number, same_set
from tlcourse._prediction import Prediction

_BATCHES = 22  # 0.9 ** 22 < 0.1 < 0.9 ** 21

PREDICTIONS = (
    Prediction(
        id="04.A",
        question="What does a body in training mode do to the accuracy?",
        options=(
            "higher",
            "about the same",
            "lower by up to 5 points",
            "lower by more than 5 points",
        ),
        figure="Figure 2",
        look="Compare the two lines: if they overlap, three trainings do not tell the two apart.",
    ),
    Prediction(
        id="04.B",
        question="At which cut is the network right on most test drawings?",
        options=("stage3", "stage5", "stage7", "embedding"),
        figure="Figure 3",
        look="Each line of counts below the figure compares the best cut with another one, picture by "
        "picture.",
    ),
    Prediction(
        id="04.C",
        question="How many times as long does an epoch take with augmentation?",
        unit="times",
        within=3,
        figure="Figure 4",
        look="Divide the last number by the second.",
    ),
)


def _tiny() -> Any:
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


class _State(NamedTuple):
    """What a network looks like after the learner's function froze it."""

    same: bool  # the function changed the network that it was given, and no copy
    learns: float  # share of the parameters with a gradient
    still: bool  # no BatchNorm average moved when pictures went through
    evaluates: bool  # all of it is in evaluation mode


def _state(answer: Any) -> _State:
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    net = _tiny()
    found = answer(net)
    if not _is_network(found):
        raise ValueError("no network was returned")
    norms = [m for m in found.modules() if getattr(m, "running_mean", None) is not None]
    before = [m.running_mean.clone() for m in norms]
    with torch.no_grad():
        found(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 3)
    learns = [p.requires_grad for p in found.parameters()]
    return _State(
        same=found is net,
        learns=sum(learns) / len(learns),
        still=all(torch.equal(old, m.running_mean) for old, m in zip(before, norms, strict=True)),
        evaluates=not any(m.training for m in found.modules()),
    )


def _freeze(net: Any) -> Any:
    return _only_gradients(net).eval()


def _only_gradients(net: Any) -> Any:
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net


def _only_mode(net: Any) -> Any:
    return net.eval()


def _neither(net: Any) -> Any:
    return net


def _a_copy(net: Any) -> Any:
    return _freeze(copy.deepcopy(net))


def _all_but_the_classifier(net: Any) -> Any:
    for name, parameter in net.named_parameters():
        if "classifier" not in name:
            parameter.requires_grad_(False)
    return net.eval()


def _still_averages(net: Any) -> Any:
    for module in net.modules():
        if hasattr(module, "momentum"):
            module.momentum = 0.0
    return _only_gradients(net)


def _without_return(net: Any) -> None:
    _freeze(net)


def _letters(answer: Any) -> Any:
    """The letters of an answer; texts such as "A, D", "AD" or "A and D" will do."""
    texts = [answer] if isinstance(answer, str) else list(answer)
    without = [re.sub(r"\b(and|or)\b", " ", text, flags=re.IGNORECASE) for text in texts]
    return [c.upper() for text in without for c in text if c.isalpha()]


def _names(answer: Any, letter: str) -> bool:
    return letter in _letters(answer)


def _called_already() -> Any:
    return _freeze(_tiny())


def _is_network(answer: Any) -> bool:
    from torch import nn

    return isinstance(answer, nn.Module)


def _returns_nothing(answer: Any) -> bool:
    if not callable(answer):
        raise TypeError("not a function")
    return answer(_tiny()) is None


EXERCISES = (
    Exercise(
        id="04.1",
        question="How many numbers does a linear head on 80 channels learn for 12 classes?",
        right=lambda a: close(a, 80 * 12 + 12, absolute=0.5),
        praise="Less than a thousand numbers, on top of frozen ones.",
        misconceptions=(
            Misconception(
                "no bias",
                lambda a: close(a, 80 * 12, absolute=0.5),
                "Nearly. Each class also has one number that is added.",
                960,
            ),
            Misconception(
                "one bias only",
                lambda a: close(a, 80 * 12 + 1, absolute=0.5),
                "Each class has its own number that is added, not one for all.",
                961,
            ),
            Misconception(
                "seven classes",
                lambda a: close(a, 80 * 7 + 7, absolute=0.5),
                "That is for the seven classes of the drawings. Here there are twelve.",
                567,
            ),
            Misconception(
                "plus",
                lambda a: close(a, 80 + 12, absolute=0.5),
                "Each class has a weight of its own for each channel, so multiply.",
                92,
            ),
            Misconception(
                "embedding",
                lambda a: close(a, 1280 * 12 + 12, absolute=0.5),
                "That is a head on the embedding. At `stage4` there are 80 channels.",
                15_372,
            ),
            Misconception(
                "positions counted",
                lambda a: number(a) in (80 * 64 * 12 + 12, 80 * 14 * 14 * 12 + 12),
                "The maps are averaged over their positions, so a channel gives one number.",
                80 * 64 * 12 + 12,
            ),
            Misconception(
                "body counted",
                lambda a: number(a) > 200_000,
                "That counts the body too. It is frozen.",
                254_956,
            ),
        ),
        hints=(
            "After averaging, how many numbers does the head get for a picture?",
            "One weight per number and class, and one more number per class: `12 * (80 + 1)`.",
        ),
        otherwise="Weights: channels times classes. Then one more number for each class.",
        expects="a whole number",
    ),
    Exercise(
        id="04.2",
        question="Write a function that freezes a whole network.",
        right=lambda a: _state(a) == _State(same=True, learns=0, still=True, evaluates=True),
        praise="No gradients, no average moves, and a picture's answer is always the same.",
        misconceptions=(
            Misconception(
                "called already",
                _is_network,
                "You gave a network. Give the function itself, without calling it: `answer = freeze`.",
                _called_already,
            ),
            Misconception(
                "returns nothing",
                lambda a: not _is_network(a) and _returns_nothing(a),
                "Your function returns nothing. End it with `return net`.",
                lambda: _without_return,
            ),
            Misconception(
                "gradients only",
                lambda a: _state(a)[:3] == (True, 0, False),
                "No gradients, good. But a BatchNorm average moved when pictures went through. (There "
                "is more than one kind of BatchNorm layer.)",
                lambda: _only_gradients,
            ),
            Misconception(
                "mode only",
                lambda a: _state(a)[:3] == (True, 1, True),
                "The averages stand still, good. But the parameters may still learn.",
                lambda: _only_mode,
            ),
            Misconception(
                "some parameters",
                lambda a: _state(a).same and 0 < _state(a).learns < 1,
                "Some parameters may still learn. Freeze all of them, whatever their names are.",
                lambda: _all_but_the_classifier,
            ),
            Misconception(
                "training mode",
                lambda a: _state(a) == (True, 0, True, False),
                "The averages stand still, but the answer for a picture still depends on its batch, or "
                "on chance. Use evaluation mode, for the whole network.",
                lambda: _still_averages,
            ),
            Misconception(
                "a copy",
                lambda a: not _state(a).same,
                "You froze a copy. The network that your function was given is as free as before.",
                lambda: _a_copy,
            ),
            Misconception(
                "neither",
                lambda a: _state(a)[:3] == (True, 1, False),
                "Parameters may still learn, and BatchNorm averages still move.",
                lambda: _neither,
            ),
        ),
        hints=(
            "Two things move: parameters by gradients, averages by training mode.",
            "`parameter.requires_grad_(False)` for each of `net.parameters()`.",
            "`net.eval()` switches to evaluation mode and returns the network.",
        ),
        otherwise="Your function has to freeze the network that it was given, and return it.",
        expects="a function that takes a network and returns it",
    ),
    Exercise(
        id="04.3",
        question="For which trainings can the head learn from stored embeddings?",
        right=lambda a: same_set(_letters(a), ["A", "D"]),
        praise="The body gives the same numbers each time; what comes behind it does not matter.",
        misconceptions=(
            Misconception(
                "dropout forgotten",
                lambda a: same_set(_letters(a), ["D"]),
                "D is right. Look at A again: where is the dropout, before or behind the features?",
                ["D"],
            ),
            Misconception(
                "random crops",
                lambda a: _names(a, "B"),
                "With random crops the picture is another one each time. Which features would you "
                "store?",
                ["A", "B", "D"],
            ),
            Misconception(
                "training mode",
                lambda a: _names(a, "C") and not _names(a, "B"),
                "In training mode BatchNorm looks at the other pictures of the batch.",
                ["A", "C", "D"],
            ),
            Misconception(
                "a moving stage",
                lambda a: _names(a, "E") and not _names(a, "B") and not _names(a, "C"),
                "If stage7 learns, what comes out behind it changes after each step.",
                ["A", "D", "E"],
            ),
            Misconception(
                "no such letter",
                lambda a: (
                    bool(set(_letters(a)) - set("ABCDE")) and not set(_letters(a)) & set("BCE")
                ),
                "One of your letters is none of the five. They go from A to E: there is no F.",
                ["A", "D", "F"],
            ),
            Misconception(
                "epochs",
                lambda a: same_set(_letters(a), ["A"]),
                "A is right. Does the body give something else in a later epoch?",
                ["A"],
            ),
        ),
        hints=(
            "Ask for each one: does the body give the same numbers for a picture every time?",
            "Crops change the picture. A moving stage changes the body.",
            "Training mode looks at the other pictures of a batch. Two letters are left.",
        ),
        otherwise="Go through the five, one by one. Does the body give the same numbers each time?",
        expects="a list of letters",
    ),
    Exercise(
        id="04.4",
        question="After how many batches has a BatchNorm's mean gone 90 % of the way?",
        right=lambda a: close(a, _BATCHES, absolute=1e-3),
        praise="An epoch of our drawings in batches of 4 has three times as many.",
        misconceptions=(
            Misconception(
                "linear",
                lambda a: close(a, 9.5, absolute=0.6),
                "It would be so if each batch moved it by the same amount. But each one moves it by "
                "a tenth of what is left.",
                9,
            ),
            Misconception(
                "half of the way",
                lambda a: close(a, 7, absolute=0.5),
                "After so many batches it has gone about half of the way.",
                7,
            ),
            Misconception(
                "one too few",
                lambda a: close(a, 21, absolute=0.01),
                "After 21 batches a little more than a tenth is still left.",
                21,
            ),
            Misconception(
                "not rounded",
                lambda a: 21.01 < number(a) < 21.99,
                "Nearly: a batch is whole, so round up.",
                21.85,
            ),
            Misconception(
                "the other way round",
                lambda a: close(a, 1, absolute=0.5),
                "That would be a momentum of 0.9. With 0.1 a batch moves the mean by a tenth of the "
                "way.",
                1,
            ),
            Misconception(
                "one too many",
                lambda a: close(a, 23, absolute=0.5),
                "That is enough, but one batch fewer is enough as well.",
                23,
            ),
            Misconception(
                "an epoch",
                lambda a: close(a, 77, absolute=0.5),
                "That is a whole epoch of our drawings. Much fewer are enough.",
                77,
            ),
            Misconception(
                "ninety-nine",
                lambda a: close(a, 44, absolute=1.5),
                "That is 99 % of the way.",
                44,
            ),
        ),
        hints=(
            "After each batch, nine tenths of the distance are left.",
            "Find the smallest n for which `0.9 ** n` is at most 0.1.",
        ),
        otherwise="Start with a distance of 1 and multiply by 0.9 until at most 0.1 is left.",
        expects="a whole number",
    ),
)
