"""A telephone's photograph is decoded at a reduced size, and the network sees the same picture."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tlcourse as tl
from tlcourse.tasks.photographs import photographs

LARGE = (4032, 3024)  # as telephones take them


def real_photographs():
    """Some that come with the course, and where they are, ants and bees."""
    found = list(photographs("coffee", "rocket").values())
    if data := os.environ.get("TLCOURSE_DATA"):
        files = sorted(Path(data).glob("hymenoptera_data/val/*/*.jpg"))[::60]
        found += [tl.open_picture(file) for file in files]
    return found


def test_what_the_network_sees_and_makes_of_it_stays_within_the_stated_bound():
    backbone = tl.load_backbone(device="cpu")
    for picture in real_photographs():
        size = LARGE if picture.width > picture.height else LARGE[::-1]
        file = io.BytesIO()
        picture.resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
        whole, reduced = (
            tl.open_picture(file.getvalue()),
            tl.open_picture(file.getvalue(), max_side=1024),
        )
        assert reduced.size == (size[0] // 4, size[1] // 4)  # as libjpeg decodes it
        inputs = [backbone.preprocess(each) for each in (whole, reduced)]
        levels = (inputs[0] - inputs[1]).abs().numpy() * 127.5  # of 255
        assert levels.mean() < 0.5
        assert np.quantile(levels, 0.999) < 4
        first, second = (
            tl.activations(backbone, each, "embedding")["embedding"] for each in inputs
        )
        assert (first - second).norm() < 0.04 * first.norm()


@pytest.mark.parametrize(
    ("size", "max_side", "opened"),
    [
        ((4032, 3024), 1024, (1008, 756)),  # a quarter
        ((3000, 2000), 1024, (1024, 683)),  # a half, and then resized
        ((1500, 1000), 1024, (1024, 683)),  # the whole
        ((1000, 700), 1024, (1000, 700)),
        ((6000, 400), 512, (512, 34)),
    ],
)
def test_at_least_three_quarters_of_the_longest_side_are_left(size, max_side, opened):
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, "JPEG")
    assert tl.open_picture(file.getvalue(), max_side=max_side).size == opened
