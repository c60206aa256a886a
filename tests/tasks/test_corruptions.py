"""Corruptions: graded, the same for the same seed, and only where they are asked for."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.tasks.corruptions import KINDS


def spots(seed=0, size=(60, 48)):
    values = np.random.default_rng(seed).integers(40, 200, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


def bar():
    """A red bar on blue: a turn, a blur and a smaller one are the farther away the stronger."""
    picture = Image.new("RGB", (60, 60), (20, 20, 120))
    picture.paste((220, 60, 60), (4, 24, 56, 36))
    return picture


def away(picture, other):
    """Mean distance of two pictures' values."""
    return np.abs(np.asarray(picture, float) - np.asarray(other, float)).mean()


@pytest.fixture(scope="module")
def digits():
    return tl.load_task("digits").few_of_each(train=4, val=2, test=2)


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_of_strength_leads_further_away(kind):
    picture = bar()
    steps = [tl.corrupt(picture, kind, strength) for strength in range(6)]
    distances = [away(picture, step) for step in steps]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[1] > 0.5
    assert {step.size for step in steps} == {picture.size}
    assert np.array_equal(picture, bar())  # what was given is not touched


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_picture(kind):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        one = tl.corrupt(spots(), kind, 3, seed=7)
        torch.manual_seed(2)
        assert np.array_equal(one, tl.corrupt(spots(), kind, 3, seed=7))


def test_another_seed_gives_other_noise_and_some_turns_to_the_other_side():
    def pixels(kind):
        return {tl.corrupt(spots(), kind, 3, seed=seed).tobytes() for seed in range(8)}

    counts = {kind: len(pixels(kind)) for kind in KINDS}
    assert counts == {"blur": 1, "noise": 8, "brightness": 1, "grey": 1, "turn": 2, "scale": 1}


def test_what_is_done_is_torchvisions():
    picture = spots()
    dark = v2.functional.adjust_brightness(picture, 1 - 3 * 0.18)
    assert np.array_equal(tl.corrupt(picture, "brightness", 3), dark)
    grey = v2.functional.rgb_to_grayscale(picture, num_output_channels=3)
    assert np.array_equal(tl.corrupt(picture, "grey", 5), grey)
    noisy = np.asarray(tl.corrupt(Image.new("RGB", (200, 200), (128,) * 3), "noise", 1), float)
    assert noisy.std() == pytest.approx(0.08 * 255, rel=0.05)


def test_small_pictures_and_those_in_another_mode_are_taken():
    for kind in KINDS:
        assert tl.corrupt(Image.new("RGB", (1, 1)), kind, 5).size == (1, 1)
        assert tl.corrupt(Image.new("L", (9, 5), 90), kind, 2).mode == "RGB"


def test_a_call_draws_a_strength_up_to_its_own_from_pytorchs_generator():
    corruption = tl.Corruption("brightness", 2.5)  # at most to 55 %
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        means = [
            np.asarray(corruption(Image.new("RGB", (4, 4), (200,) * 3))).mean() for _ in range(60)
        ]
        torch.manual_seed(0)
        again = np.asarray(corruption(Image.new("RGB", (4, 4), (200,) * 3))).mean()
    assert again == means[0]
    assert 109 <= min(means) < 125
    assert 185 < max(means) <= 200


def test_only_the_test_pictures_of_a_task_are_corrupted_each_by_its_own_seed(digits):
    noisy = digits.corrupted("noise", 3)
    assert noisy.train is digits.train
    assert noisy.val is digits.val
    assert np.array_equal(noisy.test.labels, digits.test.labels)
    twice = digits.corrupted("noise", 3)
    differences = []
    for (before, _), (one, _), (two, _) in zip(digits.test, noisy.test, twice.test, strict=True):
        assert np.array_equal(one, two)
        differences.append((np.asarray(one, int) - np.asarray(before, int)).tobytes())
    assert len(set(differences)) == len(digits.test)
    assert noisy.test.digests() == twice.test.digests()
    others = digits.corrupted("noise", 3, seed=1), digits.corrupted("noise", 2), digits
    assert all(not set(noisy.test.digests()) & set(other.test.digests()) for other in others)


def test_corrupted_pictures_can_be_changed_views_and_subsets_again(digits):
    again = digits.corrupted("scale", 2).corrupted("noise", 1)
    assert len({*again.test.digests(), *digits.test.digests()}) == 2 * len(digits.test)
    assert again.few_of_each(test=1).test[0][0].size == digits.test[0][0].size


def test_wrong_arguments_are_answered_in_a_sentence(digits):
    with pytest.raises(UnknownNameError, match=r"no corruption 'blurr'\. Nearest: blur"):
        tl.corrupt(spots(), "blurr", 1)
    for strength in (-1, 5.5, "much", True, float("nan")):
        with pytest.raises(CourseError, match="must be a number from 0 to 5"):
            tl.corrupt(spots(), "noise", strength)
        with pytest.raises(CourseError, match="must be a number from 0 to 5"):
            digits.corrupted("noise", strength)
    with pytest.raises(CourseError, match="seed"):
        digits.corrupted("noise", 1, seed=-1)
