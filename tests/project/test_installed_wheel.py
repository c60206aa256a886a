"""From the wheel alone, in an empty folder with an empty cache and no network: every command."""

import json
import os
import re
import site
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tlcourse.course.notebooks import FIRST

ROOT = Path(__file__).parents[2]
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
NOWHERE = "http://127.0.0.1:9"  # what asks the network fails at once
TOKEN = "let-me-in"


class Installed:
    """A virtual environment that has the wheel, and sees the packages that the tests run with."""

    def __init__(self, place: Path) -> None:
        self.place, self.home, self.work = place, place / "home", place / "work"
        self.home.mkdir()
        self.work.mkdir()
        venv = place / "venv"
        run = {"check": True, "capture_output": True}
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], **run)
        self.scripts = venv / SCRIPTS
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        options = ["--no-build-isolation", "--no-deps", "--no-index"]
        subprocess.run([*pip, "wheel", *options, "--wheel-dir", place, ROOT], **run)
        (self.wheel,) = place.glob("*.whl")
        pip += ["--python", str(self.scripts / "python")]
        subprocess.run([*pip, "install", "--no-deps", "--no-index", self.wheel], **run)
        # After the wheel's own place in the path. Its .pth files, such as the one of an editable
        # installation of the course, are not read there.
        (others,) = {Path(path) for path in site.getsitepackages() if (Path(path) / "pip").is_dir()}
        (here,) = venv.rglob("tlcourse/__init__.py")
        (here.parents[1] / "others.pth").write_text(f"{others}\n")
        self.package = here.parent
        shared = Path(sys.prefix, "share", "jupyter")
        unwanted = ("TLCOURSE", "PYTHON", "JUPYTER", "IPYTHON", "XDG", "MPL", "VIRTUAL_ENV")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)} | {
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "PATH": os.pathsep.join([str(self.scripts), os.environ["PATH"]]),
            "JUPYTER_PATH": str(shared),
            "JUPYTERLAB_DIR": str(shared / "lab"),
            **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE),
            "no_proxy": "127.0.0.1,localhost",
        }

    def command(self, *arguments: object) -> list[str]:
        return [str(self.scripts / "tlcourse"), *map(str, arguments)]

    def tlcourse(self, *arguments: object) -> str:
        """Run the command as a learner does; what it printed, which holds no warning."""
        ran = subprocess.run(
            self.command(*arguments),
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=240,
        )
        said = ran.stdout + ran.stderr
        assert ran.returncode == 0, said
        assert not re.search("warning|error|traceback", said, re.IGNORECASE), said
        return ran.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Some handwritten noughts and ones, as a folder of one's own."""
    folder = tmp_path_factory.mktemp("pictures")
    digits = load_digits(n_class=2)
    for label, name in enumerate(("nought", "one")):
        (folder / name).mkdir()
        for number, image in enumerate(digits.images[digits.target == label][:24]):
            grey = np.uint8(image.repeat(8, 0).repeat(8, 1) * 255 / 16)
            Image.fromarray(grey).save(folder / name / f"{number}.png")
    return folder


def test_what_is_imported_is_the_wheel_and_not_the_checkout(installed):
    code = "import tlcourse, torch, importlib.metadata as m; print(tlcourse.__file__)"
    code += "; print(m.distribution('tlcourse').locate_file(''))"
    said = subprocess.run(
        [installed.scripts / "python", "-W", "error", "-c", code],
        cwd=installed.work,
        env=installed.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    file, place = map(Path, said.stdout.splitlines())
    assert file.samefile(installed.package / "__init__.py")
    assert place.samefile(installed.package.parent)
    assert ROOT not in file.resolve().parents


def test_version_and_doctor(installed):
    assert (
        installed.tlcourse("--version").strip() == f"tlcourse {installed.wheel.name.split('-')[1]}"
    )
    said = installed.tlcourse("doctor")
    assert "TO DO" not in said
    count = len(list((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")))
    assert f"{count} in {installed.package / 'notebooks'}" in said
    assert str(installed.home) in said  # the cache, empty until now


def test_run_executes_a_notebook_of_the_wheel_and_leaves_only_the_report(installed):
    said = installed.tlcourse("run", "--notebook", "00")
    assert re.search(r"^OK +00_start_here: \d+ s", said, re.MULTILINE), said
    assert [path.name for path in installed.work.iterdir()] == ["tlcourse-report.html"]


def test_compare_keeps_a_model_that_predicts(installed, pictures):
    said = installed.tlcourse(
        "compare", pictures, "--budget", "40s", "--size", 64, "--out", "found"
    )
    found = installed.work / "found"
    assert "found" in said
    assert {"report.html", "results.csv", "skipped.csv", "model"} <= {
        p.name for p in found.iterdir()
    }
    said = installed.tlcourse("predict", found / "model", pictures / "one" / "0.png")
    name, kind, probability = said.strip().split("\t")
    assert Path(name) == pictures / "one" / "0.png"
    assert kind == "one"
    assert 0.5 <= float(probability) <= 1


def test_lab_copies_the_notebooks_and_opens_the_first(installed, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--port", port, "--ip=127.0.0.1", "--allow-root"]
    log = tmp_path / "lab.log"
    with log.open("w") as stream:
        lab = subprocess.Popen(
            installed.command("lab", *options, f"--IdentityProvider.token={TOKEN}"),
            cwd=installed.work,
            env=installed.environment,
            stdout=stream,
            stderr=stream,
        )
    try:
        start = f"http://127.0.0.1:{port}"
        address, page = get_when_ready(f"{start}/?token={TOKEN}", lab, log)
        assert f"/lab/tree/notebooks/{FIRST}" in address
        assert (
            b"jupyter-config-data" in page
        )  # JupyterLab's page, not a message about missing files
        _, listed = get_when_ready(f"{start}/api/contents/notebooks?token={TOKEN}", lab, log)
        names = {entry["name"] for entry in json.loads(listed)["content"]}
        assert {p.name for p in (ROOT / "notebooks").iterdir() if p.suffix == ".ipynb"} <= names
        _, first = get_when_ready(f"{start}/api/contents/notebooks/{FIRST}?token={TOKEN}", lab, log)
        cells = json.loads(first)["content"]["cells"]
        assert cells[0]["source"].startswith("# ")
        assert not any(cell.get("outputs") for cell in cells)  # they would give answers away
        assert (installed.work / "notebooks" / "images").is_dir()
    finally:
        lab.terminate()
        lab.wait(30)


def get_when_ready(url, process, log):
    """Where a page is in the end, and the page; tried until the server answers."""
    cookies = urllib.request.HTTPCookieProcessor()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            with opener.open(url, timeout=10) as answer:
                return answer.url, answer.read()
        except ConnectionError:
            pass
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError):
                raise
        time.sleep(0.3)
    raise AssertionError(log.read_text())
