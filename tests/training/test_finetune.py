"""What is frozen stays, what is not moves, each at its own rate."""

import copy

import pytest
import torch
from tiny_tasks import (
    FAMILIES,
    batch_of,
    made_backbone,
    make_task,
    moved,
    state,
    tiny_backbone,
    without,
)
from torch import nn

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.training.finetune import (
    between,
    freeze,
    gradual_unfreezing,
    parameter_groups,
    stages,
    trainable,
    weight_change,
)

# Family -> layer, and what the names of the frozen part begin with.
FROZEN = {
    "efficientnet": (
        "stage2",
        ("body.conv_stem.", "body.bn1.", "body.blocks.0.", "body.blocks.1."),
    ),
    "resnet": ("stage2", ("body.conv1.", "body.bn1.", "body.layer1.", "body.layer2.")),
    "vit": (
        "stage2",
        (
            "body.cls_token",
            "body.pos_embed",
            "body.patch_embed.",
            "body.blocks.0.",
            "body.blocks.1.",
        ),
    ),
}
QUICK = {"progress": False, "epochs": 2, "batch_size": 6}


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture(scope="module")
def few():
    """Six pictures: enough to see what moves."""
    return make_task(counts={"train": (2, 2, 2), "val": (1, 1, 1), "test": (0, 0, 0)})


@pytest.fixture
def network():
    return tl.Network(tiny_backbone(), 3)


def is_statistic(name):
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


# --- freeze ---


@pytest.mark.parametrize("family", FAMILIES)
def test_freezing_includes_the_layer_and_what_the_network_itself_holds(family):
    layer, begins = FROZEN[family]
    network = tl.Network(tiny_backbone(family), 3)
    expected = {name for name, _ in network.named_parameters() if name.startswith(begins)}
    assert len({name for name in expected for b in begins if name.startswith(b)}) == len(expected)
    count = freeze(network, layer)
    assert {name for name, p in network.named_parameters() if not p.requires_grad} == expected
    sizes = [p.numel() for name, p in network.named_parameters() if name in expected]
    assert count == sum(sizes)
    assert trainable(network) == sum(p.numel() for p in network.parameters()) - count
    assert network.frozen_until == layer


@pytest.mark.parametrize("cache_frozen", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_training_moves_what_is_behind_the_frozen_part_and_nothing_else(family, cache_frozen, few):
    layer, begins = FROZEN[family]
    network = tl.Network(tiny_backbone(family), 3)
    network.updates_batchnorm = True
    freeze(network, layer)
    before = state(network)
    history = tl.fit(network, few, cache_frozen=cache_frozen, learning_rate=0.01, **QUICK)
    assert history.cached_until == (layer if cache_frozen else None)
    # Parameters and BatchNorm's buffers alike; there are some of each on both sides.
    assert moved(before, network) == {name for name in before if not name.startswith(begins)}
    if family != "vit":
        statistics = {name for name in before if is_statistic(name)}
        assert statistics & moved(before, network)
        assert statistics - moved(before, network)


def test_a_class_token_and_position_embedding_that_are_not_frozen_move(few):
    network = tl.Network(tiny_backbone("vit"), 3)
    before = state(network)
    tl.fit(network, few, **QUICK | {"epochs": 1})
    assert {"body.cls_token", "body.pos_embed"} <= moved(before, network)


@pytest.mark.parametrize("updates", [False, True])
def test_batchnorms_of_a_body_that_may_learn_keep_their_statistics_unless_told(updates, few):
    network = tl.Network(tiny_backbone(), 3)
    network.updates_batchnorm = updates
    before = state(network)
    tl.fit(network, few, **QUICK)
    statistics = {name for name in before if is_statistic(name)}
    assert statistics
    assert statistics & moved(before, network) == (statistics if updates else set())
    assert {name for name, _ in network.named_parameters()} <= moved(before, network)


@pytest.mark.parametrize("updates", [False, True])
def test_train_leaves_the_frozen_part_in_evaluation_mode(network, updates):
    network.updates_batchnorm = updates
    freeze(network, "stage2")
    network.train()
    assert network.training
    assert network.head.training
    norms = {n: m for n, m in network.body.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, module in network.body.named_modules():
        if f"body.{name}.".startswith(FROZEN["efficientnet"][1]):
            assert not module.training, name
        elif name in norms:
            assert module.training == updates, name
        elif name.startswith(("blocks.2", "conv_head")) and name.rpartition(".")[0] not in norms:
            assert module.training, name
    assert len({norm.training for norm in norms.values()}) == 1 + updates
    network.eval()
    assert not any(module.training for module in network.modules())


def test_freezing_a_network_in_training_mode_reaches_its_batchnorms_at_once(network):
    network.updates_batchnorm = True
    network.train()
    assert network.body.bn1.training
    freeze(network, "stem")
    assert not network.body.bn1.training
    assert network.body.bn2.training
    assert network.training


def test_frozen_parameters_lose_the_gradient_that_they_had(network):
    network(batch_of(network.backbone)).sum().backward()
    assert network.body.conv_stem.weight.grad is not None
    freeze(network, "stage1")
    assert network.body.conv_stem.weight.grad is None
    assert network.body.conv_head.weight.grad is not None


def test_none_frees_everything_again(network):
    everything = trainable(network)
    freeze(network, "stage3")
    assert trainable(network) < everything
    network.updates_batchnorm = True
    assert freeze(network, None) == 0
    assert trainable(network) == everything
    assert network.frozen_until is None
    assert all(module.training for module in network.train().modules())


def test_freezing_less_frees_what_lies_behind(network):
    freeze(network, "stage3")
    freeze(network, "stage1")
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert "body.blocks.1.0.conv_exp.weight" in learning
    assert "body.blocks.0.0.conv.weight" not in learning


def test_all_of_the_body_can_be_frozen(network):
    freeze(network, "embedding")
    assert trainable(network) == 256 * 3 + 3
    other = tl.Network(tiny_backbone(), 3, layer="stage3")
    freeze(other, "stage3")
    assert trainable(other) == 32 * 3 + 3


@pytest.mark.parametrize("layer", ["stage2", "embedding"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_whose_body_is_frozen_is_frozen_up_to_its_cut(family, layer):
    one, other = (tl.Network(tiny_backbone(family), 3, layer=layer) for _ in range(2))
    freeze(one, layer)
    other.freeze_body()
    assert one.frozen_until == other.frozen_until == layer
    for network in (one, other):
        network.train()
    for (name, module), same in zip(one.named_modules(), other.modules(), strict=True):
        own = list(module.parameters(recurse=False))
        if own or isinstance(module, torch.nn.Dropout):
            assert module.training == same.training == name.startswith("head"), name
        for p, q in zip(own, same.parameters(recurse=False), strict=True):
            assert p.requires_grad == q.requires_grad == name.startswith("head")


@pytest.mark.parametrize(
    ("until", "error", "said"),
    [
        ("stage_2", UnknownNameError, "There is no layer .* called 'stage_2'. Nearest: stage2"),
        ("blocks.1.0.conv", UnknownNameError, "Nearest: .*blocks.1.0.conv_"),
        ("stage4", CourseError, "'stage4' lies behind 'stage3', where the network is cut"),
        ("embedding", CourseError, "lies behind 'stage3'.* Freeze up to 'stage3' at most"),
        ("logits", CourseError, "lies behind 'stage3'"),
    ],
)
def test_a_name_that_freezes_nothing_is_an_error_and_freezes_nothing(until, error, said):
    network = tl.Network(tiny_backbone(), 3, layer="stage3")
    freeze(network, "stage1")
    before = trainable(network)
    with pytest.raises(error, match=said):
        freeze(network, until)
    assert network.frozen_until == "stage1"
    assert trainable(network) == before


def test_a_module_that_no_pass_comes_to_cannot_be_frozen_up_to():
    network = tl.Network(made_backbone(), 3)
    with pytest.raises(CourseError, match="unused"):
        freeze(network, "unused")


# --- stages and rates ---


@pytest.mark.parametrize("family", FAMILIES)
def test_a_parameter_belongs_to_the_first_layer_that_depends_on_it(family):
    backbone = tiny_backbone(family)
    network = tl.Network(backbone, 3)
    named = {name: p for name, p in network.named_parameters() if name.startswith("body.")}
    view = network.as_backbone(("a", "b", "c"))
    values = tl.activations(view, batch_of(backbone, 1), list(backbone.layers[:-1]), grad=True)
    expected = {"head.weight": "head", "head.bias": "head"}
    for layer, value in values.items():
        found = torch.autograd.grad(
            value.square().sum(), list(named.values()), retain_graph=True, allow_unused=True
        )
        for name, gradient in zip(named, found, strict=True):
            if gradient is not None:
                expected.setdefault(name, layer)
    if family == "vit":  # they join behind the patches, and are counted with them
        expected |= {"body.cls_token": "stem", "body.pos_embed": "stem"}
    assert stages(network) == expected


def rates_of(groups):
    found = {}
    for group in groups:
        found.setdefault(group["name"], set()).add(group["lr"])
    assert all(len(rates) == 1 for rates in found.values())
    return {name: rates.pop() for name, rates in found.items()}


def test_rates_decay_from_stage_to_stage(network):
    groups = parameter_groups(network, 0.01, body_rate=0.002, layer_decay=0.5)
    assert rates_of(groups) == pytest.approx(
        {
            "head": 0.01,
            "embedding": 0.002,
            "stage5": 0.001,
            "stage4": 0.0005,
            "stage3": 0.00025,
            "stage2": 0.000125,
            "stage1": 0.0000625,
            "stem": 0.00003125,
        }
    )


def test_the_body_gets_a_tenth_of_the_heads_rate_by_default(network):
    rates = rates_of(parameter_groups(network, 0.01))
    assert rates.pop("head") == 0.01
    assert set(rates.values()) == {0.001}


def test_the_stage_next_to_the_head_has_the_bodys_rate_wherever_the_cut_is():
    network = tl.Network(tiny_backbone(), 3, layer="stage2")
    rates = rates_of(parameter_groups(network, 0.01, body_rate=0.004, layer_decay=0.5))
    assert rates == pytest.approx({"head": 0.01, "stage2": 0.004, "stage1": 0.002, "stem": 0.001})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_in_one_group_and_only_matrices_decay(family):
    network = tl.Network(tiny_backbone(family), 3)
    freeze(network, "stage1")  # frozen ones are in the groups too
    groups = parameter_groups(network, 0.01, weight_decay=0.3)
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in network.parameters())
    names = {id(p): name for name, p in network.named_parameters()}
    of = stages(network)
    for group in groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0), names[id(parameter)]
            assert group["name"] == of[names[id(parameter)]]
    assert {group["weight_decay"] for group in groups} == {0.0, 0.3}


@pytest.mark.parametrize("rate", [0, -1e-3, float("inf"), float("nan"), "fast", None])
def test_rates_that_train_nothing_are_refused(network, rate):
    with pytest.raises(CourseError, match=r"learning_rate is .* must be a positive number"):
        parameter_groups(network, rate)
    if rate is not None:
        with pytest.raises(CourseError, match=r"body_rate is .*find_learning_rate"):
            parameter_groups(network, 0.1, body_rate=rate)


@pytest.mark.parametrize("decay", [0, -0.5, 1.1, float("nan")])
def test_layer_decay_is_a_share(network, decay):
    with pytest.raises(CourseError, match=f"layer_decay is {decay}, but must be above 0"):
        parameter_groups(network, 0.1, layer_decay=decay)


# --- gradual unfreezing ---


@pytest.mark.parametrize(
    ("epochs", "plan"),
    [
        (12, {1: "embedding", 4: "stage5", 7: "stage4", 10: "stage3"}),
        (4, {1: "embedding", 2: "stage5", 3: "stage4", 4: "stage3"}),
        (2, {1: "embedding", 2: "stage5"}),
    ],
)
def test_stages_are_unfrozen_from_the_deepest_on(network, epochs, plan):
    assert gradual_unfreezing(network, epochs, stop="stage3") == plan


def test_nothing_is_unfrozen_if_all_of_the_body_is_to_stay(network):
    assert gradual_unfreezing(network, 5, stop="embedding") == {1: "embedding"}


@pytest.mark.parametrize("layer", ["stage3", "blocks.2.0.conv_pwl"])
def test_only_the_head_learns_at_first_wherever_the_cut_is(layer):
    network = tl.Network(tiny_backbone(), 3, layer=layer)
    plan = gradual_unfreezing(network, 6, stop="stage1")
    freeze(network, plan[1])
    assert trainable(network) == 32 * 3 + 3
    freeze(network, plan[max(plan)])
    assert network.frozen_until == "stage1"


def test_a_plan_needs_a_layer_of_the_network(network):
    with pytest.raises(UnknownNameError, match=r"layer to stop at 'stage9'\. Nearest: stage"):
        gradual_unfreezing(network, 4, stop="stage9")
    with pytest.raises(CourseError, match="'stage4' lies behind the cut at 'stage3'"):
        gradual_unfreezing(tl.Network(tiny_backbone(), 3, layer="stage3"), 4, stop="stage4")


@pytest.mark.parametrize("cache_frozen", [True, False])
def test_a_stage_moves_only_once_it_is_unfrozen(network, task, cache_frozen):
    network.updates_batchnorm = True
    seen = []

    def look(*_):
        if network.training:
            seen.append((state(network), network.frozen_until))

    start = state(network)
    handle = network.head.register_forward_pre_hook(look)
    plan = gradual_unfreezing(network, 3, stop="stage4")
    assert plan == {1: "embedding", 2: "stage5", 3: "stage4"}
    history = tl.fit(
        network,
        without(task, "val"),  # so that the last epoch is kept
        unfreeze=plan,
        cache_frozen=cache_frozen,
        **QUICK | {"epochs": 3},
    )
    handle.remove()
    assert [epoch.frozen_until for epoch in history.epochs] == ["embedding", "stage5", "stage4"]
    assert history.cached_until == ("stage4" if cache_frozen else None)
    of = stages(network)
    parameters = {name for name, _ in network.named_parameters()}

    def stages_moved(now):
        names = {n for n in parameters if not torch.equal(now[n], start[n])}
        return {of[name] for name in names}

    # Three steps an epoch; each entry of `seen` is from just before a step.
    assert stages_moved(seen[0][0]) == set()
    assert stages_moved(seen[3][0]) == {"head"}  # after the first epoch
    assert stages_moved(seen[6][0]) == {"head", "embedding"}
    assert stages_moved(state(network)) == {"head", "embedding", "stage5"}
    still = FROZEN["efficientnet"][1] + ("body.blocks.2.", "body.blocks.3.")
    assert not {name for name in moved(start, network) if name.startswith(still)}


def test_a_plan_with_a_misspelt_layer_fails_before_the_training_begins(network, task):
    before = state(network)
    with pytest.raises(UnknownNameError, match="Nearest: stage5"):
        tl.fit(network, task, unfreeze={1: "embedding", 2: "stage_5"}, cache_frozen=False, **QUICK)
    assert not moved(before, network)


# --- weight_change ---


def test_the_change_of_weights_is_the_length_of_the_difference_over_the_length_before(network):
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("body.blocks.1."):
                parameter.mul_(1.01)
            elif name.startswith("body.blocks.2."):
                parameter.zero_()
        network.body.bn1.bias[0] += 3.0
        network.head.bias.add_(3.0)
    backbone = tiny_backbone()
    stem = torch.cat([p.flatten() for p in (*backbone.model.conv_stem.parameters(),
                                            *backbone.model.bn1.parameters())])  # fmt: skip
    expected = dict.fromkeys(backbone.layers[:-1], 0.0)
    expected |= {"stem": 3.0 / stem.norm().item(), "stage2": 0.01, "stage3": 1.0}
    found = weight_change(backbone, network)
    assert list(found.index) == list(backbone.layers[:-1])  # the head is new
    # Products of 32-bit floats, summed over some thousand weights.
    assert found.to_dict() == pytest.approx(expected, abs=1e-5)


def test_the_change_of_a_plain_copy_and_of_a_cut_network_is_found_too():
    backbone = tiny_backbone()
    copied = copy.deepcopy(backbone.model)
    copied.classifier = nn.Linear(256, 3)
    with torch.no_grad():
        copied.conv_head.weight.mul_(2)
    found = weight_change(backbone, copied)
    assert found[:-1].tolist() == [0.0] * 6
    matrix, norm = backbone.model.conv_head.weight.norm(), list(backbone.model.bn2.parameters())
    whole = (matrix**2 + sum(p.norm() ** 2 for p in norm)).sqrt()
    assert found["embedding"] == pytest.approx((matrix / whole).item(), abs=1e-5)
    cut = weight_change(backbone, tl.Network(backbone, 3, layer="stage2"))
    assert cut.to_dict() == {"stem": 0.0, "stage1": 0.0, "stage2": 0.0}
    with pytest.raises(CourseError, match="no weights in common with timm/test_efficientnet"):
        weight_change(backbone, nn.Linear(2, 2))


def test_a_network_between_start_and_end_lies_on_the_line_batchnorm_included():
    start, end = made_backbone(), made_backbone()
    with torch.no_grad():
        for tensor in end.model.state_dict().values():
            tensor.add_(3)
    before = state(start.model), state(end.model)
    middle = between(start, end, 0.25)
    for name, value in middle.model.state_dict().items():
        first, last = before[0][name], before[1][name]
        expected = first + (last - first) / 4 if value.is_floating_point() else last
        assert torch.allclose(value, expected, atol=1e-6), name
    assert not moved(before[0], start.model)
    assert not moved(before[1], end.model)
    assert not set(middle.model.parameters()) & {*start.model.parameters(), *end.model.parameters()}


@pytest.mark.parametrize(("alpha", "like"), [(0, 0), (1, 1)])
def test_the_ends_of_the_line_are_the_two_networks_bit_by_bit(alpha, like):
    pair = nn.Linear(4, 3), nn.Linear(4, 3)
    there = between(*pair, alpha)
    assert torch.equal(there.weight, pair[like].weight)
    assert there is not pair[like]


def test_the_start_of_fine_tuning_is_the_standalone_extractor(few):
    start = tl.patterns.standalone_extractor(tiny_backbone(), few, progress=False)
    quiet = {"progress": False, "live": False}
    end = tl.patterns.fine_tune(tiny_backbone(), few, epochs=1, batch_size=6, **quiet)
    half = between(start.backbone, end.backbone, 0.5)
    assert half.classes == end.backbone.classes
    alike = between(start.backbone, end.backbone, 0)
    assert not moved(state(start.backbone.model), alike.model)
    assert half.model(batch_of(half, 6)).shape == (6, 3)


def test_two_architectures_have_no_line_between_them():
    with pytest.raises(CourseError, match="not the same architecture: 'weight'"):
        between(nn.Linear(4, 3), nn.Linear(5, 3), 0.5)
    with pytest.raises(CourseError, match=r"not the same architecture: '1\.weight'"):
        between(nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), 0.5)
    with pytest.raises(CourseError, match="not Linear and Backbone"):
        between(nn.Linear(4, 3), tiny_backbone(), 0.5)
    for alpha in (-0.1, 1.1, "half", True):
        with pytest.raises(CourseError, match="from 0, the start, to 1"):
            between(nn.Linear(4, 3), nn.Linear(4, 3), alpha)
