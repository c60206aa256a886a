"""What tries the answers to the exercises of notebook 00, and wrong answers to try it with."""

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from tlcourse.course.exercise import number, same_text

DAYS = 1_280_000 * 300 / 2000 / 86_400
CAT = {"tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"}


def whole() -> Any:
    from tlcourse.tasks.photographs import photographs

    return photographs("chelsea")["chelsea"]


def fits(box: Sequence[Any]) -> bool:
    """Whether a box (left, upper, right, lower) has an area and lies in the photograph."""
    left, upper, right, lower = map(number, box)
    return 0 <= left < right <= 451 and 0 <= upper < lower <= 300


def surest(box: Sequence[Any]) -> tuple[str, float]:
    """The most probable class of a part of the photograph, and its probability."""
    return _surest(tuple(map(number, box)))


@cache
def _surest(box: tuple[float, ...]) -> tuple[str, float]:
    from tlcourse.explain.predictions import top_k
    from tlcourse.networks.load import load_backbone

    best = top_k(load_backbone(device="cpu"), whole().crop(box), k=1)
    return str(best["class"][0]), float(best["probability"][0])


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


def scores(picture: Any) -> Any:
    import torch

    return torch.zeros(1, 1000)
