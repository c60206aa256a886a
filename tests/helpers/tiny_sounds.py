"""Sounds of a second or less: tones in noise, as samples, files and folders."""

import io

import numpy as np
import soundfile

from tlcourse.tasks.sound import Sound

RATE = 8000


def tone(pitch=440.0, seconds=0.5, rate=RATE, seed=0, loud=0.4):
    """A tone with a little noise: float32 (N,)."""
    n = round(seconds * rate)
    noise = np.random.default_rng([seed, round(pitch)]).normal(0, 0.01, n)
    return (loud * np.sin(2 * np.pi * pitch * np.arange(n) / rate) + noise).astype(np.float32)


def sound(pitch=440.0, **options):
    rate = options.get("rate", RATE)
    return Sound(tone(pitch, **options), rate)


def encoded(samples, rate=RATE, kind="WAV", subtype=None):
    """Bytes of a file that holds these samples (N,) or (N, channels)."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=kind)
    return file.getvalue()


def fill(folder, n, pitch=440.0, kind="WAV"):
    """Write n files of one class, each with its own noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        (folder / f"{i}.{kind.lower()}").write_bytes(encoded(tone(pitch, seed=i), kind=kind))
