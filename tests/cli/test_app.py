"""The command line: where the notebooks come from, what it leaves behind, what it says."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib import metadata
from pathlib import Path

import jupyterlab.labapp
import pytest
from PIL import Image
from tiny_notebooks import LITTER, files, install_wheel, make_checkout, tlcourse, write_notebook
from tiny_tasks import picture, tiny_backbone
from typer.testing import CliRunner

import tlcourse as tl
from tlcourse import CourseError, cli
from tlcourse.cli import pictures as pictures_module
from tlcourse.comparison import planner
from tlcourse.comparison.planner import Speeds
from tlcourse.course.notebooks import FIRST

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return make_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def site(checkout, tmp_path_factory):
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    return install_wheel(checkout, wheels, site)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that the learner works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("origin", ["here", "checkout", "wheel"])
def test_run_takes_notebooks_here_else_the_checkouts_else_the_wheels(
    origin, checkout, site, tmp_path
):
    if origin == "here":
        write_notebook(tmp_path / "notebooks" / FIRST, "1")
        write_notebook(tmp_path / "notebooks" / "01_mine.ipynb", "1")
    package = checkout if origin == "checkout" else site
    installed = files(site)
    ran = tlcourse("run", package=package, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    page = (tmp_path / "tlcourse-report.html").read_text()
    assert "2 of 2 notebooks passed" in page
    assert ("01_mine" if origin == "here" else "01_original") in page
    assert files(site) == installed, "running wrote into the installed package"
    litter = checkout / "notebooks" / "litter.txt"
    assert litter.exists() == (origin == "checkout")  # their own folder is the working folder
    litter.unlink(missing_ok=True)


# JupyterLab


@pytest.fixture
def opened(monkeypatch):
    """What JupyterLab is started with."""
    started = []
    monkeypatch.setattr(jupyterlab.labapp, "main", started.append)
    return started


def test_lab_opens_the_first_notebook_and_passes_further_arguments_on(here, opened):
    write_notebook(here / "notebooks" / FIRST, "1")
    result = CliRunner().invoke(cli.app, ["lab", "--no-browser", "--port", "8899"])
    assert result.exit_code == 0, result.output
    shown = [f"--ServerApp.root_dir={here}", f"--LabApp.default_url=/lab/tree/notebooks/{FIRST}"]
    assert opened == [[*shown, "--no-browser", "--port", "8899"]]


def test_lab_leaves_the_root_folder_to_who_names_one(here, opened):
    write_notebook(here / "notebooks" / FIRST, "1")
    CliRunner().invoke(cli.app, ["lab", "--notebook-dir", "/"])
    assert opened == [[str(here / "notebooks" / FIRST), "--notebook-dir", "/"]]


def test_jupyterlab_really_starts_at_the_first_notebook(site, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ["--ip=127.0.0.1", f"--port={port}", "--no-browser", "--allow-root"]
    command = [sys.executable, "-m", "tlcourse", "lab", *server, "--IdentityProvider.token=tiny"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as lab:
        try:
            names = {entry["name"] for entry in _ask(lab, port, "contents/notebooks")["content"]}
            assert {FIRST, "01_original.ipynb", "pictures"} == names
        finally:
            with contextlib.suppress(OSError):
                _ask(lab, port, "shutdown", "POST")
            said, _ = lab.communicate(timeout=60)
    assert f"/lab/tree/notebooks/{FIRST}?token=" in said
    assert lab.returncode == 0


def _ask(lab, port, what, method="GET"):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = f"http://127.0.0.1:{port}/api/{what}"
    request = urllib.request.Request(url, method=method, headers={"Authorization": "token tiny"})
    for _ in range(120):
        try:
            with opener.open(request, timeout=30) as answer:
                return json.loads(answer.read() or "{}")
        except urllib.error.URLError:
            if lab.poll() is not None:
                break
            time.sleep(0.5)
    raise OSError("JupyterLab did not answer")


# Running


def test_run_goes_on_after_a_failing_notebook_and_exits_with_1(here):
    first = write_notebook(here / "notebooks" / FIRST, "1 / 0", "print('never')")
    write_notebook(here / "notebooks" / "01_fine.ipynb", "print('fine')")
    write_notebook(here / "notebooks" / "02_unwanted.ipynb", "1 / 0")
    before = first.read_bytes()
    options = ["--report", "out/page.html", "--html", "out", "--notebook", "1", "--notebook", "00"]
    result = CliRunner().invoke(cli.app, ["run", *options])
    assert result.exit_code == 1
    assert "FAILED  00_start_here" in result.output
    page = (here / "out" / "page.html").read_text()
    assert "ZeroDivisionError: division by zero" in page
    assert "1 of 2 notebooks passed" in page
    assert "fine" in (here / "out" / "01_fine.html").read_text()
    assert first.read_bytes() == before
    assert not (here / "tlcourse-report.html").exists()


def test_save_keeps_the_outputs_of_what_passed_but_nothing_that_is_dead_without_a_kernel(here):
    widget = "import ipywidgets; ipywidgets.IntSlider()"
    bar = "from tqdm.auto import tqdm\nfor _ in tqdm(range(3), desc='bar', leave=False): pass"
    passes = write_notebook(here / "notebooks" / FIRST, "print('kept')", widget, bar)
    fails = write_notebook(here / "notebooks" / "01_fails.ipynb", "print('lost')", "1 / 0")
    before = fails.read_bytes()
    assert CliRunner().invoke(cli.app, ["run", "--save", "--html", "pages"]).exit_code == 1
    page = (here / "pages" / FIRST).with_suffix(".html").read_text()
    assert "IntSlider" in page
    assert "widget-view" not in page
    saved = passes.read_text()
    assert "kept" in saved
    assert "IntSlider" in saved
    assert "0%|" not in saved
    assert "widget-view" not in saved
    assert "widget-state" not in saved
    assert "shell.execute_reply" not in saved
    assert fails.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent in another way there")
def test_ctrl_c_still_writes_the_report(site, tmp_path):
    write_notebook(tmp_path / "notebooks" / FIRST, "1")
    waits = "import time; open('waiting', 'w').close(); time.sleep(600)"
    write_notebook(tmp_path / "notebooks" / "01_waits.ipynb", waits)
    write_notebook(tmp_path / "notebooks" / "02_never.ipynb", "1")
    with subprocess.Popen(
        [sys.executable, "-m", "tlcourse", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as the tests may be, has Ctrl-C switched off for all its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        deadline = time.monotonic() + 120
        while not (tmp_path / "notebooks" / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert "Traceback" not in said
    page = (tmp_path / "tlcourse-report.html").read_text()
    assert "1 of 3 notebooks passed" in page
    assert "Stopped by Ctrl-C" in page
    assert "Not run" in page


def test_what_the_learner_can_put_right_is_one_sentence(site, tmp_path):
    ran = tlcourse("run", "--notebook", "00_strat_here", package=site, cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == (
        "tlcourse: There is no notebook '00_strat_here'. Nearest: 00_start_here.\n"
    )
    assert files(tmp_path) == {}


def test_a_report_that_cannot_be_written_is_told_before_anything_runs(here):
    write_notebook(here / "notebooks" / FIRST, LITTER)
    (here / "taken").write_text("a file, not a folder")
    result = CliRunner().invoke(cli.app, ["run", "--report", "taken/page.html"])
    assert isinstance(result.exception, CourseError)
    assert "cannot be made" in str(result.exception)
    assert not (here / "notebooks" / "litter.txt").exists()


def test_the_command_is_there_and_says_its_version(site, tmp_path):
    (script,) = metadata.Distribution.at(next(site.glob("*.dist-info"))).entry_points
    assert (script.name, script.value) == ("tlcourse", "tlcourse.cli:main")
    said = tlcourse("--version", package=site, cwd=tmp_path)
    assert said.stdout.startswith("tlcourse 1.")


def test_help_comes_without_loading_pytorch(here):
    code = "import sys, tlcourse.cli; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "False"


# Comparing and predicting

SLOW_TO_LEARN = Speeds(start=0.1, look=0.001, open=0.001, learn=1000.0, probe=0.1)


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
    monkeypatch.setattr(planner, "measure_speeds", lambda *_: SLOW_TO_LEARN)
    return asked


@pytest.fixture(scope="module")
def compared(pictures, tmp_path_factory):
    """What the command said, and the folder that it left."""
    out, tiny = tmp_path_factory.mktemp("compared") / "out", tiny_backbone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tl, "load_backbone", lambda: tiny)
        patch.setattr(planner, "measure_speeds", lambda *_: SLOW_TO_LEARN)
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
    assert first.startswith("tlcourse: ")
    assert "broken.jpg" in first
    assert "gone.png" in second


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

    def look(result, opened):
        seen.append(opened.size)
        return predict(result, opened)

    predict = tl.Result.predict
    monkeypatch.setattr(tl.Result, "predict", look)
    result = CliRunner().invoke(
        cli.app, ["predict", str(out / "model"), str(tmp_path / "large.jpg")]
    )
    assert result.exit_code == 0
    assert max(seen[0]) <= 1024


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
    assert [row.split(",")[0] for row in rows] == [
        *("classifier", "standalone_extractor", "frozen_extractor", "fine_tune", "from_scratch"),
    ]
    assert "imageNotFound.gif" in (out / "skipped.csv").read_text("utf-8")
    ant = folder / "val" / "ants" / "10308379_1b6c72e180.jpg"
    said = tlcourse("predict", out / "model", ant, package=ROOT, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.split("\t")[:2] == [str(ant), "ants"]
