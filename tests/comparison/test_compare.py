"""All patterns on the same pictures: what is run, what is kept, and what follows from it."""

from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from tiny_comparisons import compared, labelled_task, result_of
from tiny_tasks import CLASSES, make_task, moved, state, tiny_backbone, traces, without

import tlcourse as tl
from tlcourse import cost, metrics, patterns
from tlcourse.comparison import compare as compare_module
from tlcourse.comparison import comparison as comparison_module
from tlcourse.comparison import plan as plan_module
from tlcourse.comparison.plan import Plan, PlannedRun
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.patterns.reuse import PATTERNS
from tlcourse.training import fit as fit_module

HOW = {"layer": "embedding", "batch_size": 6, "augment": False}
VIEWS = {"layer": "stage4", "head": "conv", "batch_size": 6, "augment": True, "epochs": 2}
TUNE = HOW | {"epochs": 1, "freeze_until": "stage2"}
RUNS = (
    PlannedRun("classifier", None, {}, 0.1),
    PlannedRun("standalone_extractor", None, {"layer": "embedding"}, 0.1),
    *(PlannedRun("frozen_extractor", seed, VIEWS, 0.1) for seed in (0, 1, 2)),
    PlannedRun("fine_tune", 0, TUNE, 0.1),
    *(PlannedRun("from_scratch", seed, HOW | {"epochs": 1}, 0.1) for seed in (0, 1)),
)
PLAN = Plan(RUNS, 1.0, {"train": 18, "val": 6, "test": 9}, 64, 60.0)


def measured(monkeypatch, epoch_seconds):
    """A machine that is always as fast."""
    monkeypatch.setattr(plan_module, "time_features", lambda *_: (0.001, 64))
    monkeypatch.setattr(cost, "epoch", lambda *_, **__: SimpleNamespace(seconds=epoch_seconds))


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.fixture(scope="module")
def task():
    return make_task()


@pytest.fixture(scope="module")
def real(backbone, task):
    """Really trained; the state of the backbone before and after it."""
    before, left = state(backbone.model), traces(backbone.model)
    made = tl.compare(backbone, task, plan=PLAN, progress=False)
    assert not moved(before, backbone.model)
    assert traces(backbone.model) == left
    return made


@pytest.fixture
def fast(monkeypatch):
    measured(monkeypatch, 0.05)


def one_line(text):
    return " ".join(text.split())


def compare(*arguments, **options):
    return tl.compare(*arguments, progress=False, **options)


# --- what is run ---


def test_each_run_of_the_plan_is_run_in_its_order(real):
    assert tuple(run for run, _ in real.runs) == RUNS
    assert list(real.results) == list(PATTERNS)
    assert real.plan is PLAN
    assert real.notes == ()
    assert real.seconds > 0


@pytest.mark.parametrize("place", [1, 3, 5, 6])
def test_a_run_is_the_pattern_called_with_its_options_and_seed(real, backbone, task, place):
    run, result = real.runs[place]
    options = dict(run.options) | ({} if run.seed is None else {"seed": run.seed})
    alone = getattr(patterns, run.pattern)(backbone, task, progress=False, **options)
    for split in ("val", "test"):
        assert alone.predicted[split].tolist() == result.predicted[split].tolist()
    assert alone.val_accuracy == result.val_accuracy
    assert alone.trainable_parameters == result.trainable_parameters
    if result.made is not None:
        assert not moved(state(alone.backbone.model), result.backbone.model)


def test_only_the_run_with_the_best_validation_of_each_pattern_keeps_its_network(real):
    for pattern in PATTERNS:
        results = [result for run, result in real.runs if run.pattern == pattern]
        kept = [result for result in results if result.made is not None]
        assert kept == [real.results[pattern]]
        # What gathers the facts for a card would hold the network, too.
        assert [result for result in results if dict(result.facts())] == kept
        best = max(result.val_accuracy for result in results)
        assert kept[0].val_accuracy == best
        assert next(r for r in results if r.val_accuracy == best) is kept[0]  # of equals the first


def test_the_same_plan_gives_the_same_results_bit_for_bit(
    real, backbone, task, tmp_path, monkeypatch
):
    """Whatever else was drawn or stored."""
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cold"))
    torch.manual_seed(99)
    again = compare(backbone, task, plan=real.plan)
    for (_, first), (_, second) in zip(real.runs, again.runs, strict=True):
        for split in ("val", "test"):
            np.testing.assert_array_equal(first.predicted[split], second.predicted[split])
        assert first.interval == second.interval
        assert first.peak_bytes == second.peak_bytes
        assert (first.made is None) == (second.made is None)
        if first.made is not None:
            assert not moved(state(first.backbone.model), second.backbone.model)
    assert again.recommended == real.recommended
    assert again.table.drop(columns="seconds").equals(real.table.drop(columns="seconds"))


def test_seeds_differ(real):
    histories = [r.history for run, r in real.runs if run.pattern == "frozen_extractor"]
    assert len({h.epochs[0].train_loss for h in histories}) == 3


def test_the_plan_is_printed_before_anything_is_trained(backbone, task, fast, monkeypatch, capsys):
    def train(*_, **__):
        matched = "ants -> ant; bees -> bee; goldfishes -> goldfish"
        said = f"{made['plan']!r}\n  classes matched by name: {matched}\n"
        assert capsys.readouterr().out == said
        raise KeyboardInterrupt

    made = {}

    def plan(*arguments, **options):
        made["plan"] = plan_module.make_plan(*arguments, **options)
        return made["plan"]

    monkeypatch.setattr(compare_module, "make_plan", plan)
    monkeypatch.setattr(patterns, "classifier", train)
    with pytest.raises(CourseError, match="No pattern was finished"):
        compare(backbone, task)
    assert made["plan"].budget == 300  # five minutes by default


def test_what_the_plan_leaves_out_is_said(backbone, task, monkeypatch):
    measured(monkeypatch, 20.0)
    made = compare(backbone, task, budget="40s", patterns=["standalone_extractor", "fine_tune"])
    assert list(made.results) == ["standalone_extractor"]
    (note,) = made.notes
    assert note.startswith("fine_tune is left out: it would take about")
    assert note in one_line(repr(made))


def test_of_many_pictures_a_share_of_each_class_is_used(backbone):
    task = make_task(counts={"train": (20, 20, 20), "val": (8, 8, 8), "test": (8, 8, 8)})
    runs = RUNS[:2]
    made = compare(backbone, task, plan=Plan(runs, 0.5, {"train": 30}, 64, 60.0))
    assert [len(getattr(made.task, name)) for name in ("train", "val", "test")] == [30, 12, 12]
    assert np.bincount(made.labels).tolist() == [4, 4, 4]
    assert len(made.right("classifier")) == 12


def test_a_replayed_plan_needs_pictures_of_its_size(backbone, task):
    with pytest.raises(CourseError, match=r"made for pictures of 64 px; take .*at_size\(64\)"):
        compare(backbone.at_size(32), task, plan=PLAN)


def test_a_plan_with_a_pattern_that_is_none_is_refused(backbone, task):
    plan = replace(PLAN, runs=(RUNS[0], replace(RUNS[1], pattern="look")))
    with pytest.raises(UnknownNameError, match="no pattern 'look'"):
        compare(backbone, task, plan=plan)


@pytest.mark.parametrize(
    ("chosen", "runs"),
    [
        (["standalone_extractor", "frozen_extractor"], ["standalone_extractor"]),
        (["frozen_extractor"], ["frozen_extractor"]),
    ],
)
def test_without_fresh_views_nothing_is_computed_twice_under_two_names(
    backbone, task, fast, chosen, runs
):
    """A linear head on stored features is what pattern 2 fits."""
    made = compare(backbone, task, patterns=chosen, augment=False, budget="20s")
    assert list(made.results) == runs
    said = "frozen_extractor is not run: without fresh views it would be the same computation as"
    assert [note for note in made.notes if note.startswith(said)] == (
        [f"{said} standalone_extractor."] if len(chosen) > 1 else []
    )
    if runs == ["frozen_extractor"]:
        assert made.results["frozen_extractor"].layer == "embedding"


def test_the_frozen_extractor_is_not_the_standalone_one(real):
    """It has a head on maps, and its trained numbers are others than the probe's."""
    standalone, frozen = (real.results[p] for p in ("standalone_extractor", "frozen_extractor"))
    assert frozen.layer != standalone.layer
    assert frozen.trainable_parameters > 10 * standalone.trainable_parameters


# --- where the network's own classes answer ---


def test_where_the_network_has_not_the_classes_the_classifier_is_left_out_and_said(
    backbone, task, fast
):
    renamed = replace(task, classes=("ants", "gnomes", "elves"))
    made = compare(backbone, renamed, patterns=["classifier", "standalone_extractor"])
    assert list(made.results) == ["standalone_extractor"]
    said = "classifier is not applicable: the network has no class called 'gnomes', 'elves'."
    assert made.notes == (said,)
    assert made.plan.left_out == ()


def test_of_many_missing_classes_a_few_are_named(backbone, fast):
    names = tuple(f"gnome {i}" for i in range(10))
    counts = {"train": (2,) * 10, "val": (1,) * 10, "test": (0,) * 10}
    task = replace(labelled_task(classes=names, train=counts["train"]), name="gnomes")
    _, notes, _ = compare_module._applicable(backbone, task, list(PATTERNS), None)
    assert notes[0].endswith("'gnome 3', 'gnome 4' and so on.")


def test_where_nothing_is_left_to_compare_it_is_a_sentence(backbone, task, fast):
    renamed = replace(task, classes=("ants", "gnomes", "elves"))
    with pytest.raises(CourseError, match="nothing to compare: classifier is not applicable"):
        compare(backbone, renamed, patterns=["classifier"])


def test_a_mapping_says_what_the_networks_classes_mean(backbone, task, fast):
    renamed = replace(task, classes=("ants", "gnomes", "elves"))
    mapping = {"ants": ["ant"], "gnomes": ["bee", "fly"], "elves": ["goldfish"]}
    made = compare(backbone, renamed, mapping=mapping, patterns=["classifier"])
    alone = patterns.classifier(backbone, renamed, mapping=mapping, progress=False)
    assert made.results["classifier"].predicted["test"].tolist() == (
        alone.predicted["test"].tolist()
    )
    assert made.notes == ()
    with pytest.raises(UnknownNameError, match="aunt"):
        compare(backbone, renamed, mapping=mapping | {"ants": ["aunt"]})


def test_what_is_matched_by_name_is_said_once_below_the_plan(backbone, task, fast, capsys):
    renamed = replace(task, classes=("Dogs", "cats", "bees"))
    made = compare(backbone, renamed, patterns=["classifier"])
    lines = capsys.readouterr().out.splitlines()
    cats = "5 classes from tabby to Egyptian cat"
    matched = f"Dogs -> 118 classes from Chihuahua to Mexican hairless; cats -> {cats}; bees -> bee"
    assert [line for line in lines if "->" in line] == [f"  classes matched by name: {matched}"]
    alone = patterns.classifier(backbone, renamed, progress=False)
    assert capsys.readouterr().out == f"Classes matched by name: {matched}\n"
    assert np.array_equal(made.results["classifier"].predicted["test"], alone.predicted["test"])


# --- time ---


class Clock:
    """Seconds that pass only when something is done."""

    def __init__(self):
        self.now = 1000.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def faked(monkeypatch):
    """Patterns that take the seconds that one says, and are wrong on so many pictures.

    `faked(pattern, seconds, n_wrong)`; an exception instead of a number is raised.
    """
    clock, called = Clock(), []
    monkeypatch.setattr(compare_module, "time", clock)
    behaviour = {}

    def pattern_named(name):
        def call(backbone, task, *, progress, on_step=None, seed=None, note="", **options):
            seconds, n_wrong = behaviour.get(name, (1.0, 0))
            called.append((name, seed))
            if isinstance(seconds, BaseException):
                raise seconds
            for _ in range(10):
                clock.now += seconds / 10
                if on_step:
                    on_step()
            wrong = {s: range(n_wrong) for s in ("val", "test")}
            return result_of(task, name, wrong, note=options.pop("said", note))

        return call

    for name in PATTERNS:
        monkeypatch.setattr(patterns, name, pattern_named(name))

    def behave(name, seconds, n_wrong=0):
        behaviour[name] = (seconds, n_wrong)

    behave.clock, behave.called = clock, called
    return behave


def plan_of(*runs):
    """A plan of (pattern, seed, seconds)."""
    planned = tuple(PlannedRun(name, seed, {}, seconds) for name, seed, seconds in runs)
    return Plan(planned, 1.0, {"train": 20}, 64, 100.0)


THREE = plan_of(("standalone_extractor", None, 10), ("fine_tune", 0, 50), ("from_scratch", 0, 45))


def fake_compare(backbone, plan, **options):
    return compare(
        backbone, labelled_task(), plan=plan, patterns=["standalone_extractor"], **options
    )


def test_a_run_that_cannot_be_done_in_time_is_dropped_whole_and_said(backbone, faked):
    faked("standalone_extractor", 10)
    faked("fine_tune", 75)
    made = fake_compare(backbone, THREE, budget=100)
    assert faked.called == [("standalone_extractor", None), ("fine_tune", 0)]
    assert set(made.results) == {"standalone_extractor", "fine_tune"}
    said = "from_scratch with seed 0 was dropped: it needs about 45 s, and 15 s are left."
    assert made.notes == (said,)
    assert said in one_line(repr(made))
    assert made.seconds == pytest.approx(85)


def test_after_a_run_that_does_not_fit_a_shorter_one_may(backbone, faked):
    plan = plan_of(("classifier", None, 10), ("fine_tune", 0, 200), ("frozen_extractor", 0, 20))
    faked("classifier", 10)
    faked("frozen_extractor", 20)
    made = fake_compare(backbone, plan, budget=100)
    assert set(made.results) == {"classifier", "frozen_extractor"}
    assert made.notes[0].startswith("fine_tune with seed 0 was dropped: it needs about 3 min 20 s")


def test_a_training_that_takes_longer_than_there_is_time_is_stopped_and_dropped(backbone, faked):
    faked("standalone_extractor", 10)
    faked("fine_tune", 400)
    made = fake_compare(backbone, THREE, budget=100)
    assert list(made.results) == ["standalone_extractor"]
    first, second = made.notes
    assert first == "fine_tune with seed 0 was dropped: it was not done after 2 min."
    assert second.endswith("dropped: it needs about 45 s, and the time is used up.")


def test_the_budget_is_kept_within_a_fifth(backbone, faked):
    """Planned to the brim, and everything takes longer than planned."""
    for name in PATTERNS:
        faked(name, 38)
    plan = plan_of(*((name, 0 if name in PATTERNS[2:] else None, 20.0) for name in PATTERNS))
    made = fake_compare(backbone, plan, budget=100)
    assert made.seconds <= 120
    assert len(made.results) >= 2
    assert len(made.results) + len(made.notes) == 5


def test_a_replayed_plan_has_all_the_time_unless_a_budget_is_given(backbone, faked):
    faked("fine_tune", 5000)
    made = fake_compare(backbone, THREE)
    assert made.notes == ()
    assert set(made.results) == {"standalone_extractor", "fine_tune", "from_scratch"}


def test_a_real_training_is_stopped_in_the_middle(backbone, task, monkeypatch):
    """After its third step the time is over; the results so far stay."""
    clock, steps = Clock(), count()
    monkeypatch.setattr(compare_module, "time", clock)
    real_train = fit_module.train

    def train(network, task, settings):
        def slow():
            next(steps)
            clock.now += 40
            settings.on_step()

        return real_train(network, task, replace(settings, on_step=slow))

    monkeypatch.setattr(fit_module, "train", train)
    before = state(backbone.model)
    plan = replace(PLAN, runs=(RUNS[1], replace(RUNS[5], options=TUNE | {"epochs": 5})))
    made = compare(backbone, task, plan=plan, budget=100)
    assert next(steps) == 3  # of 15
    assert list(made.results) == ["standalone_extractor"]
    assert made.notes == ("fine_tune with seed 0 was dropped: it was not done after 2 min.",)
    assert not moved(before, backbone.model)


RESERVE = replace(
    plan_of(("standalone_extractor", None, 10), ("frozen_extractor", 0, 60)),
    spare=plan_of(("frozen_extractor", 1, 60), ("frozen_extractor", 2, 60)).runs,
)


def test_where_time_is_left_the_seeds_in_reserve_are_run(backbone, faked):
    """The forecast was too high: what counts is how long the pattern really took."""
    faked("standalone_extractor", 10)
    faked("frozen_extractor", 40)
    made = fake_compare(backbone, RESERVE, budget=100)
    assert faked.called[1:] == [("frozen_extractor", 0), ("frozen_extractor", 1)]
    assert [run for run, _ in made.runs] == [*RESERVE.runs, RESERVE.spare[0]]
    assert made.notes == ()  # what was in reserve was never promised
    assert made.seconds == pytest.approx(90)
    # The plan that comes out is what was run, so it gives the same again without a limit.
    assert made.plan.runs == (*RESERVE.runs, RESERVE.spare[0])
    faked.called.clear()
    again = fake_compare(backbone, made.plan)
    assert [run for run, _ in again.runs] == [run for run, _ in made.runs]
    assert again.plan is made.plan


def test_where_no_time_is_left_the_reserve_is_not_touched(backbone, faked):
    faked("standalone_extractor", 10)
    faked("frozen_extractor", 60)
    made = fake_compare(backbone, RESERVE, budget=100)
    assert [run for run, _ in made.runs] == list(RESERVE.runs)
    assert (made.notes, made.plan) == ((), RESERVE)


def test_a_pattern_that_the_plan_leaves_out_is_run_if_time_is_left(backbone, faked):
    """It takes the place of its sentence; how slow the others were says whether it fits."""
    left_out = ("from_scratch is left out: it would take about 80 s.",)
    plan = replace(
        plan_of(("standalone_extractor", None, 20), ("fine_tune", 0, 60)),
        left_out=left_out,
        spare=plan_of(("from_scratch", 0, 80)).runs,
    )
    for name, seconds in (("standalone_extractor", 10), ("fine_tune", 30), ("from_scratch", 45)):
        faked(name, seconds)
    made = fake_compare(backbone, plan, budget=100)
    assert list(made.results) == ["standalone_extractor", "fine_tune", "from_scratch"]
    assert not set(made.notes) & set(left_out)
    faked("fine_tune", 60)
    made = fake_compare(backbone, plan, budget=100)
    assert list(made.results) == ["standalone_extractor", "fine_tune"]
    assert made.notes == left_out


def test_a_pattern_that_was_not_done_gets_no_other_seed(backbone, faked):
    faked("standalone_extractor", 50)
    faked("frozen_extractor", 1)
    made = fake_compare(backbone, RESERVE, budget=100)
    assert list(made.results) == ["standalone_extractor"]
    (note,) = made.notes
    assert note.startswith("frozen_extractor with seed 0 was dropped: it needs about 60 s")


def test_ctrl_c_ends_it_with_what_is_there(backbone, faked):
    faked("fine_tune", KeyboardInterrupt())
    made = fake_compare(backbone, THREE)
    assert list(made.results) == ["standalone_extractor"]
    assert made.notes == ("Interrupted: 2 runs are missing.",)
    assert faked.called[-1] == ("fine_tune", 0)


def test_a_training_that_ctrl_c_has_cut_short_is_no_result(backbone, faked):
    said = {"said": "interrupted in epoch 2"}
    cut = replace(THREE.runs[1], options=said)
    made = fake_compare(backbone, replace(THREE, runs=(THREE.runs[0], cut, THREE.runs[2])))
    assert list(made.results) == ["standalone_extractor"]
    assert made.notes == ("Interrupted: 2 runs are missing.",)


def test_a_training_that_ended_early_by_itself_counts_and_is_said(backbone, faked):
    said = {"said": "the loss was nan at step 7"}
    odd = replace(THREE.runs[1], options=said)
    made = fake_compare(backbone, replace(THREE, runs=(THREE.runs[0], odd)))
    assert set(made.results) == {"standalone_extractor", "fine_tune"}
    assert made.notes == ("fine_tune with seed 0: the loss was nan at step 7.",)


def test_ctrl_c_before_anything_is_finished_is_a_sentence(backbone, faked):
    faked("standalone_extractor", KeyboardInterrupt())
    with pytest.raises(CourseError, match=r"^No pattern was finished\. Interrupted: 3 runs are"):
        fake_compare(backbone, THREE)


def test_nothing_finished_in_time_is_a_sentence_that_says_why(backbone, faked):
    faked.clock.now += 0
    with pytest.raises(CourseError, match=r"No pattern was finished\. standalone_.* was dropped"):
        fake_compare(backbone, plan_of(("standalone_extractor", None, 300)), budget=10)


def test_an_error_in_a_pattern_is_not_swallowed(backbone, faked):
    faked("fine_tune", ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        fake_compare(backbone, THREE)


# --- what is refused ---


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"patterns": ["fine_tuning"]}, UnknownNameError, "Nearest: fine_tune"),
        ({"patterns": []}, CourseError, "No pattern was named. Choose from classifier, "),
        ({"budget": "soon"}, CourseError, "'soon' is no duration"),
        ({"budget": 0}, CourseError, "0 is no duration"),
        ({"budget": 0.01}, CourseError, "is too small for any pattern"),
        (
            {"batch_size": 0},
            CourseError,
            "batch_size is 0, but must be a whole number, 1 or larger",
        ),
        ({"batch_size": -1}, CourseError, "batch_size is -1, but must be a whole number"),
        ({"layer": "stage_4"}, UnknownNameError, "Nearest: stage4"),
        ({"layer": "logits"}, CourseError, "embedding"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_trained(
    backbone, task, fast, monkeypatch, options, error, said
):
    def never(*_, **__):
        raise AssertionError("something was run")

    for name in PATTERNS:
        monkeypatch.setattr(patterns, name, never)
    with pytest.raises(error, match=said):
        compare(backbone, task, **options)


def test_tasks_that_nothing_can_be_learned_from_are_refused(backbone, task):
    few = replace(task, train=task.train.take([0, 1, 6, 12, 13]))
    with pytest.raises(CourseError, match=r"fewer: 'bees' \(1\)"):
        compare(backbone, few)
    with pytest.raises(CourseError, match="A task is needed, not str"):
        compare(backbone, "emoji")


def test_without_validation_pictures_nothing_can_choose(backbone, task, fast):
    with pytest.raises(CourseError, match=r"'tiny' has no validation picture.*val_fraction"):
        compare(backbone, without(task, "val"))


# --- the table ---


def places(*ranges):
    """Places of pictures: (first, last + 1) of each range."""
    return [i for first, last in ranges for i in range(first, last)]


def both(*ranges):
    return {"val": places(*ranges), "test": places(*ranges)}


def test_the_table_is_what_one_counts(real):
    table = real.table
    labels = real.task.test.labels
    assert real.labels.tolist() == labels.tolist()
    assert list(table.index) == list(PATTERNS)
    best_right = real.results[real.best].predicted["test"] == labels
    for pattern, row in table.iterrows():
        result = real.results[pattern]
        right = result.predicted["test"] == labels
        assert row.accuracy == pytest.approx(right.mean()) == pytest.approx(result.test_accuracy)
        interval = binomtest(int(right.sum()), 9).proportion_ci(method="wilson")
        assert (row.low, row.high) == pytest.approx(interval)
        by_class = [right[labels == i].mean() for i in range(3)]
        assert row.balanced == pytest.approx(np.mean(by_class))
        validations = [r.val_accuracy for run, r in real.runs if run.pattern == pattern]
        assert row.validation == pytest.approx(np.mean(validations))
        mine, theirs = int((right & ~best_right).sum()), int((best_right & ~right).sum())
        assert (row["only this one"], row["only the best"]) == (mine, theirs)
        p = binomtest(mine, mine + theirs).pvalue if mine + theirs else 1
        assert row.p == pytest.approx(p)
        assert (row.seconds, row.trained) == (result.seconds, result.trainable_parameters)
        assert row.MiB == pytest.approx(result.peak_bytes / 2**20)
        seeds = [r.test_accuracy for run, r in real.runs if run.pattern == pattern]
        assert list(real.accuracies(pattern)) == seeds
        assert row["mean"] == pytest.approx(np.mean(seeds))
        assert row.seeds == " ".join(f"{accuracy:.3f}" for accuracy in seeds)
    assert table.balanced.tolist() != table.accuracy.tolist()


def test_without_test_pictures_the_table_is_of_the_validation_pictures():
    task = labelled_task(40, n_test=0)
    wrong = {"classifier": {"val": places((0, 20))}, "frozen_extractor": {"val": places((0, 2))}}
    made = compared(task, wrong, seeds={"frozen_extractor": {"val": places((0, 6))}})
    assert (made.split, len(made.labels)) == ("val", 40)
    table = made.table
    assert table.accuracy.tolist() == [0.5, 0.95]
    assert table.validation.tolist() == table["mean"].tolist() == [0.5, 0.9]
    assert made.accuracies("frozen_extractor") == (0.95, 0.85)
    assert table.seeds["frozen_extractor"] == "0.950 0.850"
    assert table["only the best"].tolist() == [18, 0]
    assert repr(made).startswith("40 val pictures of 'tiny'\n")
    assert "nan" not in repr(made)


def test_it_is_printed_with_interval_p_and_costs():
    made = compared(labelled_task(), {"classifier": both((0, 8)), "fine_tune": both((8, 9))})
    first, head, classifier, tuned, *rest = repr(made).splitlines()
    assert first == "60 test pictures of 'tiny'"
    assert head.split()[:4] == ["pattern", "accuracy", "(95", "%"]
    p = binomtest(1, 9).pvalue
    assert one_line(classifier) == (
        f"classifier 0.867 (0.758 to 0.931) 0.867 {p:.2g} 0.5 s 100 MiB 0"
    )
    assert one_line(tuned) == "fine_tune 0.983 (0.911 to 0.997) 0.983 best 90 s 800 MiB 771"
    assert " ".join(rest) == made.recommendation
    assert max(map(len, rest)) <= 100


def test_the_mean_of_the_seeds_chooses_the_pattern_and_the_best_seed_is_kept():
    """One lucky seed makes no pattern the best one."""
    lucky = {"fine_tune": both((0, 9)), "frozen_extractor": both((0, 4))}
    made = compared(
        labelled_task(), {"frozen_extractor": both((0, 3)), "fine_tune": {}}, seeds=lucky
    )
    assert made.accuracies("fine_tune", "val") == (1.0, 0.85)
    assert made.best == "frozen_extractor"
    assert made.results["fine_tune"].val_accuracy == 1.0


@pytest.mark.parametrize("call", ["right", "paired", "accuracies"])
def test_a_pattern_without_a_result_is_named(call):
    made = compared(labelled_task(), {"classifier": {}, "fine_tune": {}})
    with pytest.raises(UnknownNameError, match=r"'from_scratch'.*Known: classifier, fine_tune"):
        getattr(made, call)(*["from_scratch", "classifier"][: 1 + (call == "paired")])


def test_two_patterns_are_compared_picture_by_picture():
    made = compared(
        labelled_task(),
        {"classifier": both((0, 9)), "fine_tune": both((5, 7)), "from_scratch": both((0, 9))},
    )
    pair = made.paired("classifier", "fine_tune")
    assert (pair.only_first, pair.only_second, pair.n) == (0, 7, 60)
    assert pair.p_value == pytest.approx(binomtest(0, 7).pvalue)
    assert pair.significant
    assert repr(pair) == (
        "classifier 0.850, fine_tune 0.967 on the same 60 pictures: only the first is right on 0, "
        "only the second on 7. The difference is significant (p = 0.016)."
    )
    back = made.paired("fine_tune", "classifier")
    assert (back.only_first, back.difference) == (7, -pair.difference)
    assert not made.paired("classifier", "from_scratch").significant
    assert made.right("fine_tune").tolist() == [i not in (5, 6) for i in range(60)]


def test_a_verdict_is_computed_once_however_often_it_is_read(monkeypatch):
    """Each pair of patterns is tested once on each split, and the warning needs one test more."""
    asked = []

    def compare_paired(first, second, **names):
        asked.append((first.tobytes(), second.tobytes()))
        return metrics.compare_paired(first, second, **names)

    monkeypatch.setattr(comparison_module, "compare_paired", compare_paired)
    wrong = {p: {"val": places((i, 8)), "test": places((i, 9))} for i, p in enumerate(PATTERNS[:3])}
    made = compared(labelled_task(), wrong)
    first = repr(made)
    against_the_best = {(p, made.best, s) for p in wrong for s in ("val", "test")}
    assert len(asked) == len(set(asked)) <= len(against_the_best)
    before = len(asked)
    assert (repr(made), made.recommendation in " ".join(first.split())) == (first, True)
    assert made.paired(made.recommended, made.best) is made.paired(made.recommended, made.best)
    assert len(made.table) == 3
    assert len(asked) == before


# --- the recommendation ---


def test_the_simplest_whose_difference_could_be_chance_is_recommended_with_its_reason():
    wrong = {"standalone_extractor": both((0, 5)), "fine_tune": both((0, 1), (5, 6))}
    made = compared(labelled_task(), wrong)
    assert (made.best, made.recommended) == ("fine_tune", "standalone_extractor")
    pair = made.paired("standalone_extractor", "fine_tune")
    assert (pair.only_first, pair.only_second) == (1, 4)
    assert made.recommendation == (
        "Take standalone_extractor: the simplest pattern that is not significantly worse than the "
        "best one. fine_tune has the highest validation accuracy, but on 60 test pictures its "
        f"difference could be chance (p = {pair.p_value:.2g}): only standalone_extractor is right "
        "on 1, only fine_tune on 4. standalone_extractor took 12 s and 101 MiB, fine_tune 90 s "
        "and 800 MiB."
    )


def test_what_is_significantly_worse_is_not_recommended_however_simple():
    made = compared(labelled_task(), {"classifier": both((0, 12)), "fine_tune": {}})
    assert (made.best, made.recommended) == ("fine_tune", "fine_tune")
    assert made.recommendation == (
        "Take fine_tune: it has the highest validation accuracy, and what is simpler is "
        "significantly worse (classifier)."
    )


@pytest.mark.parametrize("split", ["val", "test"])
def test_either_split_is_enough_to_be_significantly_worse(split):
    """On a few pictures alone, almost every difference could be chance."""
    wrong = {"val": [0], "test": []} | {split: places((0, 12))}
    made = compared(labelled_task(), {"classifier": wrong, "frozen_extractor": {}})
    other = "val" if split == "test" else "test"
    assert not made.paired("classifier", "frozen_extractor", other).significant
    assert made.recommended == "frozen_extractor"


def test_to_be_significantly_better_is_no_fault():
    """The test pictures speak for it, clearly; the validation pictures cannot tell."""
    wrong = {"classifier": {"val": [0]}, "fine_tune": {"test": places((0, 12))}}
    made = compared(labelled_task(), wrong)
    assert made.best == "fine_tune"
    assert made.paired("classifier", "fine_tune").significant
    assert made.recommended == "classifier"


def test_of_equals_the_simplest_is_the_best():
    wrong = {"from_scratch": both((0, 3)), "frozen_extractor": both((3, 6)), "fine_tune": {}}
    made = compared(labelled_task(), wrong | {"fine_tune": both((0, 3))})
    assert made.best == made.recommended == "frozen_extractor"
    assert "none has a higher validation accuracy, and none that was run is simpler" in (
        made.recommendation
    )
    assert "The difference could be chance for from_scratch, fine_tune." in made.recommendation


def test_what_is_worse_than_the_simplest_is_named():
    wrong = {"classifier": {}, "fine_tune": both((0, 1)), "from_scratch": both((0, 20))}
    said = compared(labelled_task(), wrong).recommendation
    assert said.startswith("Take classifier: none has a higher validation accuracy")
    assert "The difference could be chance for fine_tune." in said
    assert "Significantly worse: from_scratch." in said


def test_a_single_pattern_says_that_nothing_else_was_run():
    assert "Nothing else was run." in compared(labelled_task(), {"classifier": {}}).recommendation


def test_the_recommendation_follows_from_the_numbers_whatever_they_are():
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        rates = random.choice([0.02, 0.1, 0.2, 0.4], 5)
        wrong = {
            pattern: {s: np.flatnonzero(random.random(60) < rate) for s in ("val", "test")}
            for pattern, rate in zip(PATTERNS, rates, strict=True)
        }
        made = compared(labelled_task(), wrong)
        accuracies = [made.results[p].val_accuracy for p in PATTERNS]
        assert made.best == PATTERNS[int(np.argmax(accuracies))]

        def worse(pattern, made=made):
            for split in ("val", "test"):
                a, b = made.right(pattern, split), made.right(made.best, split)
                mine, theirs = (a & ~b).sum(), (b & ~a).sum()
                if mine < theirs and binomtest(mine, mine + theirs).pvalue < 0.05:
                    return True
            return False

        assert made.recommended == next(p for p in PATTERNS if not worse(p))
        assert made.recommendation.startswith(f"Take {made.recommended}: ")
        seen.add((PATTERNS.index(made.recommended), made.recommended == made.best))
    assert len(seen) >= 6


def test_validation_pictures_are_named_where_there_are_no_others():
    task = labelled_task(60, n_test=0)
    made = compared(task, {"classifier": {"val": [0, 1]}, "fine_tune": {"val": [0]}})
    assert made.recommended == "classifier"
    said = "on 60 validation pictures its difference could be chance (p = 1): only classifier is "
    assert f"{said}right on 0, only fine_tune on 1." in made.recommendation


# --- what else has to be said ---

CAREFUL = "a program that always answers 'ants'"


def test_it_warns_where_always_the_same_answer_would_do_as_well():
    task = labelled_task(common=0.9, train=(90, 10))
    made = compared(task, {"classifier": both((58, 60)), "fine_tune": both((56, 60))})
    assert CAREFUL in made.recommendation  # better by four pictures of sixty
    assert "on these test pictures" in made.recommendation


def test_it_does_not_warn_where_the_answers_are_clearly_better():
    made = compared(labelled_task(), {"classifier": both((0, 8))})
    assert "Be careful" not in made.recommendation


def test_it_warns_where_always_the_same_answer_would_be_better():
    task = labelled_task(common=0.9, train=(90, 10))
    made = compared(task, {"classifier": 1})  # always the rare class
    assert made.paired("classifier", "classifier").p_value == 1
    assert CAREFUL in made.recommendation


def test_the_common_class_is_that_of_the_training_pictures():
    task = labelled_task(common=0.5, train=(10, 11))
    assert "always answers 'bees'" in compared(task, {"classifier": 1}).recommendation


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ((10, 10), False),
        ((10, 15), False),
        ((10, 16), True),
        ((40, 10), True),
    ],
)
def test_classes_of_unequal_size_are_said(train, said):
    made = compared(labelled_task(train=train), {"classifier": {}})
    sentence = f"from {min(train)} to {max(train)} training pictures"
    assert (sentence in made.recommendation) == said
    assert ("look at the balanced accuracy too" in made.recommendation) == said


def test_balanced_accuracy_stands_beside_accuracy():
    task = labelled_task(common=0.9, train=(90, 10))
    made = compared(task, {"classifier": 0})  # always the common class
    row = made.table.loc["classifier"]
    assert (row.accuracy, row.balanced) == pytest.approx((0.9, 0.5))
    assert "0.900 (" in repr(made)
    assert CLASSES[0] == "ants"
