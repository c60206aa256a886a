"""Whose pictures and data are shown, and under which licence."""

import re

from nbformat import NotebookNode

from tools.slides import texts

_OWNERS = re.compile(
    r"(?:^|(?<=[.)] ))(?:The photographs?|Photographs|Drawings|Digits|All emojis)\b"
)
_UNLINKED = re.compile(r"(?<![\[\w])(?:OpenMoji|CC BY-SA 4\.0)")
_PAGES = {
    "OpenMoji": "https://openmoji.org/",
    "CC BY-SA 4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
}


def credits_of(notebook: NotebookNode) -> list[str]:
    """Whose pictures and data a notebook shows, in its own words."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found += [c for c in _credits_in(cell.source) if not texts.caption(c)]
    return list(dict.fromkeys(found))


def owners(credit: str) -> list[str]:
    """Sentences of a credit, each with its licence."""
    found: list[str] = []
    for sentence in texts.sentences(credit):
        if found and sentence.startswith("License"):
            found[-1] += f" {sentence}"
        else:
            found.append(sentence)
    return found


def linked(credit: str) -> str:
    """With links to the drawings and to their licence, which asks for them."""
    return _UNLINKED.sub(lambda match: f"[{match[0]}]({_PAGES[match[0]]})", credit)


def _credits_in(text: str) -> list[str]:
    """What a text says about whose pictures are shown, and under which licence."""
    found = []
    for block in texts.paragraphs(text):
        flat = " ".join(block.strip("*").split())
        if (owner := _OWNERS.search(flat)) and "CC" in flat[owner.start() :]:
            found.append(linked(flat[owner.start() :]))
    return found
