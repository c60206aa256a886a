"""Emoji by their names and by their drawings, and where word counts are enough (notebook 14).

    python -m benchmarks.text --save

"names_and_drawings": the same emoji as words and as pictures, in ten draws of the splits (92 test
emoji each). Names are read by MiniLM-L6, whose vectors come along, and by TF-IDF of words and of
pieces of words; drawings by Lite0. Strengths and the layer of Lite0 are chosen on the validation
emoji. With few labels nothing is chosen: `tl.fit_probe` takes the nearest class mean below five
labels of each class, and a fixed strength from there on; Lite0 is read at its embedding. Each draw
of the splits has twenty draws of the labels.

"words_repeat": which notebook is a paragraph from? Twenty draws of the labelled paragraphs, all
others are for the test.

All of it takes about 3 minutes on 2 slow cores.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax
from sklearn.feature_extraction.text import TfidfVectorizer

import tlcourse as tl
from benchmarks.recording import Row, record

SEEDS = range(10)
DRAWS = range(20)  # of the labels, for each seed
PER_CLASS = (1, 2, 5, 10)
PARAGRAPHS_PER_CLASS = (1, 2, 5, 10, 20)
LAYERS = ("stage4", "stage5", "stage6", "stage7", "embedding")
COUNTS = {
    "TF-IDF, words": {},
    "TF-IDF, pieces of words": {"analyzer": "char_wb", "ngram_range": (2, 5)},
}
# Words such as "the" say nothing about a paragraph; scikit-learn has a list of them.
PARAGRAPH_COUNTS = {
    "TF-IDF, all words": {"sublinear_tf": True},
    "TF-IDF": {"sublinear_tf": True, "stop_words": "english"},
}

Split = Mapping[str, np.ndarray]  # "train", "val", "test" -> rows


@dataclass(frozen=True, eq=False)
class Emoji:
    """All emoji in one order: their words, labels, and what the two networks make of them."""

    names: list[str]  # "animals/orangutan"
    words: list[str]
    labels: np.ndarray
    vectors: np.ndarray  # MiniLM, (461, 384)
    classes: np.ndarray  # MiniLM of the class names, (7, 384)
    drawings: Mapping[str, np.ndarray]  # Lite0: layer -> (461, C)

    def split(self, seed: int) -> Split:
        """Where the emoji of each split of `tl.load_task("emoji", seed=seed)` stand."""
        task = tl.load_task("emoji", seed=seed)
        place = {name: i for i, name in enumerate(self.names)}
        splits = {"train": task.train, "val": task.val, "test": task.test}
        return {key: np.array([place[name] for name in s.names]) for key, s in splits.items()}


def emoji(layers: Sequence[str] = LAYERS) -> Emoji:
    """Read all emoji, as words and as drawings (these take seconds; without layers, none)."""
    kinds = tl.texts("emoji")
    words = [word for some in kinds.values() for word in some]
    names = [f"{kind}/{word}" for kind, some in kinds.items() for word in some]
    labels = np.repeat(np.arange(len(kinds)), [len(some) for some in kinds.values()])
    drawings = {}
    if layers:
        found = tl.extract_features(
            tl.load_backbone(), tl.load_task("emoji"), list(layers), progress=False
        )
        place = {name: i for i, name in enumerate(found.names)}
        order = [place[name] for name in names]
        drawings = {layer: np.asarray(x)[order] for layer, x in found.x.items()}
    vectors = tl.text_vectors(words), tl.text_vectors(list(kinds))
    return Emoji(names, words, labels, *vectors, drawings)


def right(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose highest score is that of their label."""
    return float((scores.argmax(axis=1) == labels).mean())


def counted(words: Sequence[str], fitted_on: Sequence[str], options: dict) -> np.ndarray:
    """TF-IDF of texts, with the words and the weights of some of them: (N, words)."""
    return TfidfVectorizer(**options).fit(fitted_on).transform(words).toarray()


def with_all_labels(data: Emoji, seed: int) -> Iterator[Row]:
    """Probes on all training emoji of a split, no training at all, and both views together."""
    rows, y = data.split(seed), data.labels
    train, val, test = rows["train"], rows["val"], rows["test"]

    def probed(x: np.ndarray) -> tuple[np.ndarray, float]:
        probe = tl.fit_probe(x[train], y[train], x[val], y[val])
        return probe.logits(x[test]), right(probe.logits(x[val]), y[val])

    scores = {"name, no training": data.vectors[test] @ data.classes.T}
    scores["name, MiniLM"], _ = probed(data.vectors)
    for name, options in COUNTS.items():
        learned = [data.words[i] for i in train]
        scores[f"name, {name}"], _ = probed(counted(data.words, learned, options))
    by_layer = {layer: probed(x) for layer, x in data.drawings.items()}
    best = max(by_layer, key=lambda layer: by_layer[layer][1])
    scores["drawing, best layer"] = by_layer[best][0]
    scores["drawing, embedding"] = by_layer["embedding"][0]
    scores["name and drawing, summed"] = sum(
        log_softmax(scores[part], axis=1) for part in ("name, MiniLM", "drawing, embedding")
    )
    both = [data.vectors, data.drawings["embedding"]]
    both = [(x - x[train].mean(axis=0)) / np.linalg.norm(x[train].std(axis=0)) for x in both]
    scores["name and drawing, side by side"], _ = probed(np.hstack(both))
    most = np.bincount(y[train]).argmax()
    yield {"input": "largest class", "seed": seed, "accuracy": float((y[test] == most).mean())}
    for name, some in scores.items():
        row = {"input": name, "seed": seed, "accuracy": right(some, y[test])}
        yield row | ({"layer": best} if name == "drawing, best layer" else {})


def few(y: np.ndarray, rows: np.ndarray, per_class: int, *seeds: int) -> np.ndarray:
    """Draw so many rows of each class."""
    random = np.random.default_rng([per_class, *seeds])
    drawn = [random.permutation(rows[y[rows] == label])[:per_class] for label in np.unique(y)]
    return np.concatenate(drawn)


def with_few_labels(data: Emoji, seed: int) -> Iterator[Row]:
    """The mean of twenty draws of a few labelled emoji of each class."""
    rows, y = data.split(seed), data.labels
    learned = [data.words[i] for i in rows["train"]]  # their words are known, not their labels
    inputs = {"name, MiniLM": data.vectors, "drawing, embedding": data.drawings["embedding"]}
    for name, options in COUNTS.items():
        inputs[f"name, {name}"] = counted(data.words, learned, options)
    for n in PER_CLASS:
        draws = [few(y, rows["train"], n, seed, draw) for draw in DRAWS]
        for name, x in inputs.items():
            found = [few_labels_once(x, y, some, rows["test"]) for some in draws]
            mean = float(np.mean(found))
            yield {"input": name, "seed": seed, "per_class": n, "accuracy": mean}
        x, labels = np.vstack([data.vectors, data.classes]), np.append(y, np.arange(7))
        own = np.arange(len(y), len(labels))  # a class name is one more example of its class
        found = [few_labels_once(x, labels, np.append(s, own), rows["test"]) for s in draws]
        name = "name and class names, MiniLM"
        yield {"input": name, "seed": seed, "per_class": n, "accuracy": float(np.mean(found))}


def few_labels_once(x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Accuracy on the test rows of a probe on some rows, with nothing to choose."""
    return right(tl.fit_probe(x[train], y[train]).logits(x[test]), y[test])


def names_and_drawings() -> Iterator[Row]:
    """Each row for each draw of the splits."""
    data = emoji()
    for seed in SEEDS:
        yield from with_all_labels(data, seed)
        yield from with_few_labels(data, seed)


def words_repeat() -> Iterator[Row]:
    """Which notebook is a paragraph from? For each draw and number of labels."""
    paragraphs = tl.texts("paragraphs")
    words = [text for some in paragraphs.values() for text in some]
    y = np.repeat(np.arange(len(paragraphs)), [len(some) for some in paragraphs.values()])
    for n in PARAGRAPHS_PER_CLASS:
        for draw in DRAWS:
            for name, accuracy in paragraphs_once(words, y, n, draw).items():
                yield {"input": name, "per_class": n, "draw": draw, "accuracy": accuracy}


def paragraphs_once(words: Sequence[str], y: np.ndarray, n: int, draw: int) -> dict[str, float]:
    """Accuracy of the network, of word counts, and of both summed, on all other paragraphs."""
    train = few(y, np.arange(len(y)), n, draw)
    test = np.setdiff1d(np.arange(len(y)), train)
    learned = [words[i] for i in train]
    inputs = {name: counted(words, learned, o) for name, o in PARAGRAPH_COUNTS.items()}
    inputs["MiniLM"] = tl.text_vectors(words)
    scores = {
        name: log_softmax(tl.fit_probe(x[train], y[train]).logits(x[test]), axis=1)
        for name, x in inputs.items()
    }
    scores["both summed"] = scores["MiniLM"] + scores["TF-IDF"]
    return {name: right(some, y[test]) for name, some in scores.items()}


EXPERIMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    "names_and_drawings": names_and_drawings,
    "words_repeat": words_repeat,
}

if __name__ == "__main__":
    record("python -m benchmarks.text", __doc__, EXPERIMENTS)
