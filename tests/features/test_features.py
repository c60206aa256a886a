"""The features that come with the course are those of the photographs, complete and well labelled."""

import os

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.special import softmax
from tiny_features import TinyNet, as_backbone, noise_split

import tlcourse as tl
from tlcourse.errors import UnknownNameError
from tlcourse.features import store


@pytest.fixture(scope="module")
def shipped():
    return tl.load_features("hymenoptera")


def test_every_layer_of_every_picture_is_there(shipped):
    backbone = tl.load_backbone()
    assert tuple(shipped.x) == backbone.layers[:-1]
    shapes = tl.layer_table(backbone)["output"]
    for name, x in shipped.x.items():
        assert x.shape == (len(shipped.y), shapes[name][0])
        assert x.dtype == np.float32
        assert np.isfinite(x).all()
    assert shipped.logits.shape == (len(shipped.y), 1000)
    assert len(set(shipped.names)) == len(shipped.names) == len(shipped.split)


def test_labels_mean_what_the_folders_say(shipped):
    assert shipped.classes == ("ants", "bees")
    for name, label in zip(shipped.names, shipped.y, strict=True):
        assert name.split("/")[-2] == shipped.classes[label]
    # The network's own opinion is independent evidence for the labels and their order.
    probability = softmax(shipped.logits, axis=1)
    assert probability[shipped.y == 0, 310].mean() > probability[shipped.y == 1, 310].mean()
    assert probability[shipped.y == 1, 309].mean() > probability[shipped.y == 0, 309].mean()


def test_the_logits_follow_from_the_embedding_by_the_last_layer(shipped):
    head = tl.load_backbone(device="cpu").model.classifier
    expected = shipped.x["embedding"] @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    # 1280 products of numbers with 3 decimal digits: 16-bit rounding leaves a few hundredths.
    np.testing.assert_allclose(shipped.logits, expected, atol=0.05)


def test_random_weights_differ_by_seed_and_have_no_logits():
    sets = [tl.load_features("hymenoptera", weights=f"random{i}") for i in range(3)]
    assert all(s.logits is None for s in sets)
    assert not np.array_equal(sets[0].x["embedding"], sets[1].x["embedding"])
    assert not np.array_equal(sets[1].x["embedding"], sets[2].x["embedding"])
    assert all((s.x["embedding"].std(axis=0) > 0).any() for s in sets)


# --- the photographs' pixels, turned ---


def test_shipped_pixels_belong_to_the_same_pictures(shipped):
    found = tl.load_features("hymenoptera", "pixels")
    assert list(found.x) == ["pixels"]
    assert found.x["pixels"].shape == (len(shipped.y), len(shipped.y) - 1)
    assert found.x["pixels"].dtype == np.float32
    assert np.array_equal(found.y, shipped.y)
    assert np.array_equal(found.split, shipped.split)
    assert found.names == shipped.names
    assert found.logits is None
    assert "32 x 32 x 3" in found.source


def test_no_number_of_the_shipped_pixels_stands_for_a_place_or_a_main_direction():
    x = tl.load_features("hymenoptera", "pixels").x["pixels"]
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=5e-3 * x.std())
    spread = x.std(axis=0)
    assert spread.max() < 5 * spread.min()  # each axis has a share of every direction
    directions = np.linalg.svd(x, compute_uv=False)
    assert directions[0] > 50 * directions[-2]  # the directions themselves are very unequal


@pytest.mark.skipif("TLCOURSE_DATA" not in os.environ, reason="TLCOURSE_DATA names no photographs")
def test_shipped_pixels_have_the_distances_and_answers_of_the_photographs_pixels():
    found, real = (
        tl.load_features("hymenoptera", "pixels"),
        tl.raw_pixels(tl.load_task("hymenoptera")),
    )
    assert real.names == found.names
    # 16-bit numbers have three decimal digits.
    np.testing.assert_allclose(pdist(found.x["pixels"]), pdist(real.x["pixels"]), rtol=1e-3)
    answers = [tl.probe_layers(f, progress=False).right["pixels"] for f in (found, real)]
    assert (answers[0] != answers[1]).mean() < 0.01


def test_wrong_names_are_answered_with_the_right_ones():
    with pytest.raises(UnknownNameError, match="hymenoptera"):
        tl.load_features("hymenopteras")
    with pytest.raises(UnknownNameError, match="imagenet"):
        tl.load_features(weights="imagenets")
    with pytest.raises(UnknownNameError, match="pixels"):
        tl.load_features("hymenoptera", "pixel")
    with pytest.raises(UnknownNameError, match="Known: pixels"):
        tl.load_features("hymenoptera", "pixels").of("train")


@pytest.mark.skipif("TLCOURSE_DATA" not in os.environ, reason="TLCOURSE_DATA names no photographs")
def test_they_are_what_the_photographs_give_today(shipped):
    task, backbone = tl.load_task("hymenoptera"), tl.load_backbone(device="cpu")
    for name in ("train", "val", "test"):
        split = getattr(task, name)
        assert list(split.names) == list(np.array(shipped.names)[shipped.split == name])
        assert np.array_equal(split.labels, shipped.y[shipped.split == name])
    picture, _ = task.val[7]
    row = np.flatnonzero(shipped.split == "val")[7]
    values = tl.activations(backbone, picture, ["stage3", "logits"])
    mean = values["stage3"].mean(dim=(2, 3))[0].numpy()
    np.testing.assert_allclose(shipped.x["stage3"][row], mean, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(shipped.logits[row], values["logits"][0].numpy(), atol=2e-2)


def test_where_a_mapped_file_cannot_be_deleted_features_are_copied(tmp_path, monkeypatch):
    """So it is on Windows. What is read is the same."""
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path))
    options = {"batch_size": 2, "progress": False}
    found = []
    for copies in (False, True):
        monkeypatch.setattr(store, "_COPIES", copies)
        split = noise_split(range(4))
        found.append(
            tl.extract_features(as_backbone(TinyNet()), split, "stem", **options).x["stem"]
        )
    mapped, copied = found
    assert np.array_equal(mapped, copied)
    assert isinstance(mapped, np.memmap)
    assert not isinstance(copied, np.memmap)
    assert copied.flags.owndata
