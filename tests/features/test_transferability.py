"""LogME and the H-score are what their formulas say, and know which features suit a task."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, ortho_group

from tlcourse.errors import CourseError
from tlcourse.features.transferability import h_score, logme


def clouds(distance, n=60, wide=8, n_classes=3, seed=0):
    """Features (n, wide) of classes whose centres are so far apart, and labels."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    centres = random.normal(size=(n_classes, wide))
    return distance * centres[y] + random.normal(size=(n, wide)), y


def evidence(x, target):
    """The largest log evidence per picture, from the density of a Gaussian, by a plain search."""

    def loss(logs):
        alpha, beta = np.exp(np.clip(logs, -20, 20))
        covariance = np.eye(len(x)) / beta + x @ x.T / alpha
        return -multivariate_normal(np.zeros(len(x)), covariance).logpdf(target) / len(x)

    starts = ([0, 0], [5, 2], [-2, 2], [8, 0])
    options = {"xatol": 1e-6, "fatol": 1e-9, "maxiter": 4000}
    return -min(minimize(loss, s, method="Nelder-Mead", options=options).fun for s in starts)


@pytest.mark.parametrize(("n", "wide"), [(40, 6), (20, 50)])
def test_logme_is_the_largest_evidence_of_a_gaussian_model(n, wide):
    x, y = clouds(0.7, n=n, wide=wide)
    by_hand = np.mean([evidence(x, (y == label).astype(float)) for label in range(3)])
    assert logme(x, y) == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize("score", [logme, h_score])
def test_a_rotation_and_another_unit_change_nothing(score):
    x, y = clouds(1.0)
    turn = ortho_group.rvs(x.shape[1], random_state=0)
    assert score(x @ turn, y) == pytest.approx(score(x, y), abs=1e-4)
    assert score(1000 * x, y) == pytest.approx(score(x, y), abs=1e-4)


@pytest.mark.parametrize("score", [logme, h_score])
@pytest.mark.parametrize("wide", [8, 200])  # more features than pictures, too
def test_classes_that_lie_further_apart_score_higher_and_mixed_labels_lowest(score, wide):
    scores = [score(*clouds(distance, wide=wide)) for distance in (0.1, 0.5, 2.0)]
    assert scores == sorted(scores)
    x, y = clouds(2.0, wide=wide)
    mixed = np.random.default_rng(1).permutation(y)
    assert score(x, mixed) < score(x, y)


def test_features_that_tell_nothing_do_not_raise_logme():
    x, y = clouds(1.0)
    noise = np.random.default_rng(5).normal(size=(len(x), 300))
    assert logme(np.hstack([x, noise]), y) < logme(x, y)


def test_features_that_explain_the_labels_without_a_rest_have_a_finite_score():
    y = np.arange(30) % 3
    x = np.eye(3)[y]
    assert np.isfinite(logme(x, y))
    assert logme(x, y) > logme(x + np.random.default_rng(0).normal(0, 0.3, x.shape), y)


def test_the_h_score_is_the_trace_of_its_formula_where_the_covariance_is_known_well():
    x, y = clouds(1.0, n=30_000, wide=5)
    means = np.stack([x[y == label].mean(axis=0) for label in range(3)])[y]
    covariance, between = (np.cov(values.T, bias=True) for values in (x, means))
    assert h_score(x, y) == pytest.approx(np.trace(np.linalg.solve(covariance, between)), rel=0.01)


def test_the_h_score_is_shrunk_as_scikit_learn_shrinks():
    from sklearn.covariance import LedoitWolf

    x, y = clouds(1.0, n=30, wide=100)
    found = LedoitWolf().fit(x)
    means = np.stack([x[y == label].mean(axis=0) for label in range(3)])[y]
    between = np.cov(means.T, bias=True)
    by_hand = np.trace(np.linalg.solve(found.covariance_, (1 - found.shrinkage_) * between))
    assert h_score(x, y) == pytest.approx(by_hand, rel=1e-6)
    assert 0 < h_score(x, y) < 2  # at most the classes minus 1


@pytest.mark.parametrize("score", [logme, h_score])
@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.ones((4, 2, 2)), [0, 1, 0, 1], r"shape \(N, C\)"),
        (np.full((4, 2), np.nan), [0, 1, 0, 1], "finite"),
        (np.eye(4), [0, 1, 0], "needs its label"),
        (np.eye(4), [0.5, 1, 0, 1], "whole number"),
        (np.eye(4), [1, 1, 1, 1], "only one class"),
        (np.zeros((4, 2)), [0, 1, 0, 1], "features"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(score, x, y, said):
    with pytest.raises(CourseError, match=said):
        score(x, np.array(y))
