"""docs/scale/finetune.py is notebook 05's file for several machines, and outlives a lost worker."""

import difflib
import os
import runpy
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from ready import Ready

import tlcourse as tl

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "scale" / "finetune.py"
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    "OMP_NUM_THREADS": "1",
    # Without it, gloo's processes look for those from before the restart: docs/scale.md.
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
}
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=3"]


@pytest.fixture(scope="module")
def ready():
    """Torchrun starts its own processes; the others need not import PyTorch once more."""
    imported = ["torch", "timm", "torchvision.datasets", "torch.distributed", "torch._dynamo"]
    with Ready(*imported, environment=ENVIRONMENT) as ready:
        yield ready


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small dark and bright pictures; one of nine for validation lies in the wrong folder."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("pictures")
    for split, n in (("train", 15), ("val", 4)):
        for name, low in (("bright", 170), ("dark", 0)):
            place = folder / split / name
            place.mkdir(parents=True)
            for i in range(n):
                _write(random, low, place / f"{i}.png")
    _write(random, 0, folder / "val" / "bright" / "wrong.png")
    return folder


def _write(random, low, path):
    values = random.integers(low, low + 80, size=(40, 50, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


def _command(folder):
    options = ["--weights", tl.weights_file(), "--size", "64", "--epochs", "3"]
    return [str(part) for part in (FILE, folder, *options)]


def _undisturbed(ready, folder, here):
    """Printed lines of two processes to which nothing happens, and what they save."""
    here.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    runs = [
        ready.start(
            *_command(folder), log=here / rank, cwd=here, environment=shared | {"RANK": rank}
        )
        for rank in ("0", "1")
    ]
    assert [run.wait(120) for run in runs] == [0, 0], runs[0].said + runs[1].said
    lines = [line for line in runs[0].said.splitlines() if line.startswith(("epoch", "best"))]
    return lines, torch.load(here / "finetuned.pt", weights_only=True)


def _killed(folder, here, *, after):
    """The same under torchrun, where one is killed when a line that begins so is printed."""
    here.mkdir()
    lines, command = [], [sys.executable, *TORCHRUN, *_command(folder)]
    with (
        (here / "errors").open("w") as errors,
        subprocess.Popen(
            command, cwd=here, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as run,
    ):
        for line in run.stdout:
            lines.append(line.strip())
            if after and line.startswith(after):
                workers = psutil.Process(run.pid).children()
                second = [worker for worker in workers if worker.environ().get("RANK") == "1"]
                second[0].kill()
                after = ""
    assert run.returncode == 0, (here / "errors").read_text()
    return lines, torch.load(here / "finetuned.pt", weights_only=True)


def test_it_is_the_notebooks_file_and_at_most_25_lines(tmp_path):
    cells = nbformat.read(ROOT / "notebooks" / "05_fine_tuning.ipynb", as_version=4).cells
    parts = [c.source.partition("\n")[2] for c in cells if c.source.startswith("%%writefile")]
    old = "\n".join(parts).splitlines()
    signs = [line[0] for line in difflib.ndiff(old, FILE.read_text("utf-8").splitlines())]
    assert signs.count("+") - signs.count("-") <= 25
    assert signs.count(" ") >= len(old) * 0.7  # most of it is still the notebook's
    assert "tlcourse" not in FILE.read_text("utf-8")
    for command in (["format", "--check"], ["check"]):
        command = [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length=100", FILE]
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_killed_worker_costs_no_finished_epoch_and_no_accuracy(ready, folder, tmp_path):
    expected, network = _undisturbed(ready, folder, tmp_path / "undisturbed")
    found, other = _killed(folder, tmp_path / "killed", after="epoch 1:")
    assert "exitcode: -9" in (tmp_path / "killed" / "errors").read_text("utf-8")  # it really died
    assert [line.partition(":")[0] for line in found] == ["epoch 1", "epoch 2", "epoch 3", "best"]
    # Views and order depend on the epoch alone, so nothing at all is different.
    assert found == expected
    assert "validation accuracy 0.889" in found[-1]  # eight of nine: each was counted once
    assert network["classes"] == other["classes"] == ["bright", "dark"]
    for name, values in network["weights"].items():
        torch.testing.assert_close(other["weights"][name], values, rtol=0, atol=1e-5, msg=name)


def _refused(ready, folder, here, **environment):
    run = ready.start(*_command(folder), log=here / "said", cwd=here, environment=environment)
    assert run.wait(60) == 1, run.said
    return run.said.splitlines()[-1]


def test_a_checkpoint_of_another_run_is_refused(ready, folder, tmp_path):
    torch.save([[{}, ["cat", "dog"]], [], 1, 0.5, 1, {}], tmp_path / "finetuned.pt.checkpoint")
    said = _refused(ready, folder, tmp_path)
    assert "finetuned.pt.checkpoint is of another run: delete it, or name another --out" in said


def test_a_batch_that_cannot_be_shared_equally_is_refused(ready, folder, tmp_path):
    said = _refused(ready, folder, tmp_path, RANK="0", WORLD_SIZE="3")
    assert "--batch must be a multiple of the 3 processes" in said


def test_a_checkpoint_of_other_pictures_is_refused(folder, here, monkeypatch, capsys):
    """In this process, which has imported what the file imports."""
    pictures = shutil.copytree(folder, here / "pictures")
    options = [str(pictures), "--weights", str(tl.weights_file()), "--size", "64", "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", [str(FILE), *options])
    runpy.run_path(str(FILE))
    assert "epoch 1: loss" in capsys.readouterr().out
    runpy.run_path(str(FILE))  # nothing is left to do
    assert "epoch 1: loss" not in capsys.readouterr().out
    shutil.copy(pictures / "train/dark/0.png", pictures / "train/dark/more.png")
    with pytest.raises(AssertionError, match="is of another run: delete it, or name another --out"):
        runpy.run_path(str(FILE))
