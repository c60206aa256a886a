"""Seconds from a key on a slider to the new picture, in JupyterLab and a headless Chromium.

    python -m benchmarks.explorers

Prints the median and the largest of several moves for each explorer, and how much memory the
kernel takes after 100 more moves than before them.
"""

import json
import statistics
import tempfile
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

from tests.helpers.browser import Lab, Page, chromium

START = """
import tlcourse as tl
backbone = tl.load_backbone(device="cpu")
photographs = tl.photographs("chelsea", "coffee", "rocket")
task = tl.load_task("emoji")
drawings = task.train.take(range(0, len(task.train), 2))
"""
LAYERS = "tl.widgets.explore_layers(backbone, photographs, drawings.take(range(60)))"
QUESTIONS = "tl.widgets.explore_predictions(backbone, photographs)"
NEIGHBOURS = """
layers = ["stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "embedding"]
features = tl.extract_features(backbone, drawings, layers, progress=False)
tl.widgets.explore_neighbours(features.x, drawings, classes=task.classes)
"""
# What is measured, explorer, slider, the picture that changes, and what is chosen before.
CASES = [
    ("layer: layer", LAYERS, "Layer", "img[alt^='Map of channel']", None),
    ("layer: channel", LAYERS, "Channel", "img[alt^='Map of channel']", None),
    ("neighbours: picture", NEIGHBOURS, "Picture", "img", None),
    ("neighbours: shallow layer", NEIGHBOURS, "Shallow layer", "figure ~ figure img", None),
    ("neighbours: map", NEIGHBOURS, "Map at layer", "img[alt^='Map by']", None),
    ("predictions: answer", QUESTIONS, "Blur", "img", "do not show"),
    ("predictions: Grad-CAM", QUESTIONS, "Blur", "img[alt^='Grad-CAM']", "Grad-CAM"),
    ("predictions: occlusion", QUESTIONS, "Blur", "img[alt^='Occlusion']", "occlusion"),
]
# Resolves with the milliseconds until the picture at a place has another source.
WAIT = """([place]) => new Promise((resolve) => {
    const find = () => document.querySelector(`.tlcourse-widget ${place}`)?.src;
    const before = find(), begun = performance.now();
    const look = () => {
        const now = find(), spent = performance.now() - begun;
        if ((now && now !== before) || spent > 10000) resolve(spent);
        else requestAnimationFrame(look);
    };
    look();
})"""


def moves(page: Page, slider: str, place: str, keys: list[str]) -> list[float]:
    """Seconds of each move."""
    handle = page.tab.get_by_role("slider", name=slider, exact=True)
    handle.focus()
    seconds = []
    for key in keys:
        page.settle()
        page.tab.evaluate(f"void (window.waiting = ({WAIT})([{json.dumps(place)}]))")
        page.tab.keyboard.press(key)
        seconds.append(page.tab.evaluate("window.waiting") / 1000)
    return seconds


def press(page: Page, slider: str, keys: list[str]) -> None:
    """Press keys, each when the explorer had time to answer the one before."""
    page.tab.get_by_role("slider", name=slider, exact=True).focus()
    for key in keys:
        page.tab.keyboard.press(key)
        page.tab.wait_for_timeout(150)
    page.settle()


def resident(lab: Lab) -> float:
    """MiB of the kernel."""
    (kernel,) = (
        process
        for process in psutil.Process(lab.process.pid).children(recursive=True)
        if "ipykernel_launcher" in process.cmdline()
    )
    return kernel.memory_info().rss / 2**20


def main() -> None:
    """Print a line for each explorer."""
    with tempfile.TemporaryDirectory() as place, sync_playwright() as play:
        lab = Lab(Path(place))
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            for name, cell, slider, where, option in CASES:
                page = Page(browser, lab, lab.write("case.ipynb", START + cell))
                page.run_all(300)
                if option:
                    page.tab.get_by_role("combobox").last.select_option(label=option)
                moves(page, slider, where, ["Home", "ArrowRight"])  # the first ones warm up
                seconds = moves(page, slider, where, ["ArrowRight", "ArrowLeft"] * 8)
                before = resident(lab)
                press(page, slider, ["ArrowRight", "ArrowLeft"] * 50)
                grown = resident(lab) - before
                print(
                    f"{name:30} median {statistics.median(seconds):.2f} s, largest "
                    f"{max(seconds):.2f} s, {grown:+.0f} MiB in 100 moves",
                    flush=True,
                )
                page.close()
        finally:
            browser.close()
            lab.close()


if __name__ == "__main__":
    main()
