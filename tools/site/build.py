"""Make the web page: the course as a static site, from the outputs that the notebooks hold.

`python -m tools.site` needs no network and runs no notebook. The launch buttons lead to the
repository that pyproject.toml names (`[project.urls]`), or to the one given with `--repository`.
"""

import argparse
import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tlcourse.base.files import whole_folder
from tlcourse.errors import CourseError
from tools.repository import Repository, parse, setting
from tools.site.stage import stage

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MARK = "searchindex.js"  # what every site has, and hardly another folder


def repository(given: str | None) -> Repository | None:
    """The repository that the buttons lead to, or None while only the placeholder is there.

    Args:
        given: Address from the command line.

    Raises:
        CourseError: The address is not that of a repository on GitHub.
    """
    try:
        return parse(given or setting())
    except ValueError as error:
        raise CourseError(str(error)) from error


def build(source: Path, site: Path, out: Path, settings: dict[str, object]) -> list[str]:
    """Let Sphinx write the pages.

    Args:
        source: Folder of the pages' sources.
        site: Folder whose files the site holds beside its pages.
        out: Folder to write.
        settings: Settings of Sphinx beside those in `conf.py`.

    Returns:
        The warnings.
    """
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    warnings = io.StringIO()
    with patch_docutils(str(HERE)), docutils_namespace():
        app = Sphinx(
            srcdir=source,
            confdir=HERE,
            outdir=out,
            doctreedir=source.parent / "doctrees",
            buildername="html",
            confoverrides={"html_extra_path": [str(site)], **settings},
            status=None,
            warning=warnings,
            parallel=2,
        )
        app.build(force_all=True)
    return re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue()).splitlines()


def tidy(site: Path) -> None:
    """Put the notebooks to download in as they are, and take out what no visitor needs."""
    for source in (site / "_sources").rglob("*.*"):
        if source.suffix == ".ipynb":
            shutil.copyfile(ROOT / source.relative_to(site / "_sources"), source)
        else:
            source.unlink()
    for pattern in ("scripts/**/*.map", "styles/**/*.map", "*macros.html"):
        for path in (site / "_static").glob(pattern):
            path.unlink()
    shutil.rmtree(site / "_static" / "locales", ignore_errors=True)
    (site / ".nojekyll").touch()  # GitHub Pages would leave out folders that begin with _


def make_site(out: Path, address: str | None = None) -> Repository | None:
    """Make the site.

    Args:
        out: Folder to write. A site that is there stays until the new one is whole.
        address: Address of the repository, if not the one in pyproject.toml.

    Returns:
        The repository that the buttons lead to, if there is one.

    Raises:
        CourseError: The folder holds something else, the address cannot be used, or Sphinx warns.
    """
    to = repository(address)
    out = out.resolve()
    if out.exists() and not (out.is_dir() and ((out / MARK).exists() or not any(out.iterdir()))):
        raise CourseError(
            f'"{out}" is there and is not a site, so it is not replaced. Give another folder with '
            "--out."
        )
    with whole_folder(out) as new, tempfile.TemporaryDirectory(prefix="tlcourse-site-") as folder:
        tree, site = Path(folder) / "tree", Path(folder) / "site"
        settings = stage(ROOT, tree, site, to)
        warnings = build(tree, site, new, settings)
        if warnings:
            raise CourseError("\n".join(["Sphinx warns, so no site is written:", *warnings]))
        tidy(new)
    return to


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = ROOT / "build" / "site"
    parser.add_argument(
        "--out", type=Path, default=default, help="folder to write (default: build/site)"
    )
    parser.add_argument("--repository", help="address of the repository, for this one build")
    options = parser.parse_args()
    try:
        to = make_site(options.out, options.repository)
    except CourseError as error:
        sys.exit(str(error))
    if to is None:
        sys.stdout.write(
            "No launch buttons: [project.urls] Repository in pyproject.toml is a placeholder.\n"
        )
    sys.stdout.write(f"The site begins at {options.out.resolve() / 'index.html'}\n")
