"""The curves and the table of the fine-tuning explorer."""

import matplotlib as mpl
import pytest

from tlcourse.widgets.training_runs import TrainingCurve, curves_html, draw_curves, runs_table


def test_the_newest_curve_stands_out_and_lies_on_top():
    runs = [TrainingCurve("first", (0.5, 1.0)), TrainingCurve("second", (0.0, 0.5))]
    figure = draw_curves(runs, n_epochs=3, newest="first")
    first, second = figure.axes[0].lines
    assert first.get_linewidth() > second.get_linewidth()
    assert first.get_zorder() > second.get_zorder()
    assert list(first.get_xdata()) == [1, 2]
    assert list(first.get_ydata()) == [0.5, 1.0]
    below, above = figure.axes[0].get_ylim()
    assert below < 0 < 1 < above  # a marker at the end is whole


def test_no_two_curves_look_the_same():
    runs = [TrainingCurve(f"run {i}", (0.5,)) for i in range(10)]
    lines = draw_curves(runs).axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 10


@pytest.mark.parametrize("n_epochs", [1, 8, 40])
def test_the_axis_has_whole_epochs(n_epochs):
    ticks = draw_curves([], n_epochs=n_epochs).axes[0].get_xticks()
    assert ticks[0] == 1
    assert len(ticks) <= 10
    assert max(ticks) <= n_epochs
    assert all(tick == int(tick) for tick in ticks)


def test_drawing_in_a_thread_leaves_the_style_of_the_others_alone(monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("the style belongs to all threads")

    monkeypatch.setattr(mpl.RcParams, "__setitem__", forbidden)
    monkeypatch.setattr(mpl.RcParams, "update", forbidden)
    image = curves_html(
        draw_curves([TrainingCurve("costs $1 or $2", (0.5,))], reference=("p", 0.5))
    )
    assert image.count("<img ") == 1
    assert "max-width:100%" in image


def test_names_of_runs_cannot_break_the_page():
    curve = TrainingCurve('<b title="x">', (0.25, 0.5), seconds=3.0, note="<stopped>")
    table = runs_table([curve], newest="", dropped=1)
    assert "<b" not in table
    assert "&lt;stopped&gt;" in table
    assert "1 older run dropped" in table
    assert "<b" not in curves_html(draw_curves([curve]))
