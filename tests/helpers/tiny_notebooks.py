"""Notebooks made of a few lines, and a course made of them, to try the command line on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]
LITTER = "open('litter.txt', 'w').close()"
# A picture of one pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def write_notebook(path, *sources, seconds=60):
    cells = [new_code_cell(source) for source in sources]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"tlcourse": {"seconds": seconds}}), path)
    return path


def make_checkout(folder):
    """Make a checkout of the course whose notebooks take no time."""
    shutil.copytree(ROOT / "tlcourse", folder / "tlcourse", ignore=shutil.ignore_patterns("__py*"))
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__py*"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    write_notebook(folder / "notebooks" / "00_start_here.ipynb", LITTER)
    write_notebook(folder / "notebooks" / "01_original.ipynb", "1")
    (folder / "notebooks" / "pictures").mkdir()
    (folder / "notebooks" / "pictures" / "plan.txt").write_text("plan")
    return folder


def install_wheel(checkout, wheels, site):
    """Build a checkout's wheel and install it; return where it is installed."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    build = ["wheel", "--no-build-isolation", "--wheel-dir", wheels, checkout]
    subprocess.run([*pip, *build, *offline], check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--target", site, wheel, *offline], check=True)
    return site


def tlcourse(*arguments, package, cwd, **options):
    """Run the command line of the package in a folder, as a learner does."""
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "tlcourse", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        **{"timeout": 120} | options,
    )


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
