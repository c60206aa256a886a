"""Notebooks as pages: solutions and hidden code folded, a note on how to run them, outputs fixed."""

import posixpath
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

from tools.repository import Repository
from tools.site.links import Links, hide_code, show_code
from tools.site.outputs import fix_outputs

_FOLDED = re.compile(
    r"^<details>\s*<summary>(.*?)</summary>\s*\n(.*?)\n</details>\s*?$", re.DOTALL | re.MULTILINE
)
_CLEAR_FIRST = re.compile(r"^\*To guess for yourself,\* clear the saved outputs.*$", re.MULTILINE)


def fold(text: str) -> str:
    """Make what stands in `<details>` a block that the reader opens."""
    hidden, code = hide_code(text)
    return show_code(_FOLDED.sub(r":::::{dropdown} \1\n\2\n:::::", hidden), code)


def run_note(path: str, repository: Repository | None) -> str:
    """What a page says about its outputs, and how to run its notebook."""
    here = posixpath.dirname(path)
    lines = [
        ":::{div} run-note",
        "This page shows saved outputs, which tell the answers. To guess first, and to change "
        f"things, run the notebook: [on your own machine]({posixpath.relpath('install.md', here)})",
    ]
    if repository:
        lines[-1] += (
            f", or in your browser [on Binder]({repository.binder(path)}) or "
            f"[in Colab]({repository.colab(path)}).\n\n"
            "In Colab, first run this line in a new cell:\n\n"
            f"```python\n%pip install git+{repository.url}\n```"
        )
    else:
        lines[-1] += "."
    return "\n".join([*lines, ":::"])


def stage_lesson(
    source: Path, path: str, tree: Path, site: Path, links: Links, repository: Repository | None
) -> None:
    """Write a notebook as Sphinx shall read it.

    Args:
        source: The notebook.
        path: Its path in the repository and on the site.
        tree: Folder of the site's sources.
        site: Folder for files that the site holds beside its pages.
        links: Where the repository's files are on the site.
        repository: For the note on how to run the notebook, if it is known.
    """
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = links.retarget(fold(cell.source), path, path)
        elif cell.cell_type == "code":
            fix_outputs(cell, path, site)
            if cell.metadata.get("jupyter", {}).get("source_hidden"):
                cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
    title = notebook.cells[0]
    title.source = _CLEAR_FIRST.sub("", title.source)
    notebook.cells.insert(1, new_markdown_cell(run_note(path, repository), id="run-note"))
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, tree / path)
