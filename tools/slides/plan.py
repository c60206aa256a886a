"""Decks for the workshop: the parts of the notebooks that a plan in `workshop.md` names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tlcourse.errors import CourseError
from tools.slides import texts
from tools.slides.credits import owners
from tools.slides.deck import Part, Slide

_PLAN = re.compile(r"<!-- plan ([\w ]+) -->\n(.*?)<!-- end -->", re.DOTALL)
_NOTEBOOK = re.compile(r"notebooks/(\d\d)_\w+\.ipynb")
_SECTIONS = re.compile(r"\b(section|case)s?\s+((?:\d+(?:, | and | to )?)+)")
_FIGURES = re.compile(r"\b(Figure|Table)s?\s+((?:\d+(?:, | and )?)+)")
_EXIT = re.compile(r"^## Five exit questions\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_ASKED = re.compile(r"^\d+\. \*\*(.+?)\*\* (.+)$", re.MULTILINE)
_IDS = re.compile(r"\b\d\d\.\w+\b")


@dataclass(frozen=True)
class Step:
    """One row of a plan.

    Attributes:
        start: Minute at which it begins.
        minutes: How long it takes.
        name: What it is about, in Markdown.
        learners: What learners do.
        say: What the teacher says first.
        look: What the teacher looks for.
    """

    start: int
    minutes: int
    name: str
    learners: str
    say: str
    look: str

    @property
    def notebook(self) -> str:
        """Number of its notebook; empty for a break."""
        found = _NOTEBOOK.search(self.name)
        return found[1] if found else ""

    def shows(self, slide: Slide) -> bool:
        """Whether a slide of its notebook belongs to it."""
        shown = {
            f"{kind} {number}"
            for kind, numbers in _FIGURES.findall(self.learners)
            for number in re.findall(r"\d+", numbers)
        }
        named = set(slide.ids("question", "answer", "exercise")) & set(_IDS.findall(self.learners))
        kinds = {part.kind for part in slide.parts}
        by_hand = not slide.figure and bool(kinds & {"code", "stream"})
        inside = by_hand and slide.section in self._sections()
        told = slide.title.lower() in self.name.lower()
        return bool(named) or slide.figure in shown or inside or told

    def _sections(self) -> set[str]:
        found = set()
        for kind, listed in _SECTIONS.findall(self.name):
            ranges = re.findall(r"(\d+) to (\d+)", listed)
            numbers = {str(n) for a, b in ranges for n in range(int(a), int(b) + 1)}
            numbers |= set(re.findall(r"\d+", listed))
            found |= {f"case {number}" if kind == "case" else number for number in numbers}
        return found


def plans(page: Path) -> dict[str, list[Step]]:
    """Name -> steps of each plan on the page of the workshop, such as "90" or "second afternoon".

    Raises:
        CourseError: The page has no plan, or a row is not as expected.
    """
    found = {}
    for name, table in _PLAN.findall(page.read_text(encoding="utf-8")):
        rows = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
        if bad := [row for row in rows if len(row) != 6 or not (row[0] + row[1]).isdigit()]:
            raise CourseError(
                f"A row of plan {name} in {page.name} cannot be read: "
                f"{' | '.join(bad[0])[:80]}. A row has six columns: start, minutes, step, "
                "what learners do, what you say first, what to look for."
            )
        found[name] = [Step(int(row[0]), int(row[1]), *row[2:]) for row in rows]
    if not found:
        raise CourseError(
            f"{page.name} holds no plan. A plan is a table between `<!-- plan 90 -->` "
            "and `<!-- end -->`."
        )
    return found


def exit_questions(page: Path) -> dict[str, str]:
    """Questions for the end on the page of the workshop -> their answers."""
    found = _EXIT.search(page.read_text(encoding="utf-8"))
    return dict(_ASKED.findall(found[1])) if found else {}


def workshop(
    steps: list[Step],
    decks: Mapping[str, list[Slide]],
    questions: Mapping[str, str],
) -> list[Slide]:
    """Slides for a plan: its steps, each with the slides of its notebook that it names.

    Args:
        steps: From `plans`.
        decks: Number of a notebook -> its slides.
        questions: From `exit_questions`; the answers are for the speaker.
    """
    minutes = steps[-1].start + steps[-1].minutes
    welcome = f"Today, in {minutes} minutes: reuse a network that somebody else has trained."
    listed = "\n".join(f"- {step.name}" for step in steps if step.notebook)
    first = Slide("Workshop", "Transfer learning from pre-trained models", first=True)
    first.parts = [Part("look", welcome)]
    first.notes = [f"The steps:\n\n{texts.plain_links(listed)}"]
    slides, opened = [first], set()
    for step in steps:
        slides.append(_divider(step))
        for slide in decks.get(step.notebook, []):
            idea = slide.title.startswith("The idea in a picture") and step.notebook not in opened
            if idea or step.shows(slide):
                slides += _tasks(slide, step) or [_only(slide, step)]
        opened.add(step.notebook)
    if questions:
        slides.append(_before_you_go(questions))
    used = [decks[number][-1] for number in sorted(opened & set(decks))]
    credits = [p.content for slide in used for p in slide.parts if p.id == "credit"]
    named = dict.fromkeys(owner for credit in credits for owner in owners(credit))
    last = Slide("Workshop", "Whose pictures and data these are")
    last.parts = [Part("text", "\n".join(f"- {owner}" for owner in named))]
    return [*slides, last]


def _divider(step: Step) -> Slide:
    until = step.start + step.minutes
    slide = Slide(f"Minutes {step.start} to {until}", texts.plain_links(step.name))
    does = [part.removesuffix(".") for part in texts.sentences(step.learners) if part]
    slide.parts = [Part("text", "\n".join(f"- {part}" for part in does))]
    slide.notes = [f"**You say first:** {step.say}", f"**Look for:** {step.look}"]
    return slide


def _before_you_go(questions: Mapping[str, str]) -> Slide:
    asked = "\n".join(f"{place}. {question}" for place, question in enumerate(questions, start=1))
    answers = [f"**{question}** {answer}" for question, answer in questions.items()]
    return Slide("Workshop", "Before you go", [Part("text", asked)], answers)


def _tasks(slide: Slide, step: Step) -> list[Slide]:
    """The exercises of a step with their whole texts, if a slide shows nothing but exercises."""
    if {part.kind for part in slide.parts} != {"exercise"}:
        return []
    return [
        replace(
            slide,
            title=f"Exercise {part.id}",
            parts=[Part("task", part.tells, id=part.id)],
            notes=[note for note in slide.notes if part.id in note],
        )
        for part in _only(slide, step).parts
    ]


def _only(slide: Slide, step: Step) -> Slide:
    """A slide of a notebook, with no other questions and exercises than those of the step."""
    named = _IDS.findall(step.learners)
    asks = ("question", "answer", "exercise")
    return replace(slide, parts=[p for p in slide.parts if p.kind not in asks or p.id in named])
