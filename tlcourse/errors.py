"""The course's own errors: each one is a sentence a learner can act on.

All of them are `CourseError`, so that the command line can print the sentence without a traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class CourseError(ValueError):
    """Something the caller can put right; the message says what and how."""


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
    """A download did not happen, was cut, or brought something else than expected."""


class PictureError(CourseError):
    """A file is not a picture that can be read; `reason` says why in a few words."""

    def __init__(self, said: str, reason: str = "") -> None:
        super().__init__(said)
        self.reason = reason or said.rstrip(".")
