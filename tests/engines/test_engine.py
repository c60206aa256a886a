"""An engine gives what the network gives, or another one is taken; which one it was is said."""

import copy
import os
import subprocess
import sys
from collections import OrderedDict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_features import TinyNet, as_backbone, noise, noise_split

import tlcourse as tl
from tlcourse.engines import engine as engine_module
from tlcourse.engines.engine import make_engine
from tlcourse.engines.half import HalfEngine
from tlcourse.engines.proof import examples
from tlcourse.engines.pytorch import PyTorchEngine
from tlcourse.engines.stream import stream
from tlcourse.engines.tapped import Tapped
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.features import features
from tlcourse.networks.tap import pool_positions
from tlcourse.tasks.sound import Sound

NAMES = ["block", "norm", "embedding", "logits", "block.1", "conv"]


@pytest.fixture(autouse=True)
def none_kept(monkeypatch):
    monkeypatch.setattr(engine_module, "_kept", OrderedDict())


@pytest.fixture
def with_openvino():
    pytest.importorskip("openvino", reason="OpenVINO is not installed")


def expected_of(backbone, pictures, layers, pool="mean"):
    """What the network itself gives, one picture after the other."""
    rows = {name: [] for name in layers}
    for picture in pictures:
        for name, value in tl.activations(backbone, picture, layers).items():
            rows[name].append(pool_positions(value, pool, backbone.model)[0].numpy())
    return {name: np.stack(values) for name, values in rows.items()}


def assert_same(given, expected, close=1e-4):
    assert list(given) == list(expected)
    for name, value in expected.items():
        assert given[name].dtype == np.float32
        assert given[name].shape == value.shape
        np.testing.assert_allclose(given[name], value, rtol=0, atol=close * np.abs(value).max())


def photographs():
    """Of several sizes, broad, tall, small and large."""
    sizes = [(24, 20), (500, 333), (333, 500), (31, 300), (640, 480), (17, 16), (256, 256)]
    return [noise(seed, size) for seed, size in enumerate(sizes)]


def run(engine, pictures):
    return engine([engine.prepare(picture) for picture in pictures])


@pytest.mark.parametrize("pool", ["mean", "max", "none"])
@pytest.mark.parametrize("name", ["pytorch", "openvino"])
def test_every_named_layer_comes_from_one_pass(name, pool, with_openvino):
    backbone = as_backbone(TinyNet())
    made = make_engine(backbone, NAMES, pool=pool, engine=name)
    assert_same(run(made, photographs()), expected_of(backbone, photographs(), NAMES, pool))


def test_all_layers_of_the_default_network(with_openvino):
    backbone, pictures = tl.load_backbone(device="cpu"), photographs()[:5]
    made = make_engine(backbone, backbone.layers, engine="openvino")
    assert made.name == f"OpenVINO {version('openvino')}"
    assert made.prepare(pictures[0]).dtype == np.uint8  # the arithmetic is part of the network
    whole = run(made, pictures)
    assert_same(whole, expected_of(backbone, pictures, backbone.layers))
    # A picture's values do not depend on those beside it, nor on the run.
    for name, rows in run(made, pictures[3:]).items():
        np.testing.assert_allclose(rows, whole[name][3:], rtol=0, atol=1e-6 * np.abs(rows).max())
    for name, rows in run(made, pictures).items():
        np.testing.assert_array_equal(rows, whole[name])


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("squeezenet1_1", "mean"),
        ("timm/vit_tiny_patch16_224", "class_token"),
        ("resnet18", "max"),
    ],
)
def test_other_networks(name, pool, with_openvino):
    tl.seed_everything(0)
    backbone = tl.load_backbone(name, pretrained=name == "squeezenet1_1", device="cpu")
    layers = [backbone.layers[0], backbone.layers[-3], "embedding", "logits"]
    if pool == "class_token":
        layers = ["block2", "block12", "embedding"]
    made = make_engine(backbone, layers, pool=pool, engine="openvino")
    pictures = photographs()[:3]
    assert_same(run(made, pictures), expected_of(backbone, pictures, layers, pool))


@pytest.mark.parametrize("name", ["speech_embedding", "ge2e"])
def test_networks_for_sounds_are_equal_or_left_to_pytorch(name, with_openvino):
    backbone = tl.load_backbone(name, device="cpu")
    sounds = [
        Sound(np.random.default_rng(i).normal(0, 0.1, 30_000).astype(np.float32), 16_000)
        for i in range(3)
    ]
    made = make_engine(backbone, ["embedding"])
    assert_same(run(made, sounds), expected_of(backbone, sounds, ["embedding"]))


class Branches(TinyNet):
    """Doubles what it makes of some pictures, which a trace with others does not see."""

    limit = 0.0

    def forward(self, x):
        x = self.block(self.act(self.norm(self.conv(x)))).mean(dim=(2, 3))
        self.seen = x.sum()
        bright = not x.is_meta and self.seen > self.limit
        return self.head(x * 2 if bright else x)


def test_a_network_that_a_trace_gets_wrong_is_left_to_pytorch(with_openvino):
    backbone = as_backbone(Branches())
    pictures, sums = examples(backbone.preprocess), []
    traced_with = Tapped(backbone, ["logits"], "mean").example(1)
    for batch in (
        torch.stack(list(map(backbone.preprocess, pictures))),
        backbone.of_pictures.normalise(traced_with),
    ):
        tl.activations(backbone, batch, "logits")
        sums.append(backbone.model.seen.item())
    backbone.model.limit = sum(sums) / 2  # so that the two batches take different ways
    with pytest.raises(CourseError, match=r'does not compute the same.* Take engine="auto"'):
        make_engine(backbone, ["logits"], engine="openvino")
    made = make_engine(backbone, ["logits"])
    assert isinstance(made, PyTorchEngine)


class Sparse(TinyNet):
    """Does what OpenVINO cannot."""

    def forward(self, x):
        return super().forward(x + torch.linalg.eigvals(x[..., :8, :8]).real.mean())


def test_a_network_that_cannot_be_converted_is_left_to_pytorch(with_openvino):
    backbone = as_backbone(Sparse())
    with pytest.raises(CourseError, match=r'cannot convert tiny .*Take engine="auto"'):
        make_engine(backbone, ["logits"], engine="openvino")
    assert make_engine(backbone, ["logits"]).name.startswith("PyTorch ")


def test_the_network_is_left_as_it_was(with_openvino):
    backbone = as_backbone(TinyNet())
    backbone.model.block.train()
    modes = [module.training for module in backbone.model.modules()]
    before = copy.deepcopy(backbone.model.state_dict())
    torch.manual_seed(1)
    make_engine(backbone, NAMES, engine="openvino")
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    assert [module.training for module in backbone.model.modules()] == modes
    assert all(torch.equal(value, before[k]) for k, value in backbone.model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in backbone.model.modules())


def other_weights(model):
    model.conv.weight.data.mul_(-2)


def a_hook(model):
    model.norm.register_forward_hook(lambda module, inputs, output: output * 3)


@pytest.mark.parametrize("change", [other_weights, a_hook])
def test_a_kept_engine_is_taken_again_but_never_for_a_changed_network(change, with_openvino):
    backbone, pictures = as_backbone(TinyNet()), photographs()[:2]
    made = make_engine(backbone, NAMES, engine="openvino")
    assert make_engine(backbone, NAMES, n=1) is made  # however few the pictures
    assert make_engine(backbone, NAMES[:1], n=1) is not made
    assert make_engine(backbone.at_size(20), NAMES, n=1) is not made
    change(backbone.model)
    again = make_engine(backbone, NAMES, engine="openvino")
    assert again is not made
    assert_same(run(again, pictures), expected_of(backbone, pictures, NAMES))


def test_few_engines_are_kept(with_openvino):
    backbone = as_backbone(TinyNet())
    for name in NAMES:
        make_engine(backbone, [name], engine="openvino")
    assert len(engine_module._kept) == 4


def test_auto_takes_openvino_where_there_is_enough_to_compute(with_openvino, monkeypatch):
    backbone = as_backbone(TinyNet())
    few = int(engine_module._WORTH / backbone.operations)
    assert make_engine(backbone, ["logits"], n=few).name.startswith("PyTorch ")
    assert make_engine(backbone, ["logits"], n=few + 2).name.startswith("OpenVINO ")
    assert make_engine(backbone, ["logits"]).name.startswith("OpenVINO ")


def test_a_classrooms_setting_of_threads_is_respected(with_openvino, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    made = make_engine(as_backbone(TinyNet()), ["logits"], engine="openvino")
    assert made.at_once == 2  # one is computed, and one waits


@pytest.mark.parametrize("name", ["openvin", "OpenVINO", "gpu", None])
def test_an_engine_that_does_not_exist(name):
    with pytest.raises(UnknownNameError, match="engine"):
        make_engine(as_backbone(TinyNet()), ["logits"], engine=name)
    with pytest.raises(UnknownNameError, match="engine"):
        tl.extract_features(as_backbone(TinyNet()), noise_split([1]), engine=name)


def test_without_openvino_nothing_changes_and_nothing_is_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    backbone = as_backbone(TinyNet())
    assert make_engine(backbone, ["logits"]).name.startswith("PyTorch ")
    with pytest.raises(CourseError, match=r'python -m pip install "tlcourse\[fast\]"'):
        make_engine(backbone, ["logits"], engine="openvino")


def test_half_precision_is_for_a_gpu():
    with pytest.raises(CourseError, match=r'needs an NVIDIA GPU.*Load it with device="cuda"'):
        make_engine(as_backbone(TinyNet()), ["logits"], engine="half")


@pytest.mark.parametrize("n", [10, 20_000])
def test_half_precision_gives_about_the_same(n, monkeypatch):
    """On a processor, where it is slow, with the compiler's first step only."""
    compiled = []

    def compile_nothing(program):
        compiled.append(program)
        return program

    monkeypatch.setattr(torch, "compile", compile_nothing)
    backbone, pictures = as_backbone(TinyNet()), photographs()
    made = HalfEngine(backbone, NAMES, "mean", n, 8)
    assert bool(compiled) == (n == 20_000)
    assert made.name.endswith("in half precision")
    given, expected = run(made, pictures), expected_of(backbone, pictures, NAMES)
    assert_same(given, expected, 1e-2)
    with pytest.raises(AssertionError):
        assert_same(given, expected, 1e-7)


@pytest.mark.gpu
@pytest.mark.parametrize(("n", "close"), [(10, 1e-2), (20_000, 1e-2)])
def test_half_precision_on_a_gpu(n, close):
    backbone = tl.load_backbone(device="cuda")
    made = make_engine(backbone, ["stage5", "embedding"], engine="half", n=n)
    assert made.workers == 0 or n == 20_000
    expected = expected_of(tl.load_backbone(device="cpu"), photographs(), ["stage5", "embedding"])
    assert_same(run(made, photographs()), expected, close)


def test_processes_open_pictures_for_a_gpu(monkeypatch):
    backbone = as_backbone(TinyNet())
    assert PyTorchEngine(backbone, NAMES, "mean", 10**6).workers == 0
    made = PyTorchEngine(backbone, NAMES, "mean")
    made.workers = 2  # as beside a GPU
    pictures = noise_split(range(20))
    rows = [rows for _, rows in stream(made, pictures)]
    given = {name: np.concatenate([each[name] for each in rows]) for name in NAMES}
    assert_same(given, expected_of(backbone, [picture for picture, _ in pictures], NAMES))


def test_features_say_which_engine_ran_and_are_found_again_whichever(with_openvino, monkeypatch):
    backbone, pictures = as_backbone(TinyNet()), noise_split(range(10))
    options = {"layers": ["block", "logits"], "progress": False}
    first = tl.extract_features(backbone, pictures, engine="openvino", **options)
    assert first.engine == f"OpenVINO {version('openvino')}"
    assert f"engine: {first.engine}" in repr(first)
    again = tl.extract_features(backbone, pictures, engine="pytorch", **options)
    assert again.engine == "none, all was stored"
    np.testing.assert_array_equal(again.x["block"], first.x["block"])
    options |= {"engine": "pytorch", "cache": False}
    computed = tl.extract_features(backbone, pictures, **options)
    assert computed.engine == f"PyTorch {torch.__version__.partition('+')[0]} on cpu"
    assert_same(first.x, computed.x)


def test_features_in_half_precision_are_stored_apart(monkeypatch):
    backbone, pictures = as_backbone(TinyNet()), noise_split(range(6))

    def on_a_processor(backbone, layers, *, pool, engine, n, batch_size):
        kind = HalfEngine if engine == "half" else PyTorchEngine
        return kind(backbone, layers, pool, n, batch_size)

    monkeypatch.setattr(features, "make_engine", on_a_processor)
    ran = [
        tl.extract_features(backbone, pictures, "block", engine=name, progress=False).engine
        for name in ("half", "pytorch", "half", "auto")
    ]
    assert ran[0].endswith("in half precision")
    assert ran[1].endswith("on cpu")
    assert ran[2:] == ["none, all was stored"] * 2


QUIET = """
import os, socket, sys
from pathlib import Path

sent = []

class Socket(socket.socket):
    def connect(self, address):
        sent.append(address)
        raise OSError("no network")

socket.socket, socket.getaddrinfo = Socket, lambda *about, **more: sent.append(about)
from tiny_features import TinyNet, as_backbone
from tlcourse.engines.engine import make_engine

made = make_engine(as_backbone(TinyNet()), ["logits"], engine="openvino")
assert made.name.startswith("OpenVINO ")
assert "openvino_telemetry" not in sys.modules
import time
time.sleep(0.5)
assert sent == [], sent
"""


def test_nothing_is_sent_and_no_file_is_left(with_openvino, tmp_path):
    """OpenVINO's tools would report their use to Intel, without asking."""
    paths = [str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parents[2])]
    home = tmp_path / "home"
    home.mkdir()
    about = {"HOME": str(home), "USERPROFILE": str(home), "LOCALAPPDATA": str(home)}
    about |= {"PYTHONPATH": os.pathsep.join(paths)}
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL")}
    ran = subprocess.run(
        [sys.executable, "-c", QUIET], env=env | about, cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert [path.name for path in home.rglob("*") if "intel" in path.as_posix().lower()] == []
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("name", ["pytorch", "openvino"])
def test_a_layer_that_is_named_twice_is_computed_once(name, with_openvino):
    backbone, pictures = as_backbone(TinyNet()), photographs()[:2]
    made = make_engine(backbone, ["logits", "block", "logits"], engine=name)
    assert_same(run(made, pictures), expected_of(backbone, pictures, ["logits", "block"]))


THREADS = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from tlcourse.engines.openvino import _import_openvino

sys.setswitchinterval(1e-6)
begin = threading.Barrier(4)

def one(_):
    begin.wait()
    return _import_openvino()

with ThreadPoolExecutor(4) as pool:
    found = set(pool.map(one, range(4)))
assert len(found) == 1, found
assert "openvino_telemetry" not in sys.modules
"""


def test_several_threads_may_import_openvino_at_once(with_openvino):
    command = [sys.executable, "-c", THREADS]
    ran = subprocess.run(command, cwd=Path(tl.__file__).parents[1], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
