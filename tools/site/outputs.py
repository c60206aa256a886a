"""Outputs of notebooks, made fit for a page that many devices and readers show."""

import base64
import io
import posixpath
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from nbformat import NotebookNode
from PIL import Image

FIGURES = "figures"  # folder of the site that holds the pictures of all outputs


def fix_outputs(cell: NotebookNode, page: str, site: Path) -> None:
    """Change a code cell's outputs.

    Text that was printed piece by piece becomes one output. Pictures become files of their own, so
    that the text is there first. Tables get headers that say what they belong to.

    Args:
        cell: A code cell; it is changed.
        page: The notebook's path on the site.
        site: Folder for files that the site holds beside its pages.
    """
    cell.outputs = _joined(cell.outputs)
    for number, output in enumerate(cell.outputs):
        data = output.get("data", {})
        if "text/html" not in data:
            continue
        soup = BeautifulSoup(data["text/html"], "html.parser")
        for place, picture in enumerate(soup.find_all("img")):
            stem = f"{FIGURES}/{posixpath.basename(page)[:2]}/{cell.id}-{number}-{place}"
            _as_file(picture, stem, page, site)
        for table in soup.find_all("table"):
            _with_headers(table)
        data["text/html"] = str(soup)


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last["text"] += output.text
        else:
            joined.append(output)
    return joined


def _as_file(picture: Tag, stem: str, page: str, site: Path) -> None:
    head, _, code = str(picture.get("src", "")).partition(";base64,")
    if not head.startswith("data:image/"):
        return
    content = base64.b64decode(code)
    path = f"{stem}.{head.removeprefix('data:image/')}"
    (site / path).parent.mkdir(parents=True, exist_ok=True)
    (site / path).write_bytes(content)
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
    shown = int(str(picture.get("width", width)))
    # With both sizes the browser keeps the place free until the picture is there.
    picture.attrs |= {
        "src": posixpath.relpath(path, posixpath.dirname(page)),
        "width": str(shown),
        "height": str(round(shown * height / width)),
    }


def _with_headers(table: Tag) -> None:
    if style := table.find_previous_sibling("style"):  # of pandas, for its own table
        style.decompose()
    del table["border"]
    _with_one_head(table)
    for cell in table.find_all("th"):
        if not cell.get_text(strip=True):
            cell.name = "td"
        elif not cell.has_attr("scope"):
            cell["scope"] = "col" if cell.find_parent("thead") else "row"


def _with_one_head(table: Tag) -> None:
    """Move the name of the rows, for which pandas makes a line of its own, into the first line."""
    lines = [line.find_all("th") for line in table.select("thead > tr")]
    if len(lines) != 2 or len(lines[0]) != len(lines[1]):
        return
    (corner, *_), (name, *others) = lines
    if corner.get_text(strip=True) or any(other.get_text(strip=True) for other in others):
        return
    corner.string = name.get_text(strip=True)
    name.find_parent("tr").decompose()
