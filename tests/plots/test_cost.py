"""Figures of costs: bytes by owner, growth, and what is known of times on devices."""

from dataclasses import replace

import pytest
from figures import nothing_is_cut_off
from tiny_costs import OWNED, made

import tlcourse as tl
from tlcourse import cost
from tlcourse.errors import CourseError
from tlcourse.networks.account import OWNERS, Bytes
from tlcourse.plots.figure import WIDTH, encode


def figures():
    costs = {"everything moves": made(), "frozen body": made(bytes=replace(OWNED, activations=1))}
    yield tl.plots.bytes_by_owner(costs, title="Memory")
    yield tl.plots.growth([1, 4, 16], {"a": [1, 4, 16]}, xlabel="batch", title="Growth")
    yield tl.plots.seconds_by_device(
        {"cpu": made()},
        recorded=[cost.Recorded("unfrozen", made(), "a rather long card's name", "1", "2", "2026")],
        estimates={"same step": cost.estimate(made())},
        title="Times",
    )


def test_each_figure_has_its_text_fits_the_notebook_and_is_small():
    for figure in figures():
        assert len(figure.alt) > 30
        assert figure.get_figwidth() <= WIDTH + 0.5
        nothing_is_cut_off(figure)
        _, content, width = encode(figure)
        assert len(content) < 80_000
        assert width <= 950


def test_growth_has_plain_ticks_and_no_curve_hides_another():
    curves = {"activations": [1, 4, 16], "operations": [1, 4, 16]}
    figure = tl.plots.growth([64, 128, 256], curves, xlabel="side", reference=("card", 8.0))
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    below, above, line = axes.lines
    assert list(below.get_ydata()) == list(above.get_ydata()) == [1, 4, 16]
    assert below.get_linewidth() > above.get_linewidth()
    assert below.get_markersize() > above.get_markersize()
    assert below.get_marker() != above.get_marker()
    assert list(line.get_ydata()) == [8.0, 8.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["64", "128", "256"]
    assert [label.get_text() for label in axes.get_xticklabels(minor=True)] == []
    figure.draw_without_rendering()
    assert "10^" not in "".join(label.get_text() for label in axes.get_yticklabels())
    assert "activations from 1 to 16; operations from 1 to 16; a line marks card at 8" in figure.alt


@pytest.mark.parametrize("series", [{}, {"a": [1, 2]}])
def test_curves_need_a_number_for_each_x(series):
    with pytest.raises(CourseError, match="each with 3 numbers, one for each x"):
        tl.plots.growth([1, 2, 3], series)


def test_bars_are_stacked_by_owner_and_end_at_the_sum():
    big = Bytes(*(2**20 * n for n in (1, 2, 3, 4, 5, 6)))
    figure = tl.plots.bytes_by_owner({"a": made(bytes=big), "b": OWNED})
    (axes,) = figure.axes
    assert len(axes.containers) == len(OWNERS)
    widths = [container[0].get_width() for container in axes.containers]
    assert widths == [1, 2, 3, 4, 5, 6]
    starts = [container[0].get_x() for container in axes.containers]
    assert starts == [0, 1, 3, 6, 10, 15]
    colours = {container[0].get_facecolor() for container in axes.containers}
    assert len(colours) == len(OWNERS)
    assert [text.get_text() for text in axes.texts] == ["21", "0"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "optimiser state" in names
    assert "a 21, of which 29% working memory" in figure.alt


def test_side_by_side_results_can_be_drawn_as_they_are():
    both = cost.SideBySide({"a": made(), "b": made()})
    assert tl.plots.bytes_by_owner(both).alt == tl.plots.bytes_by_owner(both.costs).alt
    labels = tl.plots.seconds_by_device(both).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["a: measured here", "b: measured here"]


def test_measured_recorded_and_estimated_look_different_and_say_so():
    *_, figure = figures()
    (axes,) = figure.axes
    measured, recorded, estimated = axes.patches
    assert axes.get_xscale() == "log"
    assert measured.get_facecolor()[3] == 1.0
    assert not measured.get_hatch()
    assert recorded.get_hatch()
    assert estimated.get_linestyle() == "--"
    assert estimated.get_facecolor()[3] == 0.0
    labels = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert labels == [
        "cpu: measured here",
        "unfrozen, batch 10: recorded on a rather long card's name, 2026",
        "same step: estimate for NVIDIA T4, at least",
    ]
    for words in ("measured here", "recorded on", "estimate for NVIDIA T4, at least"):
        assert words in figure.alt
    spreads = [list(line.get_xdata()) for line in axes.lines]
    assert spreads == [[1.0, 4.0], [1.0, 4.0]]  # an estimate has none


def test_a_figure_of_nothing_is_refused():
    with pytest.raises(CourseError, match="There is no cost to show"):
        tl.plots.bytes_by_owner({})
    with pytest.raises(CourseError, match="There is no time to show"):
        tl.plots.seconds_by_device({})
    assert tl.plots.bytes_by_owner({"a": OWNED}, alt="My words.").alt == "My words."
    assert tl.plots.seconds_by_device({"a": made()}, alt="My words.").alt == "My words."
