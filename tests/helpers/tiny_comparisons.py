"""Comparisons without a training: who is right on which picture is given."""

import numpy as np
from tiny_tasks import tiny_backbone

import tlcourse as tl
from tlcourse.comparison.comparison import Comparison
from tlcourse.comparison.plan import Plan, PlannedRun
from tlcourse.patterns.result import Result
from tlcourse.patterns.reuse import score
from tlcourse.tasks.split import Skipped, Split
from tlcourse.tasks.task import Task
from tlcourse.training.history import Epoch, History

TRAINED = ("frozen_extractor", "fine_tune", "from_scratch")
SECONDS = {"classifier": 0.5, "standalone_extractor": 12.0, "frozen_extractor": 14.0}
SECONDS |= {"fine_tune": 90.0, "from_scratch": 200.0}
MIB = {"classifier": 100, "standalone_extractor": 101, "frozen_extractor": 110}
MIB |= {"fine_tune": 800, "from_scratch": 810}


def labelled_task(n=60, *, n_test=None, classes=("ants", "bees"), train=(10, 10), common=None):
    """A task of labels; its pictures are never opened.

    Args:
        n: Validation pictures.
        n_test: Test pictures; as many by default.
        classes: Names of the classes.
        train: Training pictures of each class.
        common: Share of the first class among validation and test pictures; by default all classes
            take turns.
    """

    def never(item):
        raise AssertionError("a picture was opened")

    def split(labels):
        names = [f"{classes[label]}/{i}.png" for i, label in enumerate(labels)]
        return Split(range(len(labels)), labels, names, never)

    def labels_of(count):
        if common is None:
            return np.arange(count) % len(classes)
        return (np.arange(count) >= round(common * count)).astype(int)

    return Task(
        "tiny",
        "labels",
        tuple(classes),
        train=split(np.repeat(np.arange(len(train)), train)),
        val=split(labels_of(n)),
        test=split(labels_of(n if n_test is None else n_test)),
        skipped=(),
        source="",
        licence="",
    )


def result_of(task, pattern, wrong, *, network=None, note="", always=None):
    """A result that is wrong on the pictures `wrong` = {"val": places, "test": places}.

    With `always` it gives this label to each picture.
    """
    logits = {}
    for name in ("val", "test"):
        labels = getattr(task, name).labels.copy()
        places = np.asarray(wrong.get(name, []), dtype=int)
        labels[places] = (labels[places] + 1) % len(task.classes)
        if always is not None:
            labels[:] = always
        logits[name] = np.eye(len(task.classes))[labels]
    layer = "logits" if pattern == "classifier" and network is None else "embedding"
    epochs = tuple(Epoch(i, 1 / i, 1.2 / i, 0.5 + i / 10, 0.5, None) for i in (1, 2))
    trains = pattern in TRAINED
    result = Result(
        pattern,
        task.name,
        task.classes,
        layer,
        note=note,
        made=network,
        seconds=SECONDS[pattern],
        memory=lambda: MIB[pattern] * 2**20,
        trainable_parameters=0 if pattern == "classifier" else 771,
        history=History(epochs, 2, "", 3.0, 0.0, lambda: 10**8, 8, None) if trains else None,
    )
    return score(result, task, logits)


def network_for(task, seed=0):
    """A finished network for the classes of a task."""
    network = tl.Network(tiny_backbone(), len(task.classes), seed=seed)
    return network.eval().as_backbone(task.classes)


def compared(task, wrong, *, skipped=(), notes=(), network=None, seeds=None):
    """A comparison of patterns that are wrong on given pictures.

    Args:
        task: From `labelled_task`.
        wrong: Pattern -> {"val": places, "test": places}, or the label that it always gives.
        skipped: (name, reason) of files left out.
        notes: What was not run.
        network: Of each result.
        seeds: Pattern -> `wrong` of a further run, which is not the chosen one.
    """
    skipped = tuple(Skipped(*each) for each in skipped)
    task = Task(**{**vars(task), "skipped": skipped})
    results, runs = {}, []
    for pattern, places in wrong.items():
        seed = 0 if pattern in TRAINED else None
        given = {"always": places, "wrong": {}} if isinstance(places, int) else {"wrong": places}
        results[pattern] = result_of(task, pattern, network=network, **given)
        runs.append((PlannedRun(pattern, seed, {}, SECONDS[pattern]), results[pattern]))
        if pattern in (seeds or {}):
            other = result_of(task, pattern, seeds[pattern])
            runs.append((PlannedRun(pattern, 1, {}, SECONDS[pattern]), other))
    counts = {n: len(getattr(task, n)) for n in ("train", "val", "test") if len(getattr(task, n))}
    plan = Plan(tuple(run for run, _ in runs), 1.0, counts, 64, 300.0)
    return Comparison(task, plan, tuple(runs), results, tuple(notes), 123.0)
