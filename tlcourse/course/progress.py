"""Where you stand in the course: notebook 00 shows it, and so does `tlcourse progress`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tlcourse.base.html import render_template
from tlcourse.course import progress_file
from tlcourse.course.check import all_exercises
from tlcourse.course.guess import all_questions
from tlcourse.course.notebooks import find_notebooks, notebooks_in
from tlcourse.errors import CourseError

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("Notebook", "Solved", "Still open", "Guesses", "As guessed")


@dataclass(frozen=True)
class NotebookProgress:
    """What you have done in one notebook."""

    notebook: str  # its name, such as "03 Standalone extractor"
    solved: tuple[str, ...]  # exercises, such as "03.1"
    tries: dict[str, int]  # exercises that are still open -> how often you have tried
    questions: int  # prediction questions
    guessed: int  # how many of them you have answered
    right: int  # how many of these answers the figure agreed with

    @property
    def cells(self) -> tuple[str, ...]:
        """Its row of the table, as texts."""
        still_open = ", ".join(
            f"{name} ({n} {'try' if n == 1 else 'tries'})" if n else name
            for name, n in self.tries.items()
        )
        exercises = f"{len(self.solved)} of {len(self.solved) + len(self.tries)}"
        guesses = f"{self.guessed} of {self.questions}"
        return self.notebook, exercises, still_open or "nothing", guesses, str(self.right)


@dataclass(frozen=True, repr=False)
class Progress:
    """What you have done so far; a notebook shows it as a table."""

    notebooks: tuple[NotebookProgress, ...]
    last_solved: tuple[str, datetime] | None  # which exercise, and when, in your time zone

    @property
    def table(self) -> "pd.DataFrame":
        """The table as texts."""
        import pandas as pd

        return pd.DataFrame([row.cells for row in self.notebooks], columns=list(_COLUMNS))

    @property
    def summary(self) -> str:
        """Everything together, and what comes next, in one or two sentences."""
        solved = sum(len(row.solved) for row in self.notebooks)
        still_open = [name for row in self.notebooks for name in row.tries]
        said = f"{solved} of {solved + len(still_open)} exercises are solved"
        if self.last_solved:
            name, when = self.last_solved
            said += f", the last one was {name} on {when.day} {when:%B %Y}"
        return f"{said}. Next: {still_open[0]}." if still_open else f"{said}."

    def __repr__(self) -> str:
        rows = [_COLUMNS, *(row.cells for row in self.notebooks)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([*lines, "", self.summary])

    def _repr_html_(self) -> str:
        return render_template("progress", progress=self, columns=_COLUMNS)


def progress() -> Progress:
    """Look up what you have solved and guessed so far.

    It is read from a file on this machine. Nothing of it is sent anywhere.
    """
    known = progress_file.entries()
    names = _notebook_names()
    numbers = sorted({name.split(".")[0] for name in (*all_exercises(), *all_questions())})
    solved = {n: e["solved"] for n, e in known.items() if n in all_exercises() and "solved" in e}
    last = max(solved, key=lambda name: solved[name], default=None)
    return Progress(
        tuple(_of_notebook(n, names.get(n, f"Notebook {n}"), known) for n in numbers),
        (last, datetime.fromisoformat(solved[last]).astimezone()) if last else None,
    )


def _of_notebook(number: str, name: str, known: progress_file.Entries) -> NotebookProgress:
    exercises = {n: known.get(n, {}) for n in all_exercises() if n.startswith(f"{number}.")}
    questions = [known.get(n, {}) for n in all_questions() if n.startswith(f"{number}.")]
    return NotebookProgress(
        notebook=name,
        solved=tuple(n for n, entry in exercises.items() if "solved" in entry),
        tries={n: e.get("tries", 0) for n, e in exercises.items() if "solved" not in e},
        questions=len(questions),
        guessed=sum("guess" in entry for entry in questions),
        right=sum("guess" in entry and entry.get("right", False) for entry in questions),
    )


def _notebook_names() -> dict[str, str]:
    """Number -> name, made of the file names: "03" -> "03 Standalone extractor"."""
    try:
        stems = [path.stem for path in notebooks_in(find_notebooks(Path.cwd()))]
    except CourseError:  # an installation without notebooks
        return {}
    return {stem[:2]: f"{stem[:2]} {stem[3:].replace('_', ' ').capitalize()}" for stem in stems}
