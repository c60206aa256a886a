"""Tasks: the right pictures with the right labels, in splits that share none."""

import gzip
import hashlib
import json
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from png import png

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.tasks import folder as folder_module
from tlcourse.tasks import load

SPLITS = ("train", "val", "test")
FILES = Path(load.__file__).parents[1] / "data"
OFFLINE = {"emoji": (461, 7), "digits": (1797, 10), "faces": (200, 2), "things": (94, 3)}


def noise(seed, size=(24, 16)):
    """Return a picture like no other."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def fill(folder, count, start=0, ending="png"):
    """Write `count` different pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + count):
        noise(i).save(folder / f"{i}.{ending}")


@pytest.fixture
def pets(tmp_path):
    """Two classes of ten pictures, and nothing else."""
    fill(tmp_path / "pets" / "cats", 10)
    fill(tmp_path / "pets" / "dogs", 10, start=100)
    return tmp_path / "pets"


def names_of(task):
    return {split: set(getattr(task, split).names) for split in SPLITS}


def counts_of(task):
    return tuple(len(getattr(task, split)) for split in SPLITS)


def reasons_of(task):
    return {skipped.name: skipped.reason for skipped in task.skipped}


# Tasks that come with packages


@pytest.mark.parametrize("name", OFFLINE)
def test_offline_tasks_are_complete_stratified_and_share_no_picture(name):
    task = tl.load_task(name)
    total, classes = OFFLINE[name]
    assert sum(counts_of(task)) == total
    assert len(task.classes) == classes
    assert task.skipped == ()
    assert task.source
    assert task.licence
    counts = {s: np.bincount(getattr(task, s).labels, minlength=classes) for s in SPLITS}
    per_class = sum(counts.values())
    for split, share in {"train": 0.6, "val": 0.2, "test": 0.2}.items():
        assert np.abs(counts[split] - share * per_class).max() <= 1
    seen = set()
    for split in SPLITS:
        pictures = getattr(task, split)
        assert pictures.labels.dtype == np.int64
        contents = pictures.raw if pictures.raw is not None else [p for p, _ in pictures]
        digests = {hashlib.sha256(np.asarray(content)).digest() for content in contents}
        assert len(digests) == len(pictures)
        assert not seen & digests
        seen |= digests
    picture, label = task.val[0]
    assert picture.mode == "RGB"
    assert min(picture.size) >= 128
    assert type(label) is int


def test_every_drawing_is_in_the_font_and_fills_its_picture():
    from tlcourse.tasks.load import draw_emoji

    missing = draw_emoji("10FFFF").tobytes()  # what the font draws for a character it lacks
    task = tl.load_task("emoji")
    for split in SPLITS:
        for picture, _ in getattr(task, split):
            assert picture.tobytes() != missing
            ink = np.asarray(picture).min(axis=2) < 250
            rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
            assert max(np.ptp(rows), np.ptp(columns)) > 0.8 * picture.width
            assert not ink[:5].any()
            assert not ink[:, -5:].any()


def test_a_drawing_is_of_the_kind_that_its_label_says():
    task = tl.load_task("emoji")
    label = {name: i for s in SPLITS for name, i in zip(*_names_labels(task, s), strict=True)}
    for name in ("animals/honeybee", "food/pizza", "vehicles/bicycle", "plants/tulip"):
        assert task.classes[label[name]] == name.split("/")[0]


def _names_labels(task, split):
    return getattr(task, split).names, getattr(task, split).labels


def test_digits_are_scikit_learns_with_their_labels():
    from sklearn.datasets import load_digits

    digits, task = load_digits(), tl.load_task("digits")
    for split in SPLITS:
        pictures = getattr(task, split)
        places = [int(name.split("/")[1]) for name in pictures.names]
        assert np.array_equal(pictures.raw, digits.images[places])
        assert np.array_equal(pictures.labels, digits.target[places])
    picture, _ = task.train[0]
    small = np.asarray(picture.convert("L").resize((8, 8), Image.Resampling.BOX), float)
    assert np.corrcoef(small.ravel(), task.train.raw[0].ravel())[0, 1] > 0.95
    assert np.ptp(small) > 150  # from black to white


def test_the_first_hundred_patches_are_the_faces():
    from skimage.data import lfw_subset

    patches, task = lfw_subset(), tl.load_task("faces")
    for split in SPLITS:
        pictures = getattr(task, split)
        places = np.array([int(name.split("/")[1]) for name in pictures.names])
        assert np.array_equal(pictures.raw, patches[places])
        assert [task.classes[i] == "face" for i in pictures.labels] == (places < 100).tolist()


def test_every_thing_has_an_author_a_licence_and_a_page_that_notice_names_too():
    task = tl.load_task("things")
    names = [name for split in SPLITS for name in getattr(task, split).names]
    assert sorted(task.credits) == sorted(names)
    about = json.loads((FILES / "things" / "credits.json").read_text("utf-8"))
    notice = (Path(__file__).parents[2] / "NOTICE").read_text("utf-8").splitlines()
    for name, told in about.items():
        assert told["licence"] in {"public domain", "CC0 1.0"}
        assert told["page"].startswith("https://")
        assert f"{told['author']}, {told['licence']}, {told['page']}" == task.credits[name]
        assert f"    {name}  {task.credits[name]}" in notice
    assert sum(line.startswith(tuple(f"    {c}/" for c in task.classes)) for line in notice) == 94


def test_a_thing_shows_what_its_label_says():
    task = tl.load_task("things")
    for pictures in (task.train, task.val, task.test):
        for i, name in enumerate(pictures.names):
            picture, label = pictures[i]
            assert name.split("/")[0] == task.classes[label]
            assert max(picture.size) == 320
            assert np.array_equal(picture, tl.open_picture(FILES / "things" / name))


def test_other_tasks_that_come_along_have_one_credit_for_all_their_pictures():
    assert not tl.load_task("digits").credits
    assert "OpenMoji" in tl.load_task("emoji").licence


def test_fashion_has_two_hundred_of_each_class_and_a_test_that_stays():
    task, other = tl.load_task("fashion"), tl.load_task("fashion", seed=1, test_fraction=0.5)
    assert counts_of(task) == (1600, 400, 1000)
    assert np.bincount(task.train.labels).tolist() == [160] * 10
    assert np.bincount(task.test.labels).tolist() == [100] * 10
    assert task.test.names == other.test.names
    assert names_of(task)["train"] != names_of(other)["train"]
    digests = [digest for split in SPLITS for digest in getattr(task, split).digests()]
    assert len(set(digests)) == 3000
    picture = np.asarray(task.test[0][0].convert("L").resize((28, 28), Image.Resampling.BOX), float)
    assert np.corrcoef(picture.ravel(), task.test.raw[0].ravel())[0, 1] > 0.99


@pytest.fixture
def official(tmp_path, monkeypatch):
    """A folder of Fashion-MNIST's files, as torchvision leaves them, of 20 and 10 pictures."""
    monkeypatch.setenv("TLCOURSE_DATA", str(tmp_path))
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for i, (start, n) in enumerate({"train": 20, "t10k": 10}.items()):
        values = np.random.default_rng(i).integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = np.arange(n, dtype=np.uint8) % 10
        numbers = struct.pack(">4I", 2051, n, 28, 28), struct.pack(">2I", 2049, n)
        (folder / f"{start}-images-idx3-ubyte").write_bytes(numbers[0] + values.tobytes())
        with gzip.open(folder / f"{start}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(numbers[1] + labels.tobytes())
    return folder


def test_the_capstone_gives_labels_for_its_public_part_only():
    task = tl.load_task("capstone")
    assert {name: len(getattr(task, name)) for name in SPLITS} == {
        "train": 480, "val": 120, "test": 0
    }  # fmt: skip
    assert task.classes == tl.load_task("fashion").classes
    assert task.train.raw.shape == (480, 28, 28)
    assert set(np.bincount(task.val.labels)) == {12}
    of_fashion = tl.load_task("fashion")
    known = {p.tobytes() for name in SPLITS for p in getattr(of_fashion, name).raw}
    assert not known & {p.tobytes() for p in task.train.raw}


def test_all_of_fashion_is_read_as_torchvision_reads_it(official):
    from torchvision.datasets import FashionMNIST

    task = tl.load_task("fashion_full", val_fraction=0.5)
    for start in ("train", "t10k"):
        packed = official / f"{start}-labels-idx1-ubyte.gz"
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    theirs = FashionMNIST(official.parent.parent, train=False)
    assert counts_of(task) == (10, 10, 10)
    assert np.array_equal(task.test.raw, theirs.data)
    assert task.test.labels.tolist() == theirs.targets.tolist()
    pairs = zip(task.classes, theirs.classes, strict=True)  # "trousers", "Trouser"
    assert all(ours.lower()[:5] == other.lower()[:5] for ours, other in pairs)


def test_all_of_fashion_that_is_absent_or_cut_is_a_sentence(official, monkeypatch):
    path = official / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CourseError, match=r"t10k-images-idx3-ubyte cannot be read"):
        tl.load_task("fashion_full")
    shutil.rmtree(official)
    monkeypatch.setattr("tlcourse.tasks.fashion._DEBIAN", official)
    with pytest.raises(CourseError, match=r"not on this machine.*torchvision.*\"fashion\""):
        tl.load_task("fashion_full")


def test_the_seed_decides_the_splits():
    assert names_of(tl.load_task("emoji")) == names_of(tl.load_task("emoji", seed=0))
    assert names_of(tl.load_task("emoji")) != names_of(tl.load_task("emoji", seed=1))


def test_a_task_says_in_two_lines_what_it_is():
    first, second = repr(tl.load_task("faces")).split("\n")
    assert first == "Task 'faces': 200 pictures, 2 classes (face, something else)"
    assert second == "  train 120, val 40, test 40; left out 0"


# A split


def test_a_split_takes_slices_and_goes_through_a_data_loader(pets):
    split = tl.load_task(pets).train
    assert split.take([3, 0, -1]).names == (split.names[3], split.names[0], split.names[-1])
    assert split[2:4].names == split.names[2:4]
    assert split[-1][1] == split.labels[-1]
    with pytest.raises(IndexError):
        split[len(split)]
    again = pickle.loads(pickle.dumps(split))
    assert np.array_equal(again[0][0], split[0][0])

    def to_tensors(batch):
        return torch.tensor([np.asarray(p).mean() for p, _ in batch]), [y for _, y in batch]

    loader = torch.utils.data.DataLoader(split, batch_size=5, collate_fn=to_tensors)
    assert [y for _, labels in loader for y in labels] == split.labels.tolist()


# Folders


def test_a_folder_gives_its_pictures_and_classes_in_sorted_order(pets):
    task = tl.load_task(pets)
    assert task.classes == ("cats", "dogs")
    assert counts_of(task) == (12, 4, 4)
    for split in SPLITS:
        pictures = getattr(task, split)
        assert list(pictures.names) == sorted(pictures.names)
        for i, name in enumerate(pictures.names):
            picture, label = pictures[i]
            assert task.classes[label] == name.split("/")[0]
            assert np.array_equal(picture, Image.open(pets / name))


def test_splits_do_not_depend_on_the_order_of_the_file_system(pets, monkeypatch):
    expected = [getattr(tl.load_task(pets, seed=3), split).names for split in SPLITS]
    walk, glob = os.walk, Path.iterdir
    monkeypatch.setattr(os, "walk", lambda top: ((w, d, f[::-1]) for w, d, f in walk(top)))
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter(list(glob(folder))[::-1]))
    assert [getattr(tl.load_task(pets, seed=3), split).names for split in SPLITS] == expected


def test_given_splits_are_kept_and_missing_ones_come_from_train(tmp_path):
    for c, start in (("a", 0), ("b", 100)):
        fill(tmp_path / "train" / c, 10, start)
        fill(tmp_path / "Valid" / c, 3, start + 50)
    task = tl.load_task(tmp_path)
    assert {name.split("/")[0] for name in task.val.names} == {"Valid"}
    assert counts_of(task) == (16, 6, 4)
    assert {name.split("/")[0] for name in task.test.names} == {"train"}
    for c, start in (("a", 0), ("b", 100)):
        fill(tmp_path / "test" / c, 1, start + 80)
    task = tl.load_task(tmp_path)
    assert counts_of(task) == (20, 6, 2)


def test_a_class_may_be_called_train(tmp_path):
    fill(tmp_path / "train", 4)
    fill(tmp_path / "bus", 4, start=50)
    assert tl.load_task(tmp_path).classes == ("bus", "train")


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_picture_in_two_splits_stays_in_the_later_one(tmp_path, ending):
    for split, start in (("train", 0), ("val", 20), ("test", 40)):
        for c, more in (("a", 0), ("b", 100)):
            fill(tmp_path / split / c, 4, start + more, ending)

    def copy(source, target):
        shutil.copy(tmp_path / f"{source}.{ending}", tmp_path / f"{target}.{ending}")

    copy("test/a/40", "train/a/other name")
    copy("test/a/41", "val/a/also here")
    copy("val/b/120", "train/b/and here")
    copy("train/a/0", "val/b/in another class")
    task = tl.load_task(tmp_path)
    assert reasons_of(task) == {
        f"train/a/other name.{ending}": f"the same picture as test/a/40.{ending}, which is kept",
        f"val/a/also here.{ending}": f"the same picture as test/a/41.{ending}, which is kept",
        f"train/b/and here.{ending}": f"the same picture as val/b/120.{ending}, which is kept",
        f"train/a/0.{ending}": f"the same picture as val/b/in another class.{ending}, which is kept",
    }
    assert counts_of(task) == (7, 9, 8)


def test_copies_are_found_in_another_format_and_with_other_metadata(pets):
    same = noise(5)
    same.save(pets / "cats" / "copy.bmp")
    same.save(pets / "cats" / "dated.png", dpi=(72, 72))
    noise(7000, (1200, 800)).save(pets / "cats" / "large.jpg")
    Image.open(pets / "cats" / "large.jpg").save(pets / "cats" / "saved again.png")
    task = tl.load_task(pets)
    assert set(reasons_of(task)) == {"cats/copy.bmp", "cats/dated.png", "cats/saved again.png"}
    assert sum(counts_of(task)) == 21


def test_of_a_picture_in_two_classes_none_is_used(pets):
    shutil.copy(pets / "cats" / "1.png", pets / "dogs" / "is it a dog.png")
    left_out = reasons_of(tl.load_task(pets))
    assert left_out == {
        "cats/1.png": "the same picture is in another class too: dogs/is it a dog.png",
        "dogs/is it a dog.png": "the same picture is in another class too: cats/1.png",
    }


def test_nearly_equal_jpegs_are_two_pictures(tmp_path):
    """Reduced decoding sees no difference, and a full look tells them apart."""
    for c in ("a", "b"):
        fill(tmp_path / c, 4, start=10 * ord(c), ending="jpg")
    flat = np.full((512, 512, 3), 128, np.uint8)
    Image.fromarray(flat).save(tmp_path / "a" / "flat.jpg")
    flat[::2, ::2] = 120
    flat[1::2, 1::2] = 136
    Image.fromarray(flat).save(tmp_path / "a" / "nearly.jpg")
    pair = [tl.open_picture(tmp_path / "a" / f"{n}.jpg", max_side=64) for n in ("flat", "nearly")]
    assert np.array_equal(*pair)
    assert tl.load_task(tmp_path).skipped == ()


def test_files_that_cannot_be_used_are_listed_and_the_rest_is_used(pets):
    whole = (pets / "cats" / "3.png").read_bytes()
    (pets / "cats" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (pets / "cats" / "empty.jpg").touch()
    (pets / "cats" / "letter.jpg").write_text("Dear diary")
    (pets / "dogs" / "labels.csv").write_text("a,b")
    Image.new("L", (8, 8)).save(pets / "dogs" / "moving.GIF", "GIF")
    (pets / "dogs" / "huge.png").write_bytes(png(30_000, 30_000))
    (pets / "README.txt").write_text("read me")
    (pets / "dogs" / ".DS_Store").touch()
    (pets / "cats" / "Thumbs.db").touch()
    (pets / ".ipynb_checkpoints").mkdir()
    (pets / "__MACOSX" / "cats").mkdir(parents=True)
    task = tl.load_task(pets)
    assert reasons_of(task) == {
        "README.txt": "it is not in the folder of a class",
        "cats/cut.png": "it is cut off or damaged",
        "cats/empty.jpg": "it is empty (0 bytes)",
        "cats/letter.jpg": "it is not a picture",
        "dogs/huge.png": "it has more than 100 million pixels",
        "dogs/labels.csv": ".csv is not read, as in torchvision's ImageFolder",
        "dogs/moving.GIF": ".gif is not read, as in torchvision's ImageFolder",
    }
    assert sum(counts_of(task)) == 20
    assert "left out 7" in repr(task)


def test_the_files_taken_are_those_of_image_folder(pets):
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import IMG_EXTENSIONS

    assert set(IMG_EXTENSIONS) == folder_module.EXTENSIONS
    (pets / "cats" / "of my aunt").mkdir()
    noise(999).save(pets / "cats" / "of my aunt" / "Minka.JPG", "JPEG")
    (pets / "cats" / "movie.gif").write_bytes(b"GIF89a")
    ours = set().union(*names_of(tl.load_task(pets)).values())
    assert ours == {os.path.relpath(path, pets) for path, _ in ImageFolder(pets).samples}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_sockets_and_devices_are_left_out_and_not_waited_for(pets, tmp_path):
    os.mkfifo(pets / "cats" / "pipe.png")
    os.mkfifo(pets / "dogs" / "pipe")
    os.mkfifo(pets / "pipe.jpg")
    (pets / "cats" / "nothing.png").symlink_to("/dev/null")
    (pets / "cats" / "gone.png").symlink_to("nowhere.png")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(pets / "dogs" / "socket.jpg"))
        with ThreadPoolExecutor(1) as pool:
            try:
                task = pool.submit(tl.load_task, pets).result(timeout=20)
            finally:  # lets a reader go that waits at a pipe
                for pipe in pets.rglob("pipe*"):
                    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
    no_file = "it is a pipe, a socket or a device, not a file"
    assert reasons_of(task) == {
        "cats/gone.png": "No such file or directory",
        "cats/nothing.png": no_file,
        "cats/pipe.png": no_file,
        "dogs/pipe": no_file,
        "dogs/socket.jpg": no_file,
        "pipe.jpg": "it is not in the folder of a class",
    }
    assert sum(counts_of(task)) == 20


@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows does not allow")
def test_names_that_would_break_a_list_are_printed_escaped(tmp_path):
    folder = tmp_path / "a\x1b[2Jb"
    fill(folder / "wild\ncats", 3)
    fill(folder / "dogs", 2, start=50)
    noise(60).save(folder / "dogs" / "\x1b]0;title\x07.png")
    (folder / "dogs" / "two\nlines.png").write_bytes(b"no picture")
    task = tl.load_task(folder)
    assert task.classes == ("dogs", "wild\\ncats")
    assert len(repr(task).splitlines()) == 2
    assert "(dogs, wild\\ncats)" in repr(task)
    assert [str(skipped) for skipped in task.skipped] == [
        "dogs/two\\nlines.png: it is not a picture"
    ]
    for path in (folder / "dogs").iterdir():
        path.write_bytes(b"")
    problems = []
    for make in (
        lambda: tl.load_task(folder),
        lambda: tl.load_task(folder / "dogs"),
        lambda: tl.load_task(folder / "gone"),
        lambda: tl.open_picture(folder / "dogs" / "two\nlines.png"),
        lambda: tl.open_picture(folder / "dogs" / "no\nfile.png"),
    ):
        with pytest.raises(CourseError) as caught:
            make()
        problems.append(str(caught.value))
    assert all(char.isprintable() for text in problems for char in text)


def test_a_progress_bar_is_shown_if_it_is_asked_for(pets, capsys):
    tl.load_task(pets)
    assert capsys.readouterr().err == ""
    tl.load_task(pets, progress=True)
    assert "checking pictures" in capsys.readouterr().err


def test_files_are_hashed_once_and_again_only_if_they_changed(pets, monkeypatch):
    task = tl.load_task(pets)
    before = task.train.digests()
    expected = [
        hashlib.sha256(b"None " + (pets / name).read_bytes()).hexdigest()
        for name in task.train.names
    ]
    assert before == expected
    hashed, real = [], folder_module._Files._read

    def read(files, path):
        hashed.append(path.relative_to(pets).as_posix())
        return real(files, path)

    monkeypatch.setattr(folder_module._Files, "_read", read)
    assert task.train.digests() == before
    assert hashed == []
    path = pets / task.train.names[2]
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # as long as before
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # and as old, for who believes it
    after = task.train.digests()
    assert hashed == [task.train.names[2]]
    assert [a == b for a, b in zip(after, before, strict=True)] == [i != 2 for i in range(12)]
    assert task.train.digests() == after
    assert len(hashed) == 1
    assert pickle.loads(pickle.dumps(task.train)).digests() == after


def test_spaces_and_other_alphabets_in_names_are_fine(tmp_path):
    fill(tmp_path / "my pictures 写真" / "Кошки и коты", 3)
    fill(tmp_path / "my pictures 写真" / "wilde Vögel", 2, start=50)
    noise(77).save(tmp_path / "my pictures 写真" / "wilde Vögel" / "Kauz, ein Käuzchen 🦉.png")
    task = tl.load_task(str(tmp_path / "my pictures 写真"))
    assert task.name == "my pictures 写真"
    assert task.classes == ("wilde Vögel", "Кошки и коты")
    assert counts_of(task) == (2, 2, 2)
    assert task.skipped == ()


def test_kinds_of_files_that_are_hard_to_read_are_read(pets):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(8, 0)
    Image.fromarray(ramp).save(pets / "cats" / "deep.png")
    noise(1000).convert("CMYK").save(pets / "cats" / "print.jpg")
    noise(1001).quantize(8).save(pets / "cats" / "palette.png", transparency=0)
    noise(1002, (1, 1)).save(pets / "cats" / "dot.png")
    exif = Image.Exif()
    exif[274] = 6
    noise(1003).save(pets / "cats" / "turned.jpg", exif=exif)
    task = tl.load_task(pets, val_fraction=0, test_fraction=0)
    assert task.skipped == ()
    assert len(task.val) == len(task.test) == 0
    opened = {name: task.train[i][0] for i, name in enumerate(task.train.names)}
    assert {picture.mode for picture in opened.values()} == {"RGB"}
    assert opened["cats/turned.jpg"].size == (16, 24)
    assert np.ptp(np.asarray(opened["cats/deep.png"])) == 255


def test_large_pictures_are_decoded_one_at_a_time(pets, monkeypatch):
    at_once, most = [], []
    for i in range(6):
        noise(500 + i, (40, 40)).save(pets / "cats" / f"large {i}.png")

    def open_picture(content, **options):
        picture = real(content, **options)
        if max(picture.size) == 40:
            at_once.append(1)
            most.append(len(at_once))
            time.sleep(0.02)
            at_once.pop()
        return picture

    real = folder_module.open_picture
    monkeypatch.setattr(folder_module, "open_picture", open_picture)
    monkeypatch.setattr(folder_module, "_LARGE", 1000)
    assert sum(counts_of(tl.load_task(pets))) == 26
    assert most == [1] * 6


def test_max_side_shrinks_what_is_opened(pets):
    assert tl.load_task(pets, max_side=12).train[0][0].size == (12, 8)


# Bad input


def test_a_wrong_name_offers_near_ones_and_folders():
    with pytest.raises(UnknownNameError, match=r"Nearest: emoji, voices\. A path to a folder"):
        tl.load_task("emojis")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: None, r"gone does not exist\. Check the spelling"),
        (lambda f: f.mkdir(), "holds no folder with pictures"),
        (lambda f: f.write_text("x"), "cannot be read: Not a directory"),
        (lambda f: fill(f, 5), "holds no folder with pictures"),
        (lambda f: fill(f / "cats", 5), "holds only one class, 'cats'"),
        (lambda f: [(f / c).mkdir(parents=True) for c in "ab"], "no picture in them"),
        (lambda f: [fill(f / "a", 5), fill(f / "b", 1, 50)], "'b' has 1 usable picture, but needs"),
        (lambda f: [fill(f / "a", 5), fill(f / "b", 2, 50)], "at least 3: one for each of train"),
        (lambda f: [fill(f / "val" / c, 3, ord(c)) for c in "ab"], "no folder 'train'"),
        (
            lambda f: [fill(f / s / c, 3, ord(c)) for c in "ab" for s in ("train", "val", "valid")],
            "both mean the split 'val'",
        ),
        (
            lambda f: [fill(f / "train" / "a", 5), fill(f / "val" / "b", 5, 50)],
            "Class 'b' has 0 usable pictures",
        ),
    ],
)
def test_a_folder_that_cannot_be_a_task_is_one_sentence(tmp_path, make, said):
    make(tmp_path / "gone")
    with pytest.raises(CourseError, match=said):
        tl.load_task(tmp_path / "gone")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no path as long")
@pytest.mark.parametrize(("name", "times"), [("d", 1100), ("d" * 250, 17)])
def test_folders_in_folders_are_read_as_deep_as_a_path_goes(pets, monkeypatch, name, times):
    monkeypatch.chdir(pets / "cats")
    for _ in range(times):
        os.mkdir(name)  # noqa: PTH102
        os.chdir(name)
    noise(999).save("deep.png")
    os.chdir(pets)
    try:
        if times > 1000:  # deeper than Python's calls
            assert any("deep" in n for n in set().union(*names_of(tl.load_task(pets)).values()))
        else:
            with pytest.raises(CourseError, match=r"pets cannot be read: File name too long\.$"):
                tl.load_task(pets)
    finally:
        subprocess.run(["rm", "-r", f"cats/{name}"], check=True)  # shutil goes less deep


def test_a_folder_that_may_be_listed_but_not_entered_is_one_sentence(pets, monkeypatch):
    def is_dir(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", is_dir)
    with pytest.raises(CourseError, match=r"pets cannot be read: Permission denied\.$"):
        tl.load_task(pets)


file_names = st.sampled_from(["1.png", "2.PNG", "3.jpg", "4.ppm", "x.wav", "notes.txt", "no", ".h"])
folders = st.sampled_from(["a", "b", "b/in", "c", "train/a", "train/b", "val/a", "test/b", "."])
contents = st.integers(0, 30).map(lambda i: b"P6 1 1 255 " + bytes([i, 7, 9]))
contents |= st.just(b"no picture")


@given(st.dictionaries(st.tuples(folders, file_names), contents, min_size=8, max_size=40))
def test_every_file_of_a_folder_is_used_or_listed(tree):
    with tempfile.TemporaryDirectory() as folder:
        for (place, name), content in tree.items():
            Path(folder, place).mkdir(parents=True, exist_ok=True)
            Path(folder, place, name).write_bytes(content)
        try:
            task = tl.load_task(folder, val_fraction=0, test_fraction=0)
        except CourseError:
            return
        sizes = {picture.size for split in SPLITS for picture, _ in getattr(task, split)}
    assert sizes == {(1, 1)}
    used = [name for split in SPLITS for name in getattr(task, split).names]
    listed = [skipped.name for skipped in task.skipped]
    assert len({*used, *listed}) == len(used) + len(listed)
    there = {Path(place, name).as_posix() for place, name in tree}
    # Of what lies beside train, val and test, the folder is listed.
    left = {name for name in there - {*used, *listed} if name.split("/")[0] not in listed}
    assert all(name.endswith(".h") for name in left)


def test_a_class_of_damaged_pictures_says_what_was_left_out(pets):
    for path in (pets / "dogs").iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        CourseError, match=r"'dogs' has 0 usable .* such as dogs/100.png: it is empty"
    ):
        tl.load_task(pets)


@pytest.mark.parametrize(
    "wrong",
    [
        {"val_fraction": -0.1},
        {"test_fraction": 1},
        {"val_fraction": "a fifth"},
        {"val_fraction": 0.5, "test_fraction": 0.5},
        {"seed": -1},
        {"seed": 0.5},
    ],
)
def test_fractions_and_seeds_that_make_no_sense_are_refused(wrong):
    with pytest.raises(CourseError, match="must"):
        tl.load_task("faces", **wrong)


@pytest.mark.skipif(
    "TLCOURSE_DATA" not in os.environ, reason="TLCOURSE_DATA names no folder with the photographs"
)
def test_the_ants_and_bees_photographs_lose_only_the_gif():
    task = load.load_task("hymenoptera")
    assert task.classes == ("ants", "bees")
    assert reasons_of(task) == {
        "train/ants/imageNotFound.gif": ".gif is not read, as in torchvision's ImageFolder"
    }
    assert len(task.train) + len(task.test) == 123 + 121
    assert np.bincount(task.val.labels).tolist() == [70, 83]


def test_a_task_that_was_written_as_a_folder_is_read_back(pets, tmp_path):
    from torchvision.datasets import ImageFolder

    task = tl.load_task(pets)
    folder = tl.write_folder(task, tmp_path / "written")
    again = tl.load_task(folder)
    for name in SPLITS:
        before, after = getattr(task, name), getattr(again, name)
        assert after.labels.tolist() == before.labels.tolist()
        assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(before, after, strict=True))
    assert ImageFolder(folder / "train").classes == ["cats", "dogs"]
    with pytest.raises(CourseError, match="is there already"):
        tl.write_folder(task, folder)


@pytest.mark.parametrize("classes", [("a/1", "a/2"), ("..", "dogs")])
def test_classes_that_are_no_names_of_folders_are_not_written(pets, tmp_path, classes):
    """Windows and macOS take "Cat" and "cat" for one folder, Windows "cat." and "cat", too."""
    task = replace(tl.load_task(pets), classes=classes)
    with pytest.raises(CourseError, match="not names of different folders on this system"):
        tl.write_folder(task, tmp_path / "written")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pets"]


def test_a_folder_that_cannot_be_written_leaves_nothing(pets, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    task = tl.load_task(pets)
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(CourseError, match="No space left"):
        tl.write_folder(task, tmp_path / "written")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pets"]
