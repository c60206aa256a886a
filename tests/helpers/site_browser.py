"""The web page, served on this machine and looked at by a headless Chromium."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# For each way of looking: the colours that the visitor's system asks for, and the window.
WAYS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {
        "color_scheme": "light",
        "viewport": {"width": 360, "height": 740},
        "is_mobile": True,
        "has_touch": True,
    },
}
SMALLEST_TEXT = 12  # pixels

_TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth;
    const found = [];
    if (document.documentElement.scrollWidth > width)
        found.push(`the page is ${document.documentElement.scrollWidth} wide`);
    const scrolls = (el) => {
        for (let at = el.parentElement; at; at = at.parentElement)
            if (/auto|scroll|hidden/.test(getComputedStyle(at).overflowX)) return true;
        return false;
    };
    for (const el of document.querySelectorAll("article *")) {
        const box = el.getBoundingClientRect();
        if (box.width && box.right > width + 1 && !scrolls(el))
            found.push(`${el.tagName} ${el.className}: ${el.textContent.trim().slice(0, 40)}`);
    }
    return found;
}"""
_SMALL = """(smallest) => {
    const main = document.querySelector("main") ?? document.body;
    const walk = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
    const found = [];
    for (let at = walk.nextNode(); at; at = walk.nextNode()) {
        const size = parseFloat(getComputedStyle(at.parentElement).fontSize);
        const shown = at.parentElement.getClientRects().length;
        if (at.textContent.trim() && shown && size && size < smallest)
            found.push(`${size}: ${at.textContent.trim().slice(0, 40)}`);
    }
    return found;
}"""
_MARK_KINDS = """(known) => {
    const seen = new Set(known);
    document.querySelectorAll("[data-kind]").forEach((el) => el.removeAttribute("data-kind"));
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let at = walk.nextNode(); at; at = walk.nextNode()) {
        const el = at.parentElement;
        if (!at.textContent.trim() || !el.getClientRects().length) continue;
        const { color, fontSize, fontWeight, textShadow } = getComputedStyle(el);
        const kind = [color, fontSize, fontWeight, textShadow];
        for (let ground = el; ground; ground = ground.parentElement) {
            const style = getComputedStyle(ground);
            kind.push(style.position, style.backgroundColor, style.backgroundImage);
            kind.push(style.opacity, style.filter);
        }
        const plain = ["static", "rgba(0, 0, 0, 0)", "none", "1"];
        const key = kind.filter((part) => !plain.includes(part)).join();
        if (!seen.has(key)) el.setAttribute("data-kind", "");
        seen.add(key);
    }
    return [...seen];
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of a folder on this machine."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class Visit:
    """A browser tab on the site, and what went wrong in it."""

    def __init__(self, browser, address: str, way: str = "light") -> None:
        self.address = address
        self.wrong: list[str] = []
        self.kinds: list[str] = []  # of text, whose contrast has been looked at
        self.context = browser.new_context(**WAYS[way])
        self.tab = self.context.new_page()
        self.tab.on("console", self._hear)
        self.tab.on("pageerror", lambda error: self.wrong.append(f"page: {error}"))
        self.tab.on("request", self._asked)
        self.tab.on("requestfailed", self._failed)
        self.tab.on("response", self._answered)

    def _hear(self, message) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _asked(self, request) -> None:
        if not request.url.startswith((self.address, "data:")):
            self.wrong.append(f"foreign: {request.url}")

    def _failed(self, request) -> None:
        if "ERR_ABORTED" not in request.failure:  # that is of a page that was left
            self.wrong.append(f"failed: {request.url}")

    def _answered(self, response) -> None:
        if response.status >= 400:
            self.wrong.append(f"{response.status}: {response.url}")

    def open(self, page: str) -> None:
        """Open a page and wait until all its pictures are there."""
        self.tab.goto(self.address + page)
        self.tab.evaluate(
            """() => Promise.all([...document.images].map((image) =>
                image.decode().catch(() => console.error(`cannot show ${image.src}`))))"""
        )

    def switch(self, scheme: str) -> None:
        """Ask for light or dark colours, and wait until the site's script has seen it."""
        self.tab.emulate_media(color_scheme=scheme)
        self.tab.wait_for_function(
            "(scheme) => [undefined, scheme].includes(document.documentElement.dataset.theme)",
            arg=scheme,
        )

    def too_wide(self) -> list[str]:
        """What reaches out of the window to the right, other than inside a box that scrolls."""
        return self.tab.evaluate(_TOO_WIDE)

    def long_code(self) -> list[str]:
        """Lines of a notebook's code that must be scrolled to be read."""
        return self.tab.evaluate(
            """() => [...document.querySelectorAll(".cell_input pre")]
                .filter((code) => code.scrollWidth > code.clientWidth)
                .map((code) => `too long: ${code.textContent.slice(0, 60)}`)"""
        )

    def small(self) -> list[str]:
        """Texts that are too small to read."""
        return self.tab.evaluate(_SMALL, SMALLEST_TEXT)

    def inaccessible(self) -> list[str]:
        """What the accessibility checker axe finds wrong."""
        return self._axe(None, rules={"color-contrast": {"enabled": False}}) + self.pale()

    def pale(self) -> list[str]:
        """Texts that stand out too little, as axe finds in one text of each kind.

        Texts are of one kind if their own style and all grounds that they stand on are equal. To
        look at each of thousands takes axe most of its time, so a kind is looked at on the first
        page that has it.
        """
        known = len(self.kinds)
        self.kinds = self.tab.evaluate(_MARK_KINDS, self.kinds)
        if len(self.kinds) == known:
            return []
        return self._axe("[data-kind]", runOnly={"type": "rule", "values": ["color-contrast"]})

    def _axe(self, context: str | None, **options) -> list[str]:
        from axe_playwright_python.sync_playwright import Axe

        # axe would fetch the style sheets once more, some from a wrong place.
        options |= {"resultTypes": ["violations"], "preload": False}
        found = Axe().run(self.tab, context=context, options=options).response["violations"]
        return [f"{v['id']}: {n['html'][:200]}" for v in found for n in v["nodes"]]

    def close(self) -> None:
        self.context.close()
