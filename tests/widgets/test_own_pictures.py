"""The upload button and the form for a folder answer with figures, and bad input with a sentence."""

import io
import zipfile

import pytest
from PIL import Image
from tiny_tasks import picture, tiny_backbone
from tiny_uploads import upload

import tlcourse as tl
from tlcourse.widgets.own_pictures import unpack


def png(image):
    packed = io.BytesIO()
    image.save(packed, "PNG")
    return packed.getvalue()


def test_each_upload_is_answered_and_a_bad_file_is_not_swallowed():
    widget = tl.widgets.own_picture(tl.load_backbone(device="cpu"))
    upload(widget.button, "cup.png", png(tl.photographs("coffee")["coffee"]))
    assert "<img" in widget.answer.value
    assert "espresso" in widget.answer.value
    assert widget.problem.value == ""
    upload(widget.button, "notes.txt", b"no picture at all")
    assert widget.answer.value == ""
    assert "notes.txt cannot be read: it is not a picture" in widget.problem.value
    upload(widget.button, "cup.png", png(tl.photographs("chelsea")["chelsea"]))
    assert "cat" in widget.answer.value
    assert widget.problem.value == ""


def test_without_a_kernel_a_sentence_stands_in_for_the_button():
    assert "run this notebook" in repr(tl.widgets.own_picture(tl.load_backbone(device="cpu")))
    assert "run this notebook" in repr(tl.widgets.own_folder(tiny_backbone()))


@pytest.fixture
def form():
    backbone = tiny_backbone()
    form = tl.widgets.own_folder(backbone)
    form.budget.options = ["20s", *form.budget.options]
    form.budget.value = "20s"
    return form


def zipped(folder, outer=""):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, outer + path.relative_to(folder).as_posix())
    return packed.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    for label, name in enumerate(("red", "green")):
        (place / name).mkdir()
        for i in range(8):
            Image.fromarray(picture(label, i)).save(place / name / f"{i}.png")
    (place / "red" / "notes.txt").write_text("no picture")
    return place


def test_the_form_compares_the_patterns_on_a_folder(form, folder, capsys):
    form.path.value = f" {folder} "
    form.button.click()
    assert set(form.comparison.results) >= {"standalone_extractor", "frozen_extractor"}
    assert form.comparison.task.classes == ("green", "red")
    assert "red/notes.txt" in capsys.readouterr().out
    assert not form.button.disabled


def test_the_form_takes_a_zip_file_with_or_without_the_outer_folder(form, folder):
    places = set()
    for outer in ("", "mine/"):
        upload(form.upload, "a.zip", zipped(folder, outer))
        task = tl.load_task(form._folder)
        assert task.classes == ("green", "red")
        assert task.name == (outer.strip("/") or "your pictures")
        places.add(form._folder)
    first, second = sorted(places, key=lambda place: place.exists())
    assert not first.exists()  # the next one takes its place
    form.close()
    assert not second.exists()


def test_a_damaged_zip_file_is_a_sentence(form, folder):
    upload(form.upload, "good.zip", zipped(folder))
    assert form.status.value == "good.zip is unpacked. Press the button 'Compare'."
    upload(form.upload, "a.zip", b"no archive")
    assert "a.zip: The ZIP file cannot be unpacked" in form.problem.value
    assert form.status.value == ""
    form.button.click()  # the earlier one does not come back
    assert "choose a ZIP file" in form.problem.value


def test_what_is_wrong_is_a_sentence_in_the_form_and_it_can_be_used_again(form, tmp_path):
    form.button.click()
    assert "ZIP" in form.problem.value
    form.path.value = str(tmp_path / "nowhere")
    form.button.click()
    assert "does not exist" in form.problem.value
    assert form.comparison is None
    assert not form.button.disabled


def test_an_archive_never_writes_outside_its_folder(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../outside.txt", "x")
        archive.writestr("/absolute.txt", "x")
    (tmp_path / "in").mkdir()
    unpack(packed.getvalue(), tmp_path / "in")
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def test_an_archive_whose_content_is_damaged_is_refused(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", bytes(range(256)) * 40)
    content = bytearray(packed.getvalue())
    content[40:60] = b"\xff" * 20  # inside what is packed; names and table stay as they are
    with pytest.raises(tl.CourseError, match="cannot be unpacked"):
        unpack(bytes(content), tmp_path)


def test_what_a_system_adds_beside_the_outer_folder_does_not_count(folder, tmp_path):
    packed = io.BytesIO(zipped(folder, "mine/"))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("__MACOSX/mine/._1.png", "x")
        archive.writestr(".DS_Store", "x")
    assert unpack(packed.getvalue(), tmp_path) == tmp_path / "mine"


def test_a_damaged_or_huge_archive_is_refused(tmp_path, monkeypatch):
    with pytest.raises(tl.CourseError, match="cannot be unpacked"):
        unpack(b"no archive", tmp_path)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "x" * 1000)
    monkeypatch.setattr("tlcourse.widgets.own_pictures._MOST_BYTES", 500)
    with pytest.raises(tl.CourseError, match="Copy the folder"):
        unpack(packed.getvalue(), tmp_path)
    assert not list(tmp_path.iterdir())
