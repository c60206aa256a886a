"""Install the course from this folder, without a network.

Windows:         py install.py
macOS, Linux:    python3 install.py

The course goes to the folder `transfer-learning` in your home; `--to FOLDER` names another one.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path


def main():
    """Read the command line, install, and turn an error into one sentence."""
    reader = argparse.ArgumentParser(description="Install the course from this folder, offline.")
    reader.add_argument("--to", type=Path, default=Path.home() / "transfer-learning")
    try:
        install(Path(__file__).resolve().parent, Path.cwd() / reader.parse_args().to.expanduser())
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print("\ninstall.py: {}".format(error), file=sys.stderr)
        return 2
    return 0


def install(stick, target):
    """Make an environment in `target` and install from the folder of wheels that fits."""
    folder = choose(stick)
    environment = target / "tlcourse-env"
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    python = str(programs / "python")
    target.mkdir(parents=True, exist_ok=True)
    print("Installing from {}. This takes some minutes.".format(folder.name), flush=True)
    # Without pip, which is in the folder: some Linux systems have Python without it.
    run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(environment)])
    (pip,) = folder.glob("pip-*.whl")
    alone = ["--isolated", "--no-index", "--find-links", str(folder), "--no-cache-dir", "--quiet"]
    run([python, str(pip / "pip"), "install", *alone, "pip", "tlcourse"])
    run([python, "-m", "tlcourse", "doctor"], cwd=str(target))
    print("\nReady. Start the course with these two lines, now and later:\n")
    print(
        '    cd "{}"\n    .{}{} lab'.format(
            target, os.sep, (programs / "tlcourse").relative_to(target)
        )
    )


def choose(stick):
    """Return the folder for this machine and Python, or say which ones there are."""
    folders = [(p.parent, json.loads(p.read_text("utf-8"))) for p in stick.glob("*/folder.json")]
    for folder, about in folders:
        least = tuple(int(part) for part in about["python"].split("."))
        same = least[:2] == sys.version_info[:2] and least <= sys.version_info[:3]
        if about["system"] == this_system() and same:
            check_sizes(folder, about["wheels"])
            return folder
    fit = ", ".join(sorted("{system} with Python {python}".format(**about) for _, about in folders))
    raise RuntimeError(
        "This is {} with Python {}, and this folder has wheels for: {}. Run install.py with a "
        "Python that fits; if there is none, install it first.".format(
            this_system(), platform.python_version(), fit or "none; copy the whole stick"
        )
    )


def this_system():
    """Operating system and processor of this Python, such as "windows-x86_64"."""
    system = {"Darwin": "macos"}.get(platform.system(), platform.system().lower())
    machine = platform.machine().lower().replace("amd64", "x86_64")
    return "{}-{}".format(system, machine if sys.maxsize > 2**32 else "32bit")


def check_sizes(folder, wheels):
    """Every wheel is there in full: a copy of a stick may have been cut."""
    for name, size in wheels.items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != size:
            raise RuntimeError("{} is missing or cut. Copy {} again.".format(name, folder.name))


def run(command, **options):
    """Run a program to its end; settings of this machine's pip and Python would mislead."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    subprocess.run(command, check=True, env=kept, **options)


if __name__ == "__main__":
    sys.exit(main())
