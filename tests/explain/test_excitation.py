"""The strongest values of each channel, where they are, and what a position sees."""

import numpy as np
import pytest

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.explain.excitation import Excitation, effective_receptive_field, excitations


def test_excitations_are_the_maxima_of_the_maps_and_their_places(backbone, crops):
    found = excitations(backbone, [(p, 0) for p in crops], ["stage2", "stage5"], batch=4)
    maps = tl.activations(backbone, crops, ["stage5"])["stage5"]
    got = found["stage5"]
    # Another batch size may round differently.
    np.testing.assert_allclose(got.strongest, maps.amax(dim=(2, 3)).numpy(), rtol=1e-3, atol=1e-4)
    row, column = (got.where[4, 7] * 14 - 0.5).round().astype(int)
    assert maps[4, 7, row, column].item() == pytest.approx(maps[4, 7].max().item(), rel=1e-3)
    assert list(got.top(7, 2)) == maps[:, 7].amax(dim=(1, 2)).argsort(descending=True)[:2].tolist()
    assert found["stage2"].patch < got.patch


def test_a_patch_is_what_a_position_of_the_layer_looks_at(backbone, crops):
    assert effective_receptive_field(backbone, crops[:1], "conv_stem", share=0.999) == 3
    assert effective_receptive_field(backbone, crops[:1], "stage7") > 50


def test_what_cannot_be_computed_is_refused(backbone, crops):
    with pytest.raises(CourseError, match="no maps"):
        tl.excitations(backbone, crops, "embedding")
    with pytest.raises(CourseError, match="no picture"):
        tl.excitations(backbone, [], "stem")
    with pytest.raises(UnknownNameError, match="stage2"):
        tl.excitations(backbone, crops, "stage_2")
    with pytest.raises(CourseError, match="batch is 0, but must be a whole number, 1 or larger"):
        tl.excitations(backbone, crops, "stem", batch=0)


def test_a_patch_at_the_border_is_moved_to_lie_inside_the_picture():
    where = np.array([[[0.0, 1.0], [0.5, 0.5]]], dtype=np.float32)
    excitation = Excitation("stem", np.ones((1, 2), dtype=np.float32), where, 5)
    assert excitation.box(0, 0, (20, 20, 3)) == (slice(0, 5), slice(15, 20))
    assert excitation.box(0, 1, (20, 20)) == (slice(8, 13), slice(8, 13))


def test_choosy_channels_are_those_whose_best_pictures_stand_out():
    strongest = np.random.default_rng(0).random((60, 4)).astype(np.float32)
    strongest[:6, 2] += 5
    strongest[:, 3] = 1  # the same for every picture
    excitation = Excitation("stem", strongest, np.zeros((60, 4, 2)), 3)
    assert excitation.choosy(1) == [2]
    assert excitation.choosy(4)[-1] == 3
