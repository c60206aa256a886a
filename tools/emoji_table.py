"""Make `tlcourse/data/emoji_kinds.json`: which emoji belong to which of seven kinds.

The kinds are groups of subgroups in Unicode's `emoji-test.txt` (Debian's package `unicode-data`).
Only single characters are taken: no joined, skin-toned or flag sequences. Each one must be drawn by
OpenMoji's font, not be blank, and look like no other one. What Unicode groups by its use or its
place beside other things, a gem with the clothing, is left out.

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
# Drawings that do not show what their kind says, by the reason.
LEFT_OUT = {
    "a part or a trace of an animal, or too small to be seen": (
        "pig nose, paw prints, feather, wing, spider web, microbe"
    ),
    "jewellery or an object, not clothing": (
        "folding hand fan, shopping bags, hair pick, prayer beads, lipstick, ring, gem stone"
    ),
    "food to Unicode, and drawn as a living animal": "crab, lobster, shrimp, squid, oyster",
    "a material or an object, not a place": "compass, brick, rock, wood, barber pole",
    "no plant": "rosette, empty nest, nest with eggs, mushroom",
    "a toy or a decoration, neither sport nor a game": (
        "water pistol, crystal ball, magic wand, teddy bear, piñata, mirror ball, nesting dolls"
    ),
    "a part of vehicles, or beside their way": (
        "station, bus stop, motorway, railway track, oil drum, fuel pump, wheel, police car light, "
        "horizontal traffic light, vertical traffic light, stop sign, construction, anchor, "
        "ring buoy, seat"
    ),
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

    odd = {name: reason for reason, names in LEFT_OUT.items() for name in names.split(", ")}
    if unknown := odd.keys() - {name for members in kinds.values() for name in members.values()}:
        raise SystemExit(f"LEFT_OUT names what Unicode does not have: {', '.join(unknown)}.")
    drawn_by_font = TTFont(font_path()).getBestCmap()
    seen: dict[bytes, str] = {}
    for members in kinds.values():
        for code, name in list(members.items()):
            if name in odd:
                print(f"left out: {code} {name} ({odd[name]})")
                del members[code]
                continue
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
