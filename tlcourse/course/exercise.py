"""What an exercise is made of, and tolerant comparisons for its authors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Misconception:
    """A common wrong answer, and the sentence that leads on from it."""

    name: str  # unique within the exercise
    matches: Callable[[Any], bool]  # it may raise for an answer of another type or shape
    says: str  # does not give the answer away
    example: Any  # an answer that shows it, or a function that returns one


@dataclass(frozen=True)
class Exercise:
    """One checked question."""

    id: str  # notebook and number, such as "02.1"
    question: str  # what is asked, in one sentence
    right: Callable[[Any], bool]  # it may raise for an answer of another type or shape
    praise: str  # the reply to a right answer; ideally it shows one thing more
    misconceptions: tuple[Misconception, ...]  # the first that matches gives the reply
    hints: tuple[str, ...]  # from a nudge to nearly the answer
    otherwise: str  # the reply to any other wrong answer
    expects: str  # type and form of an answer with its article: "a list of layer names"


def wrong_number(
    name: str, value: float, says: str, *, rel: float | None = None, absolute: float | None = None
) -> Misconception:
    """Return a misconception that shows in one number; `rel` and `absolute` as in `close`."""
    return Misconception(
        name, lambda answer: close(answer, value, rel=rel, absolute=absolute), says, value
    )


def number(answer: Any) -> float:
    """Return a scalar, or a number that is written as a text, as a float; all else: TypeError."""
    try:
        value = answer.item() if hasattr(answer, "item") else answer
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    except (RuntimeError, ValueError) as error:
        raise TypeError("not one number") from error
    raise TypeError("not a number")


def close(
    answer: Any, expected: float, *, rel: float | None = None, absolute: float | None = None
) -> bool:
    """Whether a scalar is within a share `rel` (1 %) of what is expected, or `absolute` of it."""
    if rel is None:
        rel = 0.01 if absolute is None else 0.0
    distance = abs(number(answer) - expected)  # NaN is close to nothing
    return distance <= max(rel * abs(expected), absolute or 0.0)


def same_text(answer: Any, *accepted: str) -> bool:
    """Compare texts; case, spaces, quotes around them and a final full stop do not matter."""
    return _plain(answer) in {_plain(text) for text in accepted}


def same_set(answer: Any, expected: Iterable[Any]) -> bool:
    """Compare the members of a list, tuple, set or dictionary's keys in any order."""
    one, other = (
        {_plain(m) if isinstance(m, str) else number(m) for m in members}
        for members in (_members(answer), expected)
    )
    return one == other


def same_sequence(answer: Any, expected: Sequence[Any], rel: float = 0.0) -> bool:
    """Compare a list, tuple, `torch.Size`, array or tensor with a sequence, in order."""
    if isinstance(answer, set | frozenset | dict):
        raise TypeError("a sequence has an order")
    members = _members(answer)
    return len(members) == len(expected) and all(
        same_text(a, e) if isinstance(e, str) else close(a, e, rel=rel)
        for a, e in zip(members, expected, strict=True)
    )


def _plain(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError("not a text")
    return " ".join(text.casefold().replace("%", " %").split()).strip("\"'`. ")


def _members(answer: Any) -> list[Any]:
    if isinstance(answer, str | bytes):
        raise TypeError("one text is not a collection")
    return answer.tolist() if hasattr(answer, "tolist") else list(answer)
