"""Engines: what turns pictures into the values of some layers, and which one is taken.

An engine other than PyTorch is taken only if a proof passes: on pictures that it has not seen, it
gives what the network itself gives, at each layer that is asked for.
"""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch

from tlcourse.engines.proof import is_proven
from tlcourse.engines.pytorch import PyTorchEngine, fast_copy
from tlcourse.errors import CourseError, check_choice, check_whole
from tlcourse.networks.backbone import Backbone, layer_fingerprints
from tlcourse.networks.tap import Pool

EngineName = Literal["auto", "pytorch", "openvino", "half"]

_CLOSE, _HALF_CLOSE = 1e-4, 1e-2  # of the largest value of a layer
_WORTH = 4e11  # operations that pay for OpenVINO's start: 500 pictures of EfficientNet-Lite0
_KEPT = 4  # engines that are kept, so that comparing patterns makes each only once
_kept: "OrderedDict[tuple[Any, ...], Engine]" = OrderedDict()


class Engine(Protocol):
    """Computes the values of some layers of one network."""

    name: str  # "OpenVINO 2026.4.1", "PyTorch 2.14.1 on cpu"
    batch_size: int  # pictures per call that suit it
    at_once: int  # calls that may run at the same time, each in a thread of its own
    workers: int  # processes that open pictures; 0 for threads

    def prepare(self, picture: Any) -> Any:
        """Turn a PIL picture or a `Sound` into what one call takes of it."""

    def __call__(self, items: Sequence[Any]) -> dict[str, np.ndarray]:
        """Return layer -> its values, pooled, float32 (n, ...)."""


def make_engine(
    backbone: Backbone,
    layers: Sequence[str],
    *,
    pool: Pool = "mean",
    engine: EngineName = "auto",
    n: int | None = None,
    batch_size: int | None = None,
) -> Engine:
    """Make what computes some layers of a network in one pass.

    Args:
        backbone: The network, as it is now; what is changed later is not seen.
        layers: Names from `backbone.layers`, or dotted module paths.
        pool: How a map becomes a vector, as in `tl.extract_features`.
        engine: "pytorch"; "openvino", about twice as fast on a processor; "half", half precision
            on an NVIDIA GPU, whose values differ by up to 1e-2 of a layer's largest; or "auto":
            OpenVINO where it is installed, worth its start of some seconds and proven to
            give the same up to 1e-4, and else PyTorch.
        n: Pictures to come, by which "auto" decides; by default many.
        batch_size: Pictures per call; by default what suits the engine.

    Raises:
        UnknownNameError: There is no such engine.
        CourseError: The engine that was named is not installed, or cannot run this network here.
    """
    check_choice("engine", engine, get_args(EngineName))
    if batch_size is not None:
        check_whole("batch_size", batch_size)
    many = n is None or n * backbone.operations >= _WORTH
    layers = tuple(dict.fromkeys(layers))  # each once
    if engine == "half":
        if backbone.device.type != "cuda":
            raise CourseError(
                f'engine="half" needs an NVIDIA GPU, but {backbone.name} is on {backbone.device}. '
                'Load it with device="cuda" where there is one, or take engine="auto".'
            )
        from tlcourse.engines.half import HalfEngine

        half = HalfEngine(backbone, layers, pool, n, batch_size)
        if not is_proven(half, half.prepare, backbone, layers, pool, _HALF_CLOSE):
            raise CourseError(
                f'{backbone.name} does not give the same in half precision. Take engine="auto".'
            )
        return half
    if engine == "openvino":
        return _openvino(backbone, layers, pool, batch_size)
    fits = engine == "auto" and backbone.device.type == "cpu" and find_spec("openvino")
    if fits and (many or (_kept and _key(backbone, layers, pool, batch_size) in _kept)):
        with suppress(CourseError):
            return _openvino(backbone, layers, pool, batch_size)
    return PyTorchEngine(fast_copy(backbone, layers), layers, pool, n, batch_size)


def _openvino(
    backbone: Backbone, layers: tuple[str, ...], pool: Pool, batch_size: int | None
) -> Engine:
    """Return an engine that is kept, or make one; either is proven on the network as it is now."""
    from tlcourse.engines.openvino import OpenVINOEngine

    key = _key(backbone, layers, pool, batch_size)
    if (kept := _kept.pop(key, None)) and is_proven(
        kept, kept.prepare, backbone, layers, pool, _CLOSE
    ):
        _kept[key] = kept
        return kept
    made = OpenVINOEngine(backbone, layers, pool, batch_size)
    if not is_proven(made, made.prepare, backbone, layers, pool, _CLOSE):
        raise CourseError(
            f"OpenVINO does not compute the same as {backbone.name} at {', '.join(layers)}. "
            'Take engine="auto", which finds out and takes PyTorch.'
        )
    _kept[key] = made
    while len(_kept) > _KEPT:
        _kept.popitem(last=False)
    return made


def _key(
    backbone: Backbone, layers: tuple[str, ...], pool: Pool, batch_size: int | None
) -> tuple[Any, ...]:
    """All that decides what an engine computes, and in how many threads."""
    prints = layer_fingerprints(backbone, layers)
    threads = torch.get_num_threads()
    return (*prints.items(), repr(backbone.preprocess), pool, batch_size, threads)
