"""Points keep their colour from panel to panel, maps say what is most alike, and both have words."""

import numpy as np
import pandas as pd
import pytest

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError


def table(**more):
    rows = {"ms": [2.0, 8.0], "right": [0.8, 0.9], "low": [0.7, 0.85], "high": [0.85, 0.95]}
    return pd.DataFrame(rows | more, index=["small", "large"])


def draw(panels, **options):
    return tl.plots.scatter(panels, "ms", "right", xlabel="milliseconds", ylabel="share", **options)


def test_a_point_has_one_look_in_all_panels_and_its_range_and_star():
    other = table().iloc[[1]]
    figure = draw({"a": table(), "b": other}, live={"a": {"small": (3.0, 0.75)}}, log=True)
    first, second = figure.axes
    marks = {line.get_label(): line for line in first.lines if line.get_linestyle() == "None"}
    again = {line.get_label(): line for line in second.lines if line.get_linestyle() == "None"}
    assert marks["large"].get_color() == again["large"].get_color()
    assert marks["large"].get_color() != marks["small"].get_color()
    assert marks["live, in this notebook"].get_xydata().tolist() == [[3.0, 0.75]]
    assert first.get_xscale() == "log"
    ranges = [line.get_ydata() for line in first.lines if len(line.get_xdata()) == 2]
    assert [0.85, 0.95] in [list(values) for values in ranges]
    assert "a: small 0.8 at 2, large 0.9 at 8, a star for small 0.75 at 3" in figure.alt


@pytest.mark.parametrize(
    ("panels", "options", "said"),
    [
        ({}, {}, "nothing to show"),
        ({"a": table().iloc[:0]}, {}, "nothing to show"),
        ({"a": table().drop(columns="ms")}, {}, "column"),
        ({"a": table()}, {"live": {"b": {}}}, "panel"),
        ({"a": table()}, {"live": {"a": {"larg": (1, 1)}}}, "large"),
    ],
)
def test_points_that_cannot_be_drawn_are_one_sentence(panels, options, said):
    with pytest.raises((CourseError, UnknownNameError), match=said):
        draw(panels, **options)


def test_a_map_shows_each_value_in_its_place_from_the_bottom_up():
    values = pd.DataFrame([[1.0, 0.2], [0.3, 0.6]], index=["stem", "deep"], columns=["one", "two"])
    figure = tl.plots.similarity({"pair": values}, xlabel="columns", ylabel="rows")
    axes = figure.axes[0]
    (image,) = axes.images
    assert np.array_equal(image.get_array(), values.to_numpy())
    assert image.origin == "lower"
    assert image.get_clim() == (0, 1)
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "1", (1, 0): ".20", (0, 1): ".30", (1, 1): ".60"}
    assert "stem is most like one (1.00), deep is most like two (0.60)" in figure.alt


@pytest.mark.parametrize("bad", [{}, {"a": pd.DataFrame([[1.2]])}, {"a": pd.DataFrame([[np.nan]])}])
def test_maps_of_other_values_are_refused(bad):
    with pytest.raises(CourseError):
        tl.plots.similarity(bad)
