"""What long trainings brought is shipped as it was measured, and can be measured again."""

import importlib.util
import math
from pathlib import Path

import pytest

import tlcourse as tl
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


def test_an_experiment_that_is_none_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="few_labels"):
        tl.recorded_runs("few_label")
