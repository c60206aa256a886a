"""Letters are text, drawn as coarsely as the digits, and the same ones at each call."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.tasks import letters


@pytest.fixture(scope="module")
def task():
    return tl.load_task("letters")


def test_there_are_as_many_of_each_letter_and_no_digit(task):
    splits = (task.train, task.val, task.test)
    assert sum(map(len, splits)) == 26 * letters.OF_EACH
    assert set(np.bincount(task.train.labels)) == {720}
    assert set(np.bincount(task.test.labels)) == {240}
    characters = [Path(name).name[0] for split in splits for name in split.names]
    assert set(characters) == {*"abcdefghijklmnopqrstuvwxyz", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    for split in splits:
        first = [name[0] for name in split.names]
        assert first == [task.classes[label] for label in split.labels]


def test_no_picture_is_in_two_splits(task):
    names = [*task.train.names, *task.val.names, *task.test.names]
    assert len(set(names)) == len(names)


def test_a_seed_decides_every_dot(task, monkeypatch):
    monkeypatch.setattr(letters, "OF_EACH", 4)
    first, labels, names = letters.draw(3)
    again, _, _ = letters.draw(3)
    other, _, _ = letters.draw(4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert labels.tolist() == sorted(labels.tolist())
    assert names[0].startswith("A/")


def test_they_are_as_coarse_and_about_as_heavy_as_the_digits(task):
    digits = load_digits().images
    values = task.train.raw
    assert values.shape[1:] == digits.shape[1:]
    assert values.min() == digits.min() == 0
    assert values.max() == digits.max() == letters.WHITE
    assert values.mean() == pytest.approx(digits.mean(), rel=0.2)
    assert (values.reshape(len(values), -1).max(axis=1) > 0).all()  # none is empty


def test_a_picture_is_white_on_black_and_of_the_size_of_a_digit(task):
    letter, digit = task.train[0][0], tl.load_task("digits").train[0][0]
    assert (letter.size, letter.mode) == (digit.size, digit.mode)
    corners = np.asarray(letter)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.median(corners) == 0


def test_only_text_fonts_are_drawn_with_and_they_come_with_matplotlib():
    import matplotlib as mpl

    folder = Path(mpl.get_data_path(), "fonts", "ttf")
    assert all((folder / f"{font}.ttf").is_file() for font in letters.FONTS)
    families = ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "cm")
    assert all(font.startswith(families) for font in letters.FONTS)
    symbols = ("cmsy10", "cmex10", "cmmi10", "STIXSiz", "STIXNonUni", "Display", "LastResort")
    assert not any(symbol in font for symbol in symbols for font in letters.FONTS)


def test_the_upright_letter_is_the_fonts_own():
    """Without any change the dots are those of the letter; "I" is taller than wide."""
    plain = letters._changed(letters._glyph("DejaVuSans", "I", 0), 0, 0, 0, 0, 0, 0)
    columns, rows = (plain.sum(axis=0) > 0).sum(), (plain.sum(axis=1) > 0).sum()
    assert rows >= 6
    assert columns <= 3
    moved = letters._changed(letters._glyph("DejaVuSans", "I", 0), 0, 0, 0, 0, 1, 0)
    place = np.arange(8)
    assert (moved.sum(axis=0) * place).sum() / moved.sum() > (
        plain.sum(axis=0) * place
    ).sum() / plain.sum()


def test_fractions_and_seed_are_checked_as_elsewhere():
    with pytest.raises(CourseError, match="seed"):
        tl.load_task("letters", seed=-1)


def test_a_font_that_is_missing_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    with pytest.raises(CourseError, match=r"font cmr10\.ttf is not where matplotlib"):
        letters._font.__wrapped__("cmr10")
