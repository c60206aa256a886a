"""The course's own errors: each one is a sentence a learner can act on.

All of them are `CourseError`, so that the command line can print the sentence without a traceback.
"""

import errno
import math
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

# Of errors with a number: no permission, no file's name, damage that leads before a file's start.
_LASTING = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL}


class CourseError(ValueError):
    """Something that the caller can put right; the message says what and how."""


class UnknownNameError(CourseError):
    """A backbone, task, layer, exercise, ... that does not exist; the nearest names are offered."""

    def __init__(self, what: str, name: object, known: Iterable[str], more: str = "") -> None:
        names = [str(k) for k in known]
        near = get_close_matches(str(name).lower(), names, n=3, cutoff=0.5)
        said = f"There is no {what} {str(name)!r}. "
        said += f"Nearest: {', '.join(near)}. " if near else f"Known: {', '.join(names[:12])}. "
        super().__init__((said + more).strip())


class WeightsError(CourseError):
    """A weights file is missing, altered, or not for this network."""


class DownloadError(CourseError):
    """A download failed, was cut short, or brought something else than expected."""


class UnreadableError(CourseError):
    """A file cannot be read as what it should be; `reason` says why in a few words."""

    def __init__(self, said: str, reason: str = "") -> None:
        super().__init__(said)
        self.reason = reason or said.rstrip(".")

    @property
    def may_pass(self) -> bool:
        """Whether the file may be whole: its disk is away, say, or memory is short."""
        why = self.__cause__
        return isinstance(why, MemoryError) or getattr(why, "errno", None) not in {None, *_LASTING}


class PictureError(UnreadableError):
    """A file is not a picture that can be read."""


class SoundError(UnreadableError):
    """A file is not a sound that can be read."""


def check_whole(name: str, value: Any, *, least: int = 1, most: int | None = None) -> int:
    """Return a whole number in range, or say in one sentence what is wrong with it."""
    limit = math.inf if most is None else most
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if whole and least <= int(value) <= limit:
        return int(value)
    allowed = f"{least} or larger" if most is None else f"from {least} to {most}"
    raise CourseError(f"{name} is {value!r}, but must be a whole number, {allowed}.")


def check_share(name: str, value: Any) -> float:
    """Return a number from 0 to below 1, or say in one sentence what is wrong with it."""
    if isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < 1:
        return float(value)
    raise CourseError(f"{name} is {value!r}, but must be a number from 0 to below 1.")


def check_choice(what: str, value: Any, known: Iterable[str]) -> str:
    """Return a name that is known; any other one is answered with the nearest known names."""
    names = list(known)
    if isinstance(value, str) and value in names:
        return value
    raise UnknownNameError(what, value, names)
