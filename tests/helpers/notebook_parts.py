"""Take a notebook apart: setup cells, exercise cells, and the solutions in its markdown."""

import copy
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

_CHECK = re.compile(r"""\bcheck\(\s*["']([^"']+)["']""")
_SOLUTION = re.compile(
    r"^#+\s*Solution\s+(\S+)\s*$"  # the heading
    r"(?:(?!^#).)*?"  # its own text, but no other heading
    r"<details>.*?^```python\n(.*?)^```.*?</details>",
    re.MULTILINE | re.DOTALL,
)


def tagged(notebook, tag):
    return [c for c in notebook.cells if tag in c.metadata.get("tags", [])]


def exercise_cells(notebook):
    """Exercise id -> its cell, in the order of the notebook."""
    found = {}
    for cell in tagged(notebook, "exercise"):
        (name,) = set(_CHECK.findall(cell.source))
        assert name not in found, f"two cells check exercise {name}"
        found[name] = cell
    return found


def solutions(notebook):
    """Exercise id -> the Python code of its solution."""
    text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    found = _SOLUTION.findall(text)
    assert len(found) == len(dict(found)), "an exercise has two solutions"
    return dict(found)


def solved(notebook):
    """A notebook of the setup cells and the exercise cells with their solutions in place."""
    answers = solutions(notebook)
    short = copy.deepcopy(notebook)
    cells = exercise_cells(short)
    assert list(answers) == list(cells), "solutions and exercise cells are not the same"
    for name, cell in cells.items():
        ending = "" if _CHECK.search(answers[name]) else cell.source.splitlines()[-1]
        cell.source = answers[name] + ending
    keep = {"setup", "exercise"}
    short.cells = [c for c in short.cells if keep & set(c.metadata.get("tags", []))]
    return short


def run_solved(path: Path):
    """Run setup and solutions in one kernel; exercise id -> what was shown as the last output."""
    short = solved(nbformat.read(path, as_version=4))
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(short, timeout=300, kernel_name="python3", resources=resources).execute()
    return {name: _shown(cell) for name, cell in exercise_cells(short).items()}


def _shown(cell):
    return cell.outputs[-1]["data"]["text/plain"] if cell.outputs else ""
