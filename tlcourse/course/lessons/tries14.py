"""What tries the answers to the exercises of notebook 14, and wrong answers to try it with."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

DESCRIBED = 0.80  # exercise 14.4: the plain names of the kinds reach .77
MIXED = 0.80  # exercise 14.5: five labels alone reach .75, the names of the kinds alone .78
_LABELLED, _DRAWS = 5, 20
_QUERIES = ("something to wear", "creatures that walk, fly, swim or crawl", "groceries")


# Exercise 14.4: descriptions of the kinds


@cache
def names() -> tuple[np.ndarray, np.ndarray]:
    """Vectors and labels of the 184 names that are for the validation and for the test."""
    from tlcourse.features.text import text_vectors
    from tlcourse.tasks.load import load_task

    task = load_task("emoji")
    words = [name.partition("/")[2] for split in (task.val, task.test) for name in split.names]
    return text_vectors(words), np.append(task.val.labels, task.test.labels)


def descriptions(answer: Any) -> list[list[str]]:
    """The texts of each kind, in the order of the task; another form of answer raises."""
    known = known_descriptions()
    if not isinstance(answer, dict) or not set(answer) & set(known):
        raise TypeError("no dictionary of the kinds")
    if set(answer) != set(known):
        raise KeyError("a kind is missing, or is none")
    some = [answer[kind] for kind in known]
    return [[each] if isinstance(each, str) else list(each) for each in some]


def known_descriptions() -> dict[str, list[str]]:
    """The descriptions that come along."""
    from tlcourse.features.text import texts

    return texts("descriptions")


def not_all_kinds(answer: Any) -> bool:
    """Whether some of the seven kinds are described, but not exactly these seven."""
    return isinstance(answer, dict) and len(answer) > 0 and set(answer) != set(known_descriptions())


def no_vector(answer: Any) -> bool:
    """Whether a description is none of those that come along, and has no vector here."""
    from tlcourse.errors import CourseError
    from tlcourse.features.text import text_vectors

    try:
        text_vectors([text for some in descriptions(answer) for text in some])
    except CourseError:
        return True
    return False


def described(answer: Any) -> float:
    """Share of the 184 names that lie nearest to their own kind's description."""
    from tlcourse.features.text import text_vectors

    kinds = [text_vectors(some).mean(axis=0) for some in descriptions(answer)]
    rows = np.stack([kind / np.linalg.norm(kind) for kind in kinds])
    x, y = names()
    return float(((x @ rows.T).argmax(axis=1) == y).mean())


def one_form(answer: Any) -> bool:
    """Whether all kinds are described by the same one of the eleven forms."""
    known = known_descriptions()
    forms = [
        {known[kind].index(text) for text in some if text in known[kind]}
        for kind, some in zip(known, descriptions(answer), strict=True)
    ]
    return all(form == forms[0] for form in forms)


def form(number: int) -> dict[str, str]:
    """All kinds described by one of the eleven forms."""
    return {kind: some[number] for kind, some in known_descriptions().items()}


def chosen() -> dict[str, str]:
    """For each kind the description that does best on the training names, kind by kind."""
    numbers = (1, 1, 0, 0, 7, 7, 0)
    known = known_descriptions().items()
    return {kind: some[i] for (kind, some), i in zip(known, numbers, strict=True)}


# Exercise 14.5: five labels and the names of the kinds


@cache
def draws() -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Vectors and labels of all names, vectors of the kinds, and twenty draws of labelled names."""
    from tlcourse.features.text import text_vectors, texts

    kinds = texts("emoji")
    y = np.repeat(np.arange(len(kinds)), [len(some) for some in kinds.values()])
    x = text_vectors([word for some in kinds.values() for word in some])
    random = np.random.default_rng(14)
    labelled = tuple(
        np.concatenate([random.permutation(np.flatnonzero(y == k))[:_LABELLED] for k in range(7)])
        for _ in range(_DRAWS)
    )
    return x, y, text_vectors(list(kinds)), labelled


def mixed(answer: Any) -> float:
    """Mean share of all other names that a function puts into their kind."""
    if not callable(answer):
        raise TypeError("not a function")
    x, y, kinds, labelled = draws()
    shares = []
    for rows in labelled:
        others = np.setdiff1d(np.arange(len(y)), rows)
        found = np.asarray(answer(x[rows].copy(), y[rows].copy(), kinds.copy(), x[others].copy()))
        if found.shape != others.shape or found.dtype.kind not in "iu":
            raise TypeError("not one kind for each new name")
        shares.append(float((found == y[others]).mean()))
    return float(np.mean(shares))


def as_good_as(answer: Any, other: Any) -> bool:
    """Whether two functions are right on the same share of names."""
    return abs(mixed(answer) - mixed(other)) < 1e-4


def class_means(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    means = np.stack([x[y == label].mean(axis=0) for label in range(7)])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def both(x: np.ndarray, y: np.ndarray, kinds: np.ndarray, new: np.ndarray) -> np.ndarray:
    return (new @ (class_means(x, y) + kinds).T).argmax(axis=1)


def only_kinds(x: np.ndarray, y: np.ndarray, kinds: np.ndarray, new: np.ndarray) -> np.ndarray:
    return (new @ kinds.T).argmax(axis=1)


def only_labels(x: np.ndarray, y: np.ndarray, kinds: np.ndarray, new: np.ndarray) -> np.ndarray:
    return (new @ class_means(x, y).T).argmax(axis=1)


def one_more(x: np.ndarray, y: np.ndarray, kinds: np.ndarray, new: np.ndarray) -> np.ndarray:
    return only_labels(np.vstack([x, kinds]), np.append(y, np.arange(7)), kinds, new)


# Exercise 14.6: search by meaning


@cache
def emoji_names() -> tuple[tuple[str, ...], np.ndarray]:
    """All names of emoji, and their vectors."""
    from tlcourse.features.text import text_vectors, texts

    words = tuple(word for some in texts("emoji").values() for word in some)
    return words, text_vectors(words)


def nearest_names(query: str, n: int) -> list[str]:
    """The n names nearest to a text, nearest first."""
    from tlcourse.features.text import text_vectors

    words, vectors = emoji_names()
    order = np.argsort(-(vectors @ text_vectors([query])[0]), kind="stable")
    return [words[i] for i in order[:n]]


def farthest_names(query: str, n: int) -> list[str]:
    return nearest_names(query, len(emoji_names()[0]))[: -n - 1 : -1]


def only_test_names(query: str, n: int) -> list[str]:
    from tlcourse.tasks.load import load_task

    test = {name.partition("/")[2] for name in load_task("emoji").test.names}
    return [name for name in nearest_names(query, 461) if name in test][:n]


def searched(answer: Any) -> str:
    """What a learner's search finds: "right", or which mistake."""
    if not callable(answer):
        raise TypeError("not a function")
    found = [[str(name) for name in answer(query, n)] for n, query in enumerate(_QUERIES, 3)]
    if _all(found, nearest_names):
        return "right"
    if all(len(some) != n for n, some in enumerate(found, 3)):
        return "another number"
    if all(name.isdigit() for some in found for name in some):
        return "places"
    for name, function in (("farthest", farthest_names), ("only test", only_test_names)):
        if _all(found, function):
            return name
    return "something else"


def _all(found: Sequence[list[str]], function: Any) -> bool:
    return all(some == function(query, n) for n, (query, some) in _numbered(found))


def _numbered(found: Sequence[list[str]]) -> Any:
    return enumerate(zip(_QUERIES, found, strict=True), 3)


def always_ten(query: str, n: int) -> list[str]:
    return nearest_names(query, 10)


def places_of_names(query: str, n: int) -> list[int]:
    words, _ = emoji_names()
    return [words.index(name) for name in nearest_names(query, n)]
