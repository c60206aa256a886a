"""What an exercise is made of, and tolerant comparisons for its authors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Misconception:
    """A common wrong answer, and the sentence that leads on from it.

    Attributes:
        name: Short name, unique within the exercise.
        matches: Whether an answer shows this misconception. It may raise for other answers.
        says: What the learner reads; it does not give the answer away.
        example: An answer that shows it, or a function that returns one.
    """

    name: str
    matches: Callable[[Any], bool]
    says: str
    example: Any

    def sample(self) -> Any:
        """Return the example; an answer that is a function is written as `lambda: function`."""
        return self.example() if callable(self.example) else self.example


@dataclass(frozen=True)
class Exercise:
    """One checked question.

    Attributes:
        id: Notebook and number, such as "02.1".
        question: What is asked, in one sentence.
        right: Whether an answer is right. It may raise for an answer of another type or shape.
        praise: The reply to a right answer; ideally it shows one thing more.
        misconceptions: Tried in this order; the first that matches gives the reply.
        hints: From a nudge to nearly the answer.
        otherwise: The reply to any other wrong answer.
        expects: Type and form of an answer with its article: "a number", "a list of layer names".
    """

    id: str
    question: str
    right: Callable[[Any], bool]
    praise: str
    misconceptions: tuple[Misconception, ...]
    hints: tuple[str, ...]
    otherwise: str
    expects: str


def wrong_number(
    name: str, value: float, says: str, *, rel: float | None = None, absolute: float | None = None
) -> Misconception:
    """Return a misconception that shows in one number; `rel` and `absolute` as in `close`."""
    return Misconception(
        name, lambda answer: close(answer, value, rel=rel, absolute=absolute), says, value
    )


def number(answer: Any) -> float:
    """Return a Python, NumPy or PyTorch scalar, or a number that is written as a text, as a float.

    Anything else is a TypeError: a word, True or False, an array of several numbers.
    """
    try:
        if isinstance(answer, str):
            return float(answer)
        value = answer.item() if hasattr(answer, "item") else answer
    except (RuntimeError, ValueError) as error:
        raise TypeError("not one number") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    return float(value)


def close(
    answer: Any, expected: float, *, rel: float | None = None, absolute: float | None = None
) -> bool:
    """Whether a scalar is within a share `rel` of what is expected, or within `absolute` of it.

    Without either, the share is 1 %. An answer that is not one number is a TypeError.
    """
    if rel is None:
        rel = 0.01 if absolute is None else 0.0
    distance = abs(number(answer) - expected)  # NaN is close to nothing
    return distance <= max(rel * abs(expected), absolute or 0.0)


def same_text(answer: Any, *accepted: str) -> bool:
    """Compare texts; case, spaces, quotes around them and a final full stop do not matter."""
    return _plain(answer) in {_plain(text) for text in accepted}


def same_set(answer: Any, expected: Iterable[Any]) -> bool:
    """Compare the members of a list, tuple, set or dictionary's keys in any order.

    Texts are compared as in `same_text`; an answer that is no collection is a TypeError.
    """
    return {_member(m) for m in _members(answer)} == {_member(m) for m in expected}


def same_sequence(answer: Any, expected: Sequence[Any], rel: float = 0.0) -> bool:
    """Compare a list, tuple, `torch.Size`, array or tensor with a sequence, in order.

    `rel` is the allowed relative difference of each number; a set is a TypeError.
    """
    if isinstance(answer, set | frozenset | dict):
        raise TypeError("a sequence has an order")
    members = _members(answer)
    if len(members) != len(expected):
        return False
    return all(
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


def _member(value: Any) -> Any:
    return _plain(value) if isinstance(value, str) else number(value)
