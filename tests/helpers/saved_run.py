"""Compare what a notebook says of its saved run with what its saved outputs show.

A paragraph that begins with `*In the saved run:*` states results in digits. Each of its numbers
must stand in an output between the last heading of level 2 and the paragraph, rounded to the
digits that the paragraph gives. Four kinds of numbers are names or settings and are left out:

- what is in backticks, or part of a word: `stage5`, Lite0, 3x3, 16-bit,
- what follows a name: SqueezeNet 1.1, Figure 2, notebook 05, arXiv 1411.1792,
- a size of pictures: 96 px, 128 x 128 pixels,
- the level of an interval: the 95 % interval.
"""

import re
from dataclasses import dataclass

from bs4 import BeautifulSoup

BEGINS = "*In the saved run:*"

_NUMBER = re.compile(
    r"(?<![\w.,])(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?P<unit>\s?(?:%|percent\b|points?\b))?(?!\w|-[A-Za-z]|[.,]\d)"
)
_NAMES = re.compile(
    r"`[^`]*`"
    r"|\b(?:[A-Z][a-z]+[A-Z]\w*|ImageNet|[Aa]rXiv|EfficientNet|PyTorch|[Ss]eed|[Vv]ersion"
    r"|(?:[Ff]igure|[Tt]able|[Nn]otebook|[Ss]ection|[Ee]xercise|[Cc]ase)s?)"
    r"[ :-]+\d[\d.]*(?:(?:, | and | to )\d[\d.]*)*\b"
    r"|\b\d+(?: ?x ?\d+)?[ -](?:px|pixels?)\b"
    r"|\b\d+ ?% (?=intervals?\b)"
)
_NEARLY = re.compile(r"(?:about|around|nearly|over|almost|roughly|more than|less than)\s+$")


@dataclass(frozen=True)
class Sentence:
    """One statement about the saved run.

    Attributes:
        text: The paragraph, on one line.
        section: The heading of level 2 above it.
        shown: Text of the outputs between that heading and the paragraph.
    """

    text: str
    section: str
    shown: str

    def wrong(self) -> list[str]:
        """One line for each number that no output shows."""
        shown = [_value(found) for found in _NUMBER.finditer(self.shown)]
        lines = []
        for said in _NUMBER.finditer(_NAMES.sub(" ", self.text.removeprefix(BEGINS))):
            before = said.string[: said.start()]
            value, unit = _value(said)
            step = _step(said["digits"], rounded=bool(_NEARLY.search(before)))
            distances = [(abs(_as(other, kind, unit) - value), other) for other, kind in shown]
            nearest = min(distances, default=(float("inf"), None))
            if nearest[0] > step / 2 * (1 + 1e-6) + 1e-12:
                near = "there is none" if nearest[1] is None else f"the nearest is {nearest[1]:g}"
                where = f"no output below {self.section!r} shows {said[0].strip()}: {near}"
                lines.append(f"{where}. {self.text!r}")
        return lines


def sentences(notebook):
    """Statements about the saved run, in their order."""
    found, section, shown = [], "", []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shown += [text for output in cell.outputs for text in _texts(output)]
            continue
        source = re.sub(r"^```.*?^```", "", cell.source, flags=re.DOTALL | re.MULTILINE)
        for block in re.split(r"\n\s*\n", source):
            if heading := re.match(r"## (.+)", block.strip()):
                section, shown = heading[1], []
            elif block.strip().startswith(BEGINS):
                found.append(Sentence(" ".join(block.split()), section, "\n".join(shown)))
    return found


def numbers(text):
    """The numbers of a sentence that are neither names nor settings, as they are written."""
    return [found["digits"] for found in _NUMBER.finditer(_NAMES.sub(" ", text))]


def _texts(output):
    """What an output tells in words: printed text, tables, alternative texts of its pictures."""
    if output.output_type == "stream":
        yield output.text
        return
    data = output.get("data", {})
    yield data.get("text/plain", "")
    soup = BeautifulSoup(data.get("text/html", ""), "html.parser")
    for tag in soup.find_all(["style", "script"]):
        tag.decompose()
    yield soup.get_text(" ")
    for tag in soup.find_all(True):
        yield from (str(tag[name]) for name in ("alt", "aria-label") if tag.has_attr(name))
    for about in output.get("metadata", {}).values():
        yield about.get("alt", "") if isinstance(about, dict) else ""


def _value(found):
    """A number, and whether it counts hundredths."""
    return float(found["digits"].replace(",", "")), bool(found["unit"])


def _as(value, percent, wanted):
    """A shown number as the sentence counts: .93 is 93 %, and 93 % is .93."""
    return value * (100 if wanted and not percent else 1) / (100 if percent and not wanted else 1)


def _step(digits, *, rounded):
    """Worth of the last digit; behind "about", zeros at the end of a whole number are none."""
    whole, _, decimals = digits.replace(",", "").partition(".")
    if decimals:
        return 10.0 ** -len(decimals)
    return 10.0 ** (len(whole) - len(whole.rstrip("0")) if rounded else 0)
