"""Write `coverage.md`: which notebook shows and asks each of the course's seven ideas.

Read off the notebooks' own tags. Run it after a change of a notebook: `python -m tools.coverage`
What stands on the page from "Seventeen questions" on is written by hand, and is kept.
"""

import re
from pathlib import Path

import nbformat

from tlcourse.course.check import all_exercises
from tlcourse.course.guess import all_questions

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "coverage.md"
IDEAS = {
    "a": "Training a deep network needs much memory and computing. Reuse is an answer to that.",
    "b": "Weights are learned. They can be taken out of one network and given to another.",
    "c": "Layers near the input find lines and colours, middle layers combine them, and deep layers "
    "speak about the classes.",
    "d": "How like the new task is to the old one decides how deep to tap.",
    "e": "There are four ways to reuse a network: as a classifier, as a standalone feature "
    "extractor, as a frozen part of a new network, and as its initial weights.",
    "f": "Each of them can save much time.",
    "g": "It is not obvious beforehand which of them is best, so test.",
}
BY_HAND = "\n## Seventeen questions"
_CAPTION = re.compile(r"\*\*((?:Figure|Explorer|Table) \d+)\.\*\*\s+(.+?[.?])(?=\s|$)", re.DOTALL)
_ASKED = re.compile(r"""\b(?:check|guess)\(\s*["'](\d\d\.\w+)["']""")


def ideas_of(cell: nbformat.NotebookNode) -> list[str]:
    """Letters of the ideas that a cell is tagged with."""
    tags = cell.metadata.get("tags", [])
    return [tag.removeprefix("idea-") for tag in tags if tag.startswith("idea-")]


def caption(cells: list[nbformat.NotebookNode], place: int) -> tuple[str, str]:
    """Name and first sentence of the first caption after a cell.

    Raises:
        ValueError: No caption follows before the next cell that shows something.
    """
    for cell in cells[place + 1 :]:
        if cell.cell_type == "markdown" and (found := _CAPTION.search(cell.source)):
            return found.group(1), re.sub(r"[*`]", "", " ".join(found.group(2).split()))
        if cell.cell_type == "code" and ideas_of(cell):
            break
    raise ValueError(f"no caption follows the tagged cell {cells[place].id!r}")


def covered(path: Path) -> dict[str, tuple[list[str], list[str], list[str]]]:
    """Idea -> figures, predictions and exercises of one notebook, each with its text."""
    found: dict[str, tuple[list[str], list[str], list[str]]] = {}
    cells = nbformat.read(path, as_version=4).cells
    for place, cell in enumerate(cells):
        for idea in ideas_of(cell):
            figures, predictions, exercises = found.setdefault(idea, ([], [], []))
            tags = cell.metadata.tags
            asked = list(dict.fromkeys(_ASKED.findall(cell.source)))
            if "exercise" in tags:
                exercises += [f"{name}: {all_exercises()[name].question}" for name in asked]
            elif "prediction" in tags:
                predictions += [f"{name}: {all_questions()[name].question}" for name in asked]
            else:
                name, says = caption(cells, place)
                if f"{name}: {says}" not in figures:
                    figures.append(f"{name}: {says}")
    return found


def render() -> str:
    """The page, in Markdown."""
    notebooks = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    by_notebook = {path: covered(path) for path in notebooks}
    lines = [
        "# What is taught where",
        "",
        "The course has seven ideas. This page says which figures show each of them, and which",
        "prediction questions and exercises ask about it. `python -m tools.coverage` writes it",
        "from the tags of the notebooks' cells (`idea-a` to `idea-g`), and a test compares the two.",
    ]
    for idea, text in IDEAS.items():
        lines += [
            "",
            f"## ({idea}) {text}",
            "",
            "| Notebook | Shown | Asked |",
            "| --- | --- | --- |",
        ]
        for path, ideas in by_notebook.items():
            if idea in ideas:
                figures, predictions, exercises = ideas[idea]
                asked = [f"Prediction {p}" for p in predictions] + [
                    f"Exercise {e}" for e in exercises
                ]
                name = path.stem.replace("_", " ")
                link = f"[{name}](../notebooks/{path.name})"
                lines.append(f"| {link} | {_cell(figures)} | {_cell(asked)} |")
    _, found, by_hand = TARGET.read_text(encoding="utf-8").partition(BY_HAND)
    return "\n".join(lines) + "\n" + found + by_hand


def _cell(texts: list[str]) -> str:
    return "<br>".join(text.replace("|", "\\|") for text in texts) or "-"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
