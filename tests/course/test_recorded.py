"""What long trainings brought is shipped as it was measured, and can be measured again."""

import importlib
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import tlcourse as tl
from benchmarks import letters
from tlcourse.errors import UnknownNameError

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "wins.py"


def load(name):
    path = BENCHMARK.with_name(f"{name}.py")
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wins():
    return load("wins")


@pytest.fixture(scope="module")
def networks():
    return load("networks")


def test_one_cell_of_the_scores_of_networks_is_measured_again(networks):
    task = networks.drawn("fashion", 0)
    backbone = networks.load("squeezenet1_1", 0)
    x = tl.extract_features(backbone, task.train, cache=False, progress=False).x["embedding"]
    table = tl.recorded_runs("network_scores")
    said = table[(table.network == "squeezenet1_1") & (table.seed == 0)].iloc[0]
    assert networks.logme(x, task.train.labels) == pytest.approx(said["logme"], abs=0.002)
    assert networks.h_score(x, task.train.labels) == pytest.approx(said["h_score"], abs=0.01)
    assert networks.pixels(task)["test_accuracy"] == pytest.approx(
        table[(table.network == "pixels") & (table.seed == 0)]["test_accuracy"].item(), abs=0.01
    )


@pytest.mark.parametrize("name", ["network_scores", "network_tuning"])
def test_the_experiments_with_networks_say_how_they_were_made(networks, name):
    table = tl.recorded_runs(name)
    assert table.attrs["command"] == f"python -m benchmarks.networks --save --only {name}"
    assert len(table.attrs["commit"]) >= 7
    assert not table.attrs["commit"].endswith("dirty")
    assert set(networks.NETWORKS) | {networks.RANDOM} <= set(table["network"])
    assert set(table["task"]) == set(networks.TASKS[name])
    assert all(set(rows["seed"]) == {0, 1, 2} for _, rows in table.groupby("network"))


def test_one_cell_of_the_few_labels_is_measured_again(wins):
    pixels = tl.raw_pixels(tl.load_task("things"), side=16)
    x, y = pixels.x["pixels"], pixels.y
    again = [wins.few_labels_once(x, y, 2, draw, "logistic") for draw in range(wins.DRAWS)]
    table = tl.recorded_runs("few_labels")
    said = table[(table.input == "pixels") & (table.probe == "logistic") & (table.per_class == 2)]
    assert said["test_accuracy"].item() == pytest.approx(math.fsum(again) / len(again), abs=0.005)


def test_each_experiment_says_how_it_was_made(wins):
    for name in wins.EXPERIMENTS:
        try:
            about = tl.recorded_runs(name).attrs
        except UnknownNameError:
            continue
        assert about["command"].endswith(f"--only {name}")
        assert len(about["commit"]) >= 7
        assert not about["commit"].endswith("dirty")
        assert about["versions"].keys() >= {"torch", "timm"}


def test_digits_are_read_again_from_pixels_and_from_random_weights():
    """Draw 0 with five labels of each digit: a second's work, by the benchmark's own functions."""
    digits = load_digits()
    labels = digits.target.astype(np.int64)
    draw = letters.draw_of(0, 5, labels)
    assert len(draw.train) == 50
    assert len(draw.test) == 1078
    assert not set(draw.test) & {*draw.train, *draw.val}
    table = tl.recorded_runs("letters_to_digits")
    said = table[(table.draw == 0) & (table.per_class == 5)].set_index("input")
    _, pixels = draw.probe(digits.images.reshape(1797, -1))
    assert said.loc["pixels", "test_accuracy"] == pytest.approx(pixels, abs=0.005)
    torch.manual_seed(100)
    random = letters.network(26).eval()
    task = tl.load_task("digits")
    splits = (task.train, task.val, task.test)
    order = np.concatenate([letters.places(split) for split in splits]).argsort()
    x = torch.cat([letters.tensors(split)[0] for split in splits])[order]
    row = said.loc["random weights, probe"]
    _, found = draw.probe(letters.maps(random, x)[row["layer"]])
    assert row["test_accuracy"] == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize("name", letters.EXPERIMENTS)
def test_what_letters_are_worth_says_how_it_was_made(name):
    table = tl.recorded_runs(name)
    assert table.attrs["command"] == f"python -m benchmarks.letters --save --only {name}"
    assert len(table.attrs["commit"]) >= 7
    assert not table.attrs["commit"].endswith("dirty")
    assert set(table["draw"]) == set(letters.DRAWS)
    runs = table.dropna(subset="per_class")
    assert set(runs.groupby(["input", "per_class"]).size()) == {len(letters.DRAWS)}


def test_what_each_move_takes_is_counted_again():
    """Bytes and parameters of a step do not depend on a seed, so they are the same to the byte."""
    move_less = importlib.import_module("benchmarks.move_less")
    backbone, task = tl.load_backbone().at_size(move_less.SIZE), move_less.digits(0)
    table = tl.recorded_runs("move_less").set_index(["move", "seed"])
    for name in ("lora, rank 4", "biases"):
        options = move_less.OURS[name]
        said = table.loc[(name, 0)]
        counted = move_less._bytes(backbone, task, **options)
        assert counted["bytes_gradients"] == 4 * said["parameters"]
        assert {owner: said[owner] for owner in counted} == counted
    head = tl.patterns.standalone_extractor(backbone, task, progress=False)
    assert head.test_accuracy == pytest.approx(table.loc[("head", 0), "test_accuracy"], abs=0.005)


def test_moving_less_says_how_it_was_made_and_has_three_seeds():
    move_less = importlib.import_module("benchmarks.move_less")
    for name in move_less.EXPERIMENTS:
        table = tl.recorded_runs(name)
        about = table.attrs
        assert about["command"] == f"python -m benchmarks.move_less --save --only {name}"
        assert len(about["commit"]) >= 7
        assert not about["commit"].endswith("dirty")
        if name != "move_less_rates":  # which only chose the rates, on validation pictures
            assert set(table["seed"]) == set(move_less.SEEDS)
            groups = table.groupby("move" if name == "move_less" else "package")
            assert (groups.size() == len(move_less.SEEDS)).all()
    assert "test_accuracy" not in tl.recorded_runs("move_less_rates")
    for name in ("peer_peft", "peer_peft_steps"):
        assert "peft" in tl.recorded_runs(name).attrs["versions"]


def test_an_experiment_that_is_none_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="few_labels"):
        tl.recorded_runs("few_label")


def test_photographs_that_are_made_small_are_read_again_as_recorded():
    shift = importlib.import_module("benchmarks.shift")
    backbone, things = tl.load_backbone(), tl.load_task("things")
    clean, labels = shift.photographs(backbone, things, None)
    small, _ = shift.photographs(backbone, things, tl.Corruption("scale", 5))
    table = tl.recorded_runs(shift.EXPERIMENT)
    table = table[table["part"] == "things"]
    for seen, kind in ((clean, "inside"), (small, "scale")):
        again = [shift.things_once(clean, seen, labels, draw) for draw in range(shift.DRAWS)]
        said = table[(table["kind"] == kind) & (table["strength"] == 5 * (kind == "scale"))]
        assert said["accuracy"].item() == pytest.approx(math.fsum(again) / len(again), abs=0.01)


def test_the_changing_world_says_how_it_was_made_and_holds_each_cell():
    shift = importlib.import_module("benchmarks.shift")
    table = tl.recorded_runs(shift.EXPERIMENT)
    assert table.attrs["command"] == "python -m benchmarks.shift --save"
    assert not table.attrs["commit"].endswith("dirty")
    assert table.attrs["versions"].keys() >= {"torch", "torchvision", "timm"}
    worlds = 1 + len(shift.OF_DIGITS)
    cells = {
        "strength": 3 * (1 + 5 * len(shift.STRENGTHS)),
        "views": len(shift.augmentations()) * worlds,
        "line": len(shift.ALPHAS) * worlds,
    }
    for part, each in cells.items():
        runs = table[table["part"] == part]
        assert len(runs) == each * len(shift.SEEDS)
        assert runs["accuracy"].between(0, 1).all()
