"""Stored features are whole or not there, whatever stops the process that computes them."""

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from safetensors.numpy import save_file
from tiny_features import (
    LAYERS,
    ROWS,
    N,
    Process,
    TinyNet,
    as_backbone,
    context,
    extract,
    noise,
    noise_split,
    opened_in,
    run,
    small_entry,
    small_load,
    small_writer,
    write_and_copy,
    write_rest,
    write_rows,
)
from typer.testing import CliRunner

import tlcourse as tl
from tlcourse import cli
from tlcourse.errors import CourseError, PictureError
from tlcourse.features import store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by a signal")
DATA, MANIFEST = "features.npy", "manifest.json"
CANNOT = r"cannot be stored in .*features .*tlcourse cache --empty.*TLCOURSE_CACHE.*cache=False"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Features that a process gives which nothing has stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")
    exit_code, features = run(extract, folder / "cache", folder / "log")
    assert exit_code == 0
    assert sorted(opened_in(folder / "log")) == list(range(N))
    return features


def here(opened=None, layers="stem", *, open_item=noise, **options):
    """Extract the features of the same pictures as `extract`, in this process."""
    options = {"batch_size": 2, "progress": False, **options}
    split = noise_split(range(N), opened, open_item)
    found = tl.extract_features(as_backbone(TinyNet()), split, layers, **options)
    return found.x[layers] if isinstance(layers, str) else found.x


def stored(cache):
    """Folders that are finished, and those that are not."""
    folders = [path for path in (cache / "features").iterdir() if path.is_dir()]
    parts = [path for path in folders if path.suffix == ".part"]
    return [path for path in folders if path not in parts], parts


def noted_rows(part):
    """Rows of an unfinished entry that are noted as complete."""
    manifest = part / MANIFEST
    return json.loads(manifest.read_text())["rows"] if manifest.exists() else 0


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name in expected:
        assert np.array_equal(found[name], expected[name])


# Killed


@pytest.mark.parametrize(
    ("dies_at", "least"),
    [
        (("open", 1), 0),
        (("open", 10), 4),  # the tenth is opened ahead when two batches of two are written
        (("append", 1), 0),
        (("append", 5), 4),
        (("append", 6), 4),  # the first layer has three pieces by then, the second one two
        (("finish", 1), N),
        (("finish", 2), N),
    ],
)
def test_a_killed_extraction_goes_on_where_it_was(tmp_path, undisturbed, dies_at, least):
    cache, log = tmp_path / "cache", tmp_path / "log"
    exit_code, _ = run(extract, cache, log, dies_at=dies_at)
    assert exit_code == -signal.SIGKILL
    opened_in(log)
    finished, parts = stored(cache)
    assert len(finished) == (1 if dies_at == ("finish", 2) else 0)
    assert all((folder / MANIFEST).exists() for folder in finished)
    done = min(map(noted_rows, parts), default=0)
    assert done >= least

    exit_code, features = run(extract, cache, log)
    assert exit_code == 0
    assert sorted(opened_in(log)) == list(range(done, N))
    assert_same(features, undisturbed)
    assert [len(folders) for folders in stored(cache)] == [2, 0]
    assert_same(run(extract, cache, log)[1], undisturbed)
    assert opened_in(log) == []  # a third process computes nothing


def test_it_goes_on_with_batches_of_another_size(tmp_path, undisturbed):
    cache, log = tmp_path / "cache", tmp_path / "log"
    run(extract, cache, log, dies_at=("append", 6))  # six rows of one layer, four of the other
    opened_in(log)
    _, features = run(extract, cache, log, batch_size=5)
    assert sorted(opened_in(log)) == list(range(4, N))
    for layer, x in undisturbed.items():  # sums of other batches may round in another order
        np.testing.assert_allclose(features[layer], x, rtol=0, atol=1e-5)


def test_it_goes_on_after_one_kill_upon_another(tmp_path, undisturbed):
    cache, log = tmp_path / "cache", tmp_path / "log"
    for _ in range(6):  # each one writes one more piece of each layer
        exit_code, _ = run(extract, cache, log, dies_at=("append", 3))
        if exit_code == 0:
            break
        assert exit_code == -signal.SIGKILL
    opened_in(log)
    assert_same(run(extract, cache, log)[1], undisturbed)
    assert len(opened_in(log)) <= 2


def content(folder):
    """File -> bytes; a temporary name has digits that differ from run to run."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = [re.sub(r"[0-9a-f]{12}", "", path.relative_to(folder).as_posix()) for path in paths]
    return dict(zip(names, (path.read_bytes() for path in paths), strict=True))


def test_killed_at_any_step_that_the_disk_sees(tmp_path, monkeypatch):
    """A kill leaves what was copied before its step: each tenth step is killed to see that."""
    (tmp_path / "copies").mkdir()
    exit_code, steps = run(write_and_copy, tmp_path / "whole", tmp_path / "copies")
    assert exit_code == 0
    assert steps > 12  # opens, renames, ...
    before = 0
    for step in range(1, steps + 1):
        cache = tmp_path / "copies" / str(step)
        if step % 10 == 0:
            exit_code, _ = run(write_rows, tmp_path / str(step), dies_at_step=step)
            assert exit_code == -signal.SIGKILL
            assert content(tmp_path / str(step)) == content(cache)
        monkeypatch.setenv("TLCOURSE_CACHE", str(cache))
        loaded = small_load()
        if loaded is None:
            writer = small_writer()
            assert writer.done >= before, f"step {step} lost rows that were finished"
            before = writer.done
            write_rest(writer)
            writer.finish()
            loaded = small_load()
        assert np.array_equal(loaded[0], ROWS)
        assert loaded[1] == pytest.approx(1.5)  # three pieces of half a second
        assert [len(folders) for folders in stored(cache)] == [1, 0]
    assert before == len(ROWS)


@pytest.fixture
def unfinished(cache):
    """An entry with three complete pieces that was not given its name."""
    writer = small_writer()
    write_rest(writer)
    return cache / "features" / f"{small_entry().key}.part"


@pytest.mark.parametrize("file", [DATA, MANIFEST])
def test_what_is_torn_is_written_again_wherever_it_was_torn(unfinished, file):
    whole = {path.name: path.read_bytes() for path in unfinished.iterdir()}
    for length in range(len(whole[file])):
        for name, content in whole.items():
            (unfinished / name).write_bytes(content[: length if name == file else None])
        writer = small_writer()
        assert writer.done == 0  # rows that were noted are on the disk, unless the disk failed
        write_rest(writer)
        assert (unfinished / DATA).read_bytes() == whole[DATA]
        assert noted_rows(unfinished) == len(ROWS)


@pytest.mark.parametrize("more", [1, 5, 12, 40])
def test_rows_that_were_not_noted_any_more_are_cut_off(unfinished, more):
    whole = (unfinished / DATA).read_bytes()
    manifest = json.loads((unfinished / MANIFEST).read_text())
    (unfinished / MANIFEST).write_text(json.dumps(manifest | {"rows": 4}))
    (unfinished / DATA).write_bytes(whole[: -ROWS[4:].nbytes] + bytes(more))
    writer = small_writer()
    assert writer.done == 4
    assert (unfinished / DATA).read_bytes() == whole[: -ROWS[4:].nbytes]
    write_rest(writer)
    writer.finish()
    assert np.array_equal(small_load()[0], ROWS)


def test_rows_are_on_the_disk_before_they_are_noted(cache, monkeypatch):
    events = []
    monkeypatch.setattr(store.os, "fsync", lambda _: events.append("disk"))
    real = store.Writer._note
    monkeypatch.setattr(
        store.Writer, "_note", lambda *a, **more: (events.append("note"), real(*a, **more))
    )
    write_rest(small_writer())
    assert events == ["disk", "note"] * 3


def test_an_unfinished_entry_of_another_number_of_pictures_is_not_gone_on_with(unfinished):
    assert small_writer(len(ROWS) + 1).done == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, PictureError("7.png is damaged.")])
def test_ctrl_c_or_a_bad_picture_keeps_what_was_finished(cache, error):
    def look(number):
        if number == 7:
            raise error
        return noise(number)

    with pytest.raises((KeyboardInterrupt, PictureError)):
        here(open_item=look)
    (lock_file,) = (cache / "features").glob(".*.lock")
    with FileLock(lock_file, timeout=1):  # it was given back
        finished, (part,) = stored(cache)
    assert finished == []
    assert noted_rows(part) == 6
    opened = []
    assert np.array_equal(here(opened), here(cache=False))
    assert sorted(opened) == list(range(6, N))


# At once


def test_thirty_processes_at_once_compute_it_once(tmp_path, undisturbed):
    start = context().Barrier(30)
    log = tmp_path / "log"
    processes = [Process(extract, tmp_path / "cache", log, start=start) for _ in range(30)]
    for process in processes:
        assert_same(process.result(), undisturbed)
        assert process.exit_code == 0
    assert sorted(opened_in(log)) == list(range(N))


def test_one_that_waits_for_a_killed_process_goes_on_in_its_place(tmp_path, undisturbed):
    cache, log = tmp_path / "cache", tmp_path / "log"
    start = context().Barrier(3)
    dying = [Process(extract, cache, log, start=start, dies_at=("append", 5)) for _ in range(2)]
    waiting = Process(extract, cache, log, start=start)
    assert_same(waiting.result(), undisturbed)
    for process in dying:  # the later one may have found everything done
        answer = process.result()
        assert process.exit_code in (-signal.SIGKILL, 0)
        if answer is not None:
            assert_same(answer, undisturbed)


def test_two_that_find_the_same_damage_do_not_disturb_each_other(cache, monkeypatch, capsys):
    expected = np.array(here())
    damage(cache, "flipped byte")
    slow_reads, half_way, slow_is_through = (threading.Event() for _ in range(3))
    opened, found = [], []

    def is_slow():
        return threading.current_thread() is slow

    def read_slowly(path, real=store.files.sha256_of):
        if is_slow() and not slow_reads.is_set():
            slow_reads.set()
            half_way.wait(10)
        return real(path)

    def wait_for_lock(lock, real=FileLock.acquire):
        if is_slow():
            slow_is_through.set()
        return real(lock)

    def look(number):
        if len(opened) == 6:
            half_way.set()
            slow_is_through.wait(10)
        return noise(number)

    monkeypatch.setattr(store.files, "sha256_of", read_slowly)
    monkeypatch.setattr(FileLock, "acquire", wait_for_lock)
    backbone = as_backbone(TinyNet())

    def ask(split):
        found.append(tl.extract_features(backbone, split, "stem", batch_size=2, progress=False))

    slow = threading.Thread(target=ask, args=(noise_split(range(N), opened, look),))
    slow.start()
    slow_reads.wait(10)
    try:
        ask(noise_split(range(N), opened, look))
    finally:
        half_way.set()
        slow.join()
    assert [np.array_equal(f.x["stem"], expected) for f in found] == [True, True]
    assert sorted(opened) == list(range(N))


# Damaged


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "flipped byte": lambda folder: flip(folder / DATA, -7),
    "flipped first byte": lambda folder: flip(folder / DATA, 0),
    "cut data": lambda folder: os.truncate(folder / DATA, (folder / DATA).stat().st_size - 4),
    "cut head": lambda folder: os.truncate(folder / DATA, 5),
    "empty data": lambda folder: os.truncate(folder / DATA, 0),
    "no data": lambda folder: (folder / DATA).unlink(),
    "broken manifest": lambda folder: os.truncate(folder / MANIFEST, 40),
    "empty manifest": lambda folder: os.truncate(folder / MANIFEST, 0),
    "foreign manifest": lambda folder: (folder / MANIFEST).write_text("[1, 2]"),
    "manifest without a digest": lambda folder: (folder / MANIFEST).write_text('{"seconds": 1}'),
    "no manifest": lambda folder: (folder / MANIFEST).unlink(),
}


def replace_data(folder, array):
    """Other numbers, with a digest that fits."""
    np.save(folder / DATA, array)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"] = hashlib.sha256((folder / DATA).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


def make_pipe(path):
    if os.name == "nt":
        pytest.skip("Windows has no pipes in a folder")
    path.unlink()
    os.mkfifo(path)


DAMAGES |= {
    "too few rows": lambda folder: replace_data(folder, np.zeros((N - 1, 4), np.float32)),
    "other numbers": lambda folder: replace_data(folder, np.zeros((N, 4))),
    "by column": lambda folder: replace_data(folder, np.zeros((N, 4), np.float32, order="F")),
    "no array": lambda folder: replace_data(folder, np.float32(1)),
    "a pipe for data": lambda folder: make_pipe(folder / DATA),
    "a pipe for a manifest": lambda folder: make_pipe(folder / MANIFEST),
    "deep manifest": lambda folder: (folder / MANIFEST).write_text("[" * 100_000),
    "endless seconds": lambda folder: (folder / MANIFEST).write_text(
        json.dumps(json.loads((folder / MANIFEST).read_text()) | {"seconds": 10**400})
    ),
}


def damage(cache, how):
    ((folder,), ()) = stored(cache)
    DAMAGES[how](folder)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_entry_is_computed_again_with_a_note(cache, capsys, how):
    expected = np.array(here())
    damage(cache, how)
    opened = []
    assert capsys.readouterr().out == ""
    assert np.array_equal(here(opened), expected)
    note = "The stored features of layer stem were damaged. They are computed again.\n"
    assert capsys.readouterr().out == note
    assert sorted(opened) == list(range(N))
    assert np.array_equal(here(opened), expected)
    assert len(opened) == N
    assert capsys.readouterr().out == ""


def test_the_other_layers_of_a_damaged_entry_are_kept(cache):
    expected = {name: np.array(x) for name, x in here(layers=LAYERS).items()}
    (damaged, whole), _ = stored(cache)
    before = (whole / DATA).stat().st_mtime_ns
    flip(damaged / DATA, -1)
    assert_same(here(layers=LAYERS), expected)
    assert (whole / DATA).stat().st_mtime_ns == before


@pytest.mark.parametrize("mask", [0x01, 0x80])
@pytest.mark.parametrize("file", [DATA, MANIFEST])
def test_no_flipped_bit_gives_wrong_numbers_or_a_traceback(cache, capsys, file, mask):
    writer = small_writer()
    write_rest(writer)
    writer.finish()
    folder = store.store_folder() / small_entry().key
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    notes = 0
    for place in range(len(whole[file])):
        folder.mkdir(exist_ok=True)
        for name, content in whole.items():
            (folder / name).write_bytes(content)
        (folder / file).write_bytes(
            whole[file][:place] + bytes([whole[file][place] ^ mask]) + whole[file][place + 1 :]
        )
        loaded = small_load()
        if loaded is None:
            notes += 1
            assert not folder.exists()
        else:  # a letter of a description, or a digit of the seconds
            assert np.array_equal(loaded[0], ROWS)
    assert capsys.readouterr().out.count("were damaged") == notes
    assert notes > len(whole[DATA]) / 3


# The disk is full, or not there


def test_a_full_disk_is_one_sentence_and_what_was_finished_is_used(cache, monkeypatch):
    expected = np.array(here(cache=False))
    size = expected.nbytes // N
    real = Path.open

    def nearly_full(path, mode="r", *arguments, **options):
        if path.name == DATA and mode == "r+b" and path.stat().st_size > 128 + 5 * size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, mode, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", nearly_full)
        with pytest.raises(CourseError, match=rf"{CANNOT}.*What was finished is kept"):
            here()
    finished, (part,) = stored(cache)
    assert finished == []
    done = noted_rows(part)
    assert 0 < done < N
    opened = []
    assert np.array_equal(here(opened), expected)
    assert sorted(opened) == list(range(done, N))


def test_a_file_that_may_not_grow_is_one_sentence_and_what_was_finished_is_used(tmp_path):
    cache, log = tmp_path / "cache", tmp_path / "log"
    maps = {"layers": ["stem"], "pool": "none"}  # 784 bytes a picture, 1568 a piece
    exit_code, error = run(extract, cache, log, room=4096, **maps)
    assert exit_code == 0
    assert isinstance(error, CourseError)
    with pytest.raises(CourseError, match=r"\(File too large\)\. Make room"):
        raise error
    finished, (part,) = stored(cache)
    assert finished == []
    assert (part / DATA).stat().st_size == 4096  # a piece was begun, but not finished
    assert noted_rows(part) == 4
    opened_in(log)
    _, features = run(extract, cache, log, **maps)
    assert sorted(opened_in(log)) == list(range(4, N))
    assert_same(features, run(extract, tmp_path / "other", log, **maps)[1])


@pytest.fixture
def small_disk(cache):
    """A cache folder on a disk of 16 KiB."""
    cache.mkdir()
    options = ["-t", "tmpfs", "-o", "size=16k", "none", str(cache)]
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, *options], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield cache
    subprocess.run(["umount", "--lazy", str(cache)], check=True)


def test_a_disk_that_is_really_full(small_disk, tmp_path):
    maps = {"layers": ["stem"], "pool": "none", "n": 24}  # 18.4 KiB
    log = tmp_path / "log"
    _, error = run(extract, small_disk, log, **maps)
    with pytest.raises(CourseError, match=r"\(No space left on device\)\. Make room"):
        raise error
    finished, (part,) = stored(small_disk)
    assert finished == []
    done = noted_rows(part)
    assert 0 < done < 24
    opened_in(log)
    larger = ["mount", "-o", "remount,size=1m", str(small_disk)]
    subprocess.run(larger, check=True, capture_output=True)
    _, features = run(extract, small_disk, log, **maps)
    assert sorted(opened_in(log)) == list(range(done, 24))
    assert_same(features, run(extract, tmp_path / "other", log, **maps)[1])


@pytest.mark.parametrize("place", ["features", "features/x.part"])
def test_a_file_in_the_place_of_a_folder_is_one_sentence(cache, place, monkeypatch):
    if place != "features":
        here()
        ((folder,), ()) = stored(cache)
        shutil.rmtree(folder)
        place = f"features/{folder.name}.part"
    cache.mkdir(exist_ok=True)
    (cache / place).write_text("in the way")
    with pytest.raises(CourseError, match=CANNOT):
        here()
    assert here(cache=False).shape == (N, 4)
    assert (cache / place).read_text() == "in the way"


def test_a_cache_folder_that_cannot_be_made_is_one_sentence(cache):
    cache.write_text("in the way")
    with pytest.raises(CourseError, match=r"cannot be made .*Set TLCOURSE_CACHE to a folder"):
        here()


# The files


def test_the_data_is_a_file_of_numpy_that_others_can_read(cache):
    maps = np.array(here(pool="none"))
    ((folder,), ()) = stored(cache)
    array = np.load(folder / DATA)
    assert array.dtype == np.float32
    assert array.shape == (N, 4, 7, 7)
    assert np.array_equal(array, maps)
    assert {path.name for path in folder.iterdir()} == {DATA, MANIFEST}
    digest = hashlib.sha256((folder / DATA).read_bytes()).hexdigest()
    assert json.loads((folder / MANIFEST).read_text())["sha256"] == digest


def as_version_1_0(folder):
    """Put in the place of an entry, or of its beginning, what version 1.0 stored."""
    array, manifest = np.load(folder / DATA), json.loads((folder / MANIFEST).read_text())
    about = {"about": manifest["about"], "seconds": 1.0, "pieces": [[N, "0" * 64]]}
    for path in folder.iterdir():
        path.unlink()
    save_file({"features": array}, folder / "features.safetensors")
    (folder / MANIFEST).write_text(json.dumps(about))


def test_features_of_version_1_0_are_computed_again_with_one_note(cache, capsys):
    expected = {name: np.array(x) for name, x in here(layers=LAYERS).items()}
    for folder in stored(cache)[0]:
        as_version_1_0(folder)
    shown = CliRunner().invoke(cli.app, ["cache"]).output
    assert "in 2 entries" in shown
    store.files.tell_once.cache_clear()
    assert capsys.readouterr().out == ""
    opened = []
    assert_same(here(opened, LAYERS), expected)
    (note,) = capsys.readouterr().out.splitlines()
    assert "version 1.0" in note
    assert "computed again" in note
    assert sorted(opened) == list(range(N))
    here(opened, LAYERS)
    assert len(opened) == N


def test_what_version_1_0_left_unfinished_is_begun_anew(unfinished):
    as_version_1_0(unfinished)
    (unfinished / MANIFEST).unlink()
    (unfinished / "journal.jsonl").write_text('{"rows": 6, "digest": "0", "seconds": 1}\n')
    writer = small_writer()
    assert writer.done == 0
    assert list(unfinished.iterdir()) == []


def test_the_command_lists_what_is_stored_and_what_is_not_finished(cache, unfinished):
    here(layers=["stem", "embedding"], pool="max")
    shown = CliRunner().invoke(cli.app, ["cache"])
    assert shown.exit_code == 0
    assert f"Stored features in {cache / 'features'}" in shown.output
    for layer in ("stem", "embedding"):
        assert f"pictures: {N} pictures, tiny, layer {layer}, pool max" in shown.output
    assert shown.output.count("not finished") == 1
    assert "in 3 entries" in shown.output
    assert unfinished.exists()  # looking deletes nothing


def test_the_command_empties_the_store_and_leaves_downloads_alone(cache, unfinished):
    here()
    others = [cache / "weights" / "net.pth", cache / "hymenoptera_data" / "train" / "ant.jpg"]
    for path in others:
        path.parent.mkdir(parents=True)
        path.write_text("a download")
    done = CliRunner().invoke(cli.app, ["cache", "--empty"])
    assert done.exit_code == 0
    assert "in 2 entries" in done.output
    assert [len(folders) for folders in stored(cache)] == [0, 0]
    assert [path.read_text() for path in others] == ["a download"] * 2
    assert "in 0 entries" in CliRunner().invoke(cli.app, ["cache"]).output
    opened = []
    here(opened)
    assert len(opened) == N  # they were really deleted


def test_the_command_meets_an_empty_cache(cache):
    for options in ([], ["--empty"]):
        shown = CliRunner().invoke(cli.app, ["cache", *options])
        assert shown.exit_code == 0
        assert "0.0 MB  in 0 entries" in shown.output


@pytest.mark.parametrize("manifest", ["", "{", "[]", "{}", '{"about": 1}', '{"about": {}}'])
def test_the_command_lists_and_empties_damaged_entries_too(cache, manifest):
    here()
    ((folder,), ()) = stored(cache)
    (folder / MANIFEST).write_text(manifest)
    for options in ([], ["--empty"]):
        shown = CliRunner().invoke(cli.app, ["cache", *options])
        assert shown.exception is None
        assert "in 1 entries" in shown.output
    assert not folder.exists()


def test_begun_rows_of_another_width_are_told(cache):
    begun = store.Writer(store.Entry("wide", {}), 6)
    begun.append(np.zeros((2, 5), np.float32), 0.1)
    again = store.Writer(store.Entry("wide", {}), 6)
    assert again.done == 2
    with pytest.raises(CourseError, match=r"another shape.*refresh=True"):
        again.append(np.zeros((4, 7), np.float32), 0.1)


@pytest.mark.parametrize("rows", [-1, 7, 1.5, True, "2", 10**400])
def test_a_number_of_rows_that_cannot_be_begins_anew(cache, rows):
    begun = store.Writer(store.Entry("rows", {}), 6)
    begun.append(np.zeros((2, 5), np.float32), 0.1)
    manifest = json.loads((begun.part / MANIFEST).read_text())
    (begun.part / MANIFEST).write_text(json.dumps(manifest | {"rows": rows}))
    assert store.Writer(store.Entry("rows", {}), 6).done == 0


def test_a_file_that_vanishes_while_entries_are_listed_counts_as_empty(cache, monkeypatch):
    here()
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    assert store._size(cache / "gone") == 0
