"""Run the fuzzers, each for a bounded time, and print what they have found.

    python -m tools.fuzz pictures sounds --seconds 300 --out findings

Each reader runs in a process of its own. An exception that is not a `CourseError`, more than 10 s
for one input, and more than 2 GiB of memory are findings; after one the work goes on. What led to
it is kept in OUT/READER/findings. `python -m tools.fuzz pictures --again FILE` reads it once more.
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, BinaryIO, NamedTuple

import typer

from tlcourse.errors import CourseError, check_choice
from tools.fuzz.child import Record
from tools.fuzz.reader import SEEDS
from tools.fuzz.readers import READERS

LONGEST = 10  # seconds for one input
MOST_MIB = 2048
PATIENCE = 120  # seconds beyond its time after which a process is ended; imports take some
ROOT = Path(__file__).parents[2]


class Figures(NamedTuple):
    """What fuzzing one reader has shown."""

    reader: str
    runs: int
    seconds: float
    slowest_seconds: float
    peak_mib: float
    findings: int


def fuzz(name: str, seconds: float, out: Path) -> Figures:
    """Fuzz one reader for so many seconds, in a new process after each that ends before.

    Raises:
        CourseError: There is no atheris, or the reader cannot be run at all.
    """
    if importlib.util.find_spec("atheris") is None:
        raise CourseError(
            "The fuzzers need atheris, which there is for Linux and macOS: python -m pip install "
            "atheris"
        )
    place = out.resolve() / name
    for folder in ("corpus", "findings"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    (place / "record").unlink(missing_ok=True)
    words = ["".join(f"\\x{byte:02x}" for byte in word) for word in (b" ", *READERS[name].words)]
    (place / "words").write_text("".join(f'"{word}"\n' for word in words), "ascii")
    start, left, runs = time.monotonic(), seconds, -1
    with (place / "log").open("wb") as log:
        while left >= 1:
            if Record.of(place).runs == runs:
                raise CourseError(f"The reader {name} cannot be run; see {place / 'log'}.")
            runs = Record.of(place).runs
            _run(name, round(left), place, log)
            left = seconds - (time.monotonic() - start)
    found = [path for path in (place / "findings").iterdir() if path.suffix != ".txt"]
    runs, slowest, peak = Record.of(place)
    return Figures(name, runs, time.monotonic() - start, slowest, peak, len(found))


def _run(name: str, seconds: int, place: Path, log: BinaryIO) -> None:
    """One process with libFuzzer, which ends by itself."""
    arguments = [
        f"-max_total_time={seconds}",
        f"-timeout={LONGEST}",
        f"-rss_limit_mb={MOST_MIB}",
        f"-max_len={READERS[name].most_bytes}",
        f"-artifact_prefix={place / 'findings'}{os.sep}",
        f"-dict={place / 'words'}",
        "-close_fd_mask=3",  # what decoders print
        str(place / "corpus"),
        *[str(SEEDS / name)] * (SEEDS / name).is_dir(),
    ]
    command = [sys.executable, "-m", "tools.fuzz.child", name, str(place), *arguments]
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        own = dict.fromkeys(("TMPDIR", "TLCOURSE_CACHE"), scratch)
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(
            command, env=os.environ | own | {"PYTHONPATH": path}, stdout=log, stderr=log
        )
        try:
            process.wait(seconds + PATIENCE)
        except subprocess.TimeoutExpired:
            (place / "findings" / f"did-not-stop-{process.pid}").touch()
        finally:
            process.kill()
            process.wait()


def main(
    readers: Annotated[list[str] | None, typer.Argument(help="By default all.")] = None,
    seconds: Annotated[int, typer.Option(min=1, help="For each reader.")] = 300,
    out: Annotated[Path, typer.Option(help="A folder for what is found.")] = Path("findings"),
    again: Annotated[Path | None, typer.Option(help="Read only this file, once.")] = None,
) -> None:
    """Fuzz what reads the files of strangers."""
    try:
        names = [check_choice("reader", name, READERS) for name in readers or READERS]
        if again is not None:
            for name in names:
                READERS[name].read(again.read_bytes())
            return
        table = []
        print(
            f"{'reader':16} {'runs':>9} {'seconds':>8} {'slowest s':>10} {'peak MiB':>9} findings"
        )
        for name in names:
            figures = fuzz(name, seconds, out)
            table.append(figures._asdict())
            print("{:16} {:9,} {:8.0f} {:10.2f} {:9.0f} {:8}".format(*figures), flush=True)
            (out / "figures.json").write_text(json.dumps(table, indent=1), "utf-8")
    except CourseError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
