"""All readers that are fuzzed, by name."""

from tools.fuzz import media, saved
from tools.fuzz.reader import Reader

READERS: dict[str, Reader] = {**media.READERS, **saved.READERS}
