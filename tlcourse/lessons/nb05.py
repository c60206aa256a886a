"""Notebook 05: rates by layer, stored outputs, parameter groups, intervals, weights as a start."""

from collections import OrderedDict
from functools import cache
from typing import Any

from tlcourse._exercise import Exercise, Misconception, close, number, same_set
from tlcourse._prediction import Prediction

_RATE = 0.02  # of no example in the text

PREDICTIONS = (
    Prediction(
        id="05.A",
        question="Does fine-tuning get more of the test digits right than the frozen body?",
        options=("more", "fewer", "cannot be told apart"),
        figure="Figure 5",
        look="Compare the two counts above the figure, of digits that only one of the two gets right.",
    ),
    Prediction(
        id="05.B",
        question="How good is the network that is trained with a rate thirty times as high?",
        options=("about as good", "worse, but better than guessing", "no better than guessing"),
        figure="Table 2",
        look="Look at the best number of the column `val_accuracy`; one digit in ten is guessing. "
        "The counts above this answer compare it with section 2, picture by picture.",
    ),
    Prediction(
        id="05.C",
        question="How long is the change of the weights, in the stage that moves most?",
        options=("as long", "a tenth", "a hundredth", "a thousandth"),
        figure="Figure 3",
        look="Look at the highest point of the line of the low rate.",
    ),
)


@cache
def _interval(n_right: int, n: int = 153) -> tuple[float, float]:
    from tlcourse._metrics import wilson_interval

    return wilson_interval(n_right, n)


def _both(answer: Any, first: float, second: float) -> bool:
    if len(answer) != 2:
        raise TypeError("not two numbers")
    return close(answer[0], first, absolute=0.002) and close(answer[1], second, absolute=0.002)


def _rounded(answer: Any) -> tuple[float, ...]:
    """Return the numbers, if they have no more than two digits."""
    return tuple(number(part) for part in answer if round(number(part), 2) == number(part))


def _other(method: str) -> tuple[float, float]:
    """Return the same two ends of intervals of another kind."""
    if method == "normal":
        good, bad = 148 / 153, 145 / 153
        spread = [1.96 * (share * (1 - share) / 153) ** 0.5 for share in (good, bad)]
        return good - spread[0], bad + spread[1]
    from scipy.stats import binomtest

    better, worse = (binomtest(n, 153).proportion_ci(method=method) for n in (148, 145))
    return float(better.low), float(worse.high)


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
    try:
        found = answer(net, _RATE)
    except RuntimeError as error:  # `p in parameters` compares values, also of other shapes
        if "size of tensor" in str(error) or "value of Tensor" in str(error):
            return "by value"
        raise
    if found is None:
        return "nothing"
    from torch import nn

    groups = [group["params"] for group in found]
    groups = [[part] if isinstance(part, nn.Module) else list(part) for part in groups]
    if not all(isinstance(part, nn.Parameter) for group in groups for part in group):
        return "no parameters"
    sets = [{id(p) for p in group} for group in groups]
    rates = [group["lr"] for group in found]
    head = {id(p) for p in net.head.parameters()}
    body = {id(p) for p in net.parameters()} - head
    if len(sets) != 2:
        return "other"
    if sets[0] & sets[1]:
        return "twice"
    if sets == [body, head]:
        return "order"
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


def _all_twice_and_swapped(net: Any, rate: float) -> list[dict[str, Any]]:
    return _all_twice(net, rate)[::-1]


def _by_value(net: Any, rate: float) -> list[dict[str, Any]]:
    head = list(net.head.parameters())
    return [
        {"params": head, "lr": rate},
        {"params": [p for p in net.parameters() if p not in head], "lr": rate / 10},
    ]


def _body_only_of_a_name(net: Any, rate: float) -> list[dict[str, Any]]:
    return [
        {"params": list(net.head.parameters()), "lr": rate},
        {"params": list(net.body.parameters()), "lr": rate / 10},
    ]


def _names_only(net: Any, rate: float) -> list[dict[str, Any]]:
    return [{"params": net.head, "lr": rate}, {"params": ["body.0.weight"], "lr": rate / 10}]


def _wrong_rates(net: Any, rate: float) -> list[dict[str, Any]]:
    return _groups(net, rate / 10, rate)


def _one_rate(net: Any, rate: float) -> list[dict[str, Any]]:
    return _groups(net, rate, rate)


def _two_networks() -> tuple[Any, Any]:
    """Return a network to start, and one whose weights fit in part: new head, one layer renamed."""
    import torch
    from torch import nn

    def make(n_classes: int, extra: str) -> Any:
        layers = {"conv": nn.Conv2d(3, 4, 3), "bn": nn.BatchNorm2d(4), extra: nn.Linear(4, 4)}
        return nn.Sequential(OrderedDict(**layers, head=nn.Linear(4, n_classes)))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net, source = make(2, "added"), make(9, "left_out")
        source.bn.running_mean += 3
        return net, source


def _started(answer: Any) -> str:
    """What the learner's function does to a small network: "right", or which mistake."""
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    net, source = _two_networks()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    weights = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    try:
        found = answer(net, weights)
    except RuntimeError as error:
        if "size mismatch" in str(error) or "size of tensor" in str(error):
            return "another shape"
        raise
    after = net.state_dict()
    fits = {n for n, t in before.items() if n in weights and t.shape == weights[n].shape}
    copied = {n for n in fits if torch.equal(after[n], weights[n])}
    others = set(before) - fits
    if any(not torch.equal(after[n], before[n]) for n in others):
        return "changed"
    if {"conv.weight", "bn.running_mean"} & copied == set():
        return "nothing copied"
    if "bn.running_mean" not in copied:
        return "no averages"
    if copied != fits:
        return "some left out"
    if found is None:
        return "nothing"
    if same_set(found, others):
        return "right"
    if same_set(found, fits):
        return "copied ones"
    if same_set(found, others & set(weights)):
        return "shapes only"
    if same_set(found, set(weights) - fits):
        return "the other network"
    return "other"


def _start_from(net: Any, weights: Any) -> list[str]:
    own = net.state_dict()
    fits = {n: t for n, t in weights.items() if n in own and t.shape == own[n].shape}
    net.load_state_dict(fits, strict=False)
    return [name for name in own if name not in fits]


def _start_silently(net: Any, weights: Any) -> None:
    _start_from(net, weights)


def _start_at_once(net: Any, weights: Any) -> list[str]:
    net.load_state_dict(weights, strict=False)
    return [name for name in net.state_dict() if name not in weights]


def _start_nothing(net: Any, weights: Any) -> list[str]:
    own = net.state_dict()
    left = [n for n in own if n not in weights or weights[n].shape != own[n].shape]
    own.update({n: t for n, t in weights.items() if n not in left})
    return left


def _start_parameters(net: Any, weights: Any) -> list[str]:
    own = dict(net.named_parameters())
    fits = [n for n in own if n in weights and own[n].shape == weights[n].shape]
    for name in fits:
        own[name].data.copy_(weights[name])
    return [name for name in own if name not in fits]


def _start_copied(net: Any, weights: Any) -> list[str]:
    left = _start_from(net, weights)
    return [name for name in net.state_dict() if name not in left]


def _start_other(net: Any, weights: Any) -> list[str]:
    own = net.state_dict()
    left = _start_from(net, weights)
    return [name for name in weights if name in left or name not in own]


def _start_shapes(net: Any, weights: Any) -> list[str]:
    return [name for name in _start_from(net, weights) if name in weights]


EXERCISES = (
    Exercise(
        id="05.1",
        question="Which rate does stage4 get with a factor of one half per stage?",
        right=lambda a: close(a, 1.25e-5, rel=0.05),  # two digits are enough
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
                "stage6",
                lambda a: close(a, 5e-5, rel=0.01),
                "That is stage6. Two more steps.",
                5e-5,
            ),
            Misconception(
                "stage7",
                lambda a: close(a, 1e-4, rel=0.02),
                "That is stage7, the deepest stage. Go three steps towards the input.",
                1e-4,
            ),
            Misconception(
                "the factor of section 5",
                lambda a: close(a, 1e-4 * 0.8**3, rel=0.01),
                "0.8 is the factor of section 5. Here each stage gets *half*.",
                5.12e-5,
            ),
            Misconception(
                "a tenth each time",
                lambda a: close(a, 1e-7, rel=0.02),
                "Only stage7 gets a tenth. From there on each stage gets half.",
                1e-7,
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
            "`0.0001`, then three times `/ 2`.",
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
                "one picture",
                lambda a: close(a, 0.206, rel=0.01),
                "That is for one picture. There are 1,000.",
                0.206,
            ),
            Misconception(
                "minutes",
                lambda a: close(a, 206 / 60, rel=0.02),
                "That is right in minutes. How many seconds is that?",
                3.43,
            ),
            Misconception(
                "the other part stored",
                lambda a: close(a, 130, rel=0.01),
                "You ran the frozen part 20 times and the rest once. It is the other way round.",
                130,
            ),
            Misconception(
                "the gain",
                lambda a: close(a, 114, rel=0.01),
                "That is how much time storing saves. How much is left?",
                114,
            ),
            Misconception(
                "milliseconds",
                lambda a: close(a, 206_000, rel=0.01),
                "That is right in milliseconds.",
                206_000,
            ),
        ),
        hints=(
            "What runs once? What runs 20 times?",
            "Once: 1000 pictures times 6 ms. 1 ms is 0.001 s.",
            "Then 20 times: 1000 pictures times 10 ms. Add the two.",
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
                "At least one parameter is in both groups. PyTorch refuses that: each belongs to one.",
                lambda: _all_twice_and_swapped,
            ),
            Misconception(
                "by value",
                lambda a: _looked_at(a) == "by value",
                "`in` and `==` compare tensors by their values, and that fails if the shapes differ. "
                "Compare names, or `id(p)`.",
                lambda: _by_value,
            ),
            Misconception(
                "no parameters",
                lambda a: _looked_at(a) == "no parameters",
                "A group holds parameters: not layers, not names, and not pairs of both.",
                lambda: _names_only,
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
                lambda a: (
                    _both(a, _interval(148)[1], _interval(145)[0])
                    or _both(a, _interval(145)[0], _interval(148)[1])
                ),
                "Those are the far ends. The ends that face each other decide whether they overlap.",
                lambda: (_interval(148)[1], _interval(145)[0]),
            ),
            Misconception(
                "two digits",
                lambda a: _rounded(a) == (0.93, 0.97),
                "As far as two digits tell, that is right. Give the numbers without rounding.",
                (0.93, 0.97),
            ),
            Misconception(
                "exact",
                lambda a: _both(a, *_other("exact")),
                "Those are exact intervals, which `proportion_ci()` gives if you do not name a "
                "method. Ask for Wilson's.",
                lambda: _other("exact"),
            ),
            Misconception(
                "plus and minus",
                lambda a: _both(a, *_other("normal")),
                "Those are the simple intervals, accuracy plus and minus 1.96 standard errors. Near "
                "1 they go wrong. Take Wilson's.",
                lambda: _other("normal"),
            ),
            Misconception(
                "the accuracies",
                lambda a: _both(a, 148 / 153, 145 / 153) or _both(a, 145 / 153, 148 / 153),
                "Those are the accuracies. Where do their intervals begin and end?",
                (148 / 153, 145 / 153),
            ),
            Misconception(
                "both intervals",
                lambda a: len(a) == 2 and all(len(part) == 2 for part in a),
                "Those are four numbers, both ends of both. Take one end of each.",
                lambda: (_interval(148), _interval(145)),
            ),
            Misconception(
                "one number",
                lambda a: number(a) < 1,
                "Two numbers, please, as a tuple: `answer = (lower, upper)`.",
                0.926,
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
    Exercise(
        id="05.5",
        question="Write a function that starts a network from those weights that fit.",
        right=lambda a: _started(a) == "right",
        praise="So weights can be given to a network that is not quite the same, and you know which "
        "tensors still start from random numbers.",
        misconceptions=(
            Misconception(
                "copied, but returns nothing",
                lambda a: _started(a) == "nothing",
                "The right tensors were copied. But your function returns nothing.",
                lambda: _start_silently,
            ),
            Misconception(
                "another shape",
                lambda a: _started(a) == "another shape",
                "`strict=False` forgives missing names, but not other shapes. Leave out what has "
                "another shape before you load.",
                lambda: _start_at_once,
            ),
            Misconception(
                "nothing copied",
                lambda a: _started(a) == "nothing copied",
                "The network is what it was. A changed dictionary does not change the network: load "
                "it with `net.load_state_dict(...)`.",
                lambda: _start_nothing,
            ),
            Misconception(
                "no averages",
                lambda a: _started(a) == "no averages",
                "BatchNorm's stored averages were not copied. They are in `net.state_dict()`, but "
                "not among the parameters.",
                lambda: _start_parameters,
            ),
            Misconception(
                "copied ones",
                lambda a: _started(a) == "copied ones",
                "The right tensors were copied. But you return their names: which ones got nothing?",
                lambda: _start_copied,
            ),
            Misconception(
                "the other network",
                lambda a: _started(a) == "the other network",
                "Those are tensors of `weights` that found no place. Which tensors of `net` got "
                "nothing?",
                lambda: _start_other,
            ),
            Misconception(
                "shapes only",
                lambda a: _started(a) == "shapes only",
                "The right tensors were copied. But your list misses tensors of `net` whose name is "
                "not in `weights`.",
                lambda: _start_shapes,
            ),
        ),
        hints=(
            "`own = net.state_dict()` and `weights` are dictionaries: name to tensor.",
            "Make a third one of what fits: `name in own and tensor.shape == own[name].shape`.",
            "`net.load_state_dict(fits, strict=False)` loads it. Return the names of `own` that are "
            "not in `fits`.",
        ),
        otherwise="Copy where name and shape are the same. Return a list of the other names of `net`.",
        expects="a function of net and weights that returns a list of names",
    ),
)
