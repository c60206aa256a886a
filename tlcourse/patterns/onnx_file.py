"""The format ONNX: written, made smaller, and run. All of it needs the extra `export`."""

import json
import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tlcourse.base.messages import first_line
from tlcourse.errors import CourseError
from tlcourse.networks.precision import Precision

if TYPE_CHECKING:
    from onnx import ModelProto

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_INPUT, _OUTPUT, _NUMBER = "pictures", "logits", "batch"
_SMALL = 64  # numbers; halving fewer would save nothing
_AT_ONCE = 5  # calibration pictures; the outputs of all layers are kept


def write_onnx(
    program: torch.export.ExportedProgram,
    precision: Precision,
    calibration: np.ndarray | None,
    about: Mapping[str, Any],
) -> bytes:
    """Translate a program into ONNX.

    Args:
        program: In float32.
        precision: Of the file.
        calibration: For 8 bits: preprocessed pictures (N, 3, H, W).
        about: What the file says of itself.

    Returns:
        The content of the file.

    Raises:
        CourseError: A package is missing, or the network has a step that ONNX does not know.
    """
    _check_packages()
    from onnx import helper

    model = translated(program)
    if precision == "float16":
        _halve(model)
    elif calibration is not None:
        model = quantized(model, calibration)
    helper.set_model_props(model, {name: json.dumps(value) for name, value in about.items()})
    return model.SerializeToString()


def read_onnx(content: bytes) -> tuple[Callable[[np.ndarray], np.ndarray], dict[str, Any]]:
    """Open a file's content with onnxruntime, and return what computes its logits, and its facts."""
    _check_packages()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    about = {name: _fact(value) for name, value in facts.items()}
    return lambda batch: session.run([_OUTPUT], {_INPUT: batch})[0], about


def _fact(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:  # what another program has written
        return value


def _check_packages() -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise CourseError(
            f"A file that ends in .onnx needs {', '.join(missing)}. Install it: "
            f"python -m pip install {' '.join(missing)}. A file that ends in .pt2 needs nothing more."
        )


def translated(program: torch.export.ExportedProgram) -> "ModelProto":
    """Translate a program into ONNX, in float32.

    Raises:
        CourseError: The network has a step that ONNX does not know.
    """
    try:
        made = torch.onnx.export(
            program, (), input_names=[_INPUT], output_names=[_OUTPUT], dynamo=True, verbose=False
        )
    except Exception as error:  # whatever the translation stumbles over
        raise CourseError(
            f"This network cannot be written as ONNX ({first_line(error)}). A file that ends in "
            ".pt2 may do."
        ) from error
    assert made is not None  # it is, unless a file is asked for
    model = made.model_proto
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _NUMBER
    del model.graph.value_info[:]  # which call that number something else
    return model


def _halve(model: "ModelProto") -> None:
    """Store the weights in half precision; a reader turns them back once, when it opens the file."""
    from onnx import TensorProto, helper, numpy_helper

    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _SMALL:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, f"{name}_half"))
        cast = helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)
        model.graph.node.insert(0, cast)


def quantized(
    model: "ModelProto", pictures: np.ndarray, *, within_16: bool = True, **options: Any
) -> "ModelProto":
    """Let a model compute with 8 bits, by onnxruntime's static quantisation.

    Each output channel of a weight has a scale of its own: without that, the depthwise convolutions
    of small networks lose many answers (benchmarks/export.py).

    Args:
        model: In float32.
        pictures: Preprocessed, (N, 3, H, W): they show how large each layer's outputs become.
        within_16: Scale the weights so that two products always fit 16 bits. x86 processors without
            the instructions VNNI add them so, and cut off what does not fit.
        options: Further ones of `onnxruntime.quantization.quantize_static`.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            starts = range(0, len(pictures), _AT_ONCE)
            self.batches = iter([{_INPUT: pictures[i : i + _AT_ONCE]} for i in starts])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.batches, None)

    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    options = {"per_channel": True} | kinds | options
    with tempfile.TemporaryDirectory() as folder:
        whole, plain, eight = (
            Path(folder) / f"{name}.onnx" for name in ("whole", "plain", "eight")
        )
        onnx.save(model, whole)
        quant_pre_process(whole, plain, skip_symbolic_shape=True)
        if within_16:
            ranges = _ranges_within_16(onnx.load(plain), per_channel=options["per_channel"])
            options["extra_options"] = {"TensorQuantOverrides": ranges} | options.get(
                "extra_options", {}
            )
        quantize_static(plain, eight, Pictures(), **options)
        return onnx.load(eight)


def _ranges_within_16(model: "ModelProto", *, per_channel: bool) -> dict[str, Any]:
    """Ranges for the weights of convolutions and linear layers, so that no sum is cut off.

    The two largest weights of a channel with the same sign, as 8-bit numbers, give 128 at most;
    times 255, the largest output, that fits 16 bits. Depthwise convolutions are summed in 32.
    """
    from onnx import numpy_helper

    weights = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    ranges: dict[str, Any] = {}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        weight = weights.get(node.input[1])
        if weight is None or (node.op_type != "Conv" and weight.ndim != 2):
            continue
        facts = {fact.name: fact.i for fact in node.attribute}
        if facts.get("group", 1) > 1 and weight.shape[1] == 1:  # depthwise
            continue
        axis = 0 if node.op_type == "Conv" or facts.get("transB") else 1
        rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
        signed = (np.sort(np.maximum(sign * rows, 0), axis=1)[:, -2:] for sign in (1, -1))
        largest = np.maximum(*(pair.sum(axis=1) for pair in signed)).clip(min=1e-12)
        if not per_channel:
            largest = largest.max(keepdims=True)
        ranges[node.input[1]] = [{"rmin": -most, "rmax": most} for most in largest]
        if per_channel:
            ranges[node.input[1]][0]["axis"] = axis
    return ranges
