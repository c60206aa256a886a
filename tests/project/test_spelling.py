"""Spelling: a dictionary for all that learners read, a list of common slips for all that is text."""

import re
import subprocess
import sys

import nbformat
import pytest
from spelling import OURS, ROOT, dictionary, prose_words, unknown

from tlcourse.course.check import all_exercises
from tlcourse.course.guess import all_questions

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
DRAWINGS = sorted((ROOT / "notebooks" / "images").glob("*.svg"))


def prose(path):
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(
        cell.source
        if cell.cell_type == "markdown"
        else "\n".join(re.findall(r"#\s(.*)", cell.source))
        for cell in cells
    )


def questions():
    for exercise in all_exercises().values():
        says = [m.says for m in exercise.misconceptions]
        parts = [exercise.question, exercise.praise, exercise.otherwise, exercise.expects]
        yield exercise.id, "\n".join([*parts, *exercise.hints, *says])
    for prediction in all_questions().values():
        parts = [prediction.question, prediction.where, *prediction.options, prediction.unit]
        yield prediction.id, "\n".join(parts)


@pytest.mark.parametrize(
    "path", [*PAGES, *NOTEBOOKS, *DRAWINGS], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_the_dictionary_knows_every_word_that_learners_read(path):
    assert unknown(prose(path)) == []


def test_the_dictionary_knows_every_word_of_the_exercises():
    wrong = {name: unknown(text) for name, text in questions()}
    assert {name: words for name, words in wrong.items() if words} == {}


def test_a_misspelt_word_is_found_and_code_is_left_alone():
    assert unknown("The netwrok [lerns](lerrns.md) `lerrrns` of <b>picturs</b>, don't it?") == [
        "lerns",
        "netwrok",
        "picturs",
    ]


def test_our_own_words_are_sorted_and_needed():
    """A word that nobody uses any more would hide a slip."""
    assert sorted(set(OURS)) == OURS
    used = set().union(*(prose_words(prose(path)) for path in (*PAGES, *NOTEBOOKS, *DRAWINGS)))
    used |= set().union(*(prose_words(text) for _, text in questions()))
    assert sorted(set(OURS) - used) == []
    assert sorted(dictionary().known(OURS)) == []


def test_no_common_slip_is_in_code_comments_or_pages():
    folders = ["tlcourse", "tools", "benchmarks", "docs", "binder", ".ci"]
    files = ["README.md", "CONTRIBUTING.md", "NOTICE", "pyproject.toml", "environment.yml"]
    command = [
        sys.executable,
        "-m",
        "codespell_lib",
        "--skip=*.safetensors,*.pdf",
        *folders,
        *files,
    ]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == ""
    assert found.returncode == 0, found.stderr


def test_the_list_of_common_slips_is_used(tmp_path):
    (tmp_path / "code.py").write_text("# Recieve the tensors.\n")
    command = [sys.executable, "-m", "codespell_lib", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert "Recieve ==> Receive" in found.stdout
