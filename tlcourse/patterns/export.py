"""A result as one file that runs without this course: `torch.export`'s format, or ONNX."""

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tlcourse.base.files import save_file
from tlcourse.base.messages import first_line
from tlcourse.engines.pytorch import fast_copy
from tlcourse.errors import CourseError, check_choice
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.networks.precision import PRECISIONS, Precision, store_weights
from tlcourse.networks.tap import in_mode, listen, pool_positions
from tlcourse.networks.trace import is_inside, modules_up_to, tensors_in
from tlcourse.patterns.result import Result, described
from tlcourse.tasks.split import Split

Run = Callable[[np.ndarray], np.ndarray]

_ABOUT = "about.json"  # inside a `.pt2` file
_ENDINGS = (".pt2", ".onnx")
_TOLERANCE = 1e-4  # of the largest logit, where that is above 1
_SEEN = 4  # pictures of the result that the file is checked with, beside noise
_CALIBRATION = 200  # pictures


@dataclass(frozen=True, eq=False)
class Exported:
    """A file that runs without this course, and what it says of itself.

    Call it with preprocessed pictures, float32 (N, 3, H, W), to get its logits (N, classes).

    Attributes:
        path: Where it is.
        about: What stands in the file: "classes", "shape" of one input, "resize_size", "crop_size",
            "mean", "std", "interpolation", "channels" and "scale" of the preprocessing, the
            "temperature" that makes probabilities honest, and more.
        run: Computes the logits.
        difference: Largest distance of a logit from the network's, on the inputs that the file was
            checked with before it was written; None for a file that was opened again.
    """

    path: Path
    about: Mapping[str, Any] = field(repr=False)
    run: Run = field(repr=False)
    difference: float | None = None

    def __call__(self, batch: "np.ndarray | torch.Tensor") -> np.ndarray:
        """Return the logits (N, classes) of preprocessed pictures (N, 3, H, W)."""
        values = np.ascontiguousarray(np.asarray(batch), dtype=np.float32)
        expected = tuple(self.about["shape"])
        if values.ndim != 1 + len(expected) or values.shape[1:] != expected:
            raise CourseError(
                f"{self.path.name} takes preprocessed {self.about['holds']} of the shape (N, "
                f"{', '.join(map(str, expected))}), not {values.shape}."
            )
        return self.run(values)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self.about["shape"]))
        line = (
            f"{self.path.name}: {self.size / 1e6:.1f} MB, {self.about['precision']}, "
            f"float32 (N, {shape}) -> logits (N, {len(self.about['classes'])})"
        )
        if self.difference is None:
            return line
        return (
            f"{line}\n  a logit differs by {self.difference:.1g} at most from the network's, on the "
            "inputs that it was checked with"
        )


def export(
    result: Result,
    path: str | Path,
    *,
    precision: Precision = "float32",
    pictures: Split | None = None,
) -> Exported:
    """Write a result's network as one file for programs that do not have this course.

    The file takes preprocessed pictures, float32 (N, 3, H, W), with any number N, and gives logits
    (N, classes). It says itself which classes these are and how pictures have to be preprocessed.
    Before anything is written, the finished file has to give the answers of the network: in
    float32 each logit to 1e-4.

    Args:
        result: What a pattern returned, or `tl.load_result`.
        path: Ends in ".pt2" for PyTorch (`torch.export.load` reads it) or in ".onnx" for programs
            without PyTorch. ONNX needs the packages onnx, onnxscript and onnxruntime.
        precision: "float16" takes half of the bytes, and "int8" a quarter. In a ".pt2" file only
            the weights are stored so, and each pass turns them back into float32. In an ".onnx"
            file 8 bits are computed with as well, which is faster on many processors. Both lose
            something: compare the answers to your test pictures.
        pictures: For 8 bits in ONNX, which measure how large each layer's outputs become; by
            default the validation pictures of the result. Labels are not read.

    Returns:
        The file, which can be called.

    Raises:
        UnknownNameError: There is no such precision.
        CourseError: The path ends in something else, or cannot be written to; packages for ONNX
            are missing; the result has no network; or the file would not give the same answers.

    Example:
        >>> exported = tl.export(result, "model.pt2")
        >>> logits = exported(batch)
    """
    target = Path(path).expanduser()
    ending = _ending(target)
    check_choice("precision", precision, PRECISIONS)
    backbone = result.backbone
    examples = _examples(result)
    about = _facts(result, precision)
    with _quiet():
        if ending == ".onnx":
            from tlcourse.patterns.onnx_file import write_onnx

            given = calibration(result, pictures) if precision == "int8" else None
            content = write_onnx(traced(backbone, "float32"), precision, given, about)
        else:
            content = _write_program(traced(backbone, precision), about)
        run, _ = _reader(ending)(content)
        expected = [_logits(backbone, batch) for batch in examples]
        difference = _checked(expected, [run(batch) for batch in examples], precision)
    save_file(target, content)
    return Exported(target, about, run, difference)


def load_exported(path: str | Path) -> Exported:
    """Open a file that `tl.export` wrote.

    A `.pt2` file is a program: PyTorch may run what somebody has put into it. Open those that you
    made or whose maker you trust. An `.onnx` file and the folder of a saved result hold no code.

    Raises:
        CourseError: There is no such file, or another program wrote it; or packages for ONNX are
            missing.

    Example:
        >>> tl.load_exported("model.pt2").about["classes"]
    """
    target = Path(path).expanduser()
    ending = _ending(target)
    try:
        content = target.read_bytes()
    except OSError as error:
        raise CourseError(f"{target} cannot be read ({error.strerror}).") from error
    try:
        with _quiet():
            run, about = _reader(ending)(content)
        about["shape"], about["classes"], about["holds"]
    except CourseError:
        raise
    except Exception as error:  # the readers raise whatever they stumble over
        raise CourseError(
            f"{target} is no file that tl.export wrote, or damaged ({first_line(error)})."
        ) from error
    return Exported(target, about, run)


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending in _ENDINGS:
        return ending
    raise CourseError(
        f"{path.name!r} ends in {ending!r}, so the format is not clear. End it in .pt2 for PyTorch, "
        "or in .onnx for programs without PyTorch."
    )


def _facts(result: Result, precision: Precision) -> dict[str, Any]:
    """What the file says of itself."""
    backbone = result.backbone
    return {
        "made_by": f"tlcourse {version('tlcourse')}",
        "pattern": result.pattern,
        "task": result.task,
        "holds": result.holds,
        "backbone": backbone.name,
        "licence": backbone.licence,
        "classes": list(result.classes),
        "shape": list(backbone.preprocess.shape),
        "temperature": result.temperature,
        "precision": precision,
        **described(backbone),
    }


def traced(backbone: Backbone, precision: Precision) -> torch.export.ExportedProgram:
    """Follow one pass of two inputs, and let their number vary."""
    network = store_weights(straight(backbone), precision)
    pair = torch.zeros(2, *backbone.preprocess.shape)
    batch = torch.export.Dim("batch")
    try:
        with torch.no_grad():
            program = torch.export.export(
                network, (pair,), dynamic_shapes=({0: batch},), strict=False
            )
    except Exception as error:  # whatever the tracer stumbles over
        raise CourseError(
            f"torch.export cannot follow the pass of this network ({first_line(error)}). A head of "
            "your own must not decide by the values in a tensor, nor by the number of pictures."
        ) from error
    program.example_inputs = None  # they would take their bytes in the file
    return program


def _write_program(program: torch.export.ExportedProgram, about: Mapping[str, Any]) -> bytes:
    stream = BytesIO()
    torch.export.save(program, stream, extra_files={_ABOUT: json.dumps(about)})
    return stream.getvalue()


def _read_program(content: bytes) -> tuple[Run, dict[str, Any]]:
    extra = {_ABOUT: ""}
    network = torch.export.load(BytesIO(content), extra_files=extra).module()

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(batch)).numpy()

    return run, json.loads(extra[_ABOUT])


def _reader(ending: str) -> Callable[[bytes], tuple[Run, dict[str, Any]]]:
    if ending == ".pt2":
        return _read_program
    from tlcourse.patterns.onnx_file import read_onnx

    return read_onnx


def _examples(result: Result) -> list[np.ndarray]:
    """Inputs to check the file with: noise, one and three, and a few pictures if there are any."""
    backbone = result.backbone
    noise = torch.Generator().manual_seed(0)
    examples = [torch.randn(n, *backbone.preprocess.shape, generator=noise) for n in (1, 3)]
    if len(known := result.pictures.get("val", ())):
        places = np.linspace(0, len(known) - 1, min(_SEEN, len(known))).astype(int)
        examples.append(torch.stack([backbone.preprocess(known[i][0]) for i in places]))
    return [batch.numpy() for batch in examples]


def calibration(result: Result, pictures: Split | None) -> np.ndarray:
    """Preprocessed pictures (N, 3, H, W) from which the range of each layer's outputs is read."""
    chosen = result.pictures.get("val", ()) if pictures is None else pictures
    if not len(chosen):
        raise CourseError(
            "8 bits in ONNX need pictures that show how large each layer's outputs become, and "
            "this result holds none. Pass some: tl.export(..., pictures=task.train)."
        )
    places = np.linspace(0, len(chosen) - 1, min(_CALIBRATION, len(chosen))).astype(int)
    prepare = result.backbone.preprocess
    return np.stack([prepare(chosen[i][0]).numpy() for i in places])


def _logits(backbone: Backbone, batch: np.ndarray) -> np.ndarray:
    with torch.inference_mode(), in_mode(backbone.model):
        return backbone.model(torch.from_numpy(batch).to(backbone.device)).cpu().numpy()


def _checked(expected: list[np.ndarray], given: list[np.ndarray], precision: Precision) -> float:
    """Return the largest difference of a logit; refuse a file that gives something else."""
    largest = max(float(abs(values).max()) for values in expected)
    # Not Python's max(), which passes over NaN.
    differences = [abs(a - b).max() for a, b in zip(expected, given, strict=True)]
    difference = float(np.max(differences))
    allowed = _TOLERANCE * max(1.0, largest) if precision == "float32" else math.inf
    if not difference <= allowed or math.isinf(difference):
        raise CourseError(
            f"The finished file would give other answers than the network: a logit differs by "
            f"{difference:.2g}, and {allowed:.2g} is allowed in {precision}. Nothing was written."
        )
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what exporters say of their own insides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# A network whose pass torch.export can follow


def straight(backbone: Backbone) -> nn.Module:
    """Copy a network so that `torch.export` can follow it: frozen, its BatchNorms folded.

    A `Network` ends its body's pass early, by an exception. Here the body runs to its end, and what
    stands behind the cut only gives zeros, which nothing reads.
    """
    model = fast_copy(backbone, ["logits"]).model.cpu().requires_grad_(False).eval()
    return _Straight(model) if isinstance(model, Network) else model


class _Straight(nn.Module):
    """The body and the head of a `Network`, without the early end."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.body, self.head = network.body, network.head
        self._where, self._pool = network._where, network.pool
        records = network.backbone.trace
        behind = self._where.side == "output"
        done = set(modules_up_to(records, self._where.path, inclusive=behind))
        for path, record in records.items():
            holds = is_inside(self._where.path, path) and (behind or path != self._where.path)
            if path and record.calls and path not in done and not holds:
                parent, _, name = path.rpartition(".")
                holder = _submodule(self.body, parent)
                if holder is not None and hasattr(holder, name):
                    setattr(holder, name, _Blank(record.output_shape))
        self.eval()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn preprocessed pictures (B, 3, H, W) into logits (B, classes)."""
        reached: list[torch.Tensor] = []
        with listen(self.body, self._where, lambda value: reached.append(tensors_in(value)[0])):
            self.body(batch)
        return self.head(pool_positions(reached[0], self._pool, self.body))


class _Blank(nn.Module):
    """Zeros in the shape of what stood here."""

    def __init__(self, shape: tuple[int, ...] | None) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, value: Any, *_: Any, **__: Any) -> Any:
        return value if self.shape is None else value.new_zeros(value.shape[0], *self.shape)


def _submodule(model: nn.Module, path: str) -> nn.Module | None:
    try:
        return model.get_submodule(path)
    except AttributeError:  # something around it has been replaced
        return None
