"""Names are printed so that they cannot break a list or steer a terminal."""

import pytest

from tlcourse.base.messages import no_formula, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines", r"two\nlines"),
        ("\x1b[2J\r\x07", r"\x1b[2J\r\x07"),
        ("\u2028\u202e\udc80", r"\u2028\u202e\udc80"),
        ("plain name (1).jpg", "plain name (1).jpg"),
        ("C:\\Käuzchen 写真's\u202f.png", "C:\\Käuzchen 写真's\u202f.png"),
        ("👩\u200d🔬", "👩\u200d🔬"),
    ],
)
def test_only_what_is_not_seen_is_escaped(text, shown):
    assert printable(text) == shown


def test_a_name_that_a_spreadsheet_would_compute_gets_a_sign_before_it():
    assert [no_formula(name, "./") for name in ("=1+1", "+1", "-1", "@A1")] == [
        *("./=1+1", "./+1", "./-1", "./@A1"),
    ]
    assert no_formula("a=1", "./") == "a=1"
