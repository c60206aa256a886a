"""What long trainings brought is shipped as it was measured, and can be measured again."""

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


def test_an_experiment_that_is_none_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="few_labels"):
        tl.recorded_runs("few_label")
