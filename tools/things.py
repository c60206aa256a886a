"""Make `tlcourse/data/things`: photographs of fish, monuments and tools, each with its credit.

    python -m tools.things /usr/share/gcompris-qt/rcc/categorization.rcc

The file is that of Debian's package `gcompris-qt-data`: resources of the game GCompris in the form
of Qt's resource compiler. The photographs are taken as they are, WebP of at most 320 pixels a
side. Author, page and licence are those of the README file beside them; Debian's own copyright
file describes an earlier set of photographs. All 94 are photographs, and no two are the same. The
lines for NOTICE are printed; a test compares them.
"""

import json
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from tlcourse.base.files import whole_folder
from tlcourse.tasks.load import load_task
from tlcourse.tasks.pictures import open_picture

CLASSES = {"fish": "fishes", "monuments": "monuments", "tools": "tools"}  # class: its folder
LICENCES = {"Public Domain": "public domain", "CC0-1.0": "CC0 1.0"}  # others are left out
MISSPELT = {"screDriver.webp": "screwDriver.webp"}  # in a README file
TARGET = Path(__file__).parent.parent / "tlcourse" / "data" / "things"
_COMPRESSED, _FOLDER = 1, 2  # flags of an entry


def resources(content: bytes) -> dict[str, bytes]:
    """Unpack a resource file: path of each file in it -> its bytes.

    A header tells where the tree of entries, the data and the names begin. An entry has the place
    of its name and its flags; then a folder has the number and the place of the entries in it, and
    a file two numbers for its language and the place of its data. All numbers are big-endian.
    """
    mark, version, tree, data, names = struct.unpack_from(">4s4I", content)
    if mark != b"qres":
        raise SystemExit("This is not a file of Qt's resource compiler.")
    entry_size = 22 if version >= 2 else 14

    def walk(place: int, above: str) -> Iterator[tuple[str, bytes]]:
        start = tree + place * entry_size
        name_at, flags, number, at = struct.unpack_from(">IHII", content, start)
        length = struct.unpack_from(">H", content, names + name_at)[0]
        name = content[names + name_at + 6 :][: 2 * length].decode("utf-16-be")
        path = f"{above}/{name}" if place else ""
        if flags & _FOLDER:
            for inside in range(at, at + number):
                yield from walk(inside, path)
        else:
            size = struct.unpack_from(">I", content, data + at)[0]
            packed = content[data + at + 4 :][:size]
            yield path, zlib.decompress(packed[4:]) if flags & _COMPRESSED else packed

    return dict(walk(0, ""))


def credits_of(readme: str) -> dict[str, dict[str, str]]:
    """Read a README file: file -> author, licence and page, where the licence is a free one."""
    found = {}
    for block in re.split(r"\n(?=Copyright:)", readme.strip()):
        author, page, licence = (
            re.search(rf"^{key}: *(.+)$", block, re.MULTILINE)
            for key in ("Copyright", "Source", "License")
        )
        if author and page and licence and licence[1] in LICENCES:
            credit = {"author": author[1], "licence": LICENCES[licence[1]], "page": page[1]}
            for file in block.partition("Files:")[2].split():
                found[MISSPELT.get(file, file)] = credit
    return found


def _in_order(path: str) -> tuple[str, int]:
    """`fish2` before `fish10`."""
    stem = Path(path).stem
    letters = stem.rstrip("0123456789")
    return letters.lower(), int(stem[len(letters) :] or 0)


def main(source: Path) -> None:
    """Unpack, keep what has a free licence, write the pictures and their credits."""
    files = resources(source.read_bytes())
    every_credit: dict[str, dict[str, str]] = {}
    with whole_folder(TARGET) as folder:
        for name, inside in CLASSES.items():
            (folder / name).mkdir()
            pictures = {p: c for p, c in files.items() if f"/images/{inside}/" in p}
            readme = next(c for path, c in pictures.items() if path.endswith("/README"))
            known = credits_of(readme.decode("utf-8"))
            for path in sorted(pictures, key=_in_order):
                file = Path(path).name
                if file in known and max(open_picture(pictures[path]).size) <= 320:
                    (folder / name / file).write_bytes(pictures[path])
                    every_credit[f"{name}/{file}"] = known[file]
                elif file != "README":
                    print(f"left out: {file}")
        text = json.dumps(every_credit, indent=1, ensure_ascii=False)
        (folder / "credits.json").write_text(text + "\n", "utf-8")
    size = sum(path.stat().st_size for path in TARGET.rglob("*.*"))
    for name, credit in load_task("things").credits.items():
        print(f"    {name}  {credit}")
    print(f"{len(every_credit)} photographs, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
