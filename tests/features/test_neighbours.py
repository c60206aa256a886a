"""Nearest neighbours by a layer's features."""

import numpy as np
import pytest
import torch

from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.features.features import Features
from tlcourse.features.neighbours import near_duplicates, nearest


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


def features_of(x, split):
    names = tuple(f"picture {i}" for i in range(len(x)))
    return Features(
        {"deep": x}, np.arange(len(x)) % 2, np.array(split), ("a", "b"), names, None, ""
    )


def test_twins_across_splits_are_found_and_those_within_one_are_not():
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 12))
    x[30] = 1.01 * x[3] + 0.01 * random.normal(size=12)  # test, train
    x[7] = x[6]  # both of train
    x[25] = x[31] + 0.2 * random.normal(size=12)  # val, test
    found = near_duplicates(features_of(x, ["train"] * 20 + ["val"] * 8 + ["test"] * 12), 0.9)
    assert found[["first", "second"]].to_numpy().tolist() == [[3, 30], [25, 31]]
    assert found["splits"].tolist() == ["train, test", "val, test"]
    assert found["names"][0] == "picture 3, picture 30"
    assert found["same_class"].tolist() == [False, True]
    z = (x - x.mean(0)) / x.std(0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(found["cosine"], [z[3] @ z[30], z[25] @ z[31]])


def test_a_lower_threshold_finds_all_pairs_that_one_counts():
    x = np.random.default_rng(1).normal(size=(30, 4))
    x[20] = x[2]  # exactly
    split = np.array(["train"] * 18 + ["test"] * 12)
    z = (x - x.mean(0)) / x.std(0)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    expected = int((z[:18] @ z[18:].T >= 0.5).sum())
    found = near_duplicates(features_of(x, split), 0.5)
    assert len(found) == expected > 5
    assert found["cosine"].is_monotonic_decreasing
    assert len(near_duplicates(features_of(x, split), 1.0)) == 1


def test_near_duplicates_refuse_what_does_not_fit():
    x = np.random.default_rng(1).normal(size=(6, 4))
    with pytest.raises(CourseError, match="of one split"):
        near_duplicates(features_of(x, ["all"] * 6))
    both = features_of(x, ["train"] * 3 + ["test"] * 3)
    for threshold in (0, 1.2, True, "0.9"):
        with pytest.raises(CourseError, match="above 0 and up to 1"):
            near_duplicates(both, threshold)
    with pytest.raises(UnknownNameError, match=r"Nearest: deep"):
        near_duplicates(both, layer="deeep")
