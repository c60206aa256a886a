"""What all explorers share: the newest request wins, errors are seen, nothing is kept."""

import inspect
import threading
import time

import ipywidgets as widgets
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import tlcourse as tl
from tlcourse.widgets.controls import Steps
from tlcourse.widgets.explorer import Explorer, Latest, on_change, panel


class Doubling(Explorer):
    """Shows twice the position of its slider."""

    def __init__(self):
        self.steps = Steps("Number", range(100))
        self.panel = panel()
        self.answered, self.gate = [], threading.Event()
        self.gate.set()
        super().__init__([self.steps, self.panel], "Doubling")
        on_change(self.ask, self.steps)

    def _request(self):
        return self.steps.value

    def _answer(self, request, stale):
        self.gate.wait(10)
        if request == 13:
            raise tl.CourseError("Thirteen cannot be doubled.")
        if request == 14:
            raise ZeroDivisionError("a mistake of ours")
        self.answered.append(request)
        self._tell("Twice the number.")
        self.panel.value = str(2 * request)


@pytest.fixture
def explorer():
    explorer = Doubling()
    yield explorer
    explorer.close()


def test_of_many_moves_the_first_and_the_last_are_answered(explorer):
    explorer.gate.clear()
    for value in range(1, 13):
        explorer.steps.value = value
    explorer.gate.set()
    assert explorer.wait(10)
    assert explorer.answered[-1] == 12
    assert len(explorer.answered) <= 2
    assert explorer.panel.value == "24"


def test_long_work_learns_that_it_is_no_longer_wanted():
    heard, begun, go_on = [], threading.Event(), threading.Event()

    def work(request, stale):
        begun.set()
        go_on.wait(10)
        heard.append((request, stale()))

    latest = Latest(work)
    latest.ask("old")
    assert begun.wait(10)
    latest.ask("new")
    go_on.set()
    assert latest.wait(10)
    latest.close()
    assert heard == [("old", True), ("new", False)]


def test_it_says_that_it_computes_and_then_that_it_has_ended(explorer):
    said = []
    explorer.status.observe(lambda change: said.append(change["new"]), names="value")
    explorer.steps.value = 1
    explorer.wait(10)
    assert "Computing" in said[0]
    assert "Computing" not in said[-1]
    assert said[-1] == "Twice the number."


@pytest.mark.parametrize(("value", "text"), [(13, "Thirteen cannot"), (14, "a mistake of ours")])
def test_an_error_is_shown_in_the_widget_and_goes_away_with_the_next_answer(explorer, value, text):
    explorer.steps.value = value
    explorer.wait(10)
    assert text in explorer.problem.value
    assert 'role="alert"' in explorer.problem.value
    assert ("Traceback" in explorer.problem.value) == (value == 14)
    explorer.steps.value = 4
    explorer.wait(10)
    assert explorer.problem.value == ""
    assert explorer.panel.value == "8"


def test_an_error_while_the_controls_are_read_is_shown_too(explorer, monkeypatch):
    monkeypatch.setattr(explorer, "_request", lambda: 1 / 0)
    explorer.ask()
    assert "ZeroDivisionError" in explorer.problem.value


def test_an_older_error_may_be_kept_until_there_is_a_new_one(explorer):
    explorer.show_problem("the older one")
    with explorer.showing_problems(keep=True):
        pass
    assert "the older one" in explorer.problem.value
    with explorer.showing_problems(keep=True):
        raise tl.CourseError("the new one")
    assert "the new one" in explorer.problem.value
    with explorer.showing_problems():
        pass
    assert explorer.problem.value == ""


def test_a_stop_from_outside_is_not_taken_for_an_error(explorer):
    with pytest.raises(KeyboardInterrupt), explorer.showing_problems():
        raise KeyboardInterrupt
    assert explorer.problem.value == ""


@pytest.mark.parametrize("name", tl.widgets.__all__)
def test_help_names_each_argument_of_a_widget(name):
    widget = getattr(tl.widgets, name)
    _, _, explained = inspect.getdoc(widget).partition("Args:\n")
    for argument in inspect.signature(widget).parameters:
        assert f"\n    {argument}: " in f"\n{explained}"


def test_a_closed_explorer_answers_no_more_and_leaves_no_widget_behind():
    known = widgets.widget._instances
    before = set(known)
    explorer = Doubling()
    explorer.steps.value = 3
    explorer.wait(10)
    thread = explorer._latest._thread
    explorer.close()
    thread.join(10)
    assert not thread.is_alive()
    assert explorer.panel.value == ""
    left = [known[key] for key in set(known) - before]
    # Layouts and styles are closed together with what they belong to, or belong to nobody.
    assert not [w for w in left if isinstance(w, widgets.DOMWidget)]


def test_what_is_computed_after_it_was_closed_is_not_kept():
    explorer = Doubling()
    explorer.gate.clear()
    explorer.steps.value = 3
    limit = time.monotonic() + 30
    while not explorer._latest._working:
        assert time.monotonic() < limit, "the answer was never begun"
    explorer.close()
    explorer.gate.set()
    explorer._latest._thread.join(10)
    assert explorer.answered == [3]
    assert explorer.panel.value == ""


COUNT = """
from ipywidgets.widgets.widget import _instances
print(sum(type(w).__name__ == "OwnPicture" for w in _instances.values()))
"""
TWICE = """
import tlcourse as tl
one, two = [tl.widgets.own_picture(None) for _ in range(2)]
"""
FAILS_LATER = """
import tlcourse as tl
runs = globals().get("runs", 0) + 1
other = tl.widgets.own_picture(None) if runs == 1 else 1 / 0
"""


def test_a_cell_that_is_run_again_closes_what_it_made_before_also_if_it_fails():
    sources = [TWICE, COUNT, TWICE, COUNT, FAILS_LATER, COUNT, FAILS_LATER, COUNT]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True).execute()
    counted = [int(cell.outputs[0]["text"]) for cell in notebook.cells[1::2]]
    assert counted == [2, 2, 3, 2]
    assert "division by zero" in notebook.cells[6].outputs[0]["evalue"]
