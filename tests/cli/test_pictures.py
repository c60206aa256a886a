"""The commands for your own pictures: what they print, what they leave, what they refuse."""

import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import tiny_sounds
from PIL import Image
from tiny_notebooks import ROOT, files, tlcourse
from tiny_tasks import picture, tiny_backbone
from typer.testing import CliRunner

import tlcourse as tl
from tlcourse import CourseError, cli, cost
from tlcourse.cli import pictures as pictures_module
from tlcourse.comparison import plan as plan_module
from tlcourse.engines import engine as engines
from tlcourse.networks.preprocess import Preprocess
from tlcourse.patterns.reuse import PATTERNS


def slow_to_learn(patch):
    """No training of all layers fits into the budget; a head on stored features does."""
    epoch = cost.epoch

    def slow(*arguments, freeze_until, **options):
        made = epoch(*arguments, freeze_until=freeze_until, **options)
        return made if freeze_until == "embedding" else replace(made, times=(1000.0,))

    patch.setattr(cost, "epoch", slow)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of two classes with a broken file, a twin in both classes, and a note."""
    folder = tmp_path_factory.mktemp("pictures") / "colours"
    for label, name in enumerate(("reddish", "a greenish one")):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(picture(label, i)).save(folder / name / f"{i}.png")
        Image.fromarray(picture(2, 0)).save(folder / name / "twin.png")
    (folder / "reddish" / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture
def tiny_network(monkeypatch):
    """The network of the course is a tiny one; the names that were asked for are noted."""
    asked, tiny = [], tiny_backbone()

    def load(*names):
        asked.append(names)
        return tiny

    monkeypatch.setattr(tl, "load_backbone", load)
    slow_to_learn(monkeypatch)
    return asked


@pytest.fixture(scope="module")
def compared(pictures, tmp_path_factory):
    """What the command said, and the folder that it left."""
    out, tiny = tmp_path_factory.mktemp("compared") / "out", tiny_backbone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tl, "load_backbone", lambda: tiny)
        slow_to_learn(patch)
        arguments = ["compare", str(pictures), "--out", str(out), "--budget", "90s"]
        result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result, out


def test_compare_prints_what_is_left_out_the_plan_the_table_and_the_advice(compared):
    result, out = compared
    said = result.stdout
    assert said.startswith("Task 'colours': 20 pictures, 2 classes (a greenish one, reddish)\n")
    assert "\n  left out: reddish/broken.jpg: " in said
    assert "\n  left out: reddish/twin.png: " in said
    assert "\n  left out: notes.txt: " in said
    order = ["left out: ", "Plan for ", "pattern  ", "\nTake ", "\nReport: ", "\nNext:   "]
    places = [said.index(part) for part in order]
    assert places == sorted(places)
    words = " ".join(said.split())
    assert "classifier is not applicable: the network has no class called" in words
    assert "fine_tune is left out: it would take about" in words
    assert f"Report: {out / 'report.html'}\n" in said
    assert f"tlcourse predict {out / 'model'} PICTURE...\n" in said


def test_compare_shows_how_far_the_reading_of_the_folder_is(compared):
    """Thousands of files take minutes, in which nothing else is printed."""
    result, _ = compared
    assert re.search(r"\d+/\d+", result.stderr.partition("comparing")[0])


def test_compare_leaves_a_report_two_tables_and_a_model(compared):
    _, out = compared
    assert {p.name for p in out.iterdir()} == {"report.html", "results.csv", "skipped.csv", "model"}
    skipped = (out / "skipped.csv").read_text("utf-8")
    for name in ("notes.txt", "reddish/broken.jpg", "reddish/twin.png", "a greenish one/twin.png"):
        assert name in skipped
        assert name in (out / "report.html").read_text("utf-8")
    rows = (out / "results.csv").read_text("utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == [
        "pattern",
        "standalone_extractor",
        "frozen_extractor",
    ]


def test_the_saved_model_classifies_in_a_new_process(compared, pictures, tmp_path):
    _, out = compared
    odd = tmp_path / "a name with spaces.png"
    shutil.copy(pictures / "reddish" / "3.png", odd)
    paths = [pictures / "reddish" / "1.png", pictures / "a greenish one" / "1.png", odd]
    ran = tlcourse("predict", out / "model", *paths, package=ROOT, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    result = tl.load_result(out / "model", device="cpu")
    lines = [line.split("\t") for line in ran.stdout.splitlines()]
    assert [line[0] for line in lines] == [str(path) for path in paths]
    for (_, name, probability), path in zip(lines, paths, strict=True):
        first = result.predict(path).iloc[0]
        assert name == first["class"]
        # It is printed with three digits, and another process may share the work in another way.
        assert float(probability) == pytest.approx(first["probability"], abs=6e-4)
    assert {line[1] for line in lines} <= {"reddish", "a greenish one"}


def test_predict_goes_on_after_a_picture_that_cannot_be_read_and_exits_with_1(compared, pictures):
    _, out = compared
    good, broken = pictures / "reddish" / "1.png", pictures / "reddish" / "broken.jpg"
    arguments = [str(path) for path in (out / "model", broken, pictures / "gone.png", good)]
    result = CliRunner().invoke(cli.app, ["predict", *arguments])
    assert result.exit_code == 1
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [str(good)]
    first, second = result.stderr.splitlines()
    assert first == f"tlcourse: {broken} cannot be read: it is not a picture."
    assert second.startswith(f"tlcourse: {pictures / 'gone.png'} cannot be read: No such file")


def test_predict_names_a_file_by_the_path_as_it_was_given(compared, here):
    """Of two files with one name you can tell which one it is."""
    _, out = compared
    for folder in ("first", "second"):
        (here / folder).mkdir()
        (here / folder / "one.png").write_bytes(b"no picture")
    arguments = ["predict", str(out / "model"), "first/one.png", "./second/../second/one.png"]
    lines = CliRunner().invoke(cli.app, arguments).stderr.splitlines()
    assert [line.split(" cannot be read")[0] for line in lines] == [
        f"tlcourse: {Path('first/one.png')}",
        f"tlcourse: {Path('second/../second/one.png')}",
    ]


@pytest.mark.skipif(os.name == "nt", reason="no tab may be in a name there")
def test_a_tab_in_a_name_leaves_class_and_probability_at_the_end(compared, pictures, tmp_path):
    _, out = compared
    odd = tmp_path / "a\ttab.png"
    shutil.copy(pictures / "reddish" / "1.png", odd)
    result = CliRunner().invoke(cli.app, ["predict", str(out / "model"), str(odd)])
    name, label, probability = result.stdout.splitlines()[0].rsplit("\t", 2)
    assert name == str(odd)
    assert label in ("reddish", "a greenish one")
    assert 0.5 <= float(probability) <= 1


def test_a_large_photograph_is_read_at_a_reduced_size(compared, tmp_path, monkeypatch):
    _, out = compared
    Image.fromarray(picture(0, 1, (2000, 1500))).save(tmp_path / "large.jpg")
    seen = []

    def note_size(preprocess, opened):
        seen.append(opened.size)
        return call(preprocess, opened)

    call = Preprocess.__call__
    monkeypatch.setattr(Preprocess, "__call__", note_size)
    result = CliRunner().invoke(
        cli.app, ["predict", str(out / "model"), str(tmp_path / "large.jpg")]
    )
    assert result.exit_code == 0
    assert (1000, 750) in seen


@pytest.mark.parametrize("engine", ["pytorch", "openvino"])
def test_many_pictures_are_answered_in_order_whichever_the_engine(
    compared, pictures, monkeypatch, engine
):
    if engine == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is not installed")
        monkeypatch.setattr(engines, "_WORTH", 0)
    _, out = compared
    paths = [*sorted(pictures.glob("*/[0-9].png")), pictures / "gone.png", pictures / "notes.txt"]
    arguments = ["predict", str(out / "model"), *map(str, paths[::-1])]
    ran = CliRunner().invoke(cli.app, arguments)
    assert ran.exit_code == 1
    lines = [line.split("\t") for line in ran.stdout.splitlines()]
    assert [line[0] for line in lines] == [str(path) for path in paths[-3::-1]]
    result = tl.load_result(out / "model", device="cpu")
    for path, label, probability in lines:
        first = result.predict(path).iloc[0]
        assert label == first["class"]
        assert float(probability) == pytest.approx(first["probability"], abs=6e-4)
    assert [f"{name} cannot be read" in ran.stderr for name in ("gone.png", "notes.txt")] == [1, 1]


def test_predict_without_a_saved_model_is_a_sentence(here):
    result = CliRunner().invoke(cli.app, ["predict", "nowhere", "one.png"])
    assert isinstance(result.exception, CourseError)
    assert "nowhere holds no saved result" in str(result.exception)


def test_predict_needs_a_picture(compared):
    _, out = compared
    assert CliRunner().invoke(cli.app, ["predict", str(out / "model")]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--budget", "soon"], "'soon' is no duration"),
        (["--out", "foreign"], r"foreign holds something else .* such as thesis\.txt"),
        (["--out", "foreign/thesis.txt/below"], "cannot be written to"),
    ],
)
def test_compare_refuses_before_it_reads_a_picture(
    here, pictures, tiny_network, monkeypatch, arguments, says
):
    (here / "foreign").mkdir()
    (here / "foreign" / "thesis.txt").write_text("years of work")
    monkeypatch.setattr(tl, "load_task", lambda *_, **__: 1 / 0)
    result = CliRunner().invoke(cli.app, ["compare", str(pictures), *arguments])
    assert isinstance(result.exception, CourseError)
    assert re.search(says, str(result.exception))
    assert tiny_network == []
    assert files(here) == {Path("foreign/thesis.txt"): b"years of work"}


def test_a_file_as_out_is_refused(here, pictures):
    (here / "taken").write_text("mine")
    result = CliRunner().invoke(cli.app, ["compare", str(pictures), "--out", "taken"])
    assert result.exit_code == 2
    assert (here / "taken").read_text() == "mine"


def test_a_budget_that_is_too_small_leaves_nothing(here, pictures, tiny_network):
    result = CliRunner().invoke(cli.app, ["compare", str(pictures), "--budget", "0.05s"])
    assert isinstance(result.exception, CourseError)
    assert re.search("too small for any pattern|took longer than", str(result.exception))
    assert files(here) == {}


def test_the_time_to_read_the_pictures_counts(here, pictures, tiny_network, monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            Clock.now += 50
            return Clock.now

    given = []

    def compare(network, task, *, budget):
        given.append(budget)
        raise CourseError("enough")

    monkeypatch.setattr(tl, "compare", compare)
    monkeypatch.setattr(pictures_module, "time", Clock())
    for budget, left in (("90s", [40]), ("40s", [])):
        given.clear()
        result = CliRunner().invoke(cli.app, ["compare", str(pictures), "--budget", budget])
        assert given == left
        assert isinstance(result.exception, CourseError)
    assert "took longer than 40 s; give more time" in str(result.exception)


def test_compare_takes_another_network_and_size(here, pictures, tiny_network, monkeypatch):
    class Seen(Exception):  # noqa: N818
        pass

    def compare(network, task, **_):
        raise Seen(network.preprocess.crop_size)

    monkeypatch.setattr(tl, "compare", compare)
    for arguments, names, size in (
        ([], (), 64),
        (["--backbone", "resnet18", "--size", "32"], ("resnet18",), 32),
    ):
        result = CliRunner().invoke(cli.app, ["compare", str(pictures), *arguments])
        assert isinstance(result.exception, Seen)
        assert result.exception.args == (size,)
        assert tiny_network.pop() == names


def test_a_name_of_a_network_or_a_folder_that_is_not_there_is_a_sentence(here, pictures):
    result = CliRunner().invoke(cli.app, ["compare", str(pictures), "--backbone", "resnet81"])
    assert isinstance(result.exception, CourseError)
    assert "resnet18" in str(result.exception)
    result = CliRunner().invoke(cli.app, ["compare", "no/such/folder", "--budget", "1s"])
    assert isinstance(result.exception, CourseError)
    assert "no/such/folder does not exist" in str(result.exception)


def test_of_many_files_left_out_some_are_printed(here, tiny_network, monkeypatch):
    for name in "ab":
        (here / "many" / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(picture(0, i + 10 * ord(name))).save(here / "many" / name / f"{i}.png")
    for i in range(25):
        (here / "many" / "a" / f"{i:02}.txt").touch()
    monkeypatch.setattr(tl, "compare", lambda *_, **__: 1 / 0)
    said = CliRunner().invoke(cli.app, ["compare", "many"]).stdout
    assert said.count("left out: a/") == 20
    assert "\n  and 5 more; skipped.csv lists all\n" in said


def test_four_different_patterns_are_tried_and_the_model_answers(here, monkeypatch):
    """Five classes that the network does not know; the forecast is made up, so nothing takes long."""
    for label in range(5):
        (here / "mine" / f"kind {label}").mkdir(parents=True)
        for i in range(10):
            Image.fromarray(picture(label, i)).save(here / "mine" / f"kind {label}" / f"{i}.png")
    (here / "mine" / "kind 0" / "broken.jpg").write_bytes(b"no picture")
    tiny = tiny_backbone()
    monkeypatch.setattr(tl, "load_backbone", lambda: tiny)
    monkeypatch.setattr(plan_module, "time_features", lambda *_: (0.2, 64))
    monkeypatch.setattr(cost, "epoch", lambda *_, **__: SimpleNamespace(seconds=20.0))
    ran = CliRunner().invoke(cli.app, ["compare", "mine", "--out", "out", "--budget", "200s"])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    table = pd.read_csv(here / "out" / "results.csv", index_col="pattern")
    assert list(table.index) == list(PATTERNS[1:])
    assert table.trained["frozen_extractor"] > 10 * table.trained["standalone_extractor"]
    # The forecast was far too high, so there was time for what the plan had in reserve.
    assert "If time is left: " in ran.stdout
    assert [len(str(seeds).split()) for seeds in table.seeds] == [1, 3, 3, 3]
    told = CliRunner().invoke(cli.app, ["predict", "out/model", "mine/kind 1/2.png"])
    assert told.stdout.split("\t")[1].startswith("kind ")


@pytest.mark.slow
@pytest.mark.skipif("TLCOURSE_DATA" not in os.environ, reason="TLCOURSE_DATA names no photographs")
def test_ants_and_bees_are_compared_within_five_minutes(tmp_path):
    """The raw folder, with its broken file; then the saved model answers in a new process."""
    folder = Path(os.environ["TLCOURSE_DATA"]) / "hymenoptera_data"
    started = time.monotonic()
    ran = tlcourse("compare", folder, package=ROOT, cwd=tmp_path, timeout=400)
    seconds = time.monotonic() - started
    assert ran.returncode == 0, ran.stderr
    assert seconds < 1.2 * 300
    out = tmp_path / "tlcourse-comparison"
    rows = (out / "results.csv").read_text("utf-8").splitlines()[1:]
    # Whether training from scratch fits, too, depends on the machine.
    assert [row.split(",")[0] for row in rows][:4] == list(PATTERNS[:4])
    assert "imageNotFound.gif" in (out / "skipped.csv").read_text("utf-8")
    ant = folder / "val" / "ants" / "10308379_1b6c72e180.jpg"
    said = tlcourse("predict", out / "model", ant, package=ROOT, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.split("\t")[:2] == [str(ant), "ants"]


def test_a_sound_is_predicted_and_what_is_none_is_a_sentence(tmp_path, monkeypatch):
    tiny_sounds.fill(tmp_path / "low", 2)
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    Image.fromarray(picture(0, 1)).save(tmp_path / "picture.png")
    speakers = tl.Network(tl.load_backbone("ge2e", device="cpu"), 2).as_backbone(("low", "high"))
    result = SimpleNamespace(backbone=speakers, classes=("low", "high"))
    monkeypatch.setattr(tl, "load_result", lambda folder: result)
    good = [tmp_path / "low" / "0.wav", tmp_path / "low" / "1.wav"]
    paths = [good[0], tmp_path / "bad.wav", tmp_path / "picture.png", good[1]]
    ran = CliRunner().invoke(cli.app, ["predict", str(tmp_path), *map(str, paths)])
    assert ran.exit_code == 1
    assert [line.split("\t")[0] for line in ran.stdout.splitlines()] == list(map(str, good))
    said = ran.stderr.splitlines()
    assert "bad.wav cannot be read: it is not a sound" in said[0]
    assert said[1].endswith(
        "picture.png cannot be read: it is a picture, and this model takes sounds."
    )
