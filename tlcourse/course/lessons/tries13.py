"""What tries the answers to the exercises of notebook 13, and wrong answers to try it with."""

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tlcourse.course.exercise import number

if TYPE_CHECKING:
    import pandas as pd

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


@cache
def seed_ranges() -> "pd.Series":
    """Largest minus smallest accuracy over the seeds, by network and kind, at strength 3."""
    import pandas as pd

    recorded = json.loads((files("tlcourse") / "data" / "runs.json").read_text("utf-8"))
    runs = pd.DataFrame(recorded["world_changes"]["runs"])
    some = runs[(runs["part"] == "strength") & (runs["strength"] == 3)]
    grouped = some.groupby(["network", "kind"])["accuracy"]
    return grouped.max() - grouped.min()


def widest() -> tuple[str, str]:
    """The network and the kind where one seed misleads most."""
    network, kind = seed_ranges().idxmax()
    return str(network), str(kind)


def named(answer: Any) -> str:
    """What a pair of network and kind has found."""
    network, kind = answer
    found = (str(network).strip().lower(), str(kind).strip().lower())
    networks, kinds = (set(seed_ranges().index.get_level_values(i)) for i in (0, 1))
    if found[0] in kinds and found[1] in networks:
        return "order"
    if found[0] not in networks or found[1] not in kinds:
        raise TypeError("not a network and a kind")
    if found == widest():
        return "right"
    return "steady" if seed_ranges()[found] < 0.1 else "other"


def steadiest() -> tuple[str, str]:
    """The network and the kind where the seeds agree most."""
    network, kind = seed_ranges().idxmin()
    return str(network), str(kind)


def second_widest() -> tuple[str, str]:
    """The network and the kind with the second largest range."""
    network, kind = seed_ranges().nlargest(2).index[1]
    return str(network), str(kind)


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


# Exercise 13.5: the mean of several networks


def three_states() -> list[dict[str, Any]]:
    """State dictionaries of three small networks, with BatchNorm's count of batches."""
    import torch

    return [
        {
            "weight": torch.full((2, 3), value),
            "running_mean": torch.full((3,), 10 * value),
            "num_batches_tracked": torch.tensor(count),
        }
        for value, count in ((1.0, 3), (2.0, 8), (6.0, 8))
    ]


def cooked(answer: Any) -> str:
    """What the learner's function makes of three small networks: "right", or which mistake."""
    import torch

    if not callable(answer):
        raise TypeError("not a function")
    states = three_states()
    found = answer(states)
    untouched = zip(states, three_states(), strict=True)
    if any(not torch.equal(now[n], before[n]) for now, before in untouched for n in before):
        return "changed"
    if found is None:
        return "nothing"
    if set(found) != set(states[0]):
        return "some left out"
    weight, mean = float(found["weight"].mean()), float(found["running_mean"].mean())
    if (weight, mean) == (9, 90):
        return "sum"
    if weight == 3 and mean in (10, 20, 60):
        return "no averages"
    if (weight, mean) == (3.75, 37.5):
        return "two by two"
    if (weight, mean) != (3, 30):
        return "other"
    count = found["num_batches_tracked"]
    return "right" if not count.is_floating_point() and int(count) == 3 else "count"


States = list[dict[str, Any]]


def soup(states: States) -> dict[str, Any]:
    import torch

    first = states[0]
    return {
        name: torch.stack([state[name] for state in states]).mean(0)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }


def soup_of_all(states: States) -> dict[str, Any]:
    return {name: sum(state[name] for state in states) / len(states) for name in states[0]}


def soup_summed(states: States) -> dict[str, Any]:
    return soup(states) | {
        name: sum(state[name] for state in states) for name in ("weight", "running_mean")
    }


def soup_in_place(states: States) -> dict[str, Any]:
    cooked_one = soup(states)
    for name, value in states[0].items():
        value.copy_(cooked_one[name])
    return states[0]


def soup_without_averages(states: States) -> dict[str, Any]:
    return soup(states) | {"running_mean": states[0]["running_mean"]}


def soup_two_by_two(states: States) -> dict[str, Any]:
    mixed = soup(states[:2])
    for state in states[2:]:
        mixed = soup([mixed, state])
    return mixed


def soup_of_weights(states: States) -> dict[str, Any]:
    return {"weight": soup(states)["weight"]}


def soup_silently(states: States) -> None:
    soup(states)
