"""Tests use no network and write nothing outside temporary folders; notebook kernels inherit it."""

import os
import tempfile
from pathlib import Path

import matplotlib as mpl
import pytest
from browser import chromium
from hypothesis import HealthCheck, settings

# The same examples in each run; nothing is kept.
settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("suite")

_place = tempfile.TemporaryDirectory(prefix="tlcourse-tests-", ignore_cleanup_errors=True)


def pytest_configure():
    names = ["IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "HYPOTHESIS_STORAGE_DIRECTORY"]
    if "PYTEST_XDIST_WORKER" not in os.environ:  # whose processes share what they have computed
        names.append("TLCOURSE_CACHE")
    for name in names:
        os.environ[name] = str(tempfile.mkdtemp(dir=_place.name, prefix=f"{name.lower()}-"))
    os.environ["TLCOURSE_PROGRESS"] = str(Path(_place.name) / "progress.jsonl")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as `tlcourse run` does
    if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # which share the cores
        threads = max(1, (os.cpu_count() or 1) // int(workers))
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    for name in ("TLCOURSE_DEVICE", "TLCOURSE_SHARED_CACHE"):
        os.environ.pop(name, None)
    mpl.use("Agg")  # not through MPLBACKEND, which would silence the kernels' figures


def pytest_unconfigure():
    _place.cleanup()


# Files of minutes, which would keep one process busy alone if they came last.
_LONG = (
    *("test_writers.py", "tools/test_site.py", "cluster/test_extract.py"),
    *("project/test_installed_wheel.py", "widgets/test_browser.py", "project/test_style.py"),
    "project/test_finetune_torchrun.py",
)


def pytest_collection_modifyitems(items):
    """What takes longest comes first: many short files at the end keep all cores busy."""

    def place(item):
        long = item.path.as_posix().endswith(_LONG)
        return item.path.suffix != ".ipynb", not _is_solution(item.nodeid), not long

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Files in their order, each to the next free process; so is each notebook's solutions."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return nodeid if _is_solution(nodeid) else super()._split_scope(nodeid)

    return Scheduling(config, log)


def _is_solution(nodeid):
    return "test_every_solution_is_right" in nodeid


@pytest.fixture(scope="module")
def browser():
    """Chromium, without a window. Not for the whole session: it would keep the event loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that the learner works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    from tiny_notebooks import make_checkout

    return make_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def site(checkout, tmp_path_factory):
    from tiny_notebooks import install_wheel

    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    return install_wheel(checkout, wheels, site)
