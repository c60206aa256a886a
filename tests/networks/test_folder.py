"""A network of your own, saved as a folder, is a backbone like any other; no other folder is."""

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError, WeightsError
from tlcourse.networks import folder as module

CLASSES = ("A", "B", "C")


def stage(before, after):
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = nn.Sequential(
        stage(3, 4), stage(4, 6), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6 * 4 * 4, 3)
    )
    made.train()
    for _ in range(3):  # the running statistics of BatchNorm move
        made(torch.randn(8, 3, 16, 16))
    return made.eval()


@pytest.fixture
def saved(model, tmp_path):
    place = tmp_path / "mine"
    tl.save_backbone(
        place, model, classes=CLASSES, size=16, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)
    )
    return place


def change(saved, **said):
    path = saved / "network.json"
    about = json.loads(path.read_text("utf-8"))
    about.update(said)
    path.write_text(json.dumps(about), "utf-8")


def test_what_comes_back_gives_the_same_numbers(model, saved):
    backbone = tl.load_backbone(saved, device="cpu")
    batch = torch.randn(5, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(backbone.model(batch), model(batch))
    assert all(parameter.requires_grad for parameter in backbone.model.parameters())
    assert not any(part.training for part in backbone.model.modules())
    assert backbone.classes == CLASSES
    assert backbone.layers == ("stage1", "stage2", "embedding", "logits")
    assert backbone.name.endswith("mine/")


def test_saving_leaves_the_network_as_it_was(model, tmp_path):
    model[3].train()
    hook = model[0].register_forward_hook(lambda *_: pytest.fail("it was run"))
    before = {name: t.clone() for name, t in model.state_dict().items()}
    modes = [part.training for part in model.modules()]
    tl.save_backbone(tmp_path / "mine", model, classes=CLASSES, size=16)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert modes == [part.training for part in model.modules()]
    assert list(model[0]._forward_hooks) == [hook.id]


def test_the_preprocessing_is_the_one_that_was_named(saved):
    from torchvision.transforms import v2

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8))
    by_hand = v2.Compose(
        [
            v2.Resize(16),
            v2.CenterCrop(16),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)),
        ]
    )
    preprocess = tl.load_backbone(saved).preprocess
    assert torch.allclose(preprocess(picture), by_hand(picture), atol=1e-6)
    assert preprocess.at_size(32)(picture).shape == (3, 32, 32)


def test_it_can_be_tapped_probed_cut_frozen_and_trained_as_any_other(saved, monkeypatch, tmp_path):
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cache"))
    backbone = tl.load_backbone(saved, device="cpu")
    task = tl.load_task("digits").few_of_each(train=6, val=4, test=4)
    before = {name: t.clone() for name, t in backbone.model.state_dict().items()}
    values = tl.activations(backbone, task.train[0][0], backbone.layers)
    assert [tuple(v.shape[1:]) for v in values.values()] == [(4, 8, 8), (6, 4, 4), (96,), (3,)]
    assert tl.layer_table(backbone).loc["stage2", "output"] == (6, 4, 4)
    features = tl.extract_features(backbone, task, backbone.layers[:-1], progress=False)
    assert tl.probe_layers(features, folds=3, progress=False).layers == backbone.layers[:-1]
    for pattern, options in (
        (tl.patterns.standalone_extractor, {}),
        (tl.patterns.frozen_extractor, {"layer": "stage2", "epochs": 1, "live": False}),
        (tl.patterns.fine_tune, {"epochs": 1, "live": False}),
        (tl.patterns.from_scratch, {"epochs": 1, "live": False}),
    ):
        result = pattern(backbone, task, progress=False, **options)
        assert 0 <= result.test_accuracy <= 1
        result.save(tmp_path / result.pattern)
        again = tl.load_result(tmp_path / result.pattern)
        picture = task.test[0][0]
        said, before_saving = again.predict(picture), result.predict(picture)
        assert said["class"].tolist() == before_saving["class"].tolist()
        assert np.allclose(said["probability"], before_saving["probability"], atol=1e-5)
    assert all(torch.equal(before[name], t) for name, t in backbone.model.state_dict().items())


def test_random_weights_are_others_of_the_same_shape(saved):
    tl.seed_everything(7)
    random = tl.load_backbone(saved, pretrained=False, device="cpu").model.state_dict()
    trained = tl.load_backbone(saved, device="cpu").model.state_dict()
    assert {n: t.shape for n, t in random.items()} == {n: t.shape for n, t in trained.items()}
    assert not torch.equal(random["0.0.weight"], trained["0.0.weight"])


def test_parts_keep_the_names_that_they_were_given(tmp_path):
    row = OrderedDict(stem=stage(3, 4), flat=nn.Flatten(), answer=nn.Linear(4 * 64, 3))
    tl.save_backbone(tmp_path / "mine", nn.Sequential(row), classes=CLASSES, size=16)
    backbone = tl.load_backbone(tmp_path / "mine")
    assert backbone.layers == ("stem", "embedding", "logits")
    assert backbone.layer("embedding").path == "answer"


def test_every_kind_of_layer_is_built_again_with_its_options(tmp_path):
    row = nn.Sequential(
        nn.Conv2d(3, 8, (3, 5), stride=2, padding="valid", groups=1, padding_mode="zeros"),
        nn.GroupNorm(2, 8, eps=1e-3),
        nn.LeakyReLU(0.3),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.AdaptiveMaxPool2d((2, 1)),
        nn.Flatten(),
        nn.LayerNorm(16, elementwise_affine=False),
        nn.GELU(approximate="tanh"),
        nn.Linear(16, 3, bias=False),
    ).eval()
    tl.save_backbone(tmp_path / "mine", row, classes=CLASSES, size=20)
    again = tl.load_backbone(tmp_path / "mine", device="cpu").model
    batch = torch.randn(2, 3, 20, 20)
    with torch.inference_mode():
        assert torch.equal(row(batch), again(batch))
    assert repr(again) == repr(row)


def test_a_layer_without_weights_may_stand_there_twice(tmp_path):
    act = nn.ReLU()
    row = nn.Sequential(nn.Flatten(), nn.Linear(768, 9), act, nn.Linear(9, 9), act, nn.Linear(9, 3))
    tl.save_backbone(tmp_path / "mine", row, classes=CLASSES, size=16)
    batch = torch.randn(4, 3, 16, 16)
    with torch.inference_mode():
        again = tl.load_backbone(tmp_path / "mine", device="cpu").model(batch)
        assert torch.equal(again, row(batch))


def test_a_second_save_replaces_the_first_and_nothing_else(model, saved, tmp_path):
    with torch.no_grad():
        model[4].bias += 1
    tl.save_backbone(saved, model, classes=CLASSES, size=16)
    assert torch.equal(tl.load_backbone(saved, device="cpu").model[4].bias, model[4].bias)
    other = tmp_path / "notes"
    other.mkdir()
    (other / "todo.txt").write_text("keep me")
    with pytest.raises(CourseError, match="something else than a saved backbone"):
        tl.save_backbone(other, model, classes=CLASSES, size=16)
    assert (other / "todo.txt").read_text() == "keep me"


def test_loading_draws_no_random_number(saved):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    tl.load_backbone(saved)
    assert torch.equal(torch.rand(3), expected)


# What cannot be saved


class Own(nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: nn.Linear(3, 3), "row of layers"),
        (lambda: nn.Sequential(Own(), nn.Flatten(), nn.Linear(768, 3)), "is a Own, which"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 4)), "4.* but there are 3 classes"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(700, 3)), r"does not take pictures \(3, 16"),
        (lambda: nn.Sequential(nn.Conv2d(3, 3, 3)), "but there are 3 classes"),
        (lambda: nn.Sequential(nn.Flatten(), nn.ReLU()), "no weights"),
        (lambda: nn.Sequential(nn.Flatten(), *[nn.Linear(768, 768)] * 2), "share weights"),
        (
            lambda: nn.Sequential(
                nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(768, 3))
            ),
            "which a backbone's folder cannot hold",
        ),
    ],
)
def test_another_network_is_refused_and_leaves_nothing(tmp_path, made, said):
    with pytest.raises(CourseError, match=said):
        tl.save_backbone(tmp_path / "mine", made(), classes=CLASSES, size=16)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"classes": "ABC"}, "classes is 'ABC', but must be a list"),
        ({"classes": 3}, "classes is 3"),
        ({"size": 0}, "size is 0"),
        ({"mean": (0.5,)}, "mean is .* three numbers"),
        ({"mean": 0.5}, "mean is 0.5"),
        ({"std": (0.5, 0.0, 0.5)}, "above 0"),
        ({"std": (float("nan"),) * 3}, "three numbers"),
    ],
)
def test_a_wrong_option_is_told_in_a_sentence(model, tmp_path, option, said):
    with pytest.raises(CourseError, match=said):
        tl.save_backbone(tmp_path / "mine", model, **{"classes": CLASSES, "size": 16, **option})


# What cannot be loaded


def test_weights_of_which_one_bit_flipped_are_not_used(saved):
    path = saved / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="SHA-256"):
        tl.load_backbone(saved)


def test_weights_that_are_missing_or_cut_are_told(saved):
    path = saved / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match="not those that were saved"):
        tl.load_backbone(saved)
    path.unlink()
    with pytest.raises(WeightsError, match="missing"):
        tl.load_backbone(saved)


def test_weights_of_another_network_are_told_though_the_digest_fits(saved):
    path = saved / "weights.safetensors"
    state = load_file(path)
    state["4.weight"] = state["4.weight"][:, :-1].contiguous()
    save_file(state, path)
    change(saved, sha256=module.hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(WeightsError, match=r"not those of the network that network\.json"):
        tl.load_backbone(saved)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"format": 2}, "another version"),
        ({"layers": [["0", "Threshold", {}]]}, "kind 'Threshold'"),
        ({"layers": [["0", "Linear", {"in_features": "many", "out_features": 3}]]}, "damaged"),
        ({"layers": [["0", "Linear", {"in_features": 10**15, "out_features": 3}]]}, "not those of"),
        ({"layers": 3}, "damaged"),
        ({"layers": [["0", "Linear", None]]}, "damaged"),
        ({"size": "big"}, "size is 'big'"),
        ({"classes": ["A"]}, "1 classes"),
        ({"std": [0, 0, 0]}, "above 0"),
        # These would take memory before their weights are compared, or when a picture goes in.
        (
            {"layers": [["0", "Linear", {"in_features": 9**9, "device": "cpu"}]]},
            "no layer may have",
        ),
        ({"layers": [["0", "ReLU", {}]] * 6000}, "6,000 layers"),
        # These are noticed only when a picture goes in.
        (
            {"layers": [["0", "AvgPool2d", {"kernel_size": 2, "padding": [1, -1]}]]},
            r"padding of layer '0' is \(1, -1\), below 0",
        ),
        ({"layers": [["0", "MaxPool2d", {"kernel_size": 2, "stride": -1}]]}, "stride .* below 1"),
    ],
)
def test_a_description_that_was_altered_is_one_sentence(saved, said, expected):
    change(saved, **said)
    with pytest.raises(CourseError, match=expected):
        tl.load_backbone(saved)


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "{}", "[" * 100_000])
def test_a_description_that_is_none_is_one_sentence(saved, content):
    (saved / "network.json").write_text(content, "utf-8")
    with pytest.raises(CourseError, match="damaged"):
        tl.load_backbone(saved)


def test_a_folder_that_holds_no_backbone_says_what_writes_one(tmp_path):
    with pytest.raises(CourseError, match=r"holds no network\.json.*save_backbone"):
        tl.load_backbone(tmp_path)
    with pytest.raises(CourseError, match="is not a folder"):
        tl.load_backbone("no_such_folder/")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CourseError, match="is not a folder"):
        tl.load_backbone(tmp_path / "file")


def test_a_name_that_is_none_still_gets_the_nearest_names():
    with pytest.raises(UnknownNameError, match=r"resnet18.*save_backbone wrote is fine too"):
        tl.load_backbone("resnet_18")
    with pytest.raises(CourseError, match="needs a name or a path, not int"):
        tl.load_backbone(7)


def test_a_folder_that_is_misspelt_gets_the_nearest_one(saved, monkeypatch, tmp_path):
    with pytest.raises(CourseError, match=r"Nearest: .*/mine/\."):
        tl.load_backbone(f"{tmp_path}/mime")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match="Nearest: mine"):
        tl.load_backbone("mime")
    with pytest.raises(CourseError, match="needs a path, not int"):
        tl.save_backbone(3, nn.Sequential(), classes=CLASSES, size=16)


def test_a_name_of_the_list_is_never_a_folder(saved, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    saved.rename(tmp_path / "squeezenet1_1")
    assert len(tl.load_backbone("squeezenet1_1").classes) == 1000
    assert tl.load_backbone("squeezenet1_1/").classes == CLASSES
    (tmp_path / "squeezenet1_1").rename(tmp_path / "mine")
    assert tl.load_backbone("mine").name == "mine/"


def test_what_goes_into_the_last_linear_layer_is_the_embedding_wherever_it_stands(tmp_path):
    parts = {
        "features": nn.Sequential(nn.Conv2d(3, 8, 3), nn.Identity(), nn.Tanh(), nn.Flatten()),
        "classifier": nn.Sequential(nn.Dropout(), nn.Linear(8 * 14 * 14, 3)),
    }
    tl.save_backbone(tmp_path / "own", nn.Sequential(OrderedDict(parts)), classes=CLASSES, size=16)
    backbone = tl.load_backbone(tmp_path / "own")
    assert backbone.layers == ("features", "embedding", "logits")
    assert tl.Network(backbone, 2)(torch.zeros(1, 3, 16, 16)).shape == (1, 2)


def test_a_part_with_a_name_that_is_taken_is_refused_before_anything_is_written(tmp_path):
    parts = {"logits": nn.Conv2d(3, 2, 3), "flat": nn.Flatten(), "head": nn.Linear(2 * 14 * 14, 3)}
    with pytest.raises(CourseError, match="would be called 'logits'"):
        tl.save_backbone(
            tmp_path / "own", nn.Sequential(OrderedDict(parts)), classes=CLASSES, size=16
        )
    assert not (tmp_path / "own").exists()


def test_a_size_that_would_fill_the_memory_with_one_picture_is_told(tmp_path):
    row = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    tl.save_backbone(tmp_path / "mine", row, classes=CLASSES, size=16)
    change(tmp_path / "mine", size=20_000)
    with pytest.raises(CourseError, match=r"A layer gives 1,599,680,016 numbers for one picture"):
        tl.load_backbone(tmp_path / "mine")
