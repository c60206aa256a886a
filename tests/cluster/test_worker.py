"""One worker with one shard: the file that it writes, and what it does with what is damaged."""

import errno
import json
import os
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, ImageFile
from typer.testing import CliRunner

import tlcourse as tl
from tlcourse import CourseError, cli
from tlcourse.cluster import extract as module
from tlcourse.cluster.extract import Plan, finished
from tlcourse.cluster.shards import find_shards

LAYERS = ("stage2", "embedding")


@pytest.fixture(autouse=True)
def _threads():
    """A worker takes one thread, and here it is the process of the tests."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "out").mkdir()
    return Plan(tmp_path / "out", LAYERS, "squeezenet1_1", 64, engine="pytorch")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("ants/1.png", "ants/2.png", "bees/1.png", "top.png"):
        path = tmp_path / "insects" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (70, 90, 3), np.uint8)).save(path)
    return tmp_path / "insects"


def work(plan, source, size=1000):
    """What a worker does with each shard."""
    fingerprint = plan.about()["fingerprint"]
    return [module._do(plan, fingerprint, shard) for shard in find_shards([str(source)], size)]


def test_the_file_holds_what_the_network_gives(plan, folder):
    (folder / "ants" / "0.png").write_bytes(b"no picture")
    (done,) = work(plan, folder)
    assert (done.pictures, done.left_out) == (4, (("ants/0.png", "it is not a picture"),))
    (path,) = plan.out.iterdir()
    table = pq.read_table(path)
    names = ["ants/1.png", "ants/2.png", "bees/1.png", "top.png"]
    assert table["name"].to_pylist() == names
    assert table["label"].to_pylist() == ["ants", "ants", "bees", None]
    about = json.loads(table.schema.metadata[b"tlcourse"])
    assert path.name == f"insects-000000-{about['fingerprint']}.parquet"
    backbone = tl.load_backbone("squeezenet1_1").at_size(64)
    given = tl.activations(backbone, [tl.open_picture(folder / name) for name in names], LAYERS)
    for layer in LAYERS:
        values = given[layer].mean(dim=(2, 3)) if given[layer].ndim == 4 else given[layer]
        assert str(table.schema.field(layer).type.value_type) == "halffloat"
        near = 1e-3 * float(values.abs().max())
        np.testing.assert_allclose(np.stack(table[layer].to_pylist()), values, atol=near)


def test_a_finished_shard_is_not_computed_again(plan, folder, monkeypatch):
    before = work(plan, folder, 2)
    monkeypatch.setattr(module, "_compute", None)
    assert work(plan, folder, 2) == before


def test_a_changed_shard_is_computed_again_in_the_same_place(plan, folder):
    work(plan, folder, 2)
    files = {path: path.stat().st_mtime_ns for path in plan.out.iterdir()}
    Image.new("RGB", (30, 30)).save(folder / "top.png")
    work(plan, folder, 2)
    after = {path: path.stat().st_mtime_ns for path in plan.out.iterdir()}
    assert list(after) == list(files)
    assert [after[path] != files[path] for path in sorted(files)] == [False, True]


@pytest.mark.parametrize("end", [-1, 100, 0])
def test_a_file_that_is_cut_off_is_not_finished(plan, folder, end):
    work(plan, folder)
    (shard,), (path,) = find_shards([str(folder)]), plan.out.iterdir()
    assert finished(plan, shard)
    path.write_bytes(path.read_bytes()[:end])
    assert finished(plan, shard) is None


@pytest.mark.parametrize(
    "change",
    [
        {"layers": ("stage3",)},
        {"pool": "max"},
        {"size": 96},
        {"backbone": "random"},
        {"engine": "half"},
    ],
)
def test_the_fingerprint_changes_with_what_decides_the_features(plan, change, monkeypatch):
    if change == {"backbone": "random"}:
        monkeypatch.setattr(
            module, "load_backbone", lambda _: tl.load_backbone("squeezenet1_1", pretrained=False)
        )
    same = Plan(plan.out.parent, LAYERS, "squeezenet1_1", 64, engine="auto")
    assert same.target("x").name == plan.target("x").name or "backbone" in change
    assert replace(plan, **change).target("x").name != plan.target("x").name


def test_a_damaged_shard_leaves_a_sentence_and_no_file(plan, folder, tmp_path):
    tar = tmp_path / "x.tar"
    with tarfile.open(tar, "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.add(path, path.name)
    tar.write_bytes(tar.read_bytes()[:-20000])
    (done,) = work(plan, tar)
    assert done.pictures is None
    ((name, reason),) = done.left_out
    assert name == ""
    assert reason.startswith("the file is damaged or cut off")
    assert [*plan.out.iterdir()] == []


def test_a_shard_without_any_picture_that_can_be_read_is_finished(plan, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.jpg").touch()
    (done,) = work(plan, tmp_path / "bad")
    assert (done.pictures, len(done.left_out)) == (0, 1)
    assert pq.read_table(next(plan.out.iterdir())).num_rows == 0


def test_a_shard_that_ends_its_workers_is_left_out_at_last(plan, folder):
    target = plan.target("insects-000000").name
    for i in range(module._TRIES):
        (plan.out / f".{target}.{i}.part").touch()  # a worker that is killed leaves it
    (done,) = work(plan, folder)
    assert done.left_out == (("", "5 workers were killed while they computed it"),)
    module._remove_begun(plan, find_shards([str(folder)]))  # a later run begins with it
    assert [*plan.out.iterdir()] == []
    (again,) = work(plan, folder)
    assert again.pictures == 4


def test_a_number_that_16_bits_do_not_hold_is_not_written_as_infinity(plan, folder, monkeypatch):
    engine, widths = module._engine(plan)

    class Large:
        batch_size, at_once, workers, name = 4, 1, 0, "large"
        prepare = staticmethod(engine.prepare)

        def __call__(self, items):
            return {name: x * 1e6 for name, x in engine(items).items()}

    monkeypatch.setattr(module, "_engine", lambda _: (Large(), widths))
    (done,) = work(plan, folder)
    assert "do not fit into 16 bits" in done.left_out[0][1]
    assert [*plan.out.iterdir()] == []


def test_a_full_disk_ends_the_run_with_one_sentence_and_no_half_file(plan, folder, monkeypatch):
    def full(self, table):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(CourseError, match=r"The disk of .*out is full"):
        work(plan, folder)
    assert [*plan.out.iterdir()] == []


def test_a_machine_that_is_not_set_up_ends_the_run(plan, folder):
    (shard,) = find_shards([str(folder)])
    with pytest.raises(CourseError, match="another version of tlcourse"):
        module._do(plan, "0" * 16, shard)
    plan.out.rmdir()
    with pytest.raises(CourseError, match="does not see the folder"):
        module._do(plan, plan.about()["fingerprint"], shard)


def test_without_the_extra_one_sentence_says_what_to_install(plan, folder, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(CourseError, match=r'pip install "tlcourse\[cluster\]"'):
        module.extract(plan, find_shards([str(folder)]))


def test_where_all_is_done_ray_is_not_even_imported(plan, folder, monkeypatch, capsys):
    (folder / "ants" / "0.png").write_bytes(b"no picture")
    work(plan, folder)
    monkeypatch.setattr(module, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "ray", None)
    (done,) = module.extract(plan, find_shards([str(folder)]))
    assert done.pictures == 4
    assert "1 shards, 1 of them done already" in capsys.readouterr().out
    rows = (plan.out / "left_out.csv").read_text()
    assert rows == "shard,name,reason\ninsects-000000,ants/0.png,it is not a picture\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": ("stage",)}, "layer in squeezenet1_1"),
        ({"pool": "none"}, "pooling"),
        ({"engine": "openvin"}, "Nearest: openvino"),
        ({"backbone": "ge2e", "size": None}, "takes sounds"),
    ],
)
def test_what_does_not_exist_is_said_before_anything_starts(tmp_path, options, said):
    usual = {"layers": LAYERS, "backbone": "squeezenet1_1", "size": 64}
    with pytest.raises(CourseError, match=said):
        Plan(tmp_path, **usual | options).about()


def test_pictures_whose_disk_is_away_do_not_finish_their_shard(plan, folder):
    (shard,) = find_shards([str(folder)])
    away = folder.rename(folder.with_name("away"))
    done = module._do(plan, plan.about()["fingerprint"], shard)
    ((name, reason),) = done.left_out
    assert (done.pictures, name) == (None, "")
    assert reason.endswith(
        "1.png cannot be opened: No such file or directory. The next run tries again."
    )
    assert [*plan.out.iterdir()] == []
    away.rename(folder)
    assert module._do(plan, plan.about()["fingerprint"], shard).pictures == 4


@pytest.mark.parametrize(
    ("stopped", "passes"),
    [
        (OSError(errno.ESTALE, "Stale file handle"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (MemoryError(), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (OSError(errno.EINVAL, "Invalid argument"), False),  # of a place before the file's start
        (OSError("cannot identify image file"), False),
    ],
)
@pytest.mark.parametrize("when", ["opened", "decoded"])
def test_only_what_may_pass_stops_a_shard(plan, folder, monkeypatch, stopped, passes, when):
    def stop(self, *arguments, **options):
        if when == "decoded" or self.name == "2.png":
            raise stopped
        return whole(self, *arguments, **options)

    where = (ImageFile.ImageFile, "load") if when == "decoded" else (Path, "open")
    whole = getattr(*where)
    monkeypatch.setattr(*where, stop)
    (done,) = work(plan, folder)
    assert (done.pictures is None) == passes
    assert len(done.left_out) == (1 if passes or when == "opened" else 4)
    assert len([*plan.out.iterdir()]) == (not passes)


def test_layers_that_are_named_twice(plan, folder):
    twice = replace(plan, layers=(*LAYERS, *LAYERS))
    assert work(twice, folder) == work(plan, folder)
    assert len([*plan.out.iterdir()]) == 1


@pytest.fixture
def all_done(monkeypatch):
    """Ray is not needed where all is done."""
    monkeypatch.setattr(module, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "ray", None)


def test_names_that_are_no_text_are_listed(plan, folder, all_done):
    folder = folder.rename(os.fsdecode(os.fsencode(folder.parent) + b"/\xff\n"))
    (folder / "top.png").write_bytes(b"no picture")
    work(plan, folder)
    module.extract(plan, find_shards([str(folder)]))
    rows = (plan.out / "left_out.csv").read_text("utf-8")
    assert rows.splitlines()[1:] == ["_udcff_n-000000,top.png,it is not a picture"]


def test_files_of_another_size_of_shards_are_to_be_deleted(plan, folder, all_done, capsys):
    work(plan, folder, 2)
    work(plan, folder)
    module.extract(plan, find_shards([str(folder)]))
    said = capsys.readouterr().out
    assert "also holds 1 others, such as insects-000001-" in said
    assert "Delete those of another --shard-size, or their pictures count twice." in said


@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_features_do_not_go_where_the_pictures_are(plan, folder, all_done, kind):
    source = folder
    if kind == "tar":
        source = folder / "x.tar"
        tarfile.open(source, "w").close()
    with pytest.raises(CourseError, match=r"insects holds the pictures\. Name another folder"):
        module.extract(replace(plan, out=folder), find_shards([str(source)]))
    assert not (folder / "left_out.csv").exists()


def test_a_list_that_does_not_fit_on_the_disk_gets_a_sentence(plan, folder, all_done, monkeypatch):
    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    work(plan, folder)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CourseError, match=r"left_out\.csv cannot be written \(No space.* room and"):
        module.extract(plan, find_shards([str(folder)]))
    assert len([*plan.out.iterdir()]) == 1


def test_the_command_takes_layers_that_are_named_twice(plan, folder, monkeypatch):
    taken = []

    def one_process(plan, shards, address):
        taken.append(plan.layers)
        (shard,) = shards
        return [module._do(plan, plan.about()["fingerprint"], shard)]

    monkeypatch.setattr(module, "extract", one_process)
    options = ["--backbone", plan.backbone, "--size", "64", "--layers", "stage2", "stage2"]
    command = ["extract", str(folder), "--out", str(plan.out), *options]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    assert taken == [("stage2", "stage2")]
    assert f"4 pictures in 1 of 1 shards, 0 left out: {plan.out}" in result.output
