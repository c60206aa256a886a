"""What a learner has answered is kept on this machine, and a damaged file costs nothing else."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import tlcourse as tl
from tlcourse import cli
from tlcourse.base.files import tell_once
from tlcourse.course import check, guess, progress_file
from tlcourse.course.exercise import Exercise, Misconception, close
from tlcourse.course.progress import progress_files, progress_table
from tlcourse.course.question import Question
from tlcourse.errors import CourseError


def exercise(name):
    return Exercise(
        id=name,
        question="How many?",
        right=lambda a: close(a, 1),
        praise="One.",
        misconceptions=(Misconception("two", lambda a: close(a, 2), "Fewer.", 2),),
        hints=("Count.", "Count again."),
        otherwise="Look again.",
        expects="a number",
    )


KNOWN = {name: exercise(name) for name in ("00.1", "00.2", "03.1")}
ASKED = {"03.A": Question("03.A", "More?", "Figure 1", "Look.", options=("more", "fewer"))}


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "progress.jsonl"
    monkeypatch.setenv("TLCOURSE_PROGRESS", str(path))
    for module in (check, "tlcourse.course.progress"):
        target = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{target}.all_exercises", lambda: KNOWN)
    monkeypatch.setattr(guess, "all_questions", lambda: ASKED)
    monkeypatch.setattr("tlcourse.course.progress.all_questions", lambda: ASKED)
    monkeypatch.setattr(check, "_hints_given", {})
    monkeypatch.setattr(progress_file, "_unwritten", {})
    tell_once.cache_clear()
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def row(number):
    (found,) = [r for r in tl.progress().notebooks if r.notebook.startswith(number)]
    return found


def test_nothing_is_kept_before_something_is_answered(path):
    tl.check("00.1", ...)
    tl.guess("03.A", ...)
    tl.reveal("03.A", "more")
    tl.progress()
    assert not path.exists()


def test_tries_are_counted_until_it_is_solved(path):
    for answer in (2, 3, 1, 2, 1):
        tl.check("00.1", answer)
    (line,) = lines(path)
    assert line["tries"] == 3
    when = datetime.fromisoformat(line["solved"])
    assert abs((datetime.now(UTC) - when).total_seconds()) < 60
    assert row("00").solved == ("00.1",)
    assert row("00").tries == {"00.2": 0}


def test_answers_to_exercises_are_not_written_down(path):
    tl.check("00.1", "my secret")
    tl.check("00.2", 1)
    assert "secret" not in path.read_text()
    assert all(set(line) <= {"id", "tries", "solved"} for line in lines(path))


def test_the_highest_hint_is_kept(path):
    tl.hint("00.1", level=2)
    tl.hint("00.1", level=1)
    assert lines(path) == [{"id": "00.1", "hints": 2}]


def test_another_process_goes_on_where_this_one_stopped(path):
    code = "import tlcourse as tl; tl.check('00.2', 1); tl.hint('02.1')"
    tl.check("00.1", 1)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    found = {line["id"]: line for line in lines(path)}
    assert "solved" in found["00.1"]
    assert found["00.2"]["tries"] == 1  # one days, in the real exercise, is wrong
    assert found["02.1"] == {"id": "02.1", "hints": 1}


MANY = """
import sys
from tlcourse.course import progress_file
for n in range(20):
    progress_file.change(f"{sys.argv[1]}.{n}", lambda entry: entry | {"tries": 1})
    progress_file.change("all", lambda entry: {"tries": entry.get("tries", 0) + 1})
"""


def test_two_notebooks_at_once_lose_nothing(path):
    running = [subprocess.Popen([sys.executable, "-c", MANY, name]) for name in ("a", "b")]
    assert [process.wait(60) for process in running] == [0, 0]
    found = {line["id"]: line["tries"] for line in lines(path)}
    assert len(found) == 41
    assert found["all"] == 40


def test_a_damaged_file_is_set_aside_and_all_whole_lines_are_kept(path, capsys):
    tl.check("00.1", 1)
    tl.check("00.2", 2)
    tl.guess("03.A", "more")
    whole = path.read_bytes()
    first, second, third = whole.splitlines(keepends=True)
    beside = path.with_name("thesis.txt")
    beside.write_text("mine")
    wrong_kind = b'{"id": "03.1", "tries": "many"}\n[1, 2]\n{"id": "00.9", "solved": "once"}\n'
    damaged = first + second[: len(second) // 2] + b"\n\xff\xfe\n" + wrong_kind + third
    path.write_bytes(damaged)

    assert row("00").solved == ("00.1",)
    assert row("03").guessed == 1
    said = capsys.readouterr().out
    assert "5 of its lines could not be read. The other 2 answers are kept." in said
    (aside,) = path.parent.glob("progress.damaged-*.jsonl")
    assert aside.name in said
    assert aside.read_bytes() == damaged
    assert path.read_bytes() == first + third
    assert beside.read_text() == "mine"

    tl.check("00.2", 1)
    assert row("00").solved == ("00.1", "00.2")
    assert capsys.readouterr().out == ""  # told once, since it is fixed
    assert len(list(path.parent.glob("progress.damaged-*"))) == 1


def test_a_file_of_rubbish_is_set_aside_when_an_answer_comes(path, capsys):
    path.parent.mkdir()
    path.write_bytes(bytes(range(256)) * 40)
    assert tl.check("00.1", 1).right
    assert "was damaged" in capsys.readouterr().out
    assert [line["id"] for line in lines(path)] == ["00.1"]


def test_what_a_newer_course_wrote_stays(path):
    path.parent.mkdir()
    newer = {"id": "12.7", "tries": 2, "stars": [1, 2]}
    path.write_text(json.dumps(newer) + "\n")
    tl.check("00.1", 1)
    assert newer in lines(path)
    assert "12.7" not in repr(tl.progress())


def test_a_write_that_breaks_off_leaves_the_old_file(path, monkeypatch):
    tl.check("00.1", 1)
    before = path.read_bytes()

    def breaks(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", breaks)
    with pytest.raises(KeyboardInterrupt):
        tl.check("00.2", 1)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.part"))


def test_where_nothing_can_be_written_answers_are_checked_all_the_same(
    path, capsys, monkeypatch, tmp_path
):
    no_folder = tmp_path / "a_file"
    no_folder.write_text("")
    monkeypatch.setenv("TLCOURSE_PROGRESS", str(no_folder / "progress.jsonl"))
    assert tl.check("00.1", 1).right
    assert tl.check("00.2", 2).text == "Fewer."
    tl.guess("03.A", "more")
    assert tl.reveal("03.A", "more").status == "as you said"
    said = capsys.readouterr().out
    assert said.count("Your progress cannot be kept (") == 1
    assert row("00").solved == ("00.1",)

    monkeypatch.setenv("TLCOURSE_PROGRESS", str(path))  # now it can
    tl.check("00.2", 1)
    assert {line["id"] for line in lines(path)} == {"00.1", "00.2", "03.A"}


def test_the_table_counts_and_says_what_comes_next(path):
    tl.check("00.1", 1)
    tl.check("00.2", 2)
    tl.guess("03.A", "more")
    tl.reveal("03.A", "fewer")
    found = tl.progress()
    assert list(found.table.columns) == [
        "Notebook",
        "Solved",
        "Still open",
        "Guesses",
        "As guessed",
    ]
    assert found.table.to_numpy().tolist() == [
        ["00 Start here", "1 of 2", "00.2 (1 try)", "0 of 0", "0"],
        ["03 Standalone extractor", "0 of 1", "03.1", "1 of 1", "0"],
    ]
    assert found.last_solved[0] == "00.1"
    assert re.match(r"1 of 3 exercises are solved, the last one was 00\.1 on", found.summary)
    assert found.summary.endswith("Next: 00.2.")
    shown = found._repr_html_()
    assert shown.count('scope="row"') == 2
    assert "<caption" in shown
    assert "00.2 (1 try)" in repr(found)


def test_all_solved_leaves_nothing_open(path):
    for name in KNOWN:
        tl.check(name, 1)
    found = tl.progress()
    assert "Next" not in found.summary
    assert set(found.table["Still open"]) == {"nothing"}


def test_to_begin_again_sets_the_file_aside(path):
    assert progress_file.begin_again() is None
    tl.check("00.1", 1)
    before = path.read_bytes()
    aside = progress_file.begin_again()
    assert aside.read_bytes() == before
    assert row("00").solved == ()


def test_the_command_shows_the_table_and_the_place_and_begins_again(path):
    def command(*arguments):
        run = [sys.executable, "-m", "tlcourse", "progress", *arguments]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout

    path.parent.mkdir()
    path.write_text('{"id": "03.1", "tries": 1, "solved": "2026-11-24T10:00:00+00:00"}\n')
    shown = command()
    assert re.search(r"^03 Standalone extractor +1 of \d", shown, re.MULTILINE)
    assert f"Kept in {path}" in shown
    assert "Your progress until now is in" in command("--begin-again")
    assert "0 of" in command()
    assert "Nothing was answered yet." in command("--begin-again")


# --- the table of a class ---

ANNA = """\
{"id": "00.1", "tries": 3, "hints": 2, "solved": "2026-11-24T10:00:00+00:00"}
{"id": "00.2", "tries": 1}
{"id": "03.A", "guess": "more", "right": false}
{"id": "99.9", "tries": 1}
"""
BEN = """\
{"id": "03.A", "guess": "more"}
{"id": "03.1", "hints": 1}
"""


@pytest.fixture
def collected(tmp_path):
    """Progress files of three learners, as a teacher collects them."""
    folder = tmp_path / "collected"
    (folder / "ben").mkdir(parents=True)
    home = folder / "zoë" / ".local" / "share" / "tlcourse"
    home.mkdir(parents=True)
    (folder / "anna.jsonl").write_text(ANNA)
    (folder / "ben" / "progress.jsonl").write_text(BEN)
    (folder / "ben" / "progress.before-20261124-100000-123456.jsonl").write_text(ANNA)
    (folder / "anna.damaged-20261124-100000-123456.jsonl").write_text("rubbish")
    (folder / "ben" / "training_data.jsonl").write_text("rubbish")
    (home / "progress.jsonl").write_text("")
    return folder


def test_a_class_is_one_table_with_a_row_for_each_learner_and_question(collected):
    before = {p: p.read_bytes() for p in collected.rglob("*.jsonl")}
    table = progress_table(progress_files([collected]))
    assert table.astype(object).where(table.notna(), None).to_numpy().tolist() == [
        ["anna", "00", "00.1", "exercise", "solved", 3, 2, "2026-11-24T10:00:00+00:00", None],
        ["anna", "00", "00.2", "exercise", "tried", 1, 0, None, None],
        ["anna", "03", "03.1", "exercise", "open", 0, 0, None, None],
        ["anna", "03", "03.A", "prediction", "not as guessed", None, None, None, None],
        ["anna", "16", "16.final", "capstone", "open", 0, None, None, None],
        ["ben", "00", "00.1", "exercise", "open", 0, 0, None, None],
        ["ben", "00", "00.2", "exercise", "open", 0, 0, None, None],
        ["ben", "03", "03.1", "exercise", "open", 0, 1, None, None],
        ["ben", "03", "03.A", "prediction", "guessed", None, None, None, None],
        ["ben", "16", "16.final", "capstone", "open", 0, None, None, None],
        ["zoë", "00", "00.1", "exercise", "open", 0, 0, None, None],
        ["zoë", "00", "00.2", "exercise", "open", 0, 0, None, None],
        ["zoë", "03", "03.1", "exercise", "open", 0, 0, None, None],
        ["zoë", "03", "03.A", "prediction", "open", None, None, None, None],
        ["zoë", "16", "16.final", "capstone", "open", 0, None, None, None],
    ]
    assert {p: p.read_bytes() for p in collected.rglob("*.jsonl")} == before


def test_files_are_named_by_their_learner(collected, path, tmp_path):
    anna, ben = collected / "anna.jsonl", collected / "ben" / "progress.jsonl"
    assert progress_files([anna, ben]) == {"anna": anna, "ben": ben}
    tl.guess("03.A", "more")
    tl.reveal("03.A", "more")
    (me,) = progress_files([]).items()
    assert me == (Path.home().name, path)
    states = progress_table(dict([me])).set_index("question").state
    assert states["03.A"] == "as guessed"


def test_what_cannot_be_one_table_is_told(collected, tmp_path):
    with pytest.raises(CourseError, match=r"There is no progress file .*nobody"):
        progress_files([tmp_path / "nobody.jsonl"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match="empty holds no progress file"):
        progress_files([tmp_path / "empty"])
    (collected / "ben.jsonl").write_text(BEN)
    with pytest.raises(CourseError, match=r"Two files belong to 'ben': .*ben\.jsonl and"):
        progress_files([collected])
    with pytest.raises(CourseError, match="is no progress file"):
        progress_table({"ben": collected / "ben" / "training_data.jsonl"})


def test_damaged_lines_are_left_out_and_the_file_stays(tmp_path, capsys):
    file = tmp_path / "anna.jsonl"
    file.write_text(ANNA + "{\n")
    table = progress_table({"anna": file})
    assert table.state.tolist() == ["solved", "tried", "open", "not as guessed", "open"]
    assert "1 of its lines could not be read" in capsys.readouterr().out
    assert file.read_text() == ANNA + "{\n"
    assert list(tmp_path.iterdir()) == [file]


def test_the_command_writes_the_table(collected, tmp_path, monkeypatch):
    target = tmp_path / "class.csv"
    said = CliRunner().invoke(cli.app, ["progress", str(collected), "--csv", str(target)])
    assert said.exit_code == 0, said.output
    assert said.output.replace("\n", "") == f"Wrote 15 rows of 3 learners to {target}."
    table = pd.read_csv(target, dtype={"notebook": str, "question": str})
    assert table.learner.unique().tolist() == ["anna", "ben", "zoë"]
    assert table.groupby("learner").state.apply(lambda s: (s == "solved").sum()).tolist() == [
        1,
        0,
        0,
    ]
    line = target.read_text("utf-8-sig").splitlines()[1]
    assert line == "anna,00,00.1,exercise,solved,3,2,2026-11-24T10:00:00+00:00,"
    for wrong, message in (
        ([collected], "Say where the table goes"),
        ([collected, "--csv", collected / "anna.jsonl"], "is a progress file. Name another"),
    ):
        failed = CliRunner().invoke(cli.app, ["progress", *map(str, wrong)])
        assert isinstance(failed.exception, CourseError)
        assert message in str(failed.exception)
    assert (collected / "anna.jsonl").read_text() == ANNA
    (collected / "anna.jsonl").rename(collected / "=1+1.jsonl")  # a spreadsheet would compute it
    CliRunner().invoke(cli.app, ["progress", str(collected), "--csv", str(target)])
    assert {"'=1+1", "ben"} <= set(pd.read_csv(target).learner)


def test_without_a_name_it_is_kept_in_the_systems_folder_for_data(monkeypatch):
    import platformdirs

    monkeypatch.delenv("TLCOURSE_PROGRESS")
    found = progress_file.progress_path()
    assert found.parent == platformdirs.user_data_path("tlcourse")
    assert "cache" not in str(found).lower()  # emptying a cache must not cost anybody's progress


def test_running_all_notebooks_neither_shows_nor_changes_it(path, tmp_path):
    from tiny_notebooks import write_notebook

    from tlcourse.cli.execute import execute

    tl.check("00.1", 1)
    before = path.read_bytes()
    code = (
        "import os\nos.environ['TLCOURSE_PROGRESS']",
        "tl = __import__('tlcourse')",
        ("tl.check('00.1', 'astronaut'); tl.progress().summary"),
    )
    outcome = execute(write_notebook(tmp_path / "00_tiny.ipynb", *code))
    assert outcome.status == "passed"
    place, _, shown = outcome.executed.cells
    assert str(path) not in place.outputs[0].data["text/plain"]
    assert "1 of" in shown.outputs[0].data["text/plain"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "entry",
    [
        {"solved": "0001-01-01T00:00:00+14:00"},  # before the first day there is in UTC
        {"solved": "9999-12-31T23:59:59-14:00"},
        {"solved": "2026-11-24\ud80010:00:00+00:00"},
        {"tries": 10**30},
        {"tries": -1},
        {"hints": 2**40},
    ],
    ids=str,
)
def test_a_line_that_nobody_can_have_written_is_damaged(tmp_path, entry):
    file = tmp_path / "anna.jsonl"
    file.write_text(ANNA + json.dumps({"id": "00.2"} | entry) + "\n")
    assert progress_file.read_only(file)[1] == 1
    progress_table({"anna": file}).to_csv().encode()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in a folder")
def test_what_is_no_file_is_passed_over(collected):
    (collected / "folder.jsonl").mkdir()
    os.mkfifo(collected / "pipe.jsonl")
    assert set(progress_files([collected])) == {"anna", "ben", "zoë"}
    with pytest.raises(CourseError, match="cannot be read"):
        progress_table({"folder": collected / "folder.jsonl"})
