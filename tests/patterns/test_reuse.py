"""Four ways to reuse a network: their figures are those that one counts, the backbone stays."""

import copy
import gc
import inspect
import math
import pickle
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from sklearn.metrics import balanced_accuracy_score, log_loss
from tiny_features import pipeline
from tiny_tasks import (
    CLASSES,
    COUNTS,
    make_task,
    moved,
    split,
    state,
    tensors,
    tiny_backbone,
    traces,
    without,
)
from torch import nn

import tlcourse as tl
from tlcourse import patterns
from tlcourse.engines.pytorch import fast_batch_size
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.features.features import extract_features
from tlcourse.features.probe import STRENGTHS, fit_probe
from tlcourse.networks import account
from tlcourse.networks.account import Account, Bytes, forward_account, training_account
from tlcourse.networks.head import ConvHead
from tlcourse.patterns import reuse
from tlcourse.patterns.reuse import predict_split
from tlcourse.training import data, fit
from tlcourse.training.finetune import freeze

FIT = {"epochs": 2, "batch_size": 6}
OPTIONS = {
    "classifier": {},
    "standalone_extractor": {"layer": "stage4"},
    "frozen_extractor": {"layer": "stage3", "augment": False, **FIT},
    "fine_tune": {"freeze_until": "stage2", "head_first": False, **FIT},
    "from_scratch": {"learning_rate": 0.01, **FIT},
}
K, W = 3, 128
N_PARAMETERS = 99_196  # of the body, up to the embedding


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture(scope="module")
def backbone():
    """One that a learner has left in an untidy state."""
    untidy = copy.deepcopy(tiny_backbone())
    untidy.model.blocks[1].train()
    untidy.model.blocks[2].register_forward_hook(lambda *_: None)
    untidy.model.bn2.weight.requires_grad_(False)
    return untidy


@pytest.fixture(scope="module")
def results(task, backbone):
    before, found = state(backbone.model), traces(backbone.model)
    made = {}
    for name, options in OPTIONS.items():
        made[name] = getattr(patterns, name)(backbone, task, progress=False, **options)
        made[name, "moved"] = moved(before, backbone.model)
        made[name, "same traces"] = traces(backbone.model) == found
    return made


# --- what all have in common ---


@pytest.mark.parametrize("name", OPTIONS)
def test_the_backbone_is_left_bit_for_bit_with_its_hooks_and_modes(results, name):
    assert results[name, "moved"] == set()
    assert results[name, "same traces"]


@pytest.mark.parametrize("name", OPTIONS)
def test_the_figures_are_those_that_one_counts(results, task, name):
    result = results[name]
    predicted = np.array([CLASSES.index(result.predict(p)["class"][0]) for p, _ in task.test])
    labels = task.test.labels
    right = predicted == labels
    n, p, z = len(right), right.mean(), 1.959964
    assert result.test_accuracy == pytest.approx(p)
    counts = np.zeros((3, 3), dtype=int)
    np.add.at(counts, (labels, predicted), 1)
    assert result.confusion.tolist() == counts.tolist()
    assert result.confusion.sum(axis=1).tolist() == list(COUNTS["test"])
    assert result.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))
    # Wilson's interval, as he wrote it.
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert result.interval == pytest.approx((centre - half, centre + half), abs=1e-6)
    validated = [result.predict(p)["class"][0] == CLASSES[label] for p, label in task.val]
    assert result.val_accuracy == pytest.approx(np.mean(validated))


def test_balanced_and_plain_accuracy_differ_somewhere(results):
    """Or the test above would not tell them apart."""
    made = [results[name] for name in OPTIONS]
    assert any(abs(r.balanced_accuracy - r.test_accuracy) > 0.01 for r in made)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_result_says_how_it_was_made_and_what_it_cost(results, task, name):
    result = results[name]
    assert result.applicable
    assert (result.pattern, result.task, result.classes) == (name, "tiny", CLASSES)
    layer = {"classifier": "logits"} | {"standalone_extractor": "stage4"}
    assert result.layer == (layer | {"frozen_extractor": "stage3"}).get(name, "embedding")
    learned = {
        "classifier": 0,
        "standalone_extractor": 48 * K + K,
        # Two convolutions of 3 x 3, their BatchNorms, and a linear layer.
        "frozen_extractor": 9 * (32 * W + W * W) + 4 * W + W * K + K,
        "from_scratch": N_PARAMETERS + 256 * K + K,
    }
    learned["fine_tune"] = learned["from_scratch"] - 15_112  # up to stage2, see layer_table
    assert result.trainable_parameters == learned[name]
    assert result.seconds > 0
    trains = "epochs" in OPTIONS[name]
    assert (result.history is not None) == trains
    if trains:
        assert len(result.history.epochs) == 2
        assert result.seconds >= result.history.seconds
    assert f"{name} on 'tiny', cut at '{result.layer}'" in repr(result)
    assert f"test accuracy {result.test_accuracy:.3f}" in repr(result)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_finished_network_can_be_looked_at(results, task, name):
    view, (picture, _) = results[name].backbone, task.test[0]
    assert view.classes == CLASSES
    table = results[name].predict(picture)
    assert table["probability"].sum() == pytest.approx(1, abs=1e-5)
    assert sorted(table["class"]) == sorted(CLASSES)
    logits = tl.activations(view, picture, "logits")["logits"][0]
    assert table["class"][0] == CLASSES[logits.argmax()]
    assert tl.attribute(view, picture, "bees").shape == (64, 64)


def test_a_picture_can_be_given_as_a_file_or_a_tensor(results, tmp_path, task):
    picture, _ = task.test[0]
    picture.save(tmp_path / "one.png")
    result = results["fine_tune"]
    expected = result.predict(picture)
    for same in (tmp_path / "one.png", str(tmp_path / "one.png")):
        assert result.predict(same).equals(expected)
    assert result.predict(result.backbone.preprocess(picture)).equals(expected)
    with pytest.raises(CourseError, match=r"nowhere\.png"):
        result.predict(tmp_path / "nowhere.png")


def test_a_folder_of_pictures_will_do(tmp_path):
    for name in ("train", "val", "test"):
        pictures = split((3, 3, 3), {"train": 0, "val": 50, "test": 80}[name])
        for place, (picture, label) in enumerate(pictures):
            path = tmp_path / "mine" / name / CLASSES[label] / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
    task = tl.load_task(tmp_path / "mine")
    result = patterns.fine_tune(tiny_backbone(), task, epochs=1, progress=False)
    assert (result.task, result.classes) == ("mine", CLASSES)
    assert result.confusion.sum() == 9


@pytest.mark.parametrize("name", OPTIONS)
def test_without_test_pictures_the_interval_is_that_of_the_validation_split(backbone, task, name):
    alone = without(task, "test")
    result = getattr(patterns, name)(backbone, alone, progress=False, **OPTIONS[name])
    assert math.isnan(result.test_accuracy)
    assert result.interval[0] <= result.val_accuracy <= result.interval[1]
    assert result.confusion.sum() == 6
    assert "validation accuracy" in repr(result)
    nothing = without(task, "test", "val")
    result = getattr(patterns, name)(backbone, nothing, progress=False, **OPTIONS[name])
    assert math.isnan(result.val_accuracy)
    assert math.isnan(result.balanced_accuracy)
    assert result.interval == (0.0, 1.0)
    assert result.confusion.sum() == 0


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "classifier"])
@pytest.mark.parametrize(
    ("layer", "error", "said"),
    [
        ("logits", CourseError, "cut before them"),
        ("stage_3", UnknownNameError, "Nearest: stage3"),
    ],
)
def test_a_layer_that_is_none_is_refused(backbone, task, name, layer, error, said):
    with pytest.raises(error, match=said):
        getattr(patterns, name)(backbone, task, layer=layer, progress=False)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_task_with_too_few_pictures_is_refused(backbone, task, name):
    few = replace(task, train=task.train.take([0, 1, 6, 12, 13]))
    with pytest.raises(CourseError, match=r"fewer: 'bees' \(1\)"):
        getattr(patterns, name)(backbone, few)


# --- classifier ---


def own_probabilities(backbone, picture):
    with torch.no_grad():
        logits = backbone.model(backbone.preprocess(picture)[None])[0]
    return dict(zip(backbone.classes, logits.double().softmax(0).tolist(), strict=True))


def assert_shares(found, shares):
    """The probabilities are in the proportion of these shares."""
    table = found.set_index("class")["probability"]
    total = sum(shares.values())
    assert table.to_dict() == pytest.approx(
        {name: share / total for name, share in shares.items()}, abs=1e-5
    )


def test_names_in_the_plural_find_the_networks_own_classes(results, task):
    clean = tiny_backbone()
    picture, _ = task.test[3]
    own = own_probabilities(clean, picture)
    shares = {"ants": own["ant"], "bees": own["bee"], "goldfishes": own["goldfish"]}
    assert_shares(results["classifier"].predict(picture), shares)


@pytest.mark.parametrize(
    "names",
    [
        ("ant", "BEES", "goldfish"),
        ("Ants", "strawberries", "school_buses"),
        ("tiger cats", "golden_retriever", "red-foxes"),
    ],
)
def test_case_underscores_and_plural_do_not_matter(task, names):
    renamed = replace(task, classes=names)
    backbone = tiny_backbone()
    if "strawberries" in names:
        expected = ("ant", "strawberry", "school bus")
    else:
        expected = {"ant": ("ant", "bee", "goldfish")}.get(
            names[0], ("tiger cat", "golden retriever", "red fox")
        )
    result = patterns.classifier(backbone, renamed, progress=False)
    assert result.applicable
    picture, _ = task.test[0]
    own = own_probabilities(backbone, picture)
    assert_shares(
        result.predict(picture),
        {name: own[e] for name, e in zip(renamed.classes, expected, strict=True)},
    )


def test_everyday_words_add_the_probabilities_of_their_kinds(task, capsys):
    backbone = tiny_backbone()
    renamed = replace(task, classes=("wolves", "cats", "tables"))
    result = patterns.classifier(backbone, renamed, progress=False)
    assert capsys.readouterr().out == (
        "Classes matched by name: wolves -> timber wolf + white wolf + red wolf; "
        "cats -> 5 classes from tabby to Egyptian cat; tables -> dining table\n"
    )
    picture, _ = task.test[0]
    own = own_probabilities(backbone, picture)
    cats = ("tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat")
    shares = {
        "wolves": sum(own[f"{kind} wolf"] for kind in ("timber", "white", "red")),
        "cats": sum(own[cat] for cat in cats),
        "tables": own["dining table"],
    }
    assert_shares(result.predict(picture), shares)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("cats", "tabbies", "ants"),
            "'cats' and 'tabbies' share the network's class 'tabby'. Pass",
        ),
        (("mice", "cats", "ants"), "called 'mice'. The network's class 'mouse' is a computer"),
        (
            ("ant", "Ants", "bees"),
            "'ant' and 'Ants' share the network's class 'ant'. Pass mapping=",
        ),
    ],
)
def test_names_that_are_not_clear_are_not_guessed(task, names, said):
    result = patterns.classifier(tiny_backbone(), replace(task, classes=names), progress=False)
    assert not result.applicable
    assert said in result.note


def test_a_mapping_adds_the_probabilities_of_several_names(task):
    backbone = tiny_backbone()
    mapping = {
        "bees": ["bee", "fly", "bee"],  # twice is once
        "ants": "ant",
        "goldfishes": ["goldfish", "tench", "crane"],  # two of ImageNet's classes are a "crane"
    }
    result = patterns.classifier(backbone, task, mapping=mapping, progress=False)
    picture, _ = task.test[0]
    with torch.no_grad():
        odds = backbone.model(backbone.preprocess(picture)[None])[0].double().softmax(0).tolist()
    own = {}
    for name, share in zip(backbone.classes, odds, strict=True):
        own[name] = own.get(name, 0) + share
    shares = {
        "ants": own["ant"],
        "bees": own["bee"] + own["fly"],
        "goldfishes": own["goldfish"] + own["tench"] + own["crane"],
    }
    assert_shares(result.predict(picture), shares)
    assert result.trainable_parameters == 0


def test_where_a_class_has_no_name_the_pattern_is_not_applicable(task):
    renamed = replace(task, classes=("ants", "gnomes", "elves"))
    result = patterns.classifier(tiny_backbone(), renamed, progress=False)
    assert not result.applicable
    assert "no class called 'gnomes', 'elves'. Pass mapping=" in result.note
    assert math.isnan(result.test_accuracy)
    assert result.confusion is None
    assert "classifier on 'tiny': not applicable" in repr(result)
    with pytest.raises(CourseError, match="Pattern 'classifier' made no network: The network has"):
        result.predict(task.test[0][0])
    with pytest.raises(CourseError, match="made no network"):
        result.save("nowhere")


@pytest.mark.parametrize(
    ("mapping", "error", "said"),
    [
        ({"ants": "aunt", "bees": "bee", "goldfishes": "fly"}, UnknownNameError, "Nearest: .*ant"),
        ({"ant": "ant", "bees": "bee", "goldfishes": "fly"}, UnknownNameError, "Nearest: ants"),
        ({"ants": "ant", "bees": "bee"}, CourseError, "The mapping says nothing of 'goldfishes'"),
        ({"ants": "ant", "bees": [], "goldfishes": "fly"}, CourseError, "says nothing of 'bees'"),
        (
            {"ants": ["ant", "fly"], "bees": ["bee", "fly"], "goldfishes": "tench"},
            CourseError,
            "Two classes of the task share fly",
        ),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(task, mapping, error, said):
    with pytest.raises(error, match=said):
        patterns.classifier(tiny_backbone(), task, mapping=mapping)


# --- standalone extractor ---


def embeddings(backbone, pictures, layer="stage4"):
    batch, labels = tensors(backbone, pictures)
    value = tl.activations(backbone, batch, layer)[layer].mean(dim=(2, 3))
    return value.double().numpy(), labels.numpy()


def test_the_head_is_scikit_learns_pipeline_with_the_strength_that_validates_best(results, task):
    backbone = tiny_backbone()
    x, y = embeddings(backbone, task.train)
    x_val, y_val = embeddings(backbone, task.val)
    fitted = [pipeline(x, strength).fit(x, y) for strength in STRENGTHS]
    best = min(fitted, key=lambda p: log_loss(y_val, p.predict_proba(x_val)))
    head = results["standalone_extractor"].backbone.model.head
    assert isinstance(head, nn.Linear)
    x_test, _ = embeddings(backbone, task.test)
    with torch.no_grad():
        found = head(torch.from_numpy(x_test).float()).softmax(1).numpy()
    # The course's solver stops at a tolerance of 1e-3, and computes with other features by 1e-4.
    np.testing.assert_allclose(found, best.predict_proba(x_test), atol=0.02)
    assert (found.argmax(1) == best.predict(x_test)).all()
    others = [p.predict_proba(x_test) for p in fitted if p is not best]
    assert all(np.abs(found - other).max() > 0.05 for other in others)


# --- the three that train ---


@pytest.mark.parametrize("name", ["frozen_extractor", "fine_tune", "from_scratch"])
def test_options_are_passed_on_to_fit(backbone, task, name, monkeypatch):
    class Seen(Exception):  # noqa: N818
        pass

    def train(network, task, settings):
        raise Seen(vars(settings))

    monkeypatch.setattr(fit, "train", train)
    given = {"epochs": 3, "learning_rate": 0.123, "augment": True, "seed": 7, "patience": 4}
    given |= {"batch_size": 5, "label_smoothing": 0.2, "warmup": 0.3, "progress": False}
    with pytest.raises(Seen) as raised:
        getattr(patterns, name)(backbone, task, **given)
    (passed,) = raised.value.args
    assert passed | given == passed
    assert passed["body_rate"] == {"from_scratch": 0.123, "fine_tune": 1e-3}.get(name)
    assert passed["layer_decay"] == {"fine_tune": 0.8}.get(name, 1.0)


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({}, (1e-3, 1e-3)),  # a head that fits already goes no faster than the body
        ({"head_first": False}, (1e-2, 1e-3)),
        ({"body_rate": 1e-4}, (1e-4, 1e-4)),
        ({"body_rate": 1e-4, "head_first": False}, (1e-3, 1e-4)),
        ({"learning_rate": 0.5}, (0.5, 1e-3)),
    ],
)
def test_the_rates_of_fine_tuning_follow_from_the_bodys(
    backbone, task, options, rates, monkeypatch
):
    passed = {}

    def train(network, task, settings):
        passed.update(vars(settings))
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "train", train)
    with pytest.raises(KeyboardInterrupt):
        patterns.fine_tune(backbone, task, progress=False, **options)
    assert (passed["learning_rate"], passed["body_rate"]) == pytest.approx(rates)
    # A fitted head may be better than all that comes after; a random one need not be validated.
    assert passed["start_counts"] == options.get("head_first", True)


@pytest.mark.parametrize("name", ["frozen_extractor", "fine_tune", "from_scratch"])
def test_an_option_that_fit_does_not_know_is_an_error(backbone, task, name):
    with pytest.raises(TypeError, match="no option of a training called 'momentum'"):
        getattr(patterns, name)(backbone, task, progress=False, momentum=0.9)
    with pytest.raises(TypeError, match=r"called 'epoch'\. Nearest: epochs"):
        getattr(patterns, name)(backbone, task, epoch=3)


@pytest.mark.parametrize("name", ["frozen_extractor", "fine_tune", "from_scratch"])
def test_the_signature_shows_the_options_with_the_defaults_of_the_pattern(name):
    shown = inspect.signature(getattr(patterns, name)).parameters
    fits = inspect.signature(tl.fit).parameters
    assert "options" not in shown
    assert set(fits) - {"network", "settings"} <= set(shown)
    epochs = {"frozen_extractor": 20, "fine_tune": 6, "from_scratch": 10}
    assert shown["epochs"].default == epochs[name] != fits["epochs"].default == 8
    assert shown["augment"].default == (name == "frozen_extractor")


def test_a_frozen_body_is_the_backbones(results, backbone):
    network = results["frozen_extractor"].backbone.model
    old = state(backbone.model)
    for name, tensor in network.body.state_dict().items():
        assert torch.equal(tensor, old[name])
    assert (network.layer, network.pool, network.frozen_until) == ("stage3", "none", "stage3")
    start = tl.Network(backbone, 3, layer="stage3", head="conv")
    new = {name for name, _ in start.named_parameters() if name.startswith("head.")}
    new |= {f"head.{n}.{name}" for n in (1, 5) for name in ("running_mean", "running_var")}
    changed = {name for name in moved(state(start), network) if "num_batches" not in name}
    assert changed == new  # the head's BatchNorms learn


@pytest.mark.parametrize(
    ("head", "options", "layer", "pool"),
    [
        ("conv", {}, "stage4", "none"),
        ("linear", {}, "embedding", "mean"),
        ("linear", {"layer": "stage2", "pool": "max"}, "stage2", "max"),
        (ConvHead(48, 3, width=8), {}, "stage4", "none"),
        (nn.Sequential(nn.Flatten(), nn.Linear(48 * 16, 3)), {"pool": "none"}, "stage4", "none"),
        (nn.Sequential(nn.Linear(256, 4), nn.ReLU(), nn.Linear(4, 3)), {}, "embedding", "mean"),
    ],
)
@pytest.mark.parametrize("augment", [False, True])
def test_a_frozen_body_takes_any_head_and_is_scored_as_the_whole_network(
    backbone, task, head, options, layer, pool, augment
):
    head = copy.deepcopy(head)
    result = patterns.frozen_extractor(
        backbone, task, head=head, augment=augment, progress=False, epochs=1, **options
    )
    network = result.backbone.model
    assert (result.layer, network.layer, network.pool) == (layer, layer, pool)
    assert isinstance(head, str) or network.head is head
    whole, _ = predict_split(result.backbone, task.test, progress=False)
    assert result.predicted["test"].tolist() == whole.argmax(axis=1).tolist()


def test_without_augmentation_a_head_on_maps_learns_as_in_plain_pytorch(task):
    """The maps are stored, so this is one batch of them per epoch and AdamW."""
    backbone = tiny_backbone()
    options = {"label_smoothing": 0, "warmup": 0, "weight_decay": 0.0, "learning_rate": 1e-3}
    result = patterns.frozen_extractor(
        backbone, task, augment=False, epochs=1, batch_size=18, progress=False, **options
    )
    start = tl.Network(backbone, 3, layer="stage4", head="conv")
    pictures, labels = tensors(backbone, task.train)
    maps = tl.activations(backbone, pictures, "stage4")["stage4"]
    assert maps.shape == (18, 48, 4, 4)
    optimiser = torch.optim.AdamW(start.head.parameters(), lr=1e-3, weight_decay=0)
    start.head.train()
    nn.functional.cross_entropy(start.head(maps), labels).backward()
    optimiser.step()
    for name, tensor in start.head.state_dict().items():
        found = result.backbone.model.head.state_dict()[name]
        # AdamW's first step has the size of the rate, whatever the gradient's size.
        close = torch.isclose(found, tensor, atol=1e-4).float().mean()
        assert close > 0.98, name


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"layer": "embedding"}, CourseError, r"needs maps \(C, H, W\), but .*'embedding' gives"),
        ({"head": "convolution"}, UnknownNameError, "no head 'convolution'. Nearest: conv"),
        ({"head": "linear", "pool": "none"}, CourseError, "A linear head needs vectors, but"),
        ({"head": nn.Linear(7, 3)}, CourseError, "does not take the 256 numbers"),
        ({"head": nn.Conv2d(7, 3, 1), "pool": "none"}, CourseError, r"the values \(48, 4, 4\)"),
    ],
)
def test_a_head_that_the_layer_does_not_suit_is_told(task, options, error, said):
    with pytest.raises(error, match=said):
        patterns.frozen_extractor(tiny_backbone(), task, progress=False, **options)


def test_a_network_without_maps_is_told_to_take_a_linear_head(task):
    with pytest.raises(CourseError, match=r'has no maps for a .* Take head="linear"'):
        patterns.frozen_extractor(tiny_backbone("vit"), task, progress=False)


def test_fine_tuning_begins_with_the_probes_head_unless_told(backbone, task):
    still = {"epochs": 1, "learning_rate": 1e-12, "progress": False}  # so nothing moves
    x, y = (found.copy() for found in tl.extract_features(backbone, task).of("train"))
    x_val, y_val = tl.extract_features(backbone, task).of("val")
    probe = fit_probe(x, y, x_val, y_val).as_head()
    random = tl.Network(backbone, 3, seed=5).head
    for head_first, expected in ((True, probe), (False, random)):
        result = patterns.fine_tune(backbone, task, head_first=head_first, seed=5, **still)
        head = result.backbone.model.head
        torch.testing.assert_close(head.weight, expected.weight, rtol=0, atol=1e-6)
    assert not torch.allclose(probe.weight, random.weight, atol=1e-2)


def test_fine_tuning_moves_what_is_not_frozen(results, backbone):
    network = results["fine_tune"].backbone.model
    assert network.frozen_until == "stage2"
    old, new = state(backbone.model), network.body.state_dict()
    frozen = ("conv_stem.", "bn1.", "blocks.0.", "blocks.1.")
    parameters = {name for name, _ in network.body.named_parameters()}
    changed = {name for name in new if not torch.equal(new[name], old[name])}
    assert changed == {name for name in parameters if not name.startswith(frozen)}


def test_training_from_scratch_forgets_the_weights_and_follows_from_the_seed(backbone, task):
    options = {"epochs": 1, "learning_rate": 1e-3, "progress": False}
    made = [patterns.from_scratch(backbone, task, seed=s, **options) for s in (0, 0, 1)]
    stems = [result.backbone.model.body.conv_stem.weight for result in made]
    assert torch.equal(stems[0], stems[1])
    assert not torch.allclose(stems[0], stems[2], atol=0.05)
    assert not torch.allclose(stems[0], backbone.model.conv_stem.weight, atol=0.05)
    start = tl.Network(backbone, 3, seed=0, random_weights=True)
    assert "body.bn1.running_mean" in moved(state(start), made[0].backbone.model)


def test_the_sentence_of_a_training_that_ended_early_is_in_the_result(backbone, task):
    wrong = make_task(wrong_val=True)
    result = patterns.fine_tune(
        backbone, wrong, epochs=6, patience=1, learning_rate=0.01, batch_size=6, progress=False
    )
    assert result.note == result.history.stopped != ""


@pytest.mark.parametrize("rate", [1e-12, 0.3, 1e30])
def test_fine_tuning_is_never_worse_on_validation_than_its_own_start(backbone, task, rate):
    start = patterns.standalone_extractor(backbone, task, progress=False)
    result = patterns.fine_tune(
        backbone, task, body_rate=rate, epochs=2, batch_size=6, warmup=0, progress=False
    )
    assert result.val_accuracy >= start.val_accuracy > 1 / 3
    if rate == 1e30:  # nothing that came after was of use, so it is the start
        assert result.history.best_epoch == 0
        assert not moved(state(start.backbone.model), result.backbone.model)


def test_a_network_that_a_huge_rate_has_broken_is_not_what_a_pattern_returns(backbone, task):
    result = patterns.fine_tune(
        backbone, task, body_rate=1e30, epochs=2, batch_size=18, warmup=0, progress=False
    )
    assert "loss was" in result.note
    assert all(t.isfinite().all() for t in result.backbone.model.state_dict().values())
    assert np.isfinite(result.predict(Image.new("RGB", (64, 64)))["probability"]).all()


def test_stored_logits_of_one_mapping_are_not_taken_for_those_of_another(backbone, task):
    found = []
    for names in (("ant", "bee", "goldfish"), ("bee", "goldfish", "ant")):
        mapping = {c: [n] for c, n in zip(task.classes, names, strict=True)}
        view = patterns.classifier(backbone, task, mapping=mapping, progress=False).backbone
        found.append(tl.extract_features(view, task.test, "logits", progress=False).x["logits"])
    np.testing.assert_allclose(found[1], found[0][:, [1, 2, 0]], atol=1e-5)
    assert not np.allclose(found[0], found[1])


# --- memory, and what is kept of each picture ---


def test_the_memory_of_a_training_is_that_of_its_largest_step(results):
    for name in ("frozen_extractor", "fine_tune", "from_scratch"):
        assert results[name].peak_bytes == results[name].history.peak_bytes
    network = copy.deepcopy(results["fine_tune"].backbone.model)
    freeze(network, "stage2")
    step = training_account(network.train(), (3, 64, 64), FIT["batch_size"]).bytes.total
    assert results["fine_tune"].peak_bytes >= step > 0
    assert results["from_scratch"].peak_bytes > step  # nothing is frozen there


def test_the_memory_of_a_pattern_that_trains_nothing_is_that_of_its_pass(results, backbone):
    batch = fast_batch_size(backbone)
    whole = forward_account(backbone.model, (3, 64, 64), batch).bytes.total
    assert results["classifier"].peak_bytes == whole
    network = results["standalone_extractor"].backbone.model  # it ends at stage 4
    part = forward_account(network, (3, 64, 64), batch).bytes.total
    assert results["standalone_extractor"].peak_bytes == part < whole


def test_a_probe_counts_its_tables_where_they_are_more(backbone, task, monkeypatch):
    result = patterns.standalone_extractor(backbone, task, layer="stage4", progress=False)
    weights = sum(p.nbytes for p in result.backbone.model.parameters())
    monkeypatch.setattr(account, "forward_account", lambda *_: Account(Bytes(weights, *5 * [0]), 0))
    n = sum(map(sum, COUNTS.values()))
    tables = 48 * (n * 4 + 18 * 2 * 8)  # as read, and the training rows twice in double precision
    assert result.peak_bytes == weights + tables


def test_memory_is_counted_when_asked_for_and_stays_what_it_was(task, monkeypatch):
    """However the network is changed after the training, and whether it is kept or not."""
    counted = []

    def count(*given):
        counted.append(1)
        return forward_account(*given)

    monkeypatch.setattr(account, "forward_account", count)
    monkeypatch.setattr(fit, "forward_account", count)
    for name, options in OPTIONS.items():
        made = getattr(patterns, name)(tiny_backbone(), task, progress=False, **options)
        dropped = replace(made, made=None)
        assert f"{made}"  # which says nothing of memory
        assert counted == []
        expected = dropped.peak_bytes
        assert len(counted) == 1
        if name == "fine_tune":
            freeze(made.backbone.model, None)
        assert made.peak_bytes == made.peak_bytes == expected > 0
        counted.clear()


def test_counting_memory_does_not_keep_a_network_alive(task):
    result = patterns.fine_tune(tiny_backbone(), task, progress=False, **OPTIONS["fine_tune"])
    network = weakref.ref(result.backbone.model)
    dropped = replace(result, made=None)
    del result
    gc.collect()
    assert network() is None
    assert dropped.peak_bytes > 0
    again = pickle.loads(pickle.dumps(dropped.history))
    assert again.peak_bytes == dropped.peak_bytes


@pytest.mark.parametrize("name", OPTIONS)
def test_the_memory_does_not_depend_on_what_else_the_process_holds(results, backbone, task, name):
    ballast = np.ones(300 * 2**20, np.uint8)
    again = getattr(patterns, name)(backbone, task, progress=False, **OPTIONS[name])
    assert ballast[-1] == 1
    assert again.peak_bytes == results[name].peak_bytes


@pytest.mark.parametrize("name", OPTIONS)
def test_what_each_picture_was_taken_for_is_kept(results, task, name):
    result = results[name]
    assert set(result.predicted) == {"val", "test"}
    for name in ("val", "test"):
        pictures, found = getattr(task, name), result.predicted[name]
        expected = [CLASSES.index(result.predict(p)["class"][0]) for p, _ in pictures]
        assert found.tolist() == expected
    right = result.predicted["test"] == task.test.labels
    assert right.mean() == pytest.approx(result.test_accuracy)


@pytest.mark.parametrize("name", OPTIONS)
def test_of_a_split_without_pictures_nothing_is_kept(backbone, task, name):
    alone = without(task, "test")
    result = getattr(patterns, name)(backbone, alone, progress=False, **OPTIONS[name])
    assert (len(result.predicted["val"]), len(result.predicted["test"])) == (6, 0)


@pytest.mark.parametrize(("layer", "pool"), [("stage3", "max"), ("embedding", "mean")])
def test_a_head_on_stored_features_gives_the_logits_of_the_whole_network(
    backbone, task, layer, pool
):
    network = tl.Network(backbone, 3, layer=layer, pool=pool, seed=3)
    freeze(network, layer)
    with torch.no_grad():
        network.head.weight.mul_(10)  # so that a mistake is larger than the tolerance
    features = tl.extract_features(backbone, task, layer, pool=pool, progress=False)
    found = {part: reuse._head_logits(network, features, part) for part in ("val", "test")}
    view = network.as_backbone(task.classes)
    assert (len(found["val"]), len(found["test"])) == (6, 9)
    for part, logits in found.items():
        whole, _ = predict_split(view, getattr(task, part), progress=False)
        assert np.ptp(logits, axis=0).min() > 0.1
        # The whole network is folded and computes in other batches; the rest is rounding.
        np.testing.assert_allclose(logits, whole, rtol=1e-4, atol=1e-4)


def test_a_frozen_body_is_not_run_again_to_count_what_is_right(backbone, task, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the pictures were predicted again")

    expected = patterns.frozen_extractor(
        backbone, task, progress=False, **OPTIONS["frozen_extractor"]
    )
    monkeypatch.setattr(reuse, "predict_split", never)
    again = patterns.frozen_extractor(backbone, task, progress=False, **OPTIONS["frozen_extractor"])
    assert again.predicted["test"].tolist() == expected.predicted["test"].tolist()
    with pytest.raises(AssertionError, match="predicted again"):  # where the body moved, it must be
        patterns.fine_tune(backbone, task, progress=False, **OPTIONS["fine_tune"])


@pytest.mark.parametrize("augment", [False, True])
def test_the_features_of_a_task_are_asked_for_once_in_a_training(
    backbone, task, augment, monkeypatch
):
    """Not once for each split, and once more for the pictures that are counted."""
    asked = []

    def extract(backbone, pictures, *layers, **options):
        asked.append(pictures)
        return extract_features(backbone, pictures, *layers, **options)

    monkeypatch.setattr(data, "extract_features", extract)
    monkeypatch.setattr(reuse, "extract_features", extract)
    options = OPTIONS["frozen_extractor"] | {"augment": augment}
    for seed in range(3):
        patterns.frozen_extractor(backbone, task, progress=False, seed=seed, **options)
    assert asked == [task] * 3


def test_a_folder_of_pictures_is_decoded_twice_and_no_more(tmp_path, monkeypatch):
    """Once to see whether a file is whole, once for its features."""
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cache"))
    for place, (picture, label) in enumerate(split((6, 6, 6), 0)):
        path = tmp_path / "mine" / CLASSES[label] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    opened = []
    load = PngImageFile.load

    def decode(picture):
        if picture.tile:
            opened.append(picture)
        return load(picture)

    monkeypatch.setattr(PngImageFile, "load", decode)
    task = tl.load_task(tmp_path / "mine")
    patterns.frozen_extractor(tiny_backbone(), task, progress=False, augment=False, epochs=2)
    assert 18 <= len(opened) <= 2 * 18


def test_a_body_that_moved_and_was_frozen_at_the_end_is_judged_as_it_is_now(task):
    plan = {1: None, 2: "embedding"}
    options = {"unfreeze": plan, "epochs": 2, "learning_rate": 0.01, "body_rate": 0.01}
    result = patterns.fine_tune(tiny_backbone(), task, progress=False, batch_size=6, **options)
    expected, _ = predict_split(result.backbone, task.test, progress=False)
    assert result.predicted["test"].tolist() == expected.argmax(axis=1).tolist()
