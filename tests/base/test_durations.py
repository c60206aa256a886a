"""Durations: read as people write them, written as people read them."""

import math

import pytest

from tlcourse.base.durations import in_words, to_seconds
from tlcourse.errors import CourseError


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (300, 300),
        (0.5, 0.5),
        ("300", 300),
        ("1e3", 1000),
        ("90s", 90),
        ("90 sec", 90),
        ("5m", 300),
        ("5 min", 300),
        (" 5M ", 300),
        ("2.5m", 150),
        ("1h", 3600),
        ("1.5 hours", 5400),
        ("10 seconds", 10),
        ("5 minutes", 300),
    ],
)
def test_a_duration_is_read_in_each_way_of_writing_it(written, seconds):
    assert to_seconds(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        *("", "m", "soon", "5 m 3 s", "-5m", "1,5h", "5d", "5ms5", "1.2.3 m", "nan", "inf", "0s"),
        *(0, -1, math.nan, math.inf, True, None, [5]),
    ],
)
def test_what_is_no_duration_is_told_with_examples(written):
    with pytest.raises(CourseError, match=r'is no duration\. Write a number .*"90s", "5m", "1h"'):
        to_seconds(written)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (99.6, "1 min 40 s"),
        (120, "2 min"),
        (179.6, "3 min"),
        (200, "3 min 20 s"),
        (5399, "89 min 59 s"),
        (5400, "1.5 h"),
        (36_000, "10.0 h"),
    ],
)
def test_a_duration_is_written_with_as_many_digits_as_matter(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.parametrize("seconds", [0.4, 12, 99, 120, 5400])
def test_a_short_duration_in_words_is_read_back(seconds):
    assert to_seconds(in_words(seconds)) == seconds
