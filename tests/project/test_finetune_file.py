"""The file that notebook 05 writes works alone: without the course, on any folder of pictures."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

import tlcourse as tl

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "05_fine_tuning.ipynb"


@pytest.fixture(scope="module")
def text():
    """What the notebook's cells write into the file."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    parts = [c.source.partition("\n") for c in cells if c.source.startswith("%%writefile")]
    assert [first for first, _, _ in parts] == [
        "%%writefile finetune.py",
        *["%%writefile -a finetune.py"] * (len(parts) - 1),
    ]
    return "".join(f"{rest}\n" for _, _, rest in parts)


@pytest.fixture
def folder(tmp_path):
    """A folder of small dark and bright pictures."""
    random = np.random.default_rng(0)
    for split, n in (("train", 15), ("val", 4)):
        for name, low in (("bright", 170), ("dark", 0)):
            place = tmp_path / "pictures" / split / name
            place.mkdir(parents=True)
            for i in range(n):
                values = random.integers(low, low + 80, size=(40, 50, 3), dtype=np.uint8)
                Image.fromarray(values).save(place / f"{i}.png")
    return tmp_path / "pictures"


def test_it_is_short_and_needs_no_course(text):
    assert len(text.splitlines()) <= 80
    assert "tlcourse" not in text


def test_it_is_formatted(text, tmp_path):
    path = tmp_path / "finetune.py"
    path.write_text(text, encoding="utf-8")
    for command in (["format", "--check"], ["check"]):
        command = [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length=100", path]
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_it_fine_tunes_a_folder(text, tmp_path, folder):
    (tmp_path / "tlcourse.py").write_text("raise ImportError('not in this file')", "utf-8")
    (tmp_path / "finetune.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "finetune.py", str(folder), "--weights", str(tl.weights_file())]
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [*command, "--size", "64", "--epochs", "4"],
        cwd=tmp_path,
        env=alone,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    *epochs, last = ran.stdout.splitlines()
    assert [line.partition(":")[0] for line in epochs] == [
        f"epoch {n}" for n in range(1, len(epochs) + 1)
    ]
    accuracies = [float(line.split()[-1]) for line in epochs]
    assert f"validation accuracy {max(accuracies):.3f}" in last
    assert max(accuracies) == 1.0

    saved = torch.load(tmp_path / "finetuned.pt", weights_only=True)
    assert saved["classes"] == ["bright", "dark"]
    assert saved["weights"]["classifier.weight"].shape == (2, 1280)
    import timm

    net = timm.create_model("tf_efficientnet_lite0", num_classes=2)
    net.load_state_dict(saved["weights"])
    before = tl.load_backbone().model.state_dict()
    stem = "conv_stem.weight"
    assert not torch.equal(net.state_dict()[stem], before[stem])  # the body has moved, too
    assert torch.equal(net.state_dict()["bn1.running_mean"], before["bn1.running_mean"])


def test_other_classes_in_the_validation_pictures_are_refused(text, tmp_path, folder):
    (folder / "val" / "dark").rename(folder / "val" / "night")
    (tmp_path / "finetune.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "finetune.py", str(folder), "--weights", str(tl.weights_file())]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode != 0
    assert "train and val hold different classes" in ran.stderr
