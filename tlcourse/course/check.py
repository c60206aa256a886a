"""Checked exercises: an answer is checked at once and offline, and hints come in small steps."""

import dis
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from textwrap import shorten
from types import FunctionType
from typing import Any, Literal

from tlcourse.base.html import BLUE, GREEN, RED, VIOLET, box
from tlcourse.course import progress_file
from tlcourse.course.exercise import Exercise
from tlcourse.errors import check_choice, check_whole

Status = Literal["right", "not yet", "open"]

# Sign, first word and colour of the border.
_BOXES: dict[Status, tuple[str, str, str]] = {
    "right": ("✓", "Right.", GREEN),
    "not yet": ("✗", "Not yet.", RED),
    "open": ("…", "Open.", BLUE),
}
# What a function consists of whose body is still "...": no other bytecode.
_DOES_NOTHING = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
_KINDS = {"list": "a list", "str": "a text", "tuple": "a tuple", "set": "a set"} | {
    "dict": "a dictionary",
    "ndarray": "an array",
    "Tensor": "a tensor",
    "DataFrame": "a table",
}
_hints_given: dict[str, int] = {}


@dataclass(frozen=True, repr=False)
class Verdict:
    """The reply to an answer; a notebook shows it as a marked box."""

    right: bool
    text: str  # without the first word; code stands between backticks
    status: Status  # "not yet" is wrong, "open" is not answered

    def __repr__(self) -> str:
        return f"{_BOXES[self.status][1]} {self.text}"

    def _repr_html_(self) -> str:
        return box(*_BOXES[self.status], self.text)


@dataclass(frozen=True, repr=False)
class Hint:
    """One hint of an exercise."""

    text: str
    level: int  # which one, counted from 1
    heading: str

    def __repr__(self) -> str:
        return f"{self.heading} {self.text}"

    def _repr_html_(self) -> str:
        return box("→", self.heading, VIOLET, self.text)


def check(exercise: str, answer: Any) -> Verdict:
    """Check an answer, at once and offline; whether it is solved is kept on this machine.

    An answer never raises, whatever it is, so that "Run all" goes on.

    Args:
        exercise: Its number, such as "02.1".
        answer: Your answer. The three dots `...` mean "not answered yet".

    Returns:
        A verdict that says whether it is right and, if it is not, what to look at next.
    """
    asked = _find(exercise)
    verdict = _open(asked) if _is_open(answer) else _judge(asked, answer)
    if verdict.status != "open":
        progress_file.change(asked.id, lambda entry: _tried(entry, verdict.right))
    return verdict


def hint(exercise: str, level: int | None = None) -> Hint:
    """Give a hint; each call gives the next one, and the last one is given again.

    Args:
        exercise: Its number, such as "02.1".
        level: Ask for this hint, counted from 1, instead of the next one.

    Raises:
        CourseError: There is no such exercise or level.
    """
    asked = _find(exercise)
    count = len(asked.hints)
    if level is None:
        _hints_given[asked.id] = min(_hints_given.get(asked.id, 0) + 1, count)
        level = _hints_given[asked.id]
    seen = check_whole("level", level, most=count)
    progress_file.change(asked.id, lambda e: e | {"hints": max(seen, e.get("hints", 0))})
    last = " (the last one)" if seen == count else ""
    return Hint(asked.hints[seen - 1], seen, f"Hint {seen} of {count}{last}.")


@cache
def all_exercises() -> dict[str, Exercise]:
    """Every exercise of the course by its number, in the order of the notebooks."""
    from tlcourse.course.lessons import modules

    return {exercise.id: exercise for module in modules() for exercise in module.EXERCISES}


def _find(exercise: str) -> Exercise:
    known = all_exercises()
    return known[check_choice("exercise", exercise, known)]


def _judge(asked: Exercise, answer: Any) -> Verdict:
    failure: Exception | None = None
    try:
        if asked.right(answer):
            return Verdict(True, asked.praise, "right")
    except Exception as error:  # the checker met a type or shape that it is not made for
        failure = error
    for misconception in asked.misconceptions:
        if _matches(misconception.matches, answer):
            return Verdict(False, misconception.says, "not yet")
    if answer is None:
        return _open(asked)
    return Verdict(False, _why(asked, answer, failure), "not yet")


def _why(asked: Exercise, answer: Any, failure: Exception | None) -> str:
    """What to say of an answer that is wrong in a way nobody foresaw."""
    if failure is None:
        return asked.otherwise
    said = shorten(f"{type(failure).__name__}: {failure}", 240, placeholder=" ...")
    frames = traceback.walk_tb(failure.__traceback__)
    if any(frame.f_code is getattr(answer, "__code__", None) for frame, _ in frames):
        return f"Your function stopped with {said}"
    if callable(answer) and asked.expects.startswith("a function"):
        if "positional argument" in said:
            return f"Your function could not be called: {said}"
        return asked.otherwise  # a function is right here, but not what it returned
    return f"This exercise expects {asked.expects}, you gave {_kind(answer)}."


def _tried(entry: dict[str, Any], right: bool) -> dict[str, Any]:
    """Count a try; what was solved once stays solved."""
    if "solved" in entry:
        return entry
    entry["tries"] = entry.get("tries", 0) + 1
    return entry | {"solved": progress_file.now()} if right else entry


def _is_open(answer: Any) -> bool:
    """Whether the three dots of the cell, or a part of them, are still there."""
    if isinstance(answer, str):
        return answer.strip(" .…\t\n") == ""
    if isinstance(answer, dict):
        answer = [*answer, *answer.values()]
    if isinstance(answer, list | tuple | set):
        return any(part is ... for part in answer)
    if isinstance(answer, FunctionType):
        steps = {step.opname for step in dis.get_instructions(answer)}
        constants = {*answer.__code__.co_consts}
        return steps <= _DOES_NOTHING and constants <= {answer.__doc__, None, ...}
    return answer is ...


def _open(asked: Exercise) -> Verdict:
    text = (
        f"Not answered yet. Replace the three dots by {asked.expects} and run the cell again. "
        f'Stuck? `tl.hint("{asked.id}")` gives a hint.'
    )
    return Verdict(False, text, "open")


def _matches(matches: Callable[[Any], bool], answer: Any) -> bool:
    try:
        return bool(matches(answer))
    except Exception:  # made for answers of another type or shape
        return False


def _kind(answer: Any) -> str:
    """Name the type of an answer in plain words."""
    if isinstance(answer, bool):
        return str(answer)
    if callable(answer):
        return "a function"
    shape = getattr(answer, "shape", None)
    if isinstance(answer, int | float) or shape == ():
        return "a number"
    name = type(answer).__name__
    kind = _KINDS.get(name, f"an object of type {name}")
    return f"{kind} of shape {tuple(shape)}" if isinstance(shape, tuple) else kind
