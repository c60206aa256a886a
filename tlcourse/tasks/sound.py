"""Sounds as data: open one from a file of any kind, hear it, see it as a picture, vary it."""

import math
import os
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from io import BufferedReader, BytesIO
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from tlcourse.base.files import open_source, whole_file
from tlcourse.base.messages import printable
from tlcourse.errors import CourseError, SoundError, check_whole

if TYPE_CHECKING:
    import torch

# What libsndfile reads by the end of a name; it looks into the file, whatever that is called.
EXTENSIONS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"}
RATE = 16_000  # samples per second of a spectrogram, whatever the sound has
SHORTEST = 0.1  # seconds
SIDE = 160  # pixels of a spectrogram's picture
N_DRAWS = 3  # random numbers from 0 to 1 that one change takes
_RATES = (1_000, 384_000)
_MOST_CHANNELS = 64
_MOST_CHUNKS = 1000  # of a WAV file that are looked at
_FINEST = 1000  # ratios of rates are exact up to this denominator, and off by a millionth beyond
_QUIETEST = 1e-4  # a sound that stays within this range is silent
_WINDOW = 400  # samples of a spectrogram's window: 25 ms
_PLAYER = (
    '<figure style="margin: 0"><audio controls src="{{ source }}" aria-label="{{ name }}"></audio>'
    "<figcaption>{{ name }}</figcaption></figure>"
)
_RANGE = 80.0  # decibels from a spectrogram's loudest value to its lowest


@dataclass(frozen=True, eq=False, repr=False)
class Sound:
    """A sound of one channel. As the last line of a cell it shows a player.

    Attributes:
        samples: float32 (N,), from -1 to 1.
        rate: Samples per second.
        caption: What one hears, in words, for who cannot hear it; it stands under the player.

    Example:
        >>> tone = Sound(np.sin(np.arange(8000) * 0.3).astype(np.float32), 8000)
        >>> tone
        Sound of 1.00 s, 8,000 samples per second
    """

    samples: np.ndarray
    rate: int
    caption: str = ""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate

    def at_rate(self, rate: int) -> "Sound":
        """Return the same sound with so many samples per second, without what is too high for it.

        Raises:
            CourseError: The rate is no whole number from 1,000 to 384,000.
        """
        check_whole("rate", rate, least=_RATES[0], most=_RATES[1])
        if rate == self.rate:
            return self
        from scipy.signal import resample_poly

        # 16,000 of 383,999 as it is would take a filter of millions of numbers.
        ratio = Fraction(rate, self.rate).limit_denominator(_FINEST)
        samples = resample_poly(self.samples, ratio.numerator, ratio.denominator)
        return replace(self, samples=samples.astype(np.float32), rate=rate)

    def log_mel(self, n_bands: int = 80, *, step: float = 0.01) -> "torch.Tensor":
        """Compute the log-mel spectrogram: how loud each band of pitches is, over time.

        The sound is brought to 16,000 samples per second. Each window of 25 ms gives one column.
        The bands are equally wide in mel, a scale on which equal steps sound equally large.

        Args:
            n_bands: How many bands, from the lowest pitch to the highest (8,000 Hz).
            step: Seconds from one window to the next.

        Returns:
            float32 (n_bands, columns), in decibels: 0 for the loudest value, at least -80.

        Raises:
            CourseError: `n_bands` is no whole number from 1 to 128, or `step` not above 0.

        Example:
            >>> tone = Sound(np.sin(np.arange(8000) * 0.3).astype(np.float32), 8000)
            >>> tone.log_mel().shape
            torch.Size([80, 101])
        """
        import torch

        check_whole("n_bands", n_bands, most=128)
        _check_number("step", step, above=1 / RATE)
        waves = torch.from_numpy(np.ascontiguousarray(self.at_rate(RATE).samples, np.float32))
        window = torch.hann_window(_WINDOW)
        # So many values for each window that the narrowest band holds one, too.
        size = 2048 if n_bands > 40 else 1024
        spectrum = torch.stft(
            torch.nn.functional.pad(waves, (0, max(0, size - len(waves)))),
            size,
            round(step * RATE),
            _WINDOW,
            window,
            return_complex=True,
            pad_mode="constant",
        )
        power = _mel_bands(n_bands, size) @ spectrum.abs().square()
        decibels = 10 * power.clamp(min=1e-14).log10()
        loudest = decibels.max().clamp(min=-60)  # softer than any sound that is not silent
        return (decibels - loudest).clamp(min=-_RANGE)

    def picture(self, *, seconds: float = 3.0) -> Image.Image:
        """Draw the log-mel spectrogram, which is what an image network reads of a sound.

        Time goes from left to right, always at the same speed, so a longer sound is cut after
        `seconds` and a shorter one is followed by silence. Low pitches lie at the bottom. White is
        the loudest value, black is 80 decibels below it, or silence.

        Args:
            seconds: How much time the picture shows.

        Returns:
            A picture of mode "RGB", 160 x 160 pixels, all three channels equal.

        Raises:
            CourseError: `seconds` is not a number above 0.1.
        """
        _check_number("seconds", seconds, above=SHORTEST)
        begin = self.samples[: math.ceil(seconds * self.rate)]
        mel = Sound(begin, self.rate).log_mel(SIDE // 2, step=seconds / SIDE).numpy()
        grey = np.zeros((SIDE // 2, SIDE), np.uint8)
        drawn = mel[::-1, :SIDE]
        grey[:, : drawn.shape[1]] = np.rint((drawn / _RANGE + 1) * 255)
        picture = Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return picture.convert("RGB")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a WAV file of 16 bit, whole or not at all.

        Raises:
            CourseError: It cannot be written there.
        """
        import soundfile

        target = Path(path).expanduser()
        try:
            with whole_file(target) as part:
                soundfile.write(part, self.samples, self.rate, "PCM_16", format="WAV")
        except (OSError, soundfile.SoundFileError) as error:
            raise CourseError(f"{printable(target)} cannot be written ({error}).") from error

    def __repr__(self) -> str:
        return f"Sound of {self.seconds:.2f} s, {self.rate:,} samples per second"

    def _repr_html_(self) -> str:
        """A player, for a notebook, with its caption."""
        from IPython.display import Audio

        from tlcourse.base.html import render

        # Another rate moves the peaks of a loud sound, some of them beyond what a player takes.
        samples = np.clip(self.samples, -1, 1)
        audio = Audio(samples, rate=self.rate, normalize=False)
        name = f"{self.caption or 'Sound'}, {self.seconds:.2f} s"
        return render(_PLAYER, source=audio.src_attr(), name=name)


def open_sound(
    source: str | os.PathLike[str] | bytes | BinaryIO, *, max_seconds: float = 10.0
) -> Sound:
    """Open a sound: WAV of any depth, FLAC, Ogg, MP3 or AIFF; several channels become one.

    Only its beginning is read, so an hour of music takes no more time or memory than ten seconds.

    Args:
        source: Path, content (bytes) or opened binary file.
        max_seconds: Read at most so many seconds, from the beginning.

    Returns:
        The sound, with the rate of the file. The mean of the channels is taken; values beyond -1
        to 1, which files of floating-point numbers may hold, are scaled down together.

    Raises:
        SoundError: It does not exist, is empty, no sound, cut off, silent, or shorter than 0.1 s.
        CourseError: `max_seconds` is not a number of at least 0.1.

    Example:
        >>> open_sound("my/sounds/bell/01.wav")  # doctest: +SKIP
        Sound of 2.41 s, 44,100 samples per second
    """
    from soundfile import SoundFile, SoundFileError

    _check_number("max_seconds", max_seconds, above=SHORTEST)
    name, file = open_source(source, "sound", SoundError)
    with closing(file):
        try:
            if not file.read(1):
                raise _unreadable(name, "it is empty (0 bytes)")
            _check_lists(file, name)
            file.seek(0)
            with SoundFile(_Within(file)) as opened:
                samples, rate = _read(opened, name, max_seconds), opened.samplerate
        except SoundError:
            raise
        except (SoundFileError, OSError, ValueError, RuntimeError) as error:
            raise _unreadable(name, _reason(error)) from error
    if not np.isfinite(samples).all():
        raise _unreadable(name, "it holds values that are not finite (NaN or infinity)")
    seconds = len(samples) / rate
    if seconds < SHORTEST:
        raise _unreadable(name, f"it is too short: {seconds:.3f} s, but at least 0.1 s are needed")
    if float(samples.max()) - float(samples.min()) < _QUIETEST:  # as floats they do not overflow
        raise _unreadable(name, "it is silent")
    return Sound(samples / max(1.0, float(np.abs(samples).max())), rate)


def _check_lists(file: BufferedReader | BytesIO, name: str) -> None:
    """Refuse a WAV file with such a length in a list of notes that libsndfile reads it for ever.

    A length just below 2**32 leads it backwards. Notes are texts, which do not hold two bytes of
    255 side by side.
    """
    end, at = file.seek(0, os.SEEK_END), 12
    file.seek(0)
    for _ in range(_MOST_CHUNKS if file.read(4) == b"RIFF" else 0):
        file.seek(at)
        head = file.read(8)
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"LIST" and b"\xff\xff" in file.read(size):
            raise _unreadable(name, "it is cut off or damaged")
        at += 8 + size + size % 2
        if at >= end:
            return


class _Within:
    """A file that stays where it is when a damaged one leads to before its start.

    What its methods raise inside libsndfile cannot be caught, and would be printed.
    """

    def __init__(self, file: BufferedReader | BytesIO) -> None:
        self._file = file
        self.read, self.readinto, self.tell = file.read, file.readinto, file.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        with suppress(OSError, ValueError):
            self._file.seek(offset, whence)
        return self.tell()


def _read(opened: Any, name: str, max_seconds: float) -> np.ndarray:
    """Read the first seconds as one channel, in pieces, so that many channels take no more room."""
    rate, channels = opened.samplerate, opened.channels
    if not _RATES[0] <= rate <= _RATES[1]:
        raise _unreadable(name, f"it says that it has {rate:,} samples per second")
    if channels > _MOST_CHANNELS:
        raise _unreadable(name, f"it has {channels} channels")
    left = math.ceil(max_seconds * rate)
    parts = [np.empty(0, np.float32)]
    while left > 0 and len(part := opened.read(min(left, 2**16), "float32", always_2d=True)):
        with np.errstate(invalid="ignore"):  # of infinities; they are refused later
            parts.append(part.mean(axis=1, dtype=np.float64).astype(np.float32))
        left -= len(part)
    return np.concatenate(parts)


def _unreadable(name: str, reason: str) -> SoundError:
    return SoundError(f"{printable(name)} cannot be read: {reason}.", reason)


def _reason(error: Exception) -> str:
    """What libsndfile says, in a few words."""
    said = str(getattr(error, "error_string", error)).lower()
    if "not recognised" in said or "unknown format" in said or "not supported" in said:
        return "it is not a sound, or of a kind that is not read; save it as WAV"
    return "it is cut off or damaged"


def _check_number(name: str, value: Any, *, above: float) -> None:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not above <= float(value) < math.inf:
        raise CourseError(f"{name} is {value!r}, but must be a number of at least {above:g}.")


@cache
def _mel_bands(n_bands: int, size: int) -> "torch.Tensor":
    """Weights (n_bands, size // 2 + 1) of triangles that end in the middles of their neighbours.

    Mel is 2595 log10(1 + Hz / 700).
    """
    import torch

    highest = 2595 * math.log10(1 + RATE / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, highest, n_bands + 2) / 2595) - 1)
    pitches = torch.linspace(0, RATE / 2, size // 2 + 1)
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (pitches - low) / (middle - low), (high - pitches) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0)


@dataclass(frozen=True)
class SoundChange:
    """How a sound varies: earlier or later, louder or softer, with noise. It is never reversed.

    A call draws one from PyTorch's generator, so it will do as `augment=` of a training.

    Attributes:
        shift: Earlier or later by at most so many seconds. What leaves at one end is lost, and
            silence comes in at the other.
        gain: Louder or softer by at most so many decibels.
        noise: White noise of at most this share of the sound's own loudness (root mean square).

    Raises:
        CourseError: A limit is not a number from 0 on.

    Example:
        >>> change = SoundChange(shift=0.05)
        >>> change(Sound(np.ones(8000, np.float32) / 2, 8000)).seconds
        1.0
    """

    shift: float = 0.1
    gain: float = 6.0
    noise: float = 0.05

    def __post_init__(self) -> None:
        for name in ("shift", "gain", "noise"):
            _check_number(name, getattr(self, name), above=0)
            object.__setattr__(self, name, float(getattr(self, name)))  # 6 and 6.0 are one name

    def __call__(self, sound: Sound) -> Sound:
        """Return the sound changed at random."""
        import torch

        return self.drawn(sound, torch.rand(N_DRAWS, dtype=torch.float64).tolist())

    def drawn(self, sound: Sound, draws: Sequence[float]) -> Sound:
        """Return the sound changed as three numbers from 0 to 1 say: shift, gain, noise."""
        if not isinstance(sound, Sound):
            raise SoundError(
                f"A SoundChange changes a Sound, you gave {type(sound).__name__}. "
                "tl.open_sound(path) gives one."
            )
        shift, gain, noise = draws
        samples, n = sound.samples, len(sound.samples)
        moved = min(round(self.shift * (2 * shift - 1) * sound.rate), n)
        later, earlier = max(moved, 0), max(-moved, 0)
        changed = np.pad(samples[earlier : n - later], (later, min(earlier, n)))
        level = float(np.sqrt(np.mean(np.square(samples)))) * self.noise * noise
        random = np.random.default_rng(int(noise * 2**53))
        changed = changed + level * random.standard_normal(n, dtype=np.float32)
        changed = changed * np.float32(10 ** (self.gain * (2 * gain - 1) / 20))
        return Sound(np.clip(changed, -1, 1).astype(np.float32), sound.rate)
