"""The weights of the speech networks get the names of the course's modules, turned the right way."""

import pytest
import torch
from torch import nn

from tlcourse.networks.speech import KeywordNetwork, SpeakerNetwork
from tools import ge2e, speech_embedding


def test_kernels_of_the_keyword_network_are_turned_to_bands_and_time():
    torch.manual_seed(0)
    model = KeywordNetwork()
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    arrays = [
        (part.weight.detach().numpy().transpose(0, 3, 2, 1), part.bias.detach().numpy())
        for part in convolutions
    ]  # (out, time, bands, in), as the file has them
    state = speech_embedding.converted(arrays)
    for name, values in model.state_dict().items():
        assert torch.equal(state[name], values)
    with pytest.raises(ValueError, match="shorter"):
        speech_embedding.converted(arrays[:-1])


def test_one_lstm_of_three_layers_becomes_three_in_half_precision():
    torch.manual_seed(0)
    lstm, linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)
    given = {f"lstm.{name}": t for name, t in lstm.state_dict().items()}
    given |= {f"linear.{name}": t for name, t in linear.state_dict().items()}
    state = ge2e.converted(given | {"similarity_weight": torch.ones(1)})
    assert {t.dtype for t in state.values()} == {torch.float16}
    model = SpeakerNetwork()
    model.load_state_dict(state)
    mels = torch.rand(2, 1, 20, 40)
    with torch.no_grad():
        expected = linear(lstm(mels[:, 0])[0][:, -1]).relu()
        expected = nn.functional.normalize(expected, dim=1)
        torch.testing.assert_close(model.eval()(mels), expected, atol=1e-3, rtol=0)
    with pytest.raises(RuntimeError, match="Missing key"):
        ge2e.converted({k: t for k, t in given.items() if k != "linear.bias"})
