"""Put together what Sphinx reads: the pages of the course, each in its place."""

import shutil
from pathlib import Path

import nbformat

from tools.repository import Repository, as_published
from tools.site import pages
from tools.site.lessons import fold, stage_lesson
from tools.site.links import Links

GUIDE = "docs/decision_guide.md"
SHEETS = ("docs/decision_guide.html", "docs/decision_guide.pdf")


def stage(root: Path, tree: Path, site: Path, repository: Repository | None) -> dict[str, object]:
    """Write the sources of all pages.

    Args:
        root: The repository's folder.
        tree: Folder to write, for Sphinx to read.
        site: Folder to write, for files that the site holds beside its pages.
        repository: Where the course is on the web, if that is known.

    Returns:
        Settings for Sphinx that depend on the course.
    """
    site.mkdir(parents=True)
    readme = as_published((root / "README.md").read_text(encoding="utf-8"), repository)
    listed = pages.lessons(root, readme)
    texts = {p.name: p.name for p in root.glob("*.md") if p.name in pages.RENAMED}
    texts |= {f"docs/{p.name}": f"docs/{p.name}" for p in (root / "docs").glob("*.md")}
    sheets = {path: f"sheets/{Path(path).name}" for path in SHEETS if (root / path).exists()}

    links = Links(files=sheets, web=repository.files if repository else "")
    links.pages = {"README.md": "index.md", "NOTICE": "licence.md", "LICENSE": "licence.md"}
    links.pages |= {path: pages.RENAMED.get(path, path) for path in texts}
    links.pages |= {lesson.path: lesson.path for lesson in listed}
    parts = pages.split_readme(readme, links)
    written = {page: links.retarget(fold(text), "README.md", page) for page, text in parts.items()}
    for path in texts:
        page = links.pages[path]
        text = as_published((root / path).read_text(encoding="utf-8"), repository)
        written[page] = links.retarget(fold(text), path, page)
    if repository:
        written["install.md"] = pages.with_copy(written["install.md"], repository)
    if sheets and GUIDE not in written:
        written[GUIDE] = pages.decision_guide(sheets, _guide_alt(root))
    written["licence.md"] = pages.credits_page(written["licence.md"], root)
    there = {*written, *links.pages.values()}
    written["index.md"] = pages.landing(written["index.md"], listed, repository)
    written["index.md"] += f"\n{pages.toctrees(listed, there)}"

    for page, text in written.items():
        (tree / page).parent.mkdir(parents=True, exist_ok=True)
        (tree / page).write_text(text, encoding="utf-8")
    for lesson in listed:
        stage_lesson(root / lesson.path, lesson.path, tree, site, links, repository)
    for folder in ("docs/images", "notebooks/images"):
        shutil.copytree(root / folder, tree / folder)
    for path, place in sheets.items():
        (site / place).parent.mkdir(exist_ok=True)
        shutil.copyfile(root / path, site / place)
        if place.endswith(".html"):
            _with_icon(site / place)

    settings: dict[str, object] = {
        "page_descriptions": {n.path.removesuffix(".ipynb"): n.asks for n in listed}
    }
    if repository:
        settings |= {
            "html_theme_options.repository_url": repository.url,
            "html_theme_options.repository_branch": repository.branch,
            "html_theme_options.use_repository_button": True,
            "html_theme_options.use_source_button": True,
            "html_theme_options.launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
                "notebook_interface": "jupyterlab",
            },
        }
    return settings


def _with_icon(path: Path) -> None:
    """Give a page that Sphinx does not make the site's icon; browsers would look for another."""
    icon = '<link rel="icon" href="../_static/favicon.svg">\n</head>'
    path.write_text(path.read_text(encoding="utf-8").replace("</head>", icon), encoding="utf-8")


def _guide_alt(root: Path) -> str:
    """What the notebook that shows the decision guide says about it."""
    (path,) = (root / "notebooks").glob("08_*.ipynb")
    for cell in nbformat.read(path, as_version=4).cells:
        before, shown, _ = cell.source.partition("](images/08_guide.svg)")
        if shown:
            return before.rpartition("![")[2]
    raise ValueError("notebook 08 does not show images/08_guide.svg")
