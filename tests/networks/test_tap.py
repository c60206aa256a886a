"""A tap gives what the layer gave, costs no more than it must, and leaves no trace."""

import pytest
import torch
from PIL import Image
from torch import nn

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError


@pytest.fixture
def batch():
    return torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def state(model):
    return {name: t.clone() for name, t in model.state_dict().items()}


def assert_untouched(model, before, modes):
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_an_in_place_activation_does_not_reach_what_was_kept(tiny, batch):
    with torch.no_grad():
        expected = tiny.model.norm(tiny.model.conv(batch))
    assert (expected < 0).any()
    values = tl.activations(tiny, batch, ["stem", "logits"])  # goes on, over the activation
    assert torch.equal(values["stem"], expected)
    assert torch.equal(tl.activations(tiny, batch, "stem")["stem"], expected)  # stops there


def test_values_come_in_the_order_asked_for_and_agree_with_a_plain_pass(tiny, batch):
    values = tl.activations(tiny, batch, ["logits", "embedding", "stem"])
    assert list(values) == ["logits", "embedding", "stem"]
    with torch.no_grad():
        assert torch.equal(values["logits"], tiny.model(batch))
        assert torch.equal(values["logits"], tiny.model.head(values["embedding"]))


def test_the_pass_stops_at_the_deepest_layer_asked_for(tiny, batch):
    tl.activations(tiny, batch, ["stem", "conv"])
    assert tiny.model.deep_calls == 0
    tl.activations(tiny, batch, "embedding")
    assert tiny.model.deep_calls == 1


def test_a_tuple_with_one_tensor_is_handled_and_one_with_two_refused(tiny, batch):
    assert tl.activations(tiny, batch, "split")["split"].shape == (5, 4, 6, 6)
    with pytest.raises(CourseError, match="gives 2 tensors"):
        tl.activations(tiny, batch, "pair")


def test_a_module_that_is_called_twice_is_refused(tiny, batch):
    with pytest.raises(CourseError, match="'act' of tiny is called more than once"):
        tl.activations(tiny, batch, "act")


def test_a_module_that_is_never_called_is_refused(tiny, batch):
    with pytest.raises(CourseError, match="never came to unused"):
        tl.activations(tiny, batch, ["stem", "unused"])


def test_a_module_that_the_learner_put_in_later_can_be_tapped(tiny, batch):
    tiny.trace  # noqa: B018  made before the change
    tiny.model.head = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    assert tl.activations(tiny, batch, "head.1")["head.1"].shape == (5, 3)


def test_unknown_layers_are_answered_with_the_nearest_names(tiny, batch):
    with pytest.raises(UnknownNameError, match="Nearest: stem"):
        tl.activations(tiny, batch, "stemm")
    with pytest.raises(CourseError, match="No layer was named"):
        tl.activations(tiny, batch, [])


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (2, 4, 8, 8), (1, 2, 3, 8, 8)])
def test_tensors_that_are_no_pictures_are_refused(tiny, shape):
    with pytest.raises(CourseError, match=r"Expected \(3, H, W\)"):
        tl.activations(tiny, torch.zeros(shape), "stem")


@pytest.mark.parametrize("training", [False, True])
def test_the_network_is_left_as_it_was(tiny, batch, training):
    tiny.model.train()
    tiny.model.norm.eval()  # a mixed state must come back as well
    before, modes = state(tiny.model), [m.training for m in tiny.model.modules()]
    tl.activations(tiny, batch, ["stem", "logits"], training=training)
    assert_untouched(tiny.model, before, modes)


def test_training_mode_uses_batch_statistics(tiny, batch):
    trained = tl.activations(tiny, batch, "stem", training=True)["stem"]
    assert trained.mean(dim=(0, 2, 3)).abs().max() < 1e-5  # normalised by the batch itself
    evaluated = tl.activations(tiny, batch, "stem")["stem"]
    assert evaluated.mean(dim=(0, 2, 3)).abs().max() > 1e-3


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("training", [False, True])
def test_nothing_is_left_behind_when_the_pass_is_broken_off(tiny, batch, error, training):
    def stop(*_):
        raise error

    tiny.model.eval()
    before, modes = state(tiny.model), [m.training for m in tiny.model.modules()]
    handle = tiny.model.split.register_forward_hook(stop)
    with pytest.raises(error):
        tl.activations(tiny, batch, ["stem", "logits"], training=training)
    handle.remove()
    assert_untouched(tiny.model, before, modes)


@pytest.mark.parametrize("training", [False, True])
def test_gradients_flow_back_to_the_picture_if_asked_for(tiny, batch, training):
    batch.requires_grad_(True)
    value = tl.activations(tiny, batch, "stem", grad=True, training=training)["stem"]
    (gradient,) = torch.autograd.grad(value.square().sum(), batch)
    assert gradient.abs().sum() > 0
    assert not tl.activations(tiny, batch, "stem")["stem"].requires_grad


def test_default_and_transformer_agree_with_running_their_parts_by_hand():
    picture = Image.effect_noise((240, 240), 60).convert("RGB")
    default = tl.load_backbone()
    x = default.preprocess(picture)[None]
    with torch.no_grad():
        by_hand = default.model.blocks[:3](default.model.bn1(default.model.conv_stem(x)))
        pooled = default.model.forward_head(default.model.forward_features(x), pre_logits=True)
    values = tl.activations(default, picture, ["stage3", "embedding"])
    assert torch.equal(values["stage3"], by_hand)
    assert torch.equal(values["embedding"], pooled)

    vit = tl.load_backbone("timm/vit_tiny_patch16_224", pretrained=False)
    before, modes = state(vit.model), [m.training for m in vit.model.modules()]
    x = vit.preprocess(picture)[None]
    values = tl.activations(vit, picture, ["block12", "embedding"])
    with torch.no_grad():
        tokens = vit.model.norm(values["block12"])
        torch.testing.assert_close(
            vit.model.forward_head(tokens, pre_logits=True), values["embedding"]
        )
    assert_untouched(vit.model, before, modes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
def test_a_gpu_gives_what_the_cpu_gives():
    picture = Image.effect_noise((240, 240), 60).convert("RGB")
    on = {
        d: tl.activations(tl.load_backbone(device=d), picture, ["stage3", "logits"])
        for d in ("cpu", "cuda")
    }
    for name, value in on["cuda"].items():
        assert value.device.type == "cuda"
        torch.testing.assert_close(value.cpu(), on["cpu"][name], rtol=1e-2, atol=1e-2)
