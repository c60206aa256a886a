"""Files of the cache are whole or not there; a download is verified or leaves nothing."""

import hashlib
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tlcourse.base import files
from tlcourse.errors import CourseError, DownloadError

CONTENT = b"a file worth having " * 5000


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        size = len(CONTENT) if self.path != "/portal" else 7
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path == "/chunked-cut":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"ffff\r\nonly a little")
            return
        self.send_header("Content-Length", str(size))
        self.end_headers()
        answers = {"/cut": CONTENT[: size // 2], "/portal": b"sign in", "/other": CONTENT[::-1]}
        self.wfile.write(answers.get(self.path, CONTENT))

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def fetch(url, path):
    digest = hashlib.sha256(CONTENT).hexdigest()
    return files.download(url, path, sha256=digest, size=len(CONTENT), what="the file")


def test_a_download_arrives_whole_and_is_not_fetched_twice(server, tmp_path):
    path = tmp_path / "new folder" / "file"
    assert fetch(f"{server}/good", path).read_bytes() == CONTENT
    assert fetch("http://127.0.0.1:9/nobody-asks", path) == path
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("cut", r"The download of the file was cut after 50,000 of 100,000 bytes"),
        ("chunked-cut", r"The file could not be downloaded \(IncompleteRead"),
        ("portal", r"is not the file as expected"),
        ("other", r"is not the file as expected"),
        ("missing", r"The file could not be downloaded \(Not Found\)"),
    ],
)
def test_a_bad_download_leaves_nothing_and_says_why(server, tmp_path, page, said):
    with pytest.raises(DownloadError, match=said):
        fetch(f"{server}/{page}", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_one_sentence_and_an_old_file_stays(tmp_path):
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        (tmp_path / "file").write_bytes(b"old")
        with pytest.raises(DownloadError, match=r"The file could not be downloaded .*refused"):
            fetch(f"http://127.0.0.1:{taken.getsockname()[1]}/", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


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
from tlcourse import _store
with _store.whole_file(pathlib.Path(sys.argv[1])) as part:
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
