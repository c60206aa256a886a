"""OpenVINO as an engine: Intel's library for forward passes, on processors of any make."""

import sys
import threading
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

from tlcourse.base.machine import usable_cores
from tlcourse.engines.tapped import Tapped
from tlcourse.errors import CourseError
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import Pool

_BATCH = 4  # pictures per call; they are computed one by one, and handed over together
_importing = threading.Lock()


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
        streams = min(usable_cores(), torch.get_num_threads())  # which a user may set lower
        self.at_once = streams + 1  # one waits, so that no stream ever does
        tapped = Tapped(backbone, self.layers, pool)
        self.prepare = tapped.prepare
        try:
            model = _convert(tapped)
            compiled = openvino.Core().compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "THROUGHPUT",
                    "NUM_STREAMS": streams,
                    "INFERENCE_NUM_THREADS": streams,
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

    def __call__(self, items: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Compute some pictures, one after the other."""
        request = self._requests.get()
        try:
            given = [request.infer([item[None]], share_inputs=True) for item in items]
        finally:
            self._requests.put(request)
        return {
            name: np.concatenate([values[place] for values in given])
            for place, name in enumerate(self.layers)
        }


def _convert(tapped: Tapped) -> Any:
    """Convert a network to OpenVINO's model of it, for one picture.

    `openvino.convert_model` would do the same in three times the time, and count it by telemetry.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = tapped.example(1)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of shapes that become constants: the proof looks at it
        traced = torch.jit.trace(tapped, example, check_trace=False, strict=False)
        # The weights are copied: the network's own may be trained further.
        decoder = TorchScriptPythonDecoder(traced, shared_memory=False)
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    model.reshape(list(example.shape))
    return model


def _import_openvino() -> Any:
    """Import OpenVINO, but not the package by which its tools report their use to Intel."""
    with _importing:  # what may be imported holds for all threads
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
