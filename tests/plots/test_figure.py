"""What all figures have in common: their text, their size, how a notebook shows them."""

import base64
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from figures import nothing_is_cut_off
from matplotlib import pyplot as plt
from matplotlib import rcParams
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.plots.figure import WIDTH, Figure, encode, mime_bundle, place, washed_out

plots = tl.plots


def one_of_each(backbone, cat, crops):
    square = np.linspace(-1, 1, 224 * 224, dtype=np.float32).reshape(224, 224)
    features = {"stem": np.eye(6) + np.arange(6)[:, None], "embedding": np.eye(6)}
    yield plots.filters(backbone)
    yield plots.activation_maps(backbone, cat, ["stem", "stage3", "stage7"], channels=2)
    yield plots.top_pictures(backbone, crops, "stage2", [0, 3], n=3)
    yield plots.nearest_neighbours(features, crops, [0, 5], n=2, labels=[0, 0, 0, 1, 1, 1])
    yield plots.predictions(backbone, {"a cat": cat, "half of it": crops[0], "end": crops[2]})
    yield plots.attribution(backbone, cat, {"grad_cam": square, "occlusion": -square}, 282)
    yield plots.bars({"one": 1.0, "another": 2.0}, reference=("chance", 0.5), title="Bars")
    yield plots.lines([1, 2], {"a": [1.0, 2.0], "b": [2.0, 1.0]}, xlabel="x")
    names = ["a rather long name", "another one", "short"]
    yield plots.confusion(np.diag([3, 4, 5]) + 1, names, title="Mistakes")
    yield plots.confusion(np.eye(10, dtype=int), [f"class {i}" for i in range(10)])


def test_each_figure_has_its_text_fits_the_notebook_and_is_small(backbone, cat, crops):
    before = dict(rcParams)
    for figure in one_of_each(backbone, cat, crops):
        assert isinstance(figure, Figure)
        assert len(figure.alt) > 30
        assert figure.get_figwidth() <= WIDTH + 0.5
        nothing_is_cut_off(figure)
        _, content, width = encode(figure)
        assert len(content) < 80_000
        assert width <= 950
    assert dict(rcParams) == before
    assert not plt.get_fignums()


def test_the_text_of_each_figure_can_be_replaced(backbone, cat, crops):
    assert plots.bars({"a": 1.0}, alt="My words.").alt == "My words."
    assert plots.filters(backbone, alt="My words.").alt == "My words."
    assert plots.predictions(backbone, cat, alt="My words.").alt == "My words."


def test_the_output_is_one_opaque_picture_with_its_text_escaped():
    figure = plots.bars({"a": 1.0}, alt='1 < 2 & "so"')
    bundle = mime_bundle(figure, figure.alt)
    assert bundle["text/plain"] == '1 < 2 & "so"'
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/html"].startswith('<img alt="1 &lt; 2 &amp; &quot;so&quot;" width="')
    (encoded,) = re.findall(r"base64,([^\"]+)\"", bundle["text/html"])
    picture = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
    assert picture.getpixel((0, 0)) == (255, 255, 255, 255)


def test_a_notebook_shows_each_figure_once_and_its_html_carries_the_text(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    by_hand = (
        "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\naxes.plot([1, 2])\n"
        "plots.show(figure, alt='A line that rises.')"
    )
    cells = [
        "from tlcourse import plots\nplots.bars({'a': 1.0}, alt='One < two.')",
        by_hand,
        "display(plots.bars({'b': 1.0}, alt='In the middle.'))\nlater = 1",
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    assert [len(cell.outputs) for cell in notebook.cells] == [1, 1, 1]
    nbformat.validate(notebook)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert re.findall(r'<img alt="([^"]*)"', page) == [
        "One &lt; two.",
        "A line that rises.",
        "In the middle.",
    ]
    assert page.count("<img") == 3


def test_show_closes_a_figure_drawn_by_hand_and_wants_a_text():
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    with pytest.raises(CourseError, match="needs a text"):
        plots.show(figure, alt=" ")
    with pytest.raises(CourseError, match="matplotlib figure, got Axes"):
        plots.show(axes, alt="A line.")
    assert repr(plots.show(figure, alt="A line.")) == "Figure: A line."
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [(0, 0, "upper left"), (9, 5, "lower middle"), (5, 5, "centre"), (4, 9, "middle right")],
)
def test_a_place_is_said_in_words(row, column, words):
    values = np.zeros((10, 10))
    values[row, column] = 1
    assert place(values) == words
    assert place(-values) == "nowhere in particular"


def test_figures_are_drawn_in_the_courses_style_whatever_the_learners_is():
    with plt.rc_context({"axes.spines.top": True, "font.size": 30}):
        figures = [plots.bars({"a": 1.0}), plots.bars({"a": 1.0})]
        assert rcParams["font.size"] == 30
    for figure in figures:
        (axes,) = figure.axes
        assert not axes.spines["top"].get_visible()
        assert axes.get_xticklabels()[0].get_size() == 11


def test_a_washed_out_picture_is_light_grey_and_keeps_what_is_light_and_dark():
    picture = np.zeros((1, 3, 3))
    picture[0, 1], picture[0, 2] = (0.9, 0, 0), 1
    assert washed_out(picture).tolist() == [[[0.35] * 3, [0.5] * 3, [0.85] * 3]]
