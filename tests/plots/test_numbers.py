"""Bars, curves and tables show the numbers that they are given, and say them in words."""

import numpy as np
import pandas as pd
import pytest
from figures import nothing_is_cut_off

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.plots.figure import WIDTH

plots = tl.plots


def test_bars_take_a_dictionary_or_a_series():
    figure = plots.bars(
        pd.Series({"frozen": 0.66, "fine-tuned": 0.7}),
        intervals={"frozen": (0.6, 0.72)},
        xlabel="accuracy",
        reference=("chance", 0.25),
    )
    assert [p.get_width() for p in figure.axes[0].patches] == [0.66, 0.7]
    interval, reference = figure.axes[0].lines
    assert list(interval.get_xdata()) == [0.6, 0.72]
    assert list(reference.get_xdata()) == [0.25, 0.25]
    assert figure.alt == (
        "Bars of accuracy: frozen 0.66 (0.6 to 0.72), fine-tuned 0.7; a line marks chance at 0.25."
    )
    with pytest.raises(CourseError, match="nothing to compare"):
        plots.bars({})


def test_curves_differ_by_colour_and_marker():
    figure = plots.accuracy_by_layer(
        {"photographs": {"stem": 0.6, "embedding": 0.9}, "digits": {"stem": 0.7, "embedding": 0.5}},
        intervals={"digits": {"stem": (0.6, 0.8), "embedding": (0.4, 0.6)}},
        chance=0.5,
    )
    first, second, chance = figure.axes[0].lines
    assert list(first.get_ydata()) == [0.6, 0.9]
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()
    assert list(chance.get_ydata()) == [0.5, 0.5]
    assert len(figure.axes[0].collections) == 1  # one band
    assert figure.alt == (
        "Curves of accuracy by layer, from input to output (stem, embedding): "
        "photographs 0.6, 0.9; digits 0.7 (0.6 to 0.8), 0.5 (0.4 to 0.6); a broken line marks chance at 0.5."
    )

    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "photographs",
        "digits",
        "chance",
    ]
    with pytest.raises(CourseError, match="each with 2 numbers"):
        plots.lines([1, 2], {"a": [1.0]})


def test_a_curve_of_many_points_is_told_by_its_ends_and_its_top():
    figure = plots.lines(range(30), {"hill": [*range(20), *range(10)]}, xlabel="step")
    assert figure.alt == "Curves by step: hill from 0 to 9, largest 19 at 19."


def test_counts_are_written_and_shares_of_each_true_class_are_shades():
    counts = np.array([[3, 1, 0], [0, 4, 0], [2, 0, 6]])
    figure = plots.confusion(counts, ["ant", "bee", "cat"], title="Mistakes")
    (axes,) = figure.axes
    shades = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shades, [[0.75, 0.25, 0], [0, 1, 0], [0.25, 0, 0.75]])
    assert axes.images[0].get_clim() == (0, 1)
    written = {text.get_position(): text.get_text() for text in axes.texts}
    expected = {(0, 0): "3", (1, 0): "1", (1, 1): "4", (0, 2): "2", (2, 2): "6"}
    assert written == expected  # (column, row); zeros are left out
    colours = {text.get_position(): text.get_color() for text in axes.texts}
    assert (colours[0, 0], colours[1, 0]) == ("white", "black")
    assert [t.get_text() for t in axes.get_xticklabels()] == ["ant", "bee", "cat"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["ant", "bee", "cat"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert figure.alt == (
        "Table of true and predicted classes: 13 of 16 right "
        "(ant 3 of 4, bee 4 of 4, cat 6 of 8); most often mistaken: 2 of cat taken for ant."
    )


def test_a_class_without_pictures_and_a_task_without_mistakes_are_fine():
    figure = plots.confusion([[2, 0], [0, 0]], ["a", "b"])
    assert np.isfinite(np.asarray(figure.axes[0].images[0].get_array())).all()
    assert figure.alt == "Table of true and predicted classes: 2 of 2 right (a 2 of 2, b 0 of 0)."


@pytest.mark.parametrize("n", [12, 40])
def test_a_table_of_many_classes_fits_the_notebook_too(n):
    figure = plots.confusion(np.eye(n, dtype=int), [f"class {i}" for i in range(n)])
    assert figure.get_figwidth() <= WIDTH + 0.5
    nothing_is_cut_off(figure)


@pytest.mark.parametrize(
    "counts", [[], None, [1, 2], np.zeros((3, 3)), np.zeros((2, 3)), np.zeros((2, 2, 1))]
)
def test_counts_that_do_not_fit_the_classes_are_refused(counts):
    with pytest.raises(CourseError, match=r"2 classes need counts of shape \(2, 2\), got"):
        plots.confusion(counts, ["a", "b"])


@pytest.mark.parametrize("counts", [[], np.zeros((0, 0))])
def test_a_table_of_no_class_is_refused(counts):
    with pytest.raises(CourseError, match="class"):
        plots.confusion(counts, [])


def test_the_text_of_a_table_can_be_replaced():
    assert plots.confusion([[1, 0], [0, 1]], "ab", alt="My words.").alt == "My words."
