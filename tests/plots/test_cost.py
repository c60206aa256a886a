"""Figures of costs: bytes by owner, growth, what is known of times on devices, tradeoffs."""

import re
from dataclasses import replace

import pytest
from figures import nothing_is_cut_off, texts
from tiny_comparisons import compared, labelled_task
from tiny_costs import OWNED, made

import tlcourse as tl
from tlcourse import cost
from tlcourse.errors import CourseError
from tlcourse.networks.account import OWNERS, Bytes
from tlcourse.plots.figure import COLOURS, MARKERS, WIDTH, encode


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


# --- accuracy against cost ---

WRONG = {
    "classifier": {"val": range(30), "test": range(25)},
    "standalone_extractor": {"val": range(5), "test": range(6)},
    "frozen_extractor": {"val": range(5), "test": range(4)},
    "fine_tune": {"val": range(2), "test": range(3)},
    "from_scratch": {"val": range(20), "test": range(28)},
}


@pytest.fixture(scope="module")
def comparison():
    return compared(
        labelled_task(), WRONG, seeds={"fine_tune": {"val": range(9), "test": range(9)}}
    )


def points_of(axes):
    """The large points: name -> line."""
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_each_pattern_is_a_point_at_its_cost_and_accuracy(comparison):
    figure = tl.plots.tradeoffs(comparison)
    table = comparison.table
    for axes, column in zip(figure.axes, ("seconds", "MiB"), strict=True):
        points = points_of(axes)
        assert set(points) == {*WRONG, "recommended"}
        for i, (name, row) in enumerate(table.iterrows()):
            point = points[name]
            assert list(point.get_xdata()) == [row[column]]
            assert list(point.get_ydata()) == [row.accuracy]
            assert (point.get_color(), point.get_marker()) == (COLOURS[i], MARKERS[i])


def test_lines_are_the_intervals_and_small_points_the_seeds(comparison):
    left, _ = tl.plots.tradeoffs(comparison).axes
    others = [line for line in left.lines if line.get_label().startswith("_")]
    bars = [line for line in others if line.get_marker() == "None"]
    dots = [line for line in others if line.get_marker() == "."]
    table = comparison.table
    intervals = [list(line.get_ydata()) for line in bars]
    assert intervals == [[row.low, row.high] for _, row in table.iterrows()]
    seeds = [list(line.get_ydata()) for line in dots]
    assert seeds == [list(comparison.accuracies(pattern)) for pattern in table.index]
    tuned = list(WRONG).index("fine_tune")
    assert sorted(seeds[tuned]) == pytest.approx([51 / 60, 57 / 60])
    for line in (*bars, *dots):
        assert len(set(line.get_xdata())) == 1


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_ring_marks_what_is_recommended(split):
    worst = {"val": [0], "test": []} | {split: range(20)}
    wrong = {"classifier": worst, "frozen_extractor": {split: [0]}, "fine_tune": {}}
    made = compared(labelled_task(), wrong)
    assert made.recommended == "frozen_extractor"
    for axes, column in zip(tl.plots.tradeoffs(made).axes, ("seconds", "MiB"), strict=True):
        ring, row = points_of(axes)["recommended"], made.table.loc["frozen_extractor"]
        assert ring.get_xydata().tolist() == [[row[column], row.accuracy]]
        assert ring.get_markerfacecolor() == "none"
        assert ring.get_markersize() > points_of(axes)["frozen_extractor"].get_markersize()


def test_it_says_what_it_shows_and_which_pictures_it_is_about(comparison):
    figure = tl.plots.tradeoffs(comparison, title="Which one?")
    left, right = figure.axes
    assert (left.get_xscale(), right.get_xscale()) == ("log", "log")
    assert left.get_xlabel().startswith("seconds")
    assert right.get_xlabel() == "memory of its largest step, MiB"
    assert left.get_ylabel() == "accuracy (test)"
    assert figure.get_suptitle() == "Which one?"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(legend) == sorted([*WRONG, "recommended"])
    begins = "Accuracy against time and against memory: classifier 0.58 (0.46 to 0.70) in "
    assert figure.alt.startswith(begins)
    assert re.search(r"fine_tune 0\.95 \([\d.]+ to [\d.]+\) in 90 s with 800 MiB", figure.alt)
    assert figure.alt.endswith(f"Recommended: {comparison.recommended}.")
    assert tl.plots.tradeoffs(comparison, alt="My words.").alt == "My words."


def test_without_test_pictures_the_axis_says_so():
    made = compared(labelled_task(40, n_test=0), {"classifier": {}, "fine_tune": {"val": [1]}})
    assert tl.plots.tradeoffs(made).axes[0].get_ylabel() == "accuracy (val)"


def test_costs_are_written_as_numbers_that_one_reads(comparison):
    figure = tl.plots.tradeoffs(comparison)
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        written = [
            t.get_text() for t in axes.get_xticklabels() if low <= t.get_position()[0] <= high
        ]
        assert len(written) >= 2
        assert all(float(number) > 0 for number in written)
    assert "10^" not in " ".join(texts(figure))


@pytest.mark.parametrize("patterns", [list(WRONG), ["classifier"], ["fine_tune", "from_scratch"]])
def test_it_fits_the_notebook_and_is_small(patterns):
    made = compared(labelled_task(), {pattern: WRONG[pattern] for pattern in patterns})
    figure = tl.plots.tradeoffs(made, title="Which one?")
    assert figure.get_figwidth() <= WIDTH
    nothing_is_cut_off(figure)
    below = figure.legends[0].get_window_extent().y1
    assert all(below <= axes.get_tightbbox().y0 for axes in figure.axes)
    _, content, width = encode(figure)
    assert len(content) < 80_000
    assert width <= 950
