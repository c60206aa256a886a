"""Paired comparisons and intervals, against counts worked out by hand and other programs."""

from math import comb

import numpy as np
import pytest
from scipy.stats import binomtest

from tlcourse.errors import CourseError
from tlcourse.metrics import (
    accuracy,
    balanced_accuracy,
    compare_paired,
    confusion_matrix,
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
def test_the_interval_leaves_out_0_exactly_where_the_test_tells_apart(n_different):
    told = []
    for a in range(n_different + 1):
        found = compare_paired(*answers(30, a, n_different - a, 10))
        low, high = found.interval
        assert low <= found.difference <= high
        assert (not low <= 0 <= high) == found.told_apart == (found.p_value < 0.05)
        told.append(found.told_apart)
    assert any(told) == (n_different >= 6)  # five to nil happens once in sixteen times


def test_pairing_sees_what_two_separate_intervals_do_not():
    first, second = answers(166, 14, 0, 20)
    low = wilson_interval(int(first.sum()), 200)[0]
    high = wilson_interval(int(second.sum()), 200)[1]
    assert low < high
    assert compare_paired(first, second).told_apart


def test_equal_answers_are_not_told_apart():
    right = np.array([True, False, True])
    found = compare_paired(right, right)
    assert (found.p_value, found.difference, found.interval) == (1.0, 0.0, (0.0, 0.0))
    assert not found.told_apart


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
    # Two equal methods that differ on 40 pictures: how often are they told apart?
    wrong = sum(
        comb(40, a) / 2**40
        for a in range(41)
        if compare_paired(*answers(0, a, 40 - a, 0)).told_apart
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
