"""Everyday words for the classes of a network: "cats" are five of ImageNet's (pattern 1)."""

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

# Ending of a plural -> endings that its singular may have: "wolves" could be "wolf" or "wolve".
_PLURALS = {"ies": ("y", "ie"), "ves": ("f", "fe", "ve"), "es": ("", "e"), "s": ("",)}
_OTHER_PLURALS = {"mice": "mouse", "geese": "goose", "oxen": "ox"}


def classes_called(word: str, classes: Sequence[str]) -> tuple[list[str], str]:
    """Find the classes that a word means: those of that name, or ImageNet's classes of that kind.

    Case, plural, hyphens and underscores do not matter. `data/imagenet_words.json` lists the kinds,
    and names of ImageNet's classes that mean something else than most people think.

    Args:
        word: Such as "ants", "school_buses" or "Dogs".
        classes: The network's, in the order of its logits.

    Returns:
        The classes, in that order, and a sentence why there are none where the word is doubtful;
        the sentence is empty where the network just knows no such thing.
    """
    table = _table() if _are_imagenet(classes) else {"words": {}, "doubtful": {}}
    found: list[list[str]] = []
    for form in _singulars(plain := _plain(word)):
        named = [name for name in dict.fromkeys(classes) if _plain(name) == form]
        if named and form in table["doubtful"]:
            return [], f"The network's class {named[0]!r} is {table['doubtful'][form]}."
        meant = _listed(table["words"].get(form, ()), classes) or named
        if meant and form == plain:
            return meant, ""
        if meant and meant not in found:
            found.append(meant)
    if len(found) > 1:
        return [], f"{word!r} could be {' or '.join(repr(names[0]) for names in found)}."
    return found[0] if found else [], ""


@cache
def _table() -> dict[str, dict[str, Any]]:
    path = files("tlcourse") / "data" / "imagenet_words.json"
    return json.loads(path.read_text("utf-8"))


def _are_imagenet(classes: Sequence[str]) -> bool:
    return len(classes) == 1000 and (classes[0], classes[-1]) == ("tench", "toilet tissue")


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").strip()


def _singulars(word: str) -> list[str]:
    """Return the word itself and what it may be the plural of; only some of it are real words."""
    start, space, last = word.rpartition(" ")
    forms = [last, _OTHER_PLURALS.get(last, last)]
    for plural, singulars in _PLURALS.items():
        if last.endswith(plural):
            forms += [last.removesuffix(plural) + ending for ending in singulars]
    return [start + space + form for form in dict.fromkeys(forms) if form]


def _listed(names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Write a list such as ["red fox to grey fox"] out in full."""
    meant: list[str] = []
    for name in names:
        first, _, last = name.partition(" to ")
        start = classes.index(first)
        meant += classes[start : classes.index(last) + 1 if last else start + 1]
    return meant
