"""Sliders, uploads and the choice of pictures."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny_uploads import upload

import tlcourse as tl
from tlcourse.widgets import controls
from tlcourse.widgets.controls import PictureChoice, Steps, Upload, picture_upload


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
