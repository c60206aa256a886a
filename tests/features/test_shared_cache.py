"""A cache that a class shares: learners read it, and nothing in it ever changes."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_features import N, TinyNet, as_backbone, noise, noise_split
from torchvision.models import SqueezeNet1_0_Weights
from typer.testing import CliRunner

import tlcourse as tl
from tlcourse import cli
from tlcourse.base import files as files_module
from tlcourse.cli import doctor
from tlcourse.features import store as store_module
from tlcourse.networks import load
from tlcourse.tasks import download

LAYERS = ["stem", "embedding"]
HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Folders of the teacher's cache, which is shared later, and of a learner's."""
    files_module.tell_once.cache_clear()
    monkeypatch.delenv("TLCOURSE_DATA", raising=False)
    monkeypatch.delenv("TLCOURSE_SHARED_CACHE", raising=False)
    return tmp_path / "shared", tmp_path / "home" / "cache"


@pytest.fixture
def share(caches, monkeypatch):
    """Fill the shared cache as a teacher does, take all write bits away, become a learner."""
    shared, own = caches
    shared.mkdir()

    def do(fill=None):
        monkeypatch.setenv("TLCOURSE_CACHE", str(shared))
        if fill:
            fill(shared)
        for path in (*shared.rglob("*"), shared):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)
        monkeypatch.setenv("TLCOURSE_CACHE", str(own))
        monkeypatch.setenv("TLCOURSE_SHARED_CACHE", str(shared))
        return shared

    yield do
    for path in (shared, *shared.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)


def here(opened=None, layers=LAYERS, **options):
    """Extract the features of twelve pictures; the numbers of opened pictures are noted."""
    split = noise_split(range(N), opened, noise)
    return tl.extract_features(as_backbone(TinyNet()), split, layers, progress=False, **options).x


def fill(_):
    here()


def state(folder):
    """All that a write, a touch or a new file would change. (Root may write in spite of modes.)"""
    return {
        path.relative_to(folder).as_posix(): (
            path.lstat().st_mtime_ns,
            path.lstat().st_ino,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in (folder, *folder.rglob("*"))
    }


def folders(cache):
    store = cache / "features"
    return sorted(p.name for p in store.glob("*") if p.is_dir()) if store.is_dir() else []


def test_what_the_teacher_computed_is_read_and_nothing_is_written_anywhere(share, caches):
    shared, own = share(fill), caches[1]
    before, opened = state(shared), []
    found = here(opened)
    assert opened == []
    assert {name: x.shape for name, x in found.items()} == {"stem": (N, 4), "embedding": (N, 6)}
    found["stem"][0] = 7  # the learner's array, not the class's file
    assert state(shared) == before
    assert list(own.rglob("*")) == []
    again = here()
    assert not (again["stem"][0] == 7).any()
    for name, x in here(cache=False).items():
        np.testing.assert_array_equal(x, again[name])


def test_what_is_missing_goes_to_the_own_cache(share, caches):
    shared, own = share(lambda _: here(layers="stem")), caches[1]
    before, opened = state(shared), []
    here(opened)
    assert sorted(opened) == list(range(N))
    assert state(shared) == before
    assert len(folders(own)) == 1
    assert not {*folders(own)} & {*folders(shared)}
    here(opened := [])
    assert opened == []


def test_refresh_computes_again_and_then_the_own_features_count(share, caches):
    shared = share(fill)
    before, opened = state(shared), []
    here(opened, refresh=True)
    assert sorted(opened) == list(range(N))
    assert state(shared) == before
    assert folders(caches[1]) == folders(shared)
    (data,) = (caches[1] / "features").glob(f"{folders(shared)[0]}/*.npy")
    used = {x.filename.parent.parent for x in here().values()}
    assert used == {data.parent.parent.resolve()}


def cut(folder):
    data = folder / "features.npy"
    data.write_bytes(data.read_bytes()[:-3])


def alter(folder):
    content = bytearray((folder / "features.npy").read_bytes())
    content[-1] ^= 1
    (folder / "features.npy").write_bytes(content)


def half_a_manifest(folder):
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text()[:40])


def no_manifest(folder):
    (folder / "manifest.json").unlink()


def no_data(folder):
    (folder / "features.npy").unlink()


@pytest.mark.parametrize("harm", [cut, alter, half_a_manifest, no_manifest, no_data])
def test_damaged_entries_are_passed_over_with_one_line(share, caches, harm, capsys):
    def fill_and_harm(shared):
        here()
        for name in folders(shared):
            harm(shared / "features" / name)

    shared = share(fill_and_harm)
    before, opened = state(shared), []
    found = here(opened)
    assert sorted(opened) == list(range(N))
    assert state(shared) == before
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"Some features in the shared cache {shared} cannot be read")
    here(opened := [])  # from now on the own ones count
    assert (opened, capsys.readouterr().out) == ([], "")
    for name, x in here(cache=False).items():
        np.testing.assert_array_equal(x, found[name])


def stop_half_way(layers):
    """Extract features until somebody presses stop at picture 7."""

    def look(number):
        if number == 7:
            raise KeyboardInterrupt
        return noise(number)

    split = noise_split(range(N), None, look)
    with pytest.raises(KeyboardInterrupt):
        tl.extract_features(as_backbone(TinyNet()), split, layers, batch_size=2, progress=False)


def test_unfinished_entries_are_not_taken(share, caches):
    shared = share(lambda _: stop_half_way(LAYERS))
    assert folders(shared)
    assert all(name.endswith(".part") for name in folders(shared))
    before, opened = state(shared), []
    here(opened)
    assert sorted(opened) == list(range(N))
    assert state(shared) == before


def test_own_unfinished_work_stays_right_beside_a_shared_cache(share, caches):
    share(lambda _: here(layers="stem"))
    stop_half_way("embedding")
    opened = []
    found = here(opened)
    assert sorted(opened) == list(range(6, N))
    np.testing.assert_array_equal(found["embedding"], here(cache=False)["embedding"])


def test_a_folder_that_is_not_there_is_one_sentence_and_the_work_goes_on(
    caches, monkeypatch, capsys
):
    monkeypatch.setenv("TLCOURSE_CACHE", str(caches[1]))
    monkeypatch.setenv("TLCOURSE_SHARED_CACHE", str(caches[0]))
    here()
    (line,) = capsys.readouterr().out.splitlines()
    assert f"{caches[0]} is not a folder that you can read" in line
    assert "TLCOURSE_SHARED_CACHE" in line
    assert not caches[0].exists()
    finding = doctor._safely("shared cache", doctor._shared_cache)
    assert finding.level == "NOTE"
    assert f"{caches[0]} is not a folder that you can read" in finding.text


def test_the_teacher_may_name_one_folder_as_both(caches, monkeypatch):
    for variable in ("TLCOURSE_CACHE", "TLCOURSE_SHARED_CACHE"):
        monkeypatch.setenv(variable, str(caches[0]))
    here()
    assert len(folders(caches[0])) == 2
    assert files_module.shared_cache() is None


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files")
def test_what_the_teacher_stores_can_be_read_by_all(caches, monkeypatch):
    monkeypatch.setenv("TLCOURSE_CACHE", str(caches[0]))
    mask = os.umask(0o022)
    try:
        here()
    finally:
        os.umask(mask)
    assert {oct(p.stat().st_mode & 0o777) for p in caches[0].rglob("*") if p.is_dir()} == {"0o755"}
    # Locks are nobody's business.
    files = [p for p in caches[0].rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert {oct(p.stat().st_mode & 0o777) for p in files} == {"0o644"}


MOUNTED = """
mount --bind {shared} {shared} && mount -o remount,ro,bind {shared} && ! touch {shared}/x && \
exec {python} -c "
import runpy, sys; sys.path.insert(0, {helpers!r})
here = runpy.run_path({here!r})['here']
opened = []
here(opened)
print(opened)"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts")
def test_a_folder_that_is_mounted_read_only_serves_a_learner(share, tmp_path):
    shared = share(fill)
    script = MOUNTED.format(
        shared=shared, python=sys.executable, here=str(Path(__file__)), helpers=str(HELPERS)
    )
    may = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True
    )
    if may.returncode:
        pytest.skip("nothing may be mounted here")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


# Downloads


def test_downloaded_pictures_are_found_in_the_shared_cache(share, caches, monkeypatch):
    shared = share(lambda cache: (cache / "hymenoptera_data" / "train").mkdir(parents=True))
    monkeypatch.setattr(download, "_download", None)  # nobody asks the network
    before = state(shared)
    assert tl.download_task("hymenoptera") == shared / "hymenoptera_data"
    assert state(shared) == before
    own = caches[1] / "hymenoptera_data"
    own.mkdir(parents=True)
    assert download.find_task("hymenoptera") == own


@pytest.fixture
def squeezenet(monkeypatch, tmp_path):
    """Random weights of a small network of torchvision as a file named by its digest."""
    model = tl.load_backbone("squeezenet1_0", pretrained=False).model
    torch.save(model.state_dict(), tmp_path / "net.pth")
    content = (tmp_path / "net.pth").read_bytes()
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    about = SqueezeNet1_0_Weights.DEFAULT.value
    monkeypatch.setattr(about, "url", f"http://127.0.0.1:9/{name}", raising=True)
    return name, content, model.state_dict()


def test_torchvision_weights_are_read_from_the_shared_cache(share, caches, squeezenet):
    name, content, expected = squeezenet

    def put(shared):
        (shared / "weights").mkdir()
        (shared / "weights" / name).write_bytes(content)

    shared = share(put)
    before = state(shared)
    found = tl.load_backbone("squeezenet1_0").model.state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert state(shared) == before
    assert list(caches[1].rglob("*")) == []


def test_torchvision_weights_that_were_cut_are_downloaded_instead(share, squeezenet, capsys):
    name, content, _ = squeezenet

    def put(shared):
        (shared / "weights").mkdir()
        (shared / "weights" / name).write_bytes(content[:-100])

    shared = share(put)
    before = state(shared)
    with pytest.raises(tl.errors.DownloadError, match="squeezenet1_0"):  # there is no network
        tl.load_backbone("squeezenet1_0")
    assert "Some weights in the shared cache" in capsys.readouterr().out
    assert state(shared) == before


@pytest.mark.parametrize("whole", [True, False])
def test_timm_weights_are_read_from_the_shared_cache_if_they_are_whole(share, whole, capsys):
    expected = tl.load_backbone("timm/test_resnet", pretrained=False).model.state_dict()

    def put(shared):
        """As the Hugging Face hub's own cache lies on the disk."""
        place = shared / "weights" / "models--timm--test_resnet.r160_in1k"
        for folder in ("blobs", "refs", "snapshots/c0ffee"):
            (place / folder).mkdir(parents=True)
        (place / "refs" / "main").write_text("c0ffee")
        save_file(expected, place / "blobs" / "x")
        digest = files_module.sha256_of(place / "blobs" / "x")
        (place / "blobs" / "x").rename(place / "blobs" / digest)
        (place / "snapshots/c0ffee/model.safetensors").symlink_to(f"../../blobs/{digest}")
        if not whole:
            content = (place / "blobs" / digest).read_bytes()
            (place / "blobs" / digest).write_bytes(content[:-8] + b"12345678")

    shared = share(put)
    before = state(shared)
    path = load._shared_weights("models--timm--test_resnet.*/snapshots/*/model.safetensors")
    assert (path is not None) == whole
    assert ("Some weights in the shared cache" in capsys.readouterr().out) != whole
    if whole:
        found = tl.load_backbone("timm/test_resnet").model.state_dict()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert state(shared) == before


# What the commands say


def test_the_command_shows_the_shared_features_and_empties_only_the_own(share, caches):
    shared, own = share(fill), caches[1]
    here(pool="max")
    before = state(shared)
    said = CliRunner().invoke(cli.app, ["cache", "--empty"]).output
    assert f"Shared with others, only read: {shared / 'features'}" in said
    assert "in 2 finished entries" in said
    assert said.index(str(own)) < said.index(str(shared))
    assert folders(own) == []
    assert state(shared) == before


def test_the_command_says_nothing_of_a_shared_cache_where_there_is_none(caches, monkeypatch):
    monkeypatch.setenv("TLCOURSE_CACHE", str(caches[1]))
    assert "Shared" not in CliRunner().invoke(cli.app, ["cache"]).output


def test_the_doctor_says_what_the_class_shares(share, caches, monkeypatch):
    shared = share(fill)
    ok = doctor._safely("shared cache", doctor._shared_cache)
    assert ok.level == "OK"
    assert ok.text.startswith(f"{shared}, 2 finished sets of features, 0 MB, ")
    closed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: mode != os.W_OK and closed(path, mode)
    )  # root may write anywhere
    assert doctor._safely("shared cache", doctor._shared_cache).text.endswith("MB, read only")
    monkeypatch.setenv("TLCOURSE_CACHE", str(shared))
    same = doctor._safely("shared cache", doctor._shared_cache)
    assert (same.level, same.text) == ("OK", f"{shared} is your own cache folder too")


def test_the_doctor_says_how_to_fill_an_empty_one(share):
    shared = share()
    finding = doctor._safely("shared cache", doctor._shared_cache)
    assert finding.level == "NOTE"
    assert finding.text.endswith(f"TLCOURSE_CACHE={shared} tlcourse run")


def test_manifests_tell_no_path(share):
    """What the teacher stored is found by content, so it holds for every home folder."""
    shared = share(fill)
    for manifest in shared.rglob(store_module._MANIFEST):
        assert str(shared) not in json.dumps(json.loads(manifest.read_text()))
