"""Pixels that ship are turned at random: nobody sees the pictures, and a probe answers the same."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist

import tlcourse as tl
from tools.hymenoptera_features import turned


@pytest.fixture(scope="module")
def pixels():
    """Pixels of a hundred drawings; these can be looked at."""
    task = tl.load_task("emoji")
    some = replace(task, train=task.train[::5], val=task.val[::5], test=task.test[::5])
    return tl.raw_pixels(some, side=12)


def test_turned_pixels_keep_distances_and_the_answers_of_a_probe(pixels):
    x = turned(pixels.x["pixels"], seed=1)
    assert x.shape == (len(x), len(x) - 1)
    np.testing.assert_allclose(pdist(x), pdist(pixels.x["pixels"]), rtol=1e-4)
    stored = replace(pixels, x={"pixels": x.astype(np.float16).astype(np.float32)})
    before, after = (tl.probe_layers(f, folds=3, progress=False) for f in (pixels, stored))
    assert before.strengths == after.strengths
    assert np.array_equal(before.right["pixels"], after.right["pixels"])
    assert before.accuracy["pixels"] > before.chance  # answers that are worth keeping


def test_pixels_are_turned_anew_each_time_unless_a_seed_is_given(pixels):
    x = pixels.x["pixels"]
    assert np.array_equal(turned(x, seed=1), turned(x, seed=1))
    assert not np.allclose(turned(x), turned(x))
