"""Make `tlcourse/data/ge2e.safetensors`: the weights of a speaker network, in half precision.

They are `pretrained.pt` in the wheel of `Resemblyzer` 0.1.4 (Apache-2.0). Nothing else of the wheel
is used, and nothing of it is run: `torch.load(weights_only=True)` reads tensors only.

    python -m pip download --no-deps Resemblyzer==0.1.4
    python -m tools.ge2e Resemblyzer-0.1.4-py3-none-any.whl
"""

import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from tlcourse.networks.speech import SpeakerNetwork
from tools.weights import read_member, write_weights

MEMBER = "resemblyzer/pretrained.pt"
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"


def converted(given: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the weights of one LSTM of three layers to those of three LSTMs, in float16."""
    state = {}
    for name, tensor in given.items():
        if lstm := re.fullmatch(r"lstm\.(\w+)_l(\d)", name):
            state[f"lstm{int(lstm[2]) + 1}.{lstm[1]}_l0"] = tensor.half().contiguous()
        elif linear := re.fullmatch(r"linear\.(\w+)", name):
            state[f"embedding.{linear[1]}"] = tensor.half().contiguous()
    SpeakerNetwork().load_state_dict(state)  # refuses missing and surplus names, and other shapes
    return state


def main(wheel: Path) -> None:
    """Read the wheel, check the file in it, write the weights."""
    content = read_member(wheel, MEMBER, SHA256)
    loaded = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    write_weights(converted(loaded["model_state"]), "ge2e.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
