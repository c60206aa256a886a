"""Vectors of short texts: what a text network (MiniLM-L6) makes of a name or of a paragraph.

The vectors of all texts that the course uses come along, so a lesson needs neither the network nor
a package for it. Any other text goes through the network itself, where it is on this machine.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from tlcourse.errors import CourseError, check_choice

MODEL = "sentence-transformers/all-MiniLM-L6-v2"  # 384 numbers, trained on English
_PACKAGE = "sentence-transformers"
_LONGEST = 60  # characters of a text that is quoted in an error


def texts(name: str) -> dict[str, list[str]]:
    """Read labelled texts that come along; their vectors do, too (see `text_vectors`).

    - "emoji": the names of the 461 drawings of `load_task("emoji")`, by kind. A split of that task
      has `names` such as "animals/orangutan": `name.partition("/")[2]` is the text.
    - "descriptions": for each of these seven kinds eleven ways to describe it, its plain name first.
    - "paragraphs": 278 paragraphs of this course, by the notebook that they were taken from. They
      are a copy that does not change when a notebook does.

    Args:
        name: "emoji", "descriptions" or "paragraphs".

    Returns:
        Class -> its texts. The classes of the first two are those of the task, in its order.

    Raises:
        UnknownNameError: There are no such texts.

    Example:
        >>> texts("descriptions")["plants"][:3]
        ['plants', 'plant', 'flowers and trees']
    """
    check_choice("collection of texts", name, _READERS)
    return {label: [*some] for label, some in _READERS[name]().items()}


def text_vectors(texts: Sequence[str], *, download: bool = False) -> np.ndarray:
    """Turn texts into vectors in which texts of similar meaning point in similar directions.

    The network is MiniLM-L6: six Transformer layers, the mean of all tokens, brought to length 1.
    So `a @ b.T` holds the cosines of two lists of texts. The vectors of `tl.texts(...)` come along,
    in half precision. Other texts need the package `sentence-transformers` and the network's
    weights on this machine.

    Args:
        texts: N texts in English. The network reads the first 256 word pieces of each.
        download: Fetch the weights (91 MB) from huggingface.co where they are missing. Nothing is
            downloaded without it.

    Returns:
        float32 (N, 384), each row of length 1.

    Raises:
        CourseError: `texts` is no list of texts, or some have no vector here and the network, or
            the package for it, is missing.

    Example:
        >>> dog, cat, tram = text_vectors(["dog", "cat", "tram"])
        >>> bool(dog @ cat > dog @ tram)
        True

    Reference: Reimers & Gurevych (2019), arXiv:1908.10084; Wang et al. (2020), arXiv:2002.10957.
    """
    wanted = _checked(texts)
    places, shipped = _shipped()
    new = list(dict.fromkeys(text for text in wanted if text not in places))
    vectors = shipped
    if new:
        vectors = np.vstack([shipped, _live(new, download)])
        places = {**places, **{text: len(shipped) + i for i, text in enumerate(new)}}
    return vectors[[places[text] for text in wanted]]


def shipped_texts() -> list[str]:
    """All texts whose vectors come along, in the order of the file's rows."""
    every = (text for name in _READERS for some in texts(name).values() for text in some)
    return list(dict.fromkeys(every))


def _checked(texts: Sequence[str]) -> list[str]:
    no_list = isinstance(texts, str) or not isinstance(texts, Iterable)
    some = [] if no_list else list(texts)
    if no_list or not all(isinstance(text, str) and text.strip() for text in some):
        said = f"{texts!r}" if no_list else "something else among them"
        raise CourseError(
            f"text_vectors needs a list of texts that are not empty, and got {said}. "
            'Write text_vectors(["dog", "cat"]).'
        )
    return some


# What comes along


def _emoji() -> Mapping[str, Sequence[str]]:
    return {
        kind: list(drawings.values()) for kind, drawings in _json("emoji_kinds")["kinds"].items()
    }


def _json(name: str) -> Any:
    return json.loads((files("tlcourse") / "data" / f"{name}.json").read_text("utf-8"))


_READERS: dict[str, Callable[[], Mapping[str, Sequence[str]]]] = {
    "emoji": _emoji,
    "descriptions": lambda: _json("texts")["descriptions"],
    "paragraphs": lambda: _json("texts")["paragraphs"],
}


@cache
def _shipped() -> tuple[dict[str, int], np.ndarray]:
    """Text -> row, and the rows as float32 of length 1."""
    from safetensors.numpy import load_file

    with as_file(files("tlcourse") / "data" / "text_vectors.safetensors") as path:
        rows = load_file(path)["vectors"].astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows.flags.writeable = False
    return {text: i for i, text in enumerate(shipped_texts())}, rows


# The network itself


def _live(some: Sequence[str], download: bool) -> np.ndarray:
    """Vectors of texts that are not among the shipped ones, by the network."""
    vectors = _network(some, download).encode(
        list(some), normalize_embeddings=True, show_progress_bar=False
    )
    return np.asarray(vectors, dtype=np.float32)


def _network(some: Sequence[str], download: bool) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise CourseError(
            f"{_no_vector(some)} For other texts: pip install {_PACKAGE}, and then "
            "text_vectors(..., download=True) fetches the network once (91 MB)."
        ) from error
    try:
        return SentenceTransformer(MODEL, device="cpu", local_files_only=not download)
    except (OSError, ValueError) as error:
        advice = (
            "The network could not be fetched from huggingface.co: look at your connection."
            if download
            else "The network is not on this machine: text_vectors(..., download=True) fetches it "
            "once (91 MB)."
        )
        raise CourseError(f"{_no_vector(some)} {advice}") from error


def _no_vector(some: Sequence[str]) -> str:
    """The sentence that names texts without a vector, and the nearest ones that have one."""
    shown = ", ".join(repr(_short(text)) for text in some[:3]) + ", ..." * (len(some) > 3)
    has = "has no vector" if len(some) == 1 else f"have no vectors ({len(some)} texts)"
    short = [text for text in shipped_texts() if len(text) <= _LONGEST]
    near = list(dict.fromkeys(n for text in some[:3] for n in get_close_matches(text, short, n=2)))
    return f"{shown} {has} in this package." + (f" Nearest: {', '.join(near)}." if near else "")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
