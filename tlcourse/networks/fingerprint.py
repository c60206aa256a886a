"""What decides the values that a network gives, as digests: two that are equal give the same."""

import hashlib
from collections.abc import Container, Sequence

import torch
from torch import nn

from tlcourse.networks.backbone import Backbone
from tlcourse.networks.trace import modules_up_to


def layer_fingerprints(backbone: Backbone, layers: Sequence[str]) -> dict[str, str]:
    """Return a SHA-256 for each layer: of kinds, options, weights and buffers up to it.

    What comes after the layer does not matter: a new head leaves the fingerprint as it is.
    """
    parts = {path: module_digest(module) for path, module in backbone.model.named_modules()}
    fingerprints = {}
    for name in layers:
        layer = backbone.layer(name)
        if layer.path in backbone.trace:
            inclusive = layer.side == "output"
            inside = set(modules_up_to(backbone.trace, layer.path, inclusive=inclusive))
            # The modules that hold it may have weights of their own, such as a class token.
            inside |= {path for path in parts if not path or layer.path.startswith(path + ".")}
        else:  # a module that the learner put in later
            inside = set(parts)
        digest = hashlib.sha256(f"{layer.path} {layer.side}".encode())
        for path, part in parts.items():
            if _traced(path, backbone.trace) in inside:
                digest.update(f"{path} {part}".encode())
        fingerprints[name] = digest.hexdigest()
    return fingerprints


def module_digest(module: nn.Module) -> str:
    """SHA-256 of a module's kind, options and own tensors, without those of its parts."""
    digest = hashlib.sha256(f"{type(module).__name__}({module.extra_repr()})".encode())
    options = {k: v for k, v in vars(module).items() if isinstance(v, int | float | str)}
    options.pop("training", None)
    digest.update(repr(sorted(options.items())).encode())
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    for name, tensor in tensors:
        if name == "num_batches_tracked":  # counts training steps; nothing is computed with it
            continue
        flat = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {flat.dtype} {tuple(flat.shape)}".encode())
        digest.update(flat.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _traced(path: str, records: Container[str]) -> str:
    """The module itself; of one that was put in later, the nearest around it that is known."""
    while path and path not in records:
        path = path.rpartition(".")[0]
    return path
