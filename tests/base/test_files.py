"""Files of the cache are whole or not there."""

import subprocess
import sys
from pathlib import Path

import pytest

from tlcourse.base import files
from tlcourse.errors import CourseError


def test_ctrl_c_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write_half():
        with files.whole_file(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


DIES_MID_WRITE = """
import os, pathlib, sys
from tlcourse.base import files
with files.whole_file(pathlib.Path(sys.argv[1])) as part:
    part.write_text("half")
    os._exit(9)
"""


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    with files.whole_file(path) as part:
        part.write_text("old")
    dead = subprocess.run([sys.executable, "-c", DIES_MID_WRITE, path], check=False)
    assert dead.returncode == 9  # the writer really died
    assert path.read_text() == "old"


def test_a_shared_cache_can_be_read_by_others(tmp_path):
    with files.whole_file(tmp_path / "file") as part:
        part.write_text("for all")
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "file").stat().st_mode == plain.stat().st_mode


def test_a_cache_folder_that_cannot_be_made_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CourseError, match="Set TLCOURSE_CACHE to a folder"):
        files.cache_dir()


@pytest.mark.parametrize("refusals", [2, 3])
def test_a_file_that_is_open_elsewhere_is_replaced_a_moment_later(tmp_path, monkeypatch, refusals):
    """Windows refuses to replace a file that another process reads."""
    path, real = tmp_path / "file", Path.replace
    path.write_text("old")
    asked = []

    def refuse(part, target):
        asked.append(target)
        if len(asked) <= refusals:
            raise PermissionError(13, "Access is denied")
        return real(part, target)

    monkeypatch.setattr(files, "_ATTEMPTS", 3)
    monkeypatch.setattr(Path, "replace", refuse)
    if refusals < 3:
        files.save_file(path, b"new")
    else:
        with pytest.raises(CourseError, match="Access is denied"):
            files.save_file(path, b"new")
    assert path.read_text() == ("new" if refusals < 3 else "old")
    assert list(tmp_path.iterdir()) == [path]


WRITES_AGAIN_AND_AGAIN = """
import pathlib, sys
from tlcourse.base import files
folder, own = pathlib.Path(sys.argv[1]), sys.argv[2].encode()
print("begun", flush=True)
sys.stdin.readline()
for i in range(40):
    files.save_files(folder, {"a": own * 9999, "b": own * 9999}, "pair")
    assert folder.is_dir()
"""


def test_processes_that_replace_one_folder_at_once_leave_one_whole(tmp_path):
    folder, pipes = tmp_path / "pair", {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", WRITES_AGAIN_AND_AGAIN, folder]
    writers = [subprocess.Popen([*command, own], text=True, **pipes) for own in "1234"]
    for writer in writers:
        assert writer.stdout.readline() == "begun\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    first, second = ((folder / name).read_bytes() for name in "ab")
    assert first == second
    assert first in [own * 9999 for own in (b"1", b"2", b"3", b"4")]
    assert list(tmp_path.iterdir()) == [folder]


def fill(folder, text):
    with files.whole_folder(folder) as part:
        (part / "file").write_text(text)


def test_where_folders_cannot_be_exchanged_a_killed_process_loses_none(tmp_path, monkeypatch):
    """Between the two renames the earlier folder has another name; the next call brings it back."""
    fill(tmp_path / "mine", "old")
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    with monkeypatch.context() as patch:
        patch.setattr(files, "_bring_back", lambda path: None)
        patch.setattr(files.Path, "replace", replace_until_killed(files.Path.replace))
        with pytest.raises(SystemError, match="killed"):
            fill(tmp_path / "mine", "new")
    assert not (tmp_path / "mine").exists()

    def stop(text):
        with files.whole_folder(tmp_path / "mine"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop("new")
    assert (tmp_path / "mine" / "file").read_text() == "old"
    fill(tmp_path / "mine", "new")
    assert (tmp_path / "mine" / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


def replace_until_killed(real):
    """The first attempt finds the earlier folder, the second one takes it away, then it ends."""
    names = []

    def replace(path, target):
        names.append(target.name)
        if len(names) == 3:
            raise SystemError("killed")
        return real(path, target)

    return replace
