"""What a slide takes from a text of a notebook: a name, a sentence, a list. The rest is for notes."""

import re
from dataclasses import dataclass
from itertools import pairwise

_NAME = re.compile(r"\*\*((?:Figure|Table|Explorer) \d+)\.\*\*\s+")
_HEADING = re.compile(r"^(#{1,6})\s+(?:(\d+)\.\s+)?(.+)$", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.?!])(?<!e\.g\.)(?<! al\.)([*)\"]*)\s+(?=[*(\"`\w])")
_OWNERS = re.compile(
    r"(?:^|(?<=[.)] ))(?:The photographs?|Photographs|Drawings|Digits|All emojis)\b"
)
_LICENCE = re.compile(r"CC BY|CC0|public domain", re.IGNORECASE)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:)[^)]*\)")
_IMAGE = re.compile(r"^!\[[^\]]*\]\([^)]*\)$", re.MULTILINE)
_ITEM = re.compile(r"(?:-|\d+\.) ")
_GUESS = re.compile(r"\*\*(?:Predict|Guess)|\bguess", re.IGNORECASE)
SHORT = 46  # characters; a sentence that is shorter says too little alone
VERY_SHORT = 28
TWO_LINES = 130


@dataclass(frozen=True)
class Caption:
    """The parts of a caption that fit on a slide.

    Attributes:
        name: Such as "Figure 3".
        says: What is shown: the first sentence, and the next one if that is short.
        look: The sentences that tell where to look, with the questions that follow them.
        credit: Whose pictures they are, and under which licence.
    """

    name: str
    says: str
    look: str
    credit: str


def paragraphs(text: str) -> list[str]:
    """Blocks between empty lines."""
    return [block.strip() for block in re.split(r"\n\s*\n", text) if block.strip()]


def sentences(text: str) -> list[str]:
    """Sentences of a paragraph, each with the marks of emphasis that end with it."""
    parts = _SENTENCE.sub(r"\1\n", " ".join(text.split())).split("\n")
    found: list[str] = []
    for part in parts:
        if found and _open(found[-1]):
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def caption(text: str) -> Caption | None:
    """Read the caption that a text begins with; None if it begins with something else."""
    first = paragraphs(text)[0] if text.strip() else ""
    if not (name := _NAME.match(first)):
        return None
    credit = " ".join(part for part in _brackets(first) if _LICENCE.search(part))
    for part in _brackets(first):
        if _LICENCE.search(part):
            first = first.replace(part, "")
    told = sentences(first[name.end() :])
    says = told[0]
    if len(says) < SHORT and len(told) > 1 and not told[1].startswith("*"):
        says += f" {told[1]}"
    return Caption(name[1], _shorter(says), _look(told, says), credit.strip("()"))


def heading(text: str) -> str:
    """The last heading of a text, without its number; empty if there is none."""
    found = _HEADING.findall(_without_code(text))
    return found[-1][2] if found else ""


def number(text: str) -> str:
    """What the last numbered heading of a text counts: "3", or "case 3"; empty if there is none."""
    found = [
        number or case[0].lower()
        for _, number, name in _HEADING.findall(_without_code(text))
        if number or (case := re.match(r"Case \d+", name))
    ]
    return found[-1] if found else ""


def lead(text: str) -> str:
    """Words in bold that a text without a heading begins with, such as "**The mend:** ..."."""
    kept = essence(text)
    found = re.match(r"\*\*([^*]{3,60}?):?\*\*:?", kept)
    return found[1][:1].upper() + found[1][1:] if found else ""


def sections(text: str) -> list[str]:
    """Parts of a text that begin with a heading, up to the exercises or the key points."""
    places = [m.start() for m in _HEADING.finditer(_without_code(text))]
    parts = [text[a:b] for a, b in pairwise([0, *(p for p in places if p), len(text)])]
    parts = [part for part in parts if paragraphs(part)]
    ends = [i for i, part in enumerate(parts) if heading(part).lower().startswith("exercise")]
    ends += [i + 1 for i, part in enumerate(parts) if key_points(part)]
    return parts[: min(ends, default=len(parts))]


def essence(text: str) -> str:
    """Markdown that stands for a text on a slide.

    Its pictures, lists and tables are kept. Of prose, the first sentence that introduces a term in
    bold is kept; if there is none and nothing else to show, the first sentence is.
    """
    blocks = [b for b in paragraphs(text) if not _HEADING.match(b)]
    pictures = [b for b in blocks if _IMAGE.match(b)]
    shown: list[str] = []
    for before, block in pairwise(["", *blocks]):
        if block[0] == "|" or block.startswith("```") or _ITEM.match(block):
            shown += [sentences(before)[-1]] if before.endswith(":") else []
            items = [_short_item(item) for item in block.split("\n")]
            shown.append("\n".join(items) if _ITEM.match(block) else block)
    prose = [s for b in blocks if b not in pictures + shown for s in sentences(b)]
    prose = [s for s in prose if not _ITEM.match(s) and s not in shown]
    kept = [s for s in prose if "**" in s][:1] or ([] if shown else prose[:1])
    return plain_links("\n\n".join([*pictures, *kept, *shown]))


def key_points(text: str) -> str:
    """The list under the heading "Key points"; empty if there is none."""
    parts = re.split(r"^#+\s+Key points\s*$", text, flags=re.MULTILINE | re.IGNORECASE)
    return plain_links(next(b for b in paragraphs(parts[1]))) if len(parts) > 1 else ""


def credits_in(text: str) -> list[str]:
    """What a text says about whose pictures are shown, and under which licence."""
    found = []
    for block in paragraphs(text):
        flat = " ".join(block.strip("*").split())
        if (owner := _OWNERS.search(flat)) and "CC" in flat[owner.start() :]:
            found.append(flat[owner.start() :])
    return found


def skills(text: str) -> list[str]:
    """What the title's table says that a learner will be able to do."""
    row = re.search(r"\*\*You will be able to\*\*\s*\|\s*(.+?)\s*\|", text)
    return [part.strip() for part in row[1].split(";")] if row else []


def split_question(text: str) -> tuple[str, str]:
    """A text that stands before a prediction: what belongs to what came before, and the question."""
    blocks = paragraphs(text)
    place = next((i for i, block in enumerate(blocks) if _GUESS.search(block)), len(blocks))
    return "\n\n".join(blocks[:place]), "\n\n".join(blocks[place:])


def split_caption(text: str) -> tuple[str, str]:
    """A text that begins with a caption: up to the next heading, and from there on."""
    found = _HEADING.search(text)
    return (text[: found.start()], text[found.start() :]) if found else (text, "")


def note(text: str) -> str:
    """A text for the speaker's notes: without pictures, with bold words for headings."""
    return plain_links(_HEADING.sub(r"**\3**", _IMAGE.sub("", text)).strip())


def plain_links(text: str) -> str:
    """Leave only the words of links to files, which a page on a stick does not have beside it."""
    return _LINK.sub(r"\1", text)


def _short_item(item: str) -> str:
    """An item of a list, up to the first sentence after what is bold in it."""
    told = sentences(item)
    if re.match(r"\d+\.$", told[0]):
        told = [" ".join(told[:2]), *told[2:]]
    return " ".join(told[: 2 if told[0].endswith("**") else 1])


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", lambda m: "." * len(m[0]), text, flags=re.DOTALL | re.MULTILINE)


def _look(told: list[str], title: str) -> str:
    """Sentences that begin with emphasis, and the questions after them.

    A short one gets the sentence before it, which says what it is about, or the one after it.
    """
    found: list[str] = []
    expected = ""
    for before, sentence, following in zip(["", *told], told, [*told[1:], ""], strict=False):
        asks = bool(found) and sentence.endswith("?") and sentence == expected
        if re.match(r"\*[A-Z]", sentence) or asks:
            if not found and len(sentence) < SHORT and before not in title:
                found.append(before)
            found.append(sentence)
            expected = following
            if len(" ".join(found)) < VERY_SHORT and following[:1] not in ("", "*"):
                found += [] if following.endswith("?") else [following]
    return " ".join(found[:4])


def _shorter(title: str) -> str:
    """A title of at most two lines, if it can be cut where a part of it ends."""
    for sign in ("; ", ": "):
        begin = title.split(sign)[0]
        if len(title) > TWO_LINES and len(begin) > 30:
            return f"{begin}."
    return title


def _open(text: str) -> bool:
    """Whether brackets or an emphasis begin in a text and do not end in it."""
    single = text.count("*") - 2 * text.count("**")
    return text.count("(") > text.count(")") or single % 2 == 1


def _brackets(text: str) -> list[str]:
    """Outermost parts in round brackets that are no targets of links."""
    found, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        if sign == "(":
            if depth == 0:
                start = place
            depth += 1
        elif sign == ")" and depth:
            depth -= 1
            if depth == 0 and (start == 0 or text[start - 1] != "]"):
                found.append(text[start : place + 1])
    return found
