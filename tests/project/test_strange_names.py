"""Names of folders and files that look like HTML, scripts, formulas or commands are shown as text.

The pages that show them can be used by everyone. The names go the whole way: folder, task, result, figures, report, saved result, page, explorers.
"""

import csv
import json
import os
import shutil
import sys
from dataclasses import replace

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from browser import in_a_browser
from matplotlib.text import Text
from PIL import Image
from serving import served_by_thread
from site_browser import Visit
from tiny_comparisons import compared, network_for
from tiny_sounds import encoded, sound, tone
from tiny_tasks import tiny_backbone

import tlcourse as tl
from tlcourse.base.html import GREEN, box
from tlcourse.base.messages import printable
from tlcourse.cli import run_report
from tlcourse.cli.execute import Failure, Outcome
from tlcourse.plots.figure import mime_bundle
from tlcourse.widgets.explorer import Explorer

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names of files")
NAMES = (
    "<img src=x onerror=pwned=1>",
    '"><script>pwned=1<',
    "' onmouseover='pwned=1",
    "<svg onload=pwned=1>",
    "javascript:pwned=1",
    "{{7*7}}{% raw",
    "$x^2$ $\\frac{",
    "`a` [b](c)|*d*",
    "=1+1",
    "&lt;b&gt;",
    "\x1b[31m\u202ered",
    "line\nbreak",
)
if sys.platform == "linux":  # other systems want Unicode
    NAMES = (*NAMES, os.fsdecode(b"\xff\xfe"))
SHOWN = tuple(map(printable, NAMES))
CLOSING = "</title></script></style><script>pwned=1</script>"  # no folder can be called so
HARM = """() => {
    const all = [...document.querySelectorAll("*")];
    const acts = (el) => el.getAttributeNames().some((name) => name.startsWith("on"));
    return [
        ...(window.pwned === undefined ? [] : ["a script ran"]),
        ...all.filter((el) => acts(el) || ["svg", "IFRAME", "OBJECT"].includes(el.tagName)),
        ...[...document.scripts].filter((script) => !script.nonce),
        ...[...document.images].filter((image) => !/^(data|blob):/.test(image.src)),
        ...[...document.links].filter((link) => !/^(https?|file):/.test(link.protocol)),
    ].map((found) => found.outerHTML?.slice(0, 100) ?? found);
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names") / NAMES[0]
    pixels = np.random.default_rng(0).integers(0, 256, (len(NAMES), 8, 9, 9, 3), dtype=np.uint8)
    for name, pictures in zip(NAMES, pixels, strict=True):
        (folder / name).mkdir(parents=True)
        for i, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / name / f"{i} {name}.png")
        (folder / name / f"{name}.jpg").write_bytes(b"nonsense")
    return folder


@pytest.fixture(scope="module")
def task(folder):
    return tl.load_task(folder)


@pytest.fixture(scope="module")
def result(task):
    return tl.patterns.standalone_extractor(tiny_backbone(), task, progress=False)


@pytest.fixture(scope="module")
def comparison(task):
    skipped = [(file.name, file.reason) for file in task.skipped]
    wrong = {"classifier": {"test": [0, 1]}, "fine_tune": {}}
    return compared(task, wrong, skipped=skipped, network=network_for(task))


@pytest.fixture(scope="module")
def strangers(result, tmp_path_factory):
    """A saved result into whose file somebody wrote other names."""
    saved = result.save(tmp_path_factory.mktemp("saved") / "model")
    about = json.loads((saved / "model.json").read_text("utf-8"))
    about |= {"task": f"{CLOSING}\u202e\udcff", "classes": [CLOSING, "\udcff", *NAMES[2:]]}
    (saved / "model.json").write_text(json.dumps(about), "utf-8")
    return tl.load_result(saved, device="cpu")


@pytest.fixture
def show(browser, tmp_path):
    """Show a page of a folder; its script may run, unless the page itself forbids that."""
    visits = []

    def show(text):
        (tmp_path / "page.html").write_text(text, "utf-8")
        visits.append(Visit(browser, tmp_path.as_uri() + "/"))
        visits[-1].open("page.html")
        return visits[-1]

    yield show
    for visit in visits:
        visit.close()


def plain(text):
    """As a browser shows it, which makes one of several spaces."""
    return " ".join(text.split())


def test_a_task_and_what_is_saved_hold_names_that_can_be_printed(task, result, strangers):
    assert set(task.classes) == set(SHOWN)
    told = [
        *task.classes,
        *task.train.names,
        *map(str, task.skipped),
        task.name,
        *strangers.classes,
    ]
    assert all(text.isprintable() for text in [*told, strangers.task])
    said = f"{task}{result}{result.predict(task.test[0][0])}{strangers}"
    assert "\x1b" not in said
    assert "\\x1b[31m\\u202ered" in said


def test_figures_draw_names_as_they_are(task, result, comparison):
    pictures = dict.fromkeys(SHOWN[6:8], task.train[0][0])
    figures = [
        tl.plots.confusion(result.confusion, task.classes),
        tl.plots.examples(task, n=1),
        tl.plots.predictions(result.backbone, pictures),
        tl.plots.lines([1, 2], {name: [0, 1] for name in SHOWN}),
    ]
    for figure in figures:
        assert mime_bundle(figure, figure.alt)["text/html"].count("<") == 1
        with_dollars = [text for text in figure.findobj(Text) if "$" in text.get_text()]
        assert with_dollars
        assert not any(text.get_parse_math() for text in with_dollars)


@in_a_browser
def test_a_report_shows_names_as_text(comparison, show, tmp_path):
    visit = show((comparison.save(tmp_path / "out") / "report.html").read_text("utf-8"))
    tab = visit.tab
    text = plain(tab.inner_text("body"))
    for name in SHOWN:
        assert plain(f"{name}/{name}.jpg: it is not a picture") in text
    assert SHOWN[0] in tab.title()
    assert tab.evaluate(HARM) == []
    can_be_used(visit)
    # Were a name written as it is, its script would not run either.
    tab.evaluate('document.body.innerHTML += \'<img src="data:," onerror="pwned = 1">\'')
    tab.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), { text: 'pwned = 1' }))"
    )
    tab.wait_for_timeout(100)
    assert tab.evaluate("window.pwned") is None
    with (tmp_path / "out" / "skipped.csv").open(encoding="utf-8", newline="") as file:
        listed = [picture for picture, _ in csv.reader(file)]
    assert "./=1+1/=1+1.jpg" in listed
    assert not [name for name in listed if name[0] in "=+-@"]


@in_a_browser
def test_the_page_of_a_strangers_result_shows_names_as_text(
    strangers, task, folder, browser, tmp_path
):
    with served_by_thread(strangers) as address:
        visit = Visit(browser, address)
        visit.open("")
        for place, name in enumerate(NAMES[:-1]):
            mine = shutil.copy(next((folder / NAMES[place]).glob("0*.png")), tmp_path / name)
            visit.tab.get_by_label("Choose a picture").set_input_files(mine)
            shown = (
                name.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd").replace("\n", "\ufffd")
            )
            visit.tab.get_by_text(f"{shown}: ").wait_for()
            assert visit.tab.get_by_role("img").get_attribute("alt") == f"Your picture, {shown}"
        (tmp_path / NAMES[0]).write_bytes(b"nonsense")
        visit.tab.get_by_label("Choose a picture").set_input_files(tmp_path / NAMES[0])
        visit.tab.get_by_text(f"{NAMES[0]}: ").wait_for()
        assert visit.tab.evaluate(HARM) == []
        rows = visit.tab.locator("#answers tbody th").all_text_contents()
        assert set(rows) == set(strangers.classes)
        assert CLOSING in visit.tab.title()
        visit.close()


@in_a_browser
def test_explorers_show_names_as_text(task, result, show):
    pictures = dict.fromkeys(SHOWN[:2], task.train[0][0])
    network = replace(result.backbone, classes=task.classes)
    x = {name: np.random.default_rng(0).normal(size=(len(task.train), 3)) for name in SHOWN[:2]}
    table = pd.DataFrame({"class": SHOWN, "probability": 1 / len(SHOWN)})
    heard = tl.widgets.own_sound({name: lambda _: table for name in SHOWN})
    heard._take(SHOWN[0], encoded(tone()))
    refused = tl.widgets.own_sound({})
    refused._take(SHOWN[3], b"nonsense")
    explorers = [
        tl.widgets.explore_layers(network, pictures, task.train[:5]),
        tl.widgets.explore_predictions(network, pictures),
        tl.widgets.explore_shift(dict.fromkeys(SHOWN[:2], network), pictures),
        tl.widgets.explore_neighbours(x, task.train, classes=task.classes, credit=SHOWN[1]),
        tl.widgets.explore_training(network, task, runs={name: [0.3, 0.5] for name in SHOWN}),
        *(heard, refused),
    ]
    tab = show("\n".join(map(html_of, explorers))).tab
    assert tab.evaluate(HARM) == []
    text = plain(tab.inner_text("body"))
    for name in SHOWN:
        assert text.count(plain(name)) >= 3, name
    for explorer in explorers:
        explorer.close()


@in_a_browser
def test_the_report_of_a_run_shows_names_as_text(show):
    failure = Failure(1, SHOWN[0], SHOWN[1], SHOWN[3])
    outcomes = [Outcome(name, "failed", 1.0, 1, 1, None, failure) for name in SHOWN]
    outcomes += [Outcome("good", "passed", 1.0, 1, 1), Outcome("late", "not run")]
    visit = show(run_report.report(outcomes, {SHOWN[0]: SHOWN[1]}))
    text = plain(visit.tab.inner_text("body"))
    for name in SHOWN:
        assert text.count(plain(name)) >= 2, name
    assert visit.tab.evaluate(HARM) == []
    can_be_used(visit)


@in_a_browser
def test_small_outputs_of_a_notebook_can_be_used_by_everyone(show):
    outputs = [
        tl.progress()._repr_html_(),
        box("!", SHOWN[0], GREEN, SHOWN[1]),
        replace(sound(), caption=SHOWN[0])._repr_html_(),
    ]
    page = "<!DOCTYPE html><html lang=en><title>Outputs</title><main><h1>Outputs</h1>{}</main>"
    visit = show(page.format("".join(outputs)))
    player = visit.tab.get_by_label(f"{SHOWN[0]}, 0.50 s")
    assert player.evaluate("player => player.controls")
    visit.tab.keyboard.press("Tab")
    assert player.evaluate("player => player === document.activeElement")
    assert visit.tab.evaluate(HARM) == []
    can_be_used(visit)


def can_be_used(visit):
    """Axe finds nothing wrong, in light and in dark, and all fits a narrow window or scrolls."""
    assert visit.inaccessible() == []
    visit.tab.emulate_media(color_scheme="dark")
    assert visit.pale() == []
    visit.tab.set_viewport_size({"width": 360, "height": 740})
    assert visit.tab.evaluate("document.documentElement.scrollWidth") <= 360


def html_of(widget):
    """All that a widget and its parts give to the browser as HTML."""
    if isinstance(widget, ipywidgets.HTML):
        return widget.value
    own = widget._repr_mimebundle_() if isinstance(widget, Explorer) else {}
    return own.get("text/html", "") + "".join(map(html_of, getattr(widget, "children", ())))
