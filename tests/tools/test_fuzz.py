"""The fuzzers: each reader takes its seeds, and what libFuzzer finds is kept and counted."""

import importlib.util
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from random import Random

import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner

from tlcourse.errors import CourseError
from tools.fuzz import __main__ as fuzz
from tools.fuzz import child, folders, media
from tools.fuzz.reader import SEEDS, Draws, seeds
from tools.fuzz.readers import READERS

ROOT = Path(__file__).parents[2]
needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed"
)


def test_each_reader_has_seeds_and_each_seed_a_reader():
    assert {path.name for path in SEEDS.iterdir()} == set(READERS)


@pytest.mark.parametrize("name", READERS)
def test_no_seed_is_a_finding_and_one_is_read(name):
    read = 0
    for content in seeds(name).values():
        try:
            READERS[name].read(content)
        except CourseError:
            continue
        read += 1
    assert read


def test_draws_follow_the_bytes_and_end_with_first_choices():
    draws = Draws(bytes([7, 1, 1]))
    assert (draws.number(9), draws.number(300), bool(draws)) == (7, 257, False)
    assert (draws.number(300), draws.one_of("ab"), draws.some(3)) == (0, "a", b"")


def flipped(content):
    return bytes(byte ^ 1 for byte in content[:1]) + content[1:]


def test_a_changed_file_of_parts_keeps_its_form():
    png, wav, ogg = (
        seeds("pictures")["rgb.png"],
        seeds("sounds")["16.wav"],
        seeds("sounds")["a.ogg"],
    )
    for content in (png, wav):
        assert media._joined(content[:4], *media._parts(content)) == content
    assert media._with_sums(ogg) == ogg
    opened = 0
    for seed in range(40):
        try:
            Image.open(io.BytesIO(media._change(png, Random(seed), flipped)))
            soundfile.info(io.BytesIO(media._change(wav, Random(seed), flipped)))
        except Exception:  # most changes are damage
            continue
        opened += 1
    assert opened > 10


def test_a_made_archive_can_be_listed():
    for seed in range(20):
        made = folders._packed(Draws(Random(seed).randbytes(100)))
        assert zipfile.ZipFile(io.BytesIO(made)).infolist()


def test_an_input_can_be_read_again(tmp_path):
    again = ["pictures", "--again", str(SEEDS / "pictures" / "rgb.png")]
    assert CliRunner().invoke(app(), again).exit_code == 0
    (tmp_path / "text").write_text("no picture")
    refused = CliRunner().invoke(app(), ["pictures", "--again", str(tmp_path / "text")])
    assert (refused.exit_code, "not a picture" in refused.output) == (2, True)


def app():
    import typer

    app = typer.Typer()
    app.command()(fuzz.main)
    return app


def test_an_unknown_reader_and_no_atheris_are_one_sentence(monkeypatch, tmp_path):
    near = CliRunner().invoke(app(), ["picture"])
    assert (near.exit_code, "Nearest: pictures" in near.output) == (2, True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    absent = CliRunner().invoke(app(), ["pictures", "--out", str(tmp_path)])
    assert (absent.exit_code, "python -m pip install atheris" in absent.output) == (2, True)


@needs_atheris
def test_a_reader_is_fuzzed_for_some_seconds(tmp_path):
    done = CliRunner().invoke(app(), ["pictures", "--seconds", "2", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (figures,) = json.loads((tmp_path / "figures.json").read_text())
    assert figures["reader"] == "pictures"
    assert figures["runs"] > len(seeds("pictures"))
    assert figures["findings"] == 0


BAD = """
import sys, time
from pathlib import Path
from tools.fuzz import child, reader, readers

def read(data):
    if data[:1] == b"e":
        raise KeyError("a finding")
    if data[:1] == b"h":
        time.sleep(60)

readers.READERS["bad"] = reader.Reader(read)
child.main("bad", Path(sys.argv[1]), *sys.argv[2:])
"""


@needs_atheris
def test_an_exception_is_kept_and_the_work_goes_on_until_a_hang(tmp_path):
    (tmp_path / "findings").mkdir()
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "1").write_bytes(b"e")
    (tmp_path / "corpus" / "2").write_bytes(b"hh")  # shorter inputs come first
    places = [f"-artifact_prefix={tmp_path / 'findings'}/", str(tmp_path / "corpus")]
    command = [sys.executable, "-c", BAD, str(tmp_path), "-timeout=1", "-close_fd_mask=3", *places]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode
    found = sorted(path.name.partition("-")[0] for path in (tmp_path / "findings").iterdir())
    assert found == ["exception", "exception", "timeout"]
    assert "KeyError: 'a finding'" in next((tmp_path / "findings").glob("*.txt")).read_text()
    assert child.Record.of(tmp_path).runs > 0
