"""Linear CKA: 1 for the same up to rotation and unit, near 0 for what has nothing in common."""

import numpy as np
import pytest
from scipy.stats import ortho_group

import tlcourse as tl
from tlcourse.errors import CourseError


def noise(n, wide, seed=0):
    return np.random.default_rng(seed).normal(size=(n, wide))


def test_a_rotation_another_unit_and_another_zero_change_nothing():
    x = noise(50, 6)
    turned = 7 * x @ ortho_group.rvs(6, random_state=0) + 3
    assert tl.cka(x, x) == pytest.approx(1)
    assert tl.cka(x, turned) == pytest.approx(1)
    other = x @ noise(6, 9, seed=1) + noise(50, 9, seed=2)
    assert tl.cka(turned, other) == pytest.approx(tl.cka(x, other))
    assert tl.cka(other, x) == pytest.approx(tl.cka(x, other))
    assert 0.1 < tl.cka(x, other) < 0.99


def test_stretching_one_direction_does_change_it():
    x = noise(50, 6)
    assert tl.cka(x, x * [100, 1, 1, 1, 1, 1]) < 0.9


def test_independent_features_have_hardly_anything_in_common():
    assert tl.cka(noise(4000, 5), noise(4000, 5, seed=1)) < 0.01


@pytest.mark.parametrize("shapes", [(30, 8, 5), (10, 40, 25), (30, 8, 90)])
def test_both_ways_to_compute_it_give_the_formula(shapes):
    n, first, second = shapes
    x, z = noise(n, first), noise(n, second, seed=3)
    z[:, :3] += x[:, :3]
    centre = np.eye(n) - 1 / n
    a, b = (centre @ (v @ v.T) @ centre for v in (x, z))
    by_hand = np.trace(a @ b) / np.sqrt(np.trace(a @ a) * np.trace(b @ b))
    assert tl.cka(x, z) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (noise(5, 3), noise(6, 3), "same pictures can be compared: 5 and 6"),
        (noise(5, 3).reshape(5, 3, 1), noise(5, 3), r"shape \(N, C\)"),
        (noise(5, 3), np.full((5, 3), np.inf), "finite"),
        (np.full((5, 3), 0.3), noise(5, 3), "the same features"),
        (noise(0, 3), noise(0, 3), "the same features"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(a, b, said):
    with pytest.raises(CourseError, match=said):
        tl.cka(a, b)
