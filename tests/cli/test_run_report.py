"""The page that tells what came of the notebooks."""

import re
from html.parser import HTMLParser

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tlcourse.base.machine import MEMORY_LIMIT, MIB
from tlcourse.cli import run_report
from tlcourse.cli.execute import Failure, Outcome

MACHINE = {"Cores": "2", "System": "Linux"}


class _Page(HTMLParser):
    """Collects tags and texts, and holds that every tag is closed."""

    VOID = frozenset({"meta"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def page():
    failure = Failure(
        3, "if a < b:\n    print('<b>')", "NameError: name 'a' is not defined", "line 1"
    )
    outcomes = [
        Outcome("00_start_here", "passed", 12.4, 800 * MIB, 20, 3.2),
        Outcome("01_slow", "passed", 61.0, MEMORY_LIMIT + MIB, 50),
        Outcome("02_failed", "failed", 2.0, 60 * MIB, 40, None, failure),
        Outcome("03_never", "not run"),
    ]
    return run_report.report(outcomes, MACHINE)


def test_the_page_tells_results_against_what_was_planned(page):
    text = _Page(page).text
    assert "2 of 4 notebooks passed; 1 took more time" in text
    for part in ("12 s (20)", "800 MiB (1536)", "after 3 s", "Passed", "Not run"):
        assert part in text
    assert "61 s (over 50)" in text
    assert "1537 MiB (over 1536)" in text


def test_the_page_shows_the_failing_cell_as_it_is_written(page):
    parsed = _Page(page)
    assert "if a < b:\n    print('<b>')" in parsed.texts
    assert "NameError: name 'a' is not defined" in parsed.texts
    assert ("a", {"href": "#02_failed"}) in parsed.tags
    assert ("section", {"id": "02_failed"}) in parsed.tags


def test_the_page_needs_no_other_file(page):
    assert not re.search(r"https?:|\bsrc=|<link|<script|@import|url\(", page)


def test_the_table_can_be_read_by_ear(page):
    tags = _Page(page).tags
    assert ("html", {"lang": "en"}) in tags
    assert any(tag == "caption" for tag, _ in tags)
    scopes = [attributes.get("scope") for tag, attributes in tags if tag == "th"]
    assert set(scopes) == {"col", "row"}


def test_every_colour_stands_out_in_light_and_dark(page):
    themes = re.findall(r"--text:.*?\}", page, re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): #(\w+)", theme))
        for name in ("text", "good", "bad"):
            for ground in ("back", "soft"):
                assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def _contrast(one, other):
    """Contrast ratio of the Web Content Accessibility Guidelines 2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour):
    colour = "".join(c * 2 for c in colour) if len(colour) == 3 else colour
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_an_executed_notebook_becomes_a_page_with_alternative_texts(tmp_path):
    figure = new_output("display_data", {"text/html": '<img alt="One dot" src="data:,">'})
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[figure])])
    outcome = Outcome("00_start_here", "passed", executed=notebook)
    written = run_report.write_html(outcome, tmp_path).read_text()
    assert 'alt="One dot"' in written
