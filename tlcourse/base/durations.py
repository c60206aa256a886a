"""Durations as people write them: "5m", "90s", 300."""

import math
import re
from contextlib import suppress

from tlcourse.errors import CourseError

_WRITTEN = re.compile(r"\s*([\d.]+)\s*([smh][a-z]*)\s*", re.IGNORECASE)


def to_seconds(duration: str | float) -> float:
    """Return a duration in seconds: a number of them, or a text such as "90s", "5m" or "1.5h"."""
    seconds = math.nan
    with suppress(TypeError, ValueError):
        if isinstance(duration, str) and (written := _WRITTEN.fullmatch(duration)):
            from pandas import Timedelta

            seconds = Timedelta(float(written[1]), unit=written[2].lower()).total_seconds()
        elif not isinstance(duration, bool):
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
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{seconds / 3600:.1f} h"
