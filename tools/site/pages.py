"""Which pages the site has, and in which order."""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from tools.repository import Repository
from tools.site.links import Links, anchor_of, hide_code, show_code

# Title in the navigation of the pages that are known. Others come after those of "Teach".
TEACH = {
    "docs/workshop.md": "Workshop plan",
    "docs/decision_guide.md": "Decision guide",
    "docs/slides.md": "Slides",
    "docs/classroom_offline.md": "Classroom without a network",
    "docs/jupyterhub.md": "JupyterHub",
    "docs/binder.md": "Binder",
}
ABOUT = {
    "docs/coverage.md": "What is taught where",
    "changes.md": "Changes",
    "contributing.md": "Contributing",
    "docs/scale.md": "More pictures",
    "docs/promises.md": "Promises and tests",
    "docs/making.md": "Change the course",
    "security.md": "Security",
    "licence.md": "Licence and credits",
}
RENAMED = {
    "CHANGES.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LANDING = "Notebooks"  # section of the README that the first page shows, after the beginning
LICENCE = "Licence and credits"
_ROW = re.compile(r"^\| \[(?P<name>[^\]]+)\]\((?P<path>[^)]+)\) \| (?P<asks>.+?) \|", re.MULTILINE)
_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)


@dataclass(frozen=True)
class Lesson:
    """A notebook as the README lists it."""

    path: str
    name: str
    asks: str
    seconds: int


def lessons(root: Path, readme: str) -> list[Lesson]:
    """The notebooks, with name and question from the README and seconds from their metadata."""
    found = []
    for row in _ROW.finditer(readme):
        about = nbformat.read(root / row["path"], as_version=4).metadata["tlcourse"]
        found.append(Lesson(row["path"], row["name"], row["asks"], about["seconds"]))
    return found


def page_of_section(heading: str) -> str:
    """Source of the page that shows a section of the README."""
    if heading in ("", LANDING):
        return "index.md"
    return "licence.md" if heading == LICENCE else "install.md"


def split_readme(readme: str, links: Links) -> dict[str, str]:
    """Source of a page -> its Markdown, for the pages that the README becomes.

    Args:
        readme: The README.
        links: Learns where the README's headings are on the site.
    """
    pages = {"index.md": "", "install.md": "# Install and use\n", "licence.md": ""}
    hidden, code = hide_code(readme)
    for part in re.split(r"^(?=## )", hidden, flags=re.MULTILINE):
        headings = re.findall(r"^#+ (.+)$", part, re.MULTILINE)
        page = page_of_section(headings[0] if part.startswith("## ") else "")
        pages[page] += f"\n{show_code(part, code).strip()}\n"
        for heading in headings:
            links.anchors["README.md", anchor_of(show_code(heading, code))] = page
    return pages


def with_copy(text: str, repository: Repository) -> str:
    """The page on installing, with a beginning that says where a copy comes from."""
    title, _, rest = text.partition("\n")
    return (
        f"{title}\n\n**Get a copy first.** Unpack [this ZIP file]({repository.archive}) or, if you "
        f"have Git, run:\n\n```bash\ngit clone {repository.url}\ncd {repository.name}\n```\n{rest}"
    )


def cards(listed: list[Lesson]) -> str:
    """The notebooks as cards that lead to them."""
    lines = ["::::{grid} 1 1 2 2", ":gutter: 3", ""]
    for lesson in listed:
        lines += [
            f":::{{grid-item-card}} {lesson.name}",
            f":link: {lesson.path.removesuffix('.ipynb')}",
            ":link-type: doc",
            lesson.asks,
            "",
            f'<span class="seconds">runs in about {lesson.seconds} seconds</span>',
            ":::",
        ]
    return "\n".join([*lines, "::::", ""])


def landing(text: str, listed: list[Lesson], repository: Repository | None) -> str:
    """The first page: the README's beginning, where to start, and the notebooks as cards."""
    first = listed[0]
    buttons = [
        f"```{{button-ref}} {first.path.removesuffix('.ipynb')}\n:color: primary\n:ref-type: doc\n"
        "Read the first notebook\n```",
        "```{button-ref} install\n:color: primary\n:outline:\n:ref-type: doc\n"
        "Install it on your machine\n```",
    ]
    if repository:
        buttons.append(
            f"```{{button-link}} {repository.binder(first.path)}\n:color: primary\n:outline:\n"
            "Run it on Binder\n```"
        )
    start = ":::{div} start\n" + "\n".join(buttons) + "\n:::\n\n"
    before, picture, after = text.partition("\n![")
    text = f"{before}\n{start}{picture}{after}" if picture else f"{text}\n{start}"
    text = re.sub(
        r"^## Notebooks$",
        "## Notebooks\n\nOn 2 slow processor cores, without a GPU, each runs in the time that "
        "its card says.",
        text,
        flags=re.MULTILINE,
    )
    return _TABLE.sub(lambda _: cards(listed), text, count=1)


def toctrees(listed: list[Lesson], there: set[str]) -> str:
    """The navigation, in Markdown that shows nothing itself."""
    known = {**TEACH, **ABOUT}
    more = sorted(p for p in there if p.startswith("docs/") and p not in known)
    groups = {
        "Course": [("install.md", "Install and use"), *((n.path, n.name) for n in listed)],
        "Teach": [*TEACH.items(), *((path, "") for path in more)],
        "About": list(ABOUT.items()),
    }
    text = ""
    for caption, entries in groups.items():
        lines = [
            f"{title} <{path.rpartition('.')[0]}>" if title else path.rpartition(".")[0]
            for path, title in entries
            if path in there
        ]
        if lines:
            text += "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *lines])
            text += "\n```\n\n"
    return text


def credits_page(text: str, root: Path) -> str:
    """The licence page: what the README says, then the two files themselves."""
    parts = ["# Licence and credits", re.sub(r"^## .*$", "", text, count=1, flags=re.MULTILINE)]
    for name, heading in (("NOTICE", "What others made"), ("LICENSE", "The licence")):
        body = (root / name).read_text(encoding="utf-8").strip()
        parts.append(f"## {heading}\n\nThe file `{name}`:\n\n`````text\n{body}\n`````")
    return "\n\n".join(parts) + "\n"


def decision_guide(files: dict[str, str], alt: str) -> str:
    """A page for the decision guide, whose sheet to print is a file of its own."""
    formats = {".html": "to print from the browser", ".pdf": "as PDF"}
    named = [
        f'<a href="../{path}">{formats[Path(path).suffix]}</a>' for path in sorted(files.values())
    ]
    return (
        "# Decision guide\n\nWhich pattern of reuse suits *your* pictures? Begin with A, at the "
        "top. "
        "[Notebook 08](../notebooks/08_choose_your_pattern.ipynb) explains the questions and "
        "measures the answers on your own folder.\n\n"
        f"![{alt}](../notebooks/images/08_guide.svg)\n\n"
        f"The sheet for a class, one page: {' or '.join(named)}.\n"
    )
