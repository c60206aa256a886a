"""Digests that tell whether a network is still the one it was, up to a layer."""

import hashlib
from collections.abc import Sequence

import torch
from torch import nn

from tlcourse.networks.backbone import Backbone
from tlcourse.networks.trace import is_inside, modules_up_to


def layer_fingerprints(backbone: Backbone, layers: Sequence[str]) -> dict[str, str]:
    """Return a SHA-256 for each layer: of kinds, options, weights and buffers up to it."""
    trace, fingerprints = backbone.trace, {}
    parts = {path: _module_digest(module) for path, module in backbone.model.named_modules()}
    for name in layers:
        layer = backbone.layer(name)
        inside = set(parts)  # all of them for a module that the learner put in later
        if layer.path in trace:
            inside = set(modules_up_to(trace, layer.path, inclusive=layer.side == "output"))
        digest = hashlib.sha256(f"{layer.path} {layer.side}".encode())
        for path, part in parts.items():
            known = path  # the module itself; of one that was put in later, the nearest around it
            while known and known not in trace:
                known = known.rpartition(".")[0]
            # A module that holds the layer may have weights of its own, such as a class token.
            if path in inside or known in inside or is_inside(layer.path, known):
                digest.update(f"{path} {part}".encode())
        fingerprints[name] = digest.hexdigest()
    return fingerprints


def _module_digest(module: nn.Module) -> str:
    """SHA-256 of a module's kind, options and own tensors, without those of its parts."""
    digest = hashlib.sha256(f"{type(module).__name__}({module.extra_repr()})".encode())
    options = []
    for name, option in sorted(vars(module).items()):
        if isinstance(option, int | float | str) and name != "training":
            options.append((name, option))
    digest.update(repr(options).encode())
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    for name, tensor in tensors:
        if name != "num_batches_tracked":  # counts training steps; nothing is computed with it
            flat = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {flat.dtype} {tuple(flat.shape)}".encode())
            digest.update(flat.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
