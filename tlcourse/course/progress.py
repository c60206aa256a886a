"""Where you stand in the course, and where a class stands.

Notebook 00 and `tlcourse progress` show the first, `tlcourse progress --csv` writes the second.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlcourse.base.html import render_template
from tlcourse.base.messages import say
from tlcourse.course import progress_file
from tlcourse.course.check import all_exercises
from tlcourse.course.guess import all_questions
from tlcourse.course.notebooks import find_notebooks, notebooks_in
from tlcourse.course.submission import QUESTION, kept_accuracy
from tlcourse.errors import CourseError

if TYPE_CHECKING:
    import pandas as pd

_EXPORTED = (
    "learner",
    "notebook",
    "question",
    "kind",
    "state",
    "tries",
    "hints",
    "solved",
    "score",
)
_BELOW = ("*/progress.jsonl", "*/.local/share/tlcourse/progress.jsonl")  # in a folder of a class
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


def progress_files(places: Iterable[Path]) -> dict[str, Path]:
    """Find the progress files of a class, and return learner -> file.

    Args:
        places: Files, and folders that hold some. Of a folder, each file such as `anna.jsonl`
            counts, each `anna/progress.jsonl`, and, where it is the folder of all homes, each
            `anna/.local/share/tlcourse/progress.jsonl`. Without a place it is your own file.

    Raises:
        CourseError: There is no such place, a folder holds none, or a learner has two files.
    """
    found: dict[str, Path] = {}
    for place in list(places) or [progress_file.progress_path()]:
        if place.is_dir():
            named = {path.stem: path for path in sorted(place.glob("*.jsonl"))}
            below = [p for pattern in _BELOW for p in sorted(place.glob(pattern))]
            files = [*named.items(), *((p.relative_to(place).parts[0], p) for p in below)]
            files = [
                (name, path)
                for name, path in files
                if path.is_file() and not progress_file.is_set_aside(path)
            ]
        elif place.is_file():
            files = [(_owner(place), place)]
        else:
            raise CourseError(f"There is no progress file {place}.")
        if not files:
            raise CourseError(f"The folder {place} holds no progress file (*.jsonl).")
        for learner, path in files:
            if found.setdefault(learner, path) != path:
                raise CourseError(
                    f"Two files belong to {learner!r}: {found[learner]} and {path}. Rename one."
                )
    return found


def progress_table(files: Mapping[str, Path]) -> "pd.DataFrame":
    """Tell of each learner where each exercise and each prediction stands.

    Args:
        files: Learner -> progress file. None is changed.

    Returns:
        A row for each learner and exercise or prediction: `learner`, `notebook`, `question` (its
        number), `kind` ("exercise" or "prediction"), `state` ("solved", "tried" or "open"; "as
        guessed", "not as guessed", "guessed" or "open"), `tries` and `hints` (of an exercise), and
        `solved` (when, ISO 8601). One more row is of kind "capstone" ("scored", "tried" or "open"),
        and its `score` is the share of the private part that is right, counted from the answers.

    Raises:
        CourseError: A file holds no progress.
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for learner, path in files.items():
        try:
            known, damaged = progress_file.read_only(path)
        except OSError as error:
            reason = error.strerror or error
            raise CourseError(f"The progress file {path} cannot be read ({reason}).") from error
        if damaged and not known:
            raise CourseError(f"{path} is no progress file, or all of it is damaged.")
        if damaged:
            say(f"{path} is damaged: {damaged} of its lines could not be read and do not count.")
        for name in all_exercises():
            entry = known.get(name, {})
            state = "solved" if "solved" in entry else "tried" if entry.get("tries") else "open"
            done = (state, entry.get("tries", 0), entry.get("hints", 0), entry.get("solved"))
            rows.append((learner, name[:2], name, "exercise", *done, None))
        for name in all_questions():
            state = _guess_state(known.get(name, {}))
            rows.append((learner, name[:2], name, "prediction", state, None, None, None, None))
        rows.append((learner, QUESTION[:2], QUESTION, "capstone", *_capstone(known)))
    table = pd.DataFrame(rows, columns=list(_EXPORTED))
    return table.astype({"tries": "Int64", "hints": "Int64", "score": "Float64"}).sort_values(
        ["learner", "question"], kind="stable", ignore_index=True
    )


def _owner(path: Path) -> str:
    """Whose file it is: its name says it, or the name of its folder, or that of your home."""
    if path.stem != "progress":
        return path.stem
    folder = path.absolute().parent.name
    return Path.home().name if path == progress_file.progress_path() else folder


def _guess_state(entry: progress_file.Entry) -> str:
    if "guess" not in entry:
        return "open"
    if "right" not in entry:
        return "guessed"
    return "as guessed" if entry["right"] else "not as guessed"


def _capstone(known: progress_file.Entries) -> tuple[Any, ...]:
    """State, tries, hints (there are none), when it was scored, and the score."""
    entry = known.get(QUESTION, {})
    score, tries = kept_accuracy(entry), entry.get("tries", 0)
    state = "tried" if tries else "open"
    return (
        (state, tries, None, None, None)
        if score is None
        else ("scored", tries, None, entry["solved"], score)
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
