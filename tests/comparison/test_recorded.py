"""What long trainings brought is shipped as it was measured, and can be measured again."""

import importlib
import importlib.util
import math
from pathlib import Path

import pytest

import tlcourse as tl
from tlcourse.errors import UnknownNameError

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "wins.py"


@pytest.fixture(scope="module")
def wins():
    specification = importlib.util.spec_from_file_location("wins", BENCHMARK)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


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
        try:
            table = tl.recorded_runs(name)
        except UnknownNameError:
            continue
        about = table.attrs
        assert about["command"] == f"python -m benchmarks.move_less --save --only {name}"
        assert len(about["commit"]) >= 7
        assert not about["commit"].endswith("dirty")
        if name != "move_less_rates":  # which only chose the rates, on validation pictures
            assert set(table["seed"]) == set(move_less.SEEDS)
            groups = table.groupby("move" if name == "move_less" else "package")
            assert (groups.size() == len(move_less.SEEDS)).all()
    assert "test_accuracy" not in tl.recorded_runs("move_less_rates")
    assert "peft" in tl.recorded_runs("peer_peft_steps").attrs["versions"]


def test_an_experiment_that_is_none_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="few_labels"):
        tl.recorded_runs("few_label")
