"""A probe is scikit-learn's logistic regression, written as the last layer of a network."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from tiny_features import pipeline

from tlcourse.errors import CourseError
from tlcourse.features.probe import fit_probe


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_probe_written_as_a_linear_layer_is_scikit_learns_pipeline(n_classes):
    random = np.random.default_rng(0)
    y = np.arange(40) % n_classes
    x = random.normal(size=(40, 5)) * [1, 2, 0.5, 1, 1] + y[:, None] * [0.7, 0, 0.2, 0, 0] + 3
    x[:, 4] = 2.0  # a feature that says nothing
    probe = fit_probe(x, y)
    assert probe.strength == 0.01
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
    probe = fit_probe(x, y, x_new, y_new, strengths=(strength,))
    assert probe.weight.shape == (n_classes, 150)
    expected = pipeline(x, strength).fit(x, y)
    for rows in (x, x_new):  # new rows lie outside the space of the training rows
        found = torch.from_numpy(probe.logits(rows)).softmax(1).numpy()
        # Both solvers stop at a gradient of 1e-3 or less; what is left is theirs.
        np.testing.assert_allclose(found, expected.predict_proba(rows), atol=5e-3)
    assert expected.predict_proba(x_new).std() > 0.01


def test_the_unit_of_the_features_does_not_matter():
    random = np.random.default_rng(2)
    y = np.arange(30) % 3
    x = random.normal(size=(30, 4)) + np.eye(3, 4)[y]
    logits = fit_probe(x, y).logits(x)
    np.testing.assert_allclose(fit_probe(1000 * x + 5, y).logits(1000 * x + 5), logits, atol=1e-6)
    same = fit_probe(np.ones((30, 4)), y).logits(np.ones((1, 4)))[0]  # nothing to tell apart by
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
    assert fit_probe(x, y, x_val, y_val, strengths=strengths).strength == 1e-1
    assert fit_probe(x, y, x_val, y_val, strengths=strengths[:1]).strength == 1e-4


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
