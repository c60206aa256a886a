"""A task is downloaded as a whole and verified, or nothing of it is kept."""

import hashlib
import socket
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

import tlcourse as tl
from tlcourse.errors import CourseError, DownloadError, UnknownNameError
from tlcourse.tasks import download


def noise(seed, size=(24, 16)):
    """Return a picture like no other."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def zip_of(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """Offer a small archive of ants and bees at a local address, with an empty cache."""
    (tmp_path / "served").mkdir()
    members = {}
    for i in range(12):
        noise(i).save(tmp_path / "picture.png")
        c = ("ants", "bees")[i % 2]
        members[f"hymenoptera_data/train/{c}/{i}.png"] = (tmp_path / "picture.png").read_bytes()
    good = zip_of(tmp_path / "served" / "good.zip", members)

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/chunked-cut":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"ffff\r\nonly a little")
                return
            super().do_GET()

        def log_message(self, *args):
            pass

    handler = partial(Handler, directory=tmp_path / "served")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    cache = tmp_path / "cache"
    monkeypatch.setenv("TLCOURSE_CACHE", str(cache))
    monkeypatch.delenv("TLCOURSE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def offer(path=good, *, sent=lambda content: content, page="sent.zip"):
        content = path.read_bytes()
        (path.parent / "sent.zip").write_bytes(sent(content))
        archive = download.Archive(
            url=f"http://127.0.0.1:{server.server_port}/{page}",
            folder="hymenoptera_data",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            what="the ants and bees photographs",
        )
        monkeypatch.setitem(download.ARCHIVES, "hymenoptera", archive)
        return cache

    yield offer
    server.shutdown()
    server.server_close()


def kept_in(cache):
    return [path.name for path in cache.iterdir() if not path.name.endswith(".lock")]


def test_a_downloaded_task_is_found_and_fetched_only_once(offered, monkeypatch, capsys):
    cache = offered()
    with pytest.raises(CourseError, match=r"tl\.download_task\('hymenoptera'\) \(0 MB\)"):
        tl.load_task("hymenoptera")
    (cache / ".hymenoptera_data.killed.part").mkdir()  # what a killed download leaves
    folder = tl.download_task("hymenoptera")
    assert "Downloading the ants and bees photographs (0 MB)." in capsys.readouterr().out
    assert folder == cache / "hymenoptera_data"
    assert kept_in(cache) == ["hymenoptera_data"]
    assert [path.name for path in folder.iterdir()] == ["train"]
    assert len(tl.load_task("hymenoptera").train) == 8
    monkeypatch.setattr(download, "_download", None)
    assert tl.download_task("hymenoptera") == folder


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"sent": lambda content: content[:-100]}, "is not the ants and bees photographs as"),
        ({"sent": lambda content: content[::-1]}, "is not the ants and bees photographs as"),
        ({"sent": lambda content: b"sign in"}, "is not the ants and bees photographs as"),
        ({"page": "chunked-cut"}, r"could not be downloaded \(IncompleteRead"),
        ({"page": "missing"}, r"could not be downloaded \(File not found\)"),
    ],
)
def test_a_bad_download_leaves_no_task_and_says_why(offered, answer, said):
    cache = offered(**answer)
    with pytest.raises(DownloadError, match=rf"{said}.*Nothing was kept"):
        tl.download_task("hymenoptera")
    assert kept_in(cache) == []


def test_no_network_leaves_no_task(offered, monkeypatch):
    cache = offered()
    archive = download.ARCHIVES["hymenoptera"]
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/archive.zip"
        monkeypatch.setitem(download.ARCHIVES, "hymenoptera", replace(archive, url=url))
        with pytest.raises(DownloadError, match=r"The ants and bees .* could not be .*refused"):
            tl.download_task("hymenoptera")
    assert kept_in(cache) == []


def test_a_server_that_falls_silent_is_given_up(offered, monkeypatch):
    cache = offered()
    monkeypatch.setattr(download, "_PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/archive.zip"
        archive = replace(download.ARCHIVES["hymenoptera"], url=url)
        monkeypatch.setitem(download.ARCHIVES, "hymenoptera", archive)
        with pytest.raises(DownloadError, match=r"could not be downloaded .*timed out"):
            tl.download_task("hymenoptera")
    assert kept_in(cache) == []
    assert socket.getdefaulttimeout() is None


def test_a_second_process_waits_for_the_first(offered, monkeypatch):
    cache = offered()
    begun, real = threading.Event(), download._download

    def slowly(archive, path):
        assert not begun.is_set()  # one of the two downloads
        begun.set()
        time.sleep(0.3)
        real(archive, path)

    monkeypatch.setattr(download, "_download", slowly)
    with ThreadPoolExecutor(2) as pool:
        folders = [job.result() for job in [pool.submit(tl.download_task) for _ in range(2)]]
    assert folders == [cache / "hymenoptera_data"] * 2


def test_ctrl_c_while_unpacking_leaves_no_task(offered, monkeypatch):
    real = download.shutil.unpack_archive

    def pressed(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    cache = offered()
    monkeypatch.setattr(download.shutil, "unpack_archive", pressed)
    with pytest.raises(KeyboardInterrupt):
        tl.download_task("hymenoptera")
    assert kept_in(cache) == []


def test_a_cache_that_cannot_be_written_is_one_sentence(offered, monkeypatch):
    def refuse(archive, path):
        raise PermissionError(13, "Permission denied")

    offered()
    monkeypatch.setattr(download, "_download", refuse)
    with pytest.raises(DownloadError, match=r"Permission denied.*Set TLCOURSE_CACHE to a folder"):
        tl.download_task("hymenoptera")


def test_only_the_named_tasks_can_be_downloaded():
    with pytest.raises(UnknownNameError, match="hymenoptera"):
        tl.download_task("hymenopter")
