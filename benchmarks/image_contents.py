"""List the packages of an environment by their size on disk, and what they hold.

    python benchmarks/image_contents.py [PYTHON] [--rows 25] [--beyond OTHER_PYTHON]

PYTHON is the Python of the environment, by default this one. With --beyond, packages that the
environment of OTHER_PYTHON has in the same version are left out. Sizes are in blocks on the disk,
in MB: many small files take more than their bytes. Columns tell compiled files (.pyc), folders of
tests, and what only serves to compile other programs (include, bin) apart from the rest.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

KINDS = ("compiled", "tests", "to build with", "the rest")
# Runs in the environment that is looked at, which may lack everything but Python.
FILES = """
import json, importlib.metadata as m
print(json.dumps([[d.name.lower().replace("_", "-"), d.version, str(d.locate_file("")),
    [str(f) for f in d.files or ()]] for d in m.distributions()]))
"""


def kind(name: str) -> str:
    """What a file of a package is for."""
    folders = Path(name).parts[:-1]
    if {"test", "tests"} & set(folders):
        return "tests"
    if name.endswith(".pyc"):
        return "compiled"
    inside = {"include", "bin"} & set(folders)
    return "to build with" if inside and not name.startswith("..") else "the rest"


def contents(python: str) -> dict[tuple[str, str], Counter]:
    """Name and version of each package -> bytes on disk of each kind of its files."""
    said = subprocess.run([python, "-c", FILES], capture_output=True, text=True, check=True).stdout
    found: dict[tuple[str, str], Counter] = {}
    for package, version, place, files in json.loads(said):
        sizes = Counter()
        for name in files:
            path = Path(place, name)
            if path.is_file():
                sizes[kind(name)] += 512 * path.stat().st_blocks
        found[package, version] = sizes
    return found


def main() -> None:
    """Print one line for each package, the largest first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", nargs="?", default=sys.executable)
    parser.add_argument("--rows", type=int, default=25)
    parser.add_argument("--beyond")
    given = parser.parse_args()
    found = contents(given.python)
    if given.beyond:
        for package in contents(given.beyond):
            found.pop(package, None)
    largest = sorted(found.items(), key=lambda item: -item[1].total())
    others = Counter()
    for _, sizes in largest[given.rows :]:
        others.update(sizes)
    rows = [(" ".join(package), sizes) for package, sizes in largest[: given.rows]]
    rows += [(f"{len(largest[given.rows :])} others", others)] if others else []
    whole = sum(found.values(), Counter())
    print(f"{'package':44}" + "".join(f"{title:>15}" for title in ("MB", *KINDS)))
    for name, sizes in [*rows, (f"all {len(found)}", whole)]:
        numbers = [sizes.total(), *(sizes[k] for k in KINDS)]
        print(f"{name:44}" + "".join(f"{number / 1e6:15.1f}" for number in numbers))


if __name__ == "__main__":
    main()
