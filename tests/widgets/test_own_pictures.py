"""The upload button and the form for a folder answer with figures, and bad input with a sentence."""

import io
import struct
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
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


def archive_of(names, mode=0):
    """A ZIP file; each file in it holds its place in the list."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for place, name in enumerate(names):
            member = zipfile.ZipInfo("a")
            member.filename, member.external_attr = name, mode << 16
            archive.writestr(member, str(place))
    return packed.getvalue()


def test_an_archive_never_writes_outside_its_folder(tmp_path):
    content = archive_of(["../outside.txt", "/absolute.txt", "..\\..\\far.txt", "C:\\drive.txt"])
    (tmp_path / "in").mkdir()
    unpack(content, tmp_path / "in")
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    found = {path.name for path in tmp_path.rglob("*.txt")}
    assert found == {"outside.txt", "absolute.txt", "far.txt", "drive.txt"}


parts = st.sampled_from(
    ["a", "b", "..", ".", "", "C:", "\\", "CON", "aux.png", "é", "x" * 300, "~"]
)
parts |= st.text(max_size=5)


names_inside = st.lists(parts, min_size=1, max_size=4).map("/".join)


@given(st.lists(names_inside, max_size=5, unique=True), st.booleans())
@example(["a", "a/b"], False)  # a file and a folder of one name
@example(["a/" * 2000], False)
@settings(max_examples=40)
def test_any_names_stay_inside_or_are_refused(names, links):
    try:
        content = archive_of(names, 0o120777 if links else 0)
    except UnicodeEncodeError:  # no ZIP file holds half a character
        return
    with tempfile.TemporaryDirectory() as place:
        outer = Path(place)
        inside = outer / "in"
        inside.mkdir()
        with suppress(tl.CourseError):
            assert unpack(content, inside).is_relative_to(inside)
        assert list(outer.iterdir()) == [inside]
        assert not any(path.is_symlink() for path in inside.rglob("*"))


def test_of_a_name_that_stands_twice_the_last_is_taken(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):  # Python's own, of who packs it
        content = archive_of(["b/1.png", "a/1.png", "a/1.png"])
    unpack(content, tmp_path)
    assert (tmp_path / "a" / "1.png").read_text() == "2"


def test_a_name_with_backslashes_is_a_path(tmp_path):
    # So .NET packed for years, against the format's rule.
    content = archive_of(["a/1.png", "b/2.png"]).replace(b"a/1", b"a\\1").replace(b"b/2", b"b\\2")
    unpack(content, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_hundred_thousand_files_are_refused_before_one_is_made(tmp_path):
    content = archive_of(["a"])
    at = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    table = content[at:end] * 100_000
    tail = struct.pack(
        "<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 100_000, 100_000, len(table), at
    )
    tail += struct.pack("<4sIQI", b"PK\x06\x07", 0, at + len(table), 1)
    tail += struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    with pytest.raises(tl.CourseError, match=r"in 100,000 files\. Copy the folder to this machine"):
        unpack(content[:at] + table + tail, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\0\x08\0\0\0\0!\0", b"\1\x08\0\0\0\0!\0"),  # a password is needed
        (b"\0\x08\0\0\0\0!\0", b"\0\x08\x63\0\0\0!\0"),  # packed in a way that is not known
        (b"PK\x03\x04", b"PK\x03\x05"),
        ("é".encode(), b"\xff\xff"),  # it says UTF-8
    ],
)
def test_a_member_that_cannot_be_read_is_one_sentence(tmp_path, old, new):
    content = archive_of(["é/1.png"])
    assert old in content
    with pytest.raises(tl.CourseError, match=r"^The ZIP file cannot be unpacked \(.*password\.$"):
        unpack(content.replace(old, new), tmp_path)


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
