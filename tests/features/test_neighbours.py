"""Nearest neighbours by a layer's features."""

import numpy as np
import pytest
import torch

from tlcourse.errors import CourseError
from tlcourse.features.neighbours import nearest


def test_neighbours_are_compared_by_standardised_features():
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e3, 1, 1])
    indices, alike = nearest(x, [0, 3], n=2)
    z = ((x - x.mean(0)) / x.std(0, correction=0)).double()
    z = z / z.norm(dim=1, keepdim=True)
    cosine = (z @ z.T).fill_diagonal_(-2)
    expected = cosine[[0, 3]].topk(2)
    assert indices.tolist() == expected.indices.tolist()
    np.testing.assert_allclose(alike, expected.values, atol=1e-5)


def test_a_picture_is_not_its_own_neighbour_even_among_twins():
    indices, _ = nearest(np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]]), [0, 1, 2], n=2)
    for query, found in enumerate(indices):
        assert sorted(found) == sorted({0, 1, 2} - {query})


@pytest.mark.parametrize(
    ("features", "queries", "n", "message"),
    [
        (np.zeros((4, 3, 2, 2)), [0], 1, r"shape \(N, C\), got \(4, 3, 2, 2\)"),
        (np.zeros((4, 3)), [4], 1, "from 0 to 3"),
        (np.zeros((4, 3)), [], 1, "from 0 to 3"),
        (np.zeros((4, 3)), [0], 4, "3 others"),
    ],
)
def test_neighbours_refuse_what_does_not_fit(features, queries, n, message):
    with pytest.raises(CourseError, match=message):
        nearest(features, queries, n)
