"""What happens in one forward pass, module by module, without computing any number.

The network is copied to PyTorch's "meta" device, where tensors have shapes but no data. So the
trace takes no memory to speak of, and cannot change the network it describes.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class ModuleRecord:
    """One module in one forward pass of one picture.

    Attributes:
        kind: Class name of the module.
        calls: How often the forward pass calls it; 0 if never.
        position: Rank of its (first) output among all modules; -1 if it is never called.
        input_shape: Shape of what goes in, without the batch axis; None if it is not one tensor.
        output_shape: Likewise of what comes out.
        n_parameters: Number of its parameters.
        operations: Operations of its convolutions and linear layers, two per multiply-add.
    """

    kind: str
    calls: int
    position: int
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
    n_parameters: int
    operations: int


_COUNTED = ("convolution", "mm", "addmm")


def trace(model: nn.Module, picture_shape: tuple[int, ...]) -> dict[str, ModuleRecord]:
    """Return a record for each module, by dotted path ("" is the whole network).

    Args:
        model: Any network that takes a batch of pictures; its own modes are used.
        picture_shape: Shape of one picture, such as (3, 224, 224).
    """
    twin = meta_copy(model)
    calls: dict[str, int] = {}
    order: list[str] = []
    shapes: dict[str, tuple[Any, Any]] = {}

    def recorder(path: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            calls[path] = calls.get(path, 0) + 1
            if calls[path] == 1:
                order.append(path)
            shapes[path] = (_shape(inputs), _shape(output))

        return hook

    for path, module in twin.named_modules():
        module.register_forward_hook(recorder(path))
    # With gradients enabled, attention takes its ordinary path, whose operations can be counted.
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        twin(torch.empty(1, *picture_shape, device="meta"))
    counts = {
        name.partition(".")[2]: sum(
            n for operator, n in by_operator.items() if operator.__name__.split(".")[0] in _COUNTED
        )
        for name, by_operator in counter.get_flop_counts().items()
        if name != "Global"
    }
    ranks = {path: rank for rank, path in enumerate(order)}
    return {
        path: ModuleRecord(
            kind=type(module).__name__,
            calls=calls.get(path, 0),
            position=ranks.get(path, -1),
            input_shape=shapes.get(path, (None, None))[0],
            output_shape=shapes.get(path, (None, None))[1],
            n_parameters=sum(p.numel() for p in module.parameters()),
            operations=counts.get(path, 0),
        )
        for path, module in twin.named_modules()
    }


def modules_up_to(
    records: dict[str, ModuleRecord], path: str, *, inclusive: bool = True
) -> list[str]:
    """Return the modules that have given their output when a module has given its own."""
    found = []
    for name in records:
        caller = name  # a module that is never called belongs to the one that uses its parameters
        while caller and records[caller].position < 0:
            caller = caller.rpartition(".")[0]
        inside = not path or caller == path or caller.startswith(path + ".")
        if records[caller].position <= records[path].position and (inclusive or not inside):
            found.append(name)
    return found


def up_to(
    records: dict[str, ModuleRecord], path: str, *, inclusive: bool = True
) -> tuple[int, int]:
    """Return parameters and operations from the input to a module, with or without itself."""
    n_parameters = operations = 0
    for name in modules_up_to(records, path, inclusive=inclusive):
        record = records[name]
        parts = [r for child, r in records.items() if _is_child(child, name)]
        n_parameters += record.n_parameters - sum(r.n_parameters for r in parts)
        operations += record.operations - sum(r.operations for r in parts)
    return n_parameters, operations


def _is_child(child: str, parent: str) -> bool:
    return bool(child) and child.rpartition(".")[0] == parent


def _shape(value: Any) -> tuple[int, ...] | None:
    tensors = tensors_in(value)
    return tuple(tensors[0].shape[1:]) if len(tensors) == 1 else None


def meta_copy(model: nn.Module) -> nn.Module:
    """Copy a network to the meta device without copying its numbers, and without its hooks."""
    memo: dict[int, Any] = {}
    for p in model.parameters():
        memo[id(p)] = nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=True)
    for b in model.buffers():
        memo[id(b)] = torch.empty_like(b, device="meta")
    twin = copy.deepcopy(model, memo)
    for module in twin.modules():
        for hooks in (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        ):
            hooks.clear()
    return twin


def tensors_in(output: Any) -> list[torch.Tensor]:
    """All tensors in what a module returned: a tensor, or tuples, lists and dicts of them."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        return [tensor for part in output for tensor in tensors_in(part)]
    return []
