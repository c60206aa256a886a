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
from tlcourse.errors import CourseError, check_choice

Status = Literal["right", "not yet", "open"]

# Sign, first word and colour of the border.
_BOXES: dict[Status, tuple[str, str, str]] = {
    "right": ("✓", "Right.", GREEN),
    "not yet": ("✗", "Not yet.", RED),
    "open": ("…", "Open.", BLUE),
}
# What a function consists of whose body is still "...": no other bytecode.
_DOES_NOTHING = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
_hints_given: dict[str, int] = {}


@dataclass(frozen=True, repr=False)
class Verdict:
    """The reply to an answer; a notebook shows it as a marked box.

    Attributes:
        right: Whether the answer is right.
        text: What to read, without the first word. Code stands between backticks.
        status: "right", "not yet" (wrong) or "open" (not answered).
    """

    right: bool
    text: str
    status: Status

    def __repr__(self) -> str:
        return f"{_BOXES[self.status][1]} {self.text}"

    def _repr_html_(self) -> str:
        return box(*_BOXES[self.status], self.text)


@dataclass(frozen=True, repr=False)
class Hint:
    """One hint of an exercise: which one of how many `levels`, counted from 1."""

    text: str
    level: int
    levels: int

    @property
    def heading(self) -> str:
        """Which hint of how many, and whether it is the last."""
        last = " (the last one)" if self.level == self.levels else ""
        return f"Hint {self.level} of {self.levels}{last}."

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

    Raises:
        UnknownNameError: There is no such exercise.
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
        UnknownNameError: There is no such exercise.
        CourseError: There is no such level.
    """
    asked = _find(exercise)
    count = len(asked.hints)
    if level is None:
        level = min(_hints_given.get(asked.id, 0) + 1, count)
        _hints_given[asked.id] = level
    elif level not in range(1, count + 1):
        raise CourseError(
            f"Exercise {asked.id} has {count} hints, so there is no hint {level!r}. "
            f"Ask for a level from 1 to {count}, or leave it out to get the next one."
        )
    seen = level
    progress_file.change(
        asked.id, lambda entry: entry | {"hints": max(seen, entry.get("hints", 0))}
    )
    return Hint(asked.hints[level - 1], level, count)


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
    return (
        _open(asked) if answer is None else Verdict(False, _why(asked, answer, failure), "not yet")
    )


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
        return f"{answer}"
    shape = getattr(answer, "shape", None)
    if isinstance(shape, tuple) and len(shape):
        name = type(answer).__name__
        kind = {"DataFrame": "table", "ndarray": "array"}.get(name, name.lower())
        return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} of shape {tuple(shape)}"
    if isinstance(answer, int | float) or shape == ():
        return "a number"
    if callable(answer):
        return "a function"
    words = {"str": "text", "list": "list", "tuple": "tuple", "dict": "dictionary", "set": "set"}
    name = type(answer).__name__
    return f"a {words[name]}" if name in words else f"an object of type {name}"
