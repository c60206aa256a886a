"""The fine-tuning explorer trains what its controls say, and hears the button that stops it."""

import gc
import html
import re
import threading
import weakref
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from tiny_tasks import make_task, moved, state, tiny_backbone, traces, without

import tlcourse as tl
from tlcourse.engines import pytorch
from tlcourse.errors import CourseError
from tlcourse.training.finetune import freeze
from tlcourse.training.history import Epoch, History
from tlcourse.widgets import training, training_job
from tlcourse.widgets.controls import Steps
from tlcourse.widgets.training import TrainingExplorer
from tlcourse.widgets.training_job import Job

QUICK = {"progress": False, "live": False, "batch_size": 6}  # three steps an epoch
LAYERS = ("stem", "stage1", "stage2", "stage3", "stage4", "stage5")


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make(task):
    made = []

    def make(**options):
        explorer = TrainingExplorer(tiny_backbone(), task, **{"batch_size": 6} | options)
        explorer.epochs.value = 0
        made.append(explorer)
        return explorer

    yield make
    for explorer in made:
        explorer.close()
        assert explorer.wait(30)


@pytest.fixture
def explorer(make):
    return make()


@pytest.fixture
def calls(monkeypatch):
    """What trainings were called with. `at(n)` holds the next one after n batches until `go`."""

    class Calls(list):
        reached, go = threading.Event(), threading.Event()
        before = 0

        def at(self, n):
            self.reached.clear(), self.go.clear()
            self.before = n

    heard, real = Calls(), training_job.fit

    def fit(network, task, settings, *, on_step, **options):
        head = network.head.weight.detach().clone()
        given = {"network": weakref.ref(network), "task": task, "head": head}
        heard.append(vars(settings) | options | given)
        batches, before = count(1), heard.before
        heard.before = 0

        def listen():
            if next(batches) == before:
                heard.reached.set()
                assert heard.go.wait(30)
            on_step()

        return real(network, task, settings, on_step=listen, **options)

    monkeypatch.setattr(training_job, "fit", fit)
    yield heard
    heard.go.set()


def press(explorer, button="train"):
    getattr(explorer, button).click()


def done(explorer):
    press(explorer)
    assert explorer.wait(60)
    return explorer.runs[-1]


def choose(steps, label):
    steps.value = steps.labels.index(label)


def ready(explorer):
    """Whether Train is what one can press now."""
    styles = (explorer.train.button_style, explorer.stop.button_style)
    return explorer._job is None and styles == ("primary", "")


def labels(explorer):
    table = ET.fromstring(explorer.table.value.strip())
    return ["".join(row[0].itertext()).strip() for row in table.iter("tr")][1:]


# --- what is trained ---


def test_the_controls_offer_what_network_and_task_have(explorer):
    assert explorer.until.labels == ["nothing", *LAYERS, "everything but the head"]
    assert tiny_backbone().layers == (*LAYERS, "embedding", "logits")
    assert explorer.per_class.labels == ["2", "5", "all"]  # each class has six
    assert explorer.per_class.label == "all"
    assert all(w.description for w in (explorer.until, explorer.rate, explorer.epochs))
    assert all(w.description for w in (explorer.per_class, explorer.pretrained, explorer.stop))


@pytest.mark.parametrize(
    ("control", "label", "until", "options"),
    [
        ("until", "nothing", None, {}),
        ("until", "stage2", "stage2", {}),
        ("until", "everything but the head", "embedding", {}),
        ("rate", "0.03", "stage4", {"learning_rate": 0.03}),
        ("epochs", "3", "stage4", {"epochs": 3}),
    ],
)
def test_a_run_is_what_fit_gives_with_the_same_options(
    explorer, task, control, label, until, options
):
    choose(explorer.until, "stage4")
    choose(getattr(explorer, control), label)
    run = done(explorer)
    network = tl.Network(tiny_backbone(), 3)
    freeze(network, until)
    options = {"learning_rate": 0.003, "epochs": 1} | options
    history = tl.fit(network, task, **QUICK | options)
    assert run.accuracies == tuple(epoch.val_accuracy for epoch in history.epochs)
    assert (run.note, explorer.problem.value) == ("", "")
    assert label in run.settings


def test_the_rates_reach_the_optimiser_and_random_weights_learn_as_fast_as_the_head(
    explorer, calls
):
    choose(explorer.rate, "0.01")
    done(explorer)
    explorer.pretrained.value = False
    done(explorer)
    assert [(c["learning_rate"], c["body_rate"]) for c in calls] == [(0.01, 0.001), (0.01, 0.01)]


def test_without_the_box_a_run_begins_with_random_weights(explorer, task):
    choose(explorer.until, "nothing")
    explorer.pretrained.value = False
    explorer.epochs.value = 2
    run = done(explorer)
    network = tl.Network(tiny_backbone(), 3, random_weights=True)
    history = tl.fit(network, task, epochs=3, learning_rate=0.003, body_rate=0.003, **QUICK)
    assert run.accuracies == tuple(epoch.val_accuracy for epoch in history.epochs)
    assert "random" in run.settings


def test_few_pictures_are_so_many_of_each_class_and_a_part_of_more(task, explorer, calls):
    names = {}
    for label in ("2", "5", "all"):
        choose(explorer.per_class, label)
        done(explorer)
        used = calls[-1]["task"]
        names[label] = set(used.train.names)
        each = 6 if label == "all" else int(label)
        assert np.bincount(used.train.labels).tolist() == [each] * 3
        assert used.val is task.val
    assert names["2"] < names["5"] < names["all"] == set(task.train.names)
    assert set(task.few_of_each(train=2, seed=1).train.names) != names["2"]


def test_the_seed_decides_head_and_order(make, calls):
    for seed in (0, 7):
        done(make(seed=seed))
        head = tl.Network(tiny_backbone(), 3, seed=seed).head
        assert torch.equal(calls[-1]["head"], head.weight)
        assert calls[-1]["seed"] == seed


def test_the_network_of_the_notebook_stays_as_it_is(explorer):
    model = tiny_backbone().model
    before, marks = state(model), traces(model)
    choose(explorer.until, "nothing")
    done(explorer)
    assert not moved(before, model)
    assert traces(model) == marks


def test_moving_a_control_while_it_runs_counts_for_the_next_run(explorer, calls):
    calls.at(2)
    press(explorer)
    assert calls.reached.wait(30)
    choose(explorer.rate, "0.1")
    calls.go.set()
    assert explorer.wait(30)
    done(explorer)
    assert [c["learning_rate"] for c in calls] == [0.003, 0.1]
    assert [run.settings[1] for run in explorer.runs] == ["0.003", "0.1"]


# --- stop ---


@pytest.mark.parametrize("phase", ["preparation", "training", "validation"])
def test_stop_is_heard_within_one_batch(task, monkeypatch, phase):
    """With the real network: once Stop is pressed, no further batch is computed."""
    monkeypatch.setattr(pytorch, "fast_batch_size", lambda _: 4)
    more = replace(task, val=task.train)  # so that there are several batches of them
    explorer = TrainingExplorer(tl.load_backbone().at_size(64), more, batch_size=3)
    choose(explorer.until, "stage5" if phase == "preparation" else "nothing")
    passes, real = [], training_job.fit

    def fit(network, *arguments, **options):
        def look(module, inputs):
            now = "training" if network.training else "validation"
            passes.append("preparation" if len(inputs[0]) == 4 else now)
            if passes.count(phase) == 2 and passes[-1] == phase:
                explorer.stop.click()

        network.body.register_forward_pre_hook(look)  # copies of it have it, too
        return real(network, *arguments, **options)

    monkeypatch.setattr(training_job, "fit", fit)
    run = done(explorer)
    assert (passes[-1], passes.count(phase)) == (phase, 2)
    assert run.note.startswith("stopped")
    assert ready(explorer)
    assert explorer.problem.value == ""
    explorer.close()


def test_what_a_stopped_run_reached_stays_and_the_next_one_works(explorer, calls):
    explorer.epochs.value = 4
    choose(explorer.until, "nothing")
    calls.at(3 + 1 + 2)  # an epoch with its look, and two steps
    press(explorer)
    assert calls.reached.wait(30)
    press(explorer, "stop")
    press(explorer)  # too early
    assert explorer.status.value == "Stopping ..."
    calls.go.set()
    assert explorer.wait(30)
    run = explorer.runs[-1]
    assert len(run.accuracies) == 1
    assert run.note == "stopped in epoch 2"
    assert run.note in explorer.table.value
    assert "<progress" not in explorer.progress.value
    assert done(explorer).accuracies[0] == run.accuracies[0]
    assert 'value="1.00"' in explorer.progress.value


def test_a_press_that_makes_no_sense_changes_nothing_and_is_answered(explorer, calls):
    assert ready(explorer)
    press(explorer, "stop")
    assert explorer.status.value == "No training is running."
    calls.at(1)
    press(explorer)
    assert calls.reached.wait(30)
    assert (explorer.train.button_style, explorer.stop.button_style) == ("", "primary")
    press(explorer)  # a second click, for example
    assert explorer.status.value == "A training is running; press Stop first."
    calls.go.set()
    assert explorer.wait(30)
    assert len(calls) == 1
    assert ready(explorer)
    assert explorer.status.value == explorer.runs[-1].ending
    press(explorer, "stop")
    assert explorer.status.value == "No training is running."


def test_a_press_at_the_very_end_does_not_hide_how_the_run_ended(explorer, monkeypatch):
    real = Job.train

    def train_and_press(job, *arguments):
        notes = real(job, *arguments)
        press(explorer)
        return notes

    monkeypatch.setattr(Job, "train", train_and_press)
    run = done(explorer)
    assert explorer.status.value == run.ending


def test_no_button_that_has_the_focus_is_ever_disabled(explorer, calls):
    seen = []
    for button in (explorer.train, explorer.stop, explorer.forget):
        button.observe(seen.append, names="disabled")
    calls.at(1)
    press(explorer)
    assert calls.reached.wait(30)
    press(explorer, "stop")
    calls.go.set()
    assert explorer.wait(30)
    press(explorer, "stop")
    assert seen == []
    assert not explorer.train.disabled
    assert not explorer.stop.disabled


def test_a_newer_request_ends_the_run(explorer, calls):
    explorer.epochs.value = 4
    calls.at(2)
    press(explorer)
    assert calls.reached.wait(30)
    choose(explorer.epochs, "1")
    explorer.ask()
    calls.go.set()
    assert explorer.wait(30)
    assert [run.note for run in explorer.runs] == ["stopped before the first step", ""]
    assert ready(explorer)


@pytest.mark.parametrize("batch", [1, 5])
def test_closing_ends_the_run_and_lets_go_of_all(make, calls, batch):
    explorer = make()
    choose(explorer.until, "nothing")
    explorer.epochs.value = 4
    calls.at(batch)
    press(explorer)
    assert calls.reached.wait(30)
    explorer.close()
    calls.go.set()
    assert explorer.wait(30)
    thread = explorer._latest._thread
    thread.join(30)
    assert not thread.is_alive()
    assert len(explorer.runs[-1].accuracies) < 5
    assert calls[0]["network"]() is None
    assert explorer._backbone is explorer._task is explorer._job is None


@pytest.mark.parametrize("how", ["whole", "stopped", "error"])
def test_of_a_run_only_numbers_stay(explorer, calls, how, monkeypatch):
    calls.at(1)
    press(explorer)
    assert calls.reached.wait(30)
    if how == "stopped":
        press(explorer, "stop")
    if how == "error":
        monkeypatch.setattr(Job, "progress", lambda *_, **__: 1 / 0)
    calls.go.set()
    assert explorer.wait(30)
    gc.collect()  # from Python 3.13 on an error is left to the collector
    assert calls[0]["network"]() is None
    assert bool(explorer.problem.value) == (how == "error")


# --- what is said ---


def test_an_error_is_shown_and_the_next_run_works(explorer, monkeypatch):
    monkeypatch.setattr(Job, "progress", lambda *_, **__: 1 / 0)
    run = done(explorer)
    assert "ZeroDivisionError" in explorer.problem.value
    assert run.note == "an error"
    assert ready(explorer)
    monkeypatch.undo()
    assert len(done(explorer).accuracies) == 1
    assert explorer.problem.value == ""


def test_an_error_before_the_run_is_shown_too(explorer, monkeypatch):
    monkeypatch.setattr(training, "Network", lambda *_, **__: 1 / 0)
    press(explorer)
    assert "ZeroDivisionError" in explorer.problem.value
    assert ready(explorer)
    monkeypatch.undo()
    assert len(done(explorer).accuracies) == 1


def test_an_error_after_the_run_is_shown_and_the_next_run_works(explorer, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr("tlcourse.widgets.training.give_memory_back", lambda: 1 / 0)
        done(explorer)
    assert "ZeroDivisionError" in explorer.problem.value
    assert ready(explorer)
    assert len(done(explorer).accuracies) == 1
    assert explorer.problem.value == ""


def test_an_error_on_moving_a_control_is_shown_and_hides_nothing_otherwise(explorer, monkeypatch):
    explorer.show_problem("of the last run")
    choose(explorer.rate, "0.1")
    assert "of the last run" in explorer.problem.value
    monkeypatch.setattr(tl.Task, "few_of_each", lambda *_, **__: 1 / 0)
    choose(explorer.rate, "0.01")
    assert "ZeroDivisionError" in explorer.problem.value


def test_a_loss_that_is_no_number_is_told_in_the_widget_only(explorer, monkeypatch, capfd):
    class Broken(tl.Network):
        def forward(self, batch):
            return super().forward(batch) * (torch.nan if self.training else 1)

    monkeypatch.setattr(training, "Network", Broken)
    choose(explorer.until, "nothing")
    run = done(explorer)
    assert "Try a learning rate ten times smaller" in explorer.problem.value
    assert run.note == "the loss was nan at step 1"
    assert capfd.readouterr() == ("", "")


def test_the_controls_are_explained_before_the_run(explorer):
    choose(explorer.until, "stage4")
    assert "tenth of the head's rate: 0.0003. 18 training pictures" in explorer.about.value
    assert "3 steps in each epoch" in explorer.about.value
    explorer.pretrained.value = False
    assert "at the head's rate: 0.003." in explorer.about.value
    choose(explorer.per_class, "2")
    assert "6 training pictures, 1 step in each epoch" in explorer.about.value
    choose(explorer.until, "everything but the head")
    assert "Only the head learns" in explorer.about.value


def test_the_thread_reads_no_control_and_leaves_the_text_of_the_newest_setting(
    explorer, monkeypatch
):
    readers, real = set(), Steps.label.fget
    slow, moved_on = threading.Event(), threading.Event()

    def label(self):
        readers.add(threading.current_thread())
        return real(self)

    def ends():  # near the end of the run
        slow.set()
        assert moved_on.wait(30)

    monkeypatch.setattr(Steps, "label", property(label))
    monkeypatch.setattr("tlcourse.widgets.training.give_memory_back", ends)
    press(explorer)
    assert slow.wait(30)
    explorer.pretrained.value = False
    choose(explorer.rate, "0.1")
    newest = explorer.about.value
    moved_on.set()
    assert explorer.wait(30)
    assert readers == {threading.main_thread()}
    assert explorer.about.value == newest
    assert "head's rate: 0.1." in newest


def test_state_and_error_stand_right_below_the_buttons(explorer):
    parts = list(explorer.children)
    at = parts.index(explorer.progress)
    assert parts[at - 2 : at] == [explorer.status, explorer.problem]
    assert explorer.train in parts[at - 3].children


# --- what is shown ---


def alternative_text(explorer):
    return html.unescape(re.search('alt="(.*?)"', explorer.curves.value)[1])


def histories():
    epochs = tuple(Epoch(i, 1.0, 1.0, a, 0.5, "stem") for i, a in enumerate((0.3, 0.6, 0.5), 1))
    return {
        "low <rate>": History(epochs, 2, "", 12.0, 0.0, lambda: 0, 8, None),
        "by hand": [0.25, np.float64(0.75)],
    }


def test_runs_of_the_lesson_are_there_from_the_start(make):
    explorer = make(runs=histories(), reference=("probe", 0.9))
    alt = alternative_text(explorer)
    assert "low <rate>: from 0.30 to 0.50 in 3 epochs; by hand: from 0.25 to 0.75" in alt
    assert "A dashed line marks probe at 0.90" in alt
    assert labels(explorer) == ["low <rate>", "by hand"]
    assert "0.600 (epoch 2)" in explorer.table.value
    assert "12\N{NO-BREAK SPACE}s" in explorer.table.value
    done(explorer)
    assert labels(explorer) == ["low <rate>", "by hand", "run 1"]
    assert "run 1: " in alternative_text(explorer)


def test_the_static_figure_shows_the_runs_of_the_lesson(make):
    bundle = make(runs=histories(), reference=("probe", 0.9))._repr_mimebundle_()
    image = ET.fromstring(bundle["text/html"].replace(">", "/>"))
    assert image.tag == "img"
    assert "by hand: from 0.25 to 0.75 in 2 epochs" in image.get("alt")
    assert "probe at 0.90" in image.get("alt")


def test_without_a_run_there_is_a_sentence_alone(explorer):
    bundle = explorer._repr_mimebundle_()
    assert "text/html" not in bundle
    assert "Fine-tuning explorer: run this notebook" in bundle["text/plain"]
    assert "No run yet" in explorer.table.value


def test_the_oldest_of_ones_own_runs_give_way(make):
    explorer = make(runs=histories())
    choose(explorer.until, "everything but the head")
    for _ in range(8):
        done(explorer)
    assert labels(explorer) == ["low <rate>", "by hand", *(f"run {i}" for i in range(3, 9))]
    assert "2 older runs dropped" in explorer.table.value
    assert len(explorer.curves.value) + len(explorer.table.value) < 60_000
    press(explorer, "forget")
    assert labels(explorer) == ["low <rate>", "by hand"]
    assert "dropped" not in explorer.table.value


def test_a_run_that_goes_on_is_not_forgotten(explorer, calls):
    done(explorer)
    calls.at(2)
    press(explorer)
    assert calls.reached.wait(30)
    press(explorer, "forget")
    assert labels(explorer) == ["run 2"]
    calls.go.set()
    assert explorer.wait(30)
    assert labels(explorer) == ["run 2"]


def test_a_figure_is_drawn_at_the_end_but_not_after_each_quick_epoch(explorer, monkeypatch):
    drawn, real = [], training.draw_curves
    monkeypatch.setattr(
        training, "draw_curves", lambda *a, **o: drawn.append(a[0]) or real(*a, **o)
    )
    monkeypatch.setattr(training, "_BETWEEN_FIGURES", 1e9)
    explorer.epochs.value = 4
    run = done(explorer)
    assert drawn == [(run,)]
    monkeypatch.setattr(training, "_BETWEEN_FIGURES", 0.0)
    done(explorer)
    assert len(drawn) == 1 + 1 + 5 + 1  # of a second run: its beginning, its epochs, its end


# --- what nothing can be made of ---


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"runs": {"a": [0.5, 1.5]}}, "The run 'a' needs the validation accuracy"),
        ({"runs": {"a": ["x"]}}, "numbers from 0 to 1"),
        ({"runs": {"a": [float("nan")]}}, "numbers from 0 to 1"),
        ({"runs": {"a": 0.4}}, "The run 'a' needs the validation accuracy"),
        ({"runs": {"a": None}}, "The run 'a' needs the validation accuracy"),
        ({"runs": {"a": "0.4"}}, "The run 'a' needs the validation accuracy"),
        ({"runs": [[0.4, 0.5]]}, "The run '0.4' needs the validation accuracy"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"batch_size": "8"}, "batch_size is '8'"),
        ({"reference": ("a", 90)}, "reference is"),
        ({"reference": ("a",)}, "reference is"),
        ({"reference": 0.5}, "reference is 0.5"),
        ({"reference": "ab"}, "reference is 'ab'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**64}, "seed is"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"seed": 0.5}, "seed is 0.5"),
    ],
)
def test_what_makes_no_sense_is_refused(task, options, said):
    with pytest.raises(CourseError, match=said):
        TrainingExplorer(tiny_backbone(), task, **options)


def test_what_is_no_backbone_or_no_task_is_refused(task):
    with pytest.raises(CourseError, match="A backbone is needed, not str"):
        TrainingExplorer("resnet18", task)
    with pytest.raises(CourseError, match="A task is needed, not str"):
        TrainingExplorer(tiny_backbone(), "emoji")


def test_numbers_of_numpy_are_taken(make):
    explorer = make(seed=np.int64(3), reference=("probe", np.float32(0.5)))
    assert len(done(explorer).accuracies) == 1


def test_a_task_without_validation_pictures_is_refused(task):
    with pytest.raises(CourseError, match="no validation pictures"):
        TrainingExplorer(tiny_backbone(), without(task, "val"))
