"""The workshop page: its minutes add up, and what it names and quotes is there."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

import tlcourse as tl
from tlcourse.course.check import all_exercises
from tlcourse.course.guess import all_questions
from tlcourse.course.notebooks import copy_notebooks
from tools import coverage

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "workshop.md").read_text(encoding="utf-8")
NOTEBOOKS = {path.stem[:2]: path for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
PLANS = {"90": 90, "180": 180, "second afternoon": 180, "third afternoon": 150}  # minutes
HALF_AS_FAST = 2  # what the plans allow for, besides 2 slow cores
_IDS = re.compile(r"\b\d\d\.(?:\d+|[A-Z])(?!\w)")


def table(name):
    """Rows of the table between two comments."""
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    return [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in found.splitlines()[2:]
    ]


def notebook_of(row):
    """Number of the notebook that a step links to, or None."""
    linked = re.findall(r"\]\(\.\./notebooks/([^)]+)\)", row[2])
    assert len(linked) <= 1
    return linked[0][:2] if linked else None


def cells(number):
    return nbformat.read(NOTEBOOKS[number], as_version=4).cells


def text(number):
    return "\n\n".join(c.source for c in cells(number) if c.cell_type == "markdown")


def numbers_after(word, said):
    """Numbers in "Figures 2 and 4", "sections 1, 3 and 4", "sections 4 to 6"."""
    found = []
    for listed in re.findall(rf"{word}s? (\d+(?:(?:, | and | to )\d+)*)", said):
        first, _, last = listed.partition(" to ")
        found += range(int(first), int(last) + 1) if last else re.findall(r"\d+", listed)
    return [int(number) for number in found]


steps = pytest.mark.parametrize(
    ("plan", "row"),
    [(plan, row) for plan in PLANS for row in table(f"plan {plan}")],
    ids=lambda value: value if isinstance(value, str) else value[0],
)


# The plans


@pytest.mark.parametrize("plan", PLANS)
def test_the_minutes_add_up(plan):
    rows, minute = table(f"plan {plan}"), 0
    for row in rows:
        assert int(row[0]) == minute, row[2]
        minute += int(row[1])
    assert minute == PLANS[plan]
    assert all(len(row) == 6 and all(row) for row in rows)


@steps
def test_what_a_step_names_is_in_its_notebook(plan, row):
    number = notebook_of(row)
    named = _IDS.findall(" ".join(row))
    if number is None:
        assert named == []
        return
    assert {name[:2] for name in named} <= {number}
    assert set(named) <= {*all_exercises(), *all_questions()}
    there = {int(n) for n in re.findall(r"^## (\d+)\. ", text(number), re.MULTILINE)}
    asked = numbers_after("section", row[2])
    assert set(asked) <= there
    assert asked or number == "09"
    for kind in ("Figure", "Table", "Explorer"):
        for n in numbers_after(kind, row[3]):
            assert f"**{kind} {n}.**" in text(number)


@pytest.mark.parametrize("plan", PLANS)
def test_a_notebook_runs_in_the_minutes_of_its_steps_on_slow_laptops(plan):
    minutes = {}
    for row in table(f"plan {plan}"):
        number = notebook_of(row)
        minutes[number] = minutes.get(number, 0) + int(row[1])
    minutes.pop(None, None)  # the break
    for number, given in minutes.items():
        notebook = nbformat.read(NOTEBOOKS[number], as_version=4)
        assert notebook.metadata.tlcourse.seconds * HALF_AS_FAST <= given * 60, number


def test_checkpoints_stand_where_a_step_begins():
    for plan in PLANS:
        start = PAGE.index("**Checkpoints**", PAGE.index(f"<!-- plan {plan} -->"))
        part = PAGE[start : PAGE.index("**Homework:**", start)]
        starts = {row[0] for row in table(f"plan {plan}")}
        said = re.findall(r"^- Minute (\d+)", part, re.MULTILINE)
        assert len(said) >= 4
        assert set(said) <= starts


def test_what_is_left_out_for_an_hour_leaves_an_hour():
    (said,) = re.findall(r"\*\*Only 60 minutes\?\*\*(.*)", PAGE)
    saved = [int(minutes) for minutes in re.findall(r"\((\d+)(?: minutes(?: less)?)?\)", said)]
    assert 90 - sum(saved) == 60


def test_all_seven_ideas_are_met_where_the_page_says():
    said = re.search(r"All seven ideas are met: (.*)", PAGE)[1]
    found = dict(re.findall(r"\b([a-g]) \(([^)]*)\)", said))
    assert list(found) == list("abcdefg")
    rows = {}
    for row in table("plan 180"):
        rows[notebook_of(row)] = f"{rows.get(notebook_of(row), '')} {row[3]}"
    for idea, listed in found.items():
        numbers = re.findall(r"\d\d", listed)
        if " to " in listed:
            numbers = [f"{n:02}" for n in range(int(numbers[0]), int(numbers[-1]) + 1)]
        for number in numbers:
            shown = str(coverage.covered(NOTEBOOKS[number])[idea])
            does = rows[number]
            figures = {
                f"{kind} {n}"
                for kind in ("Figure", "Table", "Explorer")
                for n in numbers_after(kind, does)
            }
            met = {name for name in (*figures, *_IDS.findall(does)) if f"{name}:" in shown}
            assert met, (idea, number)


# The votes


def saved_answer(name):
    """What the answer cell of a notebook shows, as it is committed."""
    for cell in cells(name[:2]):
        if cell.cell_type == "code" and f'reveal("{name}"' in cell.source:
            said = " ".join(
                str(output.get("data", {}).get("text/plain")) for output in cell.outputs
            )
            return re.search(r"says: (.+?)\. ", said)[1]
    raise AssertionError(name)


def test_every_vote_of_the_plans_is_in_the_list():
    voted = {
        name
        for plan in PLANS
        for row in table(f"plan {plan}")
        for name in _IDS.findall(row[3])
        if name in all_questions()
    }
    assert sorted(voted) == [row[0] for row in table("votes")]


@pytest.mark.parametrize("row", table("votes"), ids=lambda row: row[0])
def test_a_vote_has_the_notebooks_choices_and_answer(row):
    name, _, choices, answer, figure = row
    asked = all_questions()[name]
    saved = saved_answer(name)
    assert figure == asked.figure
    if not asked.options:
        assert choices == "a number"
        times = float(saved.split()[0])
        more = re.fullmatch(r"more than (\d+) times", answer)  # where the machine decides
        assert times > int(more[1]) if more else answer == f"{times:g}"
        return
    words = {5: "five names", 9: "nine layers"}
    assert choices in (", ".join(asked.options), f"one of {words.get(len(asked.options))}")
    assert answer == saved


# What goes wrong


def quoted():
    """Messages in the first column of the table of troubles."""
    part = PAGE[PAGE.index("| What you see |") : PAGE.index("## Questions and misconceptions")]
    return [
        message
        for line in part.splitlines()[2:]
        for message in re.findall(r"`([^`]+)`", line.split(" | ")[0])
    ]


def said_by(call, *arguments):
    with pytest.raises(tl.CourseError) as told:
        call(*arguments)
    return str(told.value)


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, ord(path.parent.name)])
    noise = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def test_the_messages_of_the_course_are_those_on_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TLCOURSE_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cache"))
    for place in ("one/a", "few/a", "few/b"):
        for i in range(3):
            picture(tmp_path / place / f"{place[-1]}{i}.png", i)
    (tmp_path / "few" / "a" / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notebooks").touch()
    few = tl.load_task(tmp_path / "few")
    said = [
        said_by(tl.load_task, tmp_path / "one"),
        said_by(tl.load_task, tmp_path / "one" / "a"),
        said_by(lambda: tl.compare(tl.load_backbone(), few, budget="5s", progress=False)),
        said_by(tl.load_task, "hymenoptera"),
        said_by(tl.open_picture, tmp_path / "few" / "a" / "x.heic"),
        said_by(copy_notebooks, tmp_path / "full"),
        repr(few) + str(few.skipped),
        str(tl.guess("01.A", "stage9")) + capsys.readouterr().out,
    ]
    ours = [
        *("holds no folder", "holds only one", "Each class needs", "The pictures of"),
        *("cannot be read", ".heic is not read", "The notebooks cannot", "Not one of"),
    ]
    found = [message for message in quoted() if message.startswith(tuple(ours))]
    assert len(found) == len(ours)
    for message in found:
        parts = [part.strip() for part in message.split("...")]
        assert any(all(part in told for part in parts) for told in said), message


def test_a_misconception_points_to_a_place_that_is_there():
    part = PAGE[PAGE.index("| A learner says |") : PAGE.index("## What learners hand in")]
    rows = [line.strip("| ").split(" | ") for line in part.strip().splitlines()[2:]]
    assert len(rows) >= 15
    for _, answer, where in rows:
        number = re.search(r"\d\d", where)[0]
        assert set(_IDS.findall(where)) <= set(all_exercises())
        for kind in ("Figure", "Table"):
            for n in numbers_after(kind, where):
                assert f"**{kind} {n}.**" in text(number), where
        for n in numbers_after("section", where):
            assert re.search(rf"^## {n}\. ", text(number), re.MULTILINE), where
        for n in numbers_after("case", where):
            assert f"## Case {n}:" in text(number), where
        assert len(re.findall(r"[.?](?=\s|$)", answer)) <= 2, answer
