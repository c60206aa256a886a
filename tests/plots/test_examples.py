"""Figures of a task's pictures, and of what speaks for a class in several networks."""

import numpy as np
import pytest
from tiny_tasks import CLASSES, COUNTS, make_task, tiny_backbone, without

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError


@pytest.fixture
def task():
    return make_task()


def shown(figure):
    """Axes that hold a picture, in reading order."""
    return [axes for axes in figure.axes if axes.images]


def test_examples_show_pictures_of_the_class_that_their_row_names(task):
    figure = tl.plots.examples(task, n=4)
    rows = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert rows == list(CLASSES)
    pictures = {p.tobytes(): label for p, label in task.train}
    found = [pictures[axes.images[0].get_array().tobytes()] for axes in shown(figure)]
    assert found == [0] * 4 + [1] * 4 + [2] * 4
    assert all(name in figure.alt for name in CLASSES)


def test_examples_of_a_small_class_leave_places_empty(task):
    figure = tl.plots.examples(task, split="val", n=5)
    assert len(shown(figure)) == sum(COUNTS["val"])


def test_examples_are_the_same_for_the_same_seed(task):
    def first(seed):
        return shown(tl.plots.examples(task, n=1, seed=seed))[0].images[0].get_array()

    assert np.array_equal(first(3), first(3))
    assert any(not np.array_equal(first(3), first(seed)) for seed in range(4, 10))


def test_examples_refuse_a_split_that_is_not_there(task):
    with pytest.raises(UnknownNameError, match="train"):
        tl.plots.examples(task, split="trian")
    with pytest.raises(CourseError, match="holds no picture"):
        tl.plots.examples(without(task, "test"), split="test")


def test_explanations_have_a_row_for_each_network_and_a_column_for_each_picture(task):
    backbone = tiny_backbone()
    networks = {
        name: tl.Network(backbone, 3, seed=seed).as_backbone(CLASSES)
        for seed, name in enumerate(("before", "after"))
    }
    pictures = task.test.take([0, 4])
    figure = tl.plots.explanations(networks, pictures, layer="stage2")
    assert len(shown(figure)) == 3 * 2
    assert [axes.get_title() for axes in figure.axes[:2]] == [CLASSES[0], CLASSES[1]]
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == [
        "picture",
        "before",
        "after",
    ]
    for name, row in (("before", 1), ("after", 2)):
        expected = tl.attribute(networks[name], pictures[1][0], CLASSES[1], layer="stage2")
        drawn = figure.axes[2 * row + 1].images[1].get_array()
        # Drawn on a scale of its own, cut off at the strongest hundredth.
        scale = np.quantile(np.abs(expected), 0.99)
        np.testing.assert_allclose(drawn, np.clip(expected / scale, -1, 1), atol=1e-5)
    assert "before" in figure.alt


def test_explanations_need_a_network_and_a_picture(task):
    with pytest.raises(CourseError, match="at least one network"):
        tl.plots.explanations({}, task.test)
    network = tl.Network(tiny_backbone(), 3).as_backbone(CLASSES)
    with pytest.raises(CourseError, match="at least one network"):
        tl.plots.explanations({"it": network}, without(task, "test").test)
