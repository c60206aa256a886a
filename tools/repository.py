"""Where the course is on the web: `[project.urls] Repository` in pyproject.toml is the one setting.

While it holds the placeholder, nothing says that the course is published. Texts keep what holds
only until then, or only from then on, between marks; `python -m tools.repository` rewrites them
once the setting names a repository. It needs no package, since a build of the wheel imports it.
"""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tools.site.links import Links, hide_code, show_code

ROOT = Path(__file__).resolve().parents[1]
PLACE = "OWNER/tlcourse"  # what texts write until a repository is known
_PLACEHOLDER = "OWNER"
_GITHUB = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?/?")
_UNTIL = re.compile(r"^<!-- until published -->\n(.*?)^<!-- end -->\n", re.DOTALL | re.MULTILINE)
_FROM_THEN = re.compile(r"^<!-- when published\n(.*?)^-->\n", re.DOTALL | re.MULTILINE)
_LINE_FROM_THEN = re.compile(r"^# when published: (.*\n)", re.MULTILINE)  # in CITATION.cff
_PICTURE = re.compile(r"!\[([^\]]*)\]\((?![a-z]+:)([^)\s]+)\)")


@dataclass(frozen=True)
class Repository:
    """Where the course's files are on the web.

    Attributes:
        owner: The account on GitHub.
        name: The repository's name.
        branch: The branch that links and buttons open.
    """

    owner: str
    name: str
    branch: str = "main"

    @property
    def url(self) -> str:
        """Address of the repository."""
        return f"https://github.com/{self.owner}/{self.name}"

    @property
    def files(self) -> str:
        """Address below which its files are."""
        return f"{self.url}/blob/{self.branch}"

    @property
    def raw(self) -> str:
        """Address below which the content of its files is, for pictures."""
        return f"https://raw.githubusercontent.com/{self.owner}/{self.name}/{self.branch}"

    @property
    def archive(self) -> str:
        """Address of all files as one ZIP file."""
        return f"{self.url}/archive/refs/heads/{self.branch}.zip"

    def binder(self, path: str) -> str:
        """Address that opens a notebook in JupyterLab on Binder."""
        place = f"{self.owner}/{self.name}/{self.branch}"
        return f"https://mybinder.org/v2/gh/{place}?urlpath=lab/tree/{path}"

    def colab(self, path: str) -> str:
        """Address that opens a notebook in Colab."""
        place = f"{self.owner}/{self.name}/blob/{self.branch}"
        return f"https://colab.research.google.com/github/{place}/{path}"

    def nbgitpuller(self, path: str, hub: str = "https://HUB") -> str:
        """Address that brings the course to a learner on a JupyterHub and opens a notebook."""
        to = quote(f"lab/tree/{self.name}/{path}", safe="")
        pulled = f"repo={quote(self.url, safe='')}&branch={self.branch}&urlpath={to}"
        return f"{hub}/hub/user-redirect/git-pull?{pulled}"


def parse(address: str) -> Repository | None:
    """The repository of an address, or None for the placeholder.

    Raises:
        ValueError: The address is not that of a repository on GitHub.
    """
    found = _GITHUB.fullmatch(address)
    if not found:
        raise ValueError(
            f'The repository "{address}" is not one that Binder and Colab open in the same way. '
            "Give an address like https://github.com/you/tlcourse."
        )
    return None if found[1] == _PLACEHOLDER else Repository(*found.groups())


def setting(root: Path = ROOT) -> str:
    """The address that pyproject.toml names."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "")


def as_published(text: str, repository: Repository | None) -> str:
    """A text as it reads now: before the first publication (None), or from then on."""
    if repository is None:
        return _LINE_FROM_THEN.sub("", _FROM_THEN.sub("", _UNTIL.sub(r"\1", text)))
    text = _LINE_FROM_THEN.sub(r"\1", _FROM_THEN.sub(r"\1", _UNTIL.sub("", text)))
    text = text.replace(Repository(*PLACE.split("/")).nbgitpuller(""), repository.nbgitpuller(""))
    return text.replace(PLACE, f"{repository.owner}/{repository.name}")


def readme_for_index(readme: str, repository: Repository | None) -> str:
    """The README as a package index shows it: from a known repository on, each link is absolute."""
    readme = as_published(readme, repository)
    if repository is None:
        return readme
    hidden, code = hide_code(readme)
    shown = show_code(_PICTURE.sub(rf"![\1]({repository.raw}/\2)", hidden), code)
    return Links(web=repository.files).retarget(shown, "README.md", "README.md")


def texts(root: Path = ROOT) -> list[Path]:
    """The files that may hold marks, or the placeholder."""
    pages = [*root.glob("*.md"), *(root / "docs").glob("*.md")]
    pages += [root / "CITATION.cff", root / "pyproject.toml"]
    return sorted(pages)


def main() -> None:
    """Rewrite the texts, once the setting names a repository."""
    repository = parse(setting())
    if repository is None:
        sys.exit("[project.urls] Repository in pyproject.toml is a placeholder: nothing to do.")
    for path in texts():
        text = path.read_text("utf-8")
        if (new := as_published(text, repository)) != text:
            path.write_text(new, "utf-8", newline="\n")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
