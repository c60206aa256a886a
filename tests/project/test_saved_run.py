"""What the notebooks say of their saved run is what their saved outputs show."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from saved_run import BEGINS, numbers, sentences

PATHS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_each_number_of_the_saved_run_is_in_the_outputs(path):
    found = sentences(nbformat.read(path, as_version=4))
    wrong = [line for sentence in found for line in sentence.wrong()]
    assert not wrong, f"{path.stem}: " + "\n".join(wrong)
    assert [s.text for s in found if not numbers(s.text)] == [], "no digits"
    assert found


def printed(text):
    return new_code_cell("draw()", outputs=[new_output("stream", text=text)])


def shown(html, **metadata):
    data = {"text/html": html, "text/plain": "<Figure size 640x480>"}
    return new_code_cell("draw()", outputs=[new_output("display_data", data, metadata=metadata)])


def told(*cells, says):
    """What is wrong with a sentence below some cells."""
    below = new_markdown_cell(f"**Figure 1.** Bars.\n\n{BEGINS} {says}\n\nIt means much.")
    cells = [new_markdown_cell("# Tiny\n\n## 1. Look"), *cells, below]
    (sentence,) = sentences(new_notebook(cells=cells))
    return sentence.wrong()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("accuracy 0.9371", "the head is right on .937 of them, which is 94 %."),
        ("accuracy 93.7%", "93.7 % or 0.937."),
        ("12.4 s against 0.31 s: 40.2 times", "12 s against 0.3 s, 40 times as long."),
        ("447 days, 1.2 years", "447 days are 1.2 years, 1 year in short."),
        ("5,051 times", "5,051 times, or about 5,000."),
        ("1280 features", "1,280 features."),
        ("gain 0.121", "12 points more."),
        ("0.957 0.961 0.983", "three seeds, .957-.983."),
        ("0.88", "stage5 of SqueezeNet 1.1 (Figure 2, 96 px, 128 x 128 pixels, `C=7`): .88."),
        ("0.88", "the 95 % interval, arXiv 1411.1792, a 3x3 filter in 16-bit numbers: .88."),
        ("7 of 9", "seven, and two more, as words; 7 in digits."),
    ],
)
def test_a_number_may_be_rounded_and_be_a_share_or_percent(text, says):
    assert told(printed(text), says=says) == []


@pytest.mark.parametrize(
    ("text", "says", "number", "nearest"),
    [
        ("accuracy 0.9371", ".973 of them.", ".973", "0.9371"),
        ("accuracy 0.9371", ".93 of them.", ".93", "0.9371"),
        ("accuracy 0.93", ".937 of them.", ".937", "0.93"),
        ("accuracy 0.9371", "93 % of them.", "93 %", "0.9371"),
        ("accuracy 93.7%", "94 % of 200.", "200", "93.7"),
        ("39.4 times", "40 times.", "40", "39.4"),
        ("5,051 times", "5,000 times.", "5,000", "5051"),
        ("stage5 0.5", "5 of them.", "5", "0.5"),
        ("93", "93 %.", "93 %", "93"),
        ("0.95 0.983", "three seeds, .957-.983.", ".957", "0.95"),
    ],
)
def test_a_wrong_digit_or_a_wrong_rounding_is_named_with_the_nearest(text, says, number, nearest):
    (line,) = told(printed(text), says=says)
    assert line.startswith(f"no output below '1. Look' shows {number}: the nearest is {nearest}. ")
    assert says in line


def test_tables_and_alternative_texts_count_and_styles_do_not():
    table = "<style>td {width: 77px; margin: 66}</style><table><tr><td>0.25</td></tr></table>"
    picture = '<img src="data:image/png;base64,55" alt="Bars: stem 0.5, stage1 0.75">'
    svg = '<svg aria-label="a cat, 39%"></svg>'
    png = {"image/png": {"alt": "a curve up to 8.5"}}
    cells = [shown(table), shown(picture), shown(svg), shown("", **png)]
    assert told(*cells, says=".25, .5, .75, 39 % and 8.5.") == []
    assert len(told(*cells, says="77, 66, 55, 640 and 480.")) == 5


def test_only_outputs_of_the_section_above_the_sentence_count():
    later = printed("0.3")
    cells = [printed("0.1"), new_markdown_cell("## 2. Next"), printed("0.2")]
    notebook = new_notebook(cells=[*cells, new_markdown_cell(f"{BEGINS} .1, .2, .3."), later])
    (sentence,) = sentences(notebook)
    assert [line.split(": ")[0].split()[-1] for line in sentence.wrong()] == [".1", ".3"]
    fenced = new_markdown_cell(f"### Below\n\n```python\n\n## no heading\n```\n\n{BEGINS} .2.")
    assert [s.wrong() for s in sentences(new_notebook(cells=[*cells, fenced]))] == [[]]


def test_nothing_shown_is_said_to_be_none():
    (line,) = told(says="3 of them.")
    assert "shows 3: there is none." in line
