"""What a cost says, how costs are compared, and those that were recorded elsewhere."""

import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_costs import OWNED, made

import tlcourse as tl
from tlcourse import cost
from tlcourse.cost import records
from tlcourse.errors import CourseError, UnknownNameError


def test_a_cost_says_median_spread_throughput_and_the_sum_of_the_owners():
    found = made(times=(4.0, 1.0, 2.0))
    assert found.seconds == 2.0
    assert found.spread == (1.0, 4.0)
    assert found.pictures_per_second == 5.0
    assert found.peak_bytes == OWNED.total == 1730
    text = repr(made(freeze_until="stage5", cached=True, allocator_bytes=2**21))
    for part in (
        "Training step, batch 10, 64 px, on cpu (2 cores), frozen up to stage5, cached",
        "2 s (1 to 4 in 3 measurements), 5 pictures/s",
        "optimiser state",
        "PyTorch's allocator: 2.0 MiB",
    ):
        assert part in text


def test_a_ratio_is_taken_within_each_round():
    both = cost.SideBySide({"a": made(times=(2.0, 9.0, 3.0)), "b": made(times=(1.0, 3.0, 3.0))})
    assert both.ratio("a", "b") == (2.0, 1.0, 3.0, 3)
    assert repr(both.ratio("a", "b")) == "2 times as much (1 to 3 in 3 rounds)"


def test_a_ratio_of_counts_has_no_spread():
    more = replace(OWNED, activations=3000)
    both = cost.SideBySide({"a": made(bytes=more), "b": made(operations=1500)})
    assert both.ratio("a", "b", of="activations")[:3] == (3.0, 3.0, 3.0)
    assert both.ratio("a", "b", of="peak_bytes").median == 3730 / 1730
    assert both.ratio("a", "b", of="operations").median == 4.0
    assert repr(both.ratio("a", "b", of="operations")) == "4 times as much"
    nothing = cost.SideBySide({"a": made(), "b": made(bytes=replace(OWNED, activations=0))})
    assert nothing.ratio("a", "b", of="activations").median == math.inf


def test_a_ratio_of_what_is_not_there_names_the_nearest():
    both = cost.SideBySide({"frozen": made(), "unfrozen": made()})
    with pytest.raises(UnknownNameError, match="Nearest: frozen"):
        both.ratio("frosen", "unfrozen")
    with pytest.raises(UnknownNameError, match="Nearest: activations"):
        both.ratio("frozen", "unfrozen", of="activation")


def test_the_table_has_a_row_for_each_setting():
    table = cost.SideBySide({"a": made(), "b": made(times=(1.0,))}).table
    assert list(table.index) == ["a", "b"]
    assert table.loc["a", "seconds"] == 2.0
    assert table.loc["a", "slowest"] == 4.0
    assert table.loc["b", "pictures_per_second"] == 10.0
    assert table.loc["a", "memory_mib"] == 1730 / 2**20


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "device.py"
    spec = importlib.util.spec_from_file_location("device_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_recorded_measurement_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "SHIPPED", tmp_path / "none.json")
    assert cost.recorded() == ()
    with pytest.raises(CourseError, match=r"none\.json holds no recorded measurement"):
        cost.recorded(tmp_path / "none.json")


def test_what_the_benchmark_writes_is_what_is_read_and_drawn(benchmark, tmp_path, capsys):
    path = tmp_path / "recorded.json"
    tiny = ["--backbone", "timm/test_efficientnet", "--random-weights", "--size", "64"]
    options = ["--device", "cpu", "--out", str(path), "--freeze", "stage2", "--repeats", "2"]
    benchmark.main([*tiny, *options, "--batch", "2", "3"])
    assert "wrote 8 measurements" in capsys.readouterr().out
    found = cost.recorded(path)
    assert [r.setting for r in found] == 2 * ["unfrozen", "partly frozen", "frozen", "cached"]
    assert [r.cost.batch for r in found] == [2] * 4 + [3] * 4
    assert [r.cost.freeze_until for r in found[:4]] == [None, "stage2", "embedding", "embedding"]
    assert [r.cost.cached for r in found[:4]] == [False, False, False, True]
    assert all(len(r.cost.times) == 2 for r in found)
    first = json.loads(path.read_text())
    assert (found[0].torch, found[0].driver) == (torch.__version__, "none")
    assert {"card", "driver", "torch", "date"} < set(first)
    assert found[0].card == found[0].cost.device_name == first["card"]
    figure = tl.plots.seconds_by_device({}, recorded=found[:2])
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [r.cost.seconds for r in found[:2]]
    assert all(bar.get_hatch() for bar in axes.patches)


def test_a_record_says_where_and_when_it_was_made():
    one = cost.Recorded("unfrozen", made(), "card", "1.2", "2.9", "2026-01-02")
    assert "Recorded on 2026-01-02, card, driver 1.2, torch 2.9: unfrozen" in repr(one)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"card": 1, "rows": [{}]}'])
def test_a_file_that_is_no_record_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(CourseError, match=r"a\.json holds no recorded measurement"):
        cost.recorded(path)


def test_the_times_of_a_cpu_are_never_shipped(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--device", "cpu"])
    assert "a CPU's times are not shipped" in capsys.readouterr().err
