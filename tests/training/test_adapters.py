"""Small new parts move, the body stays, and a file holds what moved."""

import copy
import json
import math

import pytest
import torch
from tiny_tasks import (
    FAMILIES,
    batch_of,
    make_task,
    moved,
    state,
    tiny_backbone,
    traces,
)
from torch import nn

import tlcourse as tl
from tlcourse.engines.pytorch import fast_copy
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.networks.account import training_account
from tlcourse.training.finetune import freeze, stages, trainable
from tlcourse.training.moves import RATES, moving

QUICK = {"progress": False, "live": False, "epochs": 2, "batch_size": 6, "body_rate": 0.03}
SMALL = ("lora", "norms", "biases", "adapter")


@pytest.fixture(scope="module")
def few():
    return make_task(counts={"train": (2, 2, 2), "val": (1, 1, 1), "test": (2, 2, 2)})


def network_of(family="efficientnet"):
    return tl.Network(tiny_backbone(family), 3)


def trained(move, family, task):
    network = moving(network_of(family), move, rank=2, width=3)
    tl.fit(network, task, learning_rate=0.01, **QUICK)
    return network


# --- what moves ---


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("move", SMALL)
def test_a_small_part_begins_as_the_network_and_leaves_what_it_was_given_alone(move, family):
    backbone, network = tiny_backbone(family), network_of(family)
    before = [state(backbone.model), traces(backbone.model), state(network), traces(network)]
    adapted = moving(network, move, rank=2)
    batch = batch_of(backbone)
    torch.testing.assert_close(adapted(batch), network(batch), rtol=0, atol=0)
    assert not moved(before[0], backbone.model)
    assert not moved(before[2], network)
    assert [traces(backbone.model), traces(network)] == [before[1], before[3]]
    assert 0 < trainable(adapted) < trainable(network)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("move", SMALL)
def test_training_moves_the_new_part_and_the_head_and_nothing_else(move, family, few):
    network = moving(network_of(family), move, rank=2)
    may = {name for name, p in network.named_parameters() if p.requires_grad}
    before = state(network)
    tl.fit(network, few, learning_rate=0.01, **QUICK)
    now = moved(before, network)
    assert now <= may  # of BatchNorm no statistics either
    assert {"head.weight", "head.bias"} < now
    assert len(now) > len(may) / 2
    assert all(p.grad is None for p in network.parameters() if not p.requires_grad)


def test_what_moves_is_what_the_papers_say():
    network = network_of("resnet")
    norms = {n for n, m in network.body.named_modules() if isinstance(m, nn.BatchNorm2d)}
    of_norms = {f"body.{name}.{part}" for name in norms for part in ("weight", "bias")}
    head = {"head.weight", "head.bias"}

    def free(adapted):
        return {name for name, p in adapted.named_parameters() if p.requires_grad}

    assert free(tl.finetune.move_norms(network)) == of_norms | head
    assert free(tl.finetune.move_biases(network)) == head | {n for n in of_norms if "bias" in n}
    lora = tl.finetune.add_lora(network, 3)
    weights = {n for n, m in network.body.named_modules() if isinstance(m, nn.Conv2d)}
    parts = {f"body.{n}.parametrizations.weight.0.{m}" for n in weights for m in ("up", "down")}
    assert free(lora) == parts | head
    sizes = [network.body.get_submodule(name).weight for name in weights]
    expected = sum(3 * (len(w) + w[0].numel()) for w in sizes)
    assert trainable(lora) == expected + sum(p.numel() for p in network.head.parameters())


def test_lora_is_the_sum_of_the_weight_and_a_product_in_every_kind_of_layer():
    for family, path in (("vit", "blocks.0.attn.qkv"), ("resnet", "conv1.0")):
        network = network_of(family)
        names = [n for n, m in network.body.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        path = path if path in names else names[0]
        adapted = tl.finetune.add_lora(network, 2, where=path, alpha=6)
        layer, weight = adapted.body.get_submodule(path), network.body.get_submodule(path).weight
        part = layer.parametrizations.weight[0]
        with torch.no_grad():
            part.up.normal_()
        product = part.up @ part.down
        torch.testing.assert_close(layer.weight, weight + 3 * product.reshape(weight.shape))
        assert torch.linalg.matrix_rank(product) == 2


def test_depthwise_convolutions_are_left_out_by_default():
    network = network_of()
    depthwise = {
        n
        for n, m in network.body.named_modules()
        if isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1
    }
    assert depthwise
    assert not depthwise & set(tl.finetune.add_lora(network, 1).added.layers)
    assert depthwise <= set(tl.finetune.add_lora(network, 1, depthwise=True).added.layers)


def test_nothing_is_added_to_what_is_frozen(few):
    network = network_of()
    freeze(network, "stage2")
    for move in SMALL:
        adapted = moving(network, move, rank=2)
        frozen = state(adapted)
        history = tl.fit(adapted, few, learning_rate=0.01, **QUICK)
        assert history.cached_until == "stage2"
        begins = ("body.conv_stem", "body.bn1", "body.blocks.0.", "body.blocks.1.")
        assert not {name for name in moved(frozen, adapted) if name.startswith(begins)}
        assert any(name.startswith("body") for name in moved(frozen, adapted))


def test_unfreezing_does_not_let_the_held_weights_move(few):
    network = tl.finetune.add_lora(network_of(), 2)
    before = state(network)
    plan = {1: "stage3", 2: None}
    tl.fit(network, few, unfreeze=plan, learning_rate=0.01, **QUICK)
    assert not {n for n in moved(before, network) if n.endswith("original") or "bn" in n}


def test_a_new_part_belongs_to_the_stage_of_its_layer():
    network = network_of()
    plain = stages(network)
    for move in ("lora", "adapter"):
        of = stages(moving(network, move, rank=2))
        for name, stage in of.items():
            if ".parametrizations." in name:
                assert stage == plain[name.split(".parametrizations.")[0] + ".weight"]
            elif ".adapter." in name:
                block = name.split(".adapter.")[0]
                assert stage in {s for n, s in plain.items() if n.startswith(block)}


def test_held_parameters_have_neither_gradients_nor_optimiser_state():
    network, shape = network_of(), (3, 64, 64)
    whole = training_account(copy.deepcopy(network).train(), shape, 4).bytes
    for move in SMALL:
        adapted = moving(network, move, rank=2)
        few = training_account(adapted.train(), shape, 4).bytes
        assert few.gradients == 4 * trainable(adapted) < whole.gradients
        assert few.optimiser_state < whole.optimiser_state


# --- merging ---


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("move", ["lora", "norms", "biases"])
def test_a_merged_network_computes_the_same_without_new_parts(move, family, few):
    network = trained(move, family, few)
    before, batch = state(network), batch_of(network.backbone)
    merged = tl.finetune.merge(network)
    torch.testing.assert_close(merged(batch), network(batch), rtol=0, atol=1e-5)
    assert list(merged.state_dict()) == list(network_of(family).state_dict())
    assert trainable(merged) == trainable(network_of(family))
    assert not moved(before, network)  # whose layers still work
    torch.testing.assert_close(network(batch), merged(batch), rtol=0, atol=1e-5)


def test_a_bottleneck_cannot_be_merged():
    with pytest.raises(CourseError, match="ReLU"):
        tl.finetune.merge(tl.finetune.add_adapter(network_of()))


def test_features_of_an_adapted_network_are_those_of_its_forward_pass(few):
    network = trained("lora", "efficientnet", few)
    backbone = network.as_backbone(("a", "b", "c"))
    fast = fast_copy(backbone, ["logits"])
    batch = batch_of(backbone)
    torch.testing.assert_close(fast.model(batch), network(batch), rtol=1e-4, atol=1e-4)
    assert not any(".parametrizations" in name for name, _ in fast.model.named_modules())


# --- the file ---


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("move", SMALL)
def test_a_file_holds_what_moved_and_a_fresh_body_computes_the_same(move, family, few, tmp_path):
    network = trained(move, family, few)
    path = tl.finetune.save_adapter(network, tmp_path / "mine.safetensors")
    assert 4 * trainable(network) <= path.stat().st_size < 4 * trainable(network) + 40_000
    again = tl.finetune.load_adapter(tiny_backbone(family), path)
    batch = batch_of(network.backbone)
    torch.testing.assert_close(again(batch), network(batch), rtol=0, atol=1e-6)
    assert trainable(again) == trainable(network)


@pytest.mark.parametrize("first", ["lora", "adapter"])
def test_one_body_serves_several_tasks_in_turn(first, few, tmp_path):
    one = trained(first, "efficientnet", few)
    other = tl.finetune.add_lora(tl.Network(tiny_backbone(), 5, seed=3), 3, seed=1)
    files = [tl.finetune.save_adapter(n, tmp_path / str(i)) for i, n in enumerate((one, other))]
    batch = batch_of(one.backbone)
    network = tl.finetune.load_adapter(tiny_backbone(), files[0])
    body = network.body
    for place in (1, 0, 1):
        assert tl.finetune.load_adapter(network, files[place]) is network
        assert network.body is body
        wanted = (one, other)[place](batch)
        torch.testing.assert_close(network(batch), wanted, rtol=0, atol=1e-6)
    assert network.n_classes == 5


def test_an_adapter_of_another_body_is_refused(few, tmp_path):
    path = tl.finetune.save_adapter(trained("lora", "resnet", few), tmp_path / "a")
    with pytest.raises(CourseError, match="another body"):
        tl.finetune.load_adapter(tiny_backbone(), path)
    trained_further = tl.Network(tiny_backbone("resnet"), 3)
    with torch.no_grad():
        next(trained_further.body.parameters()).add_(1e-3)
    with pytest.raises(CourseError, match="weights have moved"):
        tl.finetune.load_adapter(trained_further, path)


@pytest.mark.parametrize("harm", ["cut", "flipped", "text", "plain"])
def test_a_damaged_file_is_told_in_a_sentence(harm, tmp_path):
    from safetensors.torch import save_file

    network = tl.finetune.add_lora(network_of(), 1)
    path = tl.finetune.save_adapter(network, tmp_path / "a")
    content = bytearray(path.read_bytes())
    if harm == "cut":
        path.write_bytes(content[:-100])
    elif harm == "flipped":
        content[-5] ^= 1
        path.write_bytes(content)
    elif harm == "text":
        path.write_text("no adapter")
    else:
        save_file({"x": torch.ones(2)}, path)
    with pytest.raises(CourseError, match=r"damaged|no adapter of this version"):
        tl.finetune.load_adapter(tiny_backbone(), path)
    with pytest.raises(CourseError, match="no adapter"):
        tl.finetune.load_adapter(tiny_backbone(), tmp_path / "none")


def test_a_head_of_your_own_must_be_there(tmp_path):
    head = nn.Sequential(nn.Linear(tl.Network(tiny_backbone(), 3).head.in_features, 3))
    network = tl.finetune.add_lora(tl.Network(tiny_backbone(), 3, head=head), 1)
    path = tl.finetune.save_adapter(network, tmp_path / "a")
    with pytest.raises(CourseError, match="head"):
        tl.finetune.load_adapter(tiny_backbone(), path)
    with pytest.raises(CourseError, match="head"):
        tl.finetune.load_adapter(tl.Network(tiny_backbone(), 3), path)
    own = tl.Network(tiny_backbone(), 3, head=copy.deepcopy(head))
    batch = batch_of(network.backbone)
    again = tl.finetune.load_adapter(own, path)
    torch.testing.assert_close(again(batch), network(batch), rtol=0, atol=1e-6)


# --- bad input ---


def test_bad_input_gets_one_sentence(tmp_path):
    network = network_of()
    for rank in (0, -1, 1.5, True):
        with pytest.raises(CourseError, match="rank is"):
            tl.finetune.add_lora(network, rank)
    with pytest.raises(CourseError, match="allows at most"):
        tl.finetune.add_lora(network, 1000)
    for alpha in (0, math.inf, "x"):
        with pytest.raises(CourseError, match="alpha is"):
            tl.finetune.add_lora(network, 1, alpha=alpha)
    for add in (tl.finetune.add_lora, tl.finetune.add_adapter):
        with pytest.raises(CourseError, match="matches no"):
            add(network, where="layer9.*")
        with pytest.raises(CourseError, match="already"):
            add(tl.finetune.add_lora(network, 1))
    with pytest.raises(CourseError, match="width is"):
        tl.finetune.add_adapter(network, 0)
    with pytest.raises(UnknownNameError, match="lora"):
        moving(network, "lorra")
    with pytest.raises(CourseError, match="already"):
        tl.finetune.move_norms(tl.finetune.move_biases(network))
    with pytest.raises(CourseError, match="add_lora"):
        tl.finetune.save_adapter(network, tmp_path / "a")
    frozen = network_of()
    frozen.freeze_body()
    for move in SMALL:
        with pytest.raises(CourseError, match=r"nothing would be added|only the head"):
            moving(frozen, move, rank=1)


# --- the pattern ---


@pytest.mark.parametrize("move", SMALL)
def test_the_pattern_fine_tunes_a_small_part_and_its_result_can_be_saved(move, few, tmp_path):
    backbone = tiny_backbone()
    before = state(backbone.model)
    options = {"progress": False, "live": False, "epochs": 2, "batch_size": 6}
    result = tl.patterns.fine_tune(backbone, few, move=move, rank=2, start_counts=False, **options)
    assert result.trainable_parameters < backbone.n_parameters / 4
    assert not moved(before, backbone.model)
    again = tl.load_result(result.save(tmp_path / "model"))
    batch = batch_of(backbone)
    torch.testing.assert_close(
        again.backbone.model(batch), result.backbone.model(batch), rtol=0, atol=1e-5
    )
    assert result.peak_bytes > 0


def test_the_pattern_has_a_rate_for_each_way_to_move(few):
    with pytest.raises(UnknownNameError, match="lora"):
        tl.patterns.fine_tune(tiny_backbone(), few, move="Lora")
    assert set(RATES) == {"everything", *SMALL}


# --- what first use found ---


def test_what_was_learned_is_saved_after_the_network_was_frozen(tmp_path, few):
    network = trained("lora", "efficientnet", few).eval()
    batch = batch_of(network.backbone)
    said = network(batch)
    network.requires_grad_(False)
    path = tl.finetune.save_adapter(network, tmp_path / "a.safetensors")
    torch.manual_seed(5)
    drawn = torch.get_rng_state()
    again = tl.finetune.load_adapter(tiny_backbone("efficientnet"), path).eval()
    assert torch.equal(torch.get_rng_state(), drawn)
    torch.testing.assert_close(again(batch), said)


def test_an_adapter_for_another_pooling_is_refused(tmp_path):
    layer = tiny_backbone().layers[1]
    network = tl.finetune.add_lora(tl.Network(tiny_backbone(), 3, layer=layer, pool="mean"), 1)
    path = tl.finetune.save_adapter(network, tmp_path / "a.safetensors")
    with pytest.raises(CourseError, match="trained with pool='mean'"):
        tl.finetune.load_adapter(tl.Network(tiny_backbone(), 3, layer=layer, pool="max"), path)


@pytest.mark.parametrize(("name", "blocks"), [("timm/regnety_002", 5), ("timm/convnext_atto", 12)])
def test_each_block_calls_its_adapter_once(name, blocks):
    network = tl.Network(tl.load_backbone(name, pretrained=False).at_size(64), 3)
    adapted = tl.finetune.add_adapter(network, 2).eval()
    called = []
    for path in adapted.added.layers:
        part = adapted.body.get_submodule(path).adapter
        part.register_forward_hook(lambda *_: called.append(1))
    adapted(torch.zeros(1, 3, 64, 64))
    assert len(called) == len(adapted.added.layers) == blocks


def test_freezing_later_freezes_the_new_parts_too():
    network = network_of()
    first = network.backbone.layers[0]
    adapted = tl.finetune.add_lora(network, 1)
    freeze(adapted, first)
    inside = network.backbone.layer(first).path
    left = [n for n, p in adapted.named_parameters() if p.requires_grad]
    assert left
    assert not [name for name in left if name.startswith(f"body.{inside}.")]


def test_a_network_or_a_pattern_of_another_kind_is_one_sentence(tmp_path):
    backbone = tiny_backbone()
    with pytest.raises(CourseError, match=r"A tl\.Network is needed, not Backbone"):
        tl.finetune.add_lora(backbone)
    with pytest.raises(CourseError, match="must be a pattern"):
        tl.finetune.add_lora(network_of(), where=5)
    with pytest.raises(CourseError, match=r"put on a backbone or a tl\.Network, not on str"):
        tl.finetune.load_adapter("efficientnet_lite0", tmp_path / "a.safetensors")


# --- files of others ---


def rewritten(path, **said):
    """The file with other notes or tensors, and a digest that fits."""
    from safetensors.torch import save_file

    from tlcourse.training import adapter_file

    about, _, moved = adapter_file._read(path)
    for name, value in said.items():
        held = moved if isinstance(value, torch.Tensor) else about
        held[name.replace("__", ".")] = value
        if value is None:
            del about[name]
    save_file(moved, path, about | {"sha256": adapter_file._digest(about, moved)})
    return path


def added(**said):
    return {"added": json.dumps({"kind": "lora", "layers": [], "size": 1, "alpha": 1.0} | said)}


@pytest.mark.parametrize(
    "said",
    [
        *({name: None} for name in ("layer", "pool", "head", "fingerprint", "backbone")),
        {"added": "[" * 100_000},
        added(kind="other"),
        added(layers=["no.such.layer"]),
        added(layers=["conv_stem"], size=0),
        added(layers=["conv_stem"], size=10**12),
        added(more=1),
        {"head__weight": torch.zeros(3)},
        {"head__weight": torch.zeros(3, 7)},
        {"body__bn1__bias": torch.zeros(1)},  # would be spread over all
        {"body__none": torch.zeros(1)},
        added(layers=["no"]) | {"head": "own", "head__bias": torch.ones(3)},
    ],
    ids=str,
)
def test_a_file_that_asks_for_the_impossible_changes_nothing(said, tmp_path):
    network = tl.finetune.add_lora(network_of(), 1, where="conv_stem")
    path = tl.finetune.save_adapter(network, tmp_path / "a.safetensors")
    rewritten(path, **said)
    before = state(network)
    with pytest.raises(CourseError, match=r"is damaged|other weights|another body"):
        tl.finetune.load_adapter(network, path)
    assert not moved(before, network)
    assert network.added.layers == ("conv_stem",)
