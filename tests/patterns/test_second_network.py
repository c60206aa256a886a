"""All that takes a network takes the second one too: BGR pixels up to 255, and no BatchNorm."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tasks import make_task, moved, state

import tlcourse as tl
from tlcourse import patterns
from tlcourse.engines.pytorch import fast_copy
from tlcourse.networks.account import forward_account, training_account
from tlcourse.networks.network import Network
from tlcourse.networks.tail import tail_behind
from tlcourse.widgets.predictions import Change, alter, grey

FIT = {"epochs": 1, "batch_size": 6, "progress": False}
CALLS = {
    "classifier": {"progress": False},
    "standalone_extractor": {"layer": "stage5", "pool": "max", "progress": False},
    "frozen_extractor": {"augment": False, **FIT},
    "fine_tune": {"freeze_until": "stage6", **FIT},
    "from_scratch": {"augment": True, **FIT},
}


@pytest.fixture(scope="module")
def backbone():
    return tl.load_backbone("squeezenet1_1", device="cpu").at_size(64)


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.mark.parametrize("pattern", CALLS)
def test_each_pattern_works_leaves_it_as_it_was_and_can_be_saved(backbone, task, pattern, tmp_path):
    before = state(backbone.model)
    result = getattr(patterns, pattern)(backbone, task, **CALLS[pattern])
    assert not moved(before, backbone.model)
    assert result.applicable
    picture, _ = task.test[0]
    table = result.predict(picture)
    assert np.isfinite(table["probability"]).all()
    loaded = tl.load_result(result.save(tmp_path / "saved"), device="cpu")
    assert loaded.backbone.preprocess == backbone.preprocess
    again = loaded.predict(picture)
    assert list(again["class"]) == list(table["class"])
    np.testing.assert_allclose(again["probability"], table["probability"], rtol=1e-3, atol=1e-6)


def test_a_saved_result_is_not_read_with_pixels_of_another_order(backbone, task, tmp_path):
    folder = patterns.standalone_extractor(backbone, task, progress=False).save(tmp_path / "x")
    about = folder / "model.json"
    about.write_text(about.read_text("utf-8").replace('"BGR"', '"RGB"'), "utf-8")
    with pytest.raises(tl.CourseError, match="another preprocessing"):
        tl.load_result(folder, device="cpu")


def test_stored_features_know_the_order_of_the_channels(backbone, task):
    first = tl.extract_features(backbone, task.test, "stage3", progress=False)
    preprocess = replace(backbone.preprocess, channels="RGB")  # says so, though it does the same
    other = replace(backbone, preprocess=preprocess)
    second = tl.extract_features(other, task.test, "stage3", progress=False)
    assert second.seconds != first.seconds  # it was computed, not read
    again = tl.extract_features(backbone, task.test, "stage3", progress=False)
    assert again.seconds == first.seconds


def test_its_features_are_those_of_plain_pytorch(backbone, task):
    pictures = [task.test[i][0] for i in range(3)]
    batch = torch.stack([backbone.preprocess(picture) for picture in pictures])
    values = tl.activations(backbone, pictures, backbone.layers)
    with torch.no_grad():
        maps = backbone.model.features(batch)
        torch.testing.assert_close(values["embedding"], maps.mean(dim=(2, 3)))
        torch.testing.assert_close(values["logits"], backbone.model.classifier(maps).flatten(1))
        torch.testing.assert_close(values["stem"], backbone.model.features[0](batch))
    features = tl.extract_features(backbone, task.test, "embedding", cache=False, progress=False)
    torch.testing.assert_close(
        torch.from_numpy(features.x["embedding"][:3]), values["embedding"], rtol=1e-4, atol=1e-3
    )


def test_without_batchnorm_there_is_nothing_to_fold_and_the_copy_gives_the_same(backbone, task):
    fast = fast_copy(backbone, backbone.layers)
    picture, _ = task.test[0]
    for name, value in tl.activations(fast, picture, backbone.layers).items():
        expected = tl.activations(backbone, picture, name)[name]
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-3)


def test_it_can_be_taken_apart_behind_each_stage(backbone):
    network = Network(backbone, 3)
    batch = 50 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for layer in ("stage2", "stage5", "stage8"):
        behind = tail_behind(network, layer)
        assert behind is not None
        given = tl.activations(backbone, batch, layer)[layer]
        with torch.no_grad():
            torch.testing.assert_close(behind[0](given), network(batch), rtol=1e-4, atol=1e-3)


def test_its_bytes_are_counted(backbone):
    network = Network(backbone, 3)
    n = sum(p.numel() for p in network.parameters())
    forward = forward_account(network, (3, 64, 64), 2)
    step = training_account(network, (3, 64, 64), 2)
    assert forward.bytes.parameters == step.bytes.gradients == 4 * n
    assert forward.bytes.buffers == 0
    assert 2 * forward.operations < step.operations < 3 * forward.operations


def test_its_answers_are_explained(backbone, task):
    picture, _ = task.test[0]
    for method in ("grad_cam", "integrated_gradients", "occlusion"):
        values = tl.attribute(backbone, picture, "tabby", method=method)
        assert values.shape == (64, 64)
        assert np.isfinite(values).all()
    ways = tl.attribute(backbone, picture, "tabby", method="integrated_gradients", steps=200)
    ends = torch.stack([backbone.preprocess(picture), torch.zeros(3, 64, 64)])
    logits = tl.activations(backbone, ends, "logits")["logits"][:, backbone.classes.index("tabby")]
    assert ways.sum() == pytest.approx(float(logits[0] - logits[1]), abs=0.3)


def test_which_patches_excite_its_channels(backbone, task):
    found = tl.excitations(backbone, task.train.take(range(6)), "stage2")["stage2"]
    assert found.strongest.shape[0] == 6
    assert np.isfinite(found.strongest).all()


def test_layers_are_compared_by_probes(backbone, task):
    features = tl.extract_features(
        backbone, task, ["stage2", "stage8", "embedding"], progress=False
    )
    probes = tl.probe_layers(features, folds=3, progress=False)
    assert all(0 <= accuracy <= 1 for accuracy in probes.accuracy.values())


def test_explorers_show_the_picture_and_cover_it_with_the_grey_that_is_zero(backbone, task):
    assert grey(backbone.preprocess) == (124, 117, 104)  # red, green, blue of ImageNet's mean
    picture, _ = task.test[0]
    covered = alter(picture, backbone.preprocess, Change(cover=1.0))
    assert backbone.preprocess(covered)[:, 8:-8, 8:-8].abs().max() < 0.5  # a grey level is 1
    for explorer in (
        tl.widgets.explore_predictions(backbone, {"one": picture}),
        tl.widgets.explore_layers(backbone, {"one": picture}, reference=task.train),
    ):
        assert explorer.children


def test_a_preparation_with_red_and_blue_exchanged_is_found(backbone, task):
    picture, _ = task.train[0]
    less = torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)

    def prepare(picture, order):
        side = picture.resize((76, 64), Image.Resampling.BILINEAR).crop((6, 0, 70, 64))
        values = torch.from_numpy(np.array(side, np.float32)).permute(2, 0, 1)
        return values[order] - less

    tl.proofs.preprocessing_matches(backbone, lambda p: prepare(p, [2, 1, 0]), picture)
    with pytest.raises(tl.CourseError, match="BGR"):
        tl.proofs.preprocessing_matches(backbone, lambda p: prepare(p, [0, 1, 2]), picture)


def test_fine_tuning_lowers_the_loss(backbone, task):
    options = FIT | {"epochs": 4, "head_first": False, "augment": False}
    losses = patterns.fine_tune(backbone, task, **options).history.table["train_loss"]
    assert losses.iloc[-1] < 0.8 * losses.iloc[0]
