"""PyTorch as an engine: its fast copy gives what the network gives, as it is now, and leaves it alone."""

import numpy as np
import pytest
import torch
from tiny_features import TinyNet, as_backbone, noise
from torch import nn

import tlcourse as tl
from tlcourse.engines.pytorch import fast_copy

NAMES = ["block", "embedding", "logits"]


def assert_close(given, expected):
    """Equal up to 1e-4 of the largest value: a folded BatchNorm rounds in another order."""
    largest = expected.abs().max().item()
    np.testing.assert_allclose(given.numpy(), expected.numpy(), rtol=0, atol=1e-4 * largest)


def assert_gives_the_same(fast, backbone, names=NAMES):
    batch = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    expected = tl.activations(backbone, batch, names)
    for layer, value in tl.activations(fast, batch, names).items():
        assert_close(value, expected[layer])


def norms(backbone):
    return [path for path, m in backbone.model.named_modules() if isinstance(m, nn.BatchNorm2d)]


def test_all_batch_norms_of_the_default_network_are_folded():
    backbone = tl.load_backbone(device="cpu")
    picture = backbone.preprocess(noise(0, (300, 260)))
    fast = fast_copy(backbone, ["logits"])
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fast.model.modules())
    assert sum(isinstance(m, nn.BatchNorm2d) for m in backbone.model.modules()) == 49
    # timm's BatchNorm layers hold the activation that follows: as many are left as there were.
    count = [sum(isinstance(m, nn.ReLU6) for m in b.model.modules()) for b in (fast, backbone)]
    assert count[0] == count[1] > 30
    expected = tl.activations(backbone, picture, backbone.layers)
    for layer, value in tl.activations(fast, picture, backbone.layers).items():
        assert_close(value, expected[layer])


class Twice(TinyNet):
    """Uses a convolution's output in two ways."""

    def forward(self, x):
        x = self.conv(x)
        x = self.block(self.norm(x) + x)
        return self.head(x.mean(dim=(2, 3)))


class InBetween(TinyNet):
    """Changes a convolution's output in place before the BatchNorm gets it."""

    def forward(self, x):
        x = self.block(self.norm(self.act(self.conv(x))))
        return self.head(x.mean(dim=(2, 3)))


class TwoNorms(TinyNet):
    """Normalises a convolution's output in two ways."""

    def __init__(self):
        super().__init__()
        self.norm2 = nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.conv(x)
        x = self.block(self.norm(x) * self.norm2(x))
        return self.head(x.mean(dim=(2, 3)))


class Shared(TinyNet):
    """Calls one convolution two times, and one BatchNorm too."""

    def __init__(self):
        super().__init__()
        self.again = nn.Conv2d(4, 4, 1)
        self.norm2 = nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.act(self.norm(self.conv(x)))
        x = self.norm2(self.again(x))
        x = self.norm2(self.again(x))
        return self.head(self.block(x).mean(dim=(2, 3)))


class Reads(TinyNet):
    """Reads a weight of the BatchNorm itself."""

    def forward(self, x):
        x = self.act(self.norm(self.conv(x)))
        x = self.block(x + self.conv.bias.view(1, -1, 1, 1))
        return self.head(x.mean(dim=(2, 3)))


class Bare(TinyNet):
    """Has BatchNorms without weights, and one without statistics."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4, affine=False)
        self.block[1] = nn.BatchNorm2d(6, track_running_stats=False)


@pytest.mark.parametrize("kind", [TinyNet, Twice, InBetween, TwoNorms, Shared, Reads, Bare])
def test_a_fast_copy_gives_what_the_network_gives(kind):
    backbone = as_backbone(kind())
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    modules = {path: type(m) for path, m in backbone.model.named_modules()}
    fast = fast_copy(backbone, NAMES)
    assert_gives_the_same(fast, backbone)
    assert {path: type(m) for path, m in backbone.model.named_modules()} == modules
    assert all(torch.equal(t, before[name]) for name, t in backbone.model.state_dict().items())
    assert (norms(fast) == []) == (kind in (TinyNet, Shared))


def test_a_convolution_whose_own_output_is_asked_for_is_not_folded():
    backbone = as_backbone(TinyNet())
    names = ["conv", "logits"]
    fast = fast_copy(backbone, names)
    assert norms(fast) == ["norm"]  # the other one is folded
    assert_gives_the_same(fast, backbone, names)


def test_a_copy_is_a_new_one_each_time():
    backbone = as_backbone(TinyNet())
    assert fast_copy(backbone, NAMES).model is not fast_copy(backbone, NAMES).model


def other_weights(model):
    model.conv.weight.data.mul_(-2)  # behind the back of autograd


def other_statistics(model):
    model.norm.running_var += 3


def other_options(model):
    model.norm.eps = 0.5


def other_kind(model):
    model.act = nn.Sigmoid()


def a_hook(model):
    model.norm.register_forward_hook(lambda module, inputs, output: output * 3)


def a_hook_before(model):
    model.norm.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 3,))


@pytest.mark.parametrize(
    "change", [other_weights, other_statistics, other_options, other_kind, a_hook, a_hook_before]
)
def test_what_was_changed_in_place_is_never_answered_with_what_it_was(change):
    backbone = as_backbone(TinyNet())
    stale = fast_copy(backbone, NAMES)
    change(backbone.model)
    fast = fast_copy(backbone, NAMES)
    assert_gives_the_same(fast, backbone)
    with pytest.raises(AssertionError):
        assert_gives_the_same(stale, backbone)


def test_training_in_between_is_seen():
    backbone = as_backbone(TinyNet())
    fast_copy(backbone, NAMES)
    optimizer = torch.optim.SGD(backbone.model.parameters(), lr=0.5)
    backbone.model(torch.randn(2, 3, 16, 16)).square().mean().backward()
    optimizer.step()
    assert_gives_the_same(fast_copy(backbone, NAMES), backbone)
