"""The model card says what is known of a result, and what is not."""

import dataclasses
import json
import re

import numpy as np
import pytest
from markdown_it import MarkdownIt
from tiny_tasks import CLASSES, make_task, tiny_backbone, without

import tlcourse as tl
from tlcourse import metrics, patterns
from tlcourse.errors import CourseError
from tlcourse.patterns.card import training_facts
from tlcourse.tasks.split import Skipped
from tlcourse.training.settings import Settings


@pytest.fixture(scope="module")
def task():
    return dataclasses.replace(
        make_task(),
        source="made up",
        licence="CC0 1.0",
        skipped=(Skipped("a.txt", "it is no picture"),),
    )


@pytest.fixture(scope="module")
def result(task):
    backbone = dataclasses.replace(tiny_backbone(), source="a package")
    return patterns.fine_tune(backbone, task, epochs=1, seed=7, progress=False)


def card(folder):
    return (folder / "README.md").read_text("utf-8")


def section(text, heading):
    return re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)[1]


def test_the_card_says_what_the_result_knows(result, task, tmp_path):
    text = card(result.save(tmp_path / "x", purpose="To sort <ants>."))
    assert text.startswith("# fine_tune on tiny\n")
    assert "To sort \\<ants\\>." in section(text, "What it is for")
    assert "coloured noise" in section(text, "What it is for")
    scores = section(text, "Classes and accuracy")
    assert f"Test accuracy {result.test_accuracy:.3f} (95 % interval" in scores
    for label, name in enumerate(CLASSES):
        mine = task.test.labels == label
        right = int(result.right[mine].sum())
        low, high = metrics.wilson_interval(right, int(mine.sum()))
        row = (
            f"| {name} | 6 | 2 | {mine.sum()} | {right} of {mine.sum()} | {low:.2f} to {high:.2f} |"
        )
        assert row in scores
    ece = metrics.calibration_error(result.logits["test"], task.test.labels)
    assert f"{ece:.3f}" in section(text, "How sure it is")
    assert f"temperature {result.temperature:.3f}" in section(text, "How sure it is")
    data = section(text, "Data")
    assert "Source: made up. Licence: CC0 1.0." in data
    assert "18 for training, 6 for validation, 9 for the test" in data
    assert "1 files, such as a.txt: it is no picture" in data
    made = section(text, "How it was made")
    assert "seed 7, epochs 1" in made
    assert f"{result.trainable_parameters:,}" in made
    assert "1,000 classes apart, such as" in section(text, "What it inherits")
    assert "CC0 1.0" in section(text, "Licences")
    assert "None were measured" in section(text, "Groups")


def test_groups_are_shown_where_they_are_passed(result, tmp_path):
    cameras = np.array(["old", "new", "new"] * 3)
    text = card(result.save(tmp_path / "x", groups=cameras))
    right = int(result.right[cameras == "old"].sum())
    assert f"| old | 3 | {right / 3:.2f} |" in section(text, "Groups")
    with pytest.raises(CourseError, match="a label and a group"):
        result.save(tmp_path / "y", groups=cameras[:4])
    assert not (tmp_path / "y").exists()


def test_a_loaded_result_keeps_what_was_said(result, tmp_path):
    groups = ["a", "b", "c"] * 3
    first = result.save(tmp_path / "x", purpose="To test.", groups=groups)
    loaded = tl.load_result(first, device="cpu")
    assert card(loaded.save(tmp_path / "again")) == card(first)
    with pytest.raises(CourseError, match="holds no answers"):
        loaded.save(tmp_path / "z", groups=groups)


def test_what_an_older_version_did_not_save_is_said_to_be_unknown(result, tmp_path):
    folder = result.save(tmp_path / "x")
    about = json.loads((folder / "model.json").read_text("utf-8"))
    del about["facts"]
    (folder / "model.json").write_text(json.dumps(about), "utf-8")
    (folder / "README.md").unlink()
    text = card(tl.load_result(folder, device="cpu").save(folder))
    for heading in ("Data", "What it inherits"):
        assert section(text, heading).strip().startswith("Not known")
    assert "calibration error is not known" in section(text, "How sure it is")
    assert f"Test accuracy {result.test_accuracy:.3f}" in text


def test_each_pattern_writes_a_card(task, tmp_path):
    backbone, quick = tiny_backbone(), {"progress": False}
    results = [
        patterns.classifier(backbone, task, **quick),
        patterns.standalone_extractor(backbone, task, **quick),
        patterns.from_scratch(backbone, task, epochs=1, **quick),
    ]
    texts = [card(result.save(tmp_path / result.pattern)) for result in results]
    assert all("coloured noise" in section(text, "Data") for text in texts)
    assert "0 of its" in section(texts[0], "How it was made")
    assert "Only the architecture" in section(texts[2], "What it inherits")


def test_names_of_folders_cannot_write_markdown(task, tmp_path):
    names = ("<img src=x onerror=alert(1)>", "a | b", "[c](http://x) `d` *e* __f__")
    strange = dataclasses.replace(task, classes=names)
    result = patterns.standalone_extractor(tiny_backbone(), strange, progress=False)
    html = MarkdownIt().enable("table").render(card(result.save(tmp_path / "x")))
    assert "<img" not in html
    assert "<td>a | b</td>" in html
    assert "<td>[c](http://x) `d` *e* __f__</td>" in html
    assert html.count("<table>") == 1


def test_without_test_pictures_the_validation_pictures_are_named(task, tmp_path):
    result = patterns.standalone_extractor(tiny_backbone(), without(task, "test"), progress=False)
    text = card(result.save(tmp_path / "x"))
    assert "There were no test pictures" in text
    assert f"Validation accuracy {result.val_accuracy:.3f}" in text


def test_numbers_of_numpy_can_be_options_of_a_training():
    settings = Settings(epochs=np.int64(2), seed=np.int64(1), learning_rate=np.float64(0.01))
    facts = training_facts(settings)
    assert json.loads(json.dumps(facts))["epochs"] == 2
