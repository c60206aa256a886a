"""What a fuzzer tries: a reader, how its inputs are changed, and structure made of plain bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

SEEDS = Path(__file__).parent / "seeds"
T = TypeVar("T")

# An input, random numbers, and libFuzzer's own change of any bytes -> a changed input.
Change = Callable[[bytes, Random, Callable[[bytes], bytes]], bytes]


@dataclass(frozen=True)
class Reader:
    """Something that reads what others made.

    Attributes:
        read: Reads an input. Whatever it raises is a finding, unless it is a `CourseError`.
        change: Changes an input so that it keeps its form, such as its check sums; by default
            libFuzzer changes bytes.
        words: What libFuzzer puts into inputs.
        most_bytes: Length of the longest input that is tried.
    """

    read: Callable[[bytes], object]
    change: Change | None = None
    words: Sequence[bytes] = ()
    most_bytes: int = 1 << 16


def seeds(name: str) -> dict[str, bytes]:
    """The kept inputs of a reader, by the names of their files: `tools/fuzz/seeds/READER`."""
    return {path.name: path.read_bytes() for path in sorted((SEEDS / name).glob("*"))}


class Draws:
    """Choices made of an input's bytes, so that a small change of the bytes is one of a choice.

    Where the bytes end, each choice is the first one.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def some(self, n: int) -> bytes:
        """The next n bytes, or what is left."""
        self._at += n
        return self._data[self._at - n : self._at]

    def number(self, most: int) -> int:
        """A whole number from 0 to `most`."""
        width = (most.bit_length() + 7) // 8
        return int.from_bytes(self.some(width), "little") % (most + 1)

    def one_of(self, choices: Sequence[T]) -> T:
        """One of these."""
        return choices[self.number(len(choices) - 1)]
