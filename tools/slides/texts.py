"""What a slide takes from a text of a notebook: a name, a sentence, a list. The rest is for notes."""

import re
from dataclasses import dataclass
from itertools import pairwise

_NAME = re.compile(r"\*\*((?:Figure|Table|Explorer) \d+)\.\*\*\s+")
_HEADING = re.compile(r"^(#{1,6})\s+(?:(\d+)\.\s+)?(.+)$", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.?!])(?<!e\.g\.)(?<! al\.)(?<!\s[A-Z]\.)([*)\"]*)\s+(?=[*(\"`\w])")
_LICENCE = re.compile(r"CC BY|CC0|public domain", re.IGNORECASE)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:)[^)]*\)")
_IMAGE = re.compile(r"^!\[[^\]]*\]\([^)]*\)$", re.MULTILINE)
_LEAD = re.compile(r"\*\*([^*]{3,60}?)(?::\*\*|\*\*:)\s*")
_ITEM = re.compile(r"(?:-|\d+\.) ")
_SAVED_RUN = "*In the saved run:*"
_THINGS = re.compile(r"\b(two|three) things\W*$")
_GUESS = re.compile(r"\*\*(?:Predict|Guess)|\bguess", re.IGNORECASE)
SHORT = 46  # characters; a sentence that is shorter says too little alone
VERY_SHORT = 28
ONE_LINE = 70
TWO_LINES = 130


@dataclass(frozen=True)
class Caption:
    """The parts of a caption that fit on a slide.

    Attributes:
        name: Such as "Figure 3".
        says: What is shown: the first sentence, and the next one if that is short.
        look: The sentences that tell where to look, with the questions that follow them; without
            such a sentence, what the saved run showed.
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
    first, *others = paragraphs(text) or [""]
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
    saved_run = next((" ".join(p.split()) for p in others if p.startswith(_SAVED_RUN)), "")
    look = _look(told, says) or saved_run
    return Caption(name[1], _shorter(says), look, credit.strip("()"))


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
    """Words in bold that what is shown of a text begins with, such as "**The mend:** ..."."""
    found = _LEAD.match(essence(text))
    return _capital(found[1]) if found else ""


def without_lead(text: str) -> str:
    """What follows these words."""
    return _capital(_LEAD.sub("", text, count=1))


def sections(text: str) -> list[str]:
    """Parts of a text that begin with a heading or a lead, up to exercises or key points."""
    places = [m.start() for m in _HEADING.finditer(_without_code(text))]
    parts = [text[a:b] for a, b in pairwise([0, *(p for p in places if p), len(text)])]
    parts = [part for part in parts if paragraphs(part)]
    if len(parts) > 1 and not heading(parts[0]) and not lead(parts[0]):
        parts = parts[1:]  # the end of what came before
    ends = [i for i, part in enumerate(parts) if heading(part).lower().startswith("exercise")]
    ends += [i + 1 for i, part in enumerate(parts) if key_points(part)]
    return parts[: min(ends, default=len(parts))]


def essence(text: str) -> str:
    """Markdown that stands for a text on a slide.

    Its pictures, lists and tables are kept. Of prose, the first sentence that introduces a term in
    bold is kept; if there is none and nothing else to show, the first sentence is. Below a picture
    there is room for the next sentence, too, if that one is short.
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
    if pictures and kept and len(kept[0]) < ONE_LINE:
        place = prose.index(kept[0])
        kept = [" ".join(prose[place : place + 2])]
    return plain_links("\n\n".join([*pictures, *kept, *shown]))


def key_points(text: str) -> str:
    """The list under the heading "Key points"; empty if there is none."""
    parts = re.split(r"^#+\s+Key points\s*$", text, flags=re.MULTILINE | re.IGNORECASE)
    return plain_links(next(b for b in paragraphs(parts[1]))) if len(parts) > 1 else ""


def skills(text: str) -> list[str]:
    """What the title's table says that a learner will be able to do."""
    row = re.search(r"\*\*You will be able to\*\*\s*\|\s*(.+?)\s*\|", text)
    return [part.strip() for part in row[1].split(";")] if row else []


def split_question(text: str) -> tuple[str, str]:
    """A text that stands before a prediction: what belongs to what came before, and the question."""
    blocks = paragraphs(text)
    start = 1 if caption(text) else 0  # a caption may speak of guessing
    place = next((i for i in range(start, len(blocks)) if _GUESS.search(blocks[i])), len(blocks))
    return "\n\n".join(blocks[:place]), "\n\n".join(blocks[place:])


def split_caption(text: str) -> tuple[str, str]:
    """A text that begins with a caption: up to the next heading, and from there on."""
    found = _HEADING.search(text)
    return (text[: found.start()], text[found.start() :]) if found else (text, "")


def body(text: str) -> str:
    """What stands below the last heading of a text, for example an exercise."""
    found = [match.end() for match in _HEADING.finditer(_without_code(text))]
    return plain_links(text[found[-1] if found else 0 :].strip())


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

    A short one gets the sentence before it, which says what it is about, or the one after it; one
    that announces two or three things gets as many.
    """
    found: list[str] = []
    expected = ""
    for place, sentence in enumerate(told):
        before, following = ["", *told][place], [*told, ""][place + 1]
        asks = bool(found) and sentence.endswith("?") and sentence == expected
        if re.match(r"\*[A-Z]", sentence) or asks:
            if not found and len(sentence) < SHORT and before not in title:
                found.append(before)
            found.append(sentence)
            expected = following
            if things := _THINGS.search(sentence):
                found += told[place + 1 :][: 2 if things[1] == "two" else 3]
            elif len(" ".join(found)) < VERY_SHORT and following[:1] not in ("", "*"):
                found += [] if following.endswith("?") else [following]
    return " ".join(found[:4])


def _shorter(title: str) -> str:
    """A title of at most two lines, if it is enough to leave out brackets or its last part."""
    if len(title) > TWO_LINES:
        for part in _brackets(title):
            title = title.replace(f" {part}", "")
    for sign in ("; ", ": "):
        begin, cut, _ = title.partition(sign)
        if len(title) > TWO_LINES and cut and len(begin) >= 30:
            return f"{begin}."
    return title


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


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
