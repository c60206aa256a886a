"""Print `docs/decision_guide.html` into `docs/decision_guide.pdf` with the installed Chromium.

Run it after each change of the page: `python -m tools.guide`. A test compares the two.
"""

import argparse
import hashlib
import io
import shutil
import sys
from pathlib import Path

from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, ByteStringObject

from tlcourse.base.files import whole_file

SOURCE = Path(__file__).resolve().parents[1] / "docs" / "decision_guide.html"
TARGET = SOURCE.with_suffix(".pdf")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser() -> str | None:
    """Path of the installed Chromium, or None."""
    return next((path for path in map(shutil.which, _BROWSERS) if path), None)


def fingerprint(source: Path = SOURCE) -> str:
    """What the PDF remembers of the page that it was made from; line ends do not count."""
    return hashlib.sha256(source.read_text(encoding="utf-8").encode()).hexdigest()


def printed(paper: str = "A4", *, source: Path = SOURCE) -> bytes:
    """Return the page as the browser prints it: tagged, with the size of the paper.

    Args:
        paper: "A4" or "Letter".
        source: The page.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        page = chromium.new_page()
        page.goto(source.as_uri())
        pdf = page.pdf(format=paper, print_background=True, tagged=True)
        chromium.close()
    return pdf


def steady(pdf: bytes, *, source: Path = SOURCE) -> bytes:
    """Return a PDF without what differs from run to run, and with the page's fingerprint."""
    read = PdfReader(io.BytesIO(pdf))
    writer = PdfWriter(clone_from=read)
    title = str(read.metadata.title)
    writer.metadata = None
    writer.add_metadata({"/Title": title, "/MadeFrom": fingerprint(source)})
    writer._ID = ArrayObject([ByteStringObject(fingerprint(source).encode()[:16])] * 2)
    writer.compress_identical_objects()
    kept = io.BytesIO()
    writer.write(kept)
    return kept.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """Write the PDF beside the page, or where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=TARGET, help="the PDF")
    parser.add_argument("--paper", choices=["A4", "Letter"], default="A4")
    chosen = parser.parse_args(arguments)
    if browser() is None:
        sys.exit("No Chromium is installed. On Debian and Ubuntu: apt-get install chromium")
    pdf = steady(printed(chosen.paper))
    with whole_file(chosen.out) as part:
        part.write_bytes(pdf)


if __name__ == "__main__":
    main()
