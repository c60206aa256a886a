"""The process in which libFuzzer runs one reader: `python -m tools.fuzz.child READER FOLDER ...`.

An exception does not end it: the first input of each kind is kept in FOLDER/findings, with its
traceback, and the work goes on. A hang, too much memory or a dead interpreter ends it; libFuzzer
keeps the input there.
"""

import hashlib
import mmap
import struct
import sys
import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tlcourse.errors import CourseError
from tools.fuzz.reader import seeds

SLOW = 1.0  # seconds from which on the slowest input is kept, too
INSTRUMENTED = ["tlcourse", "tools", "PIL"]  # whose branches guide libFuzzer
_FORM = struct.Struct("<Qdd")
_KIB = 1024 if sys.platform == "darwin" else 1  # in a unit of `ru_maxrss`


class Record(NamedTuple):
    """What a reader has done so far; its file outlives the process."""

    runs: int = 0
    slowest: float = 0.0  # seconds of one input
    peak: float = 0.0  # MiB of resident memory

    @classmethod
    def of(cls, folder: Path) -> "Record":
        """Read it; all zero where nothing has run yet."""
        path = folder / "record"
        return cls(*_FORM.unpack(path.read_bytes())) if path.exists() else cls()


def main(name: str, folder: Path, *arguments: str) -> None:
    """Run one reader until libFuzzer ends the process."""
    import resource  # Windows has neither

    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from tools.fuzz.readers import READERS
    reader, record, known = READERS[name], Record.of(folder), set[str]()
    warnings.simplefilter("ignore")
    for seed in list(seeds(name).values())[:1]:  # what is imported now takes no input's time
        with suppress(Exception):
            reader.read(seed)
    (folder / "record").write_bytes(_FORM.pack(*record))
    with (folder / "record").open("r+b") as file:
        kept = mmap.mmap(file.fileno(), _FORM.size)

    ignored: list[BaseException] = []  # what a library's callback raised: Python only prints it
    sys.unraisablehook = lambda said: ignored.append(said.exc_value or RuntimeError(said.err_msg))

    def run(data: bytes) -> None:
        nonlocal record
        start = time.perf_counter()
        try:
            reader.read(data)
        except CourseError:
            pass
        except Exception as error:
            ignored.append(error)
        while ignored:
            error = ignored.pop()
            if (kind := _kind(error)) not in known:
                known.add(kind)
                place = folder / "findings" / f"exception-{kind}"
                place.write_bytes(data)
                told = "".join(traceback.format_exception(error))
                place.with_suffix(".txt").write_text(told, "utf-8")
        seconds = time.perf_counter() - start
        if seconds > max(SLOW, record.slowest):
            (folder / "slowest").write_bytes(data)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB / 1024
        record = Record(record.runs + 1, max(record.slowest, seconds), max(record.peak, peak))
        kept[:] = _FORM.pack(*record)

    options: dict[str, Any] = {}
    if change := reader.change:
        options["custom_mutator"] = lambda data, most, seed: change(
            data, Random(seed), lambda given: atheris.Mutate(given, most)
        )[:most]
    atheris.Setup(["fuzz", *arguments], run, **options)
    atheris.Fuzz()


def _kind(error: BaseException) -> str:
    """Name of a kind of exception: its type and the lines where it was raised, innermost."""
    lines = [f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)[-3:]]
    return hashlib.sha256(repr((type(error).__name__, lines)).encode()).hexdigest()[:12]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
