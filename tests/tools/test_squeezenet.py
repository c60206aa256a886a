"""The weights of SqueezeNet are read from a pickle that can run nothing, and turned the right way."""

import io
import os
import pickle

import numpy as np
import pytest
import torch
from torchvision.models import squeezenet1_1

from tools import squeezenet


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return squeezenet1_1().eval()


def as_in_the_file(model):
    """Weights of a network under the names of the file, kernels as (height, width, in, out)."""
    return {
        name: [
            model.get_submodule(path).weight.detach().numpy().transpose(2, 3, 1, 0).copy(),
            model.get_submodule(path).bias.detach().numpy(),
        ]
        for name, path in squeezenet.MODULES.items()
    }


def test_a_network_that_was_written_like_the_file_comes_back_in_half_precision(model):
    written = io.BytesIO(pickle.dumps(as_in_the_file(model), protocol=3))
    state = squeezenet.converted(squeezenet.ArrayUnpickler(written).load())
    assert state.keys() == model.state_dict().keys()
    for name, values in model.state_dict().items():
        assert state[name].dtype == torch.float16
        assert torch.equal(state[name], values.half())


def test_missing_and_wrong_weights_are_refused(model):
    arrays = as_in_the_file(model)
    with pytest.raises(KeyError, match="fire5/expand3x3"):
        squeezenet.converted({k: v for k, v in arrays.items() if k != "fire5/expand3x3"})
    arrays["conv1"][0] = np.zeros((5, 5, 3, 64), np.float32)
    with pytest.raises(RuntimeError, match=r"size mismatch for features\.0\.weight"):
        squeezenet.converted(arrays)


class Evil:
    def __reduce__(self):
        return os.system, ("echo this must not run",)


@pytest.mark.parametrize("value", [Evil(), [np.zeros(2), Evil()], np.random.default_rng(0)])
def test_a_pickle_that_holds_more_than_arrays_is_refused(value, capfd):
    with pytest.raises(pickle.UnpicklingError, match="is no part of an array"):
        squeezenet.ArrayUnpickler(io.BytesIO(pickle.dumps(value))).load()
    assert "must not run" not in capfd.readouterr().out
