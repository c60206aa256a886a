"""Changed tasks: the pictures vary as asked, and the same seed always gives the same ones."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.tasks.change import Change

LIMITS = {"turn": 40, "shift": 0.125, "scale": (0.7, 1.2)}


@pytest.fixture(scope="module")
def digits():
    return tl.load_task("digits")


def pixels(split, places=range(6)):
    return [np.asarray(split[i][0]) for i in places]


def square(side=64):
    """A white square in the middle of a black picture, of half its side."""
    values = np.zeros((side, side, 3), np.uint8)
    values[side // 4 : -side // 4, side // 4 : -side // 4] = 255
    return Image.fromarray(values)


@pytest.mark.parametrize(
    ("limits", "draws", "expected"),
    [
        ({"turn": 90}, (1, 0.5, 0.5, 0.5), {"angle": 90}),
        ({"turn": 40}, (0.25, 0, 0, 0), {"angle": -20}),
        ({"shift": 0.25}, (0, 1, 0.25, 0), {"translate": (16, -8)}),
        ({"scale": (0.5, 2)}, (0, 0, 0, 0), {"scale": 0.5}),
        ({"scale": (0.5, 2)}, (0, 0, 0, 1), {"scale": 2}),
    ],
)
def test_four_numbers_say_where_between_the_limits_a_change_lies(limits, draws, expected):
    picture = square()
    picture.paste((90, 20, 200), (40, 16, 48, 24))  # so that it has no symmetry
    whole = {"angle": 0, "translate": (0, 0), "scale": 1, "shear": (0, 0)} | expected
    same = v2.functional.affine(picture, **whole, interpolation=v2.InterpolationMode.BILINEAR)
    assert np.array_equal(Change(**limits).drawn(picture, draws), same)
    assert not np.array_equal(picture, same)


def test_changes_drawn_at_random_are_spread_as_torchvisions_are():
    """Centre and area of a square, over many changes, against `RandomAffine`."""
    limits = {"shift": 0.2, "scale": (0.6, 1.3), "turn": 30}
    theirs = v2.RandomAffine(
        30, (0.2, 0.2), (0.6, 1.3), interpolation=v2.InterpolationMode.BILINEAR
    )
    spreads = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for change in (Change(**limits), theirs):
            measured = []
            for _ in range(600):
                ink = np.asarray(change(square()).convert("L"), float) / 255
                rows, columns = np.indices(ink.shape)
                measured.append(
                    (ink.sum(), *((ink * x).sum() / ink.sum() for x in (rows, columns)))
                )
            spreads.append(np.concatenate([np.mean(measured, 0), np.std(measured, 0)]))
    np.testing.assert_allclose(*spreads, rtol=0.1)  # the standard error is up to 4 %


def test_what_comes_in_from_outside_has_the_colour_of_the_corners():
    picture = Image.new("RGB", (40, 30), (10, 200, 30))
    picture.paste((0, 0, 0), (0, 0, 8, 8))  # one corner is another
    changed = np.asarray(Change(shift=0.5).drawn(picture, (0, 1, 1, 0)))
    assert changed.shape == (30, 40, 3)
    assert (changed[:10, :10] == (10, 200, 30)).all()


def test_val_and_test_pictures_are_changed_once_and_training_pictures_stay(digits):
    task = digits.changed(**LIMITS)
    assert task.change == Change(**LIMITS)
    assert (task.name, task.classes) == (digits.name, digits.classes)
    assert task.train.digests() == digits.train.digests()
    assert np.array_equal(pixels(task.train), pixels(digits.train))
    for name in ("val", "test"):
        changed, before = getattr(task, name), getattr(digits, name)
        assert changed.names == before.names
        assert np.array_equal(changed.labels, before.labels)
        assert not set(changed.digests()) & set(before.digests())
        assert len(set(changed.digests())) == len(changed)
        assert not any(map(np.array_equal, pixels(changed), pixels(before)))


def test_the_same_seed_gives_the_same_pictures_in_any_order(digits):
    task, again, other = (digits.changed(**LIMITS, seed=seed) for seed in (3, 3, 4))
    before = torch.random.get_rng_state()
    backwards = pixels(again.test, reversed(range(6)))[::-1]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(pixels(task.test), backwards)
    assert np.array_equal(pixels(task.test.take([5, 1]), [0, 1]), [backwards[5], backwards[1]])
    assert task.test.digests() == again.test.digests()
    assert not set(task.test.digests()) & set(other.test.digests())
    weaker = digits.changed(turn=39, shift=0.125, scale=(0.7, 1.2), seed=3)
    assert not set(task.test.digests()) & set(weaker.test.digests())


def test_views_are_added_behind_the_training_pictures_and_change_each_of_them(digits):
    task, n = digits.changed(**LIMITS, views=2), len(digits.train)
    assert len(task.train) == 3 * n
    assert task.train.digests()[:n] == digits.train.digests()  # stored features serve again
    assert len(set(task.train.digests())) == 3 * n
    assert np.array_equal(task.train.labels, np.tile(digits.train.labels, 3))
    name = digits.train.names[1]
    assert task.train.names[1::n] == (name, f"{name} (view 1)", f"{name} (view 2)")
    assert not np.array_equal(*pixels(task.train, [n + 1, 2 * n + 1]))
    more = digits.changed(**LIMITS, views=3)
    assert more.train.digests()[: 3 * n] == task.train.digests()
    assert more.test.digests() == task.test.digests()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"turn": 200}, "turn is 200, but must be degrees from 0 to 180"),
        ({"turn": "40"}, "turn is '40'"),
        ({"turn": float("nan")}, "turn is nan"),
        ({"shift": 12}, "shift is 12, but must be a number from 0 to below 1"),
        ({"scale": 1.2}, "scale is 1.2, but must be two factors"),
        ({"scale": (1.2, 0.7)}, "the smaller one first"),
        ({"scale": (0, 1)}, "above 0"),
        ({"views": -1}, "views is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
    ],
)
def test_limits_that_make_no_sense_are_answered_with_a_sentence(digits, options, said):
    with pytest.raises(CourseError, match=said):
        digits.changed(**options)


def test_a_task_is_changed_only_once(digits):
    with pytest.raises(CourseError, match="'digits' is changed already"):
        digits.changed(turn=10).changed(turn=10)
