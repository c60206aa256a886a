"""The four ways to reuse a network, and training from scratch to compare with."""

from tlcourse.patterns.reuse import (
    classifier,
    fine_tune,
    from_scratch,
    frozen_extractor,
    standalone_extractor,
)

__all__ = [
    "classifier",
    "fine_tune",
    "from_scratch",
    "frozen_extractor",
    "standalone_extractor",
]
