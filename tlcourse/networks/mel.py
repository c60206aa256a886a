"""From a sound to the mel spectrogram that a speech network was trained with.

A mel spectrogram says how strong each band of frequencies is in each 10 milliseconds. The bands are
spaced as the ear hears them: narrow where the tone is low, wide where it is high.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from tlcourse.errors import CourseError, check_whole
from tlcourse.tasks.sound import Sound, SoundChange

RATE = 16_000  # samples per second that go in
HOP, WINDOW = 160, 400  # samples from frame to frame, and in a frame: 10 and 25 milliseconds
_QUIET = 10 ** (-30 / 20)  # root mean square that quieter sounds are raised to: -30 dBFS
_FLOOR, _RANGE = 1e-10, 80.0  # least power, and decibels below the loudest value that are kept


@dataclass(frozen=True)
class MelPreprocess:
    """Resample to 16 kHz, fill or cut to the length, and take the power in each mel band.

    A shorter sound is repeated until it fills the length, as is usual for speakers. Of words this
    is better than silence, too: the network sees them in several places. Of a longer sound the
    beginning is read: take `backbone.at_size(frames)` for more.
    """

    network: str  # that it is for
    frames: int  # length that goes in, in steps of 10 milliseconds
    bands: int  # of frequencies
    low: float  # where the lowest band begins, in Hz
    high: float  # where the highest one ends, in Hz
    logarithmic: bool  # log-mels, as the keyword network takes them, or plain power
    least: int  # frames that the network needs

    kind, one = "sounds", "sound"  # words for what goes in
    unit, units = "frames", "frames"  # and for its size

    def __call__(self, sound: Any) -> torch.Tensor:
        """Turn a sound into a float32 tensor (1, frames, bands)."""
        return self.mels(torch.from_numpy(self.samples(sound)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the tensor that goes in."""
        return (1, self.frames, self.bands)

    @property
    def size(self) -> int:
        """What `at_size` sets: the length that goes in, in frames of 10 milliseconds."""
        return self.frames

    @property
    def options(self) -> dict[str, Any]:
        """All that decides what comes out, by name."""
        names = ("frames", "bands", "low", "high", "logarithmic")
        return {name: getattr(self, name) for name in names}

    def at_size(self, size: int) -> "MelPreprocess":
        """Return the same preprocessing with another length, in frames of 10 milliseconds."""
        return replace(self, frames=check_whole("size", size, least=self.least))

    def augment(self) -> Callable[[Any], torch.Tensor]:
        """Make the counterpart for training: a `SoundChange` comes first."""
        return partial(_varied, self)

    def example(self) -> Sound:
        """A sound on which two preprocessings differ: a rising tone of two seconds, fading in."""
        t = np.linspace(0, 2, 2 * RATE, dtype=np.float32)
        return Sound(t * np.sin(2 * np.pi * (100 + 1000 * t) * t) / 4, RATE)

    def samples(self, sound: Any) -> np.ndarray:
        """Return as many samples at 16 kHz as the frames need: float32, mostly from -1 to 1."""
        if not isinstance(sound, Sound):
            raise CourseError(
                f"{self.network} takes sounds, but you gave {type(sound).__name__}. "
                "tl.open_sound(path) gives a sound; a network for pictures takes both."
            )
        samples = np.asarray(sound.at_rate(RATE).samples, np.float32)
        needed = self.frames * HOP if not self.logarithmic else (self.frames - 1) * HOP + 512
        if not self.logarithmic:  # the whole sound decides, not only what is read of it
            level = float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0
            if 0 < level < _QUIET:
                samples = samples * np.float32(_QUIET / level)
        if not len(samples):
            return np.zeros(needed, np.float32)
        if len(samples) < needed:
            samples = np.tile(samples, -(-needed // len(samples)))
        return np.ascontiguousarray(samples[:needed])

    def mels(self, samples: torch.Tensor) -> torch.Tensor:
        """Turn samples at 16 kHz (N,) into mels (1, frames, bands), as the original code does."""
        n_fft = 512 if self.logarithmic else WINDOW
        if self.logarithmic:
            samples = samples * 32768  # as whole numbers of 16 bits
        spectrum = torch.stft(
            samples,
            n_fft,
            HOP,
            WINDOW,
            torch.hann_window(WINDOW),
            center=not self.logarithmic,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.abs().square().T[: self.frames]
        mels = power @ _filters(n_fft, self.bands, self.low, self.high)
        if self.logarithmic:
            mels = 10 * mels.clamp(min=_FLOOR).log10()
            mels = mels.clamp(min=float(mels.max()) - _RANGE) / 10 + 2
        return mels[None]

    def to_array(self, tensor: torch.Tensor) -> np.ndarray:
        """Draw one preprocessed sound (1, frames, bands): (bands, frames, 3) from 0 to 1, low below."""
        values = tensor.detach().cpu()[0].T.flip(0)
        if not self.logarithmic:
            values = values.clamp(min=_FLOOR).log10()
            values = values.clamp(min=float(values.max()) - _RANGE / 10)
        span = (values.max() - values.min()).clamp(min=1e-6)
        return ((values - values.min()) / span)[..., None].expand(-1, -1, 3).numpy()

    @classmethod
    def for_keywords(cls) -> "MelPreprocess":
        """Make that of Google's keyword network: 32 log-mels from 60 to 3800 Hz."""
        return cls("speech_embedding", 200, 32, 60.0, 3800.0, logarithmic=True, least=76)

    @classmethod
    def for_speakers(cls) -> "MelPreprocess":
        """Make that of the speaker network: power in 40 bands up to 8 kHz, quiet sounds raised."""
        return cls("ge2e", 160, 40, 0.0, 8000.0, logarithmic=False, least=16)


def _varied(preprocess: MelPreprocess, sound: Any) -> torch.Tensor:
    """Preprocess a sound that is changed at random."""
    return preprocess(SoundChange()(sound))


@cache
def _filters(n_fft: int, bands: int, low: float, high: float) -> torch.Tensor:
    """Weights (n_fft / 2 + 1, bands): triangles of equal area, evenly spaced on Slaney's mel scale."""
    edges = _hertz(np.linspace(_mel(low), _mel(high), bands + 2))
    bins = np.linspace(0, RATE / 2, n_fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(np.minimum(rising, falling), 0) * 2 / (edges[2:] - edges[:-2])
    return torch.from_numpy(weights.astype(np.float32))


# Slaney's scale: a mel is 200/3 Hz up to 1000 Hz, and from there a step of a fixed ratio.
_LINEAR, _TURN, _STEP = 200 / 3, 1000.0, np.log(6.4) / 27


def _mel(hertz: float) -> float:
    if hertz < _TURN:
        return hertz / _LINEAR
    return float(_TURN / _LINEAR + np.log(hertz / _TURN) / _STEP)


def _hertz(mels: np.ndarray) -> np.ndarray:
    turn = _TURN / _LINEAR
    return np.where(mels < turn, mels * _LINEAR, _TURN * np.exp(_STEP * (mels - turn)))
