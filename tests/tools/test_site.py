"""The web page: it builds without a warning, and a browser finds nothing wrong with its pages."""

import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import nbformat
import pytest
from browser import in_a_browser
from bs4 import BeautifulSoup
from site_browser import Visit, served

pytest.importorskip("sphinx", reason="Sphinx is not installed (the extra `site`)")
ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
WITHOUT_OUTPUTS = """
import sys, nbformat
from tools.site import build

def stage(root, tree, *rest, whole=build.stage):
    settings = whole(root, tree, *rest)
    for path in (tree / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, 4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = []
        nbformat.write(notebook, path)
    return settings

build.stage = stage
sys.exit(build.main())
"""
REPOSITORY = "https://github.com/someone/somewhere"


def make(out, *options):
    command = [sys.executable, "-m", "tools.site", "--out", out, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The site with a repository, so that all that a page can have is there."""
    out = tmp_path_factory.mktemp("web") / "site"
    made = make(out, "--repository", REPOSITORY)
    assert made.returncode == 0, made.stdout + made.stderr
    assert not made.stderr
    assert "placeholder" not in made.stdout
    return out


@pytest.fixture(scope="session")
def pages(site):
    """Path on the site -> page."""
    files = [p for p in sorted(site.rglob("*.html")) if "_static" not in p.parts]
    return {
        p.relative_to(site).as_posix(): BeautifulSoup(p.read_text("utf-8"), "html.parser")
        for p in files
    }


@pytest.fixture(scope="module")
def address(site):
    with served(site) as address:
        yield address


@pytest.fixture
def visit(browser, address):
    """Open the site in one of the ways."""
    opened = []

    def visit(way="light"):
        opened.append(Visit(browser, address, way))
        return opened[-1]

    yield visit
    for one in opened:
        one.close()


# What is on the pages


def test_every_notebook_and_text_has_a_page(pages):
    texts = [*NOTEBOOKS, *(ROOT / "docs").glob("*.md")]
    expected = {path.relative_to(ROOT).with_suffix(".html").as_posix() for path in texts}
    expected |= {"index.html", "install.html", "licence.html", "search.html"}
    assert expected <= set(pages)
    navigation = pages["index.html"].select_one(".bd-sidebar-primary nav.bd-links")
    listed = [link["href"] for link in navigation.select("a")]
    assert expected - {"index.html", "search.html"} <= set(listed)
    lessons = [path for path in listed if path.startswith("notebooks/")]
    assert lessons == sorted(lessons)


def test_every_link_leads_to_a_page_and_a_place_on_it(pages, site):
    dead = []
    for name, page in pages.items():
        for tag, attribute in (("a", "href"), ("img", "src"), ("link", "href"), ("script", "src")):
            for found in page.find_all(tag, **{attribute: True}):
                target = found[attribute]
                parts = urlsplit(urljoin(f"http://here/{name}", target))
                if parts.netloc != "here" or target.startswith("data:"):
                    continue
                path = unquote(parts.path).lstrip("/") or "index.html"
                there = path in pages if path.endswith(".html") else (site / path).is_file()
                anchor = unquote(parts.fragment)
                if there and anchor and not pages[path].find(id=anchor):
                    there = False
                if not there:
                    dead.append(f"{name}: {target}")
    assert dead == []


def test_every_page_says_what_it_is(pages):
    told = {}
    for name, page in pages.items():
        assert page.html["lang"].startswith("en"), name
        assert page.title.text.strip(), name
        if name == "search.html" or name.startswith("sheets/"):
            continue
        told[name] = page.find("meta", attrs={"name": "description"})["content"]
        assert len(page.select("h1:not(.onlyprint h1)")) == 1, name
    assert len({page.title.text for page in pages.values()}) == len(pages)
    assert all(text.strip() for text in told.values()), told
    assert len(set(told.values())) == len(told)


def test_every_figure_of_a_notebook_is_there_with_its_words(pages):
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        outputs = [
            o for c in cells for o in c.get("outputs", []) if "text/html" in o.get("data", {})
        ]
        html = "".join(output.data["text/html"] for output in outputs)
        expected = [img["alt"] for img in BeautifulSoup(html, "html.parser").find_all("img")]
        page = pages[f"notebooks/{path.stem}.html"]
        shown = [img["alt"] for img in page.select("article .cell_output img")]
        assert shown == expected, path.name
        assert expected
    for name, page in pages.items():
        short = [img for img in page.select("article img") if len(img["alt"].split()) < 6]
        assert short == [], name


def test_what_was_printed_in_pieces_is_one_output(pages):
    for path in NOTEBOOKS:
        page = pages[f"notebooks/{path.stem}.html"]
        assert page.select(".cell_output > .stream"), path.name
        assert page.select(".cell_output > .stream + .stream") == [], path.name


def test_tables_have_one_line_of_headers(pages):
    seen = 0
    for path in NOTEBOOKS:
        page = pages[f"notebooks/{path.stem}.html"]
        about = page.select_one("article table.bare")
        assert [row.find(["th", "td"]).name for row in about.select("tr")] == ["th"] * 4
        for table in page.select("table.dataframe"):
            assert len(table.select("thead tr")) == 1, path.name
            assert all(th["scope"] in ("col", "row") for th in table.select("th"))
            seen += 1
    assert seen


def test_the_page_on_installing_says_where_a_copy_is(pages):
    page = pages["install.html"]
    assert page.find("a", href=f"{REPOSITORY}/archive/refs/heads/main.zip")
    assert f"git clone {REPOSITORY}\ncd somewhere\n" in page.select_one("article pre").text
    for name, page in pages.items():
        assert "OWNER/" not in page.text, name


def test_solutions_are_folded(pages):
    for path in NOTEBOOKS:
        page = pages[f"notebooks/{path.stem}.html"]
        headings = [h for h in page.select("article h4") if h.text.startswith("Solution")]
        assert len(headings) >= 3, path.name
        for heading in headings:
            folded = heading.find_next_sibling("details")
            assert folded is not None, heading.text
            assert not folded.has_attr("open")
            assert folded.summary.text.strip()
            assert folded.pre is not None, heading.text


def test_code_that_is_hidden_in_a_notebook_is_folded(pages):
    for path in NOTEBOOKS:
        code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        hidden = [c for c in code if c.metadata.get("jupyter", {}).get("source_hidden")]
        folded = pages[f"notebooks/{path.stem}.html"].select("article details.above-input")
        assert len(folded) == len(hidden), path.name


def test_a_notebook_is_downloaded_as_it_is(pages, site):
    for path in NOTEBOOKS:
        name = f"notebooks/{path.stem}.html"
        (link,) = pages[name].select("a.btn-download-source-button")
        target = urlsplit(urljoin(f"http://here/{name}", link["href"])).path
        assert (site / target.lstrip("/")).read_bytes() == path.read_bytes()


# Launch buttons


def test_launch_buttons_open_the_notebook_of_the_page(pages):
    for path in NOTEBOOKS:
        page = pages[f"notebooks/{path.stem}.html"]
        buttons = {a["href"] for a in page.select(".article-header-buttons a[href]")}
        notebook = f"notebooks/{path.name}"
        place = "someone/somewhere"
        binder = f"https://mybinder.org/v2/gh/{place}/main?urlpath=lab/tree/{notebook}"
        colab = f"https://colab.research.google.com/github/{place}/blob/main/{notebook}"
        assert {binder, colab, REPOSITORY} <= buttons
        assert f"{REPOSITORY}/blob/main/{notebook}?plain=1" in buttons
        note = page.select_one(".run-note")
        assert {binder, colab} <= {a["href"] for a in note.select("a")}
        assert f"%pip install git+{REPOSITORY}" in note.text


def test_without_a_repository_there_are_no_launch_buttons(tmp_path):
    """The notebooks' outputs, which take most of the time, are left out here."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    if "OWNER" not in urls["Repository"]:
        pytest.skip("pyproject.toml names a repository")
    command = [sys.executable, "-c", WITHOUT_OUTPUTS, "--out", tmp_path / "site"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert "pyproject.toml" in made.stdout
    for path in NOTEBOOKS:
        html = (tmp_path / "site" / "notebooks" / f"{path.stem}.html").read_text("utf-8")
        page = BeautifulSoup(html, "html.parser")
        links = {a["href"] for a in page.select(".article-header-buttons a[href], .run-note a")}
        assert not [link for link in links if link.startswith("http")]
        assert "pip install git+" not in page.select_one(".run-note").text


def test_what_cannot_be_used_is_refused_and_nothing_is_lost(tmp_path):
    kept = tmp_path / "letter.txt"
    kept.write_text("Dear reader")
    made = make(tmp_path)
    assert made.returncode == 1
    assert "is not a site" in made.stderr
    assert kept.read_text() == "Dear reader"
    made = make(tmp_path / "site", "--repository", "https://example.org/somewhere")
    assert made.returncode == 1
    assert "https://github.com/you/tlcourse" in made.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


# In a browser


@in_a_browser
def test_no_page_has_an_error_or_shuts_anybody_out(visit, pages):
    """All rules of axe, contrast in light and dark, and code that fits."""
    one = visit()
    found = {}
    for name in pages:
        one.open(name)
        one.switch("dark")
        found[name] = one.pale()
        one.switch("light")
        found[name] += one.inaccessible() + one.long_code()
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert one.wrong == []


@in_a_browser
def test_every_page_fits_a_phone_and_can_be_read_there(visit, pages):
    one = visit("phone")
    found = {}
    for name in pages:
        one.open(name)
        found[name] = one.too_wide() + one.small()
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert one.wrong == []


@in_a_browser
def test_search_finds_a_page_and_leads_to_it(visit):
    one = visit()
    one.open("index.html")
    one.tab.keyboard.press("Control+k")
    one.tab.keyboard.type("forgetting")
    one.tab.keyboard.press("Enter")
    result = one.tab.locator("#search-results a", has_text="Pattern 4").first
    result.wait_for(timeout=10_000)
    result.click()
    one.tab.wait_for_url("**/notebooks/05_fine_tuning.html*")
    assert "Forgetting" in one.tab.locator("article").inner_text()
    assert one.wrong == []


@in_a_browser
def test_a_solution_opens_by_mouse_and_by_keyboard(visit):
    one = visit()
    one.open("notebooks/05_fine_tuning.html")
    solutions = one.tab.locator("details", has=one.tab.get_by_text("Show the solution"))
    code = solutions.locator("pre")
    assert not code.first.is_visible()
    solutions.first.locator("summary").click()
    assert code.first.is_visible()
    solutions.nth(1).locator("summary").focus()
    one.tab.keyboard.press("Enter")
    assert code.nth(1).is_visible()
    one.tab.keyboard.press("Enter")
    assert not code.nth(1).is_visible()


@in_a_browser
def test_whoever_uses_the_keyboard_sees_where_they_are(visit):
    one = visit()
    one.open("notebooks/05_fine_tuning.html")
    reached = []
    while "run-note" not in reached:  # past the navigation and the buttons at the top
        assert len(reached) < 60
        one.tab.keyboard.press("Tab")
        at = one.tab.evaluate(
            """() => {
                const at = document.activeElement;
                const style = getComputedStyle(at);
                const seen = style.outlineStyle !== "none" || style.boxShadow !== "none";
                return [seen, at.closest(".run-note") ? "run-note" : at.outerHTML.slice(0, 99)];
            }"""
        )
        assert at[0], f"nothing shows that this has the focus: {at[1]}"
        reached.append(at[1])
    assert any("search-button" in html for html in reached)
    assert any("theme-switch-button" in html for html in reached)


@in_a_browser
def test_the_theme_is_chosen_and_remembered(visit):
    one = visit()
    one.open("index.html")
    theme = "document.documentElement.dataset.theme"
    ground = "getComputedStyle(document.body).backgroundColor"
    light = one.tab.evaluate(ground)
    one.tab.locator(".article-header-buttons .theme-switch-button").click()
    one.tab.locator(".article-header-buttons .theme-change-button[data-mode=dark]").click()
    assert one.tab.evaluate(theme) == "dark"
    assert one.tab.evaluate(ground) != light
    one.open("notebooks/00_start_here.html")
    assert one.tab.evaluate(theme) == "dark"
    assert one.tab.evaluate(ground) != light


@in_a_browser
def test_a_phone_reaches_every_page_through_its_menu(visit):
    one = visit("phone")
    one.open("notebooks/05_fine_tuning.html")
    link = one.tab.locator("#pst-primary-sidebar-modal, .bd-sidebar-primary").get_by_role(
        "link", name="06 Which layer"
    )
    assert not link.first.is_visible()
    one.tab.locator(".primary-toggle").first.click()
    link.first.click()
    one.tab.wait_for_url("**/06_which_layer.html")
    assert one.wrong == []


@in_a_browser
def test_a_page_is_read_without_a_server(browser, site):
    context = browser.new_context()
    tab = context.new_page()
    failed = []
    tab.on("requestfailed", lambda request: failed.append(request.url))
    tab.goto((site / "notebooks" / "01_what_layers_learn.html").as_uri())
    assert tab.locator("article img").first.evaluate("i => i.decode().then(() => i.naturalWidth)")
    tab.locator(".prev-next-area a").last.click()
    tab.wait_for_url("**/02_classifier.html")
    assert failed == []
    context.close()
