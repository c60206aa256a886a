"""Install the course from this folder, with no network.

Windows:         py install.py
macOS, Linux:    python3 install.py

It makes a virtual environment in the folder `transfer-learning` of your home (`--to` names
another one), installs from the wheel folder that fits this machine, and checks the result. It
needs nothing but Python. `tlcourse wheels` copies this file to the stick.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time

ENVIRONMENT = "tlcourse-env"
MANIFEST = "folder.json"  # in each wheel folder; written by `tlcourse wheels`
_WINDOWS_LIMIT = 259  # characters of a path, where long paths are off
_INTEL_MAC = (
    " PyTorch has no packages for Macs with an Intel processor: work with a neighbour. On a Mac "
    "with an M processor, install Python from python.org and use that one."
)


class InstallError(Exception):
    """Something the learner or the teacher can put right; the message says what and how."""


def main() -> int:
    """Read the command line, install, and turn an error into one sentence."""
    reader = argparse.ArgumentParser(description="Install the course from this folder, offline.")
    home = pathlib.Path.home() / "transfer-learning"
    reader.add_argument(
        "--to", type=pathlib.Path, default=home, help="folder, by default %(default)s"
    )
    try:
        install(pathlib.Path(__file__).resolve().parent, reader.parse_args().to.expanduser())
    except InstallError as error:
        say(f"\ninstall.py: {error}", sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("\nStopped. Run the same line again; it begins afresh.", sys.stderr)
        return 130
    return 0


def install(stick: pathlib.Path, target: pathlib.Path) -> None:
    """Make the environment in `target` from the wheel folder of `stick` that fits."""
    started = time.time()
    folder, about = choose(stick)
    check_files(folder, about)
    target = pathlib.Path.cwd() / target
    check_place(target, about)
    say(f"Wheels:      {folder}")
    say(f"Environment: {target / ENVIRONMENT}")
    python = make_environment(target / ENVIRONMENT)
    install_packages(python, folder, about)
    say("Looking at the result. The first time this takes a minute.\n")
    if subprocess.call([str(python), "-m", "tlcourse", "doctor"], cwd=str(target)):
        raise InstallError("The course is installed, but something is to do. See the lines above.")
    words = "\nReady after {:.0f} seconds. Start the course with these two lines, now and later:"
    say(words.format(time.time() - started))
    say(f'\n    cd "{target}"')
    say("    .{}{} lab".format(os.sep, pathlib.Path(ENVIRONMENT) / _programs() / "tlcourse"))


# The wheel folder


def this_system() -> str:
    """Operating system and processor of this Python, such as "windows-x86_64"."""
    system = {"Darwin": "macos"}.get(platform.system(), platform.system().lower())
    machine = platform.machine()
    if system == "windows":  # a Python for Intel runs on ARM too, and needs its own wheels
        machine = sysconfig.get_platform().replace("win-", "")
    machine = machine.lower().replace("amd64", "x86_64")
    if sys.maxsize < 2**32:
        machine = "32bit"
    return f"{system}-{machine}"


def choose(stick: pathlib.Path) -> tuple:
    """The folder for this machine and Python, and its description; else say which would fit."""
    found = [
        (path.parent, json.loads(path.read_text("utf-8"))) for path in stick.glob("*/" + MANIFEST)
    ]
    found = sorted((f for f in found if not f[0].name.startswith(".")), key=lambda f: f[0].name)
    if not found:
        raise InstallError(
            f"There is no wheel folder in {stick}. Copy the whole stick, not this file alone."
        )
    system, version = this_system(), sys.version_info
    python = f"{version[0]}.{version[1]}"
    ours = [(folder, about) for folder, about in found if about["system"] == system]
    if not ours:
        raise InstallError(
            "This Python is for {}, and the stick has wheels only for {}.{}".format(
                system,
                _list(sorted({about["system"] for _, about in found})),
                _INTEL_MAC if system == "macos-x86_64" else "",
            )
        )
    usual = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
    for folder, about in ours:
        if about["python"] == python and usual:
            _check_versions(about)
            return folder, about
    wanted = [about["python"] for _, about in ours]
    raise InstallError(
        "This is {} {}, and the stick has wheels for Python {}. If you have one of them, run: "
        '{} "{}". Else install it first.'.format(
            "Python" if usual else "another kind of Python,",
            python,
            _list(wanted),
            ("py -{}" if os.name == "nt" else "python{}").format(wanted[-1]),
            stick / "install.py",
        )
    )


def _check_versions(about: dict) -> None:
    """A minor version, macOS or C library that is older than the wheels accept."""
    python = platform.python_version().rstrip("+")
    if sys.version_info[:3] < _numbers(about["least_python"]):
        raise InstallError(
            "This is Python {}, and the wheels need {} or a later {}. Install it first.".format(
                python, about["least_python"], about["python"]
            )
        )
    there = {"macos": platform.mac_ver()[0], "glibc": platform.libc_ver()[1]}
    for what, least in about["needs"].items():
        if there[what] and _numbers("10.99") < _numbers(there[what]) < _numbers(least):
            raise InstallError(_TOO_OLD.format(there[what], least))
        if what == "glibc" and _numbers(there[what] or "0") < _numbers(least):
            raise InstallError(
                "This Linux has the C library glibc {}, and the wheels need {} or newer.".format(
                    there[what] or "in no known version", least
                )
            )


_TOO_OLD = "This Mac has macOS {}, and PyTorch needs {} or newer. Work with a neighbour."


def check_files(folder: pathlib.Path, about: dict) -> None:
    """Every wheel is there in full: a copy of a stick may have been cut."""
    for name, (size, _) in sorted(about["wheels"].items()):
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise InstallError(
                f"{name} is missing or cut in {folder}. Copy this folder from the teacher's stick "
                "again."
            )


# The environment


def check_place(target: pathlib.Path, about: dict) -> None:
    """Enough space, a path that is short enough, and a folder that can be written to."""
    if os.name == "nt" and not _long_paths():
        _check_length(str(target / ENVIRONMENT), about["longest_path"])
    try:
        target.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=str(target)).close()
    except OSError as error:
        raise InstallError(
            f"Nothing can be written to {target} ({error.strerror}). Name another folder with --to."
        ) from error
    free, needed = shutil.disk_usage(str(target)).free, about["installed_bytes"]
    if free < needed and not (target / ENVIRONMENT).exists():
        raise InstallError(
            f"The course takes {needed / 1e9:,.1f} GB, and the disk of {target} has {free / 1e9:,.1f} GB free. Make space, or "
            "name a folder on another disk with --to."
        )


def _check_length(environment: str, longest_path: int) -> None:
    longest = len(environment) + len("/Lib/site-packages/") + longest_path
    if longest > _WINDOWS_LIMIT:
        raise InstallError(
            f"Windows allows paths of {_WINDOWS_LIMIT} characters, and some in {environment} would "
            f"have {longest}. Name a shorter folder, for example: --to C:/tl"
        )


def make_environment(folder: pathlib.Path) -> pathlib.Path:
    """An empty virtual environment, in place of an earlier one; returns its Python.

    Without pip, which comes from the wheel folder: some Linux systems have Python without it.
    """
    if folder.exists() and not (folder / "pyvenv.cfg").is_file():
        raise InstallError(
            f"{folder} is there and is no environment of Python. Name another folder with --to."
        )
    say("Making the environment.")
    made = _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)])
    if made:
        raise InstallError(
            f"Python could not make a virtual environment ({made}). If a window of the course is open, "
            "close it and run the same line again."
        )
    return folder / _programs() / ("python.exe" if os.name == "nt" else "python")


def install_packages(python: pathlib.Path, folder: pathlib.Path, about: dict) -> None:
    """Install from the wheel folder alone, with the pip that lies in it."""
    (pip,) = folder.glob("pip-*.whl")
    size = "{} packages, {:,.1f} GB on the disk".format(
        len(about["wheels"]), about["installed_bytes"] / 1e9
    )
    say(f"Installing {size}. This takes some minutes.")
    command = [str(python), str(pip / "pip"), "install", "--isolated", "--quiet", "--no-index"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--only-binary", ":all:"]
    command += ["--find-links", str(folder), "pip", "tlcourse"]
    packages = python.parents[1]
    failed = _run(command, lambda: _show_progress(packages, len(about["wheels"])))
    if failed:
        full = "No space left" in failed or "Errno 28" in failed or "WinError 112" in failed
        advice = (
            "The disk is full: make space, or name a folder on another disk with --to."
            if full
            else "Run the same line again. If it fails again, a virus scanner may be in the way."
        )
        raise InstallError(f"pip could not install the course ({failed}). {advice}")


def _show_progress(environment: pathlib.Path, total: int) -> None:
    """Count what is installed, in one line that is written over."""
    if sys.stdout.isatty():
        done = len(list(environment.glob("[Ll]ib/**/site-packages/*.dist-info")))
        sys.stdout.write(f"\r  {min(done, total)} of {total} ")
        sys.stdout.flush()


def _run(command: list, meanwhile: object = None) -> str:
    """Run a program quietly; an empty text, or what it said last where it failed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON", "VIRTUAL_"))}
    kept["PIP_CONFIG_FILE"] = os.devnull  # an index or an option of this machine would mislead
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(command, env=kept, stdout=said, stderr=subprocess.STDOUT)
        try:
            while running.poll() is None:
                time.sleep(0.5)
                if meanwhile:
                    meanwhile()
        finally:
            if running.poll() is None:
                running.kill()
            running.wait()
        if meanwhile and sys.stdout.isatty():
            say("")
        if running.returncode == 0:
            return ""
        said.seek(0)
        lines = [line.strip() for line in said.read().decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line] or [f"exit status {running.returncode}"]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return errors[-1].replace("ERROR: ", "")


# Words and numbers


def say(text: str, stream: object = None) -> None:
    """Write a line at once, whatever the terminal's letters are."""
    stream = stream or sys.stdout
    encoding = stream.encoding or "ascii"
    stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    stream.flush()


def _long_paths() -> bool:
    """Whether Windows has been told to allow long paths."""
    import winreg

    try:
        with winreg.OpenKey(
            winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem"
        ) as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False


def _programs() -> str:
    return "Scripts" if os.name == "nt" else "bin"


def _numbers(version: str) -> tuple:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _list(words: list) -> str:
    return ", ".join(words)


if __name__ == "__main__":
    sys.exit(main())
