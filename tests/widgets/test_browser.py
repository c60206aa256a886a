"""The explorers in JupyterLab, used by a real browser.

All stand in one notebook, each in a cell of its own, since a kernel takes longest to start.
Screenshots go to the folder that TLCOURSE_SCREENSHOTS names, or to a temporary one.
"""

import base64
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from browser import Lab, Page, in_a_browser
from PIL import Image
from tiny_sounds import encoded, tone

import tlcourse as tl

pytestmark = in_a_browser
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
BACKBONE = """
import pandas as pd
import tlcourse as tl
backbone = tl.load_backbone(device="cpu")
photographs = tl.photographs("chelsea", "coffee", "rocket")
things = tl.load_task("things")
"""
LAYERS = "tl.widgets.explore_layers(backbone, photographs, things.train)"
QUESTIONS = "tl.widgets.explore_predictions(backbone, photographs)"
SHIFT = "tl.widgets.explore_shift(backbone, photographs)"
NEIGHBOURS = """
shown = things.train
features = tl.extract_features(backbone, shown, ["stage1", "stage4", "embedding"], progress=False)
tl.widgets.explore_neighbours(
    features.x, shown, classes=things.classes, credit="Photographs: GCompris, public domain or CC0"
)
"""
TRAINING = """
from dataclasses import replace
task = tl.load_task("digits")
task = replace(task, train=task.train[:60], val=task.val[:30])
tl.widgets.explore_training(backbone.at_size(96), task, runs={"in the lesson": [0.3, 0.5, 0.6]})
"""
STRANGE = "<img src=x onerror=pwned=1> $x^2$"
OWN_SOUND = f"""
def how_long(sound):
    return pd.DataFrame({{"class": [f"{{sound.seconds:.2f}} s", "{STRANGE}"], "probability": [1, 0]}})
tl.widgets.own_sound({{"how long": how_long, "{STRANGE}": how_long}})
"""
OUTPUTS = f"""
print("{STRANGE}")
display(pd.DataFrame({{"class": ["{STRANGE}"]}}))
tl.load_task("things")
"""
CELLS = {
    "setup": BACKBONE,
    "layers": LAYERS,
    "predictions": QUESTIONS,
    "neighbours": NEIGHBOURS,
    "training": TRAINING,
    "shift": SHIFT,
    "own_sound": OWN_SOUND,
    "outputs": OUTPUTS,
}
EXPLORERS = list(CELLS)[1:-1]
# How an element shows that it has the focus, and what the keyboard stops at.
LOOK = """el => {
    const { outlineStyle, boxShadow, borderColor } = getComputedStyle(el);
    return [outlineStyle, boxShadow, borderColor].join();
}"""
STOPS = "a[href], audio, button, input:not([hidden]), select, summary, [tabindex='0']"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    named = os.environ.get("TLCOURSE_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def page(lab, browser):
    """All explorers on one page; a test uses its own and leaves the others alone."""
    page = Page(browser, lab, lab.write("explorers.ipynb", *CELLS.values()))
    page.run_all(400)
    page.settle()
    yield page
    page.close()


@pytest.fixture
def show(page):
    """One of the explorers."""
    return lambda name: page.output(list(CELLS).index(name))


def decoded(source):
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """A photograph of 20 MB as a turned camera stores it."""
    picture = tl.photographs("coffee")["coffee"].resize((6000, 4000)).rotate(90, expand=True)
    noise = np.random.default_rng(0).integers(-24, 24, (picture.height, picture.width, 1))
    noisy = (np.asarray(picture, dtype=np.int16) + noise).clip(0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees to the right
    path = tmp_path_factory.mktemp("photograph") / "cup.jpg"
    Image.fromarray(noisy).save(path, quality=97, exif=exif)
    assert path.stat().st_size > 15e6
    return path


def looks_right(page, screenshots, name):
    """Take a picture for people, and check what a program can check of it."""
    shot = Image.open(io.BytesIO(page.at.screenshot())).convert("RGB")
    shot.quantize(256).save(screenshots / f"{name}.png", optimize=True)
    assert page.failures() == []
    assert page.too_wide() == []


def test_the_layer_explorer_follows_mouse_and_keyboard(show, screenshots):
    page = show("layers")
    before = page.pictures()
    page.drag("Layer", 0.25)
    page.settle()
    dragged = page.pictures()
    assert set(before) != set(dragged)
    assert page.at.get_by_text("Map of channel").first.inner_text().count("stage2") == 1
    page.at.get_by_role("slider", name="Channel", exact=True).focus()
    page.tab.keyboard.press("ArrowRight")
    page.settle()
    assert page.pictures() != dragged
    assert page.at.get_by_text("it is number 2 of").count() == 1
    page.tab.keyboard.press("Home")
    page.drag("Layer", 0.55)  # where a channel that finds eyes is the first
    page.settle()
    looks_right(page, screenshots, "layer_explorer")


def test_an_uploaded_photograph_is_predicted_upright_and_a_bad_file_is_a_sentence(
    show, photograph, tmp_path
):
    page = show("predictions")
    page.choose("Choose a picture of yours", photograph)
    page.tab.wait_for_function(
        "output => output.querySelector('select').value.startsWith('yours')",
        arg=page.at.element_handle(),
    )
    page.at.get_by_role("rowheader", name="espresso").wait_for()
    page.settle()
    assert "espresso" in page.at.locator("table").first.inner_text()
    preprocess = tl.load_backbone(device="cpu").preprocess
    upright = preprocess.to_array(preprocess(tl.photographs("coffee")["coffee"]))
    shown = np.asarray(decoded(page.pictures()[0])) / 255
    away = [np.abs(np.rot90(upright, turns) - shown).mean() for turns in range(4)]
    assert np.argmin(away) == 0
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(photograph.read_bytes()[:1000])
    page.choose("Choose a picture of yours", bad)
    page.at.get_by_role("alert").wait_for()
    assert "bad.jpg cannot be read" in page.at.get_by_role("alert").inner_text()
    assert page.failures() == []
    page.run_cell(list(CELLS).index("predictions"))  # nothing is left of the upload
    page.settle()
    assert page.at.get_by_text("yours:").count() == 0
    assert page.at.locator(".widget-vbox.tlcourse-widget").count() == 1
    assert page.failures() == []


def test_the_prediction_explorer_follows_its_sliders(show, screenshots):
    page = show("predictions")
    table = page.at.locator("table").first
    assert "cat" in table.inner_text()
    before, answers = page.pictures(), table.inner_text()
    page.drag("Blur", 1.0)
    page.wait_for_another_picture(before[0])
    page.settle()
    assert table.inner_text() != answers
    looks_right(page, screenshots, "prediction_explorer")


def test_an_uploaded_sound_is_played_and_answered_and_a_bad_file_is_a_sentence(
    show, screenshots, tmp_path
):
    page = show("own_sound")
    good, bad = tmp_path / f"{STRANGE if os.name != 'nt' else 'mine'}.wav", tmp_path / "bad.wav"
    good.write_bytes(encoded(tone(seconds=2, rate=48_000), 48_000))
    bad.write_bytes(good.read_bytes()[:40])
    page.choose("Choose a sound of yours", bad)
    page.at.get_by_role("alert").wait_for()
    assert "bad.wav cannot be read" in page.at.get_by_role("alert").inner_text()
    assert page.at.locator("audio").count() == 0
    page.choose("Choose a sound of yours", good)
    page.at.get_by_role("rowheader", name="2.00 s").first.wait_for()
    page.settle()
    assert page.at.get_by_role("alert").count() == 0
    said = page.at.get_by_role("status").inner_text()
    assert said.startswith(f"{good.name}, how long: 2.00 s, 100%; {STRANGE}: 2.00 s")
    player = page.at.locator("audio")
    assert player.get_attribute("aria-label") == f"{good.name}, 2.00 s"
    assert page.at.locator("figcaption").last.inner_text() == f"{good.name}, 2.00 s"
    player.evaluate("audio => audio.load()")
    page.tab.wait_for_function("() => document.querySelector('audio').duration > 1.9")
    assert page.at.locator("caption").last.inner_text() == STRANGE
    looks_right(page, screenshots, "own_sound")


def test_the_neighbour_explorer_moves_its_map(show, screenshots):
    page = show("neighbours")
    the_map = page.at.locator("img[alt^='Map by PCA']")
    chosen = page.at.locator("img").first
    before = the_map.get_attribute("src"), chosen.get_attribute("src")
    page.drag("Map at layer", 0.0)
    page.settle()
    assert the_map.get_attribute("src") != before[0]
    assert chosen.get_attribute("src") == before[1]
    page.at.get_by_role("slider", name="Picture", exact=True).focus()
    page.tab.keyboard.press("ArrowRight")
    page.settle()
    assert chosen.get_attribute("src") != before[1]
    looks_right(page, screenshots, "neighbour_explorer")


def test_a_training_is_stopped_while_it_runs_and_another_one_ends(show, screenshots):
    page = show("training")
    train = page.at.get_by_role("button", name="Train", exact=True)
    stop = page.at.get_by_role("button", name="Stop", exact=True)
    focus = "() => document.activeElement.textContent"
    page.drag("Frozen up to", 0.0)
    page.drag("Epochs", 1.0)
    train.focus()
    page.tab.keyboard.press("Enter")
    bar = page.at.locator("progress")
    bar.wait_for()
    assert page.tab.evaluate(focus) == "Train"  # a disabled button would have lost it
    stop.focus()
    page.tab.keyboard.press("Enter")
    page.at.get_by_text("stopped").first.wait_for(timeout=10_000)
    bar.wait_for(state="detached")
    assert page.tab.evaluate(focus) == "Stop"
    page.drag("Epochs", 0.0)
    train.click()
    ended = page.at.locator("tbody tr").nth(2).get_by_text("(epoch 1)")
    ended.wait_for(timeout=90_000)
    page.at.get_by_text("Done", exact=True).wait_for()
    page.settle()
    looks_right(page, screenshots, "training_explorer")


def test_the_shift_explorer_follows_its_slider(show, screenshots):
    page = show("shift")
    table = page.at.locator("table").first
    assert "cat" in table.inner_text()
    before, answers = page.pictures(), table.inner_text()
    page.drag("Strength", 1.0)
    page.wait_for_another_picture(before[0])
    page.settle()
    assert table.inner_text() != answers
    page.at.get_by_label("Corruption").select_option("scale")
    page.at.get_by_text("scale, strength 5").wait_for()
    page.settle()
    looks_right(page, screenshots, "shift_explorer")


@pytest.mark.parametrize(("theme", "width"), [("Light", 1200), ("Dark", 640)])
def test_explorers_are_readable_in_the_light_and_in_the_dark_at_200_percent(
    page, show, screenshots, theme, width
):
    page.look(theme, width)
    assert page.inaccessible() == []
    assert page.pale() == []
    for name in EXPLORERS if theme == "Dark" else ():
        looks_right(show(name), screenshots, f"{name}_dark_200")


@pytest.mark.parametrize("name", EXPLORERS)
def test_the_keyboard_goes_through_an_explorer_and_out_of_it(show, name):
    page = show(name)
    stops = [
        stop for stop in page.at.locator(STOPS).all() if stop.is_visible() and stop.is_enabled()
    ]
    stops[0].focus()
    page.tab.keyboard.press("Tab")
    page.tab.keyboard.press("Shift+Tab")  # a focus that comes by keyboard is shown
    places, unseen = [], []
    while page.at.evaluate("output => output.contains(document.activeElement)"):
        assert len(places) < 60, "the keyboard does not come out"
        now = page.tab.evaluate_handle("document.activeElement")
        places.append(now.evaluate("now => [...document.querySelectorAll('*')].indexOf(now)"))
        focused = now.evaluate(LOOK)
        page.tab.keyboard.press("Tab")
        if now.evaluate(LOOK) == focused:
            unseen.append(now.evaluate("now => now.outerHTML.slice(0, 200)"))
    assert places == sorted(places)
    # A browser shows the focus inside its own player.
    assert [html for html in unseen if not html.startswith("<audio")] == []
    assert len(set(places)) >= len(stops)


def test_strange_names_are_text_in_outputs(page, show):
    out = page.tab.locator(".jp-CodeCell").last
    assert STRANGE in out.locator("pre").first.inner_text()
    assert page.tab.evaluate("window.pwned") is None
    assert page.tab.locator("img[src='x']").count() == 0


def test_the_whole_first_notebook_runs_and_takes_a_picture(lab, browser, photograph):
    shutil.copytree(NOTEBOOKS, lab.folder / "notebooks")
    page = Page(browser, lab, "notebooks/00_start_here.ipynb")
    page.run_all(180)
    before = page.tab.locator("img").count()
    page.choose("Choose a picture of yours", photograph)
    page.tab.wait_for_function(f"document.querySelectorAll('img').length > {before}")
    answer = page.tab.locator(".jupyter-widgets img").get_attribute("alt")
    assert "espresso" in answer
    page.tab.get_by_role("status").get_by_text("espresso").wait_for()
    assert page.failures() == []
    page.close()
