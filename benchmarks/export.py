"""What fewer bits save and cost, in the two formats that a result is exported to (notebook 15).

    python -m benchmarks.export --save

Two results on 1,000 labelled photographs of clothes at 96 pixels: a probe on the stored features of
stage5, as the notebook makes it, and a fine-tuned network. Each is exported as `.pt2` and `.onnx` in
three precisions and answers the 1,000 test pictures: how many answers are those of the network, how
many are right. Milliseconds are medians of many passes in turn, with one thread, in time of the
processor: what else runs on the machine does not count. `eight_bits` tries other ways to compute with
8 bits in ONNX, on the probe. Needs the extra `export`. About five minutes on 2 slow cores.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tlcourse as tl
from benchmarks.recording import Row, record
from tlcourse.patterns import onnx_file
from tlcourse.patterns.export import calibration, straight, traced

SIZE = 96  # pixels
LAYER = "stage5"
PRECISIONS = ("float32", "float16", "int8")
SINGLE, MANY = 1, 16  # pictures per pass
ROUNDS = 25
EIGHT_BITS: dict[str, dict[str, Any]] = {
    "as exported": {},
    "one scale for each weight": {"per_channel": False},
    "sums not kept within 16 bits": {"within_16": False},
    "7 bits for the weights": {"within_16": False, "reduce_range": True},
    "percentiles of the outputs": {"calibrate_method": "Percentile"},
    "least divergence of the outputs": {"calibrate_method": "Entropy"},
    "first and last layer in float32": {"nodes_to_exclude": "ends"},
    "16 bits for the outputs": {"activation_type": "QUInt16"},
}

Run = Callable[[np.ndarray], np.ndarray]


def clothes() -> tl.Task:
    """1,000 labelled photographs, 400 for validation, 1,000 for the test."""
    return tl.load_task("fashion").few_of_each(train=100, val=40)


def probe() -> tl.Result:
    """A linear probe on stored features, as the notebook makes it."""
    backbone = tl.load_backbone().at_size(SIZE)
    return tl.patterns.standalone_extractor(backbone, clothes(), layer=LAYER, progress=False)


def fine_tuned() -> tl.Result:
    """The whole network, fine-tuned for three epochs."""
    backbone = tl.load_backbone().at_size(SIZE)
    options: dict[str, Any] = {"epochs": 3, "seed": 0, "progress": False, "live": False}
    return tl.patterns.fine_tune(backbone, clothes(), **options)


def inputs(result: tl.Result) -> np.ndarray:
    """The test pictures, preprocessed, (1000, 3, H, W)."""
    return np.stack([result.backbone.preprocess(p).numpy() for p, _ in result.pictures["test"]])


def answers(run: Run, batch: np.ndarray) -> np.ndarray:
    """Logits of all pictures."""
    return np.concatenate([run(batch[i : i + 50]) for i in range(0, len(batch), 50)])


def compared(result: tl.Result, logits: np.ndarray) -> Row:
    """Accuracy, and the share of the pictures that get the network's answer."""
    mine, labels = logits.argmax(axis=1), result.pictures["test"].labels
    return {
        "accuracy": float((mine == labels).mean()),
        "same": float((mine == result.predicted["test"]).mean()),
        "difference": float(abs(logits - result.logits["test"]).max()),
    }


def eager(network: torch.nn.Module, kind: torch.dtype = torch.float32) -> Run:
    """A network of PyTorch as it is."""

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(batch).to(kind)).float().numpy()

    return run


def timed(runs: dict[Any, Run], batch: np.ndarray) -> dict[Any, float]:
    """Milliseconds per picture of each: medians of passes in turn."""
    seconds: dict[Any, list[float]] = {name: [] for name in runs}
    for turn in range(ROUNDS + 2):
        for name, run in runs.items():
            started = time.process_time()
            run(batch)
            if turn > 1:  # the first ones prepare
                seconds[name].append(time.process_time() - started)
    return {name: 1000 * float(np.median(x)) / len(batch) for name, x in seconds.items()}


def exported() -> Iterator[Row]:
    """Each format and precision of both results, beside PyTorch as it is."""
    torch.set_num_threads(1)
    for name, make in {"probe": probe, "fine_tuned": fine_tuned}.items():
        result = make()
        with tempfile.TemporaryDirectory() as place:
            weights = result.save(Path(place) / "saved") / "model.safetensors"
            rows: dict[Any, Row] = {("eager", "float32"): {"bytes": weights.stat().st_size}}
            rows["eager", "bfloat16"] = {"bytes": weights.stat().st_size // 2}
            network = straight(result.backbone)
            runs: dict[Any, Run] = {("eager", "float32"): eager(network)}
            half = straight(result.backbone).to(torch.bfloat16)
            runs["eager", "bfloat16"] = eager(half, torch.bfloat16)
            for ending in ("pt2", "onnx"):
                for precision in PRECISIONS:
                    started = time.perf_counter()
                    path = Path(place) / f"{precision}.{ending}"
                    file = tl.export(result, path, precision=precision)
                    seconds = time.perf_counter() - started
                    rows[ending, precision] = {"bytes": file.size, "seconds": seconds}
                    runs[ending, precision] = file
            batch = inputs(result)
            single, many = timed(runs, batch[:SINGLE]), timed(runs, batch[:MANY])
            for (kind, precision), row in rows.items():
                key = (kind, precision)
                about = {"result": name, "format": kind, "precision": precision}
                times = {"ms_1": single[key], "ms_16": many[key]}
                yield about | row | times | compared(result, answers(runs[key], batch))


def eight_bits() -> Iterator[Row]:
    """Other ways to compute with 8 bits in ONNX, with the same calibration pictures."""
    from onnxruntime.quantization import CalibrationMethod, QuantType

    torch.set_num_threads(1)
    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime advises in the log
    result = probe()
    batch, pictures = inputs(result), calibration(result, None)
    program = traced(result.backbone, "float32")
    sizes: dict[str, int] = {}
    runs: dict[str, Run] = {}
    for way, wanted in EIGHT_BITS.items():
        model = onnx_file.translated(program)
        options = dict(wanted)
        if "calibrate_method" in options:
            options["calibrate_method"] = CalibrationMethod[options["calibrate_method"]]
        if "activation_type" in options:
            options["activation_type"] = QuantType[options["activation_type"]]
        if "nodes_to_exclude" in options:
            computing = [n.name for n in model.graph.node if n.op_type in ("Conv", "Gemm")]
            options["nodes_to_exclude"] = [computing[0], computing[-1]]
        with redirect_stdout(StringIO()):  # the calibration tells of its steps
            made = onnx_file.quantized(model, pictures, **options)
        content = made.SerializeToString()
        sizes[way] = len(content)
        runs[way], _ = onnx_file.read_onnx(content)
    milliseconds = timed(runs, batch[:SINGLE])
    for way, run in runs.items():
        row = {"result": "probe", "way": way, "bytes": sizes[way], "ms_1": milliseconds[way]}
        yield row | compared(result, answers(run, batch))


EXPERIMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    "exported": exported,
    "eight_bits": eight_bits,
}
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")

if __name__ == "__main__":
    record(
        "python -m benchmarks.export", __doc__, EXPERIMENTS, dict.fromkeys(EXPERIMENTS, _PACKAGES)
    )
