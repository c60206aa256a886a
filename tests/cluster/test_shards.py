"""Shards: what is found, what is read of tar files, Parquet files and folders, what damage does."""

import io
import json
import os
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tlcourse import CourseError
from tlcourse.cluster.shards import find_shards, read_shard


def jpeg(grey=0):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (grey,) * 3).save(file, "JPEG")
    return file.getvalue()


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return path


def rows(source):
    (shard,) = find_shards([str(source)])
    return list(read_shard(shard))


def test_a_tar_file_gives_each_picture_its_label(tmp_path):
    members = [
        ("a/1.jpg", b"one"),
        ("a/1.cls", b"ant\n"),
        ("a/2.json", json.dumps({"label": 3, "seen": "Kyoto"}).encode()),
        ("a/2.PNG", b"two"),
        ("b/1.txt", b"a bee on a flower"),  # another folder, so another sample
        ("b/1.webp", b"three"),
        ("b/3.cls", b"no picture"),
        ("b/4.left.jpg", b"four"),
        ("b/4.right.jpg", b"five"),
        ("b/5.jpg", b"six"),
        ("b/5.json", b"{broken"),
        ("b/6.npy", b"not a picture"),
    ]
    assert rows(write_tar(tmp_path / "x.tar", members)) == [
        ("a/1.jpg", "ant", b"one"),
        ("a/2.PNG", "3", b"two"),
        ("b/1.webp", "a bee on a flower", b"three"),
        ("b/4.left.jpg", None, b"four"),
        ("b/4.right.jpg", None, b"five"),
        ("b/5.jpg", None, b"six"),
    ]


def test_two_pictures_of_the_same_name_get_names_of_their_own(tmp_path):
    twice = write_tar(
        tmp_path / "x.tar", [("1.jpg", b"a"), ("1.jpg", b"b"), ("2.jpg", b"c"), ("1.jpg", b"d")]
    )
    assert [row[0] for row in rows(twice)] == ["1.jpg", "1.jpg (2)", "2.jpg", "1.jpg (3)"]


@pytest.mark.parametrize("place", ["content", "header", "end", "all"])
def test_a_damaged_tar_file_is_told_from_a_short_one(tmp_path, place):
    whole = write_tar(tmp_path / "x.tar", [(f"{i}.jpg", bytes(700)) for i in range(3)])
    content = bytearray(whole.read_bytes())
    second = 512 + 1024  # where the second member's header begins
    if place == "content":
        content = content[: second + 700]
    elif place == "header":
        content[second : second + 100] = b"x" * 100
    elif place == "end":
        content = content[: 3 * second]
    else:
        content = b"not a tar file" * 100
    whole.write_bytes(content)
    with pytest.raises(CourseError, match="damaged or cut off"):
        rows(whole)


@pytest.mark.parametrize("kind", ["bytes", "struct", "names", "classes", "elsewhere"])
def test_a_parquet_file_as_several_programs_write_it(tmp_path, kind):
    columns = {"image": [b"one", b"two"]}
    expected = [("000000", None, b"one"), ("000001", None, b"two")]
    metadata = None
    if kind == "struct":
        columns["image"] = [{"bytes": b"one", "path": "a.jpg"}, {"bytes": b"two", "path": None}]
        columns["label"] = [7, None]
        expected = [("a.jpg", "7", b"one"), ("000001", None, b"two")]
    elif kind == "names":
        columns |= {"name": ["x", "x"], "label": ["ant", "bee"]}
        expected = [("x", "ant", b"one"), ("x (2)", "bee", b"two")]
    elif kind == "classes":
        columns["label"] = [1, 0]
        features = {"label": {"names": ["ant", "bee"], "_type": "ClassLabel"}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        expected = [("000000", "bee", b"one"), ("000001", "ant", b"two")]
    elif kind == "elsewhere":
        columns["image"] = [{"bytes": None, "path": "a.jpg"}, {"bytes": None, "path": None}]
        expected = [("a.jpg", None, tmp_path / "a.jpg"), ("000001", None, b"")]
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "x.parquet")
    assert rows(tmp_path / "x.parquet") == expected


def test_a_parquet_file_without_pictures_and_one_that_is_cut_off(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["a"], "label": [1]}), path)
    with pytest.raises(CourseError, match=r"no column 'image', only text, label"):
        rows(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CourseError, match="damaged or cut off"):
        rows(path)


@pytest.fixture
def folder(tmp_path):
    for name in ("train/ants/1.jpg", "train/ants/deep/2.jpg", "val/bees/3.png", "top.jpg"):
        path = tmp_path / "insects" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "insects" / "train" / "notes.txt").touch()
    return tmp_path / "insects"


def test_a_folder_is_cut_into_shards_in_the_order_of_its_names(folder):
    shards = find_shards([str(folder)], 3)
    assert [shard.name for shard in shards] == ["insects-000000", "insects-000001"]
    assert [list(read_shard(shard)) for shard in shards] == [
        [
            ("top.jpg", None, folder / "top.jpg"),
            ("train/ants/1.jpg", "ants", folder / "train/ants/1.jpg"),
            ("train/ants/deep/2.jpg", "ants", folder / "train/ants/deep/2.jpg"),
        ],
        [("val/bees/3.png", "bees", folder / "val/bees/3.png")],
    ]


@pytest.mark.parametrize("change", ["content", "time", "name", "nothing"])
def test_only_a_shard_whose_files_changed_gets_another_digest(folder, change):
    before = find_shards([str(folder)], 2)
    path = folder / "val/bees/3.png"
    if change == "content":
        about = path.stat()
        path.write_bytes(b"longer than before")
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    elif change == "time":
        os.utime(path, (1, 1))
    elif change == "name":
        path.rename(path.with_name("4.png"))
    after = find_shards([str(folder)], 2)
    assert after[0] == before[0]
    assert (after[1].digest == before[1].digest) == (change == "nothing")


def test_a_name_that_is_no_text_and_one_that_steers_a_terminal(tmp_path):
    for name in (b"\xff.jpg", b"a\x1b[1m.jpg"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"")
    names = [row[0] for row in rows(tmp_path)]
    assert names == ["a\\x1b[1m.jpg", "\\udcff.jpg"]
    "".join(names).encode()


def test_shards_are_found_by_name_by_pattern_and_in_a_folder(tmp_path):
    for name in ("b.tar", "a.tar", "c.parquet"):
        (tmp_path / name).touch()

    def found(*sources):
        return [shard.name for shard in find_shards([str(tmp_path / s) for s in sources])]

    assert found("b.tar") == ["b"]
    assert found("*.tar") == ["a", "b"]
    assert found("") == ["a", "b", "c"]
    assert found("c.parquet", "a.tar") == ["c", "a"]


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (["nothing"], "nothing holds no pictures"),
        (["*.tar"], r"\*\.tar holds no pictures"),
        (["empty"], "empty holds no pictures"),
        (["x.zip"], "is no shard"),
        (["a/x.tar", "b/x.tar"], "2 shards are called x"),
    ],
)
def test_what_is_no_shard_is_said(here, sources, said):
    for name in ("empty", "a", "b"):
        (here / name).mkdir()
    for name in ("x.zip", "a/x.tar", "b/x.tar"):
        (here / name).touch()
    with pytest.raises(CourseError, match=said):
        find_shards(sources)


@pytest.mark.parametrize("name", [b"\xff", b"a\nb\x1b[1m", "\N{RIGHT-TO-LEFT OVERRIDE}a".encode()])
@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_a_shards_name_is_text_that_is_safe_to_print(tmp_path, name, kind):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    if kind == "tar":
        path = write_tar(path.with_name(f"{path.name}.tar"), [("1.jpg", b"one")])
    else:
        path.mkdir()
        (path / "1.jpg").write_bytes(b"one")
    (shard,) = find_shards([str(path)])
    shard.name.encode()
    assert shard.name.isprintable()
    assert "\\" not in shard.name  # which divides folders elsewhere
    assert len(list(read_shard(shard))) == 1


def test_pictures_beside_shards_are_refused(tmp_path):
    write_tar(tmp_path / "stray.tar", [])
    (tmp_path / "ants").mkdir()
    (tmp_path / "ants" / "1.jpg").touch()
    with pytest.raises(CourseError, match=r"holds shards, such as stray.tar, and pictures. Move"):
        find_shards([str(tmp_path)])
    assert [shard.name for shard in find_shards([f"{tmp_path}/*.tar"])] == ["stray"]
    assert [shard.name for shard in find_shards([f"{tmp_path}/ants"])] == ["ants-000000"]


def test_what_systems_leave_in_a_folder_is_no_shard(tmp_path):
    for name in ("._x.tar", ".y.parquet", "x.tar"):
        (tmp_path / name).touch()
    assert [shard.name for shard in find_shards([str(tmp_path)])] == ["x"]


# What others may hand over


def header(name, *, size=b"00000000000", kind=b"0"):
    """A tar header, which may say anything of its file."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size.ljust(12, b"\0")
    block[156:157] = kind
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))
    return bytes(block)


def sparse():
    """One file of 8 GB, which has no byte of its own."""
    block = bytearray(header("a.jpg", kind=tarfile.GNUTYPE_SPARSE))
    block[483:495] = b"77777777777\0"
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    return bytes(block)


HOSTILE_TARS = {
    "back to itself": header("a.jpg", size=b"\xff" * 10 + b"\xfe\x00"),
    "a gigabyte of nothing": sparse(),
    "endless notes": header("x", size=b"%011o" % 2**20, kind=b"x") + b"1" * 2**20,
    "before the file": header("x", size=b"\xff" * 12, kind=b"L"),
}


@pytest.mark.parametrize("kind", HOSTILE_TARS)
def test_a_tar_file_that_would_take_all_time_or_memory(tmp_path, kind):
    good = write_tar(tmp_path / "x.tar", [("first.jpg", jpeg())]).read_bytes()[:1536]
    (tmp_path / "x.tar").write_bytes(good + HOSTILE_TARS[kind] + bytes(1024))
    with pytest.raises(CourseError, match=r"damaged or cut off|larger than 256 MiB"):
        rows(tmp_path / "x.tar")


@pytest.mark.parametrize(
    ("content", "label"),
    [(b'{"label": "\\ud800"}', "\\ud800"), (b"[" * 100_000, None), (b'{"label": [1]}', "[1]")],
    ids=["half a character", "deep", "list"],
)
def test_a_label_is_text_that_a_file_can_hold(tmp_path, content, label):
    path = write_tar(tmp_path / "x.tar", [("a.jpg", b"one"), ("a.json", content)])
    assert rows(path) == [("a.jpg", label, b"one")]


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/hostname", "pipe.jpg", "."])
def test_a_parquet_file_names_pictures_beside_itself_only(tmp_path, path):
    (tmp_path / "secret.jpg").write_bytes(b"of another")
    (tmp_path / "in").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "in" / "pipe.jpg")
    table = pa.table({"image": [{"bytes": None, "path": path}, {"bytes": b"x", "path": path}]})
    pq.write_table(table, tmp_path / "in" / "x.parquet")
    assert [content for _, _, content in rows(tmp_path / "in" / "x.parquet")] == [b"", b"x"]


@pytest.mark.parametrize("notes", ["[]", "[" * 100_000, '{"info": 3}', '{"info": "\\ud800"}'])
def test_notes_of_a_parquet_file_that_make_no_sense(tmp_path, notes):
    table = pa.table({"image": [b"one"], "label": [1]})
    pq.write_table(table.replace_schema_metadata({"huggingface": notes}), tmp_path / "x.parquet")
    with pytest.raises(CourseError, match="damaged or cut off"):
        rows(tmp_path / "x.parquet")


def test_pictures_that_are_no_bytes(tmp_path):
    pq.write_table(pa.table({"image": ["text"]}), tmp_path / "x.parquet")
    with pytest.raises(CourseError, match="column 'image' holds str"):
        rows(tmp_path / "x.parquet")


def test_the_same_bytes_in_many_rows_are_in_memory_once_at_a_time(tmp_path):
    """A file of kilobytes, with 64 pictures of 8 MB each."""
    picture = bytes(2**23)
    pictures = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int8()), [picture])
    pq.write_table(pa.table({"image": pictures}), tmp_path / "x.parquet", compression="zstd")
    before = pa.total_allocated_bytes()
    (shard,) = find_shards([str(tmp_path / "x.parquet")])
    for _, _, content in read_shard(shard):
        assert len(content) == len(picture)
        assert pa.total_allocated_bytes() - before < 2**26


def test_a_file_that_vanishes_while_it_is_listed_is_one_sentence(folder, monkeypatch):
    from tlcourse.cluster import shards

    monkeypatch.setattr(shards, "files_inside", lambda path: [path / "gone.jpg", path / "top.jpg"])
    monkeypatch.setattr(Path, "is_file", lambda path: path.suffix == ".jpg")
    with pytest.raises(CourseError, match="cannot be read"):
        find_shards([str(folder)])
