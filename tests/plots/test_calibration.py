"""Figures of trust show what `tlcourse.metrics` counts, of a result or of scores and labels."""

import numpy as np
import pytest
from figures import nothing_is_cut_off
from tiny_comparisons import labelled_task, result_of

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.patterns.reuse import score
from tlcourse.plots.figure import WIDTH

plots = tl.plots
SHARES = np.array([[0.9, 0.1], [0.15, 0.85], [0.3, 0.7], [0.68, 0.32], [0.42, 0.58]])
LABELS = np.array([0, 1, 0, 0, 0])


@pytest.fixture(scope="module")
def result():
    """A network that is too sure: its test logits are those of its validation pictures."""
    random = np.random.default_rng(0)
    task = labelled_task(200, n_test=200)
    logits = random.normal(size=(200, 2)) * 6
    logits[np.arange(200), task.val.labels] += 3
    made = result_of(task, "standalone_extractor", {})
    return score(made, task, {"val": logits, "test": logits})


def heights(axes):
    return [bar.get_height() for bar in axes.patches]


def test_bars_are_shares_and_counts_of_each_bin():
    figure = plots.reliability(SHARES, LABELS, bins=5)
    above, below = figure.axes
    assert heights(above) == pytest.approx([0, 0.5, 1])  # 58 %; 70 % and 68 %; 90 % and 85 %
    assert heights(below) == [1, 2, 2]
    assert [bar.get_x() + bar.get_width() / 2 for bar in below.patches] == pytest.approx(
        [0.5, 0.7, 0.9]
    )
    assert [text.get_text() for text in below.texts] == ["1", "2", "2"]
    measured = above.lines[1]
    assert list(measured.get_xdata()) == pytest.approx([0.58, 0.69, 0.875])
    error = tl.metrics.calibration_error(SHARES, LABELS, bins=5)
    assert above.get_title() == f"as it is: calibration error {error:.3f}"
    assert figure.alt == (
        f"Reliability diagram of 5 pictures. as it is, calibration error {error:.3f}: at 58% 0 of "
        "1 are right; at 69% 1 of 2 are right; at 88% 2 of 2 are right."
    )
    nothing_is_cut_off(figure)


def test_a_result_is_drawn_with_and_without_its_temperature(result):
    assert result.temperature > 1.5
    figure = plots.reliability(result, title="Trust")
    left, right = figure.axes[:2]
    before, after = (
        tl.metrics.reliability(result.logits["test"], result.pictures["test"].labels, **how)
        for how in ({"bins": 10}, {"bins": 10, "temperature": result.temperature})
    )
    assert heights(left) == pytest.approx(before.accuracy[before.n > 0].tolist())
    assert heights(right) == pytest.approx(after.accuracy[after.n > 0].tolist())
    assert f"with temperature {result.temperature:.2g}" in right.get_title()
    assert figure.get_figwidth() <= WIDTH
    nothing_is_cut_off(figure)
    assert len(plots.reliability(result, temperature=1.0).axes) == 2


def test_validation_pictures_are_drawn_where_there_are_no_others():
    task = labelled_task(40, n_test=0)
    made = result_of(task, "classifier", {"val": [0, 1]})
    assert "of 40 pictures" in plots.reliability(made, temperature=1.0).alt


def test_a_curve_of_coverage_has_the_numbers_of_the_table():
    figure = plots.coverage((SHARES, LABELS))
    curve, marker, _ = figure.axes[0].lines
    table = tl.metrics.coverage_risk(SHARES, LABELS)
    assert list(curve.get_xdata()) == table.coverage.tolist()
    assert list(curve.get_ydata()) == table.risk.tolist()
    assert (list(marker.get_xdata()), list(marker.get_ydata())) == ([0.2], [0.0])
    assert figure.alt == (
        "Curves of risk against coverage. 40.0% are wrong if all are answered; with a probability "
        "of at least 90%, 20% are answered and 0.0% of these are wrong."
    )
    nothing_is_cut_off(figure)


def test_several_curves_are_named_and_have_colours_of_their_own(result):
    figure = plots.coverage({"calibrated": result, "by hand": (SHARES[1:], LABELS[1:])})
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["calibrated", "by hand", "threshold 90%"]
    assert axes.lines[0].get_color() != axes.lines[2].get_color()
    assert list(axes.lines[3].get_xdata()) == []  # none is so sure
    assert "by hand: 50.0% are wrong if all are answered." in figure.alt
    truth = result.pictures["test"].labels
    expected = tl.metrics.coverage_risk(
        result.logits["test"], truth, temperature=result.temperature
    )
    assert list(axes.lines[0].get_xdata()) == expected.coverage.tolist()


def test_what_cannot_be_drawn_is_told(result):
    for draw in (plots.reliability, plots.coverage):
        with pytest.raises(CourseError, match="A result is needed, or scores and labels, not nd"):
            draw(SHARES)
    with pytest.raises(CourseError, match="nothing to draw"):
        plots.coverage({})
    with pytest.raises(CourseError, match="4 rows of scores, and labels of shape"):
        plots.reliability(SHARES[1:], LABELS)


def test_the_text_can_be_replaced():
    assert plots.reliability(SHARES, LABELS, alt="My words.").alt == "My words."
    assert plots.coverage((SHARES, LABELS), alt="My words.").alt == "My words."
