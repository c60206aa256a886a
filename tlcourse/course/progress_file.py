"""What you have answered so far: one file on this machine, one line for each question.

A line is a JSON object: the question's id, and for an exercise `tries`, `hints` (the highest level
that was asked for) and `solved` (when), for a prediction question `guess` and `right`. Your answers
to exercises are not kept, and nothing is sent anywhere.
"""

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from tlcourse.base.files import parse_json, tell_once, whole_file
from tlcourse.base.messages import say

if TYPE_CHECKING:
    from filelock import FileLock

Entry = dict[str, Any]
Entries = dict[str, Entry]

_KINDS = {"tries": (int,), "hints": (int,), "guess": (str, int, float), "right": (bool,)}
_MOST = 2**31  # that is counted
_WAIT_SECONDS = 5
# What could not be written; it counts until the kernel ends.
_unwritten: Entries = {}


def progress_path() -> Path:
    """Where the file is: `TLCOURSE_PROGRESS`, else in the system's folder for your data."""
    named = os.environ.get("TLCOURSE_PROGRESS")
    if named:
        return Path(named).expanduser()
    return platformdirs.user_data_path("tlcourse") / "progress.jsonl"


def entries() -> Entries:
    """Everything that is known, by question."""
    known: Entries = {}
    try:
        known = _read(progress_path())
    except OSError as error:
        _tell_not_kept(error)
    return known | _unwritten


def entry(question: str) -> Entry:
    """What is known of one question; empty if nothing is."""
    return dict(entries().get(question, {}))


def read_only(path: Path) -> tuple[Entries, int]:
    """Read a file of anybody's and leave it as it is; return also how many lines are damaged."""
    lines = [_parsed(line) for line in filter(bytes.strip, path.read_bytes().splitlines())]
    return dict(filter(None, lines)), lines.count(None)


def is_set_aside(path: Path) -> bool:
    """Whether a file was set aside, because it was damaged or its owner began again."""
    return re.search(r"\.(before|damaged)-\d{8}-", path.name) is not None


def change(question: str, how: Callable[[Entry], Entry]) -> None:
    """Change what is known of one question; `how` gets it, or an empty dictionary.

    A change that cannot be written counts until the kernel ends, and you are told once.
    """
    path = progress_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):  # two notebooks may be open
            known = _read(path) | _unwritten
            new = how(dict(known.get(question, {})))
            if _unwritten or new != known.get(question, {}):
                _write(path, known | {question: new})
                _unwritten.clear()
    except OSError as error:
        _tell_not_kept(error)
        _unwritten[question] = how(entry(question))


def begin_again() -> Path | None:
    """Set the file aside, so that nothing is answered; return where it is now, if there was one."""
    path = progress_path()
    _unwritten.clear()
    if not path.exists():
        return None
    with _locked(path):
        return _set_aside(path, "before")


def now() -> str:
    """This moment, as it is written into the file."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _locked(path: Path) -> "FileLock":
    from filelock import FileLock

    # Its `Timeout` is an OSError.
    return FileLock(path.with_name(f".{path.name}.lock"), timeout=_WAIT_SECONDS)


def _read(path: Path) -> Entries:
    """Read the lines that are whole; a file that has others is set aside, and you are told."""
    known, damaged = read_only(path) if path.exists() else ({}, 0)
    if damaged:
        aside = _set_aside(path, "damaged")
        _write(path, known)
        say(
            f"Your progress file was damaged: {damaged} of its lines could not be read. The other "
            f"{len(known)} answers are kept. The damaged file is now called {aside.name}."
        )
    return known


def _parsed(line: bytes) -> tuple[str, Entry] | None:
    """Question and entry of a line; None of a damaged one."""
    try:
        entry = parse_json(line)
        question = str(entry.pop("id"))
        kinds = [type(entry[key]) in kinds for key, kinds in _KINDS.items() if key in entry]
        counts = [0 <= entry.get(key, 0) < _MOST for key in ("tries", "hints")]
        solved = datetime.fromisoformat(entry.get("solved", now()))
        solved.astimezone(UTC), solved.astimezone()  # the first or the last day of all has none
    except (ValueError, AttributeError, KeyError, TypeError, OverflowError):
        return None
    return (question, entry) if all(kinds + counts) and solved.tzinfo is not None else None


def _set_aside(path: Path, why: str) -> Path:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    return path.rename(path.with_name(f"{path.stem}.{why}-{stamp}{path.suffix}"))


def _write(path: Path, known: Entries) -> None:
    lines = [json.dumps({"id": question} | known[question]) for question in sorted(known)]
    with whole_file(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _tell_not_kept(error: OSError) -> None:
    tell_once(
        f"Your progress cannot be kept ({error.strerror or error}). Answers are checked all the "
        "same. Set TLCOURSE_PROGRESS to a file that you may write to."
    )
