"""Answers to the capstone are scored without their labels being seen, and the last ones once."""

import hashlib
import json
import re

import numpy as np
import pytest
import torch

import tlcourse as tl
from tests.helpers.tiny_tasks import tiny_backbone
from tlcourse.course import progress_file
from tlcourse.course.progress import progress_table
from tlcourse.course.submission import QUESTION, TO_BEAT
from tlcourse.errors import CourseError
from tlcourse.metrics import wilson_interval
from tlcourse.networks.network import Network
from tlcourse.tasks import capstone
from tlcourse.tasks.capstone import SIZES
from tlcourse.tasks.fashion import CLASSES

DIGESTS = {  # of the right labels, as `tools/capstone.py` drew them
    "public": "dd806b1660980539",
    "tries": "b32ac0c02783bce2",
    "private": "3b053061bf92bc0b",
}


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    path = tmp_path / "progress.jsonl"
    monkeypatch.setenv("TLCOURSE_PROGRESS", str(path))
    monkeypatch.setattr(progress_file, "_unwritten", {})
    return path


def answering(answers):
    """A `predict` that gives these answers whatever it sees."""
    return lambda pictures: answers


def right(part, wrong=0):
    """The labels of a part, so many of them wrong."""
    labels = capstone.labels(part).copy()
    labels[:wrong] = (labels[:wrong] + 1) % 10
    return labels


@pytest.mark.parametrize("part", SIZES)
def test_the_labels_open_to_those_that_were_drawn(part):
    labels = capstone.labels(part)
    assert set(np.bincount(labels)) == {SIZES[part] // 10}
    assert len(capstone.pictures(part)) == SIZES[part]
    assert hashlib.sha256(bytes(labels.tolist())).hexdigest()[:16] == DIGESTS[part]


def test_sealed_labels_stand_nowhere_in_clear():
    kept = json.loads((capstone._DATA / "capstone.json").read_text("utf-8"))
    for part in ("tries", "private"):
        clear = "".join(map(str, capstone.labels(part)))
        assert clear[:12] not in json.dumps(kept)
        # Without the pictures, the same text opens to something else.
        assert capstone.sealed(capstone.pictures(part), capstone.labels(part)) == kept[part]
        assert capstone.sealed(capstone.pictures(part)[::-1], capstone.labels(part)) != kept[part]


def test_a_try_is_counted_and_placed_among_the_baselines(path):
    found = tl.submit(answering(right("tries", wrong=100)))
    assert (found.right, found.n, found.accuracy) == (400, 500, 0.8)
    assert found.interval == wilson_interval(400, 500)
    assert list(found.baselines.values()) == sorted(found.baselines.values())
    assert len(found.baselines) == 4
    assert list(found.baselines)[-1] == TO_BEAT
    assert found.rank == 1
    assert found.paired.significant
    assert re.search(r"Rank 1 of 5.* points above the probe at the best layer", repr(found))
    assert tl.submit(answering(["bag"] * 500)).rank == 5
    assert progress_file.entry(QUESTION) == {"tries": 2}


def test_who_is_level_with_a_baseline_stands_behind_it():
    runs = tl.recorded_runs("capstone_baselines").set_index(["baseline", "part"])
    best = list(map(int, runs.loc[(TO_BEAT, "tries"), "answers"]))
    found = tl.submit(answering(best))
    assert found.rank == 2
    assert "level with" in found.text


def test_a_try_says_which_class_to_look_at():
    labels = right("tries")
    labels[labels == CLASSES.index("shirt")] = CLASSES.index("coat")
    assert tl.submit(answering(labels)).mistakes == ("shirt", "coat", 50)
    assert tl.submit(answering(right("tries"))).mistakes is None


def test_many_tries_are_answered_with_what_they_cost():
    for _ in range(9):
        said = tl.submit(answering(right("tries"))).text
    assert "flatters" not in said
    assert "your try 10" in tl.submit(answering(right("tries"))).text


def test_the_private_part_is_scored_once(path):
    first = tl.submit(answering(right("private", wrong=300)), final=True)
    assert (first.part, first.accuracy, first.again, first.mistakes) == (
        "private",
        0.7,
        False,
        None,
    )

    def never(pictures):
        raise AssertionError

    again = tl.submit(never, final=True)
    assert again.again
    assert (again.right, again.when) == (first.right, first.when)
    assert "scored once" in again.text
    tl.submit(answering(right("tries")))  # tries go on
    assert tl.submit(never, final=True).right == 700


def test_the_teacher_counts_the_answers_again(path):
    tl.submit(answering(right("private", wrong=250)), final=True)
    entry = json.loads(path.read_text())
    forged = entry | {"score": 1.0, "right": True}
    path.write_text(json.dumps(forged) + "\n")
    table = progress_table({"anna": path}).set_index("question")
    assert table.loc[QUESTION, ["kind", "state", "score"]].tolist() == ["capstone", "scored", 0.75]
    path.write_text(json.dumps(entry | {"answers": "12"}) + "\n")  # damaged: it does not count
    table = progress_table({"anna": path}).set_index("question")
    assert table.loc[QUESTION, "state"] == "open"


N = SIZES["private"]
BAD = {
    "predict returned None": answering(None),
    "predict stopped with ZeroDivisionError: division by zero": lambda pictures: 1 / 0,
    r"shape \(2,\) instead of one class for each of the 1000": answering(["bag", "coat"]),
    r"shape \(1000, 10\).* Take the class with the highest score": answering(np.zeros((N, 10))),
    "no class 'bagg'. Nearest: bag": answering(["bag"] * (N - 1) + ["bagg"]),
    "the label 10. Labels are from 0 to 9": answering([10] * N),
    "the label -1": answering(torch.full((N,), -1)),
    "returned 0.5 for the first picture": answering(np.full(N, 0.5)),
    "returned None for the first picture": answering([None] * N),
    "returned None for picture 1000": answering(["bag"] * (N - 1) + [None]),
    "returned int. It must return a list": answering(7),
    "predict is str, but must be a function": "bag",
    "values of shape": answering([[1], [2, 3]]),
}


@pytest.mark.parametrize("said", BAD)
def test_a_bad_answer_is_one_sentence_and_does_not_use_up_the_final_score(path, said):
    if said == "values of shape":
        said = "It must return a list|values of shape"
        bad = BAD["values of shape"]
    else:
        bad = BAD[said]
    with pytest.raises(CourseError, match=said) as raised:
        tl.submit(bad, final=True)
    assert "\n" not in str(raised.value)
    assert not path.exists()


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_labels_come_in_any_kind_of_row(kind):
    assert tl.submit(answering(kind(right("tries").tolist()))).accuracy == 1


def test_names_are_as_good_as_labels():
    assert tl.submit(answering([CLASSES[label] for label in right("tries")])).accuracy == 1


def test_predict_gets_the_pictures_that_the_task_gives():
    seen = []

    def predict(pictures):
        seen.extend(pictures)
        return [0] * len(pictures)

    tl.submit(predict)
    picture, _ = tl.load_task("capstone").val[0]
    assert len(seen) == 500
    assert (seen[0].mode, seen[0].size) == (picture.mode, picture.size)


def test_a_network_answers_as_its_function_does():
    backbone = tiny_backbone().at_size(32)
    network = Network(backbone, len(CLASSES), layer="embedding").as_backbone(CLASSES)

    class Result:
        backbone = network

    def by_hand(pictures):
        batch = torch.stack([network.preprocess(picture) for picture in pictures])
        with torch.inference_mode():
            return network.model(batch).argmax(dim=1)

    assert tl.submit(Result()).right == pytest.approx(tl.submit(by_hand).right, abs=1)
    assert tl.submit(network).right == tl.submit(Result()).right


def test_a_network_without_its_classes_is_asked_as_a_function_and_told():
    network = Network(tiny_backbone().at_size(32), len(CLASSES))
    with pytest.raises(CourseError, match="predict stopped with"):
        tl.submit(network)
