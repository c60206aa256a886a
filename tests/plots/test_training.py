"""Figures of trainings show the numbers of the trainings, and say them in words."""

import math

import numpy as np
import pytest
from figures import nothing_is_cut_off, texts

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.plots.figure import WIDTH, encode
from tlcourse.training.history import Epoch, History
from tlcourse.training.learning_rate import RateSearch

plots = tl.plots


def history(accuracies, stopped=""):
    epochs = tuple(
        Epoch(i, 1 / i, 1.2 / i, accuracy, 0.5, None) for i, accuracy in enumerate(accuracies, 1)
    )
    best = 1 + int(np.argmax(accuracies)) if accuracies else 0
    return History(epochs, best, stopped, 3.0, 0.0, lambda: 10**8, 8, None)


@pytest.fixture
def search():
    losses = np.array([1.0, 0.9, 0.5, 0.7, 2.5])
    smooth = np.array([1.0, 0.95, 0.6, 0.65, 1.3])
    return RateSearch(np.geomspace(1e-5, 1e-1, 5), losses, smooth, 1e-4)


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def one_of_each(search):
    yield plots.history(history([0.5, 0.7]), chance=0.25, title="A training")
    yield plots.history({"frozen": history([0.5, 0.7]), "fine-tuned": history([0.4, 0.9, 0.8])})
    yield plots.learning_rates(search)


def test_each_figure_has_its_text_fits_the_notebook_and_is_small(search):
    for figure in one_of_each(search):
        assert len(figure.alt) > 30
        assert figure.get_figwidth() <= WIDTH + 0.5
        nothing_is_cut_off(figure)
        _, content, width = encode(figure)
        assert len(content) < 80_000
        assert width <= 950


def test_the_text_of_each_figure_can_be_replaced(search):
    assert plots.history(history([0.5]), alt="My words.").alt == "My words."
    assert plots.learning_rates(search, alt="My words.").alt == "My words."


def test_one_training_shows_both_losses_and_the_accuracy():
    run = history([0.5, 0.7, 0.6])
    figure = plots.history(run, chance=0.25, title="A training")
    left, right = figure.axes
    train, val = left.lines
    assert list(train.get_xdata()) == [1, 2, 3]
    assert list(train.get_ydata()) == pytest.approx([1, 1 / 2, 1 / 3])
    assert list(val.get_ydata()) == pytest.approx([1.2, 0.6, 0.4])
    accuracy, chance = right.lines
    assert list(accuracy.get_ydata()) == [0.5, 0.7, 0.6]
    assert accuracy.get_color() == val.get_color() != train.get_color()
    assert list(chance.get_ydata()) == [0.25, 0.25]
    assert legend_of(figure) == ["training", "validation", "guessing"]
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss", "validation accuracy")
    assert {"epoch"} <= set(texts(figure))
    assert figure.get_suptitle() == "A training"
    assert figure.alt == (
        "Curves of loss and validation accuracy by epoch: "
        "validation accuracy from 0.50 to 0.60 in 3 epochs, "
        "training loss from 1.00 to 0.33, validation loss from 1.20 to 0.40."
    )


def test_a_list_of_epochs_will_do_as_well():
    run = history([0.5, 0.7])
    assert plots.history(list(run.epochs)).alt == plots.history(run).alt


def test_epochs_are_whole_numbers_on_the_axis():
    figure = plots.history(history([0.5, 0.7]))
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert all(tick == round(tick) for tick in axes.get_xticks())


def test_several_trainings_are_apart_by_colour_and_marker():
    runs = {"frozen": history([0.5, 0.7]), "none": history([]), "tuned": history([0.4, 0.9, 0.8])}
    figure = plots.history(runs)
    left, right = figure.axes
    assert [list(line.get_ydata()) for line in right.lines] == [[0.5, 0.7], [0.4, 0.9, 0.8]]
    assert [len(line.get_xdata()) for line in left.lines] == [2, 3]  # validation losses only
    assert left.get_ylabel() == "validation loss"
    first, second = right.lines
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()
    assert [line.get_color() for line in left.lines] == [first.get_color(), second.get_color()]
    assert legend_of(figure) == ["frozen", "tuned"]
    assert "frozen: validation accuracy from 0.50 to 0.70 in 2 epochs" in figure.alt
    assert "tuned: validation accuracy from 0.40 to 0.80 in 3 epochs" in figure.alt
    assert "none" not in figure.alt


def test_without_validation_pictures_no_accuracy_is_told():
    epochs = [Epoch(i, 1 / i, math.nan, math.nan, 0.5, None) for i in (1, 2)]
    figure = plots.history(epochs)
    assert list(figure.axes[0].lines[0].get_ydata()) == [1, 0.5]
    assert "nan" not in figure.alt


@pytest.mark.parametrize("nothing", [history([], "interrupted"), [], {}, {"a": history([])}])
def test_a_training_without_an_epoch_cannot_be_shown(nothing):
    with pytest.raises(CourseError, match="There is no finished epoch to show"):
        plots.history(nothing)


def test_the_search_shows_each_step_the_smooth_curve_and_the_proposal(search):
    figure = plots.learning_rates(search)
    (axes,) = figure.axes
    each, smooth, proposed = axes.lines
    assert axes.get_xscale() == "log"
    np.testing.assert_array_equal(each.get_xydata(), np.c_[search.rates, search.losses])
    np.testing.assert_array_equal(smooth.get_xydata(), np.c_[search.rates, search.smooth])
    assert list(proposed.get_xdata()) == [1e-4, 1e-4]
    assert legend_of(figure) == ["each step", "smoothed", "proposed"]
    low, high = axes.get_ylim()
    assert low < 0.6
    assert 1.3 < high < 2.5  # what runs away may leave the figure
    assert figure.alt == (
        "Training loss against learning rate: 1 at the smallest rate, lowest with 0.6 near 0.001, "
        "1.3 at the largest rate that was tried, 0.1; proposed is 0.0001."
    )
