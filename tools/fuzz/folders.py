"""Readers of folders of pictures and of ZIP files, which are made of an input's bytes."""

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tlcourse.tasks.load import load_task
from tlcourse.widgets.own_pictures import unpack
from tools.fuzz.reader import Draws, Reader, seeds

_NAMES = [
    *("a", "b", "a.png", "b.PNG", "c.jpg", "d.wav", "e.flac", "train", "val", "valid", "Test"),
    *("notes.txt", ".hidden", "Thumbs.db", "__MACOSX", "~", "$HOME", "CON", "aux.png", "é", "é"),
    *("*", "a\\b.png", "\n.png", "\x1b[2J", "x" * 200, "x" * 300 + ".png", " ", ".png", "\u202e"),
]
_IN_ARCHIVES = [*_NAMES, "..", ".", "", "C:", "\0.png", "..\\..", "/etc", "a/../../b"]
_KINDS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
_LINK, _PIPE, _FOLDER = 0o120777 << 16, 0o010666 << 16, 0o040755 << 16  # external attributes


def _folder(data: bytes) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place, "pictures")
        folder.mkdir()
        draws = Draws(data)
        share = draws.one_of([0.2, 0, 0.5])
        while draws:
            _add(folder, draws)
        task = load_task(folder, val_fraction=share, test_fraction=0.2, max_side=32)
        repr(task), [str(skipped) for skipped in task.skipped]
        for split in (task.train, task.val, task.test):
            split.digests()
            list(split)


def _add(folder: Path, draws: Draws) -> None:
    """Add one file, link, pipe or folder, as deep as it is drawn."""
    names = [draws.one_of(_NAMES) for _ in range(1 + draws.number(3))]
    if draws.number(15) == 0:
        names[0] = os.fsdecode(draws.some(4)) or "a"
    path = folder.joinpath(*names)
    try:
        if not path.parent.resolve().is_relative_to(folder.resolve()):  # a link leads out
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a pipe would be waited for
        match draws.number(15):
            case 1:
                path.symlink_to(draws.one_of([".", "..", "a", "/dev/null", path.name]))
            case 2:
                os.mkfifo(path)
            case 3:
                path.mkdir()
            case 4:
                for place in range(draws.number(40)):
                    other = path.with_name(f"{place}{path.name}")
                    other.unlink(missing_ok=True)
                    other.write_bytes(_content(draws))
            case _:
                path.write_bytes(_content(draws))
    except (OSError, ValueError, RuntimeError, AttributeError):  # no such names here, or no pipes
        return


def _content(draws: Draws) -> bytes:
    """A small picture, each another one; sometimes a sound, or any bytes, or a changed one."""
    level = draws.some(3).ljust(3, b"\0")
    kind = draws.number(9)
    if kind < 6:
        return b"P6 2 2 255 " + level * 4
    if kind < 8:
        return draws.some(draws.number(200))
    content = draws.one_of(list((seeds("sounds") if kind == 8 else seeds("pictures")).values()))
    at = draws.number(len(content) - 1)
    return content[:at] + draws.some(2) + content[at + 2 :]


def _archive(data: bytes) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place, "outer", "in")
        folder.mkdir(parents=True)
        try:
            inside = unpack(data, folder)
        finally:
            assert os.listdir(place) == ["outer"]  # noqa: PTH208
            assert os.listdir(folder.parent) == ["in"]  # noqa: PTH208
            assert not any(path.is_symlink() for path in folder.rglob("*"))
        assert inside.is_relative_to(folder)


def _change_archive(data: bytes, random: Random, mutate: Callable[[bytes], bytes]) -> bytes:
    """Make a new ZIP file, or put another number into the table of this one, or change any bytes."""
    chosen, at = random.random(), data.find(b"PK\x01\x02")
    if chosen < 0.3:
        return _packed(Draws(random.randbytes(random.randrange(200))))
    if chosen < 0.6 and at >= 0:
        ends = [data.find(b"PK\x05\x06"), data.find(b"PK\x03\x04")]
        at = random.choice([at, *(end for end in ends if end >= 0)])
        form = random.choice(["<H", "<I"])
        at += random.randrange(4, 46)
        number = random.choice([0, 1, 8, 12, 14, 0x801, 0xFFFF, 2**31 - 1, 2**32 - 1])
        put = struct.pack(form, number % 256 ** struct.calcsize(form))
        return data[:at] + put + data[at + len(put) :]
    return mutate(data)


def _packed(draws: Draws) -> bytes:
    """A ZIP file with names, kinds and attributes as they are drawn."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        while draws:
            names = [draws.one_of(_IN_ARCHIVES) for _ in range(1 + draws.number(3))]
            member = zipfile.ZipInfo("a")
            member.filename = "/".join(names) + "/" * (draws.number(9) == 0)
            member.compress_type = draws.one_of(_KINDS)
            member.external_attr = draws.one_of([0, 0, _LINK, _PIPE, _FOLDER])
            content = draws.some(draws.number(30)) * (draws.number(3) or 10_000)
            try:
                archive.writestr(member, content)
            except UnicodeEncodeError:
                continue
    return file.getvalue()


READERS = {
    "folders": Reader(_folder),
    "archives": Reader(_archive, change=_change_archive, words=[b"PK\x03\x04", b"PK\x01\x02"]),
}
