"""What happens in one forward pass, module by module, without computing any value.

A copy of the network runs on PyTorch's "meta" device, where tensors have shapes but no data.
"""

import copy
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass
class ModuleRecord:
    """One module in one forward pass of one picture."""

    n_parameters: int
    calls: int = 0  # by the forward pass
    position: int = -1  # rank of its (first) output among all modules; -1 if it is never called
    input_shape: tuple[int, ...] | None = None  # without the batch axis; None if not one tensor
    output_shape: tuple[int, ...] | None = None
    operations: int = 0  # of its convolutions and linear layers, two per multiply-add


_COUNTED = ("convolution", "mm", "addmm")


def trace(model: nn.Module, picture_shape: tuple[int, ...]) -> dict[str, ModuleRecord]:
    """Return a record for each module, by dotted path ("" is the whole network).

    The network takes a batch of pictures of this shape, with each module in its own mode.
    """
    twin = meta_copy(model).requires_grad_(True)
    records: dict[str, ModuleRecord] = {}
    order = count()

    def note(path: str, _: nn.Module, inputs: Any, output: Any) -> None:
        record = records[path]
        record.calls += 1
        record.input_shape, record.output_shape = _shape(inputs), _shape(output)
        if record.position < 0:
            record.position = next(order)

    for path, module in twin.named_modules():
        n_parameters = sum(map(torch.numel, module.parameters()))
        records[path] = ModuleRecord(n_parameters)
        module.register_forward_hook(partial(note, path))
    # With gradients enabled, attention takes its ordinary path, whose operations can be counted.
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        twin(torch.empty(1, *picture_shape, device="meta"))
    root, counts = type(twin).__name__, counter.get_flop_counts()
    for path, record in records.items():
        for operator, n in counts.get(f"{root}.{path}" if path else root, {}).items():
            if operator.__name__.split(".")[0] in _COUNTED:
                record.operations += n
    return records


def is_inside(path: str, module: str) -> bool:
    """Tell whether a module is a part, at any depth, of another; all are parts of the network ""."""
    return path != module and (not module or path.startswith(f"{module}."))


def modules_up_to(
    records: dict[str, ModuleRecord], path: str, *, inclusive: bool = True
) -> list[str]:
    """Return the modules that have given their output when a module has given its own."""
    names = []
    for name in records:
        caller = name  # a module that is never called belongs to the one that uses its parameters
        while caller and records[caller].position < 0:
            caller = caller.rpartition(".")[0]
        behind = records[caller].position > records[path].position
        left_out = not inclusive and (caller == path or is_inside(caller, path))
        if not behind and not left_out:
            names.append(name)
    return names


def up_to(
    records: dict[str, ModuleRecord], path: str, *, inclusive: bool = True
) -> tuple[int, int]:
    """Return parameters and operations from the input to a module, with or without itself."""
    n_parameters = operations = 0
    for name in modules_up_to(records, path, inclusive=inclusive):
        record = records[name]
        parts = [r for child, r in records.items() if child and child.rpartition(".")[0] == name]
        n_parameters += record.n_parameters - sum(r.n_parameters for r in parts)
        operations += record.operations - sum(r.operations for r in parts)
    return n_parameters, operations


def _shape(value: Any) -> tuple[int, ...] | None:
    tensors = tensors_in(value)
    return tuple(tensors[0].shape[1:]) if len(tensors) == 1 else None


def meta_copy(model: nn.Module) -> nn.Module:
    """Copy a network to the meta device, without its values and without its hooks."""
    memo: dict[int, Any] = {}
    for p in model.parameters():
        memo[id(p)] = nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad)
    for b in model.buffers():
        memo[id(b)] = torch.empty_like(b, device="meta")
    twin = copy.deepcopy(model, memo)
    for module in twin.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
        module._backward_hooks.clear()
        module._backward_pre_hooks.clear()
    return twin


def tensors_in(output: Any) -> list[torch.Tensor]:
    """All tensors in what a module returned: a tensor, or tuples, lists and dicts of them."""
    return list(filter(torch.is_tensor, tree_leaves(output)))
