"""All that writes files for a user: how each begins, what it writes, and how that is read.

Each function gets a folder for what it needs, and returns a `Writer` that works in the folder in
which the process is by then.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import torch
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image
from tiny_comparisons import compared, labelled_task, network_for, result_of
from tiny_features import LAYERS, TinyNet, as_backbone, noise_split
from tiny_notebooks import write_notebook
from tiny_tasks import make_task, tiny_backbone
from torch import nn

import tlcourse as tl
from tlcourse.base import files as files_module
from tlcourse.cli import run_report
from tlcourse.cli.app import _export_progress
from tlcourse.cli.execute import Outcome
from tlcourse.cluster import extract as cluster
from tlcourse.cluster.shards import find_shards
from tlcourse.comparison import report
from tlcourse.course import notebooks, progress_file
from tlcourse.features import store
from tlcourse.networks import load
from tlcourse.tasks import download

EXPENSIVE = {"export_pt2", "export_onnx"}  # what they compute takes seconds


@dataclass
class Writer:
    """What is tried.

    Attributes:
        first: Writes what is there before.
        write: What is killed.
        read: Name -> content of all that can be read as finished; a damaged one raises.
        may_stay: Whether a new file may stay where there was no room.
    """

    first: Callable[[], object]
    write: Callable[[], object]
    read: Callable[[], dict]
    may_stay: Callable[[str], bool] = lambda name: False


def digest(*parts):
    """Digest of arrays, tensors, texts and bytes."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, dict):
            part = digest(*(x for pair in sorted(part.items()) for x in pair))
        if isinstance(part, torch.Tensor):
            part = part.detach().cpu().numpy()
        if isinstance(part, np.ndarray):
            part = str((part.dtype, part.shape)).encode() + part.tobytes()
        sha.update(part if isinstance(part, bytes) else str(part).encode())
    return sha.hexdigest()[:12]


def files(folder="."):
    """File -> digest, of all that a listing shows."""
    paths = [p for p in Path(folder).rglob("*") if p.is_file()]
    shown = [p for p in paths if not any(part.startswith(".") for part in p.parts)]
    return {p.as_posix(): digest(p.read_bytes()) for p in shown}


def when_there(path, read):
    return {path: read(path)} if Path(path).exists() else {}


def one(path, write, read=lambda path: digest(Path(path).read_bytes())):
    """A writer of one thing: the first one is replaced by another one."""
    return Writer(lambda: write(path, 0), lambda: write(path, 1), partial(when_there, path, read))


def features(place):
    os.environ["TLCOURSE_CACHE"] = "cache"
    backbone, split = as_backbone(TinyNet()), noise_split(range(24))
    wanted = {"layers": list(LAYERS), "batch_size": 4, "progress": False}

    def write(pool):
        tl.extract_features(backbone, split, pool=pool, **wanted)

    def what(folder):  # the seconds differ from run to run
        rows = json.loads((folder / "manifest.json").read_text("utf-8"))["rows"]
        return digest(store._load(folder, rows)[0])

    def read():
        folders = store._folders(store.store_folder())
        return {f.name: what(f) for f in folders if f.suffix != ".part"}

    # What has been computed stays, and the next run goes on with it.
    return Writer(lambda: write("max"), lambda: write("mean"), read, lambda name: ".part/" in name)


def result(place):
    task = labelled_task(12)
    made = [result_of(task, "fine_tune", {}, network=network_for(task, seed)) for seed in (0, 1)]
    return one("model", lambda path, i: made[i].save(path), _result)


def result_elsewhere(place):
    """Where two folders cannot be exchanged; the next call brings a folder back."""
    files_module._exchange = lambda one, other: False
    made = result(place)

    def read():
        files_module._bring_back(Path("model"))
        return made.read()

    return Writer(made.first, made.write, read)


def _result(path):
    found = tl.load_result(path, device="cpu")
    card = (Path(path) / "README.md").read_text("utf-8")
    return digest(found.backbone.model.state_dict(), found.test_accuracy, card)


def backbone(place):
    def write(path, i):
        torch.manual_seed(i)
        row = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12544, 2))
        tl.save_backbone(path, row, classes=["a", "b"], size=16)

    return one("mine", write, lambda path: digest(tl.load_backbone(path).model.state_dict()))


def adapter(place):
    made = [tl.Network(tiny_backbone(), 3, seed=seed) for seed in (0, 1)]
    made = [tl.finetune.add_lora(network, 4, seed=i) for i, network in enumerate(made)]

    def read(path):
        return digest(tl.finetune.load_adapter(tiny_backbone(), path).state_dict())

    return one("a.safetensors", lambda path, i: tl.finetune.save_adapter(made[i], path), read)


def export(ending, place):
    made = tl.patterns.standalone_extractor(
        tiny_backbone(), make_task(), layer="stage3", progress=False
    )

    def write(path, i):
        tl.export(made, path, precision=("float32", "float16")[i])

    def read(path):
        exported = tl.load_exported(path)
        return digest(exported(torch.zeros(1, 3, 64, 64)))

    return one(f"model.{ending}", write, read)


def comparison(place):
    task, made = labelled_task(12), []
    for seed in (0, 1):
        wrong = {"fine_tune": {"test": [seed], "val": [seed]}, "classifier": {}}
        made.append(compared(task, wrong, network=network_for(task, seed)))
    pages = {id(each): report.to_html(each) for each in made}
    report.to_html = lambda each: pages[id(each)]  # drawing takes seconds

    def read(path):
        tables = [Path(path, name).read_bytes() for name in ("results.csv", "skipped.csv")]
        return digest(Path(path, "report.html").read_bytes(), *tables, _result(f"{path}/model"))

    return one("results", lambda path, i: made[i].save(path), read)


def run_page(place):
    def write(path, i):
        outcomes = [Outcome(f"{k:02}_some", "passed", 12.0 + i, 10**8, 20) for k in range(16)]
        run_report.write_report(outcomes, {}, Path(path))

    return one("report.html", write)


def _executed(i):
    output = new_output("stream", name="stdout", text=f"{i}\n" * 2000)
    return new_notebook(cells=[new_code_cell("1", outputs=[output], id="a")])


def executed_page(place):
    outcomes = [Outcome("00_some", "passed", executed=_executed(i)) for i in (0, 1)]
    return one("00_some.html", lambda _, i: run_report.write_html(outcomes[i], Path()))


def executed_notebook(place):
    def read(path):
        return digest(json.dumps(nbformat.read(path, as_version=4), sort_keys=True))

    return one("a.ipynb", lambda path, i: notebooks.save_outputs(_executed(i), Path(path)), read)


def progress(place):
    os.environ["TLCOURSE_PROGRESS"] = "progress.jsonl"

    def write(question):
        progress_file._unwritten.clear()
        progress_file.change(question, lambda entry: {"tries": 1, "hints": 0})

    def read():
        known, damaged = progress_file.read_only(Path("progress.jsonl"))
        assert not damaged
        return {question: digest(entry) for question, entry in known.items()}

    return Writer(lambda: [write(f"{i:02}.1") for i in range(16)], lambda: write("16.1"), read)


def progress_table(place):
    for i in (0, 1):
        line = {"id": "00.1", "tries": i + 1, "hints": 0}
        (place / f"anna{i}.jsonl").write_text(json.dumps(line) + "\n")

    def write(path, i):
        _export_progress([place / f"anna{i}.jsonl"], Path(path))

    return one("class.csv", write)


def notebook_copies(place):
    source = place / "originals"
    for number in range(4):
        write_notebook(source / f"0{number}_some.ipynb", "1 + 1", "'long'" * 3000)
    (source / "images").mkdir()
    (source / "images" / "plan.txt").write_text("plan " * 9000)
    notebooks.originals = lambda: source

    def mine():
        write_notebook(Path("notebooks/01_some.ipynb"), "my own work")

    def is_whole(name):  # whole copies stay where there is no room for the next one
        return "/." not in name

    return Writer(mine, lambda: notebooks.copy_notebooks(Path()), files, is_whole)


def downloaded(place):
    os.environ["TLCOURSE_CACHE"] = "cache"
    folder = place / "sent" / "hymenoptera_data" / "train" / "ants"
    folder.mkdir(parents=True)
    for i in range(20):
        (folder / f"{i}.jpg").write_bytes(os.urandom(20_000))
    sent = shutil.make_archive(str(place / "archive"), "zip", place / "sent")
    download._download = lambda archive, path: shutil.copyfile(sent, path)

    def read():
        found = download.find_task("hymenoptera")
        whole = {} if found is None else {"task": digest(files(found))}
        return whole | {"own": digest(Path("cache/own.txt").read_text())}

    def first():
        Path("cache").mkdir()
        Path("cache/own.txt").write_text("mine")

    os.environ.pop("TLCOURSE_DATA", None)
    return Writer(first, lambda: download.download_task("hymenoptera"), read)


def shard(place):
    from pyarrow.parquet import read_table

    rng = np.random.default_rng(0)
    for i in range(8):
        path = place / "pictures" / f"{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    found = find_shards([str(place / "pictures")], 4)
    plan = cluster.Plan(Path("out"), ("stage2",), "squeezenet1_1", 64, engine="pytorch")
    fingerprint = plan.about()["fingerprint"]

    def write(i):
        Path("out").mkdir(exist_ok=True)
        cluster._remove_begun(plan, found)  # as a run does when it begins
        done = cluster._do(plan, fingerprint, found[i])
        assert done.pictures == 4, done

    def read():
        whole = [shard for shard in found if cluster.finished(plan, shard)]
        tables = [read_table(plan.target(shard.name)).to_pydict() for shard in whole]
        return {shard.name: digest(table) for shard, table in zip(whole, tables, strict=True)}

    return Writer(lambda: write(0), lambda: write(1), read)


def weights(place):
    os.environ["TLCOURSE_CACHE"] = "cache"
    network = tiny_backbone()
    load._load_lite = lambda *_: network

    def read():
        from safetensors.torch import load_file

        return {path.name: digest(load_file(path)) for path in Path("cache").rglob("*.safetensors")}

    return Writer(lambda: Path("cache").mkdir(), tl.weights_file, read)


def task_folder(place):
    task = make_task()

    def read():
        return {"task": digest(files("mine"))} if Path("mine").exists() else {}

    return Writer(lambda: None, lambda: tl.write_folder(task, "mine"), read)


def sound(place):
    rng = np.random.default_rng(0)
    made = [tl.Sound(rng.uniform(-1, 1, 16000).astype(np.float32), 16000) for _ in (0, 1)]
    return one(
        "a.wav",
        lambda path, i: made[i].save(path),
        lambda path: digest(tl.open_sound(path).samples),
    )


WRITERS = {
    "features": features,
    "result": result,
    "result_elsewhere": result_elsewhere,
    "backbone": backbone,
    "adapter": adapter,
    "export_pt2": partial(export, "pt2"),
    "export_onnx": partial(export, "onnx"),
    "comparison": comparison,
    "run_page": run_page,
    "executed_page": executed_page,
    "executed_notebook": executed_notebook,
    "progress": progress,
    "progress_table": progress_table,
    "notebook_copies": notebook_copies,
    "downloaded": downloaded,
    "shard": shard,
    "weights": weights,
    "task_folder": task_folder,
    "sound": sound,
}
