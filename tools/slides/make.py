"""Make slides from the notebooks: a page for each notebook, and one for each plan of the workshop.

    python -m tools.slides
    python -m tools.slides --notebook 03 --out my_slides

Each page is one file that opens without a network. Nothing is executed: the slides show the outputs
that are saved in the notebooks. `docs/slides.md` says how to show and to print them.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

from tlcourse.base.files import whole_file
from tlcourse.errors import CourseError, UnknownNameError
from tools.slides.deck import Slide, slides_of
from tools.slides.page import render
from tools.slides.plan import exit_questions, plans, workshop

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
WORKSHOP = ROOT / "docs" / "workshop.md"
_QUESTION = re.compile(r"^\| \[[^\]]+\]\(notebooks/(\d\d)_\w+\.ipynb\) \| ([^|]+) \|", re.MULTILINE)


def notebooks() -> dict[str, Path]:
    """Number of each notebook -> its file, in the order of the course.

    Raises:
        CourseError: There are none here.
    """
    paths = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise CourseError(f"There are no notebooks in {NOTEBOOKS.name}. Take a complete checkout.")
    return {path.stem[:2]: path for path in paths}


def decks(only: Sequence[str] = ()) -> dict[str, list[Slide]]:
    """Number of each notebook -> its slides, in the order of the course.

    Args:
        only: Numbers of notebooks, such as "05"; none means all of them.

    Raises:
        CourseError: There is no such notebook.
    """
    paths = notebooks()
    for number in only:
        if number not in paths:
            raise UnknownNameError("notebook", number, paths)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    questions = dict(_QUESTION.findall(readme))
    return {
        number: slides_of(
            nbformat.read(path, as_version=4), number, questions.get(number, "").strip()
        )
        for number, path in paths.items()
        if not only or number in only
    }


def make(out: Path, only: Sequence[str] = ()) -> list[Path]:
    """Write the pages; each appears whole or not at all.

    Args:
        out: Folder to write to.
        only: Numbers of notebooks, such as "05"; none means all of them, and the workshop's plans.

    Returns:
        The pages that were written.

    Raises:
        CourseError: There is no such notebook, or a slide cannot be made.
    """
    made = decks(only)
    paths = notebooks()
    pages = {paths[number].stem: slides for number, slides in made.items()}
    if not only:
        asked = exit_questions(WORKSHOP)
        for name, steps in plans(WORKSHOP).items():
            pages[f"workshop_{name.replace(' ', '_')}"] = workshop(steps, made, asked)
    written = []
    for name, slides in pages.items():
        path = out / f"{name}.html"
        title = re.sub(r"[*`]", "", slides[0].title)
        html = render(slides, f"{title} (slides)", NOTEBOOKS)
        with whole_file(path) as part:
            part.write_text(html, encoding="utf-8")
        written.append(path)
    return written


def main() -> int:
    """Read the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Make slides from the notebooks of the course.")
    parser.add_argument(
        "--notebook", action="append", default=[], metavar="NN", help="only this one, such as 05"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("slides"), metavar="DIR", help="folder, made if need be"
    )
    chosen = parser.parse_args()
    try:
        for path in make(chosen.out, chosen.notebook):
            sys.stdout.write(f"{path} ({path.stat().st_size / 1e6:.1f} MB)\n")
    except CourseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
