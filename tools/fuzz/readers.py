"""All readers that are fuzzed, by name."""

from tools.fuzz import folders, media, saved
from tools.fuzz.reader import Reader

READERS: dict[str, Reader] = {**folders.READERS, **media.READERS, **saved.READERS}
