"""Exercises of notebook 07: bytes of learning, scaling, the largest batch, what may move."""

from collections.abc import Callable
from typing import Any

from tlcourse._exercise import Exercise, Misconception, close


def _net() -> Any:
    from torch import nn

    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    return net


def _learning_bytes(net: Any) -> int:
    return 3 * sum(p.nbytes for p in net.parameters() if p.requires_grad)


def _all_move(net: Any) -> int:
    return 3 * sum(p.nbytes for p in net.parameters())


def _numbers(net: Any) -> int:
    return 3 * sum(p.numel() for p in net.parameters() if p.requires_grad)


def _gradients_only(net: Any) -> int:
    return sum(p.nbytes for p in net.parameters() if p.requires_grad)


def _one_average(net: Any) -> int:
    return 2 * sum(p.nbytes for p in net.parameters() if p.requires_grad)


def _and_parameters(net: Any) -> int:
    return 4 * sum(p.nbytes for p in net.parameters() if p.requires_grad)


def _says_nothing(net: Any) -> None:
    _learning_bytes(net)


def _same_as(function: Callable[[Any], int | None]) -> Callable[[Any], bool]:
    """Whether the learner's function gives what another one gives for a small network."""

    def matches(answer: Any) -> bool:
        if not callable(answer):
            raise TypeError("not a function")
        found, expected = answer(_net()), function(_net())
        return found is None if expected is None else close(found, expected, rel=1e-9)

    return matches


EXERCISES = (
    Exercise(
        id="07.1",
        question="How many million bytes do parameters, gradients and AdamW's state take?",
        right=lambda a: close(a, 48, rel=0.02),
        praise="Four numbers for each parameter, four bytes for each number. That holds whatever the batch is.",
        misconceptions=(
            Misconception(
                "parameters only",
                lambda a: close(a, 12, rel=0.02),
                "That is where the parameters themselves are. What else is there for each of them "
                "when it learns?",
                12,
            ),
            Misconception(
                "no state",
                lambda a: close(a, 24, rel=0.02),
                "Parameters and gradients are in it. AdamW keeps two more numbers for each.",
                24,
            ),
            Misconception(
                "three of four",
                lambda a: close(a, 36, rel=0.02),
                "Three numbers for each parameter. One of these is missing: the parameter, its "
                "gradient, AdamW's first average, its second one.",
                36,
            ),
            Misconception(
                "in bytes",
                lambda a: close(a, 48e6, rel=0.02),
                "Right in bytes. The question asks for million bytes.",
                48_000_000,
            ),
        ),
        hints=(
            "Count how many numbers there are for one parameter: itself, and three more.",
            "Each number has 4 bytes: 3 x 4 x <how many numbers> million bytes.",
        ),
        otherwise="Count the numbers that belong to one parameter, then multiply by their bytes.",
        expects="a number of million bytes",
    ),
    Exercise(
        id="07.2",
        question="How many times as large are the activations at 3 times the side, a third of the "
        "batch?",
        right=lambda a: close(a, 3, rel=0.02),
        praise="Nine times for the area, a third for the batch. A smaller batch did not make up "
        "for it.",
        misconceptions=(
            Misconception(
                "batch forgotten",
                lambda a: close(a, 9, rel=0.02),
                "Each picture takes nine times as much. But there are fewer pictures at once.",
                9,
            ),
            Misconception(
                "side counted once",
                lambda a: close(a, 1, rel=0.02),
                "The batch is right. But a picture has two sides, and both grew.",
                1,
            ),
            Misconception(
                "batch multiplied",
                lambda a: close(a, 27, rel=0.02),
                "The pictures are right. Does a smaller batch need more, or less?",
                27,
            ),
            Misconception(
                "batch only",
                lambda a: close(a, 1 / 3, rel=0.02),
                "That is what the batch does. What does the size of the pictures do?",
                1 / 3,
            ),
        ),
        hints=(
            "How many times as many pixels has one picture? How many times as many pictures are "
            "there?",
            "Multiply the two factors: 3 x 3 for the pixels, <factor> for the batch.",
        ),
        otherwise="Activations grow with the number of pixels of a picture, and with the batch.",
        expects="a number",
    ),
    Exercise(
        id="07.3",
        question="What is the largest batch that fits the card?",
        right=lambda a: close(a, 297, absolute=0.1),
        praise="And if that is too few, freeze more, take smaller pictures, or learn from parts of "
        "a batch one after the other, as `tl.fit` does when memory runs out.",
        misconceptions=(
            Misconception(
                "rounded up",
                lambda a: 297.1 < a < 298.1,
                "The division is right. But half a picture is none, and one more does not fit.",
                298,
            ),
            Misconception(
                "fixed part forgotten",
                lambda a: close(a, 300, absolute=0.1),
                "Parameters, gradients and the optimiser's state are there before the first "
                "picture.",
                300,
            ),
            Misconception(
                "reserve forgotten",
                lambda a: 330 <= a <= 331,
                "You used the whole card. A part was to be kept free.",
                330,
            ),
            Misconception(
                "nothing subtracted",
                lambda a: 333 <= a <= 334,
                "Two things take room before the first picture does.",
                333,
            ),
        ),
        hints=(
            "Which memory is left for pictures, once everything else has its place?",
            "(8000 - 800 - <fixed part>) / 24, rounded down to a whole number.",
        ),
        otherwise="Subtract what does not depend on the batch; divide the rest by one picture's "
        "share; round down.",
        expects="a whole number of pictures",
    ),
    Exercise(
        id="07.4",
        question="Write a function that returns the bytes of gradients and AdamW's averages.",
        right=_same_as(_learning_bytes),
        praise="It asks each parameter whether it may move. For a frozen body almost nothing is "
        "left.",
        misconceptions=(
            Misconception(
                "frozen ones counted",
                _same_as(_all_move),
                "In the network that was tried, one layer is frozen. It gets no gradient. Ask "
                "`p.requires_grad`.",
                lambda: _all_move,
            ),
            Misconception(
                "numbers instead of bytes",
                _same_as(_numbers),
                "You counted numbers. Each one has several bytes: `p.nbytes`.",
                lambda: _numbers,
            ),
            Misconception(
                "gradients only",
                _same_as(_gradients_only),
                "The gradients are right. AdamW's two averages are missing.",
                lambda: _gradients_only,
            ),
            Misconception(
                "one average",
                _same_as(_one_average),
                "Nearly. AdamW keeps two averages, one of the gradients and one of their squares.",
                lambda: _one_average,
            ),
            Misconception(
                "parameters too",
                _same_as(_and_parameters),
                "The parameters themselves are in it too. They are there without any learning.",
                lambda: _and_parameters,
            ),
            Misconception(
                "nothing returned",
                _same_as(_says_nothing),
                "Your function returned nothing. Write `return` before the result.",
                lambda: _says_nothing,
            ),
        ),
        hints=(
            "Go through `net.parameters()` and keep those with `p.requires_grad`.",
            "`return <how many> * sum(p.nbytes for p in net.parameters() if p.requires_grad)`",
        ),
        otherwise="Sum the bytes of the parameters that may move, and multiply by what there is for "
        "each of them: a gradient and two averages.",
        expects="a function of net that returns a number of bytes",
    ),
)
