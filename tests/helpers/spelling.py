"""What the spelling dictionary does not know."""

import re
from functools import cache
from pathlib import Path

from spellchecker import SpellChecker

ROOT = Path(__file__).parents[2]


# Names, terms and British spellings that the dictionary does not have.
OURS = (ROOT / "tests" / "words.txt").read_text(encoding="utf-8").split()


_NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|<[^>]*>|\]\([^)]*\)|https?://\S+|\S+@\S+|&\w+;|\b\w*[\d_]\w*\b|\b\w+\.\w+\b",
    re.DOTALL,
)


_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


@cache
def dictionary():
    return SpellChecker(distance=1)


def prose_words(text):
    """Words of a text, without code, links, addresses and names that hold digits or dots."""
    return {
        re.sub(r"'s$", "", word).lower()
        for word in _WORD.findall(_NOT_PROSE.sub(" ", _plain(text)))
    }


def _plain(text):
    return text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("**", "")


def unknown(text):
    words = {word for word in prose_words(text) if len(word) > 2}
    return sorted(dictionary().unknown(words) - set(OURS))
