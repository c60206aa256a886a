"""What all explorers share: the newest request wins, errors are seen, nothing is kept."""

import inspect
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import ipywidgets as widgets
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from tiny_uploads import upload

import tlcourse as tl
from tlcourse.widgets import controls
from tlcourse.widgets.controls import PictureChoice, Steps, Upload, picture_upload
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


def test_steps_stay_inside_and_tell_their_label():
    steps = Steps("Layer", ["stem", "stage1", "stage2"], 2)
    assert steps.label == "stage2"
    steps.value = 7
    assert steps.value == 2
    steps.value = -1
    assert steps.label == "stem"


def picture(colour="red", side=32):
    return Image.new("RGB", (side, side), colour)


def png(image, **options):
    import io

    packed = io.BytesIO()
    image.save(packed, "PNG", **options)
    return packed.getvalue()


def test_an_uploaded_picture_is_chosen_upright_and_shrunk():
    asked, failed = [], []
    choice = PictureChoice({"red": picture()}, lambda: asked.append(choice.name), failed.append)
    turned = Image.new("RGB", (2000, 1000), "blue")
    turned.paste("yellow", (0, 0, 2000, 500))
    exif = turned.getexif()
    exif[274] = 6  # the camera was turned: what is stored as the top belongs to the right
    upload(choice.upload, "holiday.png", png(turned, exif=exif))
    assert asked == ["yours: holiday.png"]
    assert choice.picture.size == (512, 1024)
    assert choice.picture.getpixel((500, 500)) == (255, 255, 0)
    assert choice.picture.getpixel((10, 500)) == (0, 0, 255)
    assert failed == []


def test_only_the_last_upload_is_kept_also_under_the_same_name():
    asked = []
    choice = PictureChoice({"red": picture()}, lambda: asked.append(choice.name), pytest.fail)
    for name, colour in (("a.png", "blue"), ("b.png", "green"), ("b.png", "black")):
        upload(choice.upload, name, png(picture(colour)))
        assert choice.picture.getpixel((5, 5)) == Image.new("RGB", (1, 1), colour).getpixel((0, 0))
    assert asked == ["yours: a.png", "yours: b.png", "yours: b.png"]
    assert list(choice._pictures) == ["red", "yours: b.png"]
    choice.close()
    assert choice._pictures == {}


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty"), (b"text", "not a picture"), (None, "cut off")]
)
def test_a_bad_file_is_one_sentence_and_the_choice_stays(content, reason):
    failed = []
    choice = PictureChoice({"red": picture()}, pytest.fail, failed.append)
    content = png(picture(side=256))[:200] if content is None else content
    upload(choice.upload, "bad.png", content)
    assert len(failed) == 1
    assert "bad.png cannot be read" in failed[0]
    assert reason in failed[0]
    assert choice.name == "red"


def test_a_file_comes_in_pieces_and_is_not_kept():
    taken = []
    button = Upload("Choose", lambda name, content: taken.append((name, content)), pytest.fail)
    content = bytes(range(256)) * 10
    answers = upload(button, "a.bin", content, piece=1000)
    assert answers == [{"next": 1000}, {"next": 2000}, {"done": True}]
    assert taken == [("a.bin", content)]
    assert len(button._content) == 0


def test_an_upload_that_was_broken_off_does_not_spoil_the_next():
    taken = []
    button = Upload("Choose", lambda name, content: taken.append(content), pytest.fail)
    button.send = lambda _: None
    button._handle_custom_msg({"name": "a", "size": 9, "offset": 0}, [b"half"])
    upload(button, "b", b"whole")
    assert taken == [b"whole"]


def test_what_goes_wrong_with_a_file_is_told():
    failed = []
    upload(Upload("Choose", lambda name, content: 1 / 0, failed.append), "a", b"x")
    assert "ZeroDivisionError" in failed[0]


def test_a_file_that_the_browser_cannot_read_is_told():
    failed = []
    button = Upload("Choose", pytest.fail, failed.append)
    button._handle_custom_msg({"name": "a.png", "failed": "it has gone"}, [])
    assert failed == ["a.png could not be read: it has gone. Choose it again."]


def test_two_files_at_once_are_not_mixed():
    failed, taken = [], []
    button = Upload("Choose", lambda name, content: taken.append(content), failed.append)
    button.send = lambda _: None
    for name, offset, piece in (("a", 0, b"aaa"), ("b", 0, b"bbb"), ("a", 3, b"AAA")):
        button._handle_custom_msg({"name": name, "size": 6, "offset": offset}, [piece])
    button._handle_custom_msg({"name": "b", "size": 6, "offset": 3}, [b"BBB"])
    assert b"bbbAAA" not in taken


@pytest.mark.parametrize("pictures", [[picture()], {}, {1: picture()}, {"a": "cup.jpg"}, "cup.jpg"])
def test_what_is_no_name_with_a_picture_is_one_sentence(pictures):
    with pytest.raises(tl.CourseError, match="PIL picture"):
        PictureChoice(pictures, pytest.fail, pytest.fail)


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(monkeypatch):
    monkeypatch.setattr(controls, "LARGEST_FILE", 2**20)
    failed = []
    button = picture_upload(pytest.fail, failed.append)
    answers = upload(button, "huge.png", bytes(2**20 + 1), piece=10)
    assert answers == [{"done": True}]
    assert "huge.png is too large" in failed[0]


WATCHED = """
import io, os, sys
from PIL import Image
import tlcourse as tl
from tiny_uploads import upload

widget = tl.widgets.own_picture(tl.load_backbone(device="cpu"))
packed = io.BytesIO()
tl.photographs("coffee")["coffee"].save(packed, "PNG")
upload(widget.button, "warm.png", packed.getvalue())  # libraries may fill their own caches once
written = []
writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
sys.addaudithook(
    lambda event, args: event == "open" and args[2] & writing and written.append(args[0])
)
upload(widget.button, "cup.png", packed.getvalue())
upload(widget.button, "bad.png", b"no picture")
open(os.devnull, "w").close()  # the hook does hear
print(written == [os.devnull], "bad.png" in widget.problem.value)
"""


def test_an_upload_writes_nothing_to_disk():
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "helpers")}
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED], env=environment, capture_output=True, text=True
    )
    assert ran.stdout == "True True\n", ran.stdout + ran.stderr
