"""What tries the answers to the exercises of notebook 00, and wrong answers to try it with."""

import inspect
from collections.abc import Callable
from typing import Any

from tlcourse.course.exercise import same_text

DAYS = 1_280_000 * 300 / 2000 / 86_400
MEGABYTES = 4_652_008 * 4 / 1e6


def try_on(answer: Callable[[Any], Any], name: str) -> Any:
    """Call the learner's function on one of the photographs."""
    from tlcourse.tasks.photographs import photographs

    if not callable(answer):
        raise TypeError("not a function")
    return answer(photographs(name)[name])


def names_both(answer: Any) -> bool:
    cat = same_text(try_on(answer, "chelsea"), "tiger cat")
    return cat and same_text(try_on(answer, "coffee"), "espresso")


def without_return(picture: Any) -> None:
    picture.copy()


def always_says(word: str) -> Callable[[Any], Any]:
    return lambda picture: word


def takes_one(answer: Callable[..., Any]) -> bool:
    try:
        inspect.signature(answer).bind("a picture")
    except TypeError:
        return False
    return True


def table(picture: Any) -> Any:
    import pandas as pd

    return pd.DataFrame({"class": ["tiger cat"], "probability": [0.39]})


def entries(value: Any) -> list[Any]:
    """The members of a column, a row, an array or a tensor; none for anything else."""
    if not hasattr(value, "shape") or hasattr(value, "columns"):
        return []
    members = (value.reshape(-1) if hasattr(value, "reshape") else value).tolist()
    return members if len(members) > 1 else []


def several(value: Any) -> bool:
    """Whether it is a list or an array of values, but none of the forms with a reply of their own."""
    if isinstance(value, str) or hasattr(value, "columns"):
        return False
    if hasattr(value, "shape"):
        members = entries(value)
        return 1 < len(members) < 1000 and not any(isinstance(v, str) for v in members)
    return len(value) > 1


def column(picture: Any) -> Any:
    import pandas as pd

    return pd.Series(["tiger cat", "tabby", "Egyptian cat", "lynx", "carton"], name="class")


def scores(picture: Any) -> Any:
    import torch

    return torch.zeros(1, 1000)
