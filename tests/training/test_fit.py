"""A training follows its plan, keeps its best, and ends well whatever comes in between."""

import copy
import inspect
import math
import random
import re
import threading
from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tasks import (
    make_task,
    moved,
    state,
    tensors,
    tiny_backbone,
    without,
)
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

import tlcourse as tl
from tlcourse.base.messages import notes_to, say
from tlcourse.engines import pytorch
from tlcourse.engines.pytorch import fast_batch_size
from tlcourse.errors import CourseError
from tlcourse.features.probe import fit_probe
from tlcourse.networks.account import forward_account, training_account
from tlcourse.tasks.task import Task
from tlcourse.training.finetune import freeze
from tlcourse.training.settings import Settings

N_TRAIN, N_VAL = 18, 6
QUICK = {"progress": False, "epochs": 2, "batch_size": 6}  # three steps an epoch


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture(scope="module")
def misleading():
    """Its validation labels are wrong: the better a network learns, the worse it validates."""
    return make_task(wrong_val=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def network():
    return tl.Network(tiny_backbone(), 3)


@pytest.fixture
def rates():
    """Learning rates of each step: name of the stage -> rate."""
    found = []

    def look(optimiser, *_):
        if "name" in optimiser.param_groups[0]:  # the account's step without numbers has no names
            found.append({group["name"]: group["lr"] for group in optimiser.param_groups})

    handle = register_optimizer_step_pre_hook(look)
    yield found
    handle.remove()


def validate(network, pictures):
    """Loss and accuracy by hand."""
    batch, labels = tensors(network.backbone, pictures)
    network.eval()
    with torch.no_grad():
        logits = network(batch)
    accuracy = (logits.argmax(1) == labels).float().mean().item()
    return nn.functional.cross_entropy(logits, labels).item(), accuracy


def at_step(network, step, action):
    """Do something in the forward pass of a training step, counted from 1; returns the handle."""
    steps = []

    def hook(module, inputs, output):
        if network.training:
            steps.append(1)
            if len(steps) == step:
                return action(output)
        return None

    return network.head.register_forward_hook(hook)


def interrupt(_):
    raise KeyboardInterrupt


# --- rates, labels, order ---


def test_rates_rise_along_a_line_and_fall_along_a_cosine(network, task, rates):
    tl.fit(network, task, learning_rate=0.01, warmup=0.25, **QUICK | {"epochs": 4})
    cosine = [0.5 * (1 + math.cos(math.pi * k / 9)) for k in range(9)]
    factors = [1 / 4, 2 / 4, 3 / 4, *cosine]  # 3 of 12 steps are a quarter
    assert [r["head"] for r in rates] == pytest.approx([0.01 * f for f in factors])
    assert [r["stem"] for r in rates] == pytest.approx([0.001 * f for f in factors])


def test_rates_begin_with_the_highest_without_warm_up(network, task, rates):
    tl.fit(network, task, learning_rate=0.01, body_rate=0.004, layer_decay=0.5, warmup=0, **QUICK)
    assert rates[0]["head"] == 0.01
    assert [rates[0][name] for name in ("embedding", "stage5", "stage4")] == [0.004, 0.002, 0.001]
    assert all(a["head"] > b["head"] for a, b in pairwise(rates))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_labels_are_smoothed_as_asked(network, task, smoothing):
    batch, labels = tensors(network.backbone, task.train)
    with torch.no_grad():  # BatchNorms keep their statistics, so the mode does not matter
        logits = network(batch)
    odds = logits.log_softmax(dim=1)
    right = odds[range(N_TRAIN), labels]
    expected = -((1 - smoothing) * right + smoothing * odds.mean(dim=1)).mean().item()
    history = tl.fit(
        network, task, label_smoothing=smoothing, epochs=1, batch_size=N_TRAIN, progress=False
    )
    assert history.epochs[0].train_loss == pytest.approx(expected, rel=1e-4)


def test_the_same_seed_gives_the_same_training_whatever_else_is_drawn(task):
    def train(seed):
        network = tl.Network(tiny_backbone("vit"), 3)
        history = tl.fit(network, task, seed=seed, augment=True, **QUICK | {"epochs": 1})
        return network, [(e.train_loss, e.val_loss, e.val_accuracy) for e in history.epochs]

    first, said = train(0)
    torch.rand(5)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    second, again = train(0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # noqa: NPY002
    assert again == said
    assert not moved(state(first), second)
    assert train(1)[1] != said


# --- the best epoch ---


def test_the_weights_at_the_end_are_those_of_the_best_epoch(network, misleading):
    history = tl.fit(network, misleading, learning_rate=0.01, **QUICK | {"epochs": 5})
    table = history.table
    assert len(table) == 5
    best = max(table.index, key=lambda e: (table.val_accuracy[e], -table.val_loss[e]))
    assert history.best_epoch == best < 5  # or the test would prove nothing
    loss, accuracy = validate(network, misleading.val)
    # Another batch size and memory layout round differently.
    assert loss == pytest.approx(table.val_loss[best], rel=1e-3)
    assert accuracy == pytest.approx(table.val_accuracy[best])
    assert abs(table.val_loss[5] / table.val_loss[best] - 1) > 0.01


def test_the_last_epoch_is_kept_where_it_is_the_best(network, task):
    history = tl.fit(network, task, learning_rate=0.003, **QUICK | {"epochs": 3})
    assert history.best_epoch > 1
    loss, accuracy = validate(network, task.val)
    best = history.epochs[history.best_epoch - 1]
    assert (loss, accuracy) == (pytest.approx(best.val_loss, rel=1e-3), best.val_accuracy)
    assert best.val_loss < history.epochs[0].val_loss  # it did learn
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss


def test_it_stops_after_so_many_epochs_without_a_better_one(network, misleading):
    options = {"learning_rate": 0.01} | QUICK | {"epochs": 8}
    history = tl.fit(network, misleading, patience=2, **options)
    assert history.best_epoch + 2 == len(history.epochs) < 8
    assert history.stopped == f"no better epoch in 2, so it ended after {len(history.epochs)}"
    other = tl.Network(tiny_backbone(), 3)
    history = tl.fit(other, misleading, **options)
    assert len(history.epochs) == 8
    assert history.stopped == ""


def test_without_validation_pictures_the_last_epoch_is_kept(network, task):
    alone = without(task, "val", "test")
    history = tl.fit(network, alone, patience=1, learning_rate=0.003, **QUICK | {"epochs": 3})
    assert history.best_epoch == len(history.epochs) == 3
    assert all(math.isnan(e.val_loss) and math.isnan(e.val_accuracy) for e in history.epochs)
    same = tl.Network(tiny_backbone(), 3)  # the validation pictures do not change what is learned
    tl.fit(same, replace(task, val=alone.val), learning_rate=0.003, **QUICK | {"epochs": 3})
    assert not moved(state(same), network)


def fitted_to_the_validation(pictures):
    """A network whose head has learned the validation pictures by heart; it can only get worse."""
    backbone = tiny_backbone()
    batch, labels = tensors(backbone, pictures)
    features = tl.activations(backbone, batch, "embedding")["embedding"].numpy()
    return tl.Network(backbone, 3, head=fit_probe(features, labels.numpy()).as_head())


def test_the_weights_of_the_start_are_kept_if_they_count_and_no_epoch_is_better(misleading):
    options = {"learning_rate": 0.01} | QUICK
    network, other = (fitted_to_the_validation(misleading.val) for _ in range(2))
    start, (_, accuracy) = state(network), validate(network, misleading.val)
    history = tl.fit(network, misleading, start_counts=True, **options)
    assert all(epoch.val_accuracy < accuracy for epoch in history.epochs)
    assert (history.best_epoch, len(history.epochs)) == (0, 2)
    assert not moved(start, network)
    assert "2 epochs" in repr(history)
    history = tl.fit(other, misleading, **options)
    assert history.best_epoch > 0
    assert moved(start, other)


def test_a_better_epoch_wins_over_the_start(network, task):
    start = state(network)
    options = {"learning_rate": 0.003} | QUICK | {"epochs": 3}
    history = tl.fit(network, task, start_counts=True, **options)
    assert history.best_epoch > 0
    assert moved(start, network)
    assert validate(network, task.val)[0] == pytest.approx(
        history.epochs[history.best_epoch - 1].val_loss, rel=1e-3
    )


def test_looking_at_the_start_does_not_change_the_training(task):
    found = []
    for start_counts in (True, False):
        network = tl.Network(tiny_backbone(), 3)
        network.updates_batchnorm = True
        history = tl.fit(network, task, start_counts=start_counts, **QUICK)
        found.append([(e.train_loss, e.val_loss) for e in history.epochs])
    assert found[0] == found[1]


# --- what is said of it ---


def test_a_history_says_what_happened(network, task):
    network.train()
    history = tl.fit(network, task, **QUICK)
    assert network.training  # as it was
    assert [epoch.epoch for epoch in history.epochs] == [1, 2]
    assert list(history.table.index) == [1, 2]
    assert history.table.loc[2, "val_loss"] == history.epochs[1].val_loss
    assert sum(e.seconds for e in history.epochs) <= history.seconds
    assert history.prepare_seconds == 0
    assert history.cached_until is None
    step = training_account(network.train(), (3, 64, 64), 6).bytes.total
    look = forward_account(network.eval(), (3, 64, 64), 12).bytes.total
    assert history.peak_bytes == max(step, look)
    best = history.epochs[history.best_epoch - 1]
    assert f"2 epochs in {history.seconds:.1f} s, batch 6" in repr(history)
    assert f"epoch {best.epoch}, validation accuracy {best.val_accuracy:.3f}" in repr(history)


def test_where_the_body_is_frozen_a_look_at_many_pictures_takes_more_than_a_step(network, task):
    freeze(network, "embedding")
    history = tl.fit(network, task, **QUICK | {"batch_size": 2})
    step = training_account(network.train(), (3, 64, 64), 2).bytes.total
    at_once = fast_batch_size(network.backbone)
    look = forward_account(network.eval(), (3, 64, 64), at_once).bytes.total
    assert history.peak_bytes == look > step


def test_a_curve_is_drawn_after_each_epoch_if_asked(network, task, monkeypatch):
    import IPython.display

    drawn = []

    class Handle:
        def update(self, bundle, *, raw):
            drawn.append(("update", bundle["text/plain"]))

    def display(bundle, *, raw, display_id):
        drawn.append(("display", bundle["text/plain"]))
        return Handle()

    monkeypatch.setattr(IPython.display, "display", display)
    tl.fit(network, task, live=True, **QUICK)
    assert [how for how, _ in drawn] == ["display", "update"]
    assert [re.search(r"in (\d) epochs", text).group(1) for _, text in drawn] == ["1", "2"]
    drawn.clear()
    tl.fit(network, task, **QUICK)  # no notebook
    assert drawn == []


def test_a_function_gets_the_epochs_so_far_instead(network, task, monkeypatch):
    import IPython.display

    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: 1 / 0)
    got = []
    history = tl.fit(network, task, live=got.append, **QUICK)
    assert got == [history.epochs[:1], history.epochs[:2]]


# --- interruptions ---


def test_an_interruption_in_the_first_epoch_keeps_what_was_learned_so_far(network, task, capsys):
    start = state(network)
    at_step(network, 3, interrupt)
    history = tl.fit(network, task, **QUICK)
    assert history.stopped == "interrupted in epoch 1"
    assert (history.epochs, history.best_epoch) == ((), 0)
    assert "Training was interrupted in epoch 1" in capsys.readouterr().out
    assert "head.weight" in moved(start, network)
    assert not network.training
    assert "interrupted in epoch 1" in repr(history)


def test_an_interruption_later_keeps_the_best_epoch(network, task):
    at_step(network, 5, interrupt)
    history = tl.fit(network, task, learning_rate=0.01, **QUICK)
    assert history.stopped == "interrupted in epoch 2"
    assert (len(history.epochs), history.best_epoch) == (1, 1)
    loss, accuracy = validate(network, task.val)
    assert loss == pytest.approx(history.epochs[0].val_loss, rel=1e-3)
    assert accuracy == history.epochs[0].val_accuracy


def test_an_interruption_keeps_the_start_while_it_is_the_best(misleading):
    network = fitted_to_the_validation(misleading.val)
    start = state(network)
    at_step(network, 5, interrupt)
    history = tl.fit(network, misleading, learning_rate=0.01, start_counts=True, **QUICK)
    assert (history.stopped, history.best_epoch) == ("interrupted in epoch 2", 0)
    assert not moved(start, network)


def test_the_table_of_a_training_without_an_epoch_is_empty(network, task):
    at_step(network, 1, interrupt)
    table = tl.fit(network, task, **QUICK).table
    assert len(table) == 0
    assert "val_accuracy" in table.columns


def test_an_error_of_the_network_leaves_the_best_weights_and_the_mode(network, task):
    def fail(_):
        raise ZeroDivisionError

    start = state(network)
    at_step(network, 3, fail)
    with pytest.raises(ZeroDivisionError):
        tl.fit(network, task, **QUICK)
    assert not moved(start, network)
    assert not network.training


@pytest.mark.parametrize(
    ("until", "prepared"),
    [(None, 0), ("stage2", 5 + 2), ("embedding", 9)],  # of 18 and 6 pictures, or of all 33
)
def test_on_step_is_called_after_each_step_and_each_batch_without_one(
    network, task, until, prepared, monkeypatch
):
    monkeypatch.setattr(pytorch, "fast_batch_size", lambda _: 4)
    freeze(network, until)
    called = []
    options = QUICK | {"batch_size": 2}  # so 4 validation pictures at once: two batches
    history = tl.fit(network, task, on_step=lambda: called.append(network.training), **options)
    assert history.cached_until == until
    assert called == [False] * prepared + ([True] * 9 + [False] * 2) * 2


def test_an_error_of_on_step_passes_through_and_the_best_weights_are_back(network, task):
    calls, kept = [], {}

    def stop():
        calls.append(1)
        if len(calls) == 3:  # the first epoch is learned, not yet looked at
            kept["first epoch"] = state(network)
        if len(calls) == 5:
            raise Enough

    start = state(network)
    with pytest.raises(Enough):
        tl.fit(network, task, on_step=stop, learning_rate=0.01, **QUICK)
    assert not moved(kept["first epoch"], network)
    assert moved(start, network)
    assert not network.training


def test_an_error_of_on_step_in_the_first_epoch_puts_the_start_back(network, task):
    start = state(network)
    with pytest.raises(ZeroDivisionError):
        tl.fit(network, task, on_step=lambda: 1 // 0, **QUICK)
    assert not moved(start, network)


class Enough(Exception):  # noqa: N818
    """Somebody has waited long enough."""


def after(calls):
    """Something for `on_step` that raises in its so-many-th call."""
    made = []

    def stop():
        made.append(1)
        if len(made) == calls:
            raise Enough

    return stop


def test_an_error_in_the_preparation_changes_nothing_and_loses_nothing(task, monkeypatch):
    monkeypatch.setattr(pytorch, "fast_batch_size", lambda _: 4)
    network = tl.Network(tiny_backbone(), 3)
    start, counts = state(network), count_pictures(network)
    freeze(network, "stage2")
    with pytest.raises(Enough):
        tl.fit(network, task, on_step=after(2), **QUICK)
    assert not moved(start, network)
    assert not network.training
    assert looked_at(counts, network.backbone, task.train[:8]) == {1}
    assert looked_at(counts, network.backbone, task.train[8:]) == {0}
    tl.fit(network, task, **QUICK)  # it goes on where it was
    assert looked_at(counts, network.backbone, task.train) == {1}


def test_what_was_stored_before_an_error_is_right(task, monkeypatch):
    monkeypatch.setattr(pytorch, "fast_batch_size", lambda _: 4)
    backbone = tiny_backbone()
    expected = tl.extract_features(backbone, task, "stage2", cache=False, progress=False)
    for calls in (1, 3, 2, 2, 1):  # 9 batches: after the last one all is written, but not finished
        with pytest.raises(Enough):
            tl.extract_features(backbone, task, "stage2", progress=False, on_batch=after(calls))
    called = []
    found = tl.extract_features(
        backbone, task, "stage2", progress=False, on_batch=lambda: called.append(1)
    )
    assert not called
    np.testing.assert_array_equal(found.x["stage2"], expected.x["stage2"])


def test_an_error_while_validating_puts_the_best_weights_back(network, task):
    start, modes = state(network), []

    def stop():
        modes.append(network.training)
        if not network.training:
            raise Enough

    with pytest.raises(Enough):
        tl.fit(network, task, on_step=stop, **QUICK)
    assert modes == [True] * 3 + [False]
    assert not moved(start, network)
    assert not network.training


def test_an_error_while_looking_at_the_start_leaves_the_mode(network, task):
    network.train()
    with pytest.raises(Enough):
        tl.fit(network, task, start_counts=True, on_step=after(1), **QUICK)
    assert network.training


# --- in a thread ---


def in_thread(call):
    """Call something in a thread of its own and return what it returns."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def test_a_training_in_a_thread_is_the_same(task):
    def train():
        return tl.fit(tl.Network(tiny_backbone(), 3), task, augment=True, **QUICK)

    here, there = train(), in_thread(train)
    assert [(e.train_loss, e.val_loss) for e in here.epochs] == [
        (e.train_loss, e.val_loss) for e in there.epochs
    ]


def test_a_training_without_progress_says_nothing(network, task, capfd):
    freeze(network, "stage2")
    in_thread(lambda: tl.fit(network, task, **QUICK))
    assert capfd.readouterr() == ("", "")


def test_a_listener_gets_the_notes_of_its_thread_instead_of_the_screen(network, task, capsys):
    at_step(network, 2, lambda logits: logits * math.nan)
    heard, heard_here = [], []

    def train():
        with notes_to(heard.append):
            tl.fit(network, task, **QUICK)
        say("not heard")

    with notes_to(heard_here.append):
        in_thread(train)
    assert len(heard) == 1
    assert "nan at step 2. Try a learning rate ten times smaller" in heard[0]
    assert heard_here == []
    assert capsys.readouterr().out == "not heard\n"


# --- a loss that is no number ---


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("step", [2, 5])
def test_a_loss_that_is_no_number_ends_it_with_the_best_weights(
    network, task, step, number, capsys
):
    start = state(network)
    at_step(network, step, lambda logits: logits * number)
    history = tl.fit(network, task, learning_rate=0.01, **QUICK)
    assert f"the loss was nan at step {step}" in history.stopped
    assert f"nan at step {step}. Try a learning rate ten times smaller" in capsys.readouterr().out
    assert history.best_epoch == len(history.epochs) == (step > 3)
    assert all(t.isfinite().all() for t in network.state_dict().values())
    if step > 3:
        assert validate(network, task.val)[0] == pytest.approx(history.epochs[0].val_loss, rel=1e-3)
    else:
        assert not moved(start, network)


@pytest.mark.parametrize("batch_size", [6, N_TRAIN])  # three steps an epoch, and a single one
def test_a_huge_learning_rate_leaves_weights_that_can_be_used(network, task, batch_size):
    history = tl.fit(
        network, task, learning_rate=1e30, epochs=3, batch_size=batch_size, warmup=0, progress=False
    )
    assert re.search(r"the .*loss was (nan|inf) .* step \d", history.stopped)
    assert all(t.isfinite().all() for t in network.state_dict().values())
    assert math.isfinite(validate(network, task.val)[0])
    if history.best_epoch:
        assert math.isfinite(history.epochs[history.best_epoch - 1].val_loss)


# --- the output of a frozen part ---


def count_pictures(network):
    """Count how often each picture goes into the body, also into copies of it."""
    counts = Counter()

    def look(module, inputs):
        counts.update(hash(x.contiguous().numpy().tobytes()) for x in inputs[0])

    network.body.register_forward_pre_hook(look)
    return counts


def looked_at(counts, backbone, pictures):
    batch, _ = tensors(backbone, pictures)
    return {counts[hash(x.contiguous().numpy().tobytes())] for x in batch}


@pytest.mark.parametrize("until", ["stage2", "embedding"])
def test_each_picture_runs_through_the_frozen_part_once(network, task, until):
    counts = count_pictures(network)
    freeze(network, until)
    history = tl.fit(network, task, **QUICK | {"epochs": 3})
    assert history.cached_until == until
    assert looked_at(counts, network.backbone, task.train) == {1}
    assert looked_at(counts, network.backbone, task.val) == {1}
    assert history.prepare_seconds > 0
    counts.clear()
    again = tl.fit(network, task, **QUICK | {"epochs": 3})
    assert looked_at(counts, network.backbone, task.train) == {0}  # it is on the disk
    assert again.prepare_seconds == history.prepare_seconds  # and counts as if computed
    assert again.seconds > again.prepare_seconds


def test_each_picture_runs_through_the_frozen_part_in_each_epoch_if_nothing_is_kept(network, task):
    counts = count_pictures(network)
    freeze(network, "stage2")
    history = tl.fit(network, task, cache_frozen=False, **QUICK | {"epochs": 3})
    assert history.cached_until is None
    assert looked_at(counts, network.backbone, task.train) == {3}
    assert looked_at(counts, network.backbone, task.val) == {3}


def test_new_crops_run_through_the_frozen_part_every_time(network, task):
    counts = count_pictures(network)
    freeze(network, "stage2")
    history = tl.fit(network, task, augment=True, **QUICK | {"epochs": 3})
    assert history.cached_until is None
    assert looked_at(counts, network.backbone, task.train) == {0}  # never as they are
    assert looked_at(counts, network.backbone, task.val) == {1}  # these have no crops
    assert sum(counts.values()) >= 3 * N_TRAIN + N_VAL
    assert len(counts) >= 3 * N_TRAIN + N_VAL


class Flip:
    """Turns a picture upside down, or not, by PyTorch's generator, and notes what it did."""

    def __init__(self):
        self.seen = []

    def __call__(self, picture):
        turned = bool(torch.rand(()) < 0.5)
        self.seen.append((picture.tobytes(), turned))
        return picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if turned else picture


@pytest.mark.parametrize("until", [None, "stage4"])
@pytest.mark.parametrize("own", [True, False])
def test_fresh_views_are_those_that_the_task_or_the_learner_names(task, until, own):
    def train(seed):
        flip = Flip()
        network = tl.Network(tiny_backbone(), 3, layer="stage4", head="conv")
        freeze(network, until)
        changing = task if own else replace(task, change=flip)
        history = tl.fit(network, changing, augment=flip if own else True, seed=seed, **QUICK)
        return flip.seen, [(e.train_loss, e.val_loss) for e in history.epochs]

    (seen, losses), again, (other, _) = train(0), train(0), train(1)
    assert (seen, losses) == again
    assert [turned for _, turned in seen] != [turned for _, turned in other]
    pictures = Counter(picture for picture, _ in seen)
    assert set(pictures) == {picture.tobytes() for picture, _ in task.train}
    assert set(pictures.values()) == {2}  # each once in an epoch; those of val are as they are
    assert {turned for _, turned in seen} == {True, False}


def test_the_task_says_how_its_pictures_vary_and_else_crops_do(network, task):
    def losses(task, augment):
        twin = copy.deepcopy(network)
        history = tl.fit(twin, task, augment=augment, **QUICK)
        return [e.train_loss for e in history.epochs]

    still = replace(task, change=lambda picture: picture)
    plain = losses(task, False)
    assert losses(still, True) == plain  # a change that changes nothing
    assert losses(still, False) == plain
    assert losses(task, True) != plain


def test_a_frozen_body_sees_the_views_on_a_copy_that_gives_the_same(task):
    found = {}
    for cache_frozen in (True, False):  # the copy, and the network itself
        network = tl.Network(tiny_backbone(), 3, layer="stage4", head="conv")
        network.freeze_body()
        history = tl.fit(network, task, augment=True, cache_frozen=cache_frozen, **QUICK)
        found[cache_frozen] = [e.train_loss for e in history.epochs]
    assert found[True] == pytest.approx(found[False], rel=1e-3)


@pytest.mark.parametrize("augment", ["yes", 1, None])
def test_an_augmentation_that_changes_no_picture_is_told(augment):
    with pytest.raises(CourseError, match=r"augment is .*True, False, or a function"):
        Settings(augment=augment)


def test_a_shallow_frozen_part_is_not_worth_keeping(network, task):
    freeze(network, "stem")
    assert tl.fit(network, task, **QUICK).cached_until is None


@pytest.mark.parametrize(
    ("family", "until"),
    [
        ("efficientnet", "stage2"),
        ("efficientnet", "embedding"),
        ("resnet", "stage2"),
        ("vit", "stage3"),
    ],
)
def test_the_stored_output_leads_to_the_same_training(task, family, until):
    found = {}
    for how in ("kept", "not kept", "unfrozen"):
        network = tl.Network(tiny_backbone(family), 3)
        freeze(network, None if how == "unfrozen" else until)
        options = {"cache_frozen": how == "kept", "learning_rate": 0.01}
        history = tl.fit(network, without(task, "val"), **options, **QUICK)
        assert history.cached_until == (until if how == "kept" else None)
        batch, _ = tensors(network.backbone, task.test)
        with torch.no_grad():
            found[how] = network(batch)
    # Folding BatchNorms changes features by up to 1e-4; AdamW may turn the sign of a step of a
    # weight whose gradient is next to nothing.
    close = {"rtol": 0, "atol": 0.02}
    torch.testing.assert_close(found["kept"], found["not kept"], **close)
    assert not torch.allclose(found["unfrozen"], found["not kept"], **close)


# --- memory ---


def no_room_for_more_than(network, n):
    """Pretend that the GPU's memory is full with more than `n` pictures; returns what was tried."""
    tried = []

    def look(module, inputs):
        if network.training:
            tried.append(len(inputs[0]))
            if len(inputs[0]) > n:
                raise torch.cuda.OutOfMemoryError("pretended")

    network.body.register_forward_pre_hook(look)
    return tried


def test_where_memory_is_not_enough_batches_are_cut_in_halves(task, capsys):
    options = {"epochs": 1, "batch_size": 8, "progress": False, "warmup": 0}
    whole, parts = (tl.Network(tiny_backbone(), 3) for _ in range(2))
    start = state(whole)
    expected = tl.fit(whole, task, **options)
    assert "memory" not in capsys.readouterr().out
    tried = no_room_for_more_than(parts, 3)
    history = tl.fit(parts, task, **options)
    assert tried == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2]  # 18 pictures, in three steps
    said = capsys.readouterr().out
    assert "The GPU's memory was not enough: 4 pictures are computed at once now" in said
    assert "2 pictures are computed at once now. A step still learns from the whole batch" in said
    assert history.epochs[0].train_loss == pytest.approx(expected.epochs[0].train_loss, rel=1e-4)
    for name, weight in whole.named_parameters():
        step = (weight - start[name]).abs().max().item()
        difference = (weight - parts.get_parameter(name)).abs()
        # Sums in another order; AdamW makes much of gradients that are next to nothing.
        assert difference.mean().item() < 0.01 * step, name


def test_a_single_picture_that_does_not_fit_is_an_error(network, task):
    start = state(network)
    no_room_for_more_than(network, 0)
    with pytest.raises(
        CourseError, match=r"not enough for a single picture\. Take smaller"
    ) as raised:
        tl.fit(network, task, **QUICK)
    assert isinstance(raised.value.__cause__, torch.cuda.OutOfMemoryError)
    assert not moved(start, network)


# --- what nothing can be trained with ---


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *(({"learning_rate": rate}, "learning_rate is") for rate in (0, -0.1, math.inf, math.nan)),
        ({"body_rate": 0}, "body_rate is 0"),
        ({"layer_decay": 2}, "layer_decay is 2"),
        ({"epochs": 0}, "epochs is 0, but must be a whole number, 1 or larger"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"batch_size": 0}, "batch_size is 0, but must be a whole number, 1 or larger"),
        ({"batch_size": -2}, "batch_size is -2"),
        ({"warmup": 1}, "warmup is 1, but must be a number from 0 to below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing is -0.1"),
        ({"patience": 0}, "patience is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_options_that_make_no_sense_are_refused(network, task, options, said):
    start = state(network)
    with pytest.raises(CourseError, match=said):
        tl.fit(network, task, **QUICK | options)
    assert not moved(start, network)


def test_an_option_that_is_not_known_is_answered_with_the_nearest_ones(network, task):
    with pytest.raises(TypeError, match=r"called 'learning_rat'\. Nearest: learning_rate"):
        tl.fit(network, task, learning_rat=0.1)


def test_settings_are_the_options_by_name(task):
    settings = Settings(learning_rate=0.01, **QUICK)
    together, apart = (tl.Network(tiny_backbone(), 3) for _ in range(2))
    tl.fit(together, task, settings, weight_decay=0.2)
    tl.fit(apart, task, learning_rate=0.01, weight_decay=0.2, **QUICK)
    assert not moved(state(together), apart)
    assert settings.weight_decay == 0.01  # it is still what it was


def test_settings_check_themselves():
    with pytest.raises(CourseError, match="warmup is 2"):
        Settings(warmup=2)
    with pytest.raises(CourseError, match="epochs is 0"):
        Settings().changed(epochs=0)


def test_the_signature_shows_each_option_and_its_default():
    parameters = inspect.signature(tl.fit).parameters
    for field in fields(Settings):
        assert parameters[field.name].default == field.default
    assert list(parameters)[:3] == ["network", "task", "settings"]


def chosen(task, *places):
    return replace(task, train=task.train.take(list(places)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: replace(t, classes=("ants",)), "has 1 class, so there is nothing to tell apart"),
        (lambda t: chosen(t, 0, 6), r"fewer: 'ants' \(1\), 'bees' \(1\), 'goldfishes' \(0\)"),
        (lambda t: chosen(t, 0, 1, 6, 12, 13), r"fewer: 'bees' \(1\)\. Add pictures"),
        (lambda t: chosen(t, 0, 1, 6, 7), r"fewer: 'goldfishes' \(0\)"),
        (lambda t: replace(t, classes=(*t.classes, "x")), r"'x' \(0\)"),
        (lambda t: t.train, "A task is needed, not Split"),
    ],
)
def test_tasks_that_nothing_can_be_learned_from_are_refused(network, task, change, said):
    start = state(network)
    for train in (tl.fit, tl.find_learning_rate):
        with pytest.raises(CourseError, match=said):
            train(network, change(task))
    assert not moved(start, network)


def test_a_head_for_another_number_of_classes_is_refused(task):
    network = tl.Network(tiny_backbone(), 4)
    said = "The head has 4 outputs, but the task has 3 classes. Make the network with n_classes=3"
    for train in (tl.fit, tl.find_learning_rate):
        with pytest.raises(CourseError, match=said):
            train(network, task)


def test_two_pictures_of_each_class_are_enough(task):
    few = chosen(task, 0, 1, 6, 7, 12, 13)
    assert isinstance(few, Task)
    history = tl.fit(tl.Network(tiny_backbone(), 3), few, progress=False, epochs=1, batch_size=5)
    assert math.isfinite(history.epochs[0].train_loss)  # six pictures in one batch


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
def test_a_gpu_trains_in_mixed_precision_to_what_the_cpu_trains(task):
    kinds, found = set(), {}

    def look(module, inputs, output):
        if network.training:
            kinds.add((output.device.type, output.dtype))

    for device in ("cpu", "cuda"):
        backbone = tl.load_backbone("timm/test_efficientnet", pretrained=False, device=device)
        backbone.model.load_state_dict(tiny_backbone().model.state_dict())
        network = tl.Network(backbone.at_size(64), 3)
        start = state(network)
        network.body.conv_head.register_forward_hook(look)
        history = tl.fit(network, task, learning_rate=0.003, **QUICK | {"epochs": 3})
        assert {name for name, _ in network.named_parameters()} <= moved(start, network)
        assert all(p.dtype == torch.float32 for p in network.parameters())
        assert history.peak_bytes > 0
        found[device] = [epoch.train_loss for epoch in history.epochs]
    assert ("cpu", torch.float32) in kinds
    assert {kind for device, kind in kinds if device == "cuda"} <= {torch.bfloat16, torch.float16}
    assert len(kinds) == 2
    # Brain floats have 8 bits of precision.
    assert found["cuda"] == pytest.approx(found["cpu"], rel=0.05)
