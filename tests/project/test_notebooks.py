"""The form that every notebook of the course has; nbval runs what is in them."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest
from notebook_parts import exercise_cells, solutions, tagged
from saved_run import sentences

from tlcourse.course.guess import all_questions

PATHS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MAX_BYTES = 1_000_000
MAX_LINES = 30

_DATA = re.compile(r"data:[\w/+.;=-]+,[\w+/=]*")
# Two or more folders deep, not inside a word, an address or a closing tag.
_ABSOLUTE = re.compile(r"(?<![\w.:/<~-])(?:/[\w.@+-]+){2,}|\b[A-Za-z]:\\{1,2}\w+")

pytestmark = pytest.mark.skipif(not PATHS, reason="there are no notebooks")


@pytest.fixture(scope="module", params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def notebook(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(cells):
    return [output for cell in cells for output in cell.outputs]


def texts(output):
    """What a reader sees of an output, without the bytes of pictures."""
    if output.output_type == "stream":
        yield output.text
    elif output.output_type == "error":
        yield from (output.evalue, *output.traceback)
    else:
        for kind, content in output.data.items():
            if not kind.startswith("image/") or kind == "image/svg+xml":
                yield _DATA.sub("", content if isinstance(content, str) else json.dumps(content))


def test_it_is_a_valid_notebook_whose_cells_have_ids(path):
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert (raw["nbformat"], raw["nbformat_minor"]) >= (4, 5)
    ids = [cell.get("id") for cell in raw["cells"]]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    nbformat.validate(raw)  # last, since it adds ids that are missing


def test_it_is_small(path):
    assert path.stat().st_size < MAX_BYTES


def test_it_says_how_long_it_takes(notebook):
    seconds = notebook.metadata["tlcourse"]["seconds"]
    assert isinstance(seconds, int | float)
    assert 0 < seconds <= 300


def test_it_opens_with_a_title_and_a_table_that_tells_the_time(notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"# \S", first.source)
    opening = "\n".join(cell.source for cell in notebook.cells[:3])
    assert re.search(r"^\|.*\btime\b.*\|", opening, re.IGNORECASE | re.MULTILINE)


def test_its_claim_stands_below_its_title(notebook):
    (_,) = [c for c in notebook.cells if "**Claim.**" in c.source]
    _, claim, *_ = re.split(r"\n\s*\n", notebook.cells[0].source)
    assert re.fullmatch(r"> \*\*Claim\.\*\* [A-Z][^.]+\.", claim), "one sentence"


def test_each_figure_is_followed_by_what_the_saved_run_showed(notebook):
    below = [c for c in notebook.cells if re.match(r"\*\*Figure \d+\.\*\*", c.source)]
    without = [c.source[:40] for c in below if not sentences(nbformat.v4.new_notebook(cells=[c]))]
    assert below
    assert without == []


def test_each_key_point_holds_a_fact(notebook):
    text = re.search(r"^#+ Key points\n+(.*?)\n\n", notebook.cells[-1].source, re.S | re.M)[1]
    points = text.split("\n- ")
    assert 3 <= len(points) <= 5
    # A number, a name in backticks, or a capital that does not begin a sentence.
    assert [p for p in points if not re.search(r"\d|`|(?<![.?!]) [A-Z]\w", p)] == []


def test_what_a_reader_need_not_read_is_folded(code):
    for cell in code:
        folded = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        assert folded in (False, True)
        assert cell.outputs or not folded, "neither code nor output is seen"
        assert folded or "answer" not in cell.metadata.get("tags", []), (
            "what computes the answer to a guess"
        )


def test_it_ends_with_key_points(notebook):
    headings = [
        bool(re.search(r"^#+ key points", cell.source, re.IGNORECASE | re.MULTILINE))
        for cell in notebook.cells
        if cell.cell_type == "markdown"
    ]
    assert sum(headings) == 1
    assert any(headings[-2:])
    assert notebook.cells[-1].cell_type == "markdown"


def test_it_was_executed_from_top_to_bottom(code):
    counts = [cell.execution_count for cell in code]
    assert counts == list(range(1, len(code) + 1))


def test_no_output_is_an_error_unless_the_error_is_the_lesson(code):
    wrong = [
        cell.source
        for cell in code
        if any(o.output_type == "error" for o in cell.outputs)
        and "raises-exception" not in cell.metadata.get("tags", [])
    ]
    assert wrong == []


def test_no_output_warns(code):
    noise = [o.text for o in outputs(code) if o.output_type == "stream" and o.name == "stderr"]
    assert noise == []


def test_no_output_tells_whose_machine_it_was(code):
    home = str(Path.home())
    for output in outputs(code):
        for text in texts(output):
            assert _ABSOLUTE.findall(text) == []
            assert len(home) < 2 or home not in text


def test_tags_are_those_that_a_tool_reads(code):
    known = {"setup", "exercise", "prediction", "answer", "nbval-check-output", "raises-exception"}
    known |= {f"idea-{letter}" for letter in "abcdefg"}
    assert not {tag for cell in code for tag in cell.metadata.get("tags", [])} - known


def test_what_is_the_same_at_each_run_is_compared(code):
    assert any("nbval-check-output" in cell.metadata.get("tags", []) for cell in code)


def test_no_code_cell_is_long(code):
    assert [c.source for c in code if len(c.source.splitlines()) > MAX_LINES] == []


def test_it_has_setup_cells_and_at_least_three_exercises_with_solutions(path, notebook):
    assert tagged(notebook, "setup")
    exercises = list(exercise_cells(notebook))
    assert len(exercises) >= 3
    assert all(name.startswith(path.stem[:2] + ".") for name in exercises)
    assert exercises == list(solutions(notebook))


def test_no_exercise_is_solved_and_each_unsolved_cell_is_kind(notebook):
    for name, cell in exercise_cells(notebook).items():
        (shown,) = [o.data["text/plain"] for o in cell.outputs]
        assert shown.startswith("Open. Not answered yet. Replace the three dots"), name


def asked(cells, tag):
    """Question -> place of the cell that is tagged so, and the arguments of its call."""
    function = {"prediction": "guess", "answer": "reveal"}[tag]
    found = {}
    for place, cell in enumerate(cells):
        if tag in cell.metadata.get("tags", []):
            for call in ast.walk(ast.parse(cell.source)):
                if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == function:
                    name = call.args[0].value
                    assert name not in found, f"{name} stands in two cells"
                    found[name] = place, call.args[1]
    return found


def test_predictions_are_asked_before_a_figure_and_answered_after_it(path, notebook):
    guesses, answers = asked(notebook.cells, "prediction"), asked(notebook.cells, "answer")
    registered = [name for name in all_questions() if name.startswith(f"{path.stem[:2]}.")]
    assert len(registered) >= 2
    assert sorted(guesses) == sorted(answers) == registered
    for name, (before, _) in guesses.items():
        after, found = answers[name]
        between = notebook.cells[before:after]
        figure = all_questions()[name].figure
        assert any(_shows(cell) for cell in between), f"{name}: no figure before its answer"
        text = "\n".join(
            c.source for c in notebook.cells[before + 1 :] if c.cell_type == "markdown"
        )
        last = re.sub(r"s \d+ and", "", figure)  # "Figures 4 and 5": Figure 5
        assert f"**{last}.**" in text, f"{name}: {figure} does not come after the question"
        literal = isinstance(found, ast.Constant | ast.List | ast.Tuple)
        assert not literal, f"{name}: its answer is not read off the figure's data"


def test_nobody_has_guessed_and_the_answers_are_those_that_can_be_chosen(notebook):
    for tag, begins in (("prediction", "No guess yet."), ("answer", "The answer.")):
        cells = tagged(notebook, tag)
        shown = [o.data["text/plain"] for o in outputs(cells) if "data" in o]
        replies = [text for text in shown if text.startswith(begins)]
        assert len(replies) == len(asked(notebook.cells, tag))
        if tag == "answer":
            for name, said in zip(asked(notebook.cells, tag), replies, strict=True):
                options = all_questions()[name].options
                assert not options or re.search(r"says?: (.+?)\. ", said).group(1) in options


def _shows(cell):
    kinds = [kind for o in cell.get("outputs", []) for kind in o.get("data", {})]
    return any(kind == "text/html" or kind.startswith("image/") for kind in kinds)


@pytest.mark.parametrize("question", all_questions().values(), ids=lambda p: p.id)
def test_a_prediction_question_can_be_answered(question):
    assert re.fullmatch(r"\d\d\.[A-Z]", question.id)
    assert question.question.endswith("?")
    assert question.where.endswith((".", "?"))
    if question.options:
        assert 2 <= len(question.options) <= 10
        assert [question.parse(option) for option in question.options] == list(question.options)
    else:
        assert question.within >= 1
        assert question.unit
