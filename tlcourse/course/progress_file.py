"""What you have answered so far: one file on this machine, one line for each question.

A line is a JSON object: the question's id, and for an exercise `tries`, `hints` (the highest level
that was asked for) and `solved` (when), for a prediction question `guess` and `right`. Your answers
to exercises are not kept, and nothing is sent anywhere.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs

from tlcourse.base.files import whole_file
from tlcourse.base.messages import say
from tlcourse.errors import CourseError

Entry = dict[str, Any]
Entries = dict[str, Entry]

_KINDS: dict[str, Callable[[Any], bool]] = {
    "tries": lambda value: type(value) is int,
    "hints": lambda value: type(value) is int,
    "solved": lambda value: datetime.fromisoformat(value).tzinfo is not None,
    "guess": lambda value: type(value) in (str, int, float),
    "right": lambda value: type(value) is bool,
}
_WAIT_SECONDS = 5
# What could not be written; it counts until the kernel ends.
_unwritten: Entries = {}
_told: set[str] = set()


def progress_path() -> Path:
    """Where the file is: `TLCOURSE_PROGRESS`, else in the system's folder for your data."""
    named = os.environ.get("TLCOURSE_PROGRESS")
    if named:
        return Path(named).expanduser()
    return platformdirs.user_data_path("tlcourse") / "progress.jsonl"


def entries() -> Entries:
    """Everything that is known, by question. A damaged file is set aside, what is whole is kept."""
    path = progress_path()
    try:
        found, damaged = _read(path)
        if damaged:
            with _locked(path):
                found = _mend(path)
    except OSError as error:
        _tell_once(path, error)
        found = {}
    return found | _unwritten


def entry(question: str) -> Entry:
    """What is known of one question; empty if nothing is."""
    return dict(entries().get(question, {}))


def change(question: str, how: Callable[[Entry], Entry]) -> None:
    """Change what is known of one question.

    Where the file cannot be written, you are told once, and the change counts until the kernel
    ends.

    Args:
        question: Its id.
        how: From what is known (an empty dictionary if nothing is) to what is to be known.
    """
    path = progress_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):  # two notebooks may be open
            known = _mend(path) | _unwritten
            new = how(dict(known.get(question, {})))
            if _unwritten or new != known.get(question, {}):
                _write(path, known | {question: new})
                _unwritten.clear()
    except OSError as error:
        _tell_once(path, error)
        _unwritten[question] = how(entry(question))


def begin_again() -> Path | None:
    """Set the file aside, so that nothing is answered; return where it is now, if there was one.

    Raises:
        CourseError: It cannot be renamed.
    """
    path = progress_path()
    _unwritten.clear()
    if not path.exists():
        return None
    try:
        with _locked(path):
            return _set_aside(path, "before")
    except OSError as error:
        raise CourseError(
            f"The file {path} cannot be set aside ({error.strerror or error}). "
            "Rename it yourself, or set TLCOURSE_PROGRESS to another file."
        ) from error


def now() -> str:
    """This moment, as it is written into the file."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _locked(path: Path) -> Any:
    from filelock import FileLock

    # Its `Timeout` is an OSError.
    return FileLock(path.with_name(f".{path.name}.lock"), timeout=_WAIT_SECONDS)


def _read(path: Path) -> tuple[Entries, int]:
    """Entries of the lines that are whole, and the number of the others."""
    try:
        lines = path.read_bytes().decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}, 0
    found, damaged = {}, 0
    for line in filter(str.strip, lines):
        try:
            known = json.loads(line)
            question = known.pop("id")
            if "\ufffd" in line or not isinstance(question, str) or not _is_whole(known):
                raise ValueError(line)
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
            damaged += 1
        else:
            found[question] = known
    return found, damaged


def _is_whole(known: Entry) -> bool:
    return all(is_kind(known[key]) for key, is_kind in _KINDS.items() if key in known)


def _mend(path: Path) -> Entries:
    """Read; if lines are damaged, set the file aside, keep the others and say so."""
    found, damaged = _read(path)
    if damaged:
        aside = _set_aside(path, "damaged")
        _write(path, found)
        lines = "1 line" if damaged == 1 else f"{damaged} lines"
        say(
            f"Your progress file was damaged: {lines} could not be read. The other {len(found)} "
            f"answers are kept. The damaged file is now called {aside.name}."
        )
    return found


def _set_aside(path: Path, why: str) -> Path:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    return path.rename(path.with_name(f"{path.stem}.{why}-{stamp}{path.suffix}"))


def _write(path: Path, known: Entries) -> None:
    lines = [json.dumps({"id": question} | known[question]) for question in sorted(known)]
    with whole_file(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _tell_once(path: Path, error: OSError) -> None:
    if str(path) not in _told:
        _told.add(str(path))
        with suppress(Exception):
            say(
                f"Your progress cannot be kept ({error.strerror or error}). Answers are checked all "
                "the same. Set TLCOURSE_PROGRESS to a file that you may write to."
            )
