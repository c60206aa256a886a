"""Voices, words and languages: what networks know of the same sounds (notebook 14).

    python -m benchmarks.speech --save

Seven voices in five languages each say 28 numbers and 77 prompts. "en Allison" and "es Allison" are
one speaker, so her two voices are also counted as one ("speaker" beside "voice"). Compared are the
ImageNet network on the spectrogram, a network for speakers (ge2e), a network for keywords
(speech_embedding), all three with random weights, and, without any network, mean and deviation of
each band of the spectrogram. The questions:

 - "voice", "speaker": who says a prompt? Five prompts of each voice are learned from, 20 draws.
 - "word", "digit": which of 28 numbers, or of ten digits, said by another speaker of the same
   language? The first speaker said each once. All four directions (French and Italian).
 - "language, known voices" and "language, new voices": in which language is a prompt? English,
   Spanish, Russian, a French and an Italian voice say half of the prompts to learn from; the other
   half is said by the same voices, or by the other French and Italian ones. All four choices of
   voices, five draws each. "language, Allison" is the share of the known voices' English and Spanish
   prompts that is right: one speaker says both.

`speech_scores` answers as the notebook does: at the embedding, by the nearest class mean (cosine,
after the mean of what is learned from was subtracted). `speech_layers` does the same at each layer.
`speech_best` gives each network its best chance: the layer, the reader (nearest mean or linear probe)
and, for the ImageNet network, the size and the way to draw the spectrogram are those that do best on
other sounds: for voices on numbers, for words and digits on the numbers from 10 to 90, for
languages on known voices. All of it takes about 15 minutes on 2 slow cores.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np

import tlcourse as tl
from benchmarks.recording import Row, record
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import pool_positions
from tlcourse.tasks import voices
from tlcourse.tasks.sound import Sound

VOICES = tuple(voices.about()["voices"])
NUMBERS = tuple(voices.about()["numbers"])
PROMPTS = tuple(voices.about()["prompts"])
DIGITS = 10  # the first numbers
SPEAKERS = np.array([0, 0, *range(1, len(VOICES) - 1)])  # of each voice: en and es are one
LANGUAGES = tuple(dict.fromkeys(voice[:2] for voice in VOICES))
DIRECTIONS = tuple(
    (one, other)
    for one, other in product(VOICES, VOICES)
    if one != other and one[:2] == other[:2] and one[:2] in ("fr", "it")
)
NEW = tuple(product(*([v for v in VOICES if v[:2] == name] for name in ("fr", "it"))))
EXAMPLES, DRAWS, SEEDS = 5, 20, (0, 1, 2)
IMAGENET, BANDS = "ImageNet network", "mean and deviation of each band"
NAMES = {IMAGENET: "efficientnet_lite0", "ge2e": "ge2e", "speech_embedding": "speech_embedding"}
RANDOM = ", random weights"
NETWORKS = (*NAMES, BANDS, *(name + RANDOM for name in NAMES))
QUESTIONS = (
    *("voice", "speaker", "word", "digit"),
    *("language, known voices", "language, new voices", "language, Allison"),
)
_REPEATED = 2.0  # seconds

Table = dict[str, np.ndarray]  # layer -> (voices, sounds, numbers)
Reader = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


# What each layer gives


@cache
def sounds() -> dict[tuple[str, str], Sound]:
    """(Voice, what is said) -> the sound."""
    return {key: voices.decode(content) for key, content in voices.spoken().items()}


@cache
def features(network: str, seed: int = 0, way: str = "") -> dict[str, Table]:
    """For "numbers" and "prompts", what each layer gives of them, pooled by the mean.

    `seed` decides random weights; `way` is a key of `WAYS`, for the ImageNet network.
    """
    return {part: _table(network, seed, way, said) for part, said in _SAID.items()}


_SAID = {"numbers": NUMBERS, "prompts": PROMPTS}


def _table(network: str, seed: int, way: str, said: Sequence[str]) -> Table:
    spoken = [sounds()[voice, text] for voice in VOICES for text in said]
    if network == BANDS:
        mels = [sound.log_mel().numpy() for sound in spoken]
        x = {"bands": np.stack([np.r_[m.mean(axis=1), m.std(axis=1)] for m in mels])}
    else:
        name, random, _ = network.partition(RANDOM)
        tl.seed_everything(seed)
        backbone = tl.load_backbone(NAMES[name], pretrained=not random, device="cpu")
        if name == IMAGENET:
            size, draw = WAYS[way or "160 px"]
            x = _run(backbone.at_size(size), [draw(sound) for sound in spoken])
        else:
            x = _run(backbone, spoken)
    return {layer: rows.reshape(len(VOICES), len(said), -1) for layer, rows in x.items()}


def _repeated(sound: Sound) -> Any:
    """Draw a sound that is repeated until it fills two seconds, as speech networks hear it."""
    n = int(_REPEATED * sound.rate)
    samples = np.tile(sound.samples, -(-n // len(sound.samples)))[:n]
    return Sound(samples, sound.rate).picture(seconds=_REPEATED)


WAYS: dict[str, tuple[int, Callable[[Sound], Any]]] = {
    "160 px": (160, Sound.picture),
    "160 px, repeated": (160, _repeated),
    "224 px": (224, Sound.picture),
}


def _run(backbone: Backbone, items: Sequence[Any]) -> dict[str, np.ndarray]:
    layers = [name for name in backbone.layers if name not in ("stem", "logits")]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    for start in range(0, len(items), 16):
        values = tl.activations(backbone, list(items[start : start + 16]), layers)
        for name, value in values.items():
            parts[name].append(pool_positions(value, "mean").numpy())
    return {name: np.concatenate(rows) for name, rows in parts.items()}


# The questions


def nearest_mean(train: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Label of the nearest class mean by cosine, after the mean of all was subtracted."""
    mean = train.mean(axis=0)
    rows, asked = _unit(train - mean), _unit(test - mean)
    means = np.stack([rows[y == label].mean(axis=0) for label in range(y.max() + 1)])
    return (asked @ _unit(means).T).argmax(axis=1)


def probe(train: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Labels that a linear probe gives."""
    return tl.fit_probe(train, y).logits(test).argmax(axis=1)


READERS: dict[str, Reader] = {"nearest mean": nearest_mean, "probe": probe}


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def who(x: np.ndarray, read: Reader, seed: int) -> dict[str, float]:
    """Accuracy with five random sounds of each voice, among seven voices and six speakers."""
    order = np.random.default_rng(seed).permutation(x.shape[1])
    learned, tested = order[:EXAMPLES], order[EXAMPLES:]
    labels = np.arange(len(VOICES))
    answers = read(_rows(x[:, learned]), labels.repeat(EXAMPLES), _rows(x[:, tested]))
    truth = labels.repeat(len(tested))
    same = SPEAKERS[answers] == SPEAKERS[truth]
    return {"voice": float((answers == truth).mean()), "speaker": float(same.mean())}


def what(x: np.ndarray, read: Reader, direction: tuple[str, str]) -> float:
    """Accuracy for the second voice's words, of which the first one said each once."""
    one, other = (x[VOICES.index(voice)] for voice in direction)
    labels = np.arange(len(one))
    return float((read(one, labels, other) == labels).mean())


def which_language(
    x: np.ndarray, read: Reader, new: tuple[str, ...], seed: int
) -> dict[str, float]:
    """Accuracy for prompts that were not learned, by voices that were, and by the `new` ones."""
    learned, tested = np.array_split(np.random.default_rng(seed).permutation(x.shape[1]), 2)
    spoken = np.array([LANGUAGES.index(voice[:2]) for voice in VOICES])
    fresh = np.array([voice in new for voice in VOICES])
    truth = spoken.repeat(len(tested))
    answers = read(
        _rows(x[~fresh][:, learned]), spoken[~fresh].repeat(len(learned)), _rows(x[:, tested])
    )
    right = (answers == truth).reshape(len(VOICES), -1)
    return {
        "language, known voices": float(right[~fresh].mean()),
        "language, new voices": float(right[fresh].mean()),
        "language, Allison": float(right[:2].mean()),
    }


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, x.shape[-1])


def scores(
    numbers: np.ndarray, prompts: np.ndarray, read: Reader, draws: int = DRAWS
) -> Iterator[Row]:
    """All questions: a row for each pair of voices and each draw; of languages, a quarter of them."""
    for seed in range(draws):
        for question, accuracy in who(prompts, read, seed).items():
            yield {"question": question, "seed": seed, "accuracy": round(accuracy, 4)}
    for direction, words in product(DIRECTIONS, ("word", "digit")):
        x = numbers if words == "word" else numbers[:, :DIGITS]
        accuracy = what(x, read, direction)
        pair = " -> ".join(direction)
        yield {"question": words, "pair": pair, "accuracy": round(accuracy, 4)}
    for new, seed in product(NEW, range(draws // len(NEW))):
        for question, accuracy in which_language(prompts, read, new, seed).items():
            row = {"question": question, "pair": f"new: {', '.join(new)}", "seed": seed}
            yield row | {"accuracy": round(accuracy, 4)}


def seeds_of(network: str) -> tuple[int, ...]:
    """Of the weights, where they are random."""
    return SEEDS if RANDOM in network else (0,)


def embedding(network: str) -> str:
    """The layer that the notebook takes."""
    return "bands" if network == BANDS else "embedding"


# What is recorded


def speech_scores() -> Iterator[Row]:
    """At the embedding, by the nearest mean, as the notebook does."""
    for network in NETWORKS:
        for weights in seeds_of(network):
            x = features(network, weights)
            numbers, prompts = (x[part][embedding(network)] for part in ("numbers", "prompts"))
            draws = len(NEW) if RANDOM in network else DRAWS
            for row in scores(numbers, prompts, nearest_mean, draws):
                about = {"network": network, "weights": weights if RANDOM in network else None}
                yield about | row


def speech_layers() -> Iterator[Row]:
    """The mean over draws or directions, and its smallest and largest, at each layer."""
    for network in (*NAMES, BANDS):
        for layer in features(network)["numbers"]:
            numbers, prompts = (features(network)[part][layer] for part in ("numbers", "prompts"))
            values: dict[str, list[float]] = {question: [] for question in QUESTIONS}
            for row in scores(numbers, prompts, nearest_mean):
                values[row["question"]].append(row["accuracy"])
            for question, found in values.items():
                yield {"network": network, "layer": layer, "question": question} | _spread(found)


def _spread(found: Sequence[float]) -> Row:
    mean = round(float(np.mean(found)), 4)
    return {"accuracy": mean, "least": min(found), "most": max(found)}


# Question that a choice is made for -> those that are answered with it.
_TOGETHER = {"voice": QUESTIONS[:2], "digit": QUESTIONS[3:4], "language": QUESTIONS[4:]}
Choice = tuple[str, str, str]  # way to draw, layer, reader


def on_other_sounds(network: str, question: str, choice: Choice) -> float:
    """How well a choice does on sounds that the reported test does not hold."""
    way, layer, reader = choice
    x, read = features(network, 0, way), READERS[reader]
    if question == "voice":
        found = [who(x["numbers"][layer], read, 1000 + seed)["voice"] for seed in range(5)]
    elif question == "digit":
        larger = x["numbers"][layer][:, DIGITS:]
        found = [what(larger, read, direction) for direction in DIRECTIONS]
    else:
        half = x["prompts"][layer]
        key = "language, known voices"
        found = [which_language(half, read, new, 1000)[key] for new in NEW]
    return float(np.mean(found))


def speech_best() -> Iterator[Row]:
    """Each network with what does best on other sounds; the mean over draws, for each pair."""
    for network, question in product((*NAMES, BANDS), _TOGETHER):
        ways = WAYS if network == IMAGENET else ("",)
        choices = [
            (way, layer, reader)
            for way in ways
            for layer in features(network, 0, way)["numbers"]
            for reader in READERS
        ]
        seen = {choice: on_other_sounds(network, question, choice) for choice in choices}
        way, layer, reader = best = max(choices, key=lambda choice: seen[choice])
        x = features(network, 0, way)
        about: Row = {"network": network, "way": way or None, "layer": layer, "reader": reader}
        about["on_other_sounds"] = round(seen[best], 4)
        values: dict[tuple[str, str | None], list[float]] = {}
        for row in scores(x["numbers"][layer], x["prompts"][layer], READERS[reader]):
            key = row["question"], row.get("pair")
            values.setdefault(key, []).append(row["accuracy"])
        belong = _TOGETHER[question]
        for (asked, pair), found in values.items():
            if asked in belong:
                yield about | {"question": asked, "pair": pair} | _spread(found)


EXPERIMENTS = {
    "speech_scores": speech_scores,
    "speech_layers": speech_layers,
    "speech_best": speech_best,
}

if __name__ == "__main__":
    record("python -m benchmarks.speech", __doc__ or "", EXPERIMENTS)
