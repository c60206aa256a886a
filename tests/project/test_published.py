"""One setting, the repository in pyproject.toml, says whether and where the course is published."""

import re
import shutil
import subprocess
import sys
import tomllib
from email import message_from_string
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

from tools.repository import PLACE, Repository, as_published, parse, readme_for_index, setting

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
README = (ROOT / "README.md").read_text("utf-8")
THERE = Repository("someone", "somewhere")
unpublished = pytest.mark.skipif(parse(setting()) is not None, reason="a repository is named")
# What only a published course may say.
LINES = ("pip install tlcourse", "uvx ", "[in Colab](", "security/advisories/new")


@pytest.fixture(scope="module")
def flipped(tmp_path_factory):
    """A copy of what a build reads, with another setting, rewritten by the program for it."""
    copy = tmp_path_factory.mktemp("published") / "course"
    ignored = shutil.ignore_patterns("images", "__pycache__", "*.ipynb")
    for folder in ("tools", "docs"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    for path in ROOT.iterdir():
        if path.suffix in (".md", ".toml", ".cff") or path.name in ("LICENSE", "NOTICE"):
            shutil.copy(path, copy)
    for folder in ("tlcourse", "notebooks"):
        (copy / folder).mkdir()
        (copy / folder / "some.txt").touch()
    project = copy / "pyproject.toml"
    address = f'Repository = "{setting()}"'
    text = project.read_text("utf-8")
    assert address in text
    project.write_text(text.replace(address, f'Repository = "{THERE.url}"'), "utf-8")
    subprocess.run([sys.executable, "-m", "tools.repository"], cwd=copy, check=True)
    return copy


def metadata_of(course, place):
    """Metadata as a build writes them into the wheel."""
    code = "import sys; from hatchling.build import *; "
    code += "print(prepare_metadata_for_build_wheel(sys.argv[1]))"
    ran = subprocess.run(
        [sys.executable, "-c", code, place], cwd=course, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return message_from_string((place / ran.stdout.strip() / "METADATA").read_text("utf-8"))


def rendered(readme):
    """The page that a package index makes of a README, or much the same (see making.md)."""
    html = MarkdownIt("commonmark").enable("table").render(readme)
    return BeautifulSoup(html, "html.parser")


def targets(page):
    links = [a["href"] for a in page.select("a[href]") if not a["href"].startswith("#")]
    return links, [picture["src"] for picture in page.select("img")]


@unpublished
def test_before_the_course_is_published_nothing_says_that_it_is(tmp_path):
    about = metadata_of(ROOT, tmp_path)
    page = rendered(about.get_payload()).text
    for line in LINES:
        assert line not in about.get_payload(), line
    assert "Put its address in place of" in page
    assert "<!-- " not in re.sub("<!-- (test command|end) -->", "", about.get_payload())
    for name in ("SECURITY.md", "docs/binder.md", "docs/jupyterhub.md"):
        shown = re.sub("<!--.*?-->", "", (ROOT / name).read_text("utf-8"), flags=re.DOTALL)
        assert not [line for line in LINES if line in shown], name
    assert "repository-code" not in yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))


def test_with_a_repository_the_index_shows_absolute_links_only(flipped, tmp_path):
    about = metadata_of(flipped, tmp_path)
    assert about["Description-Content-Type"] == "text/markdown"
    links, pictures = targets(rendered(about.get_payload()))
    assert pictures
    assert all(link.startswith("https://raw.githubusercontent.com/") for link in pictures)
    for link in [*links, *pictures]:
        assert link.startswith(("https://", "http://")), link
        inside = re.match(rf"(?:{THERE.files}|{THERE.raw})/([^#]+)", link)
        assert not inside or (ROOT / unquote(inside[1])).exists(), link
    assert f"{THERE.files}/notebooks/00_start_here.ipynb" in links
    # Every relative link of the README in the repository is among them.
    relative = re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", as_published(README, THERE))
    assert len([link for link in links + pictures if THERE.files in link or THERE.raw in link]) == (
        len(relative)
    )


def test_with_a_repository_the_prepared_lines_appear(flipped):
    told = {p.name: p.read_text("utf-8") for p in flipped.rglob("*.md")}
    told |= {name: (flipped / name).read_text("utf-8") for name in ("CITATION.cff",)}
    for name, text in told.items():
        assert PLACE not in unquote(text), name
        assert "published -->" not in text, name
    for line in ("`python -m pip install tlcourse && tlcourse lab`", "uvx --torch-backend cpu"):
        assert line in told["README.md"]
    first = "notebooks/00_start_here.ipynb"
    assert f"[in Colab]({THERE.colab(first)})" in told["README.md"]
    assert "Put its address in place of" not in told["README.md"]
    assert f"{THERE.url}/security/advisories/new" in told["SECURITY.md"]
    assert THERE.nbgitpuller(first) in told["jupyterhub.md"]
    assert yaml.safe_load(told["CITATION.cff"])["repository-code"] == THERE.url
    urls = tomllib.loads((flipped / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert all(url.startswith(THERE.url) for url in urls.values())


def test_rewriting_twice_changes_nothing_more(flipped):
    again = [sys.executable, "-m", "tools.repository"]
    said = subprocess.run(again, cwd=flipped, check=True, capture_output=True, text=True).stdout
    assert said == ""
    readme = (flipped / "README.md").read_text("utf-8")
    assert readme_for_index(readme, THERE) == readme_for_index(README, THERE)


def test_links_to_a_hub_hold_a_whole_address():
    link = unquote(Repository("a", "b", "c").nbgitpuller("n/00.ipynb", "https://hub.example"))
    assert link == (
        "https://hub.example/hub/user-redirect/git-pull"
        "?repo=https://github.com/a/b&branch=c&urlpath=lab/tree/b/n/00.ipynb"
    )


def test_another_setting_than_a_repository_is_refused():
    assert parse("https://github.com/OWNER/tlcourse") is None
    assert parse("https://github.com/a/b.git") == Repository("a", "b")
    with pytest.raises(ValueError, match=r"https://github\.com/you/tlcourse"):
        parse("https://example.org/a/b")


def test_the_files_say_the_same_of_the_course():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]
    (author,) = PROJECT["authors"]
    assert cited["authors"] == [author] == [{"name": "The tlcourse developers"}]
    assert set(cited["keywords"]) == set(PROJECT["keywords"])
    assert "the tlcourse developers" in (ROOT / "LICENSE").read_text("utf-8")
    assert all(url.startswith(setting()) for url in PROJECT["urls"].values())
