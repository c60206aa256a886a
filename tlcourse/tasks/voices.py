"""Spoken numbers and prompts of seven voices in five languages, as telephone exchanges play them.

"en Allison" and "es Allison" are one speaker, as Debian's copyright file names her for both, so
there are six speakers. `tools/voices.py` says where the sounds come from, and made the files.
"""

import json
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any

from tlcourse.tasks.sound import Sound

DIGITS = tuple("0123456789")
_RATE = 8_000

Spoken = dict[tuple[str, str], bytes]  # (voice, name of what is said) -> its bytes, GSM 06.10


@cache
def about() -> dict[str, Any]:
    """What there is: `numbers` and `prompts`, and `voices` with language, author, licence, page."""
    text = (files("tlcourse") / "data" / "voices.json").read_text("utf-8")
    told: dict[str, Any] = json.loads(text)
    return told


@cache
def spoken() -> Spoken:
    """All sounds, not yet decoded: 1,650 bytes for each second."""
    from safetensors.numpy import load

    tensors = load((files("tlcourse") / "data" / "voices.safetensors").read_bytes())
    ends = tensors["ends"].tolist()
    names = about()["numbers"] + about()["prompts"]
    said = [(voice, name) for voice in about()["voices"] for name in names]
    content = tensors["gsm"].tobytes()
    starts = [0, *ends[:-1]]
    return {key: content[start:end] for key, start, end in zip(said, starts, ends, strict=True)}


def decode(content: bytes) -> Sound:
    """Decode one of them with libsndfile."""
    from soundfile import read

    samples, rate = read(
        BytesIO(content), dtype="float32", format="RAW", subtype="GSM610", samplerate=_RATE,
        channels=1,
    )  # fmt: skip
    return Sound(samples, rate)


def credits_of_voices() -> dict[str, str]:
    """Voice -> author, licence and page."""
    credit = "{author}, {licence}, {page}"
    return {voice: credit.format(**told) for voice, told in about()["voices"].items()}
