"""Executing notebooks, and the page that tells what came of them."""

import getpass
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tiny_notebooks import PIXEL, write_notebook

from tlcourse import CourseError
from tlcourse.base.machine import MEMORY_LIMIT, MIB, describe
from tlcourse.cli import run_report
from tlcourse.cli.execute import Failure, Outcome, execute

FIGURE = f"""
from IPython.display import HTML
HTML('<img alt="One dot" src="data:image/png;base64,{PIXEL}">')
"""
MACHINE = {"Cores": "2", "System": "Linux"}


@pytest.fixture(scope="module")
def passed(tmp_path_factory):
    path = tmp_path_factory.mktemp("passed") / "00_start_here.ipynb"
    write_notebook(
        path, "held = bytearray(200 * 2**20)", "del held", FIGURE, "import os", seconds=30
    )
    before, cells = path.read_bytes(), []
    outcome = execute(path, on_cell=lambda: cells.append(1))
    assert path.read_bytes() == before, "the notebook itself was changed"
    assert len(cells) == 4
    return outcome


def test_a_notebook_that_runs_passes_and_is_measured(passed):
    assert passed.status == "passed"
    assert passed.failure is None
    assert passed.budget_seconds == 30
    assert 0 < passed.first_figure_seconds <= passed.seconds
    assert passed.executed.cells[-2].outputs


def test_peak_memory_counts_what_was_freed_again(passed):
    assert 200 * MIB < passed.peak_bytes < 700 * MIB


def test_the_failing_cell_is_told_with_its_error(tmp_path):
    path = write_notebook(tmp_path / "01_bad.ipynb", "x = '<b>'", "x / 0", "print('never')")
    outcome = execute(path)
    assert outcome.status == "failed"
    assert (outcome.failure.cell, outcome.failure.source) == (2, "x / 0")
    assert outcome.failure.error.startswith("TypeError: unsupported operand")
    assert "\x1b" not in outcome.failure.traceback
    assert not outcome.executed.cells[2].get("execution_count")


def test_an_error_that_is_the_lesson_does_not_fail(tmp_path):
    path = tmp_path / "01_lesson.ipynb"
    write_notebook(path, "1 / 0", "1")
    text = path.read_text().replace(
        '"metadata": {}', '"metadata": {"tags": ["raises-exception"]}', 1
    )
    path.write_text(text)
    assert execute(path).status == "passed"


def test_a_kernel_that_dies_is_told(tmp_path):
    path = write_notebook(tmp_path / "02_dies.ipynb", "1", "import os; os._exit(9)")
    outcome = execute(path)
    assert outcome.status == "failed"
    assert outcome.failure.cell == 2
    assert "kernel died" in outcome.failure.error


def test_what_is_not_a_notebook_is_refused_with_a_sentence(tmp_path):
    path = tmp_path / "00_broken.ipynb"
    path.write_text("{not json")
    with pytest.raises(CourseError, match=r"00_broken\.ipynb cannot be read as a notebook"):
        execute(path)


# The page


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


def test_the_machine_is_described_but_not_whose_it_is():
    facts = describe()
    text = " ".join(facts.values())
    assert set(facts) == {"Cores", "Memory", "Device", "System", "Versions"}
    assert str(Path.home()) not in text
    assert not re.search(rf"\b{re.escape(getpass.getuser())}\b", text)
    assert not re.search(r"(^|\s)/\w", text)


def test_an_executed_notebook_becomes_a_page_with_alternative_texts(passed, tmp_path):
    written = run_report.write_html(passed, tmp_path).read_text()
    assert 'alt="One dot"' in written
