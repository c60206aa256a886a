"""Questions of notebook 07: bytes of learning, scaling, the largest batch, time, what may move."""

from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from tlcourse._exercise import Exercise, Misconception, close, number
from tlcourse._prediction import Prediction


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


def _in_mib(net: Any) -> float:
    return _learning_bytes(net) / 2**20


def _in_millions(net: Any) -> float:
    return _learning_bytes(net) / 1e6


def _buffers_too(net: Any) -> int:
    return _learning_bytes(net) + 3 * sum(b.nbytes for b in net.buffers())


def _all_stored(net: Any) -> int:
    return 3 * sum(t.nbytes for t in net.state_dict().values())


def _says_nothing(net: Any) -> None:
    _learning_bytes(net)


def _same_as(function: Callable[[Any], int | None]) -> Callable[[Any], bool]:
    """Whether the learner's function gives what another one gives for a small network."""

    def matches(answer: Any) -> bool:
        if not callable(answer):
            raise TypeError("not a function")
        with redirect_stdout(StringIO()):  # it is called several times
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
                "12 million bytes are the parameters alone: what else is there for each of them when "
                "it learns? (Or did you count 12 million *numbers*? Each has 4 bytes.)",
                12,
            ),
            Misconception(
                "no state",
                lambda a: close(a, 24, rel=0.02),
                "That is two numbers for each parameter. There are four: itself, its gradient, and "
                "AdamW's two.",
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
            Misconception(
                "in MiB",
                lambda a: close(a, 48e6 / 2**20, rel=0.01),
                "Right in MiB, which are a little larger. The question asks for million bytes: "
                "1 000 000 each.",
                45.8,
            ),
            Misconception(
                "in GB",
                lambda a: close(a, 0.048, rel=0.05),
                "Right in thousand million bytes. The question asks for million bytes.",
                0.048,
            ),
            Misconception(
                "in bits",
                lambda a: close(a, 384, rel=0.02),
                "You multiplied by 32: these are bits. 8 bits are a byte.",
                384,
            ),
            Misconception(
                "one parameter",
                lambda a: close(a, 16, rel=0.02),
                "That is the number of bytes for one parameter. The network has 3 million of them.",
                16,
            ),
            Misconception(
                "eight bytes",
                lambda a: close(a, 96, rel=0.02),
                "That is twice too much. Are there 8 bytes in a 32-bit number?",
                96,
            ),
            Misconception(
                "one too many",
                lambda a: close(a, 60, rel=0.02),
                "Five numbers for each parameter. AdamW keeps two, the gradient is one, the "
                "parameter itself is one.",
                60,
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
        question="How many times as large are the activations at 3 times the side, half the batch?",
        right=lambda a: close(a, 4.5, rel=0.02),
        praise="Nine times for the area, a half for the batch. A smaller batch did not make up "
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
                lambda a: close(a, 1.5, rel=0.02),
                "The batch is right. But a picture has two sides, and both grew.",
                1.5,
            ),
            Misconception(
                "side only",
                lambda a: close(a, 3, rel=0.02),
                "That is how many times as long one side is. Count all pixels, and all pictures.",
                3,
            ),
            Misconception(
                "batch multiplied",
                lambda a: close(a, 18, rel=0.02),
                "The pictures are right. Does a smaller batch need more, or less?",
                18,
            ),
            Misconception(
                "batch only",
                lambda a: close(a, 1 / 2, rel=0.02),
                "That is what the batch does. What does the size of the pictures do?",
                1 / 2,
            ),
            Misconception(
                "colours counted",
                lambda a: close(a, 13.5, rel=0.02) or close(a, 27, rel=0.02),
                "Three colours there were before, too. What is different are the two sides and the "
                "number of pictures.",
                13.5,
            ),
            Misconception(
                "upside down",
                lambda a: close(a, 1 / 4.5, rel=0.02),
                "That is before divided by after. The question asks for after divided by before.",
                1 / 4.5,
            ),
            Misconception(
                "percent",
                lambda a: close(a, 450, rel=0.02) or close(a, 350, rel=0.02),
                "That is a percentage. Answer how many *times* as large: 2 means twice.",
                450,
            ),
        ),
        hints=(
            "How many times as many pixels has one picture? How many times as many pictures are "
            "there?",
            "A picture has 3 times the width and 3 times the height.",
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
            Misconception(
                "not divided",
                lambda a: number(a) in (7140, 7200, 7940),
                "That is what is left, in MiB. How many pictures is it enough for?",
                7140,
            ),
            Misconception(
                "fixed part for each picture",
                lambda a: 85 <= number(a) <= 86 or 94 <= number(a) <= 96,
                "You counted the parameters and what belongs to them again for each picture. They "
                "are there once.",
                85,
            ),
            Misconception(
                "power of two",
                lambda a: number(a) == 256,
                "It fits, and many people take powers of two. But it is not the largest one.",
                256,
            ),
            Misconception(
                "one less",
                lambda a: number(a) == 296,
                "It fits, but one more fits, too.",
                296,
            ),
        ),
        hints=(
            "Which memory is left for pictures, once everything else has its place?",
            "Two things are subtracted, once each: what you keep free, and the 60 MiB.",
            "(8000 - 800 - <fixed part>) / 24, rounded down to a whole number.",
        ),
        otherwise="Subtract what does not depend on the batch; divide the rest by one picture's "
        "share; round down.",
        expects="a whole number of pictures",
    ),
    Exercise(
        id="07.4",
        question="How many times as long does fine-tuning take as training on stored features?",
        right=lambda a: close(a, 36, rel=0.02),
        praise="Six minutes against ten seconds. Storing took 4 of the ten, but it is done once, "
        "however often you train the head afterwards.",
        misconceptions=(
            Misconception(
                "storing forgotten",
                lambda a: close(a, 60, rel=0.02),
                "That is the ratio of the steps. The features must be computed once before.",
                60,
            ),
            Misconception(
                "storing in each epoch",
                lambda a: close(a, 12 / 4.2, rel=0.03),
                "You counted the storing once for each epoch (or only one epoch of each). It is "
                "done once for all 30 epochs.",
                12 / 4.2,
            ),
            Misconception(
                "not stored",
                lambda a: close(a, 3, rel=0.02),
                "You compared with a frozen body that runs in each step. With stored features it "
                "does not run any more.",
                3,
            ),
            Misconception(
                "frozen against stored",
                lambda a: close(a, 12, rel=0.02),
                "That compares the frozen body with the stored features. The question begins with "
                "everything moving.",
                12,
            ),
            Misconception(
                "one side of it",
                lambda a: any(close(a, n, rel=0.005) for n in (360, 10, 120, 6)),
                "These are the seconds of one way, or a part of them. Divide those of the one by "
                "those of the other.",
                360,
            ),
            Misconception(
                "difference",
                lambda a: close(a, 350, rel=0.005) or close(a, 354, rel=0.005),
                "That is how many seconds are saved. The question asks how many *times* as long.",
                350,
            ),
            Misconception(
                "epochs without steps",
                lambda a: close(a, 18 / 4.3, rel=0.02),
                "You counted one step for each epoch. How many steps are 320 pictures, 16 at once?",
                18 / 4.3,
            ),
            Misconception(
                "a step for each picture",
                lambda a: close(a, 5760 / 100, rel=0.005),
                "You counted a step for each picture. One step takes 16 of them.",
                57.6,
            ),
            Misconception(
                "upside down",
                lambda a: close(a, 1 / 36, rel=0.03),
                "That is the short time divided by the long one. Turn it around.",
                1 / 36,
            ),
        ),
        hints=(
            "How many steps does each of the two make in 30 epochs?",
            "An epoch has 320 / 16 = 20 steps, so there are 600 steps.",
            "600 x 0.6 seconds, divided by (4 seconds once + 600 x <seconds of a stored step>).",
        ),
        otherwise="Add up the seconds of each of the two ways, then divide.",
        expects="a number",
    ),
    Exercise(
        id="07.5",
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
                "in larger units",
                lambda a: _same_as(_in_mib)(a) or _same_as(_in_millions)(a),
                "Right, but not in bytes. Return the bytes, without a division.",
                lambda: _in_mib,
            ),
            Misconception(
                "buffers too",
                _same_as(_buffers_too),
                "Buffers are in it, too. They are kept, but not learned: no gradient.",
                lambda: _buffers_too,
            ),
            Misconception(
                "everything that is stored",
                _same_as(_all_stored),
                "`net.state_dict()` holds buffers and frozen parameters, too. Take "
                "`net.parameters()`.",
                lambda: _all_stored,
            ),
            Misconception(
                "a number",
                lambda a: number(a) >= 0,
                "That is a number of one network. Give the function itself: write its name without "
                "brackets after it.",
                10_140_000,
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
            "Add up `p.nbytes` of these. How many numbers does learning add to each parameter?",
            "`return <how many> * sum(p.nbytes for p in net.parameters() if p.requires_grad)`",
        ),
        otherwise="Sum the bytes of the parameters that may move, and multiply by what there is for "
        "each of them: a gradient and two averages.",
        expects="a function of net that returns a number of bytes",
    ),
)

PREDICTIONS = (
    Prediction(
        id="07.A",
        question="How many times as many seconds does a step take if everything moves?",
        unit="times",
        within=2,
        figure="Table 1",
        look="The ratios of the single turns say how sure this is.",
    ),
    Prediction(
        id="07.B",
        question="How many times as many bytes does it take at its peak?",
        unit="times",
        within=1.5,
        figure="Figure 1",
        look="Compare the whole length of the first bar with that of the third one.",
    ),
    Prediction(
        id="07.C",
        question="If only the head moves, what takes the most memory?",
        options=("parameters", "optimiser state", "activations", "working memory"),
        figure="Figure 1",
        look="Look for the longest part of the third bar.",
    ),
    Prediction(
        id="07.D",
        question="Which of the two makes more operations: twice the layers, or twice the channels?",
        options=("twice the layers", "both the same", "twice the channels"),
        figure="Figures 4 and 5",
        look="In each of them, look at the line of the operations: how far does its first step to the "
        "right go up?",
    ),
)
