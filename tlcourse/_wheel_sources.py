"""What uv and pip do for a wheel folder: find exact versions, fetch them, build, verify."""

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname
from zipfile import ZipFile

import tlcourse
from tlcourse._wheel_programs import ProgramError, explained, pip, run, uv
from tlcourse._wheel_targets import Target
from tlcourse.errors import CourseError

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_FROM_CPU_INDEX = ("torch", "torchvision")


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
        pip(
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
        except ProgramError as error:
            newer = _newer_release(str(error), target)
            if newer is None:
                raise explained(error, f"No set of packages fits {target.words}") from error
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
        except ProgramError as error:
            raise explained(error, f"The wheels for {target.words} are not complete") from error


def _uv_compile(source: Path, target: Target, *options: str) -> str:
    command = [*uv(), "pip", "compile", str(source), "--quiet", "--no-header", "--no-annotate"]
    command += ["--no-progress", "--color", "never", "--only-binary", ":all:", *options]
    command += ["--python", sys.executable]
    command += ["--python-platform", target.platform, "--python-version", target.least_python]
    least_macos = {"MACOSX_DEPLOYMENT_TARGET": target.needs.get("macos", "")}
    said = run(command, settings={k: v for k, v in least_macos.items() if v})
    return said.replace("\\\n", " ")


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
                pip("download", *options, "-r", listed, what="the wheels", on_line=follow)
