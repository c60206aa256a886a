"""The form that every notebook of the course has; nbval runs what is in them."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from notebook_parts import exercise_cells, solutions, tagged

PATHS = sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MAX_BYTES = 1_000_000
MAX_LINES = 30

_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ALT = re.compile(r"""\balt\s*=\s*(?:"[^"]*\w[^"]*"|'[^']*\w[^']*')""", re.IGNORECASE)
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


def test_every_picture_has_an_alternative_text(notebook, code):
    for output in outputs(code):
        data = output.get("data", {})
        for kind in data:
            if kind.startswith("image/"):
                assert output.metadata.get(kind, {}).get("alt"), "an image output without alt"
        for tag in _IMAGE.findall(_DATA.sub("", "".join(data.get("text/html", "")))):
            assert _ALT.search(tag), tag
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"!\[\s*\]\(", cell.source)
            for tag in _IMAGE.findall(cell.source):
                assert _ALT.search(tag), tag


def test_pictures_and_links_between_files_lead_somewhere(path, notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\((?!https?:|#|mailto:|attachment:)([^)#\s]+)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_tags_are_those_that_a_tool_reads(code):
    known = {"setup", "exercise", "nbval-check-output", "raises-exception"}
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
