"""A saved result predicts the same in another process; what is not one is told in a sentence."""

import dataclasses
import errno
import json
import math
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_tasks import CLASSES, make_task, moved, state, tiny_backbone
from torch import nn

import tlcourse as tl
from tlcourse import metrics, patterns
from tlcourse.base.files import sha256_of
from tlcourse.errors import CourseError, UnknownNameError

MADE = {
    "classifier": {},
    "standalone_extractor": {"layer": "stage4", "pool": "max"},
    "frozen_extractor": {"layer": "stage3", "head": "linear", "augment": False, "epochs": 1},
    "fine_tune": {"epochs": 1, "freeze_until": "stage1"},
    "from_scratch": {"epochs": 1},
}
FIGURES = (
    *("pattern", "task", "classes", "layer", "val_accuracy", "test_accuracy", "interval"),
    *("seconds", "trainable_parameters"),
)
NETWORK = {"model.json", "model.safetensors"}
FILES = NETWORK | {"README.md"}
TWO_LINES = """
import json, sys, tlcourse as tl
picture, *folders = sys.argv[1:]
made = [tl.load_result(folder, device="cpu").predict(picture) for folder in folders]
print(json.dumps([table.set_index("class")["probability"].to_dict() for table in made]))
"""


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture(scope="module")
def results(task):
    return {
        name: getattr(patterns, name)(tiny_backbone(), task, progress=False, **options)
        for name, options in MADE.items()
    }


@pytest.fixture(scope="module")
def saved(results, tmp_path_factory):
    """A folder with each result; not to be changed."""
    folder = tmp_path_factory.mktemp("saved")
    for name, result in results.items():
        assert result.save(folder / name) == folder / name
    return folder


@pytest.fixture
def mine(saved, tmp_path):
    """A saved result of one's own, to be damaged."""
    return Path(shutil.copytree(saved / "frozen_extractor", tmp_path / "mine"))


def probabilities(result, picture):
    return result.predict(picture).set_index("class")["probability"].to_dict()


def test_another_process_gets_the_same_probabilities(results, saved, task, tmp_path):
    picture, _ = task.test[0]
    picture.save(tmp_path / "one.png")
    ran = subprocess.run(
        [sys.executable, "-c", TWO_LINES, tmp_path / "one.png", *(saved / name for name in MADE)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(tl.__file__).parents[1])},
    )
    assert ran.returncode == 0, ran.stderr
    found = dict(zip(MADE, json.loads(ran.stdout), strict=True))
    for name, result in results.items():
        # Another process may share the work among its threads in another way.
        assert found[name] == pytest.approx(probabilities(result, picture), abs=1e-6)
    assert len({str(table) for table in found.values()}) == len(MADE)


@pytest.mark.parametrize("name", MADE)
def test_a_loaded_result_says_what_the_saved_one_said(results, saved, name):
    loaded, result = tl.load_result(saved / name, device="cpu"), results[name]
    for figure in FIGURES:
        assert getattr(loaded, figure) == getattr(result, figure), figure
    assert repr(loaded).splitlines()[:2] == repr(result).splitlines()[:2]
    assert loaded.backbone.layers == result.backbone.layers
    assert loaded.backbone.preprocess == result.backbone.preprocess
    assert not moved(state(result.backbone.model), loaded.backbone.model)
    assert loaded.temperature == result.temperature
    assert not any(module.training for module in loaded.backbone.model.modules())
    assert {path.name for path in (saved / name).iterdir()} == FILES


def test_a_figure_that_is_missing_stays_missing(results, tmp_path):
    result = dataclasses.replace(results["fine_tune"], test_accuracy=math.nan)
    loaded = tl.load_result(result.save(tmp_path / "x"), device="cpu")
    assert math.isnan(loaded.test_accuracy)
    assert loaded.val_accuracy == result.val_accuracy


@pytest.mark.parametrize("name", ["classifier", "frozen_extractor"])
def test_a_loaded_result_can_be_saved_and_explained(saved, name, tmp_path, task):
    loaded = tl.load_result(saved / name, device="cpu")
    again = tl.load_result(loaded.save(tmp_path / "deep" / "down"), device="cpu")
    picture, _ = task.test[1]
    assert probabilities(again, picture) == probabilities(loaded, picture)
    assert tl.attribute(again.backbone, picture, "bees").shape == (64, 64)


def test_what_is_saved_is_readable_for_others(saved):
    about = json.loads((saved / "frozen_extractor" / "model.json").read_text("utf-8"))
    assert about["classes"] == list(CLASSES)
    assert about["backbone"] == "timm/test_efficientnet"
    assert about["preprocess"]["crop_size"] == 64
    weights = load_file(saved / "frozen_extractor" / "model.safetensors")
    assert weights["head.weight"].shape == (3, 32)
    assert not any("blocks.3" in name for name in weights)  # behind the cut


# --- how sure it is ---


@pytest.mark.parametrize("name", MADE)
def test_its_logits_are_those_of_its_network(results, task, name):
    result = results[name]
    for part in ("val", "test"):
        logits, pictures = result.logits[part], getattr(task, part)
        assert (logits.dtype, logits.shape) == (np.float32, (len(pictures), 3))
        assert result.pictures[part] is pictures
        for i in (0, len(pictures) - 1):
            shown = probabilities(result, pictures[i][0])
            expected = metrics.probabilities(logits[[i]])[0]
            assert [shown[c] for c in CLASSES] == pytest.approx(expected.tolist(), abs=1e-4)
    assert result.right.mean() == result.test_accuracy
    expected = metrics.fit_temperature(result.logits["val"], task.val.labels)
    assert result.temperature == expected


def test_the_classifier_adds_probabilities_and_shares_them_among_the_groups(task):
    """What no group contains is left out, so that a picture's probabilities add up to 1."""
    backbone = tiny_backbone()
    mapping = {name: backbone.classes[4 * i : 4 * i + 3] for i, name in enumerate(CLASSES)}
    result = patterns.classifier(backbone, task, mapping=mapping, progress=False)
    logits = tl.extract_features(backbone, task.test, "logits", progress=False).x["logits"]
    every = metrics.probabilities(logits)
    groups = np.stack([every[:, 4 * i : 4 * i + 3].sum(axis=1) for i in range(3)], axis=1)
    expected = groups / groups.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(metrics.probabilities(result.logits["test"]), expected, atol=1e-5)


def test_a_calibrated_prediction_uses_the_temperature_and_changes_no_answer(results, task):
    picture, _ = task.test[0]
    result = dataclasses.replace(results["fine_tune"], saved_temperature=2.0)
    plain, calibrated = result.predict(picture), result.predict(picture, calibrated=True)
    assert list(plain["class"]) == list(calibrated["class"])
    expected = metrics.probabilities(np.log([plain["probability"]]) / 2)[0]
    assert calibrated["probability"].tolist() == pytest.approx(expected.tolist())
    assert plain["probability"][0] > calibrated["probability"][0]
    assert probabilities(results["fine_tune"], picture) == probabilities(result, picture)


def test_the_temperature_is_saved_and_1_where_none_was(results, tmp_path):
    result = dataclasses.replace(results["fine_tune"], saved_temperature=2.5)
    folder = result.save(tmp_path / "x")
    assert tl.load_result(folder, device="cpu").temperature == 2.5
    path = folder / "model.json"
    about = json.loads(path.read_text("utf-8"))
    del about["temperature"]  # as version 1.1 wrote it
    path.write_text(json.dumps(about), "utf-8")
    assert tl.load_result(folder, device="cpu").temperature == 1.0


def test_what_it_learned_from_is_saved_and_pictures_where_nothing_is_said(results, tmp_path):
    result = dataclasses.replace(results["standalone_extractor"], holds="sounds")
    heard = result.save(tmp_path / "heard")
    assert tl.load_result(heard, device="cpu").holds == "sounds"
    about = json.loads((heard / "model.json").read_text())
    del about["holds"]
    (heard / "model.json").write_text(json.dumps(about))
    assert tl.load_result(heard, device="cpu").holds == "pictures"


@pytest.mark.parametrize("temperature", [0, -1, "warm", None, []])
def test_a_temperature_that_cannot_be_is_told(mine, temperature):
    change(mine, temperature=temperature)
    with pytest.raises(CourseError, match="damaged"):
        tl.load_result(mine)


# --- the same, or not ---


def test_two_results_are_compared_on_the_same_pictures(results, task):
    first, second = results["fine_tune"], results["frozen_extractor"]
    found = tl.same_or_not(first, second)
    expected = metrics.compare_paired(
        first.predicted["test"] == task.test.labels, second.predicted["test"] == task.test.labels
    )
    assert (found.p_value, found.only_first) == (expected.p_value, expected.only_first)
    assert found.accuracies == (first.test_accuracy, second.test_accuracy)
    assert repr(found).startswith(f"fine_tune {first.test_accuracy:.3f}, frozen_extractor ")
    assert tl.same_or_not(first.right, second.right).p_value == found.p_value


def test_results_of_one_pattern_are_named_by_what_differs(results):
    first = results["fine_tune"]
    other = dataclasses.replace(first, layer="stage2")
    assert tl.same_or_not(first, other).names == ("fine_tune at embedding", "fine_tune at stage2")
    assert tl.same_or_not(first, first).names == ("first fine_tune", "second fine_tune")


def test_pictures_that_were_opened_again_are_the_same(results):
    first = results["fine_tune"]
    again = dataclasses.replace(first, pictures={**first.pictures, "test": make_task().test})
    assert tl.same_or_not(first, again).p_value == 1


def test_without_test_pictures_the_validation_pictures_are_compared(results):
    first = results["fine_tune"]
    logits = {**first.logits, "test": first.logits["test"][:0]}
    result = dataclasses.replace(first, logits=logits)
    assert tl.same_or_not(result, result).n == len(first.logits["val"])


def test_other_pictures_are_refused(results, task):
    first = results["fine_tune"]
    order = np.roll(np.arange(len(task.test)), 1)
    mixed = dataclasses.replace(first, pictures={**first.pictures, "test": task.test.take(order)})
    n = len(task.test)
    said = f"These are {n} pictures of 'tiny' and {n} others of 'tiny'"
    with pytest.raises(CourseError, match=said):
        tl.same_or_not(first, mixed)


def test_results_without_answers_are_refused(results, saved):
    loaded = tl.load_result(saved / "fine_tune", device="cpu")
    with pytest.raises(CourseError, match=r"'fine_tune' was loaded, so it holds no answers"):
        tl.same_or_not(results["fine_tune"], loaded)
    none = dataclasses.replace(results["classifier"], applicable=False, logits={}, pictures={})
    with pytest.raises(CourseError, match=r"'classifier' is not applicable, so it holds no"):
        tl.same_or_not(none, results["fine_tune"])


@pytest.mark.parametrize("kind", ["conv", "narrow", "own"])
def test_a_head_on_maps_is_made_again_or_asked_for(task, tmp_path, kind):
    def own():
        if kind == "narrow":
            return tl.ConvHead(48, 3, width=4)
        return nn.Sequential(nn.Flatten(), nn.Linear(48 * 16, 3))

    head, pool = ("conv", "mean") if kind == "conv" else (own(), "none")
    result = patterns.frozen_extractor(
        tiny_backbone(), task, head=head, pool=pool, augment=False, epochs=1, progress=False
    )
    folder, picture = result.save(tmp_path / "mine"), task.test[0][0]
    if kind != "conv":
        with pytest.raises(CourseError, match=r"a module of your own.*load_result\(folder, head="):
            tl.load_result(folder)
        with pytest.raises(CourseError, match="The head does not take the values"):
            tl.load_result(folder, head=nn.Linear(7, 3))
    loaded = tl.load_result(folder, device="cpu", head=None if kind == "conv" else own())
    expected = probabilities(result, picture)
    assert probabilities(loaded, picture) == pytest.approx(expected, abs=1e-6)
    assert loaded.backbone.layers == result.backbone.layers
    again = loaded.save(tmp_path / "again") / "model.safetensors"
    assert sha256_of(again) == sha256_of(folder / "model.safetensors")


# --- where it is saved ---


def test_an_earlier_result_is_replaced(results, tmp_path, task):
    folder = tmp_path / "result"
    results["frozen_extractor"].save(folder)
    results["fine_tune"].save(folder)
    loaded = tl.load_result(folder, device="cpu")
    assert loaded.pattern == "fine_tune"
    picture, _ = task.test[0]
    expected = probabilities(results["fine_tune"], picture)
    assert probabilities(loaded, picture) == pytest.approx(expected, abs=1e-6)
    assert {path.name for path in folder.iterdir()} == FILES
    assert list(tmp_path.iterdir()) == [folder]
    (tmp_path / "empty").mkdir()
    results["fine_tune"].save(str(tmp_path / "empty"))
    assert tl.load_result(str(tmp_path / "empty"), device="cpu").layer == "embedding"


def test_a_folder_with_other_things_is_left_alone(results, mine):
    (mine / "thesis.txt").write_text("years of work")
    before = {path: path.read_bytes() for path in mine.iterdir()}
    with pytest.raises(CourseError, match=r"else than a saved result\. Name another"):
        results["fine_tune"].save(mine)
    assert {path: path.read_bytes() for path in mine.iterdir()} == before
    assert list(mine.parent.iterdir()) == [mine]
    file = mine / "thesis.txt"
    with pytest.raises(CourseError, match=r"thesis\.txt holds something else"):
        results["fine_tune"].save(file)
    with pytest.raises(CourseError, match="cannot be saved in"):
        results["fine_tune"].save(file / "below")
    assert file.read_text() == "years of work"


def assert_nothing_happened(folder, before):
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]
    tl.load_result(folder, device="cpu")


def writing_until(name, error):
    """`Path.write_bytes` that raises at the file of this name."""
    real = Path.write_bytes

    def write(path, content):
        if path.name == name:
            raise error
        return real(path, content)

    return write


@pytest.mark.parametrize("file", sorted(NETWORK))
def test_a_full_disk_leaves_nothing_and_the_earlier_result_whole(results, mine, monkeypatch, file):
    """The disk is full while this file is written: the weights, or what describes them."""
    resource = pytest.importorskip("resource")
    before = {path: path.read_bytes() for path in mine.iterdir()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    if file == "model.json":  # the second one
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        monkeypatch.setattr(Path, "write_bytes", writing_until("model.json", full))
    try:
        if file == "model.safetensors":  # no file may be longer; it is as good as a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
        with pytest.raises(CourseError, match=r"The result cannot be saved in .*mine"):
            results["fine_tune"].save(mine)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    monkeypatch.undo()
    assert_nothing_happened(mine, before)


def test_an_interruption_leaves_nothing_and_the_earlier_result_whole(results, mine, monkeypatch):
    before = {path: path.read_bytes() for path in mine.iterdir()}

    monkeypatch.setattr(Path, "write_bytes", writing_until("model.json", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        results["fine_tune"].save(mine)
    monkeypatch.undo()
    assert_nothing_happened(mine, before)


def test_a_folder_that_cannot_be_written_to_is_told(results, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CourseError, match=r"cannot be saved in .* \(Permission denied\)"):
        results["fine_tune"].save(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


# --- what cannot be loaded ---


@pytest.mark.parametrize("missing", [*sorted(NETWORK), "both"])
def test_a_folder_without_a_result_is_told(mine, missing):
    for name in NETWORK if missing == "both" else [missing]:
        (mine / name).unlink()
    with pytest.raises(
        CourseError, match=r"mine holds no saved result.*result\.save\(folder\) writes them"
    ):
        tl.load_result(mine)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CourseError, match="nowhere holds no saved result"):
        tl.load_result(tmp_path / "nowhere")


@pytest.mark.parametrize("length", [0, 5, 1000, -1])
def test_cut_weights_are_told(mine, length):
    path = mine / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CourseError, match=r"The saved result in .*mine is damaged"):
        tl.load_result(mine)


@pytest.mark.parametrize("place", [-1, 5000, 40, 0])  # in the weights, or in what names them
def test_one_bit_that_flipped_is_told(mine, place):
    path = mine / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        CourseError,
        match=r"in .*mine is damaged: model\.safetensors is not the file that was saved",
    ):
        tl.load_result(mine)


def test_a_result_that_version_1_0_saved_is_still_read(saved, mine, task):
    """It wrote down no digest of the weights, and its file of weights was for one user only."""
    path = mine / "model.json"
    about = json.loads(path.read_text("utf-8"))
    del about["sha256"]
    path.write_text(json.dumps(about | {"format": 1, "tlcourse": "1.0"}, indent=2) + "\n", "utf-8")
    save_file(load_file(mine / "model.safetensors"), mine / "model.safetensors")
    picture, _ = task.test[0]
    old, new = tl.load_result(mine), tl.load_result(saved / "frozen_extractor")
    assert probabilities(old, picture) == probabilities(new, picture)
    assert (old.layer, old.test_accuracy) == (new.layer, new.test_accuracy)
    again = tl.load_result(old.save(mine))  # which may be written over it
    assert probabilities(again, picture) == probabilities(new, picture)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask(results, tmp_path, umask):
    before = os.umask(umask)
    try:
        folder = results["frozen_extractor"].save(tmp_path / "mine")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~umask
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("text", ["", '{"format": 1,', "\udc80", "[]", "null", "7", '"text"'])
def test_a_damaged_description_is_told(mine, text):
    (mine / "model.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CourseError, match=r"mine.* is damaged"):
        tl.load_result(mine)


def change(folder, **entries):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | entries), "utf-8")


NEEDED = ("format", "backbone", "layer", "pool", "groups", "preprocess", *FIGURES)


@pytest.mark.parametrize("key", sorted(set(NEEDED)))
def test_a_description_that_says_too_little_is_told(mine, key):
    path = mine / "model.json"
    about = json.loads(path.read_text("utf-8"))
    del about[key]
    path.write_text(json.dumps(about), "utf-8")
    with pytest.raises(CourseError, match=f"model.json is damaged: it does not say '{key}'"):
        tl.load_result(mine)


@pytest.mark.parametrize(
    ("entry", "error", "said"),
    [
        ({"format": 99}, CourseError, r"another version of tlcourse \(format 99, this one reads 1"),
        ({"backbone": "resnet81"}, UnknownNameError, "no backbone 'resnet81'. Nearest: resnet18"),
        ({"layer": "stage99"}, UnknownNameError, "called 'stage99'. Nearest: stage"),
        ({"pool": "median"}, CourseError, "no pooling 'median'"),
        ({"classes": 3}, CourseError, "damaged"),
        ({"preprocess": None}, CourseError, "damaged"),
        ({"preprocess": {"mean": [0, 0, 0]}}, CourseError, "damaged.*crop_size"),
        ({"preprocess": {"crop_size": "large"}}, CourseError, "size is 'large'"),
        ({"temperature": 10**400}, CourseError, "damaged"),
        ({"pattern": 3}, CourseError, "pattern is no text"),
        ({"classes": [["a"]]}, CourseError, "classes is no list of names"),
        ({"interval": [0]}, CourseError, "damaged"),
        ({"trainable_parameters": -1}, CourseError, "trainable_parameters is -1"),
        ({"facts": [1]}, CourseError, "damaged"),
        *(
            ({"groups": groups}, CourseError, "damaged.*groups")
            for groups in (
                ["ab", [1, 2]],
                [[0], [3000, 2]],
                [[0], [-1]],
                [[0], []],
                [[0]],
                {"a": 1},
            )
        ),
        ({"added": {"kind": "adapter", "layers": ["no"], "size": 2}}, CourseError, "damaged"),
        ({"backbone": "timm/vit_giant_patch14_dinov2"}, CourseError, r"has 1,1.*It was not loaded"),
        # Weights of this size would fill the memory.
        ({"classes": ["x"] * 500_000}, CourseError, "another network"),
    ],
)
def test_a_description_that_says_something_impossible_is_told(mine, entry, error, said):
    change(mine, **entry)
    with pytest.raises(error, match=said):
        tl.load_result(mine)


@pytest.mark.parametrize(
    "entry",
    [
        {"classes": ["a", "b"]},
        {"layer": "stage4"},
        {"layer": "stage2"},
        {"backbone": "timm/test_resnet", "layer": "stage2"},
        {"groups": [[0], [1], [2]]},
    ],
)
def test_weights_of_another_network_than_it_says_are_told(mine, entry):
    if "backbone" in entry:  # whose own preprocessing is another
        entry = entry | {"preprocess": _preprocessing_of(tiny_backbone("resnet"))}
    change(mine, **entry)
    said = r"The weights in .*mine are not those of timm/test_.*, cut at 'stage\d', with \d classes"
    with pytest.raises(CourseError, match=said):
        tl.load_result(mine)


def _preprocessing_of(backbone):
    names = ("resize_size", "crop_size", "mean", "std", "interpolation")
    return {name: getattr(backbone.preprocess, name) for name in names}


@pytest.mark.parametrize("edit", ["missing", "one more", "another shape"])
def test_weights_with_a_tensor_too_few_or_too_many_are_told(mine, edit):
    path = mine / "model.safetensors"
    weights = load_file(path)
    if edit == "missing":
        del weights["body.bn1.running_mean"]
    else:
        name = "head.weight" if edit == "another shape" else "body.one_more"
        weights[name] = torch.zeros(3, 31)
    save_file(weights, path)
    change(mine, sha256=sha256_of(path))
    with pytest.raises(CourseError, match="They belong to another network"):
        tl.load_result(mine)


@pytest.mark.parametrize(
    "entry", [{"mean": [0.5, 0.5, 0.5]}, {"interpolation": "nearest"}, {"resize_size": 80}]
)
def test_another_preprocessing_is_told(mine, entry):
    change(mine, preprocess=_preprocessing_of(tiny_backbone()) | entry)
    said = r"trained with another preprocessing than timm/test_efficientnet has here: .* not \{"
    with pytest.raises(CourseError, match=said):
        tl.load_result(mine)


def test_a_size_that_was_reached_in_two_steps_is_found_again(task, tmp_path):
    twice = tiny_backbone().at_size(33).at_size(100)  # the resized side is rounded twice
    result = patterns.standalone_extractor(twice, task, layer="stage2", progress=False)
    loaded = tl.load_result(result.save(tmp_path / "x"), device="cpu")
    picture, _ = task.test[0]
    assert probabilities(loaded, picture) == pytest.approx(probabilities(result, picture), abs=1e-6)


@pytest.mark.parametrize("file", ["model.json", "model.safetensors"])
@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in a folder")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(mine, file):
    (mine / file).unlink()
    os.mkfifo(mine / file)
    with pytest.raises(CourseError, match="is damaged"):
        tl.load_result(mine)


def test_a_description_without_end_is_told(mine):
    (mine / "model.json").write_text("[" * 100_000)
    with pytest.raises(CourseError, match="nested too deeply"):
        tl.load_result(mine)
    (mine / "model.json").write_bytes(b" " * (2**24 + 1))
    with pytest.raises(CourseError, match="larger than 16 MiB"):
        tl.load_result(mine)


def test_a_loaded_result_whose_card_makes_no_sense_is_told_when_it_is_saved(mine, tmp_path):
    change(mine, facts={"data": 3, "scores": [1]})
    loaded = tl.load_result(mine, device="cpu")
    with pytest.raises(CourseError, match="model card cannot be written"):
        loaded.save(tmp_path / "again")


def test_a_class_whose_name_is_no_text_can_be_printed(mine):
    """Such is the name of a folder that another system wrote."""
    change(mine, classes=["\udcff", "b", "c"])
    assert tl.load_result(mine, device="cpu").classes == ("\\udcff", "b", "c")
