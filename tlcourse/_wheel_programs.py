"""uv and pip as programs: run them, and say in one sentence why one of them failed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec

from tlcourse.errors import CourseError, DownloadError

_NO_NETWORK = re.compile(
    r"(?i)failed to fetch|error sending request|dns error|client error|"
    r"failed to establish a new connection|name resolution|max retries|timed out|ConnectionError"
)


class ProgramError(Exception):
    """A program ended with an error; the text is all that it said."""


def uv() -> list[str]:
    """How to start uv here."""
    if find_spec("uv"):
        return [sys.executable, "-m", "uv"]
    if program := shutil.which("uv"):
        return [program]
    raise CourseError("This command needs the program uv. Run: python -m pip install uv")


def pip(
    command: str, *options: object, what: str, on_line: Callable[[str], object] | None = None
) -> None:
    """Run a command of pip; an error names `what` it was about."""
    whole = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", command]
    try:
        run([*whole, *map(str, options)], on_line=on_line)
    except ProgramError as error:
        raise explained(error, f"pip could not make or fetch {what}") from error


def run(
    command: list[str],
    *,
    settings: dict[str, str] | None = None,
    on_line: Callable[[str], object] | None = None,
) -> str:
    """Run a program to its end, or stop it with us; returns what it printed."""
    lines = []
    environment = {**os.environ, **(settings or {}), "PYTHONIOENCODING": "utf-8"}
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=complaints,
            encoding="utf-8",
            errors="replace",
        ) as running,
    ):
        try:
            for line in running.stdout or ():
                lines.append(line)
                if on_line:
                    on_line(line.strip())
        except BaseException:
            running.kill()
            raise
        if running.wait():
            complaints.seek(0)
            raise ProgramError(complaints.read().decode("utf-8", "replace") + "".join(lines))
    return "".join(lines)


def explained(error: ProgramError, what: str) -> CourseError:
    """One sentence from the many lines of uv or pip."""
    said = str(error)
    if "No space left" in said or "Errno 28" in said or "WinError 112" in said:
        return CourseError(
            "The disk is full: there has to be space in the folder, and as much again in the "
            "system's folder for temporary files. Nothing half-done was kept."
        )
    if "DO NOT MATCH" in said:
        return DownloadError(
            f"{what}: a download has another SHA-256 than the index says. Run it again."
        )
    if _NO_NETWORK.search(said):
        return DownloadError(
            f"{what}, since the package index cannot be reached. Check the network and run the "
            "same line again; folders that are complete are kept."
        )
    text = re.sub(r"^[^\w]+", "", said, flags=re.MULTILINE)
    because = re.search(r"(?s)(Because .*?)(?:\n\s*\n|\nhint|\Z)", text)
    errors = [line for line in text.splitlines() if line.lower().startswith("error")]
    reason = (
        because.group(1) if because else (errors or text.strip().splitlines() or ["no reason"])[-1]
    )
    return CourseError(f"{what}: {' '.join(reason.split())}")
