"""What a forward pass does, counted without computing it."""

import pytest

from tlcourse.networks.trace import is_inside, modules_up_to, up_to


def test_the_trace_counts_a_small_network_as_one_does_by_hand(tiny):
    record = tiny.trace["conv"]
    assert record.output_shape == (4, 6, 6)
    assert record.n_parameters == 4 * 3 * 9 + 4
    assert record.operations == 2 * (4 * 6 * 6) * (3 * 9)
    assert tiny.operations == record.operations + 2 * 4 * 2
    assert tiny.trace["act"].calls == 2
    assert tiny.trace["unused"].calls == 0


def test_modules_up_to_a_layer_are_those_that_are_done_when_it_is(tiny):
    assert modules_up_to(tiny.trace, "norm") == ["conv", "norm"]
    assert modules_up_to(tiny.trace, "norm", inclusive=False) == ["conv"]
    assert set(modules_up_to(tiny.trace, "")) == set(tiny.trace)
    parameters, operations = up_to(tiny.trace, "norm")
    assert parameters == tiny.trace["conv"].n_parameters + tiny.trace["norm"].n_parameters
    assert operations == tiny.trace["conv"].operations


@pytest.mark.parametrize(
    ("path", "module", "inside"),
    [
        ("layer1.0.conv", "layer1", True),
        ("layer1", "", True),
        ("layer1", "layer1", False),
        ("", "", False),
        ("layer10.0", "layer1", False),
        ("layer1", "layer1.0", False),
    ],
)
def test_a_module_is_inside_those_whose_path_it_continues(path, module, inside):
    assert is_inside(path, module) == inside
