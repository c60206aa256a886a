"""Bad input is answered with one sentence that says what would be right."""

import numpy as np
import pytest

from tlcourse.errors import (
    CourseError,
    UnknownNameError,
    check_choice,
    check_share,
    check_whole,
)


@pytest.mark.parametrize("value", [1, 7, np.int64(3)])
def test_whole_numbers_in_range_are_given_back(value):
    assert check_whole("epochs", value, most=7) == value


@pytest.mark.parametrize("value", [0, 8, 2.0, "3", None, True])
def test_other_numbers_are_refused(value):
    with pytest.raises(
        CourseError, match=r"^epochs is .*, but must be a whole number, from 1 to 7"
    ):
        check_whole("epochs", value, most=7)


def test_without_a_limit_the_sentence_names_the_least_only():
    with pytest.raises(
        CourseError, match=r"seed is -1, but must be a whole number, 0 or larger\.$"
    ):
        check_whole("seed", -1, least=0)


@pytest.mark.parametrize("value", [0, 0.999, np.float32(0.5)])
def test_shares_are_given_back(value):
    assert check_share("val", value) == value


@pytest.mark.parametrize("value", [1, -0.1, float("nan"), "0.5", None, False])
def test_what_is_no_share_is_refused(value):
    with pytest.raises(CourseError, match=r"^val is .*, but must be a number from 0 to below 1\.$"):
        check_share("val", value)


def test_a_choice_that_is_not_known_is_answered_with_the_nearest():
    assert check_choice("pool", "mean", ("mean", "max")) == "mean"
    with pytest.raises(UnknownNameError, match=r"There is no pool 'men'\. Nearest: mean"):
        check_choice("pool", "men", ("mean", "max"))
    with pytest.raises(UnknownNameError):
        check_choice("pool", ["mean"], ("mean", "max"))
