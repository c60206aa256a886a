"""The figure of a comparison shows its table, and says it in words."""

import re

import pytest
from figures import nothing_is_cut_off, texts
from tiny_comparisons import compared, labelled_task

import tlcourse as tl
from tlcourse.plots.figure import COLOURS, MARKERS, WIDTH, encode

WRONG = {
    "classifier": {"val": range(30), "test": range(25)},
    "standalone_extractor": {"val": range(5), "test": range(6)},
    "frozen_extractor": {"val": range(5), "test": range(4)},
    "fine_tune": {"val": range(2), "test": range(3)},
    "from_scratch": {"val": range(20), "test": range(28)},
}


@pytest.fixture(scope="module")
def made():
    return compared(
        labelled_task(), WRONG, seeds={"fine_tune": {"val": range(9), "test": range(9)}}
    )


def points_of(axes):
    """The large points: name -> line."""
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_each_pattern_is_a_point_at_its_cost_and_accuracy(made):
    figure = tl.plots.tradeoffs(made)
    table = made.table
    for axes, column in zip(figure.axes, ("seconds", "MiB"), strict=True):
        points = points_of(axes)
        assert set(points) == {*WRONG, "recommended"}
        for i, (name, row) in enumerate(table.iterrows()):
            point = points[name]
            assert list(point.get_xdata()) == [row[column]]
            assert list(point.get_ydata()) == [row.accuracy]
            assert (point.get_color(), point.get_marker()) == (COLOURS[i], MARKERS[i])


def test_lines_are_the_intervals_and_small_points_the_seeds(made):
    left, _ = tl.plots.tradeoffs(made).axes
    others = [line for line in left.lines if line.get_label().startswith("_")]
    bars = [line for line in others if line.get_marker() == "None"]
    dots = [line for line in others if line.get_marker() == "."]
    table = made.table
    intervals = [list(line.get_ydata()) for line in bars]
    assert intervals == [[row.low, row.high] for _, row in table.iterrows()]
    seeds = [sorted(line.get_ydata()) for line in dots]
    assert seeds == [sorted([row.lowest, row.highest]) for _, row in table.iterrows()]
    tuned = list(WRONG).index("fine_tune")
    assert seeds[tuned] == pytest.approx([51 / 60, 57 / 60])
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


def test_it_says_what_it_shows_and_which_pictures_it_is_about(made):
    figure = tl.plots.tradeoffs(made, title="Which one?")
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
    assert figure.alt.endswith(f"Recommended: {made.recommended}.")
    assert tl.plots.tradeoffs(made, alt="My words.").alt == "My words."


def test_without_test_pictures_the_axis_says_so():
    made = compared(labelled_task(40, n_test=0), {"classifier": {}, "fine_tune": {"val": [1]}})
    assert tl.plots.tradeoffs(made).axes[0].get_ylabel() == "accuracy (val)"


def test_costs_are_written_as_numbers_that_one_reads(made):
    figure = tl.plots.tradeoffs(made)
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
