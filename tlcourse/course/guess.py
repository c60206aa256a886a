"""Prediction questions: commit to an answer before a figure shows, then compare with its data."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

from tlcourse.base.html import BLUE, GREEN, RED, VIOLET, box
from tlcourse.course import progress_file
from tlcourse.course.question import Answer, Question
from tlcourse.errors import check_choice

Status = Literal["noted", "kept", "open", "unclear", "as you said", "not as you said", "no guess"]

# Sign, first words and colour of the border.
_BOXES: dict[Status, tuple[str, str, str]] = {
    "noted": ("✎", "Noted.", VIOLET),
    "kept": ("✎", "Kept.", VIOLET),
    "open": ("…", "No guess yet.", BLUE),
    "unclear": ("?", "Not one of the answers.", RED),
    "as you said": ("✓", "As you said.", GREEN),
    "not as you said": ("≠", "Not as you said.", RED),
    "no guess": ("→", "The answer.", BLUE),
}


@dataclass(frozen=True, repr=False)
class Reply:
    """The reply to a guess, or to the figure's answer; a notebook shows it as a marked box."""

    status: Status
    text: str  # without the first words
    guess: Answer | None = None  # the one that counts
    answer: Answer | None = None  # what the figure's data say, once that is known

    def __repr__(self) -> str:
        return f"{_BOXES[self.status][1]} {self.text}"

    def _repr_html_(self) -> str:
        return box(*_BOXES[self.status], self.text)


def guess(question: str, answer: Any) -> Reply:
    """Commit to an answer before the figure shows. It is kept on this machine only.

    You may change it until the answer was shown; then your guess from before counts. A guess never
    raises, so that "Run all" goes on.

    Args:
        question: Its number, such as "06.A".
        answer: One of the choices, or a number. The three dots `...` mean "no guess".
    """
    asked = _find(question)
    before = progress_file.entry(asked.id)
    kept = asked.parse(before.get("guess"))
    will_tell = f"{asked.figure} will tell."
    if answer is None or answer is ... or str(answer).strip(" .…") == "":
        if kept is not None:
            return Reply("kept", f"You said before: {asked.in_words(kept)}. {will_tell}", kept)
        how = f"In place of the three dots write {asked.expects}, and run the cell again."
        return Reply("open", f"{how} You can also go on without: {will_tell}")
    new = asked.parse(answer)
    if new is None:
        near = get_close_matches(str(answer).lower(), map(str.lower, asked.options), n=1)
        nearest = "".join(f' Nearest: "{o}".' for o in asked.options if [o.lower()] == near)
        said = f"{str(answer)[:40]!r} cannot be compared. Write {asked.expects}.{nearest}"
        return Reply("unclear", said, kept)
    if kept is not None and "right" in before and kept != new:
        text = "You have seen the answer, so what you said before it counts"
        return Reply("kept", f"{text}: {asked.in_words(kept)}.", kept)
    progress_file.change(asked.id, lambda entry: entry | {"guess": new})
    return Reply("noted", f"You say: {asked.in_words(new)}. {will_tell}", new)


def reveal(question: str, answer: Any, *, also: Iterable[Any] = ()) -> Reply:
    """Compare your guess with the answer that is read off a figure's own data.

    Args:
        question: Its number, such as "06.A".
        answer: What the data say: one of the choices, or a number.
        also: Choices that the data cannot tell apart from it. They count as right, too.
    """
    asked = _find(question)
    # What is none of the choices is shown as it is: data of your own may surprise the authors.
    parsed = asked.parse(answer)
    right_answer = str(answer) if parsed is None else parsed
    others = dict.fromkeys(map(asked.parse, also))
    equal = [other for other in others if other is not None and other != right_answer]
    verb = "say" if " and " in asked.figure else "says"
    says = f"{asked.figure} {verb}: {asked.in_words(right_answer)}."
    if equal:
        *names, last = map(asked.in_words, equal)
        says += f" Its data also allow: {', '.join(names)}{' and ' if names else ''}{last}."
    kept = asked.parse(progress_file.entry(asked.id).get("guess"))
    if kept is None:
        return Reply("no guess", f"{says} {asked.where}", None, right_answer)
    right = asked.agrees(kept, right_answer, equal)
    progress_file.change(asked.id, lambda entry: {"right": right} | entry)  # the first one stays
    text = f"You said: {asked.in_words(kept)}. {says} {asked.where}"
    return Reply("as you said" if right else "not as you said", text, kept, right_answer)


@cache
def all_questions() -> dict[str, Question]:
    """Every prediction question of the course by its number, in the order of the notebooks."""
    from tlcourse.course.lessons import modules

    return {q.id: q for module in modules() for q in getattr(module, "QUESTIONS", ())}


def _find(question: str) -> Question:
    known = all_questions()
    return known[check_choice("prediction question", question, known)]
