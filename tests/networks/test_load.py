"""Networks are the right ones, carry what they need, and fail with one clear sentence."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from PIL import Image

import tlcourse as tl
from tlcourse.errors import CourseError, DownloadError, UnknownNameError, WeightsError
from tlcourse.networks import load


@pytest.fixture(scope="module")
def default():
    return tl.load_backbone()


@pytest.fixture(scope="module")
def small():
    return tl.load_backbone("squeezenet1_1")


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ("chelsea", "tiger cat"),
        ("coffee", "espresso"),
        ("camera", "tripod"),
        ("rocket", "missile"),
        ("stereo_motorcycle", "moped"),
        ("china", "palace"),
        ("flower", "daisy"),
        ("moon", "nematode"),
    ],
)
def test_the_default_sees_what_its_authors_network_sees(default, photo, expected):
    assert tl.top_k(default, tl.photographs(photo)[photo], 1)["class"][0] == expected


def test_the_default_describes_itself(default):
    assert default.layers == (
        "stem",
        *(f"stage{i}" for i in range(1, 8)),
        "embedding",
        "logits",
    )
    assert default.n_parameters == 4_652_008
    assert len(default.classes) == 1000
    assert default.classes[309:311] == ("bee", "ant")
    assert default.licence == "Apache-2.0"
    assert not any(module.training for module in default.model.modules())


def test_operations_are_those_of_the_formula_for_each_convolution_and_linear_layer(default):
    counted = []

    def count(module, inputs, output):
        per_output = module.weight[0].numel()  # multiply-adds for one number that comes out
        counted.append(2 * per_output * output[0].numel())

    handles = [
        module.register_forward_hook(count)
        for module in default.model.modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    ]
    with torch.no_grad():
        default.model(torch.zeros(1, 3, 224, 224))
    for handle in handles:
        handle.remove()
    assert default.operations == sum(counted)


def test_random_weights_follow_the_seed():
    first, second, other = (
        (tl.seed_everything(seed), tl.load_backbone(pretrained=False).model.conv_stem.weight)[1]
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "n_layers", "embedding", "operations"),
    [
        # Operations: two per multiply-add of the number in torchvision's own documentation
        # (resnet18 1.81, mobilenet 0.06, convnext 4.46 billion); for vit_b_16 (17.56) without the
        # products of queries, keys and values.
        ("resnet18", 7, 512, 3.63e9),
        ("mobilenet_v3_small", 14, 576, 0.11e9),
        ("convnext_tiny", 7, 768, 8.91e9),
        ("vit_b_16", 15, 768, 33.7e9),
        ("timm/resnet10t", 7, 512, None),
        ("timm/vit_tiny_patch16_224", 15, 192, None),
    ],
)
def test_other_networks_name_their_layers(name, n_layers, embedding, operations):
    backbone = tl.load_backbone(name, pretrained=False)
    picture = Image.new("L", (300, 260), 90)
    values = tl.activations(backbone, picture, backbone.layers)
    assert len(values) == n_layers
    assert values["embedding"].shape == (1, embedding)
    assert values["logits"].shape == (1, len(backbone.classes))
    table = tl.layer_table(backbone)
    assert [tuple(v.shape[1:]) for v in values.values()] == list(table["output"])
    assert table["parameters"].is_monotonic_increasing
    assert table["parameters"].iloc[-1] == backbone.n_parameters
    if operations:
        assert backbone.operations == pytest.approx(operations, rel=0.03)
    assert backbone.augment(picture).shape == backbone.preprocess(picture).shape


def test_the_last_fully_connected_layer_before_the_output_is_a_layer_too():
    backbone = tl.load_backbone("mobilenet_v3_small", pretrained=False)
    values = tl.activations(backbone, torch.zeros(2, 3, 224, 224), "classifier.0")
    assert values["classifier.0"].shape == (2, 1024)


def test_preprocessing_is_that_of_the_weights(default):
    timm = pytest.importorskip("timm")
    config = timm.data.resolve_model_data_config(default.model)
    assert default.preprocess.mean == default.preprocess.std == (0.5, 0.5, 0.5)
    assert default.preprocess.resize_size == 256
    assert default.preprocess.crop_size == config["input_size"][-1] == 224
    assert default.preprocess.interpolation == "bicubic"
    white = default.preprocess(Image.new("RGBA", (300, 300), (255, 255, 255, 255)))
    assert white.shape == (3, 224, 224)
    torch.testing.assert_close(white, torch.ones_like(white))
    torch.testing.assert_close(default.preprocess.undo(white), torch.ones_like(white))


def test_an_array_is_the_picture_that_the_network_sees(default):
    picture = Image.effect_noise((224, 224), 60).convert("RGB")
    tensor = default.preprocess(picture).requires_grad_(True)
    array = default.preprocess.to_array(tensor)
    assert array.shape == (224, 224, 3)
    assert (array.min() >= 0) & (array.max() <= 1)
    seen = default.preprocess.undo(tensor)
    assert (array[10, 20] == seen[:, 10, 20].detach().numpy()).all()


@pytest.mark.parametrize(
    ("photo", "expected", "least"),
    [("chelsea", "Egyptian cat", 0.4), ("coffee", "espresso", 0.9), ("camera", "tripod", 0.9)],
)
def test_the_second_network_needs_no_download_and_sees_what_is_there(small, photo, expected, least):
    best = tl.top_k(small, tl.photographs(photo)[photo], 1)
    assert best["class"][0] == expected
    assert best["probability"][0] > least


def test_the_second_network_describes_itself(small):
    assert small.layers == ("stem", *(f"stage{i}" for i in range(1, 9)), "embedding", "logits")
    assert small.n_parameters == 1_235_496
    assert len(small.classes) == 1000
    assert small.licence == "MIT"
    assert {p.dtype for p in small.model.parameters()} == {torch.float32}
    assert not any(module.training for module in small.model.modules())
    untrained = tl.load_backbone("squeezenet1_1", pretrained=False)
    assert untrained.source == "random weights"
    assert untrained.preprocess == small.preprocess


def test_altered_weights_of_the_second_network_are_not_read(monkeypatch, tmp_path):
    weights = (load._DATA / "squeezenet1_1.safetensors").read_bytes()
    (tmp_path / "squeezenet1_1.safetensors").write_bytes(weights[:-1] + b"?")
    shutil.copy(load._DATA / "SHA256SUMS", tmp_path)
    monkeypatch.setattr(load, "_DATA", tmp_path)
    with pytest.raises(WeightsError, match=r"squeezenet1_1.safetensors was altered.*pip install"):
        tl.load_backbone("squeezenet1_1")


def test_list_backbones_offers_first_those_that_need_no_network_and_each_name_once():
    names = load.list_backbones()
    assert names[:2] == ["efficientnet_lite0", "squeezenet1_1"]
    assert names[2:4] == ["speech_embedding", "ge2e"]
    assert names[4:6] == ["efficientnet_lite1", "efficientnet_lite2"]
    assert len(set(names)) == len(names)
    assert {"resnet18", "vit_b_16", "timm/resnet10t"} <= set(names)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("efficientnet_lite", "efficientnet_lite0"),
        ("resnet-18", "resnet18"),
        ("timm/restnet10t", "timm/resnet10t"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(wrong, nearest):
    with pytest.raises(UnknownNameError, match=nearest):
        tl.load_backbone(wrong)


def test_a_device_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(CourseError, match="Available: cpu"):
        tl.load_backbone(device="tpu7")


def test_an_altered_weights_file_is_not_read(monkeypatch):
    monkeypatch.setattr(load, "_SHA256", "0" * 64)
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("it was read"))
    with pytest.raises(WeightsError, match=r"altered.*python -m pip install"):
        tl.load_backbone()


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr(load, "_PACKAGE", "no-such-package-anywhere")
    with pytest.raises(WeightsError, match=r"missing.*python -m pip install"):
        tl.load_backbone()


@pytest.mark.parametrize("name", ["resnet18", "timm/resnet10t"])
def test_no_network_is_one_sentence_that_names_what_works_without(name, tmp_path):
    # A proxy that refuses every connection stands for a machine without network.
    program = (
        "import tlcourse as tl\n"
        "try:\n"
        f"    tl.load_backbone({name!r})\n"
        "except tl.CourseError as error:\n"
        "    print(type(error).__name__, str(error))\n"
    )
    import os

    env = os.environ | {
        "TLCOURSE_CACHE": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        **dict.fromkeys(
            ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"
        ),
        "no_proxy": "",
    }
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], env=env, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    said = run.stdout.strip().splitlines()[-1]  # before it, torchvision announces the download
    assert said.startswith(DownloadError.__name__)
    assert "efficientnet_lite0" in said
    assert "squeezenet1_1" in said
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix in (".pth", ".partial")]


def test_importing_the_package_is_quick():
    # The bound of the design, 0.3 s, counts what `import tlcourse` adds to `import torch`.
    program = (
        "import json, sys, time\n"
        "import torch\n"
        "loaded = set(sys.modules)\n"
        "start = time.perf_counter()\n"
        "import tlcourse\n"
        "print(json.dumps([time.perf_counter() - start, sorted(set(sys.modules) - loaded)]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    seconds, modules = json.loads(run.stdout)
    assert seconds < 0.3
    heavy = {"torchvision", "timm", "matplotlib", "pandas", "sklearn", "captum", "skimage"}
    assert not heavy & {name.partition(".")[0] for name in modules}


def test_timm_alone_makes_the_default_network_of_its_weights_file(default, monkeypatch, tmp_path):
    import timm

    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path))
    drawn = torch.get_rng_state()
    overlay = {"file": tl.weights_file()}
    assert torch.equal(torch.get_rng_state(), drawn)
    made = timm.create_model(
        "tf_efficientnet_lite0", pretrained=True, pretrained_cfg_overlay=overlay
    )
    expected = default.model.state_dict()
    assert made.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in made.state_dict().items())
    written = tl.weights_file().stat().st_mtime_ns
    assert tl.weights_file().stat().st_mtime_ns == written


LARGER = {"efficientnet_lite1": (240, 5_416_680), "efficientnet_lite2": (260, 6_092_072)}


@pytest.mark.parametrize("name", LARGER)
def test_the_larger_ones_are_used_where_their_packages_are_installed(name):
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution(load.LARGER[name][0])
    except PackageNotFoundError:
        pytest.skip("its package is not installed")
    backbone = tl.load_backbone(name)
    size, n_parameters = LARGER[name]
    assert backbone.preprocess.crop_size == size
    assert backbone.n_parameters == n_parameters
    assert backbone.licence == "Apache-2.0"
    photos = tl.photographs("coffee", "chelsea", "camera")
    seen = {photo: tl.top_k(backbone, picture, 1)["class"][0] for photo, picture in photos.items()}
    assert seen == {"coffee": "espresso", "chelsea": "Egyptian cat", "camera": "tripod"}


@pytest.mark.parametrize("name", LARGER)
def test_a_larger_one_without_its_package_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(load.LARGER, name, ("no-such-package-anywhere", "0" * 64))
    with pytest.raises(WeightsError, match=r'not installed. Install it: .*"tlcourse\[more\]"$'):
        tl.load_backbone(name)
    assert tl.load_backbone(name, pretrained=False).source == "random weights"


def test_altered_weights_of_a_larger_one_are_not_read(monkeypatch):
    monkeypatch.setitem(load.LARGER, "efficientnet_lite1", (load._PACKAGE, "0" * 64))
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("it was read"))
    with pytest.raises(WeightsError, match=r"altered.*python -m pip install"):
        tl.load_backbone("efficientnet_lite1")
