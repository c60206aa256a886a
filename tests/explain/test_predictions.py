"""The most probable classes of one picture."""

import pytest
import torch
from PIL import Image
from skimage import data

import tlcourse as tl
from tlcourse.errors import CourseError


@pytest.mark.parametrize("k", [0, 1001, 2.5, True])
def test_another_number_of_classes_than_there_are_is_refused(backbone, k):
    with pytest.raises(CourseError, match=rf"k is {k}, but must be a whole number, from 1 to 1000"):
        tl.top_k(backbone, torch.zeros(3, 224, 224), k)


def test_several_pictures_are_refused(backbone):
    with pytest.raises(CourseError, match="one picture, got 2"):
        tl.top_k(backbone, torch.zeros(2, 3, 224, 224))


def test_a_tensor_is_answered_as_the_picture_that_it_was_made_of(backbone):
    picture = Image.fromarray(data.chelsea())
    expected = tl.top_k(backbone, picture, 3)
    assert tl.top_k(backbone, backbone.preprocess(picture), 3).equals(expected)
    assert expected["class"][0] == "tiger cat"


def test_the_most_probable_come_first_and_all_add_up_to_one(backbone):
    table = tl.top_k(backbone, tl.photographs("chelsea")["chelsea"], 1000)
    assert table["probability"].sum() == pytest.approx(1, abs=1e-4)
    assert table["probability"].is_monotonic_decreasing
    assert sorted(table["class"]) == sorted(backbone.classes)
