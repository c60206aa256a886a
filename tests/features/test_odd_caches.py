"""Caches that fail: read only, gone, without locks, without room for a lock."""

import errno
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tiny_features import (
    ROWS,
    N,
    TinyNet,
    as_backbone,
    noise,
    noise_split,
    small_writer,
    write_rest,
)

import tlcourse as tl
from tlcourse.base import files
from tlcourse.course import progress_file
from tlcourse.errors import CourseError, DownloadError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="mounts and locks of POSIX")
CANNOT = r"cannot be stored in .*features \({why}\)\. Make room .*cache=False"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of your own."""
    monkeypatch.delenv("TLCOURSE_SHARED_CACHE", raising=False)
    monkeypatch.delenv("TLCOURSE_DATA", raising=False)
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    files.tell_once.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def mounted(cache):
    """The same on a disk of its own; call it with the options of the disk."""
    done = []

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(cache)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root can mount a disk")
        done.append(cache)
        return cache

    yield mount
    for folder in done:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def here(opened=None, pool="mean", open_item=noise, **options):
    split = noise_split(range(N), opened, open_item)
    options = {"batch_size": 2, "progress": False, "pool": pool} | options
    return tl.extract_features(as_backbone(TinyNet()), split, "stem", **options).x["stem"]


def test_a_cache_that_is_read_only_serves_what_it_has_and_says_what_it_cannot(mounted):
    cache = mounted("size=1m")
    stored = np.array(here())
    subprocess.run(["mount", "-o", "remount,ro", str(cache)], check=True)
    with pytest.raises(OSError, match="Read-only"):
        (cache / "file").touch()
    opened = []
    assert np.array_equal(here(opened), stored)
    assert opened == []
    with pytest.raises(CourseError, match=CANNOT.format(why="Read-only file system")):
        here(pool="max")
    assert here(pool="max", cache=False).shape == (N, 4)
    with pytest.raises(DownloadError, match="cannot be kept"):
        tl.download_task("hymenoptera")
    with pytest.raises(CourseError, match=r"cannot be written \(Read-only.*TLCOURSE_CACHE"):
        tl.weights_file()


def test_a_cache_that_vanishes_is_one_sentence_and_the_next_run_is_right(cache):
    expected = np.array(here(cache=False))

    def look(number):
        if number == 7 and cache.exists():
            shutil.rmtree(cache)
        return noise(number)

    with pytest.raises(CourseError, match=CANNOT.format(why="No such file or directory")):
        here(open_item=look)
    assert np.array_equal(here(), expected)


def test_rows_are_not_added_to_a_file_that_has_vanished(cache):
    """Its folder may be there again, as when the cache was deleted between two writes."""
    writer = small_writer()
    writer.append(ROWS[:2], 0.5)
    (writer.part / "features.npy").unlink()
    with pytest.raises(CourseError, match=CANNOT.format(why="No such file or directory")):
        writer.append(ROWS[2:4], 0.5)
    writer = small_writer()
    write_rest(writer)
    assert np.array_equal(writer.finish()[0], ROWS)


def test_features_that_were_read_stay_when_the_cache_vanishes(cache):
    here()
    stored = here()
    shutil.rmtree(cache)
    assert np.array_equal(stored, here(cache=False))


def test_a_shared_cache_that_vanishes_costs_a_note(cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "shared"))
    expected = np.array(here())
    monkeypatch.setenv("TLCOURSE_CACHE", str(cache))
    monkeypatch.setenv("TLCOURSE_SHARED_CACHE", str(tmp_path / "shared"))
    real = files.sha256_of

    def gone_while_it_is_read(path):
        shutil.rmtree(tmp_path / "shared", ignore_errors=True)
        return real(path)

    monkeypatch.setattr(files, "sha256_of", gone_while_it_is_read)
    assert np.array_equal(here(), expected)
    assert "is not a folder that you can read" in capsys.readouterr().out


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_disk_without_locks_is_one_sentence(cache, monkeypatch, number, tmp_path, capsys):
    import fcntl

    expected = np.array(here(pool="max"))

    def flock(file, what):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(CourseError, match=CANNOT.format(why=".*")):
        here()
    assert np.array_equal(here(pool="max"), expected)  # what is stored needs no lock
    assert here(cache=False).shape == (N, 4)
    with pytest.raises(DownloadError, match="cannot be kept"):
        tl.download_task("hymenoptera")
    monkeypatch.setenv("TLCOURSE_PROGRESS", str(tmp_path / "progress.jsonl"))
    progress_file.change("00.1", lambda entry: {"tries": 1, "hints": 0})
    assert "cannot be kept" in capsys.readouterr().out
    assert progress_file.entry("00.1") == {"tries": 1, "hints": 0}
    monkeypatch.undo()
    progress_file._unwritten.clear()


def test_a_disk_that_has_no_such_call_gets_locks_of_another_kind(cache, monkeypatch):
    import fcntl

    expected = np.array(here(cache=False))

    def flock(file, what):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.warns(UserWarning, match="flock not supported"):
        found = here()
    assert np.array_equal(found, expected)
    opened = []
    assert np.array_equal(here(opened), expected)
    assert opened == []


def test_no_room_for_a_lock_is_one_sentence(mounted):
    mounted("size=1m,nr_inodes=2")  # the folder itself, and the one of the features
    with pytest.raises(CourseError, match=CANNOT.format(why="No space left on device")):
        here()
