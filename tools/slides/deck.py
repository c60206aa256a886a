"""From the cells of a notebook to slides, as the cells' `slideshow.slide_type` says."""

import re
from dataclasses import dataclass, field
from typing import Literal

from nbformat import NotebookNode

from tlcourse.course.check import all_exercises
from tlcourse.course.guess import all_questions
from tools.slides import texts
from tools.slides.credits import credits_of, linked

Kind = Literal[
    "text", "code", "stream", "output", "question", "answer", "exercise", "task", "look", "small"
]
_ONLY_PRINTS = re.compile(r"print\(.*\)")
_ASKED = re.compile(r"""\b(?:check|guess|reveal)\(\s*["'](\d\d\.\w+)["']""")


@dataclass(frozen=True)
class Part:
    """One thing on a slide.

    Attributes:
        kind: How it is shown.
        content: Markdown, Python, plain text or HTML; it depends on `kind`.
        later: Whether it shows only after one more press of a key.
        choices: The choices of a question.
        id: Number of a question or an exercise.
        tells: Where the answer to a question will be read; the whole text of an exercise.
    """

    kind: Kind
    content: str
    later: bool = False
    choices: tuple[str, ...] = ()
    id: str = ""
    tells: str = ""


@dataclass
class Slide:
    """One slide.

    Attributes:
        over: The small line above the title: notebook, and figure if it shows one.
        title: Markdown of one line.
        parts: What is on it, from top to bottom.
        notes: Markdown for the speaker.
        cells: Ids of the cells that it was made of.
        figure: Name of its figure or table, such as "Figure 3"; empty if it has none.
        section: Number of the notebook's section that it belongs to.
        first: Whether it opens a deck.
    """

    over: str
    title: str = ""
    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    figure: str = ""
    section: str = ""
    first: bool = False

    @property
    def headline(self) -> str:
        """What stands at the top: the question, if the slide asks just one."""
        asked = [part.content for part in self.parts if part.kind == "question"]
        return asked[0] if len(asked) == 1 else self.title

    def ids(self, *kinds: Kind) -> list[str]:
        """Numbers of its questions, answers or exercises."""
        return [part.id for part in self.parts if part.kind in kinds]


def slides_of(notebook: NotebookNode, number: str, question: str = "") -> list[Slide]:
    """Slides of one notebook, in its order.

    Args:
        notebook: With its outputs; nothing is executed.
        number: Such as "05".
        question: What the notebook answers, for the first slide.
    """
    builder = _Builder(number, question)
    for cell in notebook.cells:
        builder.take(cell)
    slides = builder.finished()
    if slides:  # on the last one, beside the key points
        slides[-1].parts += [Part("small", credit, id="credit") for credit in credits_of(notebook)]
    return slides


class _Builder:
    """Reads cells from top to bottom and remembers what stands above each one."""

    def __init__(self, number: str, question: str) -> None:
        self.number, self.question = number, question
        self.slides: list[Slide] = []
        self.section, self.place = "", ""  # the last heading above, and the last numbered one
        self.opening = ""  # text below the last heading
        self.carried = ""  # text after a caption, which belongs to what comes next
        self.texts: list[str] = []  # since the last cell of code
        self.above: dict[int, str] = {}  # place of a slide with code -> the text above the code

    def take(self, cell: NotebookNode) -> None:
        how = cell.metadata.get("slideshow", {}).get("slide_type", "skip")
        if how in ("slide", "subslide"):
            self._begin()
        if how != "skip" and self.slides:
            self.slides[-1].cells.append(cell.id)
            take = self._text if cell.cell_type == "markdown" else self._code
            take(cell, "later" if how == "fragment" else how)
        elif cell.cell_type == "markdown" and texts.caption(cell.source):
            self.carried = texts.split_caption(cell.source)[1]
        if cell.cell_type == "markdown":
            if heading := texts.heading(cell.source):
                self.section, self.opening = heading, texts.body(cell.source)
            self.place = texts.number(cell.source) or self.place
            self.texts.append(cell.source)
        else:
            self.texts = []

    def _begin(self) -> None:
        slide = Slide(f"Notebook {self.number}", title=self.section, section=self.place)
        self.slides.append(slide)
        self._note(self.carried)
        self.carried = ""

    def finished(self) -> list[Slide]:
        for place, slide in enumerate(self.slides):
            if not slide.notes and (note := texts.note(self.above.get(place, ""))):
                slide.notes.append(note)
            if slide.figure:  # the figure is what matters, not the call that drew it
                table = any("<table" in part.content for part in slide.parts)
                noise = [p for p in slide.parts if p.kind == "stream" and not p.later and table]
                slide.parts = [p for p in slide.parts if p.kind != "code" and p not in noise]
            elif slide.ids("answer"):
                slide.title = "The answers"
        return self.slides

    def _note(self, text: str) -> None:
        note = texts.note(text)
        if note and not any(note in said for said in self.slides[-1].notes):
            self.slides[-1].notes.append(note)

    def _text(self, cell: NotebookNode, how: str) -> None:
        text = cell.source
        here, self.carried = texts.split_caption(text) if texts.caption(text) else (text, "")
        later = how == "later"
        if how == "notes":
            self._note(texts.split_question(here)[0] or here)
        elif text.startswith("# "):
            self._title(text)
        elif caption := texts.caption(text):
            self._note(texts.split_question(here)[0])
            slide = self.slides[-1]
            slide.figure, slide.over = caption.name, f"{slide.over} · {caption.name}"
            slide.title = caption.says
            slide.parts += [Part("look", caption.look, later)] if caption.look else []
            slide.parts += [Part("small", linked(caption.credit))] if caption.credit else []
        else:
            self._sections(text, later)

    def _title(self, text: str) -> None:
        slide = self.slides[-1]
        slide.first, slide.title = True, texts.heading(text.split("\n")[0])
        if not _says(slide.title, self.question):
            slide.parts.append(Part("look", self.question))
        able = "\n".join(f"- {skill}" for skill in texts.skills(text))
        slide.parts.append(Part("text", f"Afterwards you can:\n\n{able}"))
        self._note(text.split("\n", 1)[1])

    def _sections(self, text: str, later: bool) -> None:
        """A text with several headings makes several slides."""
        for place, section in enumerate(texts.sections(text)):
            if place:
                self._begin()
            slide = self.slides[-1]
            points = texts.key_points(section)
            shown, lead = points or texts.essence(section), texts.lead(section)
            if lead and not texts.heading(section):
                slide.title, shown = lead, texts.without_lead(shown)
            slide.title = texts.heading(section) or slide.title
            slide.section = texts.number(section) or slide.section
            slide.parts.append(Part("text", shown, later))
            self._note(section)

    def _code(self, cell: NotebookNode, how: str) -> None:
        slide, later = self.slides[-1], how == "later"
        tags = cell.metadata.get("tags", [])
        asked = list(dict.fromkeys(_ASKED.findall(cell.source)))
        rich, printed = _outputs(cell), _printed(cell)
        if "prediction" in tags:
            slide.over = f"Notebook {self.number} · Predict, before you see it"
            self._note(texts.split_question("\n\n".join(self.texts))[1])
            for name in asked:
                known = all_questions()[name]
                choices = known.options or (f"Your guess: {known.expects}",)
                tells = f"{known.figure} will tell."
                slide.parts.append(Part("question", known.question, later, choices, name, tells))
            slide.title = "What do you expect?"
        elif "answer" in tags:
            found = [html for html in _outputs(cell) if "The answer." in html]
            if printed and any("counts" in html for html in found):  # the answer speaks of them
                slide.parts.append(Part("stream", printed, True))
            slide.parts += [Part("answer", html, True, id=asked[0]) for html in found]
        elif "exercise" in tags:
            slide.title = slide.title if slide.parts else "Exercises"
            text = texts.body(self.texts[-1]) if self.texts else ""
            for name in asked:
                known = all_exercises()[name]
                slide.parts.append(Part("exercise", known.question, later, (), name, text))
                hints = "\n".join(f"- Hint: {hint}" for hint in known.hints)
                self._note(f"**Exercise {name}.** {text}\n\n{hints}")
        else:
            self.above.setdefault(len(self.slides) - 1, "\n\n".join(self.texts) or self.opening)
            shown = not rich and not _ONLY_PRINTS.fullmatch(cell.source)
            slide.parts += [Part("code", cell.source, later)] if shown else []
            slide.parts += [Part("stream", printed, later)] if printed else []
            slide.parts += [Part("output", html, later) for html in rich]


def _says(title: str, question: str) -> bool:
    """Whether a title says most of what a question asks."""
    of_title, asked = (set(re.findall(r"\w+", text.casefold())) for text in (title, question))
    return len(asked & of_title) >= 0.7 * len(asked)


def _outputs(cell: NotebookNode) -> list[str]:
    """HTML of the outputs that are more than text."""
    return [o.data["text/html"] for o in cell.outputs if "text/html" in o.get("data", {})]


def _printed(cell: NotebookNode) -> str:
    """All text of the outputs."""
    streams = [o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout"]
    plain = [o.data for o in cell.outputs if "data" in o and "text/html" not in o.data]
    return "".join([*streams, *(data.get("text/plain", "") for data in plain)]).rstrip()
