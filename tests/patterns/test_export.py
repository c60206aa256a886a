"""An exported file gives the network's answers, in a process that knows nothing of the course."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tiny_tasks import batch_of, make_task, state, tiny_backbone
from torch import nn

import tlcourse as tl
from tlcourse import patterns
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.networks.precision import eight_bits, store_weights
from tlcourse.patterns import export as export_module
from tlcourse.patterns.export import straight

ENDINGS = ("pt2", "onnx")
PRECISIONS = ("float32", "float16", "int8")
ALONE = {
    "pt2": """
import json, sys, numpy as np, torch
path, pictures, logits = sys.argv[1:]
extra = {"about.json": ""}
network = torch.export.load(path, extra_files=extra).module()
with torch.inference_mode():
    np.save(logits, network(torch.from_numpy(np.load(pictures))).numpy())
print(json.dumps(json.loads(extra["about.json"])))
assert "tlcourse" not in sys.modules and "timm" not in sys.modules
""",
    "onnx": """
import json, sys, numpy as np, onnxruntime
path, pictures, logits = sys.argv[1:]
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
np.save(logits, session.run(["logits"], {"pictures": np.load(pictures)})[0])
facts = session.get_modelmeta().custom_metadata_map
print(json.dumps({name: json.loads(value) for name, value in facts.items()}))
assert "torch" not in sys.modules and "tlcourse" not in sys.modules
""",
}


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture(scope="module")
def result(task):
    return patterns.standalone_extractor(tiny_backbone(), task, layer="stage3", progress=False)


@pytest.fixture(scope="module")
def exported(result, tmp_path_factory):
    """The result as each kind of file."""
    folder = tmp_path_factory.mktemp("exported")
    return {
        (ending, precision): tl.export(
            result, folder / f"{precision}.{ending}", precision=precision
        )
        for ending in ENDINGS
        for precision in PRECISIONS
    }


def expected(result, batch):
    with torch.no_grad():
        return result.backbone.model(batch).numpy()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_fresh_process_without_the_course_gets_the_same_logits(
    result, exported, tmp_path, ending
):
    batch = batch_of(result.backbone, 5)
    np.save(tmp_path / "pictures.npy", batch.numpy())
    file = exported[ending, "float32"]
    command = [file.path, tmp_path / "pictures.npy", tmp_path / "logits.npy"]
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, "-c", ALONE[ending], *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=alone,
    )
    assert ran.returncode == 0, ran.stderr
    given = np.load(tmp_path / "logits.npy")
    np.testing.assert_allclose(given, expected(result, batch), atol=1e-4)
    about = json.loads(ran.stdout)
    preprocess = result.backbone.preprocess
    assert about["classes"] == list(result.classes)
    assert about["shape"] == [3, 64, 64]
    assert (about["crop_size"], about["resize_size"]) == (64, preprocess.resize_size)
    assert (about["mean"], about["std"]) == (list(preprocess.mean), list(preprocess.std))
    assert about["interpolation"] == preprocess.interpolation
    assert about["temperature"] == result.temperature


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("n", [1, 2, 7])
def test_any_number_of_pictures_goes_in(result, exported, ending, n):
    batch = batch_of(result.backbone, n)
    given = exported[ending, "float32"](batch)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, expected(result, batch), atol=1e-4)


@pytest.mark.parametrize("ending", ENDINGS)
def test_fewer_bits_take_fewer_bytes_and_change_little(result, exported, ending):
    batch = batch_of(result.backbone, 4)
    sizes = [exported[ending, precision].size for precision in PRECISIONS]
    assert sizes[1] < sizes[0]
    wanted = expected(result, batch)
    spread = abs(wanted).max()
    far = [abs(exported[ending, p](batch) - wanted).max() / spread for p in PRECISIONS]
    assert far[0] < far[1] < far[2]
    assert far[1] < 0.01
    assert far[2] < 0.25


def test_the_weights_are_stored_as_said(exported):
    kinds = {"float32": torch.float32, "float16": torch.float16, "int8": torch.int8}
    for precision, kind in kinds.items():
        program = torch.export.load(exported["pt2", precision].path)
        matrices = [
            t
            for name, t in program.state_dict.items()
            if t.ndim > 1 and not name.endswith("_scale")
        ]
        assert matrices
        assert {t.dtype for t in matrices} == {kind}


def test_a_file_is_opened_again_with_what_it_says(result, exported):
    for (ending, precision), file in exported.items():
        again = tl.load_exported(file.path)
        assert again.about == file.about
        assert again.about["precision"] == precision
        assert repr(again).startswith(f"{precision}.{ending}: 0.")
        assert f"float32 (N, 3, 64, 64) -> logits (N, {len(result.classes)})" in repr(again)


def test_preprocessed_pictures_of_another_shape_are_refused(exported):
    said = r"takes preprocessed pictures of the shape \(N, 3, 64, 64\), not \(1, 3, 32, 32\)"
    with pytest.raises(CourseError, match=said):
        exported["pt2", "float32"](np.zeros((1, 3, 32, 32)))


# --- every kind of result ---


def made(kind, task):
    quick = {"augment": False, "epochs": 1, "progress": False}
    if kind == "classifier":
        return patterns.classifier(tiny_backbone(), task, progress=False)
    if kind == "conv head":
        return patterns.frozen_extractor(tiny_backbone(), task, **quick)
    if kind == "own head":
        head = nn.Sequential(nn.Flatten(), nn.Linear(48 * 16, 16), nn.ReLU(), nn.Linear(16, 3))
        return patterns.frozen_extractor(tiny_backbone(), task, head=head, pool="none", **quick)
    if kind == "lora":
        return patterns.fine_tune(tiny_backbone(), task, move="lora", epochs=1, progress=False)
    if kind == "adapter":
        return patterns.fine_tune(tiny_backbone(), task, move="adapter", epochs=1, progress=False)
    if kind == "resnet":
        return patterns.fine_tune(tiny_backbone("resnet"), task, epochs=1, progress=False)
    options = {"layer": "stage2", "pool": "class_token"} if kind == "vit" else {}
    return patterns.standalone_extractor(tiny_backbone("vit"), task, progress=False, **options)


KINDS = (
    *("classifier", "conv head", "own head", "lora", "adapter", "resnet", "vit"),
    "vit embedding",
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_result_is_exported(task, tmp_path, kind):
    result = made(kind, task)
    before = state(result.backbone.model)
    batch = batch_of(result.backbone, 3)
    file = tl.export(result, tmp_path / "model.pt2")
    np.testing.assert_allclose(file(batch), expected(result, batch), atol=1e-4)
    now = state(result.backbone.model)
    assert all(torch.equal(now[name], tensor) for name, tensor in before.items())


def test_what_stands_behind_the_cut_is_not_in_the_file(result, exported):
    names = torch.export.load(exported["pt2", "float32"].path).state_dict
    assert any("blocks.2" in name for name in names)
    assert not any("blocks.3" in name or "conv_head" in name for name in names)


def test_blue_comes_first_where_the_network_wants_it(tmp_path, task):
    backbone = tl.load_backbone("squeezenet1_1", device="cpu").at_size(64)
    result = patterns.standalone_extractor(backbone, task, progress=False)
    about = tl.export(result, tmp_path / "model.pt2").about
    assert (about["channels"], about["scale"]) == ("BGR", 255.0)


def test_a_saved_backbone_of_ones_own_is_exported_as_onnx(tmp_path, task):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(1568, 2)
    )
    tl.save_backbone(tmp_path / "mine", network.eval(), classes=["a", "b"], size=16)
    backbone = tl.load_backbone(f"{tmp_path / 'mine'}/", device="cpu")
    result = patterns.standalone_extractor(backbone, task, layer="stage1", progress=False)
    batch = batch_of(result.backbone, 3)
    file = tl.export(result, tmp_path / "model.onnx")
    np.testing.assert_allclose(file(batch), expected(result, batch), atol=1e-4)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_the_weights_of_a_recurrent_layer_are_stored_in_fewer_bytes_too(precision):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.last = nn.LSTM(6, 5, 2, batch_first=True), nn.Linear(5, 2)

        def forward(self, x):
            return self.last(self.lstm(x)[1][0][-1])

    torch.manual_seed(0)
    network, x = Recurrent().eval().requires_grad_(False), torch.randn(3, 4, 6)
    before = network(x)
    store_weights(network, precision)
    torch.testing.assert_close(network(x), before, atol=0.02, rtol=0)
    assert not [p for p in network.parameters() if p.ndim > 1]


def test_two_products_of_eight_bits_fit_sixteen(exported):
    model = onnx.load(exported["onnx", "int8"].path)
    weights = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    kernels = [w for name, w in weights.items() if w.dtype == np.int8 and "bias" not in name]
    dense = [kernel for kernel in kernels if kernel.ndim == 4 and kernel.shape[1] > 1]
    assert len(dense) > 5
    for kernel in dense:
        rows = kernel.reshape(len(kernel), -1).astype(int)
        for signed in (rows, -rows):
            assert (255 * np.sort(signed.clip(0), axis=1)[:, -2:].sum(axis=1) < 2**15).all()


def test_eight_bits_round_each_channel_by_its_own_scale():
    weight = torch.tensor([[1.0, -0.5], [100.0, 30.0], [0.0, 0.0]])
    numbers, scale = eight_bits(weight)
    assert numbers.dtype == torch.int8
    assert numbers[0].tolist() == [127, -64]
    assert (numbers * scale - weight).abs().max(dim=1).values.tolist() <= (scale / 2)[:, 0].tolist()
    assert (numbers * scale)[2].tolist() == [0, 0]


def test_a_network_that_runs_to_its_end_gives_the_same(result):
    batch = batch_of(result.backbone, 2)
    assert type(straight(result.backbone)) is not type(result.backbone.model)
    np.testing.assert_allclose(straight(result.backbone)(batch), expected(result, batch), atol=1e-5)


# --- what cannot be exported ---


@pytest.mark.parametrize("name", ["model", "model.pth", "model.zip"])
def test_another_ending_is_told(result, tmp_path, name):
    with pytest.raises(CourseError, match=r"End it in \.pt2 for PyTorch, or in \.onnx"):
        tl.export(result, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_precision_is_answered_with_the_nearest(result, tmp_path):
    with pytest.raises(UnknownNameError, match="Nearest: float16"):
        tl.export(result, tmp_path / "model.pt2", precision="float61")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_would_answer_otherwise_is_not_written(result, tmp_path, monkeypatch, ending):
    (tmp_path / f"model.{ending}").write_bytes(b"an earlier one")
    other = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 3)).requires_grad_(False)
    monkeypatch.setattr("tlcourse.patterns.export.straight", lambda backbone: other)
    with pytest.raises(CourseError, match=r"other answers than the network.*Nothing was written"):
        tl.export(result, tmp_path / f"model.{ending}")
    assert (tmp_path / f"model.{ending}").read_bytes() == b"an earlier one"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_gives_nan_for_some_inputs_only_is_refused():
    right, wrong = np.zeros((1, 3)), np.full((3, 3), np.nan)
    with pytest.raises(CourseError, match=r"differs by nan.*Nothing was written"):
        export_module._checked([right, np.zeros((3, 3))], [right, wrong], "float16")


def test_an_interruption_leaves_nothing(result, tmp_path, monkeypatch):
    def interrupted(path, content):
        path.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tl.export(result, tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_told(result, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CourseError, match="cannot be written"):
        tl.export(result, tmp_path / "file" / "model.pt2")


def test_missing_packages_are_named_with_the_command(result, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tlcourse.patterns.onnx_file.find_spec", lambda name: None if name == "onnxscript" else 1
    )
    with pytest.raises(CourseError, match=r"needs onnxscript\..*pip install onnxscript"):
        tl.export(result, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_eight_bits_of_a_loaded_result_need_pictures(result, tmp_path, task):
    loaded = tl.load_result(result.save(tmp_path / "result"), device="cpu")
    with pytest.raises(CourseError, match=r"need pictures.*pictures=task\.train"):
        tl.export(loaded, tmp_path / "model.onnx", precision="int8")
    file = tl.export(loaded, tmp_path / "model.onnx", precision="int8", pictures=task.train)
    assert file.about["precision"] == "int8"
    assert tl.export(loaded, tmp_path / "model.pt2", precision="int8").size


def test_a_pass_that_decides_by_values_is_told(result, tmp_path, monkeypatch):
    class Choosing(nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3)) if x.sum() > 0 else x.amax(dim=(2, 3))

    monkeypatch.setattr("tlcourse.patterns.export.straight", lambda backbone: Choosing())
    with pytest.raises(CourseError, match=r"torch\.export cannot follow.*by the values"):
        tl.export(result, tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


def test_a_pattern_that_made_no_network_is_told(result, tmp_path):
    none = replace(result, made=None, applicable=False, note="No ants.")
    with pytest.raises(CourseError, match=r"made no network: No ants\."):
        tl.export(none, tmp_path / "model.pt2")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_another_file_is_told(tmp_path, ending, content):
    path = tmp_path / f"model.{ending}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CourseError, match=r"is no file that tl\.export wrote|cannot be read"):
        tl.load_exported(path)
