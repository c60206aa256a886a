"""The voices in the package are those that the tool takes from Debian's packages."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tlcourse.tasks import voices as room
from tools import voices

DATA = Path(room.__file__).parents[1] / "data"
DEBIAN = Path("/usr/share/asterisk/sounds")


def test_what_all_voices_have_in_a_fitting_length_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(voices, "TARGET", tmp_path)
    monkeypatch.setattr(voices, "NUMBERS", [0, 1])
    for number, (inside, *_) in enumerate(voices.VOICES.values()):
        folder = tmp_path / "debian" / inside
        (folder / "digits").mkdir(parents=True)
        for name, frames in {"digits/0": 20, "digits/1": 20, "vm-goodbye": 60, "long": 900}.items():
            (folder / f"{name}.gsm").write_bytes(bytes([number]) * 33 * frames)
        if number:
            (folder / "rare.gsm").write_bytes(bytes(33 * 60))
    voices.main(tmp_path / "debian")
    about = json.loads((tmp_path / "voices.json").read_text("utf-8"))
    assert (about["numbers"], about["prompts"]) == (["0", "1"], ["vm-goodbye"])
    made = load_file(tmp_path / "voices.safetensors")
    assert made["ends"].tolist() == np.cumsum([660, 660, 1980] * 7).tolist()
    assert made["gsm"][made["ends"] - 1].tolist() == np.repeat(np.arange(7), 3).tolist()


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="0 folders 'en_US_f_Allison'"):
        voices.main(tmp_path)


@pytest.mark.skipif(not DEBIAN.exists(), reason="Debian's packages of voices are not installed")
def test_voices_are_made_again_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(voices, "TARGET", tmp_path)
    voices.main(DEBIAN.parent)
    for name in ("voices.safetensors", "voices.json"):
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()
