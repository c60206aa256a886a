"""Links inside the repository lead somewhere: files, headings, and figures that a text names."""

import re
from pathlib import Path

import nbformat
import pytest

from tlcourse.course.guess import all_questions

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|mailto:|attachment:)([^)\s]+)\)")
_HTML_LINK = re.compile(r"""(?:href|src)=["'](?!https?:|mailto:|data:)([^"']+)["']""")
_NAMED = r"(?:Figure|Explorer|Table) \d+"
_ELSEWHERE = re.compile(rf"\[[^\]]*\]\((\d\d_\w+\.ipynb)\)[^|.;\n]*?({_NAMED})")


def text_of(path):
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def anchors(text):
    """Headings as a link names them."""
    headings = re.findall(r"^#+ +(.+?)\s*$", _CODE.sub(lambda m: m.group().strip("`"), text), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def dead(path):
    text = _CODE.sub("", text_of(path))
    for link in (*_LINK.findall(text), *_HTML_LINK.findall(text)):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        there = target.exists()
        if not there or (anchor and anchor.lower() not in anchors(text_of(target))):
            yield link


def captions(path):
    return re.findall(rf"\*\*({_NAMED})\.\*\*", text_of(path))


@pytest.mark.parametrize(
    "path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_links_lead_somewhere(path):
    assert list(dead(path)) == []


def test_dead_links_are_named(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One: two `three`\n[a](page.md) [b](#one-two-three) [c](#none) [d](gone.md) `[e](code)`\n"
        '<img src="no.png"> [f](https://example.org/gone) [g](page.md#nowhere)\n'
    )
    assert list(dead(page)) == ["#none", "gone.md", "page.md#nowhere", "no.png"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_figures_are_numbered_in_order(path):
    found = [caption.split() for caption in captions(path)]
    for kind in {kind for kind, _ in found}:
        numbers = [int(number) for k, number in found if k == kind]
        assert numbers == list(range(1, len(numbers) + 1)), kind


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_figures_that_are_named_are_there(path):
    text = _CODE.sub("", text_of(path))
    for notebook, figure in _ELSEWHERE.findall(text):
        assert figure in captions(path.parent / notebook), (notebook, figure)
    text = re.sub(rf"(?:notebook|Notebook) \d\d[^|.;\n]*?{_NAMED}", "", _ELSEWHERE.sub("", text))
    assert set(re.findall(_NAMED, text)) <= set(captions(path))


def test_predictions_name_figures_that_are_there():
    by_number = {path.stem[:2]: captions(path) for path in NOTEBOOKS}
    for asked in all_questions().values():
        kind, *numbers = asked.figure.replace(" and ", " ").split()
        figures = {f"{kind.removesuffix('s')} {number}" for number in numbers}
        assert figures
        assert figures <= set(by_number[asked.id[:2]]), asked.id
