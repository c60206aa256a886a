"""Every picture says in words what it shows, for who cannot see it."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", "venv", "executed"} & set(path.relative_to(ROOT).parts)
)
MIN_WORDS = 6  # "Bars of seconds" names a kind of picture, not what it shows

_DATA = re.compile(r"data:[\w/+.;=-]+,[\w+/=%-]*")
_TAG = re.compile(r"<(img|svg)\b[^>]*>", re.IGNORECASE)
_ALT = re.compile(r"""\b(?:alt|aria-label)\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_HIDDEN = re.compile(r"""aria-hidden\s*=\s*["']true["']|role\s*=\s*["']presentation["']""")
_MARKDOWN = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def in_html(text):
    """Alternative text of each picture in HTML; pictures that are hidden from readers are not."""
    tags = [m.group(0) for m in _TAG.finditer(_DATA.sub("", text))]
    for tag in tags:
        if not _HIDDEN.search(tag):
            found = _ALT.search(tag)
            yield (found.group(1) or found.group(2) or "") if found else ""


def in_markdown(text):
    text = _CODE.sub("", text)
    yield from (alt for alt, _ in _MARKDOWN.findall(text))
    yield from in_html(text)


def in_output(output):
    data = output.get("data", {})
    if "text/html" in data:  # what is shown where there is more than one form
        yield from in_html("".join(data["text/html"]))
        return
    for kind in data:
        if kind.startswith("image/"):
            yield output.metadata.get(kind, {}).get("alt", "")


def texts(notebook):
    """Pairs of a cell's id and the alternative text of a picture in it."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield from ((cell.id, alt) for alt in in_markdown(cell.source))
        for output in cell.get("outputs", []):
            yield from ((cell.id, alt) for alt in in_output(output))


def without(pairs):
    """Where a picture stands that has no alternative text, or only a few words."""
    return [where for where, alt in pairs if len(alt.split()) < MIN_WORDS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_of_a_notebook_has_an_alternative_text(path):
    notebook = nbformat.read(path, as_version=4)
    assert without(texts(notebook)) == [], "cells whose figure has none"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_two_figures_of_a_notebook_say_the_same(path):
    said = [alt for _, alt in texts(nbformat.read(path, as_version=4))]
    assert len(said) > 1
    assert sorted(set(said)) == sorted(said)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_picture_of_a_page_has_an_alternative_text(path):
    found = in_markdown(path.read_text(encoding="utf-8"))
    assert without((path.name, alt) for alt in found) == []


def test_every_kind_of_figure_without_a_text_is_named():
    """A figure of matplotlib itself, HTML, SVG, Markdown: none of them is overlooked."""

    def shows(name, data, metadata=None):
        output = new_output("display_data", data=data, metadata=metadata or {})
        return new_code_cell("draw()", id=name, outputs=[output])

    long = "a cat and six maps in which its outline is seen"
    named = new_notebook(
        cells=[
            shows("plain", {"image/png": "iVBO", "text/plain": "<Figure>"}),
            shows("plain-good", {"image/png": "iVBO"}, {"image/png": {"alt": long}}),
            shows("short", {"text/html": '<img src="data:image/png;base64,ab" alt="bars">'}),
            shows("html", {"text/html": f'<img alt="{long}"><img src="x.png">'}),
            shows("svg", {"text/html": '<svg role="img"></svg>', "image/png": "iVBO"}),
            shows("svg-good", {"text/html": f'<svg aria-label="{long}"></svg>'}),
            shows("ornament", {"text/html": '<svg aria-hidden="true"></svg>'}),
            new_markdown_cell("![](images/a.svg) `![](code.png)`", id="markdown"),
            new_markdown_cell(f"![{long}](images/a.svg)", id="markdown-good"),
        ]
    )
    assert without(texts(named)) == ["plain", "short", "html", "svg", "markdown"]
