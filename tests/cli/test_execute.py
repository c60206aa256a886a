"""Executing notebooks: what is measured, and how each way to end is told."""

import pytest
from tiny_notebooks import PIXEL, write_notebook

from tlcourse import CourseError
from tlcourse.base.machine import MIB
from tlcourse.cli.execute import execute

FIGURE = f"""
from IPython.display import HTML
HTML('<img alt="One dot" src="data:image/png;base64,{PIXEL}">')
"""


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
