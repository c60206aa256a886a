"""A network is its backbone up to the cut and a head, and takes nothing from the backbone."""

import copy

import pytest
import torch
from tiny_tasks import (
    batch_of,
    made_backbone,
    moved,
    state,
    tiny_backbone,
    traces,
)
from torch import nn

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.tasks.split import Split

CUTS = [
    ("efficientnet", "embedding"),
    ("efficientnet", "stage3"),
    ("efficientnet", "blocks.2.0.bn1"),
    ("resnet", "embedding"),
    ("resnet", "stage2"),
    ("resnet", "layer3.0.conv2"),
    ("vit", "embedding"),
    ("vit", "stage2"),
    ("vit", "blocks.1.attn"),
]


def by_hand(value, how="mean"):
    """Pool maps (B, C, H, W) and tokens (B, T, C) to (B, C)."""
    rows = value.flatten(2).transpose(1, 2) if value.ndim == 4 else value
    return rows if rows.ndim == 2 else getattr(torch, f"a{how}" if how == "max" else how)(rows, 1)


@pytest.mark.parametrize(("family", "layer"), CUTS)
def test_logits_are_the_head_on_what_the_layer_of_the_backbone_gives(family, layer):
    backbone = tiny_backbone(family)
    batch = batch_of(backbone)
    network = tl.Network(backbone, 3, layer=layer)
    value = tl.activations(backbone, batch, layer)[layer]
    with torch.no_grad():
        found, expected = network(batch), network.head(by_hand(value))
    assert found.shape == (2, 3)
    torch.testing.assert_close(found, expected)  # the order of the sums may differ
    assert not torch.allclose(found[0], found[1])


def test_positions_are_pooled_by_their_largest_value_if_asked():
    backbone = tiny_backbone()
    batch = batch_of(backbone)
    network = tl.Network(backbone, 3, layer="stage2", pool="max")
    value = tl.activations(backbone, batch, "stage2")["stage2"]
    with torch.no_grad():
        assert torch.equal(network(batch), network.head(value.amax(dim=(2, 3))))
        assert not torch.allclose(network(batch), network.head(value.mean(dim=(2, 3))))


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_an_embedding_that_is_a_map_is_pooled_as_for_features(pool):
    backbone = made_backbone()
    batch = batch_of(backbone)
    network = tl.Network(backbone, 3, pool=pool)
    pictures = [(tensor, 0) for tensor in batch]
    features = tl.extract_features(
        _without_preprocessing(backbone), _as_split(pictures), pool=pool, cache=False
    )
    with torch.no_grad():
        expected = network.head(torch.from_numpy(features.x["embedding"]))
        # A folded BatchNorm rounds differently.
        torch.testing.assert_close(network(batch), expected, rtol=1e-4, atol=1e-5)


def _without_preprocessing(backbone):
    twin = copy.copy(backbone)
    twin.preprocess = type("Same", (), {"__call__": lambda _, tensor: tensor})()
    twin.preprocess.shape, twin.preprocess.one, twin.preprocess.unit = (3, 8, 8), "picture", "px"
    return twin


def _as_split(pictures):
    return Split(
        [tensor for tensor, _ in pictures],
        [0] * len(pictures),
        ["a/x"] * len(pictures),
        lambda x: x,
    )


@pytest.mark.parametrize(("family", "layer"), CUTS)
def test_only_what_the_layer_depends_on_is_left(family, layer):
    backbone = tiny_backbone(family)
    value = tl.activations(backbone, batch_of(backbone), layer, grad=True)[layer]
    named = dict(backbone.model.named_parameters())
    found = torch.autograd.grad(value.square().sum(), named.values(), allow_unused=True)
    expected = {name for name, g in zip(named, found, strict=True) if g is not None}
    network = tl.Network(backbone, 3, layer=layer)
    left = {name for name, _ in network.body.named_parameters()}
    assert left == expected
    assert left < set(named)  # at least the old last layer is gone


def test_a_backbone_is_left_bit_for_bit_with_its_hooks_and_modes():
    backbone = copy.deepcopy(tiny_backbone())
    calls = []
    backbone.model.bn1.train()
    backbone.model.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    backbone.model.conv_head.weight.requires_grad_(False)
    before, found = state(backbone.model), traces(backbone.model)
    network = tl.Network(backbone, 3, layer="stage5").train()
    network.updates_batchnorm = True
    network.train()
    start = state(network)
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    network(batch_of(backbone)).square().sum().backward()
    optimiser.step()
    assert len(moved(start, network)) > 10  # the copy did move
    assert not moved(before, backbone.model)
    assert traces(backbone.model) == found


def test_all_of_a_new_network_may_learn_and_it_is_in_evaluation_mode():
    backbone = copy.deepcopy(tiny_backbone())
    backbone.model.requires_grad_(False)
    backbone.model.train()
    network = tl.Network(backbone, 3)
    assert all(p.requires_grad for p in network.parameters())
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize("where", ["body.blocks.1", "body.blocks.2", "head"])
def test_a_pass_leaves_no_hook_even_when_it_is_broken_off(where):
    network = tl.Network(tiny_backbone(), 3, layer="stage3")

    def stop(*_):
        raise KeyboardInterrupt

    batch, before = batch_of(network.backbone), traces(network)
    network(batch)
    assert traces(network) == before
    handle = network.get_submodule(where).register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        network(batch)
    handle.remove()
    assert traces(network) == before


# --- the head ---


def test_a_head_of_ones_own_is_used():
    backbone = tiny_backbone()
    head = nn.Sequential(nn.Linear(32, 7), nn.ReLU(), nn.Linear(7, 4))
    network = tl.Network(backbone, 4, layer="stage3", head=head)
    assert network.head is head
    assert network(batch_of(backbone)).shape == (2, 4)


def test_a_head_that_does_nothing_is_a_head_too():
    network = tl.Network(tiny_backbone(), 32, layer="stage3", head=nn.Sequential())
    assert not list(network.head.parameters())


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (nn.Linear(31, 3), r"does not take the 32 numbers of layer 'stage3'"),
        (nn.Linear(32, 4), r"gives \(4,\) numbers per picture, but the task has 3 classes"),
        (nn.Unflatten(1, (2, 16)), r"End it with nn.Linear\(..., 3\)"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(head, said):
    with pytest.raises(CourseError, match=said):
        tl.Network(tiny_backbone(), 3, layer="stage3", head=head)


def test_the_seed_decides_the_head_and_other_random_numbers_stay():
    before = torch.get_rng_state()
    weights = [tl.Network(tiny_backbone(), 3, seed=seed).head.weight for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights[0], weights[1])
    assert not torch.allclose(weights[0], weights[2])
    torch.rand(3)
    assert torch.equal(tl.Network(tiny_backbone(), 3, seed=0).head.weight, weights[0])


def test_random_weights_are_other_weights_and_follow_from_the_seed():
    backbone = tiny_backbone()
    old = dict(backbone.model.named_parameters())
    networks = [tl.Network(backbone, 3, seed=s, random_weights=True) for s in (0, 0, 1)]
    names = [n for n, p in networks[0].body.named_parameters() if p.ndim > 1]
    for name in names:
        first, same, other = (network.body.get_parameter(name) for network in networks)
        assert first.shape == old[name].shape
        assert torch.equal(first, same)
        assert not torch.allclose(first, other)
        assert not torch.allclose(first, old[name])
    assert networks[0].updates_batchnorm
    assert not tl.Network(backbone, 3).updates_batchnorm


def test_random_weights_are_not_said_to_be_trained_ones():
    backbone = copy.copy(tiny_backbone())
    backbone.source = "package of trained weights"
    assert "trained weights" in tl.Network(backbone, 3).as_backbone(tuple("abc")).source
    scratch = tl.Network(backbone, 3, random_weights=True).as_backbone(tuple("abc"))
    assert "package of trained weights" not in scratch.source


# --- what cannot be cut ---


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"layer": "logits"}, CourseError, r'cut before them: layer="embedding"'),
        ({"layer": "stage_3"}, UnknownNameError, "Nearest: stage3"),
        ({"n_classes": 1}, CourseError, "n_classes is 1, but must be a whole number, 2"),
        ({"pool": "median"}, UnknownNameError, "no pooling 'median'"),
        ({"head": "linaer"}, UnknownNameError, "no head 'linaer'. Nearest: linear"),
        ({"pool": "none", "layer": "stage3"}, CourseError, r"A linear head needs vectors, but"),
        ({"head": "conv"}, CourseError, r"needs maps .* layer 'embedding' gives \(256,\)"),
    ],
)
def test_cuts_that_make_no_sense_are_refused(options, error, said):
    with pytest.raises(error, match=said):
        tl.Network(tiny_backbone(), **{"n_classes": 3} | options)


def test_a_module_that_no_pass_comes_to_is_refused():
    with pytest.raises(CourseError, match="Layer 'unused' is not part of the forward pass"):
        tl.Network(made_backbone(), 3, layer="unused")


# --- the network as a backbone ---


@pytest.mark.parametrize(
    ("family", "layer"),
    [("efficientnet", "embedding"), ("efficientnet", "stage3"), ("vit", "stage2")],
)
def test_as_a_backbone_it_has_the_layers_up_to_the_cut_and_answers_with_the_new_classes(
    family, layer
):
    backbone = tiny_backbone(family)
    batch = batch_of(backbone)
    network = tl.Network(backbone, 3, layer=layer)
    view = network.as_backbone(("a", "b", "c"))
    kept = backbone.layers[: backbone.layers.index(layer) + 1]
    assert view.layers == tuple(dict.fromkeys([*kept, "embedding", "logits"]))
    found = tl.activations(view, batch, list(view.layers))
    inner = [name for name in kept if name != "embedding"]
    for name, value in tl.activations(backbone, batch, inner).items():
        assert torch.equal(found[name], value)
        assert torch.equal(tl.activations(view, batch, name)[name], value)  # it ends there
    with torch.no_grad():
        logits = network(batch)
        assert torch.equal(found["logits"], logits)
        torch.testing.assert_close(network.head(found["embedding"]), logits)
    table = tl.top_k(view, batch[0], 3).set_index("class")["probability"]
    expected = logits[0].softmax(0)
    torch.testing.assert_close(
        torch.tensor([table[c] for c in "abc"], dtype=torch.float32), expected
    )


def test_as_a_backbone_it_counts_what_the_cut_network_computes():
    backbone = tiny_backbone()
    view = tl.Network(backbone, 3, layer="stage3").as_backbone(("a", "b", "c"))
    row = tl.layer_table(backbone).loc["stage3"]
    assert view.n_parameters == row["parameters"] + 32 * 3 + 3
    head = 2 * 32 * 3 / 1e6  # two for each multiply-add
    assert view.operations / 1e6 == pytest.approx(row["million_operations"] + head, abs=0.06)


def test_a_network_with_a_cut_in_the_middle_can_be_explained():
    backbone = tiny_backbone()
    network = tl.Network(backbone, 3, layer="stage3")
    view = network.as_backbone(("a", "b", "c"))
    batch = batch_of(backbone, 1)
    before, found = state(network), traces(network)
    heat = tl.attribute(view, batch[0], "b", method="grad_cam")
    # By hand: the head is linear on the mean, so each map's gradient is its weight over 8 x 8.
    maps = tl.activations(backbone, batch, "stage3")["stage3"]
    weighted = (maps * (network.head.weight[1] / 64).view(1, -1, 1, 1)).sum(1, keepdim=True)
    coarse = nn.functional.interpolate(weighted.relu(), (64, 64), mode="bilinear")[0, 0]
    torch.testing.assert_close(torch.from_numpy(heat), coarse.detach())
    assert heat.max() > 0
    assert not moved(before, network)
    assert traces(network) == found
