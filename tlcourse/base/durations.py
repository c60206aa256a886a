"""Durations as people write them: "5m", "90s", 300."""

import math
import re
from numbers import Real

from tlcourse.errors import CourseError

_UNITS = {"s": 1, "m": 60, "h": 3600}
_WRITTEN = re.compile(
    r"\s*(\d+(?:\.\d+)?)\s*(?:|(s)(?:ecs?|econds?)?|(m)(?:ins?|inutes?)?|(h)(?:ours?)?)\s*",
    re.IGNORECASE,
)


def to_seconds(duration: str | float) -> float:
    """Return a duration in seconds.

    Args:
        duration: A number of seconds, or a text such as "90s", "5m" or "1.5h".

    Raises:
        CourseError: It is neither, or not above zero.
    """
    seconds = math.nan
    if isinstance(duration, str):
        found = _WRITTEN.fullmatch(duration)
        seconds = math.nan
        if found:
            unit = found[2] or found[3] or found[4] or "s"
            seconds = float(found[1]) * _UNITS[unit.lower()]
    elif isinstance(duration, Real) and not isinstance(duration, bool):
        seconds = float(duration)
    if not 0 < seconds < math.inf:
        raise CourseError(
            f"{duration!r} is no duration. Write a number of seconds, or one with a unit: "
            '"90s", "5m", "1h".'
        )
    return seconds


def in_words(seconds: float) -> str:
    """Write a duration for a reader: "0.4 s", "12 s", "3 min 20 s"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        whole = round(seconds)
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{seconds / 3600:.1f} h"
