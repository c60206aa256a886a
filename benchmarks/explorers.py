"""Seconds from a key on a slider to the new picture, in JupyterLab and a headless Chromium.

    python benchmarks/explorers.py

Prints the median and the largest of several moves for each explorer, and how much memory the
kernel takes after 100 more moves than before them.
"""

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import Lab, Page, chromium
from playwright.sync_api import sync_playwright

START = """
import os, psutil, tlcourse as tl
backbone = tl.load_backbone(device="cpu")
photographs = tl.photographs("chelsea", "coffee", "rocket")
task = tl.load_task("emoji")
drawings = task.train.take(range(0, len(task.train), 2))
"""
LAYERS = "tl.widgets.explore_layers(backbone, photographs, drawings.take(range(60)))"
PREDICTIONS = "tl.widgets.explore_predictions(backbone, photographs)"
NEIGHBOURS = """
layers = ["stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "embedding"]
features = tl.extract_features(backbone, drawings, layers, progress=False)
tl.widgets.explore_neighbours(features.x, drawings, classes=task.classes)
"""
# Explorer, what it is made with, slider, picture that changes (its place), option chosen before.
CASES = [
    ("layer: layer", LAYERS, "Layer", 1, None),
    ("layer: channel", LAYERS, "Channel", 1, None),
    ("neighbours: picture", NEIGHBOURS, "Picture", 0, None),
    ("neighbours: shallow layer", NEIGHBOURS, "Shallow layer", 1, None),
    ("neighbours: map", NEIGHBOURS, "Map at layer", -1, None),
    ("predictions: blur, Grad-CAM", PREDICTIONS, "Blur", 1, "Grad-CAM"),
    ("predictions: blur, occlusion", PREDICTIONS, "Blur", 1, "occlusion"),
]
# Resolves with the milliseconds until the picture at a place has another source.
WAIT = """([place]) => new Promise((resolve) => {
    const find = () => [...document.querySelectorAll(".jupyter-widgets img")].at(place)?.src;
    const before = find(), begun = performance.now();
    const look = () => {
        const now = find();
        if (now && now !== before) resolve(performance.now() - begun);
        else requestAnimationFrame(look);
    };
    look();
})"""


def moves(page: Page, slider: str, place: int, keys: list[str]) -> list[float]:
    """Seconds of each move."""
    handle = page.tab.get_by_role("slider", name=slider, exact=True)
    handle.focus()
    seconds = []
    for key in keys:
        page.settle()
        page.tab.evaluate(f"window.waiting = ({WAIT})([{place}])")
        page.tab.keyboard.press(key)
        seconds.append(page.tab.evaluate("window.waiting") / 1000)
    return seconds


def resident(page: Page) -> float:
    """MiB of the kernel, as the second cell prints it."""
    page.tab.evaluate("window.jupyterapp.commands.execute('notebook:run-cell')")
    page.tab.wait_for_timeout(2000)
    return float(page.tab.locator(".jp-OutputArea-output pre").last.inner_text())


def main() -> None:
    """Print a line for each explorer."""
    with tempfile.TemporaryDirectory() as place, sync_playwright() as play:
        lab = Lab(Path(place))
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            for name, cell, slider, where, option in CASES:
                memory = "print(psutil.Process().memory_info().rss / 2**20)"
                page = Page(browser, lab, lab.write("case.ipynb", START + cell, memory))
                page.run_all(300)
                if option:
                    page.tab.get_by_role("combobox").last.select_option(label=option)
                keys = ["Home", *["ArrowRight", "ArrowRight", "ArrowLeft"] * 5]
                moves(page, slider, where, keys[:3])  # the first ones warm up
                seconds = moves(page, slider, where, keys[1:])
                before = resident(page)
                moves(page, slider, where, ["ArrowRight", "ArrowLeft"] * 50)
                grown = resident(page) - before
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
