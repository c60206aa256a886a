"""The pictures in the package are those that the tools make from Debian's packages."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tlcourse.tasks import load
from tools import capstone, fashion, things

DATA = Path(load.__file__).parents[1] / "data"
GCOMPRIS = Path("/usr/share/gcompris-qt/rcc/categorization.rcc")
FASHION = Path("/usr/share/datasets/fashion-mnist")


def resource_file():
    """A folder "a" with a file "b.txt" as it is and a packed file "c", written by hand."""
    names = {"a": 0, "b.txt": 8, "c": 24}
    name_bytes = b"".join(
        struct.pack(">HI", len(name), 0) + name.encode("utf-16-be") for name in names
    )
    packed = struct.pack(">I", 3) + zlib.compress(b"two")
    data = struct.pack(">I", 3) + b"one" + struct.pack(">I", len(packed)) + packed
    date = bytes(8)
    tree = (
        struct.pack(">IHII", 0, 2, 1, 1) + date  # the root, with one entry from place 1 on
        + struct.pack(">IHII", 0, 2, 2, 2) + date
        + struct.pack(">IHHHI", 8, 0, 0, 1, 0) + date
        + struct.pack(">IHHHI", 24, 1, 0, 1, 7) + date
    )  # fmt: skip
    head = 24
    places = head, head + len(tree), head + len(tree) + len(data)
    return struct.pack(">4s5I", b"qres", 3, *places, 0) + tree + data + name_bytes


def test_a_resource_file_is_unpacked():
    assert things.resources(resource_file()) == {"/a/b.txt": b"one", "/a/c": b"two"}
    with pytest.raises(SystemExit, match="Qt"):
        things.resources(b"PK" + bytes(30))


def test_only_free_licences_are_read():
    readme = """
Copyright: Ann
Source: https://example.org/a
License: Public Domain
Files:
a.webp
screDriver.webp

Copyright: Bob
Source: https://example.org/b
License: GFDL-1.2
Files:
b.webp
"""
    ann = {"author": "Ann", "licence": "public domain", "page": "https://example.org/a"}
    assert things.credits_of(readme) == {"a.webp": ann, "screwDriver.webp": ann}


@pytest.mark.skipif(not GCOMPRIS.exists(), reason="Debian's gcompris-qt-data is not installed")
def test_things_are_made_again_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(things, "TARGET", tmp_path / "things")
    things.main(GCOMPRIS)
    made = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*.*")}
    kept = {p.relative_to(DATA): p.read_bytes() for p in (DATA / "things").rglob("*.*")}
    assert made == kept
    assert len(json.loads(kept[Path("things/credits.json")])) == len(kept) - 1 == 94


@pytest.mark.skipif(not FASHION.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_is_made_again_as_it_is():
    assert np.array_equal(fashion.draw(FASHION), Image.open(DATA / "fashion.png"))


@pytest.mark.skipif(not FASHION.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_capstone_is_made_again_as_it_is(tmp_path):
    capstone.main(FASHION, tmp_path)
    made, kept = (Image.open(folder / "capstone.png") for folder in (tmp_path, DATA))
    assert np.array_equal(made, kept)
    assert (tmp_path / "capstone.json").read_text() == (DATA / "capstone.json").read_text()
