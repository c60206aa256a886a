"""Make `tlcourse/data/emoji_kinds.json`: which emoji belong to which of seven kinds.

The kinds are groups of subgroups in Unicode's `emoji-test.txt` (Debian's package `unicode-data`).
Only single characters are taken: no joined, skin-toned or flag sequences. Each one must be drawn by
OpenMoji's font, not be blank, and look like no other one.

    python -m tools.emoji_table /usr/share/unicode/emoji/emoji-test.txt
"""

import json
import re
import sys
from pathlib import Path

from fontTools.ttLib import TTFont

from tlcourse.tasks.load import draw_emoji, font_path

KINDS = {  # kind: subgroups, each name matched from its beginning
    "animals": ("animal-",),
    "clothing": ("clothing",),
    "food": ("food-", "drink"),
    "places": ("place-",),
    "plants": ("plant-",),
    "sport and games": ("sport", "game"),
    "vehicles": ("transport-ground", "transport-water", "transport-air"),
}
LINE = re.compile(r"(?P<code>[0-9A-F]+)( FE0F)?\s*; fully-qualified\s*# \S+ E[\d.]+ (?P<name>.+)")
TABLE = Path(__file__).parent.parent / "tlcourse" / "data" / "emoji_kinds.json"


def main(source: Path) -> None:
    """Read the Unicode file, check every drawing, write the table."""
    kinds: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    version, subgroup = "", ""
    for line in source.read_text("utf-8").splitlines():
        if line.startswith("# Version:"):
            version = line.split(":")[1].strip()
        elif line.startswith("# subgroup:"):
            subgroup = line.split(":")[1].strip()
        elif found := LINE.match(line):
            for kind, starts in KINDS.items():
                if subgroup.startswith(starts):
                    kinds[kind][found["code"]] = found["name"]

    drawn_by_font = TTFont(font_path()).getBestCmap()
    seen: dict[bytes, str] = {}
    for members in kinds.values():
        for code, name in list(members.items()):
            pixels = draw_emoji(code).tobytes() if int(code, 16) in drawn_by_font else b""
            if len(set(pixels)) < 2 or pixels in seen:
                print(f"left out: {code} {name} {seen.get(pixels, '(not drawn)')}")
                del members[code]
            seen[pixels] = name
    about = f"emoji-test.txt, Unicode emoji {version}, (c) Unicode, Inc.; see NOTICE"
    text = json.dumps({"source": about, "kinds": kinds}, indent=0, ensure_ascii=False)
    TABLE.write_text(text + "\n", "utf-8")
    print({kind: len(members) for kind, members in kinds.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
