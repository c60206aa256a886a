"""JupyterLab and a headless Chromium that uses it."""

import copy
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

_QUIET_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # render what is out of sight, too
}
RUN_ALL = "window.jupyterapp.commands.execute('notebook:run-all-cells')"


def chromium():
    """Path of the installed Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


in_a_browser = pytest.mark.skipif(
    chromium() is None,
    reason="no Chromium is installed (Debian and Ubuntu: apt-get install chromium)",
)


class Lab:
    """A JupyterLab of its own, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        settings = folder / "settings"
        for name, values in _QUIET_SETTINGS.items():
            self.set(settings, name, values)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            f"--ServerApp.port={self.port}",
            "--ServerApp.ip=127.0.0.1",
            "--IdentityProvider.token=",
            f"--ServerApp.root_dir={self.folder}",
            f"--LabApp.user_settings_dir={settings}",
            f"--LabApp.workspaces_dir={folder / 'workspaces'}",
            "--LabApp.expose_app_in_browser=True",
        ]
        environment = os.environ | {"JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
        self.log = (folder / "lab.log").open("w")
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=self.log, stderr=self.log
        )
        self._wait_until_ready()

    def set(self, folder: Path, name: str, values: dict) -> None:
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def write(self, name: str, *sources: str) -> str:
        """Make a small notebook."""
        notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, self.folder / name)
        return name

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError("JupyterLab did not start; see lab.log")


class Page:
    """A browser tab that shows one notebook, and what went wrong in it.

    Attributes:
        at: Where to look for what is pressed, dragged and read: the whole tab, or one output.
    """

    def __init__(self, browser, lab: Lab, notebook: str, **options) -> None:
        self.errors: list[str] = []
        options = {"viewport": {"width": 1200, "height": 1500}} | options
        self.context = browser.new_context(**options)
        self.tab = self.context.new_page()
        self.at = self.tab.locator("body")
        self.tab.on("console", self._hear)
        self.tab.on("pageerror", lambda error: self.errors.append(f"page: {error}"))
        self.tab.goto(f"http://127.0.0.1:{lab.port}/lab/tree/{notebook}?reset")
        self.tab.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        self.tab.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel"
            "?.status === 'idle'",
            timeout=60_000,
        )
        self.tab.evaluate("window.jupyterapp.shell.collapseLeft()")

    def _hear(self, message) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text} ({message.location.get('url', '')})")

    def output(self, cell: int) -> "Page":
        """The same page, but all that is pressed, dragged and read lies in the output of a cell."""
        part = copy.copy(self)
        part.at = self.tab.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea-output").last
        return part

    def run_cell(self, cell: int, seconds: float = 120) -> None:
        """Run one cell again and wait for it."""
        self.tab.evaluate(
            """async (cell) => {
                window.jupyterapp.shell.currentWidget.content.activeCellIndex = cell;
                await window.jupyterapp.commands.execute("notebook:run-cell");
            }""",
            cell,
        )
        self.wait_until_idle(seconds)

    def look(self, theme: str, width: int) -> None:
        """Change the theme and the width of the window; half the width is a zoom of 200 %."""
        self.tab.set_viewport_size({"width": width, "height": 1500})
        self.tab.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })",
            f"JupyterLab {theme}",
        )
        self.tab.wait_for_function(
            "(theme) => document.body.dataset.jpThemeName === theme", arg=f"JupyterLab {theme}"
        )

    def run_all(self, seconds: float = 120) -> None:
        """Run all cells and wait until the kernel has nothing more to do."""
        self.tab.evaluate(RUN_ALL)
        self.wait_until_idle(seconds)

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until all cells have run and the kernel does nothing."""
        self.tab.wait_for_function(
            """() => {
                const panel = window.jupyterapp.shell.currentWidget;
                const cells = panel.content.widgets.filter((c) => c.model.type === "code");
                const done = cells.every((c) => !c.model.sharedModel.source.trim()
                    || c.model.executionCount);
                return done && panel.sessionContext.session.kernel.status === "idle";
            }""",
            timeout=1000 * seconds,
        )

    def choose(self, button: str, path: Path) -> None:
        """Press an upload button and choose a file."""
        with self.tab.expect_file_chooser() as chooser:
            self.at.get_by_role("button", name=button).click()
        chooser.value.set_files(path)

    def drag(self, name: str, to: float, *, moves: int = 25) -> None:
        """Drag the handle of a slider to a share of its length, in many small moves."""
        slider = self.at.get_by_role("slider", name=name, exact=True)
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        now = slider.evaluate("s => (s.value - s.min) / ((s.max - s.min) || 1)")
        handle = 16  # pixels; its middle never comes nearer to an end than half of it
        x = [box["x"] + handle / 2 + share * (box["width"] - handle) for share in (now, to)]
        y = box["y"] + box["height"] / 2
        self.tab.mouse.move(x[0], y)
        self.tab.mouse.down()
        self.tab.mouse.move(x[1], y, steps=moves)
        self.tab.mouse.up()

    def settle(self) -> None:
        """Wait until no explorer computes any more."""
        self.tab.wait_for_function(
            """() => new Promise((resolve) => setTimeout(() => resolve(
                ![...document.querySelectorAll("[role=status]")]
                    .some((line) => line.textContent.includes("Computing"))), 400))""",
            timeout=60_000,
        )

    def wait_for_another_picture(self, before: str) -> None:
        """Wait until the first picture in the widgets has another source than before."""
        self.tab.wait_for_function(
            "([output, before]) => output.querySelector('.jupyter-widgets img').src !== before",
            arg=[self.at.element_handle(), before],
            timeout=60_000,
        )

    def pictures(self) -> list[str]:
        """Sources of all pictures in the widgets."""
        found = self.at.locator(".jupyter-widgets img")
        return found.evaluate_all("all => all.map((image) => image.src)")

    def too_wide(self) -> list[str]:
        """Parts of widgets that reach out of the notebook's outputs to the right."""
        return self.tab.evaluate(
            """() => [...document.querySelectorAll(".jp-OutputArea-output")].flatMap((output) => {
                const edge = output.getBoundingClientRect().right + 1;
                return [...output.querySelectorAll("img, input, button, select, figcaption, svg")]
                    .filter((part) => part.getBoundingClientRect().right > edge)
                    .map((part) => `${part.tagName} ${part.textContent}`);
            })"""
        )

    def inaccessible(self) -> list[str]:
        """What the accessibility checker axe finds wrong in the widgets."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.tab, context=".jupyter-widgets").response["violations"]
        return [f"{v['id']}: {n['html'][:200]}" for v in found for n in v["nodes"]]

    def pale(self) -> list[str]:
        """Texts in the widgets whose contrast to what lies behind them is below 4.5 to 1.

        That is the bound of WCAG 2.1, level AA. (axe passes over the inside of notebooks here.)
        """
        return self.tab.evaluate(
            """() => {
                const parse = (text) => text.match(/[\\d.]+/g).map(Number);
                const light = ([r, g, b]) => [r, g, b]
                    .map((v) => v / 255)
                    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
                    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
                const behind = (el) => {
                    for (let at = el; at; at = at.parentElement) {
                        const colour = parse(getComputedStyle(at).backgroundColor);
                        if ((colour[3] ?? 1) > 0.5) return colour;
                    }
                    return [255, 255, 255];
                };
                const found = [];
                for (const el of document.querySelectorAll(".jupyter-widgets *")) {
                    const own = [...el.childNodes]
                        .filter((node) => node.nodeType === Node.TEXT_NODE)
                        .map((node) => node.textContent.trim()).join(" ");
                    if (!own || el.disabled || el.closest("[disabled]")) continue;
                    const style = getComputedStyle(el);
                    const ink = el instanceof SVGElement ? style.fill : style.color;
                    const [a, b] = [light(parse(ink)), light(behind(el))].sort((x, y) => y - x);
                    const ratio = (a + 0.05) / (b + 0.05);
                    if (ratio < 4.5) found.push(`${ratio.toFixed(1)}: ${own.slice(0, 60)}`);
                }
                return found;
            }"""
        )

    def failures(self) -> list[str]:
        """Errors in outputs, widgets that did not render, errors of the console."""
        outputs = self.tab.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets
                .filter((c) => c.model.type === "code")
                .flatMap((c) => c.model.outputs.toJSON())
                .filter((o) => o.output_type === "error" || o.name === "stderr")
                .map((o) => o.ename ? `${o.ename}: ${o.evalue}` : `stderr: ${o.text}`)"""
        )
        texts = ("Error displaying widget", "Error rendering output item", "Loading widget...")
        broken = [t for t in texts if self.tab.get_by_text(t).count()]
        return [*outputs, *broken, *self.errors]

    def close(self) -> None:
        self.tab.evaluate(
            "window.jupyterapp.shell.currentWidget.sessionContext.shutdown().catch(() => {})"
        )
        self.context.close()
