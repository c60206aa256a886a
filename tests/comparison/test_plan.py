"""A plan fits into its time, says what does not, and can be written down."""

import math
from dataclasses import replace
from itertools import chain, pairwise, repeat
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tasks import make_task, moved, picture, state, tiny_backbone, traces

from tlcourse import cost
from tlcourse.comparison import plan as plan_module
from tlcourse.comparison.plan import (
    MOST_EPOCHS,
    SEEDS,
    TRAINED,
    Plan,
    PlannedRun,
    enough_epochs,
    make_plan,
    time_features,
)
from tlcourse.errors import CourseError
from tlcourse.networks import head as head_module
from tlcourse.networks.trace import up_to
from tlcourse.patterns.reuse import CHEAP, PATTERNS
from tlcourse.tasks.split import SPLITS, Split
from tlcourse.tasks.task import Task, subset, used_counts

EACH = 0.05  # seconds to open a picture and to compute its features
STEP = {"all layers": 0.2, "behind a frozen part": 0.05, "the head": 3e-4}  # for each picture
PLENTY = 10_000  # seconds
BUDGETS = (4, 8, 10, 15, 30, 80, 120, 160, 200, 240, 300, 400, 600, 1500, 3000, PLENTY)
COUNTS = {"train": (40, 40, 40), "val": (10, 10, 10), "test": (10, 10, 10)}


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.fixture(scope="module")
def task():
    return unopened(COUNTS)


def unopened(counts, classes=("ants", "bees", "goldfishes")):
    """A task whose pictures must not be looked at."""

    def never(item):
        raise AssertionError("a picture was opened")

    splits = {}
    for name in SPLITS:
        labels = np.repeat(np.arange(len(counts[name])), counts[name])
        names = [f"{name}/{i}" for i in range(len(labels))]
        splits[name] = Split(range(len(labels)), labels, names, never)
    return Task("many", "nothing", tuple(classes), **splits, skipped=(), source="", licence="")


@pytest.fixture
def asked(monkeypatch):
    """What `cost.epoch` is asked; it answers as a machine that is always as fast."""
    asked = []

    def epoch(backbone, *, n_pictures, layer, freeze_until, cached, **options):
        asked.append(options | {"freeze_until": freeze_until, "cached": cached})
        part = "the head" if freeze_until == layer else "behind a frozen part"
        seconds = STEP[part if freeze_until else "all layers"]
        seconds += EACH * (freeze_until is not None and not cached)
        return SimpleNamespace(seconds=seconds * n_pictures)

    monkeypatch.setattr(cost, "epoch", epoch)
    return asked


@pytest.fixture
def planned(backbone, asked, monkeypatch):
    """Plan with speeds that are always the same, on a clock that stands still."""

    def plan(task, budget, patterns=PATTERNS, *, width=64, **how):
        how = {"layer": "embedding", "augment": None} | how
        monkeypatch.setattr(plan_module, "time_features", lambda *_: (EACH, width))
        monkeypatch.setattr(plan_module, "time", SimpleNamespace(perf_counter=lambda: 0.0))
        return make_plan(backbone, task, budget, patterns, **how)

    return plan


def runs_of(plan, pattern):
    return [run for run in plan.runs if run.pattern == pattern]


def epochs_of(plan, pattern):
    """How many epochs a pattern is trained for, 0 where it is left out."""
    return max((run.options["epochs"] for run in runs_of(plan, pattern)), default=0)


def at_most(plan):
    """Whether nothing that is trained can be given more."""
    trained = {run.pattern for run in plan.runs} & set(TRAINED)
    return all(
        epochs_of(plan, pattern) == MOST_EPOCHS and len(runs_of(plan, pattern)) == len(SEEDS)
        for pattern in trained
    )


def all_layers(plan):
    return any(run.options["freeze_until"] is None for run in runs_of(plan, "fine_tune"))


# --- from a small budget to a large one ---


def test_with_more_time_nothing_becomes_less(planned, task):
    plans = [planned(task, budget) for budget in BUDGETS]
    for poorer, richer in pairwise(plans):
        assert {run.pattern for run in poorer.runs} <= {run.pattern for run in richer.runs}
        assert len(poorer.runs) <= len(richer.runs)
        assert poorer.share <= richer.share
        if {run.pattern for run in poorer.runs} < {run.pattern for run in richer.runs}:
            continue  # one pattern more is worth frozen layers
        assert all_layers(poorer) <= all_layers(richer)
        same_runs = len(poorer.runs) == len(richer.runs)
        if all_layers(poorer) == all_layers(richer) and same_runs and poorer.share == richer.share:
            # More layers, pictures or seeds are worth a few epochs. The dearest pattern never gets
            # less; the others may get what it could not use.
            assert epochs_of(poorer, "from_scratch") <= epochs_of(richer, "from_scratch")
    assert len({repr(plan.runs) for plan in plans}) > 8


def test_each_plan_stays_below_its_budget(planned, task):
    for budget in BUDGETS:
        plan = planned(task, budget)
        assert 0 < plan.seconds <= 0.9 * budget  # the rest is for what nobody foresees
        assert plan.budget == budget


@pytest.mark.parametrize("patterns", [PATTERNS, TRAINED])
def test_four_fifths_of_the_budget_are_used_while_anything_can_be_given_more(
    planned, task, patterns
):
    seen = set()
    for budget in (*range(80, 1500, 20), *range(1500, PLENTY, 500)):
        plan = planned(task, budget, patterns)
        assert at_most(plan) or plan.seconds >= 0.8 * budget, budget
        seen.add(at_most(plan))
    assert seen == {False, True}


@pytest.mark.parametrize("pattern", TRAINED)
def test_what_a_single_pattern_leaves_unused_is_less_than_an_epoch_of_it(planned, task, pattern):
    one, two = (planned(task, 300, [pattern], augment=augment) for augment in (None, True))
    assert one.seconds > 200 < two.seconds
    for budget in range(80, 1500, 20):
        plan = planned(task, budget, [pattern])
        runs = runs_of(plan, pattern)
        epoch = max(EACH, STEP["all layers"] * (pattern != "frozen_extractor")) * (120 + 30 / 3)
        assert at_most(plan) or 0.9 * budget - plan.seconds < len(runs) * epoch, budget


def test_enough_epochs_come_before_seeds_and_seeds_before_more_epochs(planned, task):
    for budget in BUDGETS:
        plan = planned(task, budget)
        seeds = {p: len(runs_of(plan, p)) for p in TRAINED if runs_of(plan, p)}
        enough = all(epochs_of(plan, pattern) >= enough_epochs(pattern) for pattern in seeds)
        assert enough or set(seeds.values()) <= {1}
        assert all(2 <= epochs_of(plan, pattern) <= MOST_EPOCHS for pattern in seeds)
    assert 10 <= epochs_of(planned(task, 1500), "from_scratch") < 15
    assert len(planned(task, 1500).runs) > 5


def test_the_seeds_that_are_not_planned_are_in_reserve(planned, task):
    for budget in BUDGETS:
        plan = planned(task, budget)
        for pattern in {run.pattern for run in plan.runs} & set(TRAINED):
            spare = [run for run in plan.spare if run.pattern == pattern]
            runs = (*runs_of(plan, pattern), *spare)
            assert [run.seed for run in runs] == list(SEEDS)
            assert all(run.options == runs[0].options for run in runs)
    assert planned(task, PLENTY).spare == ()


def test_what_is_left_out_comes_first_in_the_reserve_with_the_fewest_epochs(planned, task):
    plan = planned(task, 8)
    left_out = [s.split()[0] for s in plan.left_out if " is left out: " in s]
    assert left_out == ["from_scratch", "fine_tune"]
    first = plan.spare[:2]
    assert [(run.pattern, run.seed) for run in first] == [("fine_tune", 0), ("from_scratch", 0)]
    assert all(run.options["epochs"] == 2 for run in first)
    assert first[1].seconds > first[0].seconds > 0.9 * 8 - plan.seconds
    done = plan.with_spare(first[:1])
    assert [s.split()[0] for s in done.left_out if " is left out: " in s] == ["from_scratch"]
    said = (
        "fine_tune is shortened to fit the time: 2 of 6 epochs, 1 of 3 seeds, frozen up to stage2."
    )
    assert said in done.left_out


def test_what_was_run_from_the_reserve_belongs_to_the_plan(planned, task):
    plan = planned(task, 400)
    (said,) = (s for s in plan.left_out if s.startswith("frozen_extractor"))
    assert said.endswith(" of 20 epochs, 1 of 3 seeds.")
    more = plan.with_spare(plan.spare[:2])
    assert more.runs == (*plan.runs, *plan.spare[:2])
    assert more.spare == plan.spare[2:]
    assert said.replace(", 1 of 3 seeds", "") in more.left_out
    assert len(more.left_out) == len(plan.left_out)
    by_hand = Plan(plan.runs, 1.0, plan.counts, 64, 400.0, spare=plan.spare)
    assert by_hand.with_spare(plan.spare).left_out == ()


def test_the_time_that_planning_takes_is_not_planned_again(planned, task, monkeypatch):
    whole = planned(task, 100)
    clock = chain([0.0], repeat(40.0))
    monkeypatch.setattr(plan_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    left = make_plan(tiny_backbone(), task, 100, PATTERNS, layer="embedding", augment=None)
    assert left.seconds <= 0.9 * 100 - 40 < whole.seconds


def test_a_few_epochs_of_one_training_do_not_take_half_of_the_time_of_others(planned, task):
    alone = planned(task, 90, ("from_scratch",))
    assert alone.runs[0].seconds > 0.5 * 90
    both = planned(task, 90, ("frozen_extractor", "from_scratch"))
    assert [run.pattern for run in both.runs if run.seed == 0] == ["frozen_extractor"]
    assert both.spare[0].pattern == "from_scratch"


def test_plenty_of_time_gives_three_seeds_and_most_epochs_to_all_that_is_trained(planned, task):
    plan = planned(task, PLENTY)
    for pattern in PATTERNS:
        seeds = [run.seed for run in runs_of(plan, pattern)]
        assert seeds == ([0, 1, 2] if pattern in TRAINED else [None])
        assert pattern not in TRAINED or epochs_of(plan, pattern) == MOST_EPOCHS
    assert plan.left_out == ()
    assert plan.share == 1
    assert at_most(plan)


def test_second_seeds_come_after_the_first_of_each_pattern(planned, task):
    """What is dropped when time runs out is at the end."""
    runs = planned(task, 3000).runs
    first = [i for i, run in enumerate(runs) if not run.seed]
    assert first == list(range(len(first)))


def test_where_not_all_layers_can_be_trained_the_early_ones_stay_frozen(planned, task, backbone):
    plan = planned(task, 160)
    (run,) = runs_of(plan, "fine_tune")
    until = run.options["freeze_until"]
    cost = {name: up_to(backbone.trace, backbone.layer(name).path)[1] for name in ("stage1", until)}
    # The first layer that leaves less than a third of the work.
    assert until == "stage2"
    assert cost["stage1"] < 0.7 * backbone.operations <= cost[until]
    (whole,) = runs_of(planned(task, 300), "fine_tune")
    assert whole.options["freeze_until"] is None
    assert whole.options["epochs"] >= enough_epochs("fine_tune") // 2


def test_where_the_cut_leaves_nothing_to_freeze_all_layers_are_trained_or_none(planned, task):
    """Up to stage1 there are too few operations in front of it."""
    (run,) = runs_of(planned(task, 300, layer="stage1"), "fine_tune")
    assert run.options["freeze_until"] is None
    with pytest.raises(CourseError, match="too small for any pattern: fine_tune needs"):
        planned(task, 50, ["fine_tune"], layer="stage1")


def test_layer_views_and_batches_are_those_asked_for(planned, task):
    plan = planned(task, PLENTY, layer="stage3", augment=True, batch_size=5)
    for run in plan.runs:
        assert run.pattern == "classifier" or run.options["layer"] == "stage3"
        assert run.seed is None or run.options["augment"] is True
        assert run.seed is None or run.options["batch_size"] == 5
    words = "seeds 0, 1, 2; cut at stage3; batch 5; fresh views; a head on maps; 40 epochs"
    assert words in repr(plan)


@pytest.mark.parametrize(
    ("augment", "views"), [(None, [True, False, False]), (True, [True] * 3), (False, [False] * 3)]
)
def test_fresh_views_are_for_the_frozen_extractor_unless_one_asks(planned, task, augment, views):
    plan = planned(task, PLENTY, augment=augment)
    first = [runs_of(plan, pattern)[0].options for pattern in TRAINED]
    assert [options["augment"] for options in first] == views
    assert first[0]["head"] == ("conv" if views[0] else "linear")
    assert first[0]["layer"] == ("stage4" if views[0] else "embedding")


def test_a_network_without_maps_gets_a_linear_head_on_fresh_views(planned, task, monkeypatch):
    monkeypatch.setattr(plan_module, "are_maps", lambda shape: False)
    monkeypatch.setattr(head_module, "are_maps", lambda shape: False)
    options = runs_of(planned(task, PLENTY), "frozen_extractor")[0].options
    assert (options["layer"], options["head"], options["augment"]) == ("embedding", "linear", True)


@pytest.mark.parametrize("layer", ["embedding", "stage1"])  # nothing to freeze before stage1
def test_each_pattern_asked_for_is_planned_or_said_to_be_left_out(planned, task, layer):
    for budget in (*BUDGETS, 20, 40, 60, 100, 140):
        plan = planned(task, budget, layer=layer)
        there = {run.pattern for run in plan.runs}
        said = {s.split()[0] for s in plan.left_out if " is left out: " in s}
        assert there | said == set(PATTERNS)
        assert not there & said


def test_only_the_patterns_asked_for_are_planned_in_the_order_of_the_course(planned, task):
    plan = planned(task, 3000, ("from_scratch", "standalone_extractor"))
    assert [run.pattern for run in plan.runs][:2] == ["standalone_extractor", "from_scratch"]
    assert {run.pattern for run in plan.runs} == {"standalone_extractor", "from_scratch"}
    assert plan.left_out == ()


def test_features_are_counted_once(planned, task):
    """The first one that needs them computes them; the others find them."""
    features, looking = 180 * EACH, 60 * EACH
    plan = planned(task, 3000)
    assert runs_of(plan, "classifier")[0].seconds == pytest.approx(looking)
    standalone = runs_of(plan, "standalone_extractor")[0].seconds
    assert features < standalone < 1.1 * features
    stored = planned(task, 3000, augment=False)
    frozen = [run.seconds for run in runs_of(stored, "frozen_extractor")]
    assert max(frozen) < features
    alone = [run.seconds for run in planned(task, 3000, ["frozen_extractor"], augment=False).runs]
    assert alone == pytest.approx([frozen[0] + features, *frozen[1:]])


def test_a_training_takes_its_epochs_and_the_opening_of_its_pictures(planned, task):
    epoch, opening = STEP["all layers"] * (120 + 30 / 3), EACH * (180 + 30)
    plan = planned(task, PLENTY, ["from_scratch"])
    assert plan.runs[0].seconds == pytest.approx(MOST_EPOCHS * epoch + opening)


def test_the_course_has_one_stopwatch_for_epochs_and_each_is_asked_once(planned, task, asked):
    planned(task, 3000, batch_size=5, augment=False)
    rest = {"repeats": 1, "batch": 5, "size": None, "n_classes": 3}
    head = rest | {"freeze_until": "embedding", "cached": True}
    assert asked == [head, rest | {"freeze_until": None, "cached": False}]
    asked.clear()
    planned(task, 60, ["fine_tune"], augment=True)
    frozen = [(a["freeze_until"], a["cached"]) for a in asked]
    assert frozen == [(None, False), ("stage2", False)]
    asked.clear()
    planned(task, 120, ["classifier", "standalone_extractor"])
    assert asked == []


def test_what_cannot_fit_is_not_measured(planned, task, asked):
    """On a slow machine the measurement alone would take most of a small budget."""
    plan = planned(task, 30)
    assert None not in [each["freeze_until"] for each in asked]
    # Three passes forward for a step, two epochs; all are opened, and validation is seen twice.
    least = EACH * (3 * 2 * plan.counts["train"] + sum(plan.counts.values()) + plan.counts["val"])
    said = f"from_scratch is left out: it would take more than {least:.0f} s."
    assert said in plan.left_out
    asked.clear()
    with pytest.raises(CourseError, match="any pattern: fine_tune needs more than"):
        planned(task, 4, ["fine_tune"], layer="stage1")  # nothing can be frozen before it
    assert asked == []


def test_with_fresh_views_a_frozen_body_takes_its_passes_in_every_epoch(planned, task):
    views, stored = (
        planned(task, 300, ["frozen_extractor"], augment=a).runs for a in (True, False)
    )
    epochs = views[0].options["epochs"]
    assert views[0].seconds > epochs * 120 * EACH
    assert stored[0].seconds < 20


# --- many pictures, many classes, little time ---


def test_of_twenty_thousand_pictures_a_share_is_planned_and_none_is_opened(planned):
    task = unopened({"train": (7000, 5000), "val": (2000, 2000), "test": (2000, 2000)}, "ab")
    plan = planned(task, 300)
    n = sum(plan.counts.values())
    assert n * EACH < 0.5 * 300
    assert plan.share == pytest.approx(n / 20_000, abs=1e-3)
    assert plan.counts == used_counts(task, plan.share)
    assert f"Only {n} of the 20000 pictures are used" in plan.left_out[0]
    assert "would take about 16 min 40 s" in plan.left_out[0]
    assert {run.pattern for run in plan.runs} >= set(CHEAP)
    assert planned(task, 36_000).share == 1


def test_thousands_of_classes_are_planned(planned):
    classes = [f"class {i}" for i in range(3000)]
    counts = {"train": (4,) * 3000, "val": (1,) * 3000, "test": (1,) * 3000}
    plan = planned(unopened(counts, classes), 3600)
    assert not {run.pattern for run in plan.runs} & {"standalone_extractor", "fine_tune"}
    assert any(s.startswith("standalone_extractor is left out: ") for s in plan.left_out)
    plan = planned(unopened(counts, classes), 7200, width=6)
    assert {run.pattern for run in plan.runs} >= set(CHEAP)
    assert len(repr(plan)) < 2000


def test_no_picture_is_said_to_be_left_out_where_all_are_used(planned):
    """Even where there is no time for them: below ten of each class nothing is left out."""
    few = unopened({"train": (4, 4, 4), "val": (2, 2, 2), "test": (2, 2, 2)})
    plan = planned(few, 4, ["classifier"])
    assert plan.share == 1
    assert plan.counts == {"train": 12, "val": 6, "test": 6}
    assert not any(sentence.startswith("Only") for sentence in plan.left_out)


@pytest.mark.parametrize("budget", [0.001, 0.3, 0.5])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_too_little_time_for_anything_is_one_sentence_with_what_to_do(
    planned, task, budget, pattern
):
    said = (
        rf"^A budget of .* s is too small for any pattern: {pattern} needs (about|more than) .* s"
    )
    with pytest.raises(CourseError, match=said):
        planned(task, budget, [pattern])


def test_the_time_that_is_said_to_be_needed_is_enough(planned, task):
    from tlcourse.base.durations import to_seconds

    with pytest.raises(CourseError) as raised:
        planned(task, 0.3)
    needed = str(raised.value).split("needs about ")[1].split(",")[0]
    assert planned(task, to_seconds(needed) + 0.1).runs[0].pattern == "classifier"


# --- the pictures that are used ---


def test_a_subset_is_the_share_of_each_class_the_same_at_each_call(task):
    chosen = subset(task, 0.25)
    for name in SPLITS:
        whole, part = getattr(task, name), getattr(chosen, name)
        each = np.bincount(part.labels).tolist()
        assert each == [10, 10, 10] if name == "train" else [2, 2, 2]
        places = [whole.names.index(found) for found in part.names]
        assert places == sorted(set(places))
        assert part.labels.tolist() == whole.labels[places].tolist()
        assert getattr(subset(task, 0.25), name).names == part.names
    assert used_counts(task, 0.25) == {n: len(getattr(chosen, n)) for n in SPLITS}
    assert chosen.train.names[:10] != task.train.names[:10]  # drawn, not just the first ones
    assert subset(task, 1.0) is task
    assert used_counts(task, 1.0) == {"train": 120, "val": 30, "test": 30}


@pytest.mark.parametrize("share", [0.001, 0.03, 0.1, 0.3])
def test_a_small_class_keeps_enough_to_learn_from(share):
    """A task that can be learned from is one after a share is taken, too."""
    task = unopened({"train": (400, 4, 2), "val": (30, 2, 1), "test": (30, 2, 0)})
    chosen = subset(task, share)
    assert np.bincount(chosen.train.labels).min() >= 2
    assert np.bincount(chosen.val.labels).min() >= 1
    assert np.bincount(chosen.test.labels, minlength=3)[2] == 0
    assert used_counts(task, share) == {n: len(getattr(chosen, n)) for n in SPLITS}


# --- in words ---


def test_a_plan_says_what_will_be_run(planned, task):
    plan = planned(task, 80)
    lines = repr(plan).splitlines()
    assert lines[0] == (
        "Plan for 80 s: 180 pictures (train 120, val 30, test 30) at 64 px, "
        f"about {plan.seconds:.0f} s of work"
    )
    assert lines[1].split() == ["classifier", "about", "3.0", "s"]
    assert lines[3].endswith("cut at stage4; batch 12; fresh views; a head on maps; 4 epochs")
    assert lines[4].endswith("seed 0; batch 12; 2 epochs; frozen up to stage2")
    assert lines[5].startswith("  from_scratch is left out: it would take more than")
    assert lines[6] == (
        "  frozen_extractor is shortened to fit the time: 4 of 20 epochs, 1 of 3 seeds."
    )
    assert lines[7] == (
        "  fine_tune is shortened to fit the time: 2 of 6 epochs, 1 of 3 seeds, frozen up to stage2."
    )
    assert lines[8] == (
        "  If time is left: from_scratch with seed 0; frozen_extractor with seeds 1, 2; "
        "fine_tune with seeds 1, 2."
    )
    assert len(lines) == 9


def test_a_run_of_all_layers_says_so():
    options = {"layer": "embedding", "epochs": 3, "freeze_until": None, "augment": False}
    plan = Plan((PlannedRun("fine_tune", 0, options, 5.0),), 1.0, {"train": 9}, 64, 10.0)
    assert repr(plan).endswith("seed 0; 3 epochs; all layers")


# --- what is really measured ---


def test_the_measurements_open_few_pictures_and_leave_the_network_as_it_is(backbone):
    opened = []

    def read(place):
        opened.append(place)
        return Image.fromarray(picture(place % 2, place % 18))

    n = 20_000
    many = Split(range(n), np.arange(n) % 2, [f"{i}" for i in range(n)], read, lambda i: b"%d" % i)
    task = replace(make_task(), classes=("a", "b"), train=many)
    before, left = state(backbone.model), traces(backbone.model)
    torch.manual_seed(3)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    plan = make_plan(backbone, task, 1e6, PATTERNS, layer="embedding", augment=None, batch_size=4)
    assert torch.equal(torch.rand(1), drawn)
    assert not moved(before, backbone.model)
    assert traces(backbone.model) == left
    assert len(opened) < 150
    assert min(opened) == 0 and max(opened) == n - 1  # noqa: PT018
    assert all(0 < run.seconds < math.inf for run in plan.runs)


@pytest.mark.parametrize("counts", [(2, 2, 2), (3, 2, 2), (30, 20, 20)])
def test_features_are_timed_on_the_pictures_that_there_are(backbone, counts):
    task = make_task(counts={"train": counts, "val": (1, 1, 1), "test": (0, 0, 0)})
    seconds, width = time_features(backbone, task.train, "embedding", 60)
    assert 0 < seconds < 5
    assert width == backbone.model.num_features
