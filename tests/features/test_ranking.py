"""Networks are ordered by the training pictures alone, and stay as they were."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_tasks import make_task, tiny_backbone, without

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.features.features import extract_features
from tlcourse.features.transferability import h_score, logme


def networks():
    return {"first": tiny_backbone("efficientnet"), "second": tiny_backbone("resnet")}


@pytest.mark.parametrize(("by", "score"), [("logme", logme), ("h_score", h_score)])
def test_the_score_is_that_of_the_training_pictures_features(by, score):
    task = make_task()
    table = tl.rank_backbones(task, networks(), by, progress=False)
    assert table["score"].is_monotonic_decreasing
    for name, backbone in networks().items():
        x = extract_features(backbone, task.train, progress=False).x["embedding"]
        assert table["score"][name] == pytest.approx(score(x, task.train.labels))
        assert table["layer"][name] == "embedding"
        before = sum(
            p.numel() for n, p in backbone.model.named_parameters() if "classifier" not in n
        )
        if name == "first":
            assert table["parameters"][name] == before
        assert table["megabytes"][name] == pytest.approx(4e-6 * table["parameters"][name])
        assert table["pixels"][name] == 64
        assert table["milliseconds"][name] > 0


def test_the_probe_is_a_share_of_right_training_pictures_and_takes_no_test_picture():
    task = make_task()
    table = tl.rank_backbones(task, networks(), "probe", progress=False)
    assert set(np.round(table["score"] * 18, 6) % 1) == {0}  # of 18 pictures
    closed = tl.rank_backbones(without(task, "val", "test"), networks(), "probe", progress=False)
    assert closed["score"].equals(table["score"])


def test_without_a_layer_each_network_shows_its_best():
    task, backbone = make_task(), tiny_backbone("resnet")
    layers = list(backbone.layers[:-1])
    features = extract_features(backbone, task.train, layers, progress=False)
    scores = {name: logme(x, features.y) for name, x in features.x.items()}
    table = tl.rank_backbones(task, networks(), layer=None, progress=False)
    assert table["layer"]["second"] == max(scores, key=scores.get)
    assert table["score"]["second"] == pytest.approx(max(scores.values()))


def test_networks_are_not_touched():
    found = networks()
    before = {k: {n: t.clone() for n, t in b.model.state_dict().items()} for k, b in found.items()}
    tl.rank_backbones(make_task(), found, progress=False)
    for name, backbone in found.items():
        for key, tensor in backbone.model.state_dict().items():
            assert torch.equal(tensor, before[name][key])
        for module in backbone.model.modules():
            assert not module.training
            assert not module._forward_hooks
            assert not module._forward_pre_hooks


def test_names_are_loaded_and_networks_of_one_name_are_told_apart_by_a_dict():
    task = make_task()
    one, other = tiny_backbone("resnet"), tiny_backbone("efficientnet")
    assert set(tl.rank_backbones(task, [one, other], progress=False).index) == {
        "timm/test_resnet",
        "timm/test_efficientnet",
    }
    with pytest.raises(CourseError, match=r"Two networks are called 'timm/test_resnet'.*random"):
        tl.rank_backbones(task, [one, one.at_size(96)], progress=False)


@pytest.mark.parametrize("few", [[], {}, ["squeezenet1_1"], "squeezenet1_1"])
def test_a_ranking_of_one_network_is_one_sentence(few):
    with pytest.raises(CourseError, match="at least two networks"):
        tl.rank_backbones(make_task(), few)


def test_a_single_backbone_is_one_network_too():
    with pytest.raises(CourseError, match="at least two networks to compare, but got 1"):
        tl.rank_backbones(make_task(), tiny_backbone())


def test_other_wrong_input_is_one_sentence():
    task = make_task()
    with pytest.raises(UnknownNameError, match="logme"):
        tl.rank_backbones(task, networks(), "log_me")
    with pytest.raises(UnknownNameError, match="stage"):
        tl.rank_backbones(task, networks(), layer="stage99", progress=False)
    with pytest.raises(UnknownNameError, match="efficientnet_lite0"):
        tl.rank_backbones(task, ["efficientnet_lite", "squeezenet1_1"])
    few = replace(task, train=task.train.take([0, 1, 6, 7, 12, 13]))
    with pytest.raises(CourseError, match="5 folds need"):
        tl.rank_backbones(few, networks(), "probe")
