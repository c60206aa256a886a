"""What uv and pip do for a wheel folder: find exact versions, fetch them, build, verify."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email import message_from_bytes
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname
from zipfile import ZipFile

import tlcourse
from tlcourse.errors import CourseError, DownloadError

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_FROM_CPU_INDEX = ("torch", "torchvision")
_NO_NETWORK = re.compile(
    r"(?i)failed to fetch|error sending request|dns error|client error|"
    r"failed to establish a new connection|name resolution|max retries|timed out|ConnectionError"
)


class _FailedError(Exception):
    """A program ended with an error; the text is all that it said."""


@dataclass(frozen=True)
class Target:
    """A machine to collect wheels for.

    Attributes:
        system: Such as "windows-x86_64".
        words: The same for people.
        platform: Its name for uv.
        tags: Platform tags of the wheels that it takes.
        needs: What is tested before the installation, such as {"macos": "14.0"}.
        python: Such as "3.12".
        least_python: The oldest release that fits, such as "3.12.0".
        cpu_index: PyTorch comes from its index of builds for the CPU.
    """

    system: str
    words: str
    platform: str
    tags: tuple[str, ...]
    needs: dict[str, str]
    python: str
    least_python: str
    cpu_index: bool


# The course's own wheel


@contextmanager
def course_wheel(course: Path | None) -> Iterator[tuple[Path, Path | None]]:
    """The wheel of the course, and its file of exact versions if there is one.

    Args:
        course: A wheel, or a folder with the sources. By default the checkout that this package
            lies in, or what it was installed from.
    """
    source = course or _installed_from()
    if source is None:
        raise CourseError(
            "It is not known where this course was installed from, and its own wheel has to go on "
            "the stick. Name the wheel or the folder with the sources: --course PATH"
        )
    if source.is_file() and source.suffix == ".whl" and source.name.startswith("tlcourse-"):
        yield source, None
        return
    if not (source / "pyproject.toml").is_file():
        raise CourseError(
            f"{source} is neither a wheel of the course nor a folder with its sources. Name one: "
            "--course PATH"
        )
    exact = source / "constraints.txt"
    with tempfile.TemporaryDirectory(prefix="tlcourse-") as place:
        _pip(
            "wheel", "--no-deps", "--quiet", "--wheel-dir", place, source, what="the course's wheel"
        )
        found = list(Path(place).glob("tlcourse-*.whl"))
        if not found:
            raise CourseError(f"{source} is not the source of this course. Name it: --course PATH")
        yield found[0], exact if exact.is_file() else None


def _installed_from() -> Path | None:
    checkout = Path(tlcourse.__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").is_file():
        return checkout
    try:
        noted = metadata.distribution("tlcourse").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    address = urlsplit(json.loads(noted)["url"]) if noted else None
    if address is None or address.scheme != "file":
        return None
    path = Path(url2pathname(address.path))
    return path if path.exists() else None


def needed_by(wheel: Path) -> list[str]:
    """What a wheel requires, without its extras."""
    with ZipFile(wheel) as held:
        (name,) = (n for n in held.namelist() if n.endswith(".dist-info/METADATA"))
        about = message_from_bytes(held.read(name))
    return [text for text in about.get_all("Requires-Dist", []) if "extra ==" not in text]


# Exact versions


def resolve(needed: list[str], target: Target, exact: Path | None) -> tuple[list[str], Target]:
    """Find the exact versions for another machine.

    Args:
        needed: Requirements.
        target: The machine.
        exact: File of versions to keep to.

    Returns:
        Lines such as "numpy==2.4.6 --hash=sha256:...", and the machine with the oldest release of
        its Python that all of them accept.

    Raises:
        CourseError: No set of packages fits.
        DownloadError: The package index cannot be reached.
    """
    keep = ["--constraints", str(exact)] if exact else []
    while True:
        try:
            with tempfile.TemporaryDirectory(prefix="tlcourse-") as place:
                project = Path(place) / "pyproject.toml"
                project.write_text(_project(needed, target), encoding="utf-8")
                said = _uv_compile(project, target, "--generate-hashes", *keep)
            return [" ".join(line.split()) for line in said.splitlines() if "==" in line], target
        except _FailedError as error:
            newer = _newer_release(str(error), target)
            if newer is None:
                raise _explained(error, f"No set of packages fits {target.words}") from error
            target = replace(target, least_python=newer)


def _project(needed: list[str], target: Target) -> str:
    """A project that needs all this; with PyTorch, and nothing else, from its own index."""
    text = '[project]\nname = "stick"\nversion = "0"\n'
    text += f'requires-python = ">={target.least_python}"\n'
    text += f"dependencies = {json.dumps(needed)}\n"
    if target.cpu_index:
        text += f'[[tool.uv.index]]\nname = "cpu"\nurl = "{CPU_INDEX}"\nexplicit = true\n'
        text += "[tool.uv.sources]\n"
        text += "".join(f'{name} = {{ index = "cpu" }}\n' for name in _FROM_CPU_INDEX)
    return text


def _newer_release(said: str, target: Target) -> str | None:
    """The release of this Python that a package asks for, if that is what uv complains about."""
    asked = re.findall(rf"Python ?>={re.escape(target.python)}\.(\d+)", said)
    newest = max(map(int, asked), default=0)
    is_newer = newest > int(target.least_python.split(".")[2])
    return f"{target.python}.{newest}" if is_newer else None


def verify(folder: Path, wheel: Path, target: Target) -> None:
    """Resolve the course inside the folder alone, as pip will do in the classroom.

    Raises:
        CourseError: A wheel is missing, or is for another machine.
    """
    with tempfile.TemporaryDirectory(prefix="tlcourse-") as place:
        asked = Path(place) / "needed.txt"
        asked.write_text(f"tlcourse=={wheel.name.split('-')[1]}\npip\n", encoding="utf-8")
        alone = ["--offline", "--no-config", "--no-index", "--find-links", str(folder)]
        try:
            _uv_compile(asked, target, *alone)
        except _FailedError as error:
            raise _explained(error, f"The wheels for {target.words} are not complete") from error


def _uv_compile(source: Path, target: Target, *options: str) -> str:
    command = [*_uv(), "pip", "compile", str(source), "--quiet", "--no-header", "--no-annotate"]
    command += ["--no-progress", "--color", "never", "--only-binary", ":all:", *options]
    command += ["--python", sys.executable]
    command += ["--python-platform", target.platform, "--python-version", target.least_python]
    least_macos = {"MACOSX_DEPLOYMENT_TARGET": target.needs.get("macos", "")}
    said = _run(command, settings={k: v for k, v in least_macos.items() if v})
    return said.replace("\\\n", " ")


def _uv() -> list[str]:
    if find_spec("uv"):
        return [sys.executable, "-m", "uv"]
    if program := shutil.which("uv"):
        return [program]
    raise CourseError("This command needs the program uv. Run: python -m pip install uv")


# Wheels


def fetch(lines: list[str], target: Target, folder: Path, earlier: Path | None = None) -> None:
    """Download exactly these wheels and compare their SHA-256 with the index's.

    Args:
        lines: From `resolve`.
        target: The machine that they are for.
        folder: Where they go.
        earlier: A folder with wheels to use again.
    """
    from tqdm import tqdm

    options = ["--no-deps", "--only-binary", ":all:", "--progress-bar", "off", "--dest", folder]
    for tag in target.tags:
        options += ["--platform", tag]
    options += ["--python-version", target.least_python, "--implementation", "cp"]
    options += ["--abi", "cp" + target.python.replace(".", "")]
    options += ["--extra-index-url", CPU_INDEX] if target.cpu_index else []
    options += ["--find-links", earlier] if earlier else []
    name = f"{target.system}, Python {target.python}"
    with (
        tqdm(total=len(lines), desc=name, unit="wheel", disable=None) as bar,
        tempfile.TemporaryDirectory(prefix="tlcourse-") as place,
    ):

        def follow(line: str) -> None:
            if line.startswith(("Collecting ", "Processing ")):
                bar.update()

        # With one hash in a file pip asks for hashes of all; some indexes give none.
        for hashed in (True, False):
            part = [line for line in lines if ("--hash" in line) == hashed]
            listed = Path(place) / "exact.txt"
            listed.write_text("\n".join(part), encoding="utf-8")
            if part:
                _pip("download", *options, "-r", listed, what="the wheels", on_line=follow)


def _pip(
    command: str, *options: object, what: str, on_line: Callable[[str], object] | None = None
) -> None:
    whole = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", command]
    try:
        _run([*whole, *map(str, options)], on_line=on_line)
    except _FailedError as error:
        raise _explained(error, f"pip could not make or fetch {what}") from error


# Programs and what they say


def _run(
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
            raise _FailedError(complaints.read().decode("utf-8", "replace") + "".join(lines))
    return "".join(lines)


def _explained(error: _FailedError, what: str) -> CourseError:
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
