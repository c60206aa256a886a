"""Extracted features are the network's own, computed once, and never those of something else."""

import copy
import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_features import TinyNet, as_backbone, noise, noise_split, run, stir, with_mean
from torch import nn
from torchvision import transforms

import tlcourse as tl
from tlcourse.errors import CourseError, PictureError, UnknownNameError
from tlcourse.features.features import Features
from tlcourse.networks.layers import Layer
from tlcourse.networks.tap import pool_positions
from tlcourse.tasks.split import Split
from tlcourse.tasks.task import Task

POOLED = {
    "mean": lambda value, axes: value.mean(axes),
    "max": lambda value, axes: value.amax(axes),
    "none": lambda value, axes: value,
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny():
    return as_backbone(TinyNet())


@pytest.fixture
def opened():
    """Numbers of the pictures that were opened so far."""
    return []


@pytest.fixture
def split(opened):
    return noise_split(range(6), opened)


def extract(backbone, pictures, layers="embedding", **options):
    return tl.extract_features(backbone, pictures, layers, **{"progress": False, **options})


def plain_loop(backbone, split, layer, pool="mean"):
    """Return the features that the network itself gives, one picture after the other."""
    rows = []
    for picture, _ in split:
        value = tl.activations(backbone, backbone.preprocess(picture), layer)[layer][0]
        axes = {1: (), 2: (0,), 3: (1, 2)}[value.ndim]  # vectors, tokens (T, C), maps (C, H, W)
        rows.append(POOLED[pool](value, axes) if axes else value)
    return torch.stack(rows).numpy()


def assert_close(found, expected):
    """Equal up to 1e-4 of the largest value: a folded BatchNorm rounds in another order."""
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


# Values


@pytest.mark.parametrize("pool", ["mean", "max", "none"])
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("timm/test_efficientnet", ["logits", "stem", "stage3", "embedding"]),
        ("timm/test_resnet", ["stem", "stage1", "stage4"]),
        ("timm/test_vit", ["stage2", "embedding", "stage6"]),
    ],
)
def test_values_are_those_of_a_plain_loop_pooled_by_hand(name, layers, pool):
    backbone = tl.load_backbone(name, pretrained=False, device="cpu").at_size(64)
    stir(backbone.model)
    split = noise_split(range(5))
    found = extract(backbone, split, layers, pool=pool, batch_size=2)
    assert list(found.x) == layers  # all in one pass, in the order asked for
    for layer, x in found.x.items():
        assert_close(x, plain_loop(backbone, split, layer, pool))
        assert len(np.unique(x.reshape(5, -1), axis=0)) == 5  # the pictures are told apart
    in_memory = extract(backbone, split, layers, pool=pool, batch_size=2, cache=False)
    for layer, x in found.x.items():
        assert np.array_equal(in_memory.x[layer], x)


def test_the_default_network_gives_what_a_plain_loop_gives():
    backbone = tl.load_backbone(device="cpu")
    split = noise_split(range(3), open_item=lambda i: noise(i, (300, 260)))
    found = extract(backbone, split, ["stem", "stage3", "embedding", "logits"])
    for layer, x in found.x.items():
        assert_close(x, plain_loop(backbone, split, layer))


def test_the_batch_size_does_not_change_the_values(tiny, split):
    one_by_one = extract(tiny, split, ["stem", "logits"], batch_size=1, cache=False)
    at_once = extract(tiny, split, ["stem", "logits"], batch_size=6, cache=False)
    for layer, x in at_once.x.items():
        assert_close(one_by_one.x[layer], x)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 16, 5, 5), (2, 3)),  # maps
        ((2, 5, 5, 16), (1, 2)),  # what a Swin transformer gives
        ((2, 16, 1, 1), (2, 3)),
        ((2, 1, 1, 16), (1, 2)),
        ((2, 9, 16), (1,)),  # tokens
        ((2, 16), ()),
    ],
)
def test_pooling_leaves_the_channels_whatever_their_axis(shape, axes):
    value = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for pool, by_hand in POOLED.items():
        expected = by_hand(value, axes) if axes else value
        assert torch.equal(pool_positions(value, pool), expected)


# Whose features


def save_pictures(folder):
    for i in range(12):
        place = folder / ("ants", "bees")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        noise(i).save(place / f"{i:02d}.png")
    return folder


def test_each_row_is_of_the_picture_that_it_names_with_its_label_and_split(tiny, tmp_path):
    folder = save_pictures(tmp_path / "insects")
    task = tl.load_task(folder)
    found = extract(tiny, task)
    assert found.classes == ("ants", "bees")
    assert found.y.dtype == np.int64
    assert list(found.split) == ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    assert len(set(found.names)) == 12
    for row, (name, label) in enumerate(zip(found.names, found.y, strict=True)):
        assert name.startswith(found.classes[label] + "/")
        picture = tl.open_picture(folder / name)
        value = tl.activations(tiny, picture, "embedding")["embedding"].numpy()
        np.testing.assert_allclose(found.x["embedding"][row], value[0], rtol=0, atol=1e-4)
    for name in ("train", "val", "test"):
        x, y = found.of(name)
        assert np.array_equal(y, getattr(task, name).labels)
        assert np.array_equal(x, found.x["embedding"][found.split == name])
    assert "12 pictures (train 8, val 2, test 2), classes ants, bees" in repr(found)
    assert "embedding 6" in repr(found)


def test_a_split_alone_is_called_all(tiny, split):
    found = extract(tiny, split, "stem")
    assert list(found.split) == ["all"] * 6
    assert found.classes == ()
    assert found.names == split.names
    x, y = found.of("all", "stem")
    assert np.array_equal(x, found.x["stem"])
    assert np.array_equal(y, split.labels)


def test_a_task_may_have_an_empty_split(tiny):
    empty, some = noise_split([]), noise_split(range(4))
    task = Task("t", "t", ("a", "b"), some, empty, noise_split([7]), (), "made", "none")
    found = extract(tiny, task)
    assert list(found.split) == ["train"] * 4 + ["test"]
    with pytest.raises(UnknownNameError, match=r"no split among these features 'val'"):
        found.of("val")


def test_parts_are_found_wherever_their_rows_are():
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    split = np.array(["train", "val", "train", "val", "test", "val"])
    mixed = Features({"stem": x}, np.arange(6), split, (), (), None, "made")
    values, labels = mixed.of("val", "stem")
    assert values.tolist() == [[2, 3], [6, 7], [10, 11]]
    assert labels.tolist() == [1, 3, 5]
    assert mixed.of("test", "stem")[1].tolist() == [4]


def test_wrong_parts_are_answered_with_the_right_ones(tiny, split):
    found = extract(tiny, split, ["stem", "embedding"])
    with pytest.raises(UnknownNameError, match=r"layer among these features 'blok'. Known: stem"):
        found.of("all", "blok")
    with pytest.raises(UnknownNameError, match=r"layer among .*'embeding'. Nearest: embedding"):
        found.of("all", "embeding")
    with pytest.raises(UnknownNameError, match=r"split among these features 'train'. Known: all"):
        found.of("train")


# The network is left alone


@pytest.mark.parametrize("use_cache", [True, False])
def test_the_network_and_the_random_numbers_are_left_as_they_were(tiny, split, use_cache):
    tiny.model.train()
    tiny.model.block.eval()  # a mixed state must come back as well
    tiny.model.head.weight.requires_grad_(False)
    noticed = []
    handle = tiny.model.norm.register_forward_hook(lambda *_: noticed.append(1))
    before, modes = state(tiny.model), [m.training for m in tiny.model.modules()]
    kinds, chance = [type(m) for m in tiny.model.modules()], torch.get_rng_state()
    extract(tiny, split, ["stem", "logits"], cache=use_cache)
    assert all(torch.equal(t, before[name]) for name, t in tiny.model.state_dict().items())
    assert [m.training for m in tiny.model.modules()] == modes
    assert [type(m) for m in tiny.model.modules()] == kinds
    assert list(tiny.model.norm._forward_hooks.values()) == [handle.hooks_dict_ref()[handle.id]]
    assert sum(len(m._forward_hooks) for m in tiny.model.modules()) == 1
    assert not any(m._forward_pre_hooks for m in tiny.model.modules())
    assert [p.requires_grad for p in tiny.model.head.parameters()] == [False, True]
    assert torch.equal(torch.get_rng_state(), chance)


def test_evaluation_mode_is_used_whatever_the_mode_was(tiny, split):
    evaluated = extract(tiny, split, cache=False).x["embedding"]
    tiny.model.train()
    assert np.array_equal(extract(tiny, split, cache=False).x["embedding"], evaluated)


def test_the_pass_stops_at_the_deepest_layer(tiny, split):
    reached = []
    for name in ("act", "block", "head"):
        module = tiny.model.get_submodule(name)
        module.register_forward_pre_hook(lambda *_, name=name: reached.append(name))
    extract(tiny, split, ["block.0", "stem"], cache=False)
    assert set(reached) == {"act", "block"}
    reached.clear()
    extract(tiny, split, ["stem"], cache=False)
    assert set(reached) == set()


# Computed once


def refuse(*_):
    raise AssertionError("the network was asked")


def test_a_second_request_computes_nothing(tiny, split, opened):
    first = extract(tiny, split, ["stem", "embedding"])
    assert sorted(opened) == list(range(6))
    tiny.model.register_forward_pre_hook(refuse)
    again = extract(tiny, split, ["embedding", "stem"])
    assert list(again.x) == ["embedding", "stem"]
    assert np.array_equal(extract(tiny, split, "stem").x["stem"], first.x["stem"])
    assert sorted(opened) == list(range(6))
    assert again.seconds == first.seconds > 0
    for layer, x in again.x.items():
        assert np.array_equal(x, first.x[layer])
    with pytest.raises(AssertionError, match="the network was asked"):
        extract(tiny, split, "block")


def made_elsewhere(cache, n):
    import os

    os.environ["TLCOURSE_CACHE"] = str(cache)
    opened = []
    backbone = tl.load_backbone("timm/test_efficientnet", pretrained=False, device="cpu")
    stir(backbone.model)
    extract(backbone.at_size(32), noise_split(range(n), opened))
    return len(opened)


def test_another_process_computes_nothing_either(cache):
    assert run(made_elsewhere, cache, 3) == (0, 3)
    assert run(made_elsewhere, cache, 3) == (0, 0)
    assert made_elsewhere(cache, 3) == 0
    assert made_elsewhere(cache, 4) == 4


def test_a_further_layer_is_computed_and_the_others_are_kept(tiny, split, opened):
    extract(tiny, split, "stem")
    found = extract(tiny, split, ["stem", "embedding"])
    assert sorted(opened) == sorted(2 * [*range(6)])
    assert_close(found.x["embedding"], plain_loop(tiny, noise_split(range(6)), "embedding"))
    extract(tiny, split, ["stem", "embedding"])
    assert len(opened) == 12


def test_refresh_computes_again_and_keeps_that(tiny):
    brightness = [0]

    def look(number):  # its content is said to be the same, but it is another picture
        return Image.new("RGB", (20, 20), (brightness[0], number, 0))

    split = noise_split(range(3), open_item=look)
    old = np.array(extract(tiny, split).x["embedding"])
    brightness[0] = 200
    assert np.array_equal(extract(tiny, split).x["embedding"], old)
    new = np.array(extract(tiny, split, refresh=True).x["embedding"])
    assert_close(new, plain_loop(tiny, split, "embedding"))
    assert not np.allclose(new, old, atol=1e-2)
    brightness[0] = 0
    assert np.array_equal(extract(tiny, split).x["embedding"], new)


def test_without_the_cache_nothing_is_written_or_looked_for(tiny, split, opened, cache):
    for times in (1, 2):
        found = extract(tiny, split, cache=False)
        assert len(opened) == 6 * times
    assert not isinstance(found.x["embedding"], np.memmap)
    assert not cache.exists()
    extract(tiny, split)
    assert cache.exists()


def test_two_names_of_one_place_give_the_same_twice(tiny, split):
    found = extract(tiny, split, ["stem", "norm", "stem"])  # "stem" stands for the module "norm"
    assert list(found.x) == ["stem", "norm"]
    assert np.array_equal(found.x["stem"], found.x["norm"])
    assert_close(found.x["stem"], plain_loop(tiny, split, "stem"))


# What decides the values, and what does not


def set_(tensor):
    """Change a tensor a little, in place."""

    def change(backbone):
        with torch.no_grad():
            backbone.model.get_parameter(tensor).view(-1)[-9:] += 0.5

    return change


def other_buffer(backbone):
    backbone.model.norm.running_mean += 0.5


def other_option(backbone):
    backbone.model.norm.eps = 0.3


def other_kind(backbone):
    backbone.model.act = nn.SiLU(inplace=True)  # with the same options as the ReLU


def other_padding(backbone):
    backbone.model.block[0].padding_mode = "circular"
    backbone.model.block[0].padding = (1, 1)
    backbone.model.block[0]._reversed_padding_repeated_twice = [1, 1, 1, 1]


def one_more_layer(backbone):
    backbone.model.act = nn.Sequential(backbone.model.act, nn.BatchNorm2d(4).eval(), nn.Sigmoid())


@pytest.mark.parametrize(
    "change",
    [
        set_("conv.weight"),
        set_("conv.bias"),
        set_("norm.weight"),
        set_("block.0.weight"),
        set_("block.1.bias"),
        other_buffer,
        other_option,
        other_kind,
        other_padding,
        one_more_layer,
    ],
)
def test_another_network_gets_features_of_its_own(tiny, split, opened, change):
    before = np.array(extract(tiny, split).x["embedding"])
    change(tiny)
    after = extract(tiny, split).x["embedding"]
    assert len(opened) == 12
    assert_close(after, plain_loop(tiny, noise_split(range(6)), "embedding"))
    assert not np.allclose(after, before, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda b: b.at_size(24), {}),
        (lambda b: with_mean(b, [0.9, 0.1, 0.5]), {}),
        (lambda b: b, {"pool": "max"}),
        (lambda b: b, {"layers": "block"}),
    ],
)
def test_another_way_to_look_gets_features_of_its_own(tiny, split, opened, make, options):
    options = {"layers": "stem"} | options
    layer = options["layers"]
    before = np.array(extract(tiny, split, "stem").x["stem"])
    after = extract(make(tiny), split, **options).x[layer]
    assert len(opened) == 12
    expected = plain_loop(make(tiny), noise_split(range(6)), layer, options.get("pool", "mean"))
    assert_close(after, expected)
    assert after.shape != before.shape or not np.allclose(after, before, rtol=0, atol=1e-3)


@pytest.mark.parametrize("numbers", [[0, 1, 2, 3, 4, 9], [5, 4, 3, 2, 1, 0], [0, 1, 2]])
def test_other_pictures_or_another_order_get_features_of_their_own(tiny, split, opened, numbers):
    extract(tiny, split)
    found = extract(tiny, noise_split(numbers, opened)).x["embedding"]
    assert len(opened) == 6 + len(numbers)
    assert_close(found, plain_loop(tiny, noise_split(numbers), "embedding"))


def test_a_file_that_was_changed_is_noticed(tiny, tmp_path):
    folder = save_pictures(tmp_path / "insects")
    task = tl.load_task(folder)
    before = np.array(extract(tiny, task).x["embedding"])
    changed = folder / task.val.names[1]
    noise(99).save(changed)
    after = extract(tiny, task).x["embedding"]
    moved = np.abs(after - before).max(axis=1) > 1e-3
    assert np.flatnonzero(moved).tolist() == [9]  # the second of val, behind 8 of train
    smaller = extract(tiny, tl.load_task(folder, max_side=6)).x["embedding"]
    assert np.abs(smaller - after).max() > 1e-3
    changed.unlink()
    with pytest.raises(PictureError, match=r"cannot be opened: No such file"):
        extract(tiny, task)


def test_what_does_not_decide_the_values_computes_nothing_again(tiny, split, opened):
    first = extract(tiny, split, batch_size=4).x["embedding"]
    set_("head.weight")(tiny)
    tiny.model.head = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 5))
    for module in tiny.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked += 7
    tiny.model.train()
    tiny.model.requires_grad_(False)
    renamed = Split(range(6), [3] * 6, list("abcdef"), split._open, split._content)
    tiny.model.register_forward_pre_hook(refuse)
    found = extract(tiny, renamed, batch_size=2)
    assert np.array_equal(found.x["embedding"], first)
    assert len(opened) == 6
    assert found.y.tolist() == [3] * 6  # of the split that was given, not of the one stored
    assert found.names == tuple("abcdef")


def test_weights_behind_the_layer_do_not_matter_but_those_before_it_do(tiny, split, opened):
    extract(tiny, split, ["stem", "embedding"])
    set_("block.0.weight")(tiny)
    extract(tiny, split, "stem")
    assert len(opened) == 6
    extract(tiny, split, "embedding")
    assert len(opened) == 12


@pytest.mark.parametrize("name", ["cls_token", "pos_embed"])
def test_weights_of_no_layer_count_as_well(split, opened, name):
    backbone = tl.load_backbone("timm/test_vit", pretrained=False, device="cpu").at_size(32)
    stir(backbone.model)
    before = np.array(extract(backbone, split, "stage2").x["stage2"])
    set_(name)(backbone)
    after = extract(backbone, split, "stage2").x["stage2"]
    assert len(opened) == 12
    assert not np.array_equal(after, before)


def test_weights_of_a_layer_that_was_put_in_later_count_as_well(tiny, split):
    assert "act.1.weight" not in tiny.trace  # made before the change
    tiny.model.act = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1))
    before = np.array(extract(tiny, split).x["embedding"])
    set_("act.1.weight")(tiny)
    after = extract(tiny, split).x["embedding"]
    assert_close(after, plain_loop(tiny, split, "embedding"))
    assert not np.array_equal(after, before)


def test_numbers_that_a_layer_computes_with_count_as_well(split):
    class Louder(nn.Module):
        factor = 1

        def forward(self, x):
            return self.factor * x

    backbone = as_backbone(nn.Sequential(nn.Conv2d(3, 4, 3), Louder()), [Layer("loud", "1")])
    for factor in (2, 3):
        backbone.model[1].factor = factor
        assert_close(
            extract(backbone, split, "loud").x["loud"], plain_loop(backbone, split, "loud")
        )


def test_a_transform_of_ones_own_is_not_taken_for_another(tiny, split):
    for factor in (1, 5):
        steps = [transforms.ToTensor(), transforms.Lambda(lambda x, factor=factor: factor * x)]
        preprocess = replace(tiny.preprocess, transform=transforms.Compose(steps))
        own = replace(tiny, preprocess=preprocess)
        assert_close(extract(own, split).x["embedding"], plain_loop(own, split, "embedding"))


@pytest.mark.parametrize("change", [lambda x: x[[2, 1, 0]], lambda x: x.flip(2), lambda x: x.mT])
def test_a_transform_that_only_turns_or_recolours_is_not_taken_for_another(tiny, split, change):
    for own_step in (lambda x: x, change):
        steps = [transforms.ToTensor(), transforms.CenterCrop(24), transforms.Lambda(own_step)]
        preprocess = replace(tiny.preprocess, transform=transforms.Compose(steps))
        own = replace(tiny, preprocess=preprocess)
        assert_close(extract(own, split).x["embedding"], plain_loop(own, split, "embedding"))


def test_digests_tell_pictures_apart_without_opening_them():
    def digests(content, items):
        return Split(items, [0] * len(items), map(str, items), refuse, content).digests()

    assert len(set(digests(lambda i: f"{i}".encode(), [1, 2, 3]))) == 3
    assert len(set(digests(lambda i: b"same", [1, 2, 3]))) == 1
    shapes = [(4, 3), (3, 4), (4, 3), (6, 2)]  # where no content is told, pixels and size count
    pictures = Split(range(4), [0] * 4, "abcd", lambda i: Image.new("RGB", shapes[i])).digests()
    assert len(pictures) == 4
    assert pictures[0] == pictures[2]
    assert len(set(pictures)) == 3
    tasks = [tl.load_task(name) for name in ("digits", "faces", "emoji")]
    all_digests = [d for task in tasks for d in task.val.digests()]
    assert len(set(all_digests)) == len(all_digests)
    assert tl.load_task("digits").val.digests() == tasks[0].val.digests()


# Memory


def test_rows_stay_on_the_disk_and_changing_them_does_not_reach_it(tiny, split, opened):
    found = extract(tiny, split, pool="none", layers="stem")
    x = found.x["stem"]
    assert isinstance(x, np.memmap)
    part, _ = found.of("all", "stem")
    assert np.shares_memory(part, x)
    before = np.array(x)
    x[:] = 0
    x[2] -= 1
    again = extract(tiny, split, pool="none", layers="stem").x["stem"]
    assert np.array_equal(again, before)
    assert before.any()
    assert len(opened) == 6  # it was read, not computed again


def test_memory_does_not_grow_with_the_number_of_pictures(tiny):
    large, split = tiny.at_size(128), noise_split(range(40))
    peak = {}
    for use_cache in (True, False):
        extract(large, noise_split([99]), "stem", pool="none", cache=use_cache)  # imports
        tracemalloc.start()
        found = extract(large, split, "stem", pool="none", cache=use_cache, batch_size=4)
        peak[use_cache] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    n_bytes = found.x["stem"].nbytes
    assert n_bytes > 2e6
    assert peak[True] < n_bytes / 2 < n_bytes < peak[False]


# Bad input


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"layers": "sten"}, UnknownNameError, r"layer in tiny called 'sten'\. Nearest: stem"),
        ({"layers": ["stem", "nowhere"]}, UnknownNameError, "'nowhere'"),
        ({"layers": []}, CourseError, "No layer was named"),
        ({"pool": "average"}, UnknownNameError, r"pooling 'average'\. .*mean, max, .*none"),
        ({"pool": None}, UnknownNameError, "pooling 'None'"),
        ({"batch_size": -1}, CourseError, "batch_size"),
    ],
)
def test_requests_that_make_no_sense_are_one_sentence(
    tiny, split, opened, cache, options, error, said
):
    with pytest.raises(error, match=said):
        extract(tiny, split, **options)
    assert opened == []
    assert not cache.exists()


@pytest.mark.parametrize("pictures", ["emoji", None, [Image.new("RGB", (9, 9))], np.zeros((3, 3))])
def test_what_is_no_task_is_refused(tiny, pictures):
    with pytest.raises(CourseError, match=f"not from {type(pictures).__name__}.*tl.load_task"):
        extract(tiny, pictures)


def test_no_picture_is_one_sentence(tiny):
    with pytest.raises(CourseError, match="no picture to extract features from"):
        extract(tiny, noise_split([]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("use_cache", [True, False])
def test_weights_that_are_no_numbers_are_one_sentence(tiny, split, cache, value, use_cache):
    with torch.no_grad():
        tiny.model.block[0].weight[0, 0, 0, 0] = value
    with pytest.raises(CourseError, match="Layer 'embedding' of tiny gives numbers that are not"):
        extract(tiny, split, cache=use_cache)
    assert not list(cache.glob("features/*/manifest.json"))
    assert np.isfinite(extract(tiny, split, "stem").x["stem"]).all()  # it comes before


class Overflows(nn.Module):
    """Gives infinity for bright pictures."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x):
        return self.inner(torch.exp(1e3 * x.mean(dim=(2, 3))))


def test_a_pass_that_fails_leaves_no_thread(tmp_path):
    def look(number):
        return Image.new("RGB", (20, 20), "white" if number == 2 else "black")

    backbone = as_backbone(Overflows(), [Layer("inner", "inner")])
    before = set(threading.enumerate())
    with pytest.raises(CourseError, match="not finite") as caught:
        extract(backbone, noise_split(range(8), open_item=look), "inner", batch_size=1)
    assert set(threading.enumerate()) == before
    assert caught.tb  # a notebook keeps it, with all that its frames hold, until the next error


# The fast copy


def test_a_convolutions_own_output_is_given_as_it_is(split):
    backbone = as_backbone(TinyNet())
    names = ["conv", "stem", "block.0", "logits"]
    found = extract(backbone, split, names)
    for name in names:
        assert_close(found.x[name], plain_loop(backbone, split, name))


def test_what_goes_into_a_layer_is_given_as_it_is_too(split):
    layers = [Layer("before", "norm", "input"), Layer("logits", "")]
    backbone = as_backbone(TinyNet(), layers)
    found = extract(backbone, split, ["before", "logits"])
    for name in ("before", "logits"):
        assert_close(found.x[name], plain_loop(backbone, split, name))


def test_hooks_of_the_learner_work_in_the_copy_too(tiny, split):
    tiny.model.norm.register_forward_hook(lambda module, inputs, output: output * 3)
    found = extract(tiny, split, cache=False)
    assert_close(found.x["embedding"], plain_loop(tiny, split, "embedding"))


def test_extraction_of_a_copy_finds_the_features_of_the_original(tiny, split, opened):
    extract(tiny, split)
    twin = replace(tiny, model=copy.deepcopy(tiny.model))
    extract(twin, split)
    assert len(opened) == 6
