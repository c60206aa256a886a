"""Where the notebooks of the course are, and a learner's own copy of them."""

import re
import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from tlcourse.base.files import whole_file
from tlcourse.errors import CourseError, UnknownNameError

if TYPE_CHECKING:
    from nbformat import NotebookNode

FIRST = "00_start_here.ipynb"
# JupyterLab's own copies ("02_classifier-Copy1.ipynb") are the learner's, not the course's.
_NAME = re.compile(r"\d\d_[a-z0-9_]+\.ipynb")


def notebooks_in(folder: Path) -> list[Path]:
    """Notebooks of the course in a folder, in their order; none if there is no such folder."""
    return sorted(path for path in folder.glob("*.ipynb") if _NAME.fullmatch(path.name))


def package_folder() -> Path:
    """Folder of the installed package."""
    return Path(str(files("tlcourse"))).resolve()


def originals() -> Path:
    """Folder of the notebooks that came with this package: the checkout's, else the wheel's."""
    package = package_folder()
    if (package.parent / "pyproject.toml").is_file() and notebooks_in(package.parent / "notebooks"):
        return package.parent / "notebooks"
    if notebooks_in(package / "notebooks"):
        return package / "notebooks"
    raise CourseError(
        "This installation of tlcourse holds no notebooks. "
        "Install it again from a complete copy of the course: python -m pip install ."
    )


def own_notebooks(here: Path) -> Path | None:
    """Folder of the course's notebooks at a place: `here/notebooks`, else `here` itself."""
    return next((f for f in (here / "notebooks", here) if notebooks_in(f)), None)


def find_notebooks(here: Path) -> Path:
    """Folder to run: the notebooks at `here`, else those that came with the package."""
    return own_notebooks(here) or originals()


def copy_notebooks(here: Path) -> tuple[Path, list[Path]]:
    """Complete the notebooks in `here/notebooks`, or in `here` if it holds them itself.

    No file that is there is ever touched. Returns the folder, and the files that were copied.
    """
    folder, source = own_notebooks(here) or here / "notebooks", originals()
    if folder.resolve() == source:
        return folder, []
    names = sorted(
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and ".ipynb_checkpoints" not in path.parts
    )
    try:
        return folder, [name for name in names if _copy_new(source / name, folder / name)]
    except OSError as error:
        raise CourseError(
            f"The notebooks cannot be copied to {folder} ({error.strerror}). "
            "Change to a folder that you may write to and try again."
        ) from error


def save_outputs(executed: "NotebookNode", path: Path) -> None:
    """Write an executed notebook to its file, as it is committed.

    Left out is what differs at each run (times of cells) and what is dead without a kernel.
    """
    import nbformat

    drop_live_views(executed)
    for cell in executed.cells:
        cell.metadata.pop("execution", None)
    executed.metadata["language_info"] = {"name": "python"}
    with whole_file(path) as part:
        nbformat.write(executed, part)


def drop_live_views(executed: "NotebookNode") -> None:
    """Take out progress bars and the live views of widgets; a widget's figure or text stays."""
    view = "application/vnd.jupyter.widget-view+json"
    for cell in executed.cells:
        kept = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if data.pop(view, None) and re.search(r"\d%\|", data.get("text/plain", "")):
                continue  # a progress bar
            kept.append(output)
        if "outputs" in cell:
            cell.outputs = kept
    executed.metadata.pop("widgets", None)


def choose(folder: Path, wanted: Sequence[str]) -> list[Path]:
    """Pick notebooks of a folder by number ("00"), name or file name; all if none is wanted.

    Raises:
        UnknownNameError: A name fits none of them; the nearest ones are offered.
    """
    there = notebooks_in(folder)
    picked: set[Path] = set()
    for name in wanted:
        stem = Path(name).name.removesuffix(".ipynb")
        number = stem.zfill(2) if stem.isdecimal() else None
        fitting = [p for p in there if p.stem == stem or p.stem.partition("_")[0] == number]
        if not fitting:
            raise UnknownNameError("notebook", name, [p.stem for p in there])
        picked.update(fitting)
    return [path for path in there if path in picked] if wanted else there


def _copy_new(source: Path, target: Path) -> bool:
    """Copy a file to where there is none yet; tell whether it was copied."""
    if target.exists():
        return False
    with whole_file(target) as part:
        shutil.copyfile(source, part)
    return True
