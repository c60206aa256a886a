"""Weights of networks that are downloaded: in the own cache, or in the one that a class shares.

Of the shared cache only files whose content can be verified are read. All others, and all that are
missing, are downloaded to the own cache by torchvision and timm themselves.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

from tlcourse._store import cache_dir, sha256_of, shared_cache, tell_altered

_FOLDER = "weights"
_SAFE = "model.safetensors"


def torchvision_state(weights: Any) -> dict[str, Any]:
    """Tensors of a member of a torchvision `weights` enum; downloaded if they are in no cache."""
    import torch

    if path := _shared_torchvision(weights.url):
        return torch.load(path, weights_only=True, map_location="cpu")
    own = str(cache_dir() / _FOLDER)
    return weights.get_state_dict(model_dir=own, progress=True, check_hash=True)


def timm_options(name: str, pretrained: bool) -> dict[str, Any]:
    """Options of `timm.create_model` that say where the weights are, or where they go."""
    options: dict[str, Any] = {"cache_dir": str(cache_dir() / _FOLDER)}
    if pretrained and (path := _shared_timm(name)):
        options["pretrained_cfg_overlay"] = {"file": str(path), "custom_load": False}
    return options


def _shared_torchvision(url: str) -> Path | None:
    """The file in the shared cache, if the own one has none and its content is as named."""
    name, shared = PurePosixPath(urlparse(url).path).name, shared_cache()
    if shared is None or (cache_dir() / _FOLDER / name).is_file():
        return None
    digits = re.search(r"-([0-9a-f]{8,})\.", name)  # the digest's first ones: net-0123abcd.pth
    return _verified(shared, shared / _FOLDER / name, digits[1]) if digits else None


def _shared_timm(name: str) -> Path | None:
    """The file in the shared cache, likewise; there its digest is the name of what it links to."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    config, shared = timm.get_pretrained_cfg(name), shared_cache()
    if shared is None or config is None or not config.hf_hub_id or config.hf_hub_filename:
        return None
    repository, _, revision = config.hf_hub_id.partition("@")

    def look_up(cache: Path) -> str | None:
        options = {"cache_dir": cache / _FOLDER, "revision": revision or None}
        found = try_to_load_from_cache(repository, _SAFE, **options)
        return found if isinstance(found, str) else None

    try:
        if look_up(cache_dir()) or not (found := look_up(shared)):
            return None
        return _verified(shared, Path(found), Path(found).resolve().name)
    except OSError:
        tell_altered("Some weights", shared)
        return None


def _verified(shared: Path, path: Path, digest: str) -> Path | None:
    """The path, if there is such a file and its SHA-256 begins like this."""
    try:
        if not path.is_file():
            return None
        if sha256_of(path).startswith(digest):
            return path
    except OSError:
        pass
    tell_altered("Some weights", shared)
    return None
