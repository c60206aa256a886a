"""Each of the seven ideas is shown and asked, as the tags of the notebooks' cells say."""

import re
from itertools import chain
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from saved_run import numbers, sentences

from tools import coverage

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture(scope="module")
def covered():
    return {path.stem: coverage.covered(path) for path in NOTEBOOKS}


def test_the_page_says_what_the_notebooks_tags_say():
    page = coverage.TARGET.read_text(encoding="utf-8")
    assert page == coverage.render(), "run `python -m tools.coverage`"


def test_the_answers_say_what_the_notebooks_say():
    _, _, by_hand = coverage.TARGET.read_text(encoding="utf-8").partition(coverage.BY_HAND)
    rows = [line for line in by_hand.splitlines() if "../notebooks/" in line]
    assert len(rows) == len(NOTEBOOKS)
    for row in rows:
        (name,) = re.findall(r"\.\./notebooks/(\w+\.ipynb)", row)
        notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
        said = " ".join(sentence.text for sentence in sentences(notebook))
        told = numbers(row.split(" | ")[1].split(" ([")[0])
        assert told
        assert set(told) <= set(numbers(said)), name


def test_there_are_no_other_ideas(covered):
    assert {idea for ideas in covered.values() for idea in ideas} == set(coverage.IDEAS)


@pytest.mark.parametrize("idea", coverage.IDEAS)
def test_each_idea_is_shown_and_its_exercises_are_at_least_two(covered, idea):
    parts = [ideas[idea] for ideas in covered.values() if idea in ideas]
    figures, predictions, exercises = ([*chain(*kind)] for kind in zip(*parts, strict=True))
    assert figures
    assert predictions
    assert len(exercises) >= 2


def tiny(*cells):
    return new_notebook(cells=list(cells))


def test_a_figure_is_named_by_the_caption_that_follows(tmp_path):
    figure = new_code_cell("draw()", metadata={"tags": ["idea-c"]})
    text = "Words.\n\n**Figure 3.** Maps of\nsix layers. *Look at the outline.*"
    nbformat.write(tiny(figure, new_markdown_cell(text)), tmp_path / "n.ipynb")
    assert coverage.covered(tmp_path / "n.ipynb") == {
        "c": (["Figure 3: Maps of six layers."], [], [])
    }


def test_a_tagged_figure_without_a_caption_is_named(tmp_path):
    figure = new_code_cell("draw()", metadata={"tags": ["idea-c"]}, id="bare")
    other = new_code_cell("draw()", metadata={"tags": ["idea-c"]})
    cells = (figure, other, new_markdown_cell("**Figure 3.** Of the other."))
    nbformat.write(tiny(*cells), tmp_path / "n.ipynb")
    with pytest.raises(ValueError, match="no caption follows the tagged cell 'bare'"):
        coverage.covered(tmp_path / "n.ipynb")
