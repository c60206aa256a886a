"""Where the notebooks come from, and a learner's own copy of them."""

import errno
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
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


def with_outputs(path):
    """Write a notebook with all that a run and a widget leave."""
    cells = [
        new_markdown_cell("# Title", metadata={"tags": ["claim"]}),
        new_code_cell(
            "1 + 1",
            execution_count=7,
            outputs=[new_output("execute_result", {"text/plain": "2"}, execution_count=7)],
            metadata={"tags": ["answer"], "execution": {"iopub.execute_input": "now"}},
        ),
        new_code_cell("tl.check('00.1', ...)", execution_count=8),
    ]
    widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}, "version_major": 2}}
    metadata = {"tlcourse": {"seconds": 60}, "widgets": widgets}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def test_a_learners_copy_has_no_outputs_but_all_else(here, tmp_path, monkeypatch):
    source = with_outputs(tmp_path / "tlcourse" / "notebooks" / FIRST)
    monkeypatch.setattr(notebooks, "package_folder", lambda: tmp_path / "tlcourse")
    before, (folder, (name,)) = source.read_bytes(), notebooks.copy_notebooks(here)
    copy, original = nbformat.read(folder / name, 4), nbformat.read(source, 4)
    nbformat.validate(copy)
    assert [cell.source for cell in copy.cells] == [cell.source for cell in original.cells]
    assert [cell.id for cell in copy.cells] == [cell.id for cell in original.cells]
    assert [cell.metadata.get("tags") for cell in copy.cells] == [["claim"], ["answer"], None]
    for cell in copy.cells[1:]:
        assert (cell.outputs, cell.execution_count) == ([], None)
        assert "execution" not in cell.metadata
    assert dict(copy.metadata) == {"tlcourse": {"seconds": 60}}
    assert source.read_bytes() == before


def test_outputs_are_kept_where_they_are_asked_for(here, tmp_path, monkeypatch):
    source = with_outputs(tmp_path / "tlcourse" / "notebooks" / FIRST)
    monkeypatch.setattr(notebooks, "package_folder", lambda: tmp_path / "tlcourse")
    folder, _ = notebooks.copy_notebooks(here, outputs=True)
    assert (folder / FIRST).read_bytes() == source.read_bytes()


def test_every_notebook_of_the_course_can_be_copied_without_outputs(here):
    folder, _ = notebooks.copy_notebooks(here)
    originals = notebooks.notebooks_in(notebooks.originals())
    assert [path.name for path in notebooks.notebooks_in(folder)] == [p.name for p in originals]
    for path in originals:
        copy = nbformat.read(folder / path.name, 4)
        nbformat.validate(copy)
        code = [cell for cell in copy.cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code)
        assert "image/png" not in (folder / path.name).read_text("utf-8")


@pytest.mark.parametrize("origin", ["checkout", "wheel"])
def test_in_a_checkout_the_copies_stand_beside_the_originals(origin, checkout, site, monkeypatch):
    package = (checkout if origin == "checkout" else site) / "tlcourse"
    monkeypatch.setattr(notebooks, "package_folder", lambda: package)
    before = files(checkout / "notebooks")
    folder, new = notebooks.copy_notebooks(checkout)
    assert folder == checkout / notebooks.MINE
    assert set(files(folder)) == set(before)
    assert len(new) == len(before)
    assert notebooks.copy_notebooks(checkout) == (folder, [])
    assert files(checkout / "notebooks") == before
    assert notebooks.find_notebooks(checkout) == checkout / "notebooks"
    shutil.rmtree(folder)


def test_lab_inside_the_originals_opens_them(checkout, monkeypatch):
    monkeypatch.setattr(notebooks, "package_folder", lambda: checkout / "tlcourse")
    before, place = files(checkout), checkout / "notebooks"
    assert notebooks.copy_notebooks(place) == (place, [])
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
    monkeypatch.setattr(notebooks, "_copy_without_outputs", full_disk)
    with pytest.raises(CourseError, match=r"cannot be copied to .*No space left on device"):
        notebooks.copy_notebooks(here)
    assert files(here) == {}
