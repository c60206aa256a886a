"""`tlcourse serve`: what it answers, what it refuses, and that it keeps nothing."""

import asyncio
import io
import json
import math
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import soundfile
import torch
from browser import in_a_browser
from png import png
from serving import ask, begin_upload, served_by_command, served_by_thread
from site_browser import Visit
from tiny_notebooks import tlcourse
from tiny_sounds import encoded, tone
from tiny_tasks import make_task, tiny_backbone
from typer.testing import CliRunner

import tlcourse as tl
from tlcourse import cli
from tlcourse.cli import server as served

ROOT = served.__file__.partition("tlcourse/cli")[0]
CLASSES = ("<script>alert(1)</script>", "蜂 abeille", "Größe & Maß")


@pytest.fixture(scope="module")
def result():
    task = make_task(classes=CLASSES)
    return tl.patterns.standalone_extractor(tiny_backbone(), task, progress=False)


@pytest.fixture(scope="module")
def saved(result, tmp_path_factory):
    return result.save(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture(scope="module")
def address(saved):
    """Of one server for the tests that leave it as it was."""
    with served_by_thread(tl.load_result(saved, device="cpu")) as address:
        yield address


@pytest.fixture(scope="module")
def picture():
    content = io.BytesIO()
    make_task().test[0][0].save(content, "PNG")
    return content.getvalue()


class Watched:
    """A result that counts who uses it at a time, and takes its time."""

    def __init__(self, result, seconds=0.0):
        self.result, self.seconds = result, seconds
        self.inside, self.most = 0, 0
        self.begun = threading.Event()

    def __getattr__(self, name):
        return getattr(self.result, name)

    def predict(self, *arguments, **options):
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.begun.set()
        time.sleep(self.seconds)
        self.inside -= 1
        return self.result.predict(*arguments, **options)


# What it answers


def test_a_picture_gets_the_calibrated_answers_of_the_result(address, result, picture):
    status, answer = ask(address, "POST", "/predict", picture)
    assert status == 200
    expected = result.predict(tl.open_picture(picture), calibrated=True)
    assert [row["class"] for row in answer["answers"]] == list(expected["class"])
    found = [row["probability"] for row in answer["answers"]]
    assert found == pytest.approx(list(expected["probability"]), abs=1e-6)
    assert (answer["class"], answer["probability"]) == (expected["class"][0], found[0])


def test_a_network_that_learned_sounds_takes_sounds(result):
    tone = np.sin(np.arange(8000) * 0.3)
    content = io.BytesIO()
    soundfile.write(content, tone, 8000, format="WAV")
    heard = replace(result, holds="sounds")
    with served_by_thread(heard) as address:
        status, answer = ask(address, "POST", "/predict", content.getvalue())
        assert ask(address, path="/health")[1]["takes"] == "sound"
        assert ask(address, "POST", "/predict", png(8, 8))[0] == 422
        page = ask(address)[1]
    assert status == 200
    expected = heard.predict(tl.open_sound(content.getvalue()))
    assert answer["class"] == expected["class"][0]
    assert "Choose a sound" in page
    assert "on its test sounds" in page


def test_health_says_what_it_takes(address):
    status, answer = ask(address, path="/health")
    assert (status, answer["status"], answer["takes"]) == (200, "ok", "picture")
    assert answer["classes"] == list(CLASSES)


def test_many_at_once_are_all_answered_and_the_network_runs_for_one_at_a_time(result, picture):
    watched = Watched(result, seconds=0.01)
    with served_by_thread(watched) as address, ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(ask, address, "POST", "/predict", picture) for _ in range(32)]
        answers = [one.result() for one in asked]
    assert {status for status, _ in answers} == {200}
    assert len({json.dumps(answer) for _, answer in answers}) == 1
    assert watched.most == 1


def test_it_answers_others_while_the_network_computes(result, picture):
    watched = Watched(result, seconds=1.0)
    with served_by_thread(watched) as address, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, address, "POST", "/predict", picture)
        assert watched.begun.wait(10)
        assert ask(address, path="/health")[0] == 200
        assert not asked.done()
        assert asked.result()[0] == 200


# What it refuses


def cut(content):
    return content[: len(content) // 2]


REFUSED = {
    "empty": ("POST", "/predict", b"", {}, 400, "No file came"),
    "no picture": ("POST", "/predict", b"nonsense", {}, 422, "it is not a picture"),
    "a bomb": ("POST", "/predict", png(30_000, 30_000), {}, 422, "25 million pixels"),
    "too many pixels": ("POST", "/predict", png(5000, 5001), {}, 422, "25 million pixels"),
    "declared too large": ("POST", "/predict", None, {"Content-Length": "100000000", "Expect": "x"}, 413, "larger than 20 MB"),
    "wrong method": ("GET", "/predict", None, {}, 405, "does not take GET"),
    "page changed": ("PUT", "/", b"x", {}, 405, "does not take PUT"),
    "unknown": ("GET", "/model.json", None, {}, 404, "nothing at this address"),
    "path": ("GET", "/../../../../etc/passwd", None, {}, 404, "nothing at this address"),
    "encoded": ("GET", "/%2e%2e/%2e%2e/etc/passwd", None, {}, 404, "nothing at this address"),
    "encoded slash": ("GET", "/..%2f..%2fetc%2fpasswd", None, {}, 404, "nothing at this address"),
    "encoded twice": ("GET", "/%252e%252e/etc/passwd", None, {}, 404, "nothing at this address"),
    "whole path": ("GET", "//etc/passwd", None, {}, 404, "nothing at this address"),
    "framework's page": ("GET", "/docs", None, {}, 404, "nothing at this address"),
    "its description": ("GET", "/openapi.json", None, {}, 404, "nothing at this address"),
    "another name": ("GET", "/", None, {"host": "evil.example:8000"}, 403, "127.0.0.1 or localhost"),
    "no port": ("GET", "/", None, {"host": "localhost:x"}, 403, "127.0.0.1 or localhost"),
    "a longer name": ("GET", "/", None, {"host": "localhost.evil"}, 403, "127.0.0.1 or localhost"),
    "no name": ("GET", "/", None, {"host": ""}, 403, "127.0.0.1 or localhost"),
    "a page from elsewhere": ("POST", "/predict", b"x", {"Origin": "http://evil.example"}, 403, "own page only"),
    "a page from nowhere": ("POST", "/predict", b"x", {"Origin": "null"}, 403, "own page only"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_a_status_and_one_sentence(address, case):
    method, path, body, headers, status, sentence = REFUSED[case]
    found, answer = ask(address, method, path, body, **headers)
    assert found == status
    assert set(answer) == {"error"}
    assert sentence in answer["error"]
    assert "Traceback" not in answer["error"]


def test_a_cut_picture_is_refused(address, picture):
    status, answer = ask(address, "POST", "/predict", cut(picture))
    assert status == 422
    assert "cut off or damaged" in answer["error"]


def test_localhost_is_its_name_too(address):
    port = urlsplit(address).port
    assert ask(address, path="/health", host=f"localhost:{port}")[0] == 200
    origin = {"Origin": f"http://localhost:{port}"}
    assert ask(address, path="/health", host=f"localhost:{port}", **origin)[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_that_is_too_large_is_told_to_who_sends_it_all(
    address, picture, chunked, monkeypatch
):
    monkeypatch.setattr(served, "MAX_BYTES", len(picture))
    pieces = (lambda content: iter([content])) if chunked else bytes
    assert ask(address, "POST", "/predict", pieces(picture))[0] == 200
    status, answer = ask(address, "POST", "/predict", pieces(picture + b"x"))
    assert status == 413
    assert "The file is larger" in answer["error"]


@pytest.mark.parametrize("limit", ["_SECONDS", "_STALLED"])
def test_a_file_that_does_not_arrive_is_given_up(address, monkeypatch, limit):
    monkeypatch.setattr(served, limit, 0.2)
    with begin_upload(address) as opened:
        answer = opened.makefile("rb").read().decode()  # until the server closes
    assert answer.startswith("HTTP/1.1 408")
    assert "arrived too slowly" in answer


def test_uploads_that_break_off_leave_it_answering(address, picture):
    for _ in range(2 * served._AT_ONCE):
        begin_upload(address).close()
    assert ask(address, "POST", "/predict", picture)[0] == 200


def test_too_many_requests_are_told_to_come_again(address, monkeypatch):
    monkeypatch.setattr(served, "_MOST", 0)
    status, answer = ask(address)
    assert (status, answer["error"][:17]) == (503, "Too many requests")


def test_a_fault_of_ours_is_one_sentence_and_the_terminal_says_more(result, picture, capsys):
    def predict(*_, **__):
        raise RuntimeError("matrices do not fit")

    watched = Watched(result)
    watched.predict = predict
    with served_by_thread(watched) as address:
        status, answer = ask(address, "POST", "/predict", picture)
        assert ask(address, path="/health")[0] == 200
    assert (status, answer) == (500, {"error": served._BROKEN})
    assert "matrices do not fit" in capsys.readouterr().err


# The command


def test_it_starts_answers_keeps_nothing_and_stops(saved, picture, tmp_path, monkeypatch):
    places = {name: tmp_path / name for name in ("TMPDIR", "TLCOURSE_CACHE", "HOME", "work")}
    for name, folder in places.items():
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with served_by_command(saved, cwd=places["work"]) as (process, address):
        assert ask(address, "POST", "/predict", picture)[0] == 200
        watched = psutil.Process(process.pid)
        listening = [c.laddr.ip for c in watched.net_connections() if c.status == "LISTEN"]
        assert listening == ["127.0.0.1"]
        resident = watched.memory_info().rss
        large = iter([bytes(2**20)] * 100)
        assert ask(address, "POST", "/predict", large)[0] == 413
        assert watched.memory_info().rss < resident + 60e6  # 20 MB are allowed, 100 MB were sent
        with begin_upload(address):  # a file that is still coming does not keep it from stopping
            process.send_signal(signal.SIGTERM)
            said, failed = process.communicate(timeout=20)
    assert (process.returncode, failed) == (0, "")
    assert said == ""  # after the line with the address
    kept = [p for folder in places.values() for p in folder.rglob("*") if p.is_file()]
    assert kept == []
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_ctrl_c_stops_it_without_a_fault(saved):
    with served_by_command(saved) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_a_port_that_is_taken_is_told_with_another_one(saved, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ran = CliRunner().invoke(cli.app, ["serve", str(saved), "--port", str(port)])
    assert isinstance(ran.exception, tl.CourseError)
    assert f"Port {port} cannot be used" in str(ran.exception)
    assert f"--port {port + 1 if port < 65535 else 0}" in str(ran.exception)


def test_a_folder_without_a_result_is_one_sentence(tmp_path):
    ran = tlcourse("serve", tmp_path, "--port", "0", package=ROOT, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "holds no saved result" in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_a_missing_package_is_told_with_the_command_that_brings_it(saved, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    ran = CliRunner().invoke(cli.app, ["serve", str(saved)])
    assert isinstance(ran.exception, tl.CourseError)
    assert f"needs the package {package}" in str(ran.exception)
    assert 'pip install "fastapi' in str(ran.exception)


# The page


@pytest.fixture
def visit(address, browser):
    visits = []

    def visit(way="light"):
        visits.append(Visit(browser, address, way))
        visits[-1].open("")
        return visits[-1]

    yield visit
    for one in visits:
        one.close()


@pytest.fixture(scope="module")
def files(picture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "mine.png").write_bytes(picture)
    (folder / "text.png").write_bytes(b"nonsense")
    (folder / "large.png").write_bytes(bytes(served.MAX_BYTES + 1))
    return folder


def allow(seen, *, blobs=True):
    """What went wrong, without the pictures that the page shows from its own memory."""
    return [line for line in seen.wrong if not (blobs and "foreign: blob:" in line)]


@in_a_browser
@pytest.mark.parametrize("way", ["light", "phone"])
def test_a_chosen_file_is_shown_with_its_classes(visit, files, result, way):
    seen = visit(way)
    assert seen.inaccessible() == []
    seen.tab.get_by_label("Choose a picture").set_input_files(files / "mine.png")
    seen.tab.get_by_role("table", name="Classes, the most probable first").wait_for()
    expected = result.predict(tl.open_picture(files / "mine.png"), calibrated=True)
    rows = seen.tab.locator("#answers tbody tr")
    assert rows.locator("th").all_inner_texts() == list(expected["class"])
    shares = [f"{100 * share:.1f} %" for share in expected["probability"]]
    assert rows.locator("td.number").all_inner_texts() == shares
    bars = rows.locator(".bar div").evaluate_all("all => all.map((bar) => bar.style.width)")
    assert bars == [share.replace(" ", "") for share in shares]
    assert (
        seen.tab.get_by_role("status").inner_text().startswith(f"mine.png: {expected['class'][0]}")
    )
    assert seen.tab.get_by_role("img", name="Your picture, mine.png").is_visible()
    assert seen.inaccessible() == []
    seen.tab.emulate_media(color_scheme="dark")
    assert seen.pale() == []
    assert seen.too_wide() == []
    assert seen.small() == []
    assert allow(seen) == []


@in_a_browser
@pytest.mark.parametrize(
    ("name", "said"), [("text.png", "it is not a picture"), ("large.png", "larger than 20 MB")]
)
def test_a_file_that_cannot_be_used_is_one_sentence(visit, files, name, said):
    seen = visit()
    chooser = seen.tab.get_by_label("Choose a picture")
    chooser.set_input_files(files / "mine.png")
    seen.tab.locator("#answers").wait_for()
    chooser.set_input_files(files / name)
    seen.tab.get_by_text(said).wait_for()
    assert seen.tab.get_by_role("status").inner_text().startswith(name)
    assert not seen.tab.locator("#answers").is_visible()
    assert seen.inaccessible() == []


@in_a_browser
def test_a_chosen_sound_can_be_played_and_its_answer_is_announced(result, browser, tmp_path):
    (tmp_path / "mine.wav").write_bytes(encoded(tone()))
    with served_by_thread(replace(result, holds="sounds")) as address:
        seen = Visit(browser, address)
        seen.open("")
        seen.tab.get_by_label("Choose a sound").set_input_files(tmp_path / "mine.wav")
        seen.tab.locator("#answers").wait_for()
        player = seen.tab.get_by_label("Your sound, mine.wav")
        assert player.evaluate("player => player.controls && player.localName === 'audio'")
        assert seen.tab.get_by_role("status").inner_text().startswith("mine.wav: ")
        seen.tab.get_by_label("Choose a sound").focus()
        seen.tab.keyboard.press("Tab")
        assert player.evaluate("player => player === document.activeElement")
        assert seen.inaccessible() == []
        assert allow(seen) == []
        seen.close()


@in_a_browser
def test_the_chooser_is_reached_and_opened_by_keyboard(visit):
    seen = visit()
    seen.tab.keyboard.press("Tab")
    assert seen.tab.evaluate("document.activeElement.id") == "file"
    seen.tab.evaluate(
        """document.activeElement.addEventListener("click", (event) => {
            event.preventDefault(); // no window of the system, which a busy machine may never show
            window.opened = true;
        })"""
    )
    seen.tab.keyboard.press("Enter")
    assert seen.tab.evaluate("window.opened") is True


def test_the_page_says_what_was_saved_and_runs_no_script_but_its_own(address, result):
    page = ask(address)[1]
    assert CLASSES[0] not in page
    assert "&lt;script&gt;alert(1)" in page
    low, high = result.interval
    assert f"{result.test_accuracy:.3f} on its test pictures" in page
    assert f"95 % interval {low:.3f} to {high:.3f}" in page
    assert page.count("<script") == page.count('<script nonce="')


def test_without_test_pictures_it_says_the_validation_accuracy(result):
    facts = served._facts(replace(result, test_accuracy=float("nan")))
    assert f"{result.val_accuracy:.3f} on its validation pictures" in facts["Accuracy"]


# What only a program sends


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "x", "\u00b2", ""])
def test_a_length_that_is_none_is_a_refusal(result, length):
    with ThreadPoolExecutor(1) as other:  # Playwright's event loop runs in this thread
        status, answer = other.submit(
            lambda: asyncio.run(_asked(served.make_app(result, bool), length))
        ).result()
    assert status in (400, 413)
    assert set(answer) == {"error"}


async def _asked(app, length):
    """Ask the application itself; a server would refuse some of these before."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-length", length.encode("latin-1"))],
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_a_network_that_gives_no_numbers_is_told(saved, picture):
    broken = tl.load_result(saved, device="cpu")
    with torch.no_grad():
        broken.backbone.model.head.bias.fill_(math.nan)
    with served_by_thread(broken) as address:
        status, answer = ask(address, "POST", "/predict", picture)
    assert status == 422
    assert "must be finite numbers" in answer["error"]
