"""A prediction question: asked before a figure, answered by the figure's data."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from tlcourse.course.exercise import number

Answer = str | float
_UNIT = re.compile(r"\s*[a-z%]*\s*$", re.IGNORECASE)  # "15 points" means 15


@dataclass(frozen=True)
class Question:
    """One question that a learner answers before a figure shows."""

    id: str  # notebook and letter, such as "06.A"
    question: str  # what is asked, in one sentence
    figure: str  # where the answer is read, such as "Figure 1"
    where: str  # where in the figure it is seen; one sentence, true whatever the answer is
    options: tuple[str, ...] = ()  # empty where a number is asked for
    unit: str = ""  # what a number counts: "seconds", "times"
    within: float = 2.0  # a number counts as right within this factor; 1 for a count

    @property
    def expects(self) -> str:
        """What to write in place of the three dots."""
        if self.options:
            *first, last = (f'"{option}"' for option in self.options)
            return f"{', '.join(first)} or {last}"
        if self.unit == "times":
            return "a number, such as 0.5, 5 or 500"
        return f"a number of {self.unit}"

    def parse(self, answer: Any) -> Answer | None:
        """Return the option or the number that is meant; None if it is neither."""
        try:
            if self.options:
                return self._option(answer if isinstance(answer, str) else f"{number(answer):g}")
            value = number(_UNIT.sub("", answer) if isinstance(answer, str) else answer)
        except TypeError:
            return None
        return value if isfinite(value) and value >= 0 else None

    def _option(self, written: str) -> str | None:
        """Find an option; spaces, hyphens and the rest of a long one may be missing."""
        plain, short = {_plain(option): option for option in self.options}, _plain(written)
        longer = [option for text, option in plain.items() if len(short) >= 4 and short in text]
        return plain.get(short) or (longer[0] if len(longer) == 1 else None)

    def agrees(self, guess: Answer, answer: Answer, also: Iterable[Answer] = ()) -> bool:
        """Whether a guess is the answer, is as good as the answer, or is near enough to it."""
        if isinstance(guess, str) or isinstance(answer, str):
            return guess in (answer, *also)
        return max(guess, answer) <= self.within * min(guess, answer)

    def in_words(self, answer: Answer) -> str:
        """The answer with its unit, for a sentence."""
        if isinstance(answer, str):
            return answer
        digits = f"{answer:,.0f}" if answer >= 100 or answer == round(answer) else f"{answer:.2g}"
        one = answer == 1 and self.unit != "times"
        return f"{digits} {self.unit.removesuffix('s') if one else self.unit}".strip()


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text.casefold())
