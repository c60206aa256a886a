"""Costs: measured as `fit` trains, compared in turns, estimated as a bound, drawn as what they are."""

import importlib.util
import json
import math
import mmap
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from figures import nothing_is_cut_off
from tiny_tasks import moved, state, tiny_backbone, traces

import tlcourse as tl
from tlcourse import cost
from tlcourse.cost import fresh_process, passes
from tlcourse.cost import recorded as recorded_module
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.networks.account import OWNERS, Bytes, forward_account, training_account
from tlcourse.networks.tail import Tail
from tlcourse.networks.trace import up_to
from tlcourse.plots.figure import WIDTH, encode
from tlcourse.training.data import shuffled
from tlcourse.training.step import Stepper

TINY = {"batch": 2, "size": 64, "n_classes": 3}
OWNED = Bytes(100, 10, 40, 80, 1000, 500)


def made(times=(1.0, 2.0, 4.0), **changes):
    """A cost with numbers that are easy to follow."""
    values = {
        "what": "training step",
        "device": "cpu",
        "device_name": "2 cores",
        "batch": 10,
        "size": 64,
        "freeze_until": None,
        "cached": False,
        "trainable_parameters": 10,
        "times": times,
        "pictures": 10,
        "operations": 6000,
        "bytes": OWNED,
    }
    return cost.Cost(**values | changes)


@pytest.fixture
def steps(monkeypatch):
    """Every step that is made: the networks, the inputs, and which modules were training."""
    seen = []
    real = Stepper.step

    def step(self, network, inputs, labels, rate=None):
        held = network.network[0] if isinstance(network, Tail) else network
        modes = {path: module.training for path, module in held.named_modules()}
        seen.append((network, inputs, modes))
        return real(self, network, inputs, labels, rate)

    monkeypatch.setattr(Stepper, "step", step)
    return seen


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "device.py"
    spec = importlib.util.spec_from_file_location("device_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- one pass ---


def test_a_training_step_is_the_one_that_fit_makes(steps):
    found = cost.training_step(tiny_backbone(), **TINY, repeats=3)
    assert len(steps) == 3 + passes.WARM_UP
    network, inputs, modes = steps[-1]
    assert isinstance(network, tl.Network)
    assert inputs.shape == (2, 3, 64, 64)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    norms = [p for p, m in network.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(modes[path] for path in norms)  # as `Network.train` leaves them
    assert modes["head"]
    assert len(found.times) == 3
    counted = training_account(network, (3, 64, 64), 2)
    assert (found.bytes, found.operations) == (counted.bytes, counted.operations)
    assert found.trainable_parameters == sum(p.numel() for p in network.parameters())
    assert (found.what, found.device, found.batch, found.size) == ("training step", "cpu", 2, 64)
    assert found.allocator_bytes is None


def test_frozen_parts_are_frozen_and_in_evaluation_mode_while_it_is_timed(steps):
    found = cost.training_step(tiny_backbone(), **TINY, freeze_until="stage2", repeats=1)
    network, _, modes = steps[-1]
    assert network.frozen_until == found.freeze_until == "stage2"
    assert not any(modes[f"body.{path}"] for path in network.frozen_paths if path)
    free = cost.training_step(tiny_backbone(), **TINY, repeats=1)
    assert found.trainable_parameters < free.trainable_parameters
    assert found.bytes.activations < free.bytes.activations
    assert found.bytes.parameters == free.bytes.parameters


@pytest.mark.parametrize("until", ["stage2", "embedding"])
def test_a_cached_step_begins_from_what_the_frozen_part_gave(steps, until):
    found = cost.training_step(tiny_backbone(), **TINY, freeze_until=until, cached=True, repeats=1)
    rest, inputs, _ = steps[-1]
    assert isinstance(rest, Tail)
    record = tiny_backbone().trace[tiny_backbone().layer(until).path]
    shape = record.output_shape if until == "stage2" else (rest.network[0].head.in_features,)
    assert tuple(inputs.shape) == (2, *shape)
    computed = cost.training_step(tiny_backbone(), **TINY, freeze_until=until, repeats=1)
    assert found.operations < computed.operations
    assert found.trainable_parameters == computed.trainable_parameters


def test_a_forward_pass_ends_at_the_layer_and_keeps_nothing():
    backbone = tiny_backbone()
    whole = cost.forward(backbone, batch=2, repeats=2)
    assert whole.operations == 2 * backbone.operations
    assert whole.bytes == forward_account(backbone.model, (3, 64, 64), 2).bytes
    assert (whole.bytes.gradients, whole.bytes.activations, whole.steps) == (0, 0, 0)
    early = cost.forward(backbone, batch=2, layer="stage1", repeats=2)
    assert early.operations == 2 * up_to(backbone.trace, backbone.layer("stage1").path)[1]
    assert early.operations < whole.operations
    assert early.bytes.parameters < whole.bytes.parameters


def test_backbone_and_random_numbers_are_left_as_found():
    backbone = tiny_backbone()
    before, left = state(backbone.model), traces(backbone.model)
    torch.manual_seed(77)  # not the seed of the measurements
    numbers = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    cost.training_step(backbone, **TINY, repeats=1)
    cost.forward(backbone, batch=2, repeats=1)
    cost.epoch(backbone, n_pictures=4, n_val=2, **TINY, repeats=1)
    assert moved(before, backbone.model) == set()
    assert traces(backbone.model) == left
    assert torch.equal(torch.random.get_rng_state(), numbers[0])
    assert random.getstate() == numbers[1]
    assert np.random.get_state()[1].tolist() == numbers[2]  # noqa: NPY002


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


def test_what_would_not_fit_is_refused_before_it_runs(monkeypatch, steps):
    monkeypatch.setattr(passes, "memory", lambda: (2**20, 2**20))
    with pytest.raises(CourseError, match=r"needs \d+ MiB, but cpu has 1 MiB free"):
        cost.training_step(tiny_backbone(), **TINY)
    assert steps == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"repeats": 0}, "repeats is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"cached": True}, "cached=True needs a frozen part"),
        ({"freeze_until": "stage99"}, "stage99"),
        ({"n_classes": 1}, "at least 2"),
        ({"device": "abacus"}, "not available here"),
        ({"layer": "logits"}, "cut before them"),
    ],
)
def test_options_that_nothing_can_be_measured_with_are_refused(options, said):
    with pytest.raises(CourseError, match=said):
        cost.training_step(tiny_backbone(), **TINY | options)


def test_a_batch_that_was_cut_in_parts_is_no_measurement():
    bench = passes.step_bench(tiny_backbone(), **TINY)
    bench.stepper.at_once = 1
    with pytest.raises(CourseError, match="did not fit the memory of cpu and was cut in parts"):
        bench.cost([1.0])


def test_any_module_can_be_accounted():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    assert cost.account(net, (3, 2, 2), 5) == training_account(net, (3, 2, 2), 5)
    assert cost.account(net, (3, 2, 2), 5, training=False) == forward_account(net, (3, 2, 2), 5)
    with pytest.raises(CourseError, match=r"needs a PyTorch module, got Backbone"):
        cost.account(tiny_backbone(), (3, 64, 64))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
def test_on_a_cuda_gpu_the_allocators_peak_stands_beside_the_count():
    found = cost.training_step(tiny_backbone(), **TINY, device="cuda", repeats=2)
    assert found.device == "cuda"
    assert found.allocator_bytes > found.bytes.parameters
    assert found.bytes == cost.training_step(tiny_backbone(), **TINY, repeats=1).bytes


# --- an epoch ---


@pytest.mark.parametrize("cached", [False, True])
def test_an_epoch_is_the_number_of_its_steps_times_their_median_and_what_is_added(
    monkeypatch, cached
):
    from tlcourse.cost import epoch as epoch_module

    monkeypatch.setattr(
        epoch_module, "timed", lambda benches, n: [[2.0, 1.0, 6.0][:n] for _ in benches]
    )
    monkeypatch.setattr(epoch_module, "_opening_seconds", lambda *_: 0.01)
    monkeypatch.setattr(epoch_module, "_frozen_seconds", lambda *_: (0.5, 0.1))
    options = {**TINY, "freeze_until": "stage2", "cached": cached}
    found = cost.epoch(tiny_backbone(), n_pictures=10, n_val=6, repeats=3, **options)
    n_steps = len(shuffled(10, 2, 0, 1))
    looks = 2.0 * 6 / 4  # twice the batch
    opening = 0.0 if cached else 0.01 * 16
    assert found.steps == n_steps == 5
    assert found.times == pytest.approx([n_steps * t + looks + opening for t in (2.0, 1.0, 6.0)])
    assert found.seconds == pytest.approx(n_steps * 2.0 + looks + opening)
    assert found.prepare_seconds == pytest.approx(0.5 + 0.11 * 16 if cached else 0.0)
    assert found.pictures_per_second == 10 / found.seconds
    assert found.what == "epoch"


def test_an_epochs_operations_and_memory_are_those_of_its_steps():
    step = cost.training_step(tiny_backbone(), **TINY, repeats=1)
    alone = cost.epoch(tiny_backbone(), n_pictures=6, repeats=1, **TINY)
    assert alone.operations == 3 * step.operations
    assert alone.bytes == step.bytes
    looked = cost.epoch(tiny_backbone(), n_pictures=6, n_val=4, repeats=1, **TINY)
    network = tl.Network(tiny_backbone(), 3)
    look = forward_account(network, (3, 64, 64), 4)
    assert looked.operations == alone.operations + look.operations


@pytest.mark.parametrize("counts", [{"n_pictures": 0}, {"n_pictures": 5, "n_val": -1}])
def test_an_epoch_without_pictures_is_refused(counts):
    with pytest.raises(CourseError, match="An epoch needs at least one training picture"):
        cost.epoch(tiny_backbone(), **counts)


def test_a_misspelt_option_is_told_with_the_nearest_one():
    with pytest.raises(UnknownNameError, match="Nearest: freeze_until"):
        cost.epoch(tiny_backbone(), n_pictures=5, freeze_untill="stage2")
    with pytest.raises(UnknownNameError, match=r"option \(in 'a'\) called 'batsch'.*batch"):
        cost.side_by_side(tiny_backbone(), {"a": {"batsch": 2}})


# --- side by side ---


def test_settings_are_measured_in_turn(monkeypatch):
    order = []
    monkeypatch.setattr(
        passes.TimedPass, "run", lambda self: order.append(self.about["batch"]) or float(len(order))
    )
    sizes = {"a": {**TINY}, "b": {**TINY, "batch": 3}}
    found = cost.side_by_side(tiny_backbone(), sizes, repeats=2)
    assert order == [2, 3] * (2 + passes.WARM_UP)
    assert found.costs["a"].times == (5.0, 7.0)
    assert found.costs["b"].times == (6.0, 8.0)


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


def test_every_device_of_this_machine_is_measured():
    assert cost.devices()[0] == "cpu"
    found = cost.on_every_device(tiny_backbone(), **TINY, repeats=1)
    assert tuple(found.costs) == cost.devices()
    assert [c.device for c in found.costs.values()] == list(cost.devices())
    with pytest.raises(CourseError, match="chooses the devices itself"):
        cost.on_every_device(tiny_backbone(), device="cpu")


def test_no_setting_is_refused():
    with pytest.raises(CourseError, match="There is nothing to compare"):
        cost.side_by_side(tiny_backbone(), {})


# --- estimates and records ---


def test_an_estimate_is_the_longer_of_arithmetic_and_traffic():
    card = cost.CARDS["NVIDIA T4"]
    found = cost.estimate(made())
    traffic = 100 + 10 + 3 * 40 + 2 * 80 + 2 * 1000
    assert found.arithmetic_seconds == 6000 / card.operations_per_second
    assert found.traffic_seconds == traffic / card.bytes_per_second
    assert found.seconds == max(found.arithmetic_seconds, found.traffic_seconds)
    heavy = cost.estimate(made(operations=10**15))
    assert heavy.seconds == heavy.arithmetic_seconds
    assert "at least" in repr(found)
    assert "not measured" in repr(found)
    assert card.source in repr(found)


def test_the_estimate_of_an_epoch_moves_its_bytes_in_each_step():
    step, epoch = made(), made(what="epoch", steps=7)
    one, seven = (cost.estimate(c).traffic_seconds for c in (step, epoch))
    assert seven == pytest.approx(7 * one)


def test_the_largest_batch_fits_and_one_picture_more_does_not():
    from tlcourse.cost.estimate import RESERVE

    network = tl.Network(tiny_backbone(), 3).train()
    measured = cost.training_step(tiny_backbone(), **TINY, repeats=1)
    n = cost.estimate(measured).largest_batch
    room = cost.CARDS["NVIDIA T4"].memory_bytes - RESERVE
    totals = [training_account(network, (3, 64, 64), b).bytes.total for b in (n, n + n // 10)]
    assert totals[0] < room < totals[1]
    huge = replace(OWNED, activations=10**12)
    assert cost.estimate(made(bytes=huge, batch=1)).largest_batch == 0


def test_an_unknown_card_or_something_that_is_no_cost_is_refused():
    with pytest.raises(UnknownNameError, match=r"no card .*NVIDIA T4"):
        cost.estimate(made(), card="NVIDIA T5000")
    with pytest.raises(CourseError, match="needs a cost"):
        cost.estimate(3.0)


def test_without_a_recorded_measurement_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(recorded_module, "SHIPPED", tmp_path / "none.json")
    assert cost.recorded() == ()
    with pytest.raises(CourseError, match="cannot be read"):
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


def test_a_record_is_read_back_exactly(tmp_path):
    one = cost.Recorded("unfrozen", made(allocator_bytes=5), "card", "1.2", "2.9", "2026-01-02")
    recorded_module.write(tmp_path / "a.json", [one])
    assert cost.recorded(tmp_path / "a.json") == (one,)
    assert "Recorded on 2026-01-02, card, driver 1.2, torch 2.9: unfrozen" in repr(one)


def test_a_record_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    one = cost.Recorded("unfrozen", made(), "card", "1.2", "2.9", "2026-01-02")
    recorded_module.write(path, [one])
    before = path.read_text()
    real = Path.write_text

    def full_disk(self, text, **options):
        real(self, text[:50], **options)
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="no space"):
        recorded_module.write(path, [one, one])
    assert path.read_text() == before
    assert os.listdir(tmp_path) == ["a.json"]  # noqa: PTH208
    with pytest.raises(CourseError, match="no measurement to write"):
        recorded_module.write(path, [])


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


# --- the count against the machine ---


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the peak of a process")
def test_a_fresh_process_grows_in_its_first_step_by_what_was_counted():
    found = cost.first_step(batch=8, size=128)
    rising = ("gradients", "optimiser_state", "activations", "working")
    inputs = 8 * (3 * 128 * 128 * 4 + 8)
    assert found.accounted_bytes == sum(found.owners[o] for o in rising) - inputs
    # Threads and kernels begin in the first step too, and owners peak at different moments.
    assert 0.75 < found.ratio < 1.25


def test_frozen_parts_leave_the_owners_in_this_order():
    network = tl.Network(tl.load_backbone(device="cpu"), 10)
    tl.finetune.freeze(network, "embedding")
    b = training_account(network.train(), (3, 128, 128), 16).bytes.as_dict()
    order = sorted(OWNERS, key=lambda owner: -b[owner])
    assert order[:2] == ["working", "parameters"]
    assert b["activations"] < b["optimiser_state"]
    tl.finetune.freeze(network, None)
    b = training_account(network.train(), (3, 128, 128), 16).bytes.as_dict()
    assert max(b, key=lambda owner: b[owner]) == "activations"


def test_a_fresh_process_that_fails_is_quoted():
    with pytest.raises(CourseError, match=r"The fresh process failed: .*no backbone 'nonsense'"):
        cost.first_step(name="nonsense")


def test_growth_is_seen_with_and_without_the_systems_own_peak(monkeypatch):
    def grow():
        with fresh_process._Growth() as growth:
            # Straight from the system: the C library may have freed memory of earlier tests left.
            held = mmap.mmap(-1, 2**27)
            for page in range(0, 2**27, mmap.PAGESIZE):
                held[page] = 1
            if not growth._kept:
                time.sleep(0.05)
            held.close()
        return growth.bytes

    assert grow() > 100 * 2**20

    def denied(*_, **__):
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", denied)
    assert grow() > 100 * 2**20


# --- figures ---


def figures():
    costs = {"everything moves": made(), "frozen body": made(bytes=replace(OWNED, activations=1))}
    yield tl.plots.bytes_by_owner(costs, title="Memory")
    yield tl.plots.growth([1, 4, 16], {"a": [1, 4, 16]}, xlabel="batch", title="Growth")
    yield tl.plots.seconds_by_device(
        {"cpu": made()},
        recorded=[cost.Recorded("unfrozen", made(), "a rather long card's name", "1", "2", "2026")],
        estimates={"same step": cost.estimate(made())},
        title="Times",
    )


def test_each_figure_has_its_text_fits_the_notebook_and_is_small():
    for figure in figures():
        assert len(figure.alt) > 30
        assert figure.get_figwidth() <= WIDTH + 0.5
        nothing_is_cut_off(figure)
        _, content, width = encode(figure)
        assert len(content) < 80_000
        assert width <= 950


def test_growth_has_plain_ticks_and_no_curve_hides_another():
    curves = {"activations": [1, 4, 16], "operations": [1, 4, 16]}
    figure = tl.plots.growth([64, 128, 256], curves, xlabel="side", reference=("card", 8.0))
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    below, above, line = axes.lines
    assert list(below.get_ydata()) == list(above.get_ydata()) == [1, 4, 16]
    assert below.get_linewidth() > above.get_linewidth()
    assert below.get_markersize() > above.get_markersize()
    assert below.get_marker() != above.get_marker()
    assert list(line.get_ydata()) == [8.0, 8.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["64", "128", "256"]
    assert [label.get_text() for label in axes.get_xticklabels(minor=True)] == []
    figure.draw_without_rendering()
    assert "10^" not in "".join(label.get_text() for label in axes.get_yticklabels())
    assert "activations from 1 to 16; operations from 1 to 16; a line marks card at 8" in figure.alt


@pytest.mark.parametrize("series", [{}, {"a": [1, 2]}])
def test_curves_need_a_number_for_each_x(series):
    with pytest.raises(CourseError, match="each with 3 numbers, one for each x"):
        tl.plots.growth([1, 2, 3], series)


def test_bars_are_stacked_by_owner_and_end_at_the_sum():
    big = Bytes(*(2**20 * n for n in (1, 2, 3, 4, 5, 6)))
    figure = tl.plots.bytes_by_owner({"a": made(bytes=big), "b": OWNED})
    (axes,) = figure.axes
    assert len(axes.containers) == len(OWNERS)
    widths = [container[0].get_width() for container in axes.containers]
    assert widths == [1, 2, 3, 4, 5, 6]
    starts = [container[0].get_x() for container in axes.containers]
    assert starts == [0, 1, 3, 6, 10, 15]
    colours = {container[0].get_facecolor() for container in axes.containers}
    assert len(colours) == len(OWNERS)
    assert [text.get_text() for text in axes.texts] == ["21", "0"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "optimiser state" in names
    assert "a 21, of which 29% working memory" in figure.alt


def test_side_by_side_results_can_be_drawn_as_they_are():
    both = cost.SideBySide({"a": made(), "b": made()})
    assert tl.plots.bytes_by_owner(both).alt == tl.plots.bytes_by_owner(both.costs).alt
    labels = tl.plots.seconds_by_device(both).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["a: measured here", "b: measured here"]


def test_measured_recorded_and_estimated_look_different_and_say_so():
    *_, figure = figures()
    (axes,) = figure.axes
    measured, recorded, estimated = axes.patches
    assert axes.get_xscale() == "log"
    assert measured.get_facecolor()[3] == 1.0
    assert not measured.get_hatch()
    assert recorded.get_hatch()
    assert estimated.get_linestyle() == "--"
    assert estimated.get_facecolor()[3] == 0.0
    labels = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert labels == [
        "cpu: measured here",
        "unfrozen: recorded on a rather long card's name, 2026",
        "same step: estimate for NVIDIA T4, at least",
    ]
    for words in ("measured here", "recorded on", "estimate for NVIDIA T4, at least"):
        assert words in figure.alt
    spreads = [list(line.get_xdata()) for line in axes.lines]
    assert spreads == [[1.0, 4.0], [1.0, 4.0]]  # an estimate has none


def test_a_figure_of_nothing_is_refused():
    with pytest.raises(CourseError, match="There is no cost to show"):
        tl.plots.bytes_by_owner({})
    with pytest.raises(CourseError, match="There is no time to show"):
        tl.plots.seconds_by_device({})
    assert tl.plots.bytes_by_owner({"a": OWNED}, alt="My words.").alt == "My words."
    assert tl.plots.seconds_by_device({"a": made()}, alt="My words.").alt == "My words."
