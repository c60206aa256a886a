"""Where the notebooks come from, and a learner's own copy of them."""

import errno
import os
import subprocess
import sys

import pytest
from tiny_notebooks import files, write_notebook

from tlcourse.course import notebooks
from tlcourse.course.notebooks import FIRST
from tlcourse.errors import CourseError


@pytest.mark.parametrize("origin", ["checkout", "wheel"])
def test_lab_copies_what_is_missing_and_overwrites_nothing(origin, checkout, site, tmp_path):
    mine = tmp_path / "notebooks" / FIRST
    mine.parent.mkdir()
    mine.write_text("my own work")
    copy = "from tlcourse.course.notebooks import *; print([str(p) for p in copy_notebooks(Path())[1]])"
    package = checkout if origin == "checkout" else site
    for missing in (["01_original.ipynb", "pictures/plan.txt"], []):
        done = subprocess.run(
            [sys.executable, "-c", copy],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(package)},
            capture_output=True,
            text=True,
        )
        assert done.stdout == f"{missing}\n", done.stderr
    assert mine.read_text() == "my own work"
    assert set(files(tmp_path / "notebooks")) == set(files(checkout / "notebooks"))


def test_lab_in_the_checkout_opens_the_originals(checkout, monkeypatch):
    monkeypatch.setattr(notebooks, "package_folder", lambda: checkout / "tlcourse")
    before = files(checkout)
    for place in (checkout, checkout / "notebooks"):
        assert notebooks.copy_notebooks(place) == (checkout / "notebooks", [])
    assert files(checkout) == before


def test_jupyterlabs_copies_and_checkpoints_are_not_the_courses(checkout, here, monkeypatch):
    monkeypatch.setattr(notebooks, "package_folder", lambda: checkout / "tlcourse")
    write_notebook(here / "notebooks" / "02_classifier-Copy1.ipynb", "1 / 0")
    write_notebook(here / "notebooks" / ".ipynb_checkpoints" / "02_classifier.ipynb", "1 / 0")
    assert notebooks.find_notebooks(here) == checkout / "notebooks"


def test_an_installation_without_notebooks_says_so(here, monkeypatch):
    monkeypatch.setattr(notebooks, "package_folder", lambda: here / "tlcourse")
    with pytest.raises(CourseError, match="holds no notebooks"):
        notebooks.find_notebooks(here)


def test_a_copy_that_breaks_off_leaves_no_half_a_file(here, checkout, monkeypatch):
    def full_disk(source, target):
        target.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(notebooks, "package_folder", lambda: checkout / "tlcourse")
    monkeypatch.setattr(notebooks.shutil, "copyfile", full_disk)
    with pytest.raises(CourseError, match=r"cannot be copied to .*No space left on device"):
        notebooks.copy_notebooks(here)
    assert files(here) == {}
