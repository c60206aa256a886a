"""Smaller copies of a task: some pictures of each class."""

import numpy as np
import pytest

import tlcourse as tl


@pytest.fixture(scope="module")
def digits():
    return tl.load_task("digits")


def test_so_many_pictures_of_each_class_are_kept_where_it_is_asked(digits):
    few = digits.few_of_each(train=3, test=0)
    assert np.bincount(few.train.labels).tolist() == [3] * 10
    assert few.val is digits.val
    assert len(few.test) == 0
    assert set(few.train.names) <= set(digits.train.names)


def test_fewer_pictures_are_among_more_and_only_the_seed_changes_them(digits):
    two, five = (digits.few_of_each(train=n).train.names for n in (2, 5))
    assert set(two) < set(five)
    assert digits.few_of_each(train=2).train.names == two
    assert set(digits.few_of_each(train=2, seed=1).train.names) != set(two)


def test_a_class_that_has_fewer_keeps_what_it_has(digits):
    counts = np.bincount(digits.val.labels)
    number = int(counts.max())
    kept = digits.few_of_each(val=number).val
    assert counts.min() < number
    assert np.bincount(kept.labels).tolist() == counts.tolist()


@pytest.mark.parametrize("wrong", [{"train": -1}, {"val": 2.5}, {"test": True}, {"seed": -1}])
def test_a_number_that_makes_no_sense_is_one_sentence(digits, wrong):
    with pytest.raises(tl.CourseError, match=f"^{next(iter(wrong))} is"):
        digits.few_of_each(**wrong)
