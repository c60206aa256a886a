"""The decision guide: one printed page, true to the package, readable for everybody."""

import ast
import inspect
import re
import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import in_a_browser
from pypdf import PdfReader
from spelling import unknown
from typer.main import get_command

import tlcourse as tl
from tlcourse.cli.app import app
from tools import guide

DOCS = Path(__file__).parents[2] / "docs"
GUIDE, PDF = DOCS / "decision_guide.html", DOCS / "decision_guide.pdf"


class Texts(HTMLParser):
    """What a printed page shows, and what is code on it."""

    def __init__(self, page):
        super().__init__()
        self.printed, self.codes, self.tags, self.open = [], [], set(), []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in ("meta", "wbr"):
            self.open.append((tag, dict(attributes).get("class", "")))
        if tag == "code":
            self.codes.append("")

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, tag

    def handle_data(self, data):
        tags = {tag for tag, _ in self.open}
        if "body" in tags and all("screen" not in names.split() for _, names in self.open):
            self.printed.append(data)
        if "code" in tags:
            self.codes[-1] += data


@pytest.fixture(scope="module")
def page():
    return Texts(GUIDE.read_text(encoding="utf-8"))


@pytest.fixture
def shown(browser):
    """Open the page in a browser window of a width and a colour scheme."""
    pages, said, asked = [], [], []

    def show(width=1280, scheme="light"):
        opened = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        opened.on("console", lambda message: said.append(message.text))
        opened.on("request", lambda request: asked.append(request.url))
        opened.goto(GUIDE.as_uri())
        opened.said, opened.asked = said, asked
        pages.append(opened)
        return opened

    yield show
    for opened in pages:
        opened.close()


def letters(text):
    """A text without what a printer may change: spaces, and where lines end."""
    return re.sub(r"\s", "", text)


# The committed PDF


def test_the_pdf_was_made_from_this_page(page):
    read = PdfReader(PDF)
    assert read.metadata["/MadeFrom"] == guide.fingerprint(), "run python -m tools.guide"
    found = letters(read.pages[0].extract_text())
    assert sorted(found) == sorted(letters("".join(page.printed)))


def test_the_pdf_is_one_small_page_that_a_screen_reader_can_read():
    read = PdfReader(PDF)
    root = read.trailer["/Root"]
    assert len(read.pages) == 1
    assert PDF.stat().st_size < 200_000
    assert root["/MarkInfo"]["/Marked"] == True  # noqa: E712, a boolean of pypdf
    assert root["/StructTreeRoot"]["/K"]
    assert root["/Lang"] == "en-GB"
    assert read.metadata.title.startswith("Which pattern")


def test_the_pdf_brings_its_fonts():
    fonts = PdfReader(PDF).pages[0]["/Resources"]["/Font"]
    assert fonts
    for font in fonts.values():
        whole = font.get_object()
        inner = whole["/DescendantFonts"][0].get_object() if "/DescendantFonts" in whole else whole
        described = inner["/FontDescriptor"].get_object()
        assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(described), whole["/BaseFont"]


def has_the_font():
    """Liberation Sans, or Arial, whose letters are as wide; wider ones need a second sheet."""
    listed = shutil.which("fc-list") and subprocess.run(["fc-list"], capture_output=True).stdout
    return listed is None or b"Liberation" in listed or b"Arial" in listed


@in_a_browser
@pytest.mark.skipif(not has_the_font(), reason="Liberation Sans is not installed")
@pytest.mark.parametrize(("paper", "height"), [("A4", 842), ("Letter", 792)])
def test_the_page_prints_on_one_sheet(paper, height, tmp_path):
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    guide.main(["--paper", paper, "--out", str(tmp_path / "guide.pdf")])
    (sheet,) = PdfReader(tmp_path / "guide.pdf").pages
    assert float(sheet.mediabox.height) == pytest.approx(height, abs=1)


@in_a_browser
def test_the_same_page_makes_the_same_file():
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    first, second = (guide.steady(guide.printed()) for _ in range(2))
    assert first == second


def test_without_a_browser_the_command_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(guide, "browser", lambda: None)
    with pytest.raises(SystemExit, match="No Chromium is installed"):
        guide.main(["--out", str(tmp_path / "guide.pdf")])
    assert list(tmp_path.iterdir()) == []


# The page on a screen


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(shown, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(shown(scheme=scheme)).response
    assert [v["id"] for v in found["violations"]] == []
    checked = {rule["id"] for rule in found["passes"]}
    assert {"color-contrast", "document-title", "html-has-lang", "list"} <= checked


@in_a_browser
@pytest.mark.parametrize("width", [360, 800])
def test_nothing_runs_out_of_a_narrow_window(shown, width):
    wider = shown(width).evaluate(
        """() => [...document.querySelectorAll("body, body *")]
            .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth
                || e.getBoundingClientRect().right > innerWidth)
            .map(e => e.tagName + ": " + e.textContent.slice(0, 40))"""
    )
    assert wider == []


@in_a_browser
def test_the_page_needs_nothing_else(shown, page):
    opened = shown()
    assert opened.said == []
    assert set(opened.asked) == {GUIDE.as_uri()}
    assert not {"script", "link", "iframe", "img"} & page.tags
    assert "url(" not in GUIDE.read_text(encoding="utf-8")


# What it says


def test_every_function_on_the_page_takes_these_arguments(page):
    calls = 0
    for code in page.codes:
        if code.startswith(("tlcourse ", "import ")):
            continue
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("tl."):
                assert callable(named(ast.unparse(node))) or ast.unparse(node) in MODULES, code
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("tl."):
                given = {k.arg: None for k in node.keywords}
                inspect.signature(named(ast.unparse(node.func))).bind(*node.args, **given)
                calls += 1
    assert calls >= 8


MODULES = {"tl.patterns", "tl.proofs", "tl.finetune"}


def named(path):
    found = tl
    for name in path.split(".")[1:]:
        found = getattr(found, name)
    return found


def test_options_that_stand_alone_belong_to_their_pattern(page):
    options = {
        'layer="stage5"': tl.patterns.standalone_extractor,
        "augment=False": tl.patterns.frozen_extractor,
        'freeze_until="stage3"': tl.patterns.fine_tune,
    }
    assert set(options) <= set(page.codes)
    for option, pattern in options.items():
        inspect.signature(pattern).bind("backbone", "task", **{option.split("=")[0]: None})


def test_the_command_on_the_page_is_understood(page):
    (command,) = [code for code in page.codes if code.startswith("tlcourse ")]
    _, name, *arguments = shlex.split(command)
    known = get_command(app).commands[name]
    parsed = known.make_context(name, arguments)
    assert parsed.params["budget"] == "10m"


def test_the_page_goes_the_way_of_notebook_08(page):
    drawing = (DOCS.parent / "notebooks" / "images" / "08_guide.svg").read_text(encoding="utf-8")
    said = " ".join(page.printed)
    for letter in "ABCDE":
        assert re.search(rf">{letter}\. ", drawing)
        assert letter in page.printed
    in_order = [
        "pattern 1",
        "pattern 2",
        "is it good enough",
        "more labelled",
        "better layer",
        "pattern 4",
    ]
    places = [said.lower().index(words) for words in in_order]
    assert places == sorted(places)


def test_the_page_is_spelled_as_the_rest(page):
    words = " ".join(page.printed)
    for code in page.codes:
        words = words.replace(code, " ")
    assert unknown(words) == []
