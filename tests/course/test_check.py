import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_parts import exercise_cells, run_solved, solutions, tagged

import tlcourse as tl
from tlcourse.course import check
from tlcourse.course.exercise import (
    Exercise,
    Misconception,
    close,
    number,
    same_sequence,
    same_set,
    same_text,
)
from tlcourse.errors import CourseError, UnknownNameError

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
REAL = list(check.all_exercises().values())

HALF = Exercise(
    id="99.1",
    question="Which share of 10 is 5?",
    right=lambda a: close(a, 0.5),
    praise="Half of them.",
    misconceptions=(
        Misconception("percent", lambda a: close(a, 50), "As a share: `50 / 100`.", 50),
        Misconception("both", lambda a: same_sequence(a, [5, 10]), "Divide them.", lambda: [5, 10]),
        Misconception("any number", lambda a: number(a) > 0, "Too far.", 7),
    ),
    hints=("Divide.", "5 by <10>."),
    otherwise="A share is at least 0.",
    expects="a number",
)
FUNCTION = Exercise(
    id="99.2",
    question="Write a function that doubles.",
    right=lambda f: f(2) == 4,
    praise="Twice.",
    misconceptions=(Misconception("square", lambda f: f(3) == 9, "3?", lambda: lambda x: x * x),),
    hints=("Multiply.", "By two."),
    otherwise="Try 2 and 3.",
    expects="a function of one number",
)


@pytest.fixture
def lesson(monkeypatch):
    monkeypatch.setattr(check, "all_exercises", lambda: {e.id: e for e in (HALF, FUNCTION)})
    monkeypatch.setattr(check, "_hints_given", {})


@pytest.mark.parametrize(
    "answer",
    [
        0.5,
        np.float32(0.5),
        np.array([0.5]),
        torch.tensor(0.5),
        torch.ones(1, requires_grad=True) / 2,
        "0.5",
    ],
)
def test_a_right_answer_is_right_whatever_kind_of_number_it_is(lesson, answer):
    verdict = tl.check("99.1", answer)
    assert verdict.right
    assert verdict.status == "right"
    assert repr(verdict) == "Right. Half of them."


def test_the_first_matching_misconception_speaks(lesson):
    verdict = tl.check("99.1", 50)
    assert (verdict.right, verdict.status) == (False, "not yet")
    assert repr(verdict) == "Not yet. As a share: `50 / 100`."
    assert tl.check("99.1", [5, 10]).text == "Divide them."  # although `right` raises for a list
    assert tl.check("99.1", 51).text == "Too far."


def test_another_wrong_answer_gets_the_general_sentence(lesson):
    assert repr(tl.check("99.1", -1)) == "Not yet. A share is at least 0."


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([1, 2, 3], "a list"),
        ("half", "a text"),
        (True, "True"),
        ({"a": 1}, "a dictionary"),
        (np.zeros((2, 3)), r"an array of shape (2, 3)"),
        (torch.zeros(2), r"a tensor of shape (2,)"),
        (object(), "an object of type object"),
    ],
)
def test_an_answer_of_another_type_is_told_what_is_expected(lesson, answer, kind):
    verdict = tl.check("99.1", answer)
    assert repr(verdict) == f"Not yet. This exercise expects a number, you gave {kind}."


def test_a_learners_function_that_raises_is_quoted(lesson):
    def answer(x):
        raise ValueError("oh dear\nand a hundred names")

    text = tl.check("99.2", answer).text
    assert text == "Your function stopped with ValueError: oh dear and a hundred names"


def test_a_function_of_other_arguments_is_told_so(lesson):
    text = tl.check("99.2", lambda: 4).text
    assert re.match(r"Your function could not be called: TypeError: .*0 positional arguments", text)


def test_a_function_of_another_form_is_not_said_to_have_stopped(lesson):
    text = tl.check("99.2", len).text
    assert text == "Try 2 and 3."


def test_a_function_that_is_not_written_yet_is_met_kindly(lesson):
    def dots(x):
        """Say what to write."""
        ...  # noqa: PIE790  as a lesson leaves it

    def returns_dots(x):
        return ...

    def returns_none(x):
        str(x)

    assert tl.check("99.2", dots).status == "open"
    assert tl.check("99.2", returns_dots).status == "open"
    assert tl.check("99.2", returns_none).status == "not yet"
    assert tl.check("99.2", lambda x: 2).status == "not yet"
    assert tl.check("99.2", lambda x: 2 * x).status == "right"


@pytest.mark.parametrize(
    "answer", [..., None, "", " \n", "...", [..., 1], (1, ...), {"a": ...}, {...}]
)
def test_an_unsolved_exercise_is_met_kindly(lesson, answer):
    verdict = tl.check("99.1", answer)
    assert (verdict.right, verdict.status) == (False, "open")
    assert repr(verdict).startswith("Open. Not answered yet. Replace the three dots by a number")


def test_none_can_be_the_right_answer(lesson, monkeypatch):
    from dataclasses import replace

    nothing = replace(HALF, right=lambda a: a is None)
    monkeypatch.setattr(check, "all_exercises", lambda: {"99.1": nothing})
    assert tl.check("99.1", None).right


@pytest.mark.parametrize("name", ["99.11", 99.1, None, ["99.1"]])
def test_an_unknown_exercise_is_an_error_with_the_nearest_ids(lesson, name):
    with pytest.raises(UnknownNameError, match=r"no exercise .*99\.1"):
        tl.check(name, 1)
    with pytest.raises(UnknownNameError, match=r"no exercise .*99\.1"):
        tl.hint(name)


def test_hints_come_one_by_one_and_the_last_one_stays(lesson):
    given = [repr(tl.hint("99.1")) for _ in range(3)]
    assert given[0] == "Hint 1 of 2. Divide."
    assert given[1] == given[2] == "Hint 2 of 2 (the last one). 5 by <10>."
    assert tl.hint("99.2").level == 1  # counted apart
    assert tl.hint("99.1", level=1).level == 1


@pytest.mark.parametrize("level", [0, 3, "one"])
def test_a_hint_that_does_not_exist_is_refused(lesson, level):
    with pytest.raises(CourseError, match=r"level is .* from 1 to 2"):
        tl.hint("99.1", level=level)


def test_html_is_escaped_marks_code_and_says_its_status_in_words(lesson):
    shown = tl.check("99.1", 50)._repr_html_()
    assert 'role="status"' in shown
    assert "Not yet." in shown
    assert "<code>50 / 100</code>" in shown
    assert "5 by &lt;10&gt;." in tl.hint("99.1", level=2)._repr_html_()
    assert "background" not in shown
    assert "; color:" not in shown  # the theme's own colours stay


def test_comparisons_are_tolerant_where_it_does_not_matter():
    assert same_text("  Tiger  CAT. ", "tiger cat")
    assert not same_text("tiger", "tiger cat")
    assert same_set(["Stem", "stage1"], {"stage1", "stem"})
    assert same_set({"a": 1, "b": 2}, ["a", "b"])
    assert not same_set(["a"], ["a", "b"])
    assert same_sequence(torch.Size([1, 3]), [1, 3])
    assert same_sequence(np.array([1, 3.001]), [1, 3], rel=0.01)
    assert not same_sequence([3, 1], [1, 3])
    assert not same_sequence([1], [1, 3])
    assert close(0.0, 0.0)
    assert close(0.01, 0.0, absolute=0.02)
    assert not close(float("nan"), 1.0)


@pytest.mark.parametrize(
    "compare",
    [
        lambda: same_text(3, "3"),
        lambda: same_set("stem", ["stem"]),
        lambda: same_sequence({1, 2}, [1, 2]),
        lambda: number(True),
        lambda: number(torch.tensor(True)),
        lambda: number([1]),
    ],
)
def test_comparisons_refuse_an_answer_of_another_form(compare):
    with pytest.raises(TypeError):
        compare()


# --- every lesson of the course ---


@pytest.mark.parametrize("exercise", REAL, ids=lambda e: e.id)
def test_every_misconception_gets_its_own_message_and_no_other(exercise):
    names = [m.name for m in exercise.misconceptions]
    says = {exercise.praise, exercise.otherwise, *(m.says for m in exercise.misconceptions)}
    assert names, "an exercise lists at least one misconception"
    assert len(set(names)) == len(names)
    assert len(says) == len(names) + 2, "two answers are met with the same sentence"
    for misconception in exercise.misconceptions:
        example = misconception.example
        answer = example() if callable(example) else example
        matching = [m.name for m in exercise.misconceptions if check._matches(m.matches, answer)]
        assert matching == [misconception.name]
        assert tl.check(exercise.id, answer).text == misconception.says


@pytest.mark.parametrize("exercise", REAL, ids=lambda e: e.id)
def test_every_exercise_has_graded_hints_and_meets_no_answer_kindly(exercise):
    assert len(set(exercise.hints)) == len(exercise.hints) >= 2
    assert tl.check(exercise.id, ...).status == "open"
    assert tl.check(exercise.id, object()).status == "not yet"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_exercise_cells_solutions_and_lessons_are_the_same(path):
    notebook = nbformat.read(path, as_version=4)
    ids = [e.id for e in REAL if e.id.split(".")[0] == path.stem[:2]]
    assert list(exercise_cells(notebook)) == ids
    assert list(solutions(notebook)) == ids
    assert len(ids) >= 3
    assert tagged(notebook, "setup")


def test_every_exercise_belongs_to_a_notebook():
    assert {e.id.split(".")[0] for e in REAL} <= {p.stem[:2] for p in NOTEBOOKS}


@pytest.fixture
def kernel_finds_the_checkout(monkeypatch):
    found = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, found)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_solution_is_right(path, kernel_finds_the_checkout):
    shown = run_solved(path)
    wrong = {name: text for name, text in shown.items() if not text.startswith("Right.")}
    assert not wrong


TINY_SETUP = """
class Check:
    def __init__(self, name, answer):
        self.text = "Right." if answer == 4 else "Not yet."
    def __repr__(self):
        return self.text
check = Check
"""


def test_a_wrong_solution_is_noticed(tmp_path):
    def solution(name, code):
        return new_markdown_cell(
            f"#### Solution {name}\n\n<details><summary>Solution</summary>\n\n"
            f"```python\n{code}```\n\nBecause.\n\n</details>"
        )

    notebook = new_notebook(
        cells=[
            new_code_cell(TINY_SETUP, metadata={"tags": ["setup"]}),
            new_code_cell("raise SystemExit('not part of the solutions')"),
            new_code_cell('answer = ...\ncheck("98.1", answer)', metadata={"tags": ["exercise"]}),
            solution("98.1", "answer = 2 + 2\n"),
            new_code_cell('answer = ...\ncheck("98.2", answer)', metadata={"tags": ["exercise"]}),
            solution("98.2", 'answer = 2 + 3\ncheck("98.2", answer)\n'),
        ]
    )
    path = tmp_path / "98_tiny.ipynb"
    nbformat.write(notebook, path)
    assert run_solved(path) == {"98.1": "Right.", "98.2": "Not yet."}


@pytest.mark.parametrize("name", ["00.4", "02.3"])
def test_a_function_that_returns_another_kind_is_not_called_no_function(name):
    def returns_a_dictionary(_):
        return {"what": 1}

    verdict = tl.check(name, returns_a_dictionary)
    assert verdict.text == check.all_exercises()[name].otherwise
    assert "expects a function" in tl.check(name, 3).text
