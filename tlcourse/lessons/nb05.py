"""Exercises of notebook 05: rates by layer, stored outputs, parameter groups, intervals."""

from functools import cache
from typing import Any

from tlcourse._exercise import Exercise, Misconception, close, number

_RATE = 0.001


@cache
def _interval(n_right: int, n: int = 153) -> tuple[float, float]:
    from tlcourse._metrics import wilson_interval

    return wilson_interval(n_right, n)


def _both(answer: Any, first: float, second: float) -> bool:
    if len(answer) != 2:
        raise TypeError("not two numbers")
    return close(answer[0], first, absolute=0.002) and close(answer[1], second, absolute=0.002)


def _net() -> Any:
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
            self.header = nn.Linear(4, 4)  # not the head, although its name begins alike
            self.head = nn.Linear(4, 2)

    return Net()


def _looked_at(answer: Any) -> str:
    """What the learner's function makes of a small network: "right", or which mistake."""
    if not callable(answer):
        raise TypeError("not a function")
    net = _net()
    found = answer(net, _RATE)
    if found is None:
        return "nothing"
    sets = [{id(p) for p in group["params"]} for group in found]
    rates = [group["lr"] for group in found]
    head = {id(p) for p in net.head.parameters()}
    body = {id(p) for p in net.parameters()} - head
    if len(sets) != 2:
        return "other"
    if sets == [body, head]:
        return "order"
    if sets[0] == head and sets[1] == head | body:
        return "twice"
    if sets[0] != head or sets[1] != body:
        return "missing"
    if close(rates[0], _RATE) and close(rates[1], _RATE / 10):
        return "right"
    if close(rates[0], _RATE) and close(rates[1], _RATE):
        return "same rate"
    return "rates"


def _groups(net: Any, rate: float, body_rate: float | None = None) -> list[dict[str, Any]]:
    head = [p for name, p in net.named_parameters() if name.startswith("head.")]
    body = [p for name, p in net.named_parameters() if not name.startswith("head.")]
    return [
        {"params": head, "lr": rate},
        {"params": body, "lr": rate / 10 if body_rate is None else body_rate},
    ]


def _says_nothing(net: Any, rate: float) -> None:
    _groups(net, rate)


def _swapped(net: Any, rate: float) -> list[dict[str, Any]]:
    return _groups(net, rate)[::-1]


def _all_twice(net: Any, rate: float) -> list[dict[str, Any]]:
    head = _groups(net, rate)[0]
    return [head, {"params": list(net.parameters()), "lr": rate / 10}]


def _body_only_of_a_name(net: Any, rate: float) -> list[dict[str, Any]]:
    return [
        {"params": list(net.head.parameters()), "lr": rate},
        {"params": list(net.body.parameters()), "lr": rate / 10},
    ]


def _wrong_rates(net: Any, rate: float) -> list[dict[str, Any]]:
    return _groups(net, rate / 10, rate)


def _one_rate(net: Any, rate: float) -> list[dict[str, Any]]:
    return _groups(net, rate, rate)


EXERCISES = (
    Exercise(
        id="05.1",
        question="Which rate does stage4 get with a factor of one half per stage?",
        right=lambda a: close(a, 1.25e-5, rel=0.02),
        praise="Eight times less than stage7, and eighty times less than the head.",
        misconceptions=(
            Misconception(
                "tenth forgotten",
                lambda a: close(a, 1.25e-4, rel=0.02),
                "The steps are right. But the deepest stage gets only a tenth of the head's rate.",
                1.25e-4,
            ),
            Misconception(
                "one step too many",
                lambda a: close(a, 6.25e-6, rel=0.02),
                "One step too many: stage7 itself gets the tenth, without a half.",
                6.25e-6,
            ),
            Misconception(
                "one step too few",
                lambda a: close(a, 2.5e-5, rel=0.02),
                "That is stage5. One more step.",
                2.5e-5,
            ),
            Misconception(
                "larger towards the input",
                lambda a: close(a, 8e-4, rel=0.02),
                "You doubled the rate at each step. Towards the input it becomes smaller.",
                8e-4,
            ),
        ),
        hints=(
            "Begin at stage7: a tenth of 0.001.",
            "stage6, stage5, stage4: each has half of the one before.",
        ),
        otherwise="Write down the rates of stage7, stage6, stage5 and stage4, one by one.",
        expects="a number",
    ),
    Exercise(
        id="05.2",
        question="How many seconds do 20 epochs take with the frozen part's output stored?",
        right=lambda a: close(a, 206, rel=0.01),
        praise="The frozen part costs almost nothing, because it runs once.",
        misconceptions=(
            Misconception(
                "not stored",
                lambda a: close(a, 320, rel=0.01),
                "That is without storing: both parts in every epoch.",
                320,
            ),
            Misconception(
                "frozen part forgotten",
                lambda a: close(a, 200, rel=0.01),
                "The frozen part has to run once, too.",
                200,
            ),
            Misconception(
                "one epoch",
                lambda a: close(a, 16, rel=0.01),
                "That is a single epoch.",
                16,
            ),
            Misconception(
                "milliseconds",
                lambda a: close(a, 206_000, rel=0.01),
                "Right, in milliseconds.",
                206_000,
            ),
        ),
        hints=(
            "What runs once? What runs 20 times?",
            "Once: 1000 pictures times 6 ms.",
        ),
        otherwise="Add the frozen part once and the rest 20 times, for 1000 pictures.",
        expects="a number of seconds",
    ),
    Exercise(
        id="05.3",
        question="Write two parameter groups: the head, and the rest with a tenth of its rate.",
        right=lambda a: _looked_at(a) == "right",
        praise="Each parameter is in exactly one group.",
        misconceptions=(
            Misconception(
                "returns nothing",
                lambda a: _looked_at(a) == "nothing",
                "Your function returns nothing. Does it end with `return`?",
                lambda: _says_nothing,
            ),
            Misconception(
                "order",
                lambda a: _looked_at(a) == "order",
                "The groups are right, but the head comes first.",
                lambda: _swapped,
            ),
            Misconception(
                "twice",
                lambda a: _looked_at(a) == "twice",
                "The head's parameters are in both groups. PyTorch refuses that.",
                lambda: _all_twice,
            ),
            Misconception(
                "missing",
                lambda a: _looked_at(a) == "missing",
                "Some parameters are in the wrong group, or in none: those would never learn. The "
                "test network also has a layer called `header`.",
                lambda: _body_only_of_a_name,
            ),
            Misconception(
                "rates",
                lambda a: _looked_at(a) == "rates",
                "The groups are right. Look at the two rates again.",
                lambda: _wrong_rates,
            ),
            Misconception(
                "same rate",
                lambda a: _looked_at(a) == "same rate",
                "Both groups have the same rate. The body gets a tenth.",
                lambda: _one_rate,
            ),
        ),
        hints=(
            "`net.named_parameters()` gives each parameter with its name.",
            'The names of the head\'s parameters begin with `"head."`.',
            "Everything that does not begin so belongs to the second group.",
        ),
        otherwise="Two dictionaries, each with the keys `params` and `lr`.",
        expects="a function of net and rate that returns a list of two dictionaries",
    ),
    Exercise(
        id="05.4",
        question="Where do the 95 % intervals of 148 and of 145 right out of 153 begin and end?",
        right=lambda a: _both(a, _interval(148)[0], _interval(145)[1]),
        praise="They overlap widely, so these counts alone do not tell the two methods apart.",
        misconceptions=(
            Misconception(
                "order",
                lambda a: _both(a, _interval(145)[1], _interval(148)[0]),
                "The right numbers in the wrong order: first the better one's lower end.",
                lambda: (_interval(145)[1], _interval(148)[0]),
            ),
            Misconception(
                "the better one's interval",
                lambda a: _both(a, *_interval(148)),
                "Those are both ends of the better one's interval. Take one end of each.",
                lambda: _interval(148),
            ),
            Misconception(
                "the worse one's interval",
                lambda a: _both(a, *_interval(145)),
                "Those are both ends of the worse one's interval. Take one end of each.",
                lambda: _interval(145),
            ),
            Misconception(
                "the far ends",
                lambda a: _both(a, _interval(148)[1], _interval(145)[0]),
                "Those are the far ends. The ends that face each other decide whether they overlap.",
                lambda: (_interval(148)[1], _interval(145)[0]),
            ),
            Misconception(
                "per cent",
                lambda a: all(1 < number(part) <= 100 for part in a),
                "Give them as numbers from 0 to 1.",
                (92.6, 97.3),
            ),
        ),
        hints=(
            "`binomtest(148, 153)` holds what you need for the better one.",
            '`.proportion_ci(method="wilson")` gives `low` and `high`.',
            "Do it for both, then `answer = (better.low, worse.high)`.",
        ),
        otherwise="The lower end for 148 of 153 first, then the upper end for 145 of 153.",
        expects="a tuple of two numbers from 0 to 1",
    ),
)
