"""Figures of a task's pictures: examples, what excites a channel, nearest neighbours."""

import re
from dataclasses import replace

import numpy as np
import pytest
from figures import photographs_in, shown, texts
from tiny_tasks import CLASSES, COUNTS, make_task, without

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.explain.excitation import excitations

plots = tl.plots


@pytest.fixture
def task():
    return make_task()


def test_examples_show_pictures_of_the_class_that_their_row_names(task):
    figure = tl.plots.examples(task, n=4)
    rows = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert rows == list(CLASSES)
    pictures = {p.tobytes(): label for p, label in task.train}
    found = [pictures[axes.images[0].get_array().tobytes()] for axes in shown(figure)]
    assert found == [0] * 4 + [1] * 4 + [2] * 4
    assert all(name in figure.alt for name in CLASSES)


def test_examples_say_whose_the_pictures_are_where_they_have_credits(task):
    credits = {"a": "Ann, CC0, page", "b": "Bob, CC0, page", "c": "Ann, CC BY, page"}
    figure = tl.plots.examples(replace(task, credits=credits), n=2)
    assert figure.get_supxlabel() == "Photographs: 2 authors, see task.credits"
    assert not tl.plots.examples(task, n=2).get_supxlabel()


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


def test_the_pictures_that_excite_a_channel_most_are_shown_with_their_patches(backbone, crops):
    found = excitations(backbone, crops, "stage2")["stage2"]
    figure = plots.top_pictures(backbone, crops, "stage2", 3, n=2, found=found)
    first, patch, second, _ = (np.asarray(i.get_array()) for i in photographs_in(figure)[:4])
    for picture, index in zip((first, second), found.top(3, 2), strict=True):
        seen = backbone.preprocess.undo(backbone.preprocess(crops[index]))
        np.testing.assert_allclose(picture, seen.permute(1, 2, 0), atol=1e-6)
    assert patch.shape == (found.patch, found.patch, 3)
    options = {"n": 2, "patches": False, "found": found}
    assert len(photographs_in(plots.top_pictures(backbone, crops, "stage2", 3, **options))) == 2
    with pytest.raises(CourseError, match="channels 0 to 23"):
        plots.top_pictures(backbone, crops, "stage2", 24, found=found)


def test_neighbours_are_shown_by_layer_with_their_classes(crops):
    deep = np.repeat(np.eye(2), 3, axis=0) + 0.01 * np.random.default_rng(0).random((6, 2))
    shallow = np.tile(np.eye(3), (2, 1)) + 0.01 * np.random.default_rng(1).random((6, 3))
    labels = np.array([0, 0, 0, 1, 1, 1])
    figure = plots.nearest_neighbours(
        {"stem": shallow, "embedding": deep},
        crops,
        [0, 4],
        n=2,
        labels=labels,
        classes=["cat", "cup"],
    )
    assert len(photographs_in(figure)) == 2 * (1 + 2 * 2)
    assert "embedding (4 of 4 of the same class)" in figure.alt
    assert texts(figure).count("cup") >= 3
    framed = [a for a in figure.axes if a.spines["left"].get_visible()]
    same = int(re.search(r"stem \((\d) of 4", figure.alt)[1])
    assert len(framed) == same + 4
    with pytest.raises(CourseError, match="features of 5 pictures, but there are 6"):
        plots.nearest_neighbours({"stem": shallow[:5]}, crops, [0])
