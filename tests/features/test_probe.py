"""A probe is scikit-learn's logistic regression, or the nearest mean, as a network's last layer."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss
from sklearn.preprocessing import normalize
from tiny_features import pipeline

from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.features.probe import fit_probe


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_probe_written_as_a_linear_layer_is_scikit_learns_pipeline(n_classes):
    random = np.random.default_rng(0)
    y = np.arange(40) % n_classes
    x = random.normal(size=(40, 5)) * [1, 2, 0.5, 1, 1] + y[:, None] * [0.7, 0, 0.2, 0, 0] + 3
    x[:, 4] = 2.0  # a feature that says nothing
    probe = fit_probe(x, y, kind="logistic", strengths=(0.01,))
    assert (probe.strength, probe.kind) == (0.01, "logistic")
    expected = pipeline(x, 0.01).fit(x, y).predict_proba(x)
    logits = torch.from_numpy(probe.logits(x))
    np.testing.assert_allclose(logits.softmax(1).numpy(), expected, atol=2e-3)  # solver's tolerance
    assert expected.std() > 0.01
    with torch.no_grad():
        head = probe.as_head()(torch.from_numpy(x).float())
    torch.testing.assert_close(head, logits.float(), rtol=1e-4, atol=1e-5)  # 32-bit weights
    assert 0.4 < (head.argmax(1).numpy() == y).mean() < 1


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("strength", [1e-3, 1e-1])  # with a larger one, solvers end early
def test_a_probe_of_more_features_than_rows_is_scikit_learns_on_all_of_them(n_classes, strength):
    """There the rows are turned into a space of fewer dimensions, which must not show."""
    random = np.random.default_rng(0)
    y, y_new = np.arange(40) % n_classes, np.arange(60) % n_classes
    centres = random.normal(size=(n_classes, 150))
    x, x_new = (random.normal(size=(len(v), 150)) + 0.5 * centres[v] + 3 for v in (y, y_new))
    x, x_new = (v * np.geomspace(0.5, 2, 150) for v in (x, x_new))
    probe = fit_probe(x, y, kind="logistic", strengths=(strength,))
    assert probe.weight.shape == (n_classes, 150)
    expected = pipeline(x, strength).fit(x, y)
    for rows in (x, x_new):  # new rows lie outside the space of the training rows
        found = torch.from_numpy(probe.logits(rows)).softmax(1).numpy()
        # Both solvers stop at a gradient of 1e-3 or less; what is left is theirs.
        np.testing.assert_allclose(found, expected.predict_proba(rows), atol=5e-3)
    assert expected.predict_proba(x_new).std() > 0.01


@pytest.mark.parametrize(("kind", "offset"), [("logistic", 5), ("nearest_mean", 0)])
def test_the_unit_of_the_features_does_not_matter(kind, offset):
    random = np.random.default_rng(2)
    y = np.arange(30) % 3
    x = random.normal(size=(30, 4)) + np.eye(3, 4)[y]
    logits, other = fit_probe(x, y, kind=kind).logits(x), 1000 * x + offset
    np.testing.assert_allclose(fit_probe(other, y, kind=kind).logits(other), logits, atol=1e-6)
    for nothing in (np.ones, np.zeros):  # to tell the classes apart by
        same = fit_probe(nothing((30, 4)), y, kind=kind).logits(np.ones((1, 4)))[0]
        np.testing.assert_allclose(same, same[0])


def test_the_strength_is_the_one_with_the_lowest_validation_loss():
    random = np.random.default_rng(1)
    y, y_val = np.arange(30) % 3, np.arange(60) % 3
    x, x_val = (random.normal(size=(len(v), 20)) + np.eye(3, 20)[v] for v in (y, y_val))
    strengths = (1e-4, 1e-1, 100.0)
    losses = [
        log_loss(y_val, pipeline(x, strength).fit(x, y).predict_proba(x_val))
        for strength in strengths
    ]
    assert min(losses) == losses[1]
    for kind in (None, "logistic"):
        assert fit_probe(x, y, x_val, y_val, kind=kind, strengths=strengths).strength == 1e-1
    alone = fit_probe(x, y, x_val, y_val, kind="logistic", strengths=strengths[:1])
    assert alone.strength == 1e-4


# --- the nearest mean ---


def rows_of(n_each, n_classes=3, seed=0, noise=1.0):
    """Rows around a direction of each class, of any length, and their labels."""
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), n_each)
    x = 3 * np.eye(n_classes, 20)[y] + 1 + noise * random.normal(size=(len(y), 20))
    return x * random.uniform(0.2, 5, (len(y), 1)), y


@pytest.mark.parametrize("n_each", [1, 2, 7])
def test_the_nearest_mean_is_scikit_learns_on_rows_of_length_1(n_each):
    x, y = rows_of(n_each)
    x_new, _ = rows_of(50, seed=1)
    probe = fit_probe(x, y, kind="nearest_mean")
    assert (probe.kind, np.isnan(probe.strength)) == ("nearest_mean", True)
    means = [normalize(x)[y == label].mean(axis=0) for label in range(3)]
    expected = (normalize(x_new) @ normalize(means).T).argmax(axis=1)
    assert (probe.logits(x_new).argmax(axis=1) == expected).all()
    assert len({*expected}) == 3
    # It is a linear layer without a bias, whose rows have one length.
    lengths = np.linalg.norm(probe.weight, axis=1)
    np.testing.assert_allclose(lengths, lengths[0])
    assert not probe.bias.any()


def test_its_logits_are_cosines_times_what_fits_the_validation_rows_best():
    x, y = rows_of(4)
    x_val, y_val = rows_of(30, seed=1, noise=2.0)
    probe = fit_probe(x, y, x_val, y_val, kind="nearest_mean")
    losses = [
        log_loss(y_val, softmax(factor * probe.logits(x_val), axis=1))
        for factor in np.linspace(0.5, 2, 31)
    ]
    assert np.argmin(losses) == 10  # factor 1


def test_without_validation_rows_each_row_is_left_out_once_to_find_that_number():
    x, y = rows_of(4, noise=2.0)
    probe = fit_probe(x, y, kind="nearest_mean")
    unit = probe.weight / np.linalg.norm(probe.weight[0])
    scores = x @ unit.T
    for i in range(len(x)):  # against the mean of the others of its class
        others = normalize(np.delete(x, i, axis=0))[np.delete(y, i) == y[i]].mean(axis=0)
        scores[i, y[i]] = x[i] @ others / np.linalg.norm(others)
    assert (scores.argmax(axis=1) == y).mean() < 1
    found = np.linalg.norm(probe.weight[0])
    losses = [log_loss(y, softmax(found * f * scores, axis=1)) for f in np.linspace(0.5, 2, 31)]
    assert np.argmin(losses) == 10  # factor 1


def test_one_row_of_each_class_is_enough():
    x, y = rows_of(1)
    probe = fit_probe(x, y)
    assert probe.kind == "nearest_mean"
    odds = softmax(probe.logits(x), axis=1)
    assert (odds.argmax(axis=1) == y).all()
    assert (odds.max(axis=1) < 1).all()
    assert fit_probe(x, y, kind="logistic").strength == 0.01


def test_validation_rows_choose_the_kind_by_their_loss():
    """Classes that differ by direction, and classes that differ by length in the same direction."""
    x, y = rows_of(2)
    x_val, y_val = rows_of(20, seed=1)
    assert fit_probe(x, y, x_val, y_val).kind == "nearest_mean"
    y = np.repeat(np.arange(3), 10)
    x = 1 + y[:, None] + np.random.default_rng(0).normal(0, 0.05, (30, 4))
    assert fit_probe(x, y, x, y).kind == "logistic"
    assert fit_probe(x, y).kind == "logistic"  # enough of each class
    assert fit_probe(x[::4], y[::4]).kind == "nearest_mean"  # too few to choose with


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.zeros((4, 3, 2, 2)), np.array([0, 1, 0, 1]), r"got \(4, 3, 2, 2\).*pool=\"mean\""),
        (np.zeros((4, 3)), np.array([0, 0, 0, 0]), "at least two classes"),
        (np.zeros((4, 3)), np.array([0, 2, 0, 2]), "pictures of every class"),
    ],
)
def test_a_probe_refuses_what_it_cannot_be_fitted_to(x, y, said):
    with pytest.raises(CourseError, match=said):
        fit_probe(x, y)


def test_a_kind_that_is_none_is_told():
    with pytest.raises(UnknownNameError, match="no kind of probe 'nearest'"):
        fit_probe(np.eye(4), np.array([0, 1, 0, 1]), kind="nearest")
