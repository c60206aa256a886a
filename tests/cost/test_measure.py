"""Costs are measured as `fit` trains, in turns, and counted as the machine uses memory."""

import itertools
import json
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_tasks import moved, state, tiny_backbone, traces

import tlcourse as tl
from tlcourse import cost
from tlcourse.cost import measure
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.networks.account import OWNERS, forward_account, training_account
from tlcourse.networks.tail import Tail
from tlcourse.networks.trace import up_to
from tlcourse.training.data import shuffled
from tlcourse.training.step import Stepper

TINY = {"batch": 2, "size": 64, "n_classes": 3}


@pytest.fixture
def steps(monkeypatch):
    """Every step that is made: the networks, the inputs, and which modules were training."""
    seen = []
    real = Stepper.step

    def step(self, network, inputs, labels, rate=None):
        modes = {path: module.training for path, module in network.named_modules()}
        seen.append((network, inputs, modes))
        return real(self, network, inputs, labels, rate)

    monkeypatch.setattr(Stepper, "step", step)
    return seen


# --- one pass ---


def test_a_training_step_is_the_one_that_fit_makes(steps):
    found = cost.training_step(tiny_backbone(), **TINY, repeats=3)
    assert len(steps) == 3 + measure.WARM_UP
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
    shape = record.output_shape if until == "stage2" else (rest.network.head.in_features,)
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


def test_what_would_not_fit_is_refused_before_it_runs(monkeypatch, steps):
    monkeypatch.setattr(measure, "memory", lambda: (2**20, 2**20))
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
        ({"n_classes": 1}, "n_classes is 1"),
        ({"device": "abacus"}, "not available here"),
        ({"layer": "logits"}, "cut before them"),
    ],
)
def test_options_that_nothing_can_be_measured_with_are_refused(options, said):
    with pytest.raises(CourseError, match=said):
        cost.training_step(tiny_backbone(), **TINY | options)


def test_a_batch_that_was_cut_in_parts_is_no_measurement():
    step = measure.step_pass(tiny_backbone(), measure.StepOptions(**TINY))
    step.stepper.at_once = 1
    with pytest.raises(CourseError, match="did not fit the memory of cpu and was cut in parts"):
        step.cost([1.0])


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
    seconds = itertools.cycle([9.0] * measure.WARM_UP + [2.0, 1.0, 6.0])
    monkeypatch.setattr(measure.TimedPass, "run", lambda self: next(seconds))
    monkeypatch.setattr(measure, "_opening_seconds", lambda *_: 0.01)
    monkeypatch.setattr(measure, "_frozen_seconds", lambda *_: (0.5, 0.1))
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


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"n_pictures": 0}, "n_pictures is 0, but must be a whole number, 1 or larger"),
        ({"n_pictures": 5, "n_val": -1}, "n_val is -1, but must be a whole number, 0 or larger"),
    ],
)
def test_an_epoch_without_pictures_is_refused(counts, said):
    with pytest.raises(CourseError, match=said):
        cost.epoch(tiny_backbone(), **counts)


def test_a_misspelt_option_is_told_with_the_nearest_one():
    with pytest.raises(UnknownNameError, match="Nearest: freeze_until"):
        cost.epoch(tiny_backbone(), n_pictures=5, freeze_untill="stage2")
    with pytest.raises(UnknownNameError, match=r"option \(in 'training_step'\).*Nearest: size"):
        cost.training_step(tiny_backbone(), sizes=64)
    with pytest.raises(UnknownNameError, match=r"option \(in 'a'\) called 'batsch'.*batch"):
        cost.side_by_side(tiny_backbone(), {"a": {"batsch": 2}})


# --- side by side ---


def test_settings_are_measured_in_turn(monkeypatch):
    order = []
    monkeypatch.setattr(
        measure.TimedPass, "run", lambda self: order.append(self.untimed.batch) or float(len(order))
    )
    sizes = {"a": {**TINY}, "b": {**TINY, "batch": 3}}
    found = cost.side_by_side(tiny_backbone(), sizes, repeats=2)
    assert order == [2, 3] * (2 + measure.WARM_UP)
    assert found.costs["a"].times == (5.0, 7.0)
    assert found.costs["b"].times == (6.0, 8.0)


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


# --- the count against the machine ---

# One step in a process that has done nothing else: one that has worked before uses its freed memory
# again, and does not grow. Nothing is warmed up, so threads and kernels that start count as well.
_ONE_STEP = """
import json
from pathlib import Path
import psutil
import tlcourse as tl
from tlcourse.base.machine import give_memory_back, peak_resident
from tlcourse.cost.measure import StepOptions, step_pass

step = step_pass(tl.load_backbone(device="cpu"), StepOptions(batch=8, size=128))
process = psutil.Process()
give_memory_back()
before = process.memory_info().rss
Path("/proc/self/clear_refs").write_text("5")  # the peak that Linux keeps begins anew
step.run()
print(json.dumps([step.untimed.bytes.as_dict(), peak_resident(process) - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the peak of a process")
def test_a_fresh_process_grows_in_its_first_step_by_what_was_counted():
    done = subprocess.run([sys.executable, "-c", _ONE_STEP], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    owners, grown = json.loads(done.stdout.splitlines()[-1])
    rising = ("gradients", "optimiser_state", "activations", "working")
    inputs = 8 * (3 * 128 * 128 * 4 + 8)  # which are there before the step
    # Owners peak at different moments, and what starts in the first step has no owner.
    assert 0.75 < grown / (sum(owners[owner] for owner in rising) - inputs) < 1.25


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
