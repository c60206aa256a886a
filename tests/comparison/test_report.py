"""What a comparison leaves: whole or not at all, in its own place, readable, and escaped."""

import csv
import errno
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_comparisons import compared, labelled_task, network_for
from tiny_tasks import moved, state

import tlcourse as tl
from tlcourse.base import files
from tlcourse.comparison import report
from tlcourse.comparison.report import check_target, to_html
from tlcourse.errors import CourseError

FILES = {"report.html", "results.csv", "skipped.csv", "model"}
WRONG = {
    "classifier": {"val": range(30), "test": range(25)},
    "frozen_extractor": {"val": range(3), "test": range(3)},
    "fine_tune": {"val": range(1), "test": range(2)},
}
SKIPPED = (
    ("ants/<b>bold</b> & co.jpg", "it is <not> a picture"),
    ('bees/a "name", with a comma.gif', ".gif is not read"),
)
NOTES = ("from_scratch is left out: it would take about <1 h>.",)


@pytest.fixture(scope="module")
def task():
    return labelled_task()


@pytest.fixture(scope="module")
def made(task):
    return compared(task, WRONG, skipped=SKIPPED, notes=NOTES, network=network_for(task))


@pytest.fixture(scope="module")
def saved(made, tmp_path_factory):
    """Not to be changed."""
    return made.save(tmp_path_factory.mktemp("saved") / "out")


@pytest.fixture
def quick(monkeypatch):
    """A page without figures, which take most of the time."""
    monkeypatch.setattr(report, "to_html", lambda comparison: f"page {comparison.best}")


@pytest.fixture
def mine(saved, tmp_path):
    """A saved comparison of one's own, and nothing beside it."""
    return Path(shutil.copytree(saved, tmp_path / "mine"))


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- what is there ---


def test_a_report_two_tables_and_the_model_are_left_and_nothing_else(saved):
    assert {path.name for path in saved.iterdir()} == FILES
    assert {path.name for path in (saved / "model").iterdir()} == {
        "README.md",
        "model.json",
        "model.safetensors",
    }
    assert list(saved.parent.iterdir()) == [saved]


def test_the_model_is_that_of_the_recommended_pattern(saved, made):
    loaded = tl.load_result(saved / "model", device="cpu")
    assert made.best == "fine_tune"
    assert loaded.pattern == made.recommended == "frozen_extractor"
    assert loaded.classes == made.task.classes
    chosen = made.results["frozen_extractor"]
    assert not moved(state(chosen.backbone.model), loaded.backbone.model)
    picture = Image.new("RGB", (70, 50), (200, 90, 10))
    assert loaded.predict(picture).equals(chosen.predict(picture))


def test_the_table_reads_back_as_it_was(saved, made):
    read = pd.read_csv(saved / "results.csv", index_col="pattern")
    table = made.table
    assert list(read.columns) == list(table.columns)
    assert list(read.index) == list(table.index)
    assert list(read.seeds.astype(str)) == ["0.583", "0.95", "0.967"]
    read, table = read.drop(columns="seeds"), table.drop(columns="seeds")
    np.testing.assert_allclose(read.to_numpy(float), table.to_numpy(float), rtol=1e-12)


def test_skipped_files_read_back_whatever_their_names(saved):
    with (saved / "skipped.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["picture", "reason"], *map(list, SKIPPED)]


def test_where_nothing_was_skipped_the_table_has_its_head_and_the_page_says_so(task, tmp_path):
    made = compared(task, WRONG, network=network_for(task))
    made.save(tmp_path / "out")
    assert (tmp_path / "out" / "skipped.csv").read_text().strip() == "picture,reason"
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "<h2>Files that were left out: 0</h2>" in page
    assert "What was shortened or not run" not in page


# --- the page ---


class Page(HTMLParser):
    """What one reads, the rows of the tables, the pictures, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.rows, self.pictures, self.tags = [], [], [], [], set()
        self.feed(text)
        assert self.open == [], "tags that are not closed"

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "img":
            self.pictures.append(dict(attributes))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("img", "meta", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data + " "

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(saved):
    return Page((saved / "report.html").read_text("utf-8"))


def test_names_and_sentences_are_escaped(page, saved):
    assert "ants/<b>bold</b> & co.jpg: it is <not> a picture" in page.text
    assert "it would take about <1 h>." in page.text
    assert "Files that were left out: 2" in page.text
    assert not {"b", "not", "script"} & page.tags
    assert "<b>" not in (saved / "report.html").read_text("utf-8")


def test_names_of_task_and_classes_are_escaped(tmp_path):
    task = labelled_task(classes=("<i>ants</i>", "a & b"))
    vars(task)["name"] = "<script>alert(1)</script>"
    text = to_html(compared(task, {"classifier": {"val": [0, 1], "test": [0, 1]}}))
    assert not {"i", "script"} & Page(text).tags
    assert "<script>alert(1)</script>" in Page(text).text


@pytest.mark.parametrize("name", ["$a_$", "a$b", "100 $", r"\alpha", "a_b^c", "{x}", "%"])
def test_a_name_that_looks_like_mathematics_is_a_name(name):
    text = to_html(compared(labelled_task(classes=("ants", name)), {"classifier": {}}))
    assert len(Page(text).pictures) == 2


def test_it_says_what_to_take_and_why(page, made):
    assert made.recommendation in page.text
    assert "Which pattern for tiny?" in page.text
    assert "2 classes; pictures used: train 20, val 60, test 60" in page.text


def test_it_has_a_row_for_each_pattern_with_its_numbers(page, made):
    rows = {row[0].strip(): [" ".join(cell.split()) for cell in row[1:]] for row in page.rows}
    table = made.table
    for pattern in WRONG:
        cells, row = rows[pattern], table.loc[pattern]
        assert cells[0] == f"{row.accuracy:.3f} ({row.low:.3f} to {row.high:.3f})"
        assert cells[1:4] == [row.seeds, f"{row.balanced:.3f}", f"{row.validation:.3f}"]
        assert cells[7] == f"{row.trained:,.0f}"
    assert rows["fine_tune"][4] == "the best"
    assert rows["frozen_extractor"][4] == "0 : 1, p 1"
    assert rows["classifier"][4] == "0 : 23, p < 0.001"
    assert (rows["fine_tune"][5], rows["fine_tune"][6]) == ("90 s", "800 MiB")


def test_it_shows_the_accuracy_of_each_seed_and_their_mean(task):
    other = {"fine_tune": {"val": range(9), "test": range(9)}}
    page = Page(to_html(compared(task, WRONG, seeds=other)))
    (row,) = (row for row in page.rows if row[0].strip() == "fine_tune")
    assert row[2].strip() == "0.967 0.850, mean 0.908"


def test_it_shows_the_costs_the_mistakes_and_the_trainings_with_their_texts(page):
    texts = [picture["alt"] for picture in page.pictures]
    assert len(texts) == 3
    assert texts[0].startswith("Accuracy against time and against memory: ")
    assert texts[1].startswith("Table of true and predicted classes: 57 of 60 right")
    assert texts[2].startswith("Curves of loss and validation accuracy by epoch: ")
    assert all(picture["src"].startswith("data:image/") for picture in page.pictures)


def test_it_needs_no_other_file_and_tells_nobody_whose_machine_it_is(saved):
    text = (saved / "report.html").read_text("utf-8")
    text = re.sub(r"data:image/\w+;base64,[^\"]+", "", text)
    assert not re.search(r"https?://|src=\"(?!\")[^d]|<link|<script", text)
    assert str(saved.parent) not in text
    assert str(Path.home()) not in text


def test_a_comparison_without_a_training_has_no_curves(task):
    page = Page(to_html(compared(task, {"classifier": {}})))
    assert len(page.pictures) == 2
    assert "The trainings" not in page.text


def test_a_table_of_mistakes_that_nobody_can_read_is_left_out():
    classes = [f"class {i}" for i in range(26)]
    task = labelled_task(52, classes=classes, train=(2,) * 26)
    page = Page(to_html(compared(task, {"classifier": {}})))
    assert len(page.pictures) == 1
    assert "takes for which" not in page.text


# --- where it goes ---


def test_a_new_folder_an_empty_one_and_one_below_others_will_do(made, quick, tmp_path):
    (tmp_path / "empty").mkdir()
    for target in (tmp_path / "empty", tmp_path / "deep" / "down"):
        assert made.save(str(target)) == target
        assert {path.name for path in target.iterdir()} == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "deep"}


def test_the_folder_one_is_in_will_do(made, quick, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    made.save(".")
    assert {path.name for path in (tmp_path / "here").iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_an_earlier_comparison_is_replaced(task, quick, mine):
    other = compared(task, {"classifier": {}, "fine_tune": {}}, network=network_for(task, seed=5))
    other.save(mine)
    assert tl.load_result(mine / "model", device="cpu").pattern == "classifier"
    assert len(pd.read_csv(mine / "results.csv")) == 2
    assert {path.name for path in mine.iterdir()} == FILES
    assert list(mine.parent.iterdir()) == [mine]


FOREIGN = {
    "beside": lambda folder: (folder / "thesis.txt").write_text("years of work"),
    "in the model": lambda folder: (folder / "model" / "thesis.txt").write_text("years of work"),
    "a model alone": lambda folder: [
        shutil.rmtree(folder),
        (folder / "model").mkdir(parents=True),
        (folder / "model" / "weights.pt").write_text("years of training"),
    ],
    "a table alone": lambda folder: [
        shutil.rmtree(folder),
        folder.mkdir(),
        (folder / "results.csv").write_text("years of measuring"),
    ],
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_folder_with_something_else_is_left_alone(made, quick, mine, foreign):
    FOREIGN[foreign](mine)
    before = content(mine)
    with pytest.raises(CourseError, match=r"something else than an earlier comparison, such as "):
        made.save(mine)
    with pytest.raises(CourseError, match=r"Name another folder\.$"):
        check_target(mine)
    assert content(mine) == before
    assert list(mine.parent.iterdir()) == [mine]


def test_a_file_is_no_folder(made, quick, tmp_path):
    (tmp_path / "file").write_text("years of work")
    with pytest.raises(CourseError, match="is a file; name a folder"):
        check_target(tmp_path / "file")
    with pytest.raises(CourseError, match="cannot be written to"):  # before anything is trained
        check_target(tmp_path / "file" / "below")
    with pytest.raises(CourseError, match="cannot be written to"):
        made.save(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "years of work"


def test_to_look_at_a_target_changes_nothing_in_it(mine, tmp_path):
    before = content(mine)
    assert check_target(mine) == mine
    assert check_target(tmp_path / "new") == tmp_path / "new"
    assert content(mine) == before
    assert list(tmp_path.iterdir()) == [mine]


@pytest.mark.parametrize("step", ["report", "table", "model", "place"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_what_breaks_off_leaves_nothing_and_the_earlier_comparison_whole(
    made, quick, mine, monkeypatch, step, error
):
    def broken(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        if step == "report":
            patch.setattr(Path, "write_text", broken)
        elif step == "table":
            patch.setattr(pd.DataFrame, "to_csv", broken)
        elif step == "model":
            patch.setattr(tl.Result, "save", broken)
        else:
            replace = Path.replace

            def fails(path, target):
                whole = path.name.endswith(".part") and not path.name.startswith(".model.")
                return broken() if whole else replace(path, target)

            patch.setattr(Path, "replace", fails)
            patch.setattr(files, "_exchange", lambda one, other: False)
        before = content(mine)
        expected = CourseError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected):
            made.save(mine)
        with pytest.raises(expected):
            made.save(mine.parent / "new")
    assert content(mine) == before
    assert [path.name for path in mine.parent.iterdir()] == ["mine"]


def test_a_name_that_is_no_text_does_not_lose_the_comparison(task, tmp_path):
    """Names from old archives may hold bytes that are no UTF-8; Python reads them as this."""
    skipped = [(os.fsdecode(b"ants/\xff.jpg"), "it is not a picture")]
    made = compared(task, {"classifier": {}}, skipped=skipped, network=network_for(task))
    made.save(tmp_path / "out")
    assert "ants/" in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "it is not a picture" in (tmp_path / "out" / "skipped.csv").read_text("utf-8")


def test_the_page_is_written_last_of_all_in_its_place(made, quick, mine, monkeypatch):
    """Until all is there, who looks into the folder sees the earlier comparison."""
    before, seen = content(mine), []
    save = tl.Result.save

    def note_and_save(result, folder):
        seen.append(content(mine) == before)
        return save(result, folder)

    monkeypatch.setattr(tl.Result, "save", note_and_save)
    made.save(mine)
    assert seen == [True]
