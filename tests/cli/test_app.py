"""The command line: where the notebooks come from, what it leaves behind, what it says."""

import contextlib
import json
import os
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
from tiny_notebooks import LITTER, files, tlcourse, write_notebook
from typer.testing import CliRunner

from tlcourse import CourseError, cli
from tlcourse.course.notebooks import FIRST

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize("option", [[], ["--outputs"]])
def test_lab_copies_notebooks_with_outputs_only_if_asked_to(here, opened, option):
    result = CliRunner().invoke(cli.app, ["lab", *option, "--no-browser"])
    assert result.exit_code == 0, result.output
    assert ('"outputs": [\n    {' in (here / "notebooks" / FIRST).read_text("utf-8")) == bool(
        option
    )
    assert opened[0][2:] == ["--no-browser"]


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
    twice = "import time\nprint('kept', flush=True)\ntime.sleep(0.5)\nprint('in one piece')"
    passes = write_notebook(here / "notebooks" / FIRST, twice, widget, bar)
    fails = write_notebook(here / "notebooks" / "01_fails.ipynb", "print('lost')", "1 / 0")
    before = fails.read_bytes()
    assert CliRunner().invoke(cli.app, ["run", "--save", "--html", "pages"]).exit_code == 1
    page = (here / "pages" / FIRST).with_suffix(".html").read_text()
    assert "IntSlider" in page
    assert "widget-view" not in page
    saved = passes.read_text()
    (printed,) = json.loads(saved)["cells"][0]["outputs"]
    assert "".join(printed["text"]) == "kept\nin one piece\n"
    assert "IntSlider" in saved
    assert "0%|" not in saved
    assert "widget-view" not in saved
    assert "widget-state" not in saved
    assert "shell.execute_reply" not in saved
    language = json.loads(saved)["metadata"]["language_info"]
    assert language == {"name": "python", "pygments_lexer": "ipython3"}  # for `!python`, no version
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
