"""An adapter as a file of its own: what moved, without the body that it belongs to (notebook 11)."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from tlcourse.base.files import parse_json, save_file
from tlcourse.base.messages import first_line
from tlcourse.errors import CourseError, check_choice, check_whole
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.network import Network
from tlcourse.networks.trace import meta_copy
from tlcourse.training.adapters import Added, Kind, put_on, take_off

_FORMAT = "1"
_COUNTS = "num_batches_tracked"  # of BatchNorm; nothing is computed with it
_ORIGINAL = ".parametrizations.weight.original"


def save_adapter(network: Network, path: str | Path) -> Path:
    """Write what moves in a network, the head included, to one safetensors file.

    It holds a fingerprint of the rest of the body, so that no other body takes it.

    Args:
        network: What `add_lora`, `add_adapter`, `move_norms` or `move_biases` returned, trained.
        path: The file; an earlier one is replaced.

    Raises:
        CourseError: Nothing small moves in this network, or the file cannot be written.
    """
    from safetensors.torch import save

    if network.added is None:
        raise CourseError(
            "This network has no adapter. tl.finetune.add_lora(network) returns one that has; a "
            "network that moved as a whole is saved by result.save(folder)."
        )
    target = Path(path).expanduser()
    moved = {
        name: parameter.detach().cpu().contiguous()
        for name, parameter in network.named_parameters()
        if name.startswith("body.") and name not in network.held  # also what is frozen by now
    }
    for name, tensor in network.head.state_dict().items():
        moved[f"head.{name}"] = tensor.detach().cpu().contiguous()
    about = {
        "format": _FORMAT,
        "added": json.dumps(asdict(network.added)),
        "backbone": network.backbone.name,
        "layer": network.layer,
        "pool": network.pool,
        "n_classes": str(network.n_classes),
        "head": _kind_of(network.head),
        "fingerprint": _fingerprint(network, moved),
    }
    about["sha256"] = _digest(about, moved)
    save_file(target, save(moved, metadata=about))
    return target


def load_adapter(body: Backbone | Network, path: str | Path) -> Network:
    """Put a saved adapter on a body.

    Args:
        body: A backbone, of which the network gets a copy. Or a network: then its own adapter and
            head are exchanged for the saved ones, in place, so that one body serves several tasks.
        path: What `save_adapter` wrote.

    Returns:
        The network, which computes what the saved one did.

    Raises:
        CourseError: There is no such file, it is damaged, the adapter belongs to another body, or
            a head of your own is missing.
    """
    target = Path(path).expanduser()
    if not isinstance(body, Backbone | Network):
        raise CourseError(
            f"An adapter is put on a backbone or a tl.Network, not on {type(body).__name__}. "
            "tl.load_backbone() gives one."
        )
    about, added, moved = _read(target)
    if isinstance(body, Network):
        network = body
    elif about["head"] == "own":
        raise CourseError(
            "The head of this adapter is a module of your own, which the file does not describe. "
            "Load it into a tl.Network that has such a head."
        )
    else:
        options: Any = {"layer": about["layer"], "pool": about["pool"]}
        body.layer(about["layer"])
        network = Network(body, 2, **options)
    if network.layer != about["layer"] or _fingerprint(network, moved) != about["fingerprint"]:
        raise CourseError(
            f"The adapter in {target.name} belongs to another body: {about['backbone']!r}, cut at "
            f"{about['layer']!r}, with the weights that it was trained on. This is "
            f"{network.backbone.name}, cut at {network.layer!r}, or its weights have moved. Load it "
            "into a fresh backbone."
        )
    if network.pool != about["pool"]:
        raise CourseError(
            f"The adapter in {target.name} was trained with pool={about['pool']!r}, but this network "
            f"has pool={network.pool!r}. Load it into a network with the same."
        )
    saved = {name[5:]: tensor for name, tensor in moved.items() if name.startswith("head.")}
    head = _head_for(network, about, saved)
    try:
        n_classes = _try_on(network, added, head, moved)
    except Exception as error:  # whatever a network raises of parts that are impossible in it
        raise CourseError(
            f"The adapter {target} is damaged: its parts do not fit this network "
            f"({first_line(error)})."
        ) from error
    head.load_state_dict(saved)
    take_off(network)
    if added.layers:
        put_on(network, added)
    network.added, network.head, network.n_classes = added, head, n_classes
    own = dict(network.body.named_parameters())
    network.hold(f"body.{name}" for name in own if f"body.{name}" not in moved)
    with torch.no_grad():
        for name, parameter in own.items():
            if f"body.{name}" in moved:
                parameter.copy_(moved[f"body.{name}"])
    network.train(network.training)
    return network


def _try_on(
    network: Network, added: Added, head: nn.Module, moved: Mapping[str, torch.Tensor]
) -> int:
    """Put the parts on a copy that has shapes but no values, and return how many classes it knows.

    The network itself stays as it is, and a wrong number in the file takes no memory.
    """
    twin: Any = meta_copy(network).eval()
    take_off(twin)
    known = {f"body.{name}" for name, _ in twin.body.named_parameters()}
    with torch.device("meta"), torch.no_grad():
        put_on(twin, added)
        own = {f"body.{name}": p.shape for name, p in twin.body.named_parameters()}
        given = {name: t.shape for name, t in moved.items() if name.startswith("body.")}
        if any(not name.endswith(_ORIGINAL) for name in own.keys() - known - given.keys()):
            raise ValueError("a new part has no weights")
        if wrong := sorted(name for name in given if given[name] != own.get(name)):
            raise ValueError(f"{wrong[0]!r} is not there, or has another shape")
        value = twin.pooled(twin.value(torch.empty(1, *network.backbone.preprocess.shape)))
        if head is network.head:  # one of your own
            return network.n_classes
        return check_whole("the number of classes", meta_copy(head)(value).shape[1], least=2)


def _head_for(
    network: Network, about: Mapping[str, str], saved: Mapping[str, torch.Tensor]
) -> nn.Module:
    """Return a head for the saved weights: a new linear one, or the network's own."""
    weight = saved.get("weight", torch.empty(0))
    if about["head"] == "linear" and weight.ndim == 2 and weight.numel():
        outputs, inputs = weight.shape
        head: nn.Module = nn.utils.skip_init(nn.Linear, inputs, outputs)  # draws no random number
        head = head.to(network.backbone.device).train(network.training)
    else:
        head = network.head
    if {n: t.shape for n, t in head.state_dict().items()} != {n: t.shape for n, t in saved.items()}:
        raise CourseError(
            "The head of this adapter is a module of your own, and the network's head has other "
            "weights. Load it into a tl.Network that has such a head."
        )
    return head


def _read(target: Path) -> tuple[dict[str, str], Added, dict[str, torch.Tensor]]:
    """Return what a file says of an adapter, and its tensors; a damaged one is told."""
    from safetensors import SafetensorError, safe_open

    if not target.is_file():
        raise CourseError(
            f"There is no adapter {target}. tl.finetune.save_adapter(network, path) writes one."
        )
    try:
        with safe_open(target, framework="pt") as file:
            about = dict(file.metadata() or {})
            moved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        said = f"The adapter {target} is damaged ({first_line(error)}). Save it again."
        raise CourseError(said) from error
    if about.get("format") != _FORMAT or "added" not in about:
        raise CourseError(
            f"{target} is no adapter of this version of tlcourse. tl.finetune.save_adapter writes "
            "one; a saved result is loaded by tl.load_result."
        )
    if about.pop("sha256", "") != _digest(about, moved):
        raise CourseError(
            f"The adapter {target} is damaged: its content is not what was saved (its SHA-256 "
            "differs). Copy or save it again."
        )
    try:
        said = parse_json(about["added"])
        added = Added(**said | {"layers": tuple(said["layers"])})
        check_choice("kind of adapter", added.kind, get_args(Kind))
        for name in ("backbone", "layer", "pool", "head", "fingerprint"):
            about[name]
    except (KeyError, TypeError, ValueError) as error:
        raise CourseError(f"The adapter {target} is damaged ({first_line(error)}).") from error
    return about, added, moved


def _fingerprint(network: Network, moved: Iterable[str]) -> str:
    """SHA-256 of the body's weights and statistics, without what an adapter added or moved."""
    own, tensors = set(moved), {}
    for name, tensor in network.body.state_dict().items():
        plain = name.replace(_ORIGINAL, ".weight")
        new = plain == name and (".parametrizations." in name or ".adapter." in f".{name}")
        if not new and f"body.{plain}" not in own and not name.endswith(_COUNTS):
            tensors[plain] = tensor
    return _digest({}, tensors)


def _digest(about: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of texts and tensors, whatever their order."""
    digest = hashlib.sha256(repr(sorted(about.items())).encode())
    for name, tensor in sorted(tensors.items()):
        flat = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {flat.dtype} {tuple(flat.shape)}".encode())
        digest.update(flat.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _kind_of(head: nn.Module) -> str:
    """Whether a file can describe the head: "linear", or "own" for any other."""
    return "linear" if type(head) is nn.Linear and head.bias is not None else "own"
