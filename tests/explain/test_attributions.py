import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import nn

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.explain.attributions import METHODS, class_index, deepest_map


@pytest.fixture(scope="module")
def backbone():
    return tl.load_backbone(device="cpu")


@pytest.fixture(scope="module")
def coffee(backbone):
    """A small picture, as the network reads it: (3, 96, 96)."""
    picture = Image.fromarray(data.coffee()).crop((130, 20, 430, 320)).resize((96, 96))
    return torch.tensor(np.asarray(picture) / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)


def state(model):
    return {
        "modes": [m.training for m in model.modules()],
        "hooks": sum(
            len(hooks)
            for m in model.modules()
            for hooks in (
                m._forward_hooks,
                m._forward_pre_hooks,
                m._backward_hooks,
                m._backward_pre_hooks,
            )
        ),
        "learning": [p.requires_grad for p in model.parameters()],
        "gradients": [p.grad is None for p in model.parameters()],
        "values": [v.clone() for v in model.state_dict().values()],
    }


def assert_same(before, after):
    values = zip(before.pop("values"), after.pop("values"), strict=True)
    assert all(torch.equal(a, b) for a, b in values)
    assert before == after


@pytest.mark.parametrize("method", METHODS)
def test_a_map_has_the_pictures_size_and_the_network_is_left_as_found(backbone, coffee, method):
    model = backbone.model
    model.blocks[2].train()  # as a learner may have left it
    model.conv_stem.weight.requires_grad_(False)
    before = state(model)
    try:
        with torch.no_grad():  # as a learner may have switched it off
            values = tl.attribute(backbone, coffee, method=method, steps=4)
        assert_same(before, state(model))
    finally:
        model.eval().requires_grad_(True)
    assert values.shape == (96, 96)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert values.std() > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_network_is_left_as_found_when_it_fails(backbone, coffee, method, error, monkeypatch):
    before = state(backbone.model)

    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(backbone.model, "forward_head", fail)
        with pytest.raises(error):
            tl.attribute(backbone, coffee, 0, method=method, steps=2)
    assert_same(before, state(backbone.model))


class TinyNet(nn.Module):
    """A network worked out by hand: maps, then an in-place activation, mean, two classes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]]).view(2, 3, 1, 1))
            self.head.weight.copy_(torch.eye(2))

    def forward(self, x):
        return self.head(self.act(self.conv(x)).mean(dim=(2, 3)))


@pytest.fixture
def tiny():
    from tlcourse.networks.backbone import Backbone
    from tlcourse.networks.layers import Layer

    class Square:
        shape = (3, 8, 8)

    return Backbone(
        name="tiny",
        model=TinyNet().eval(),
        preprocess=Square(),
        augment=None,
        classes=("red", "green"),
        source="",
        licence="",
        device=torch.device("cpu"),
        named_layers=(Layer("maps", "conv"), Layer("embedding", "head", "input")),
    )


@pytest.fixture
def half_red():
    picture = torch.zeros(3, 8, 8)
    picture[0, :, :4] = 1.0  # red on the left
    picture[1, :, 4:] = 0.5  # half as green on the right
    return picture


def test_integrated_gradients_of_a_linear_network_are_weight_times_input(tiny, half_red):
    values = tl.attribute(tiny, half_red, "red", method="integrated_gradients", steps=8)
    np.testing.assert_allclose(values, half_red[0] / 64, atol=1e-6)
    logits = tiny.model(half_red[None])
    assert values.sum() == pytest.approx(logits[0, 0].item(), abs=1e-5)  # completeness


def test_integrated_gradients_of_the_real_network_add_up_to_the_difference(backbone, coffee):
    values = tl.attribute(backbone, coffee, 967, method="integrated_gradients", steps=100)
    with torch.no_grad():
        ends = backbone.model(torch.stack([coffee, torch.zeros_like(coffee)]))[:, 967]
    # The way begins at plain grey, where this network bends sharply: 100 steps miss a few percent.
    assert values.sum() == pytest.approx(float(ends[0] - ends[1]), rel=0.15)


def test_occlusion_is_the_fall_of_the_logit(tiny, half_red):
    values = tl.attribute(tiny, half_red, "red", method="occlusion", window=4)
    assert values[0, 0] == pytest.approx(16 / 64)  # a square of 16 red pixels disappears
    assert values[0, 7] == 0.0
    green = tl.attribute(tiny, half_red, "green", method="occlusion", window=4)
    assert green[0, 7] == pytest.approx(8 / 64)


def test_grad_cam_sees_what_the_layer_gave_although_an_activation_works_in_place(tiny, half_red):
    tiny.model.conv.weight.data[0] -= 0.5  # now the layer gives values below 0, too
    before = tiny.model.conv(half_red[None])[0, 0].detach()
    values = tl.attribute(tiny, half_red, "red", method="grad_cam")
    # Only half of the positions pass the activation, so the mean gradient is 1 / 64 / 2.
    expected = (before * (before > 0).float().mean() / 64).clamp(min=0)
    np.testing.assert_allclose(values, expected, atol=1e-7)


def test_the_default_target_is_the_predicted_class(tiny, half_red):
    for picture, name in ((half_red, "red"), (half_red.flip(0).roll(-1, 0), "green")):
        predicted = tiny.classes[int(tiny.model(picture[None]).argmax())]
        assert predicted == name
        default = tl.attribute(tiny, picture, method="occlusion")
        assert np.array_equal(default, tl.attribute(tiny, picture, name, method="occlusion"))


def test_the_deepest_layer_with_maps_is_the_default_of_grad_cam(backbone, coffee):
    assert deepest_map(backbone) == "stage7"
    default = tl.attribute(backbone, coffee, 967)
    assert np.array_equal(default, tl.attribute(backbone, coffee, 967, layer="stage7"))
    assert not np.allclose(default, tl.attribute(backbone, coffee, 967, layer="stage5"))


@pytest.mark.parametrize("name", ["timm/vit_tiny_patch16_224", "timm/swin_tiny_patch4_window7_224"])
def test_a_transformer_gets_occlusion_and_is_told_why_not_grad_cam(name):
    transformer = tl.load_backbone(name, pretrained=False, device="cpu")
    picture = torch.rand(3, 224, 224)
    with pytest.raises(CourseError, match=r"no maps .*occlusion"):
        tl.attribute(transformer, picture)
    values = tl.attribute(transformer, picture, 0, method="occlusion", window=112)
    assert values.shape == (224, 224)
    with pytest.raises(CourseError, match="no maps"):
        tl.plots.activation_maps(transformer, picture, ["embedding"])


def test_classes_are_found_by_name_and_number(backbone):
    assert class_index(backbone, "ESPRESSO") == class_index(backbone, 967) == 967
    assert class_index(backbone, np.int64(3)) == 3
    with pytest.raises(UnknownNameError, match="espresso"):
        class_index(backbone, "expresso")
    with pytest.raises(CourseError, match="0 to 999"):
        class_index(backbone, 1000)


def test_a_name_that_two_classes_share_is_refused(tiny):
    tiny.classes = ("Cardigan", "cardigan")  # a dog and a jacket, in ImageNet
    assert class_index(tiny, "cardigan") == 1
    with pytest.raises(CourseError, match="2 classes of tiny"):
        class_index(tiny, "CARDIGAN")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "gradcam"}, "grad_cam"),
        ({"layer": "stage_7"}, "stage7"),
        ({"layer": "embedding"}, "gives no maps"),
        (
            {"method": "occlusion", "window": 1},
            "window is 1, but must be a whole number, from 2 to 96",
        ),
        (
            {"method": "integrated_gradients", "steps": 0},
            "steps is 0, but must be a whole number, 1 or larger",
        ),
    ],
)
def test_bad_options_are_one_clear_sentence(backbone, coffee, options, message):
    with pytest.raises(CourseError, match=message):
        tl.attribute(backbone, coffee, 967, **options)


def test_one_picture_at_a_time(backbone, coffee):
    with pytest.raises(CourseError, match="one picture, got 2"):
        tl.attribute(backbone, torch.stack([coffee, coffee]))
