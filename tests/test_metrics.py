"""Comparisons, intervals and calibration, against counts by hand and other programs."""

from math import comb

import numpy as np
import pytest
from scipy.stats import binomtest

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.metrics import (
    accuracy,
    balanced_accuracy,
    by_group,
    calibration_error,
    compare_paired,
    confusion_matrix,
    coverage_risk,
    fit_temperature,
    probabilities,
    reliability,
    wilson_interval,
)


def answers(both, only_first, only_second, neither):
    """Two arrays of right and wrong answers, with so many pictures of each kind."""
    counts = (both, only_first, only_second, neither)
    first = np.repeat([True, True, False, False], counts)
    second = np.repeat([True, False, True, False], counts)
    order = np.random.default_rng(0).permutation(len(first))
    return first[order], second[order]


def test_pictures_that_only_one_gets_right_are_counted():
    found = compare_paired(*answers(50, 9, 2, 39))
    assert (found.only_first, found.only_second, found.n) == (9, 2, 100)
    assert found.difference == pytest.approx(0.07)


def test_the_p_value_is_that_of_a_fair_coin():
    # 9 of 11, or more unequal, on either side: 2 (C(11,9) + C(11,10) + C(11,11)) / 2^11
    expected = 2 * (comb(11, 9) + comb(11, 10) + comb(11, 11)) / 2**11
    assert compare_paired(*answers(50, 9, 2, 39)).p_value == pytest.approx(expected)


def test_pictures_that_both_or_neither_get_right_change_no_p_value():
    assert (
        compare_paired(*answers(5, 9, 2, 3)).p_value
        == compare_paired(*answers(500, 9, 2, 300)).p_value
    )


def test_swapping_the_methods_swaps_the_signs():
    first, second = answers(50, 9, 2, 39)
    one, other = compare_paired(first, second), compare_paired(second, first)
    assert one.p_value == other.p_value
    assert one.difference == -other.difference
    np.testing.assert_allclose(one.interval, [-end for end in other.interval[::-1]])


@pytest.mark.parametrize("n_different", [1, 5, 6, 12, 25])
def test_the_interval_leaves_out_0_exactly_where_it_is_significant(n_different):
    told = []
    for a in range(n_different + 1):
        found = compare_paired(*answers(30, a, n_different - a, 10))
        low, high = found.interval
        assert low <= found.difference <= high
        assert (not low <= 0 <= high) == found.significant == (found.p_value < 0.05)
        told.append(found.significant)
    assert any(told) == (n_different >= 6)  # five to nil happens once in sixteen times


def test_pairing_sees_what_two_separate_intervals_do_not():
    first, second = answers(166, 14, 0, 20)
    low = wilson_interval(int(first.sum()), 200)[0]
    high = wilson_interval(int(second.sum()), 200)[1]
    assert low < high
    assert compare_paired(first, second).significant


def test_equal_answers_differ_by_nothing():
    right = np.array([True, False, True])
    found = compare_paired(right, right)
    assert (found.p_value, found.difference, found.interval) == (1.0, 0.0, (0.0, 0.0))
    assert not found.significant


def test_answers_may_be_zeros_and_ones():
    first, second = answers(50, 9, 2, 39)
    assert compare_paired(first.astype(int), second.astype(int)) == compare_paired(first, second)


def test_other_pictures_are_refused():
    with pytest.raises(CourseError, match="same pictures can be compared: 3 and 2"):
        compare_paired(np.ones(3, bool), np.ones(2, bool))


def test_wilsons_interval_is_that_of_its_formula():
    z, n, p = 1.959964, 153, 145 / 153
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    np.testing.assert_allclose(wilson_interval(145, 153), (middle - half, middle + half), rtol=1e-6)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_wilsons_interval_covers_the_truth_about_as_often_as_it_says():
    n, truth = 60, 0.9
    covered = sum(
        chance
        for k in range(n + 1)
        if wilson_interval(k, n)[0] <= truth <= wilson_interval(k, n)[1]
        for chance in [comb(n, k) * truth**k * (1 - truth) ** (n - k)]
    )
    assert 0.93 < covered < 0.98  # it can take steps only, so not exactly 0.95


def test_the_test_errs_at_most_as_often_as_it_says():
    # Two equal methods that differ on 40 pictures: how often is that significant?
    wrong = sum(
        comb(40, a) / 2**40
        for a in range(41)
        if compare_paired(*answers(0, a, 40 - a, 0)).significant
    )
    assert 0 < wrong <= 0.05


def test_accuracy_of_nothing_is_no_number():
    assert np.isnan(accuracy(np.array([]), np.array([])))
    assert accuracy(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])) == 0.75


def test_balanced_accuracy_counts_each_class_once_and_absent_ones_not():
    table = confusion_matrix(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]), 3)
    assert table.tolist() == [[3, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert balanced_accuracy(table) == pytest.approx((1 + 0.5) / 2)
    assert np.isnan(balanced_accuracy(confusion_matrix(np.array([]), np.array([]), 2)))


def test_the_p_value_agrees_with_scipys_for_many_counts():
    for a in range(0, 30, 7):
        for b in range(1, 30, 9):
            expected = binomtest(a, a + b).pvalue
            assert compare_paired(*answers(3, a, b, 4)).p_value == pytest.approx(expected)


# --- one call, one line ---


def test_two_arrays_are_compared_in_one_line():
    found = tl.same_or_not(*answers(271, 16, 6, 7))
    assert repr(found) == (
        "first 0.957, second 0.923 on the same 300 pictures: only the first is right on 16, only "
        "the second on 6. The difference could be chance (p = 0.052)."
    )
    assert repr(tl.same_or_not([1, 0] * 20, [0, 0] * 20)) == (
        "first 0.500, second 0.000 on the same 40 pictures: only the first is right on 20, only "
        "the second on 0. The difference is significant (p < 0.001)."
    )
    right = np.array([True, False, True])
    assert repr(tl.same_or_not(right, right)) == (
        "first 0.667, second 0.667 on the same 3 pictures: both are right on the same ones, so "
        "there is no difference."
    )


@pytest.mark.parametrize("wrong", [[0.5, 1], [2, 0], 3, None, "ab", [[True]], ["cat", "dog"]])
def test_what_does_not_say_right_or_wrong_is_refused(wrong):
    with pytest.raises(CourseError, match="two arrays that say for each picture whether a method"):
        tl.same_or_not([True, False], wrong)


# --- calibration ---


def overconfident(n=4000, n_classes=5, factor=2.5, seed=0):
    """Logits that are a factor too large, and labels drawn from the honest probabilities."""
    random = np.random.default_rng(seed)
    honest = random.normal(size=(n, n_classes)) * 1.5
    labels = np.array([random.choice(n_classes, p=p) for p in probabilities(honest)])
    return honest * factor, labels


def test_the_calibration_error_is_what_one_counts_by_hand():
    # 0.9 and 0.8 share the upper bin of two: mean 0.85, one of two right. 0.4 is alone and wrong.
    shares = [[0.9, 0.1, 0], [0.8, 0.1, 0.1], [0.3, 0.4, 0.3]]
    found = reliability(shares, [0, 1, 0], bins=2)
    assert found.n.tolist() == [1, 2]
    assert found.right.tolist() == [0, 1]
    np.testing.assert_allclose(found.confidence, [0.4, 0.85])
    np.testing.assert_allclose(found.accuracy, [0, 0.5])
    error = calibration_error(shares, [0, 1, 0], bins=2)
    assert error == pytest.approx(0.4 / 3 + 0.35 * 2 / 3)


def test_bins_are_those_of_scikit_learn():
    from sklearn.calibration import calibration_curve

    logits, labels = overconfident(n_classes=2)
    found = probabilities(logits)
    right = (found.argmax(axis=1) == labels).astype(int)
    share, mean = calibration_curve(right, found.max(axis=1), n_bins=10)
    bins = reliability(logits, labels, bins=10)
    np.testing.assert_allclose(bins.accuracy[5:], share)
    np.testing.assert_allclose(bins.confidence[5:], mean)
    assert bins.n[:5].sum() == 0
    assert np.isnan(bins.accuracy[:5]).all()


def test_logits_and_their_probabilities_say_the_same():
    logits, labels = overconfident()
    shares = probabilities(logits)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(probabilities(shares, temperature=3), probabilities(logits / 3))
    assert calibration_error(shares, labels) == pytest.approx(calibration_error(logits, labels))
    assert fit_temperature(shares, labels) == pytest.approx(fit_temperature(logits, labels))


def test_the_temperature_is_found_that_was_hidden():
    logits, labels = overconfident(n=8000, factor=2.5)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(2.5, rel=0.06)
    before, after = (calibration_error(logits, labels, temperature=t) for t in (1.0, found))
    assert before > 0.1
    assert after < 0.02
    assert fit_temperature(logits / 10, labels) == pytest.approx(found / 10, rel=1e-4)


def test_no_other_temperature_has_a_lower_log_loss():
    from sklearn.metrics import log_loss

    logits, labels = overconfident(n=300)

    def loss(temperature):
        return log_loss(labels, probabilities(logits, temperature=temperature))

    best = fit_temperature(logits, labels)
    assert all(loss(best) <= loss(best * factor) for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2))


def test_where_all_is_right_nothing_is_made_surer():
    assert fit_temperature([[3.0, 0.0], [0.0, 1.0]], [0, 1]) == 1.0


def test_answers_that_are_worse_than_guessing_end_at_the_hottest():
    assert fit_temperature([[3.0, 0.0], [0.0, 1.0]], [1, 0]) == pytest.approx(100, rel=1e-3)


def test_coverage_and_risk_are_what_one_counts():
    shares = [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.7, 0.3], [0.4, 0.6]]
    table = coverage_risk(shares, [0, 1, 0, 0, 0])
    assert table.threshold.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert table.coverage.tolist() == pytest.approx([0.2, 0.4, 0.8, 1])  # two have 0.7
    assert table.risk.tolist() == pytest.approx([0, 0, 1 / 4, 2 / 5])


def test_at_full_coverage_the_risk_is_the_error():
    logits, labels = overconfident()
    table = coverage_risk(logits, labels)
    assert table.coverage.iloc[-1] == 1
    assert table.risk.iloc[-1] == pytest.approx(1 - accuracy(logits.argmax(axis=1), labels))
    assert table.threshold.is_monotonic_decreasing


@pytest.mark.parametrize("call", [calibration_error, fit_temperature, coverage_risk])
def test_scores_and_labels_that_do_not_fit_are_told(call):
    for scores in ([0.5, 0.5], [[1.0]], [[np.nan, 1.0]], np.zeros((1, 2, 2))):
        with pytest.raises(CourseError, match=r"finite numbers of shape \(N, classes\), got shape"):
            call(scores, [0])
    with pytest.raises(CourseError, match=r"2 rows of scores, and labels of shape \(1,\)"):
        call([[0.0, 1.0], [1.0, 0.0]], [0])
    with pytest.raises(CourseError, match="0 rows of scores"):
        call(np.zeros((0, 2)), [])


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf, "hot", None])
def test_a_temperature_has_to_be_above_0(temperature):
    with pytest.raises(CourseError, match="must be a number above 0"):
        probabilities([[0.0, 1.0]], temperature=temperature)


def test_bins_are_a_whole_number():
    with pytest.raises(CourseError, match="bins is 0"):
        calibration_error([[0.0, 1.0]], [1], bins=0)


def test_groups_are_counted_one_by_one_with_their_intervals():
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    predicted = np.array([0, 1, 2, 0, 0, 1, 0, 0])
    found = by_group(predicted, labels, ["new", "old", "old", "new", "old", "old", "new", "new"])
    assert found.table.index.tolist() == ["new", "old"]
    assert found.table["n"].tolist() == [4, 4]
    assert found.table["right"].tolist() == [3, 2]
    assert found.table["accuracy"].tolist() == [0.75, 0.5]
    assert (found.table["low"]["old"], found.table["high"]["old"]) == wilson_interval(2, 4)
    assert (found.worst, found.best, found.spread) == ("old", "new", 0.25)
    assert found.accuracy == 5 / 8
    assert "worst 'old' 0.500, best 'new' 0.750, spread 0.250" in repr(found)


def test_groups_that_are_numbers_stand_in_the_order_of_numbers():
    groups = np.array([10, 9, 2, 10])
    assert by_group(np.zeros(4), np.zeros(4), groups).table.index.tolist() == ["2", "9", "10"]


def test_groups_that_do_not_fit_are_told():
    for groups in ([0, 1, 1], np.zeros((2, 1)), 3):
        with pytest.raises(
            CourseError, match=r"an answer, a label and a group, each of shape \(N,\)"
        ):
            by_group([0, 1], [0, 1], groups)
    with pytest.raises(CourseError, match="each of shape"):
        by_group([], [], [])
