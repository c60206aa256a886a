"""OpenVINO as an engine: Intel's library for forward passes, on processors of any make."""

import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import nn

from tlcourse.base.machine import usable_cores
from tlcourse.engines.proof import examples
from tlcourse.errors import CourseError
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.layers import Pool, pool_positions
from tlcourse.networks.mel import MelPreprocess
from tlcourse.networks.preprocess import Preprocess
from tlcourse.networks.tap import activations

_BATCH = 4  # pictures per call: their maps fit the cache of one core
_TRACED = 3  # pictures that a network is traced with, another number than it is proven with


class OpenVINOEngine:
    """Runs a converted network, several batches at once, each in a thread of its own."""

    workers = 0

    def __init__(
        self, backbone: Backbone, layers: Sequence[str], pool: Pool, batch_size: int | None = None
    ) -> None:
        if backbone.device.type != "cpu":
            raise CourseError(
                f"OpenVINO computes on the processor, but {backbone.name} is on {backbone.device}. "
                'Load it with device="cpu", or take engine="auto".'
            )
        openvino = _import_openvino()
        self.layers = tuple(layers)
        self.name = f"OpenVINO {version('openvino')}"
        self.batch_size = batch_size or _BATCH
        self.at_once = min(usable_cores(), torch.get_num_threads())  # which a user may set lower
        self._preprocess, self._pixels = backbone.preprocess, _takes_pixels(backbone.preprocess)
        try:
            model = _convert(_Tapped(backbone, layers, pool, self._pixels))
            compiled = openvino.Core().compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "THROUGHPUT",
                    "NUM_STREAMS": self.at_once,
                    "INFERENCE_NUM_THREADS": self.at_once,
                    "INFERENCE_PRECISION_HINT": "f32",  # some processors would take bfloat16
                },
            )
        except Exception as error:  # a network may do what only PyTorch can
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise CourseError(
                f"OpenVINO cannot convert {backbone.name} ({reason[:120]}). "
                'Take engine="auto", which finds out and takes PyTorch.'
            ) from error
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.at_once):
            self._requests.put(compiled.create_infer_request())

    def prepare(self, picture: Any) -> np.ndarray:
        """Return a picture's pixels, or the tensor that goes in, as an array."""
        if self._pixels and isinstance(self._preprocess, Preprocess):
            return self._preprocess.pixels(picture)
        return self._preprocess(picture).numpy()

    def __call__(self, items: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Compute one batch."""
        request = self._requests.get()
        try:
            given = request.infer([np.stack(items)], share_inputs=True)
            return {name: given[place] for place, name in enumerate(self.layers)}
        finally:
            self._requests.put(request)


class _Tapped(nn.Module):
    """Gives the pooled values of some layers, of pixels or of what the network takes."""

    def __init__(self, backbone: Backbone, layers: Sequence[str], pool: Pool, pixels: bool) -> None:
        super().__init__()
        self.model, self.backbone = backbone.model, backbone
        self.layers, self.pool, self.pixels = layers, pool, pixels
        backbone.trace  # noqa: B018  which cannot be made while this is traced

    def example(self) -> torch.Tensor:
        """Noise of the right shape."""
        generator = torch.Generator().manual_seed(0)
        channels, *size = self.backbone.preprocess.shape
        if self.pixels:
            shape = (_TRACED, *size, channels)
            return torch.randint(256, shape, generator=generator).to(torch.uint8)
        return torch.rand(_TRACED, channels, *size, generator=generator)

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.pixels:
            batch = self.backbone.of_pictures.normalise(batch)
        values = activations(self.backbone, batch, self.layers)
        return tuple(pool_positions(value, self.pool, self.model) for value in values.values())


def _takes_pixels(preprocess: Preprocess | MelPreprocess) -> bool:
    """Whether `pixels` and `normalise` are all that a preprocessing does."""
    if not isinstance(preprocess, Preprocess):
        return False
    for picture in examples(preprocess):
        expected = preprocess(picture)
        try:
            pixels = torch.from_numpy(preprocess.pixels(picture)[None].copy())
        except KeyError:  # an interpolation that Pillow does not have
            return False
        given = preprocess.normalise(pixels)[0]
        if given.shape != expected.shape or not torch.allclose(given, expected, atol=1e-4):
            return False
    return True


def _convert(tapped: _Tapped) -> Any:
    """Convert a network to OpenVINO's model of it, for batches of any number.

    `openvino.convert_model` would do the same in three times the time, and count it by telemetry.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = tapped.example()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of shapes that become constants: the proof looks at it
        traced = torch.jit.trace(tapped, example, check_trace=False, strict=False)
        # The weights are copied: the network's own may be trained further.
        decoder = TorchScriptPythonDecoder(traced, shared_memory=False)
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, *example.shape[1:]])
    return model


def _import_openvino() -> Any:
    """Import OpenVINO, but not the package by which its tools report their use to Intel."""
    telemetry = sys.modules.get("openvino_telemetry")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # cannot be imported
    try:
        import openvino
        import openvino.frontend.pytorch.ts_decoder
    except ImportError as error:
        raise CourseError(
            'engine="openvino" needs OpenVINO, an extra of the course: '
            'python -m pip install "tlcourse[fast]"'
        ) from error
    finally:
        del sys.modules["openvino_telemetry"]
        if telemetry:
            sys.modules["openvino_telemetry"] = telemetry
    return openvino
