"""Where the notebooks of the course are, and a learner's own copy of them."""

import re
import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from tlcourse.base.files import save_file, whole_file
from tlcourse.errors import CourseError, UnknownNameError

if TYPE_CHECKING:
    from nbformat import NotebookNode

FIRST = "00_start_here.ipynb"
MINE = "my_notebooks"  # a learner's, in a checkout of the course
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
    folder = (package.parent if _is_checkout(package.parent) else package) / "notebooks"
    if notebooks_in(folder):
        return folder
    raise CourseError(
        "This installation of tlcourse holds no notebooks. "
        "Install it again from a complete copy of the course: python -m pip install ."
    )


def _is_checkout(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file() and (folder / "tlcourse").is_dir()


def own_notebooks(here: Path) -> Path | None:
    """Folder of the course's notebooks at a place: `here/notebooks`, else `here` itself."""
    return next((f for f in (here / "notebooks", here) if notebooks_in(f)), None)


def find_notebooks(here: Path) -> Path:
    """Folder to run: the notebooks at `here`, else those that came with the package."""
    return own_notebooks(here) or originals()


def copy_notebooks(here: Path, *, outputs: bool = False) -> tuple[Path, list[Path]]:
    """Complete the notebooks at `here`, touching none; return the folder and what was copied.

    A copy has no outputs, which give the answers to the questions away, unless they are asked for.
    In a checkout the copies are in `my_notebooks`, and the notebooks that belong to it stay.
    """
    source = originals()
    folder = here / MINE if _is_checkout(here) else own_notebooks(here) or here / "notebooks"
    if folder.resolve() == source:
        return folder, []
    names = sorted(p.relative_to(source) for p in source.rglob("*") if p.is_file())
    new = [n for n in names if ".ipynb_checkpoints" not in n.parts and not (folder / n).exists()]
    try:
        for name in new:
            with whole_file(folder / name) as part:
                if name.suffix == ".ipynb" and not outputs:
                    _copy_without_outputs(source / name, part)
                else:
                    shutil.copyfile(source / name, part)
    except OSError as error:
        raise CourseError(
            f"The notebooks cannot be copied to {folder} ({error.strerror}). "
            "Change to a folder that you may write to and try again."
        ) from error
    return folder, new


def _copy_without_outputs(source: Path, target: Path) -> None:
    """Copy a notebook as if none of its cells had been run."""
    import nbformat

    notebook = nbformat.read(source, nbformat.NO_CONVERT)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)
    notebook.metadata.pop("widgets", None)  # the states of outputs that are gone
    nbformat.write(notebook, target)


def save_outputs(executed: "NotebookNode", path: Path) -> None:
    """Write an executed notebook to its file, without the times of its cells.

    Of its language it says what the web page needs for lines such as `!python`, and no version.
    """
    import nbformat

    for cell in executed.cells:
        cell.metadata.pop("execution", None)
    executed.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    text = nbformat.writes(executed).rstrip("\n") + "\n"
    save_file(path, text.encode("utf-8", "backslashreplace"))


def drop_live_views(executed: "NotebookNode") -> None:
    """Take out progress bars and the live views of widgets; a widget's figure or text stays."""
    view = "application/vnd.jupyter.widget-view+json"
    for cell in executed.cells:
        outputs = cell.get("outputs", [])
        for output in list(outputs):
            data = output.get("data", {})
            if data.pop(view, None) and re.search(r"\d%\|", data.get("text/plain", "")):
                outputs.remove(output)  # a progress bar
    executed.metadata.pop("widgets", None)


def choose(folder: Path, wanted: Sequence[str]) -> list[Path]:
    """Pick notebooks of a folder by number ("00"), name or file name; all if none is wanted."""
    there = notebooks_in(folder)
    picked: list[Path] = []
    for name in wanted:
        stem = Path(name).name.removesuffix(".ipynb")
        number = stem.zfill(2) if stem.isdecimal() else stem
        fitting = [path for path in there if stem == path.stem or number == path.stem[:2]]
        if not fitting:
            raise UnknownNameError("notebook", name, [p.stem for p in there])
        picked += fitting
    return sorted(set(picked)) if wanted else there
