"""What tries the answers to the exercises of notebook 13, and wrong answers to try it with."""

from collections.abc import Callable
from typing import Any

from tlcourse.course.exercise import number

UPRIGHT, TURNED = 0.95, 0.85  # exercise 13.1
RISK, COVERAGE = 0.05, 0.4  # exercise 13.4


def reached(answer: Any) -> str:
    """What a pair of accuracies, upright and turned digits, has reached."""
    if len(answer) != 2 or not all(0 <= number(part) <= 1 for part in answer):
        raise TypeError("not two accuracies")
    inside, outside = number(answer[0]) >= UPRIGHT - 1e-6, number(answer[1]) >= TURNED - 1e-6
    names = {(True, True): "right", (True, False): "not turned", (False, True): "not upright"}
    return names.get((inside, outside), "neither")


def refused(answer: Any) -> str:
    """What a pair of coverage and risk has reached."""
    if len(answer) != 2 or not all(0 <= number(part) <= 1 for part in answer):
        raise TypeError("not two shares")
    coverage, risk = number(answer[0]), number(answer[1])
    if risk > RISK + 1e-6:
        return "too risky"
    return "right" if coverage >= COVERAGE - 1e-6 else "too careful"


def best_views() -> str:
    """The views whose worst accuracy over the five changed worlds is the highest, as recorded."""
    from tlcourse.comparison.recorded import recorded_runs

    raise NotImplementedError(recorded_runs)


# Exercise 13.3: test pictures without a twin among the training pictures

SPLIT = ("train",) * 4 + ("val",) * 2 + ("test",) * 4
PAIRS = {"first": [1, 3, 4, 0, 7], "second": [8, 9, 6, 5, 2]}  # the last one: test, then train


def cleaned(answer: Any) -> str:
    """What the learner's function makes of ten pictures: "right", or which mistake."""
    import pandas as pd

    if not callable(answer):
        raise TypeError("not a function")
    found = answer(pd.DataFrame(PAIRS), list(SPLIT))
    if found is None:
        return "nothing"
    places = [int(place) for place in found]
    names = {
        (6,): "right",
        (6, 7): "one column",
        (0, 6): "index",
        (): "val too",
        (7, 8, 9): "the twins",
    }
    if sorted(places) == [6, 7, 8, 9]:
        return "index"
    if any(SPLIT[place] != "test" for place in places):
        return "all splits"
    return names.get(tuple(sorted(places)), "other")


def without_twins(pairs: Any, split: Any) -> list[int]:
    twins = {
        place
        for pair in zip(pairs["first"], pairs["second"], strict=True)
        if {split[one] for one in pair} == {"train", "test"}
        for place in pair
    }
    return [i for i, name in enumerate(split) if name == "test" and i not in twins]


def with_the_index(pairs: Any, split: Any) -> list[int]:
    return [i for i, name in enumerate(split) if name == "test" and i not in pairs["second"]]


def of_all_splits(pairs: Any, split: Any) -> list[int]:
    twins = {*pairs["first"], *pairs["second"]}
    return [i for i in range(len(split)) if i not in twins] + [0]


def second_column_only(pairs: Any, split: Any) -> list[int]:
    kept = zip(pairs["first"], pairs["second"], strict=True)
    twins = {two for one, two in kept if split[one] == "train"}
    return [i for i, name in enumerate(split) if name == "test" and i not in twins]


def of_validation_too(pairs: Any, split: Any) -> list[int]:
    twins = {*pairs["first"], *pairs["second"]}
    return [i for i, name in enumerate(split) if name == "test" and i not in twins]


def twins_themselves(pairs: Any, split: Any) -> list[int]:
    kept = without_twins(pairs, split)
    return [i for i, name in enumerate(split) if name == "test" and i not in kept]


def cleans_silently(pairs: Any, split: Any) -> None:
    without_twins(pairs, split)


# Exercise 13.5: weights between two networks


def two_states() -> tuple[dict[str, Any], dict[str, Any]]:
    """Two state dictionaries of the same small network, with BatchNorm's count of batches."""
    import torch

    start = {"weight": torch.zeros(2, 3), "running_mean": torch.ones(3)}
    end = {"weight": torch.full((2, 3), 4.0), "running_mean": torch.full((3,), 5.0)}
    start["num_batches_tracked"], end["num_batches_tracked"] = torch.tensor(3), torch.tensor(8)
    return start, end


def mixed(answer: Any) -> str:
    """What the learner's function makes of two small networks: "right", or which mistake."""
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    start, end = two_states()
    found = answer(start, end, 0.25)
    untouched = zip((start, end), two_states(), strict=True)
    if any(not torch.equal(now[n], before[n]) for now, before in untouched for n in before):
        return "changed"
    if found is None:
        return "nothing"
    if set(found) != set(start):
        return "some left out"
    weight, mean = float(found["weight"].mean()), float(found["running_mean"].mean())
    if weight == 3 and mean == 4:
        return "swapped"
    if weight != 1 or mean not in (1, 2, 5):
        return "other"
    if mean != 2:
        return "no averages"
    count = found["num_batches_tracked"]
    return "right" if not count.is_floating_point() and int(count) == 8 else "count"


Mix = Callable[[dict[str, Any], dict[str, Any], float], Any]


def _mix(start: dict[str, Any], end: dict[str, Any], alpha: float) -> dict[str, Any]:
    return {
        name: (1 - alpha) * start[name] + alpha * value if value.is_floating_point() else value
        for name, value in end.items()
    }


def mix(start: dict[str, Any], end: dict[str, Any], alpha: float) -> dict[str, Any]:
    return _mix(start, end, alpha)


def mix_swapped(start: dict[str, Any], end: dict[str, Any], alpha: float) -> dict[str, Any]:
    return _mix(end, start, alpha)


def mix_all(start: dict[str, Any], end: dict[str, Any], alpha: float) -> dict[str, Any]:
    return {name: (1 - alpha) * start[name] + alpha * end[name] for name in end}


def mix_in_place(start: dict[str, Any], end: dict[str, Any], alpha: float) -> dict[str, Any]:
    for name, value in end.items():
        if value.is_floating_point():
            value.copy_(start[name] + alpha * (value - start[name]))
    return end


def mix_weights_only(start: dict[str, Any], end: dict[str, Any], alpha: float) -> dict[str, Any]:
    return _mix(start, end, alpha) | {"running_mean": end["running_mean"]}


def mix_some(start: dict[str, Any], end: dict[str, Any], alpha: float) -> dict[str, Any]:
    return {"weight": _mix(start, end, alpha)["weight"]}


def mix_silently(start: dict[str, Any], end: dict[str, Any], alpha: float) -> None:
    _mix(start, end, alpha)
