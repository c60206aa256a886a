"""One HTML page with everything in it: slides, reveal.js, styles, pictures."""

import base64
import io
import re
from collections.abc import Sequence
from functools import cache
from math import ceil
from pathlib import Path

from nbconvert import HTMLExporter
from nbformat.v4 import new_notebook
from PIL import Image
from pygments.formatters import HtmlFormatter

from tlcourse.errors import CourseError
from tools.slides.deck import Part, Slide

WIDTH, HEIGHT = 1280, 720
MIN_CODE, MAX_CODE, MAX_PRINTED = 16, 24, 30  # pixels
FEW = 240  # letters; a text that is shorter may have large ones
HERE = Path(__file__).resolve().parent
_ROOM = 1148  # pixels for a line of code
_LETTER, _LINE = 0.605, 1.25  # width and height of a letter of code, in its size
_PAGE, _COLUMN, _HIGH = 1184, 420, 664  # pixels inside a slide; a column of text beside a figure
_SIZES = {"look": 23, "answer": 21, "small": 20}  # as in deck.css, roughly
_STYLE = re.compile(r"<style scoped>.*?</style>", re.DOTALL)


@cache
def reveal() -> dict[str, str]:
    """The parts of reveal.js that a page needs, as they are in the package sphinx-revealjs.

    Raises:
        CourseError: The package is not installed, or holds other files.
    """
    try:
        import sphinx_revealjs

        folder = Path(sphinx_revealjs.__file__).parent / "_static" / "revealjs"
        files = {
            "css": "dist/reveal.css",
            "js": "dist/reveal.js",
            "notes": "plugin/notes/notes.js",
            "licence": "LICENSE",
        }
        found = {name: (folder / file).read_text(encoding="utf-8") for name, file in files.items()}
    except (ImportError, OSError) as error:
        raise CourseError(
            "The slides need reveal.js from the package sphinx-revealjs, and it was not found. "
            'Install it with: python -m pip install -e ".[site]"'
        ) from error
    # Inside a page, this would end the script.
    return {name: text.replace("</script", "<\\/script") for name, text in found.items()}


def render(slides: Sequence[Slide], title: str, notebooks: Path) -> str:
    """Return the page.

    Args:
        slides: From top to bottom.
        title: Of the page.
        notebooks: Folder that the pictures of the texts are relative to.

    Raises:
        CourseError: A cell's code is too long for a slide.
    """
    exporter = HTMLExporter(
        template_name="deck",
        extra_template_basedirs=[str(HERE / "template")],
        embed_images=True,
        exclude_anchor_links=True,
    )
    look = HtmlFormatter(style="a11y-high-contrast-light").get_style_defs(".highlight")
    resources = {
        "metadata": {"name": title, "path": str(notebooks)},
        "slides": slides,
        "reveal": reveal(),
        "css": (HERE / "deck.css").read_text(encoding="utf-8"),
        "highlight": look,
        "code_size": code_size,
        "stream_size": stream_size,
        "text_size": text_size,
        "is_tall": is_tall,
        "clean": clean,
        "width": WIDTH,
        "height": HEIGHT,
    }
    notebook = new_notebook(metadata={"language_info": {"name": "python"}})
    html, _ = exporter.from_notebook_node(notebook, resources)
    return html


def code_size(slide: Slide) -> float:
    """Size in pixels in which all code of a slide fits.

    Raises:
        CourseError: It would be too small to read.
    """
    code = [part.content.splitlines() for part in slide.parts if part.kind == "code"]
    printed = [part.content.splitlines() for part in slide.parts if part.kind == "stream"]
    widest = max(len(line) for lines in code for line in lines)
    lines = sum(map(len, code))
    room = 562 - sum(14 + 22.5 * len(text) for text in printed) - 74 * _n(slide, "text", "exercise")
    size = min(MAX_CODE, _ROOM / (_LETTER * widest), room / (_LINE * lines))
    if size < MIN_CODE:
        raise CourseError(
            f"The code of {slide.cells} has {lines} lines of up to {widest} characters and does "
            f"not fit on a slide at {MIN_CODE} pixels. Take a shorter cell, or put its output on "
            "another slide."
        )
    return round(size, 1)


def stream_size(slide: Slide) -> float:
    """Size in pixels of printed text: as large as it may be beside what else is on the slide."""
    printed = [p.content.split("\n") for p in slide.parts if p.kind == "stream"]
    widest, lines = max(len(line) for text in printed for line in text), sum(map(len, printed))
    most, room = MAX_PRINTED, 360.0
    if _n(slide, "code"):  # no larger than the code, which stands for more
        most = code_size(slide)
        code = sum(len(p.content.splitlines()) for p in slide.parts if p.kind == "code")
        room = 562 - 74 * _n(slide, "text", "exercise") - 14 * len(printed) - most * _LINE * code
    elif _n(slide, "output"):
        most = 18
    return round(max(MIN_CODE, min(most, _ROOM / (_LETTER * widest), room / (_LINE * lines))), 1)


def is_tall(slide: Slide) -> bool:
    """Whether its figure is larger if the texts stand beside it, not above and below."""
    shapes = [_shape(part.content) for part in slide.parts if part.kind == "output"]
    if not shapes or not all(height for _, height in shapes) or _n(slide, "stream"):
        return False
    width, height = shapes[0]
    below = min(_PAGE / width, (_HIGH - _texts_height(slide, _PAGE)) / height)
    beside = min((_PAGE - _COLUMN - 28) / width, _HIGH / height)
    return beside > below and _texts_height(slide, _COLUMN) < _HIGH


def _texts_height(slide: Slide, width: int) -> float:
    """About how many pixels the texts of a slide take, in lines of a width."""
    title = 27 if width == _COLUMN or len(slide.title) > 85 else 34
    texts = [(slide.title, title)]
    texts += [(p.content, _SIZES[p.kind]) for p in slide.parts if p.kind in _SIZES]
    height = 24.0  # the line above the title
    for text, size in texts:
        letters = len(re.sub(r"<[^>]+>|\]\([^)]*\)", "", text))
        height += 22 + 1.35 * size * ceil(letters * 0.54 * size / (width - 40))
    return height


def _shape(html: str) -> tuple[float, float]:
    """Width and height of the picture in an output; zeros if there is none."""
    found = re.search(r'src="data:image/([\w+]+);base64,([^"]+)"', html)
    if not found:
        return 0, 0
    data = base64.b64decode(found[2])
    if found[1] == "svg+xml":
        box = re.search(rb'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"', data)
        return (float(box[1]), float(box[2])) if box else (0, 0)
    return Image.open(io.BytesIO(data)).size


def text_size(slide: Slide, part: Part) -> str:
    """Class of a text: the longer it is, the smaller its letters."""
    words = re.sub(
        r"!?\[([^\]]*)\]\([^)]*\)", r"\1" if part.content[0] != "!" else "", part.content
    )
    if len(words) < FEW and len(slide.parts) == 1 and not slide.first and "![" not in part.content:
        return "few"
    bounds = {"short": 330, "medium": 620, "long": 950}
    return next((name for name, bound in bounds.items() if len(words) < bound), "longest")


def clean(html: str) -> str:
    """A table without styles of its own, and with no headings that say nothing."""
    return _STYLE.sub("", html).replace("<th></th>", "<td></td>").replace(' border="1"', "")


def _n(slide: Slide, *kinds: str) -> int:
    return sum(part.kind in kinds for part in slide.parts)
