"""Bytes and operations of one pass, counted on PyTorch's "meta" device (notebook 07).

There, tensors have shapes but no numbers. So any batch and any size of picture can be accounted,
also one that would not fit, within a moment and next to no memory; and nothing else that runs in
the process can disturb the count.

All tensors count in the type that they have, which is float32 unless the network was changed. In
mixed precision the activations take about half. Operators count as on a CPU; only attention counts
in its ordinary form, which saves its whole table, where a fused kernel saves less. Not counted is
what PyTorch's kernels allocate inside (packed weights of oneDNN, workspaces of cuDNN), nor PyTorch
and Python themselves.
"""

import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tlcourse.errors import CourseError
from tlcourse.networks.trace import meta_copy


@dataclass(frozen=True)
class Bytes:
    """Bytes of one pass, by owner. No byte has two owners.

    Attributes:
        parameters: All of the network's, frozen ones too.
        buffers: What it keeps but does not learn, such as BatchNorm statistics.
        gradients: Of the parameters that get one.
        optimiser_state: AdamW's two averages for each of these, and a counter of 4 bytes.
        activations: What the forward pass saves for the backward pass, and nothing of the above.
        working: The largest sum of everything else that is alive at one moment.
    """

    parameters: int
    buffers: int
    gradients: int
    optimiser_state: int
    activations: int
    working: int

    @property
    def total(self) -> int:
        """The sum over the owners.

        They reach their largest figures at different moments, so the peak of a step is at most
        this; where activations dominate, it is close to it.
        """
        return sum(self.as_dict().values())

    def as_dict(self) -> dict[str, int]:
        """Owner -> bytes, in the order of the attributes."""
        return {owner: getattr(self, owner) for owner in OWNERS}


OWNERS = tuple(field.name for field in fields(Bytes))


@dataclass(frozen=True)
class Account:
    """What one pass over one batch takes.

    Attributes:
        bytes: By owner.
        operations: Of its matrix products and convolutions, two per multiply-add; with the backward
            pass where there is one.
    """

    bytes: Bytes
    operations: int


def forward_account(network: nn.Module, shape: tuple[int, ...], batch: int) -> Account:
    """Account a forward pass without gradients, as in predicting.

    Args:
        network: Any network that takes a batch as its only argument; it stays as it is. Its
            modules' own modes are used.
        shape: Of one input, without the batch axis, such as (3, 224, 224).
        batch: Number of inputs.

    Raises:
        CourseError: The network cannot run without numbers, or not on this shape.
    """
    return _account(network, shape, batch, training=False)


def training_account(
    network: nn.Module, shape: tuple[int, ...], batch: int, *, n_classes: int | None = None
) -> Account:
    """Account one training step: forward, backward, and AdamW's step on what may move.

    What may move is decided by `requires_grad`, and each module runs in its present mode, so call
    `network.train()` first if that is how it will be trained. The optimiser's temporaries are those
    of a CPU, where it goes parameter by parameter; on a GPU it takes more of them at once.

    Args:
        network: Gives logits (B, classes) for a batch, its only argument; it stays as it is. It may
            hold other networks in plain lists, as `tlcourse.networks.tail.Tail` does.
        shape: Of one input, without the batch axis.
        batch: Number of inputs.
        n_classes: If given, the network must have so many outputs.

    Raises:
        CourseError: Nothing may move, or the network cannot run without numbers, or not on this
            shape, or it has another number of outputs.
    """
    if not any(p.requires_grad for p in _held_together(network).parameters()):
        raise CourseError(
            "All parameters are frozen, so there is no training step. Unfreeze some, or ask for a "
            "forward pass."
        )
    return _account(network, shape, batch, training=True, n_classes=n_classes)


def _account(
    network: nn.Module,
    shape: tuple[int, ...],
    batch: int,
    *,
    training: bool,
    n_classes: int | None = None,
) -> Account:
    if not isinstance(batch, int) or batch < 1:
        raise CourseError(f"batch is {batch!r}, but must be a whole number from 1 on.")
    holder = _twin(network)
    twin = holder[0]
    inputs = torch.empty(batch, *shape, device="meta")
    labels = torch.empty(batch, dtype=torch.int64, device="meta")
    with _told_in_a_sentence(shape):
        operations = _operations(twin, inputs, labels, n_classes, training)
        found = (
            _training_bytes(holder, inputs, labels) if training else _forward_bytes(holder, inputs)
        )
    return Account(found, operations)


def _operations(
    twin: nn.Module,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    n_classes: int | None,
    training: bool,
) -> int:
    """Count in a pass of its own, since the counter's hooks could disturb the count of bytes."""
    rule = {torch.ops.aten.convolution_backward: _convolution_backward}
    with torch.enable_grad(), FlopCounterMode(display=False, custom_mapping=rule) as counter:
        given = twin(inputs)
        if training:
            _check_logits(given, len(labels), n_classes)
            nn.functional.cross_entropy(given, labels).backward()
    for parameter in twin.parameters():
        parameter.grad = None
    return int(counter.get_total_flops())


def _forward_bytes(holder: nn.ModuleList, inputs: torch.Tensor) -> Bytes:
    with torch.no_grad(), Watch() as watch:
        own = {watch.number(t) for t in (*holder.parameters(), *holder.buffers())}
        watch.number(inputs)
        holder[0](inputs)
    return Bytes(*_own_bytes(holder), 0, 0, 0, watch.most_alive(but=own))


def _training_bytes(holder: nn.ModuleList, inputs: torch.Tensor, labels: torch.Tensor) -> Bytes:
    for parameter in holder.parameters():
        parameter.grad = None
    optimiser = torch.optim.AdamW(list(holder.parameters()))
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)  # as in `tlcourse.fit`
    with torch.enable_grad(), Watch() as watch:
        own = {watch.number(t) for t in (*holder.parameters(), *holder.buffers())}
        watch.number(inputs)
        watch.number(labels)
        with torch.autograd.graph.saved_tensors_hooks(watch.pack, lambda tensor: tensor):
            loss = loss_of(holder[0](inputs), labels)
        loss.backward()
        optimiser.step()
        gradients = {watch.number(p.grad) for p in holder.parameters() if p.grad is not None}
        state = {watch.number(t) for t in tree_leaves(list(optimiser.state.values()))}
    activations = watch.saved - own - gradients - state
    others = own | gradients | state | activations
    return Bytes(
        *_own_bytes(holder),
        watch.bytes_of(gradients),
        watch.bytes_of(state),
        watch.bytes_of(activations),
        watch.most_alive(but=others),
    )


def _own_bytes(holder: nn.ModuleList) -> tuple[int, int]:
    """Bytes of parameters and of buffers."""
    return (
        sum(p.numel() * p.element_size() for p in holder.parameters()),
        sum(b.numel() * b.element_size() for b in holder.buffers()),
    )


def _twin(network: nn.Module) -> nn.ModuleList:
    """Copy a network, and those that it holds, to the meta device with flags and modes."""
    real = _held_together(network)
    twin = meta_copy(real)
    for copied, parameter in zip(twin.parameters(), real.parameters(), strict=True):
        copied.requires_grad_(parameter.requires_grad)
    return twin


def _held_together(network: nn.Module) -> nn.ModuleList:
    """Return a network with those that it holds in plain lists, whose parameters are not its own."""
    return nn.ModuleList([network, *_in_lists(network)])


def _in_lists(network: nn.Module) -> Iterator[nn.Module]:
    for module in network.modules():
        for value in vars(module).values():
            if isinstance(value, list):
                yield from (part for part in value if isinstance(part, nn.Module))


def _convolution_backward(
    grad_out: Any, inputs: Any, weight: Any, *more: Any, out_shape: Any = None, **_: Any
) -> int:
    """Operations of a convolution's backward pass: as many as forward for each of its two results.

    PyTorch's own rule multiplies those of the weight's gradient by the number of groups.
    """
    transposed, wanted = more[4], more[7]
    places = math.prod((inputs if transposed else grad_out)[2:])
    return 2 * grad_out[0] * places * math.prod(weight) * (bool(wanted[0]) + bool(wanted[1]))


def _check_logits(given: Any, batch: int, n_classes: int | None) -> None:
    shape = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
    if not isinstance(given, torch.Tensor) or given.ndim != 2 or len(given) != batch:
        raise CourseError(
            f"The network gives {shape}, but a training step needs logits: (batch, classes)."
        )
    if n_classes is not None and given.shape[1] != n_classes:
        raise CourseError(f"The network has {given.shape[1]} outputs, not {n_classes}.")


@contextmanager
def _told_in_a_sentence(shape: tuple[int, ...]) -> Iterator[None]:
    """Turn what goes wrong on the meta device into a `CourseError`."""
    try:
        yield
    except CourseError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise CourseError(
            f"The network could not be run without numbers on inputs of shape {tuple(shape)} "
            f"({reason}). It must take such a batch, and not look at the numbers in it."
        ) from error


class Watch(TorchDispatchMode):
    """Notes when each storage is made and when it is gone, and which ones autograd saves."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}  # address of a storage -> its number
        self.sizes: list[int] = []  # by number
        self.events: list[tuple[int, int]] = []  # number, and 1 for "made" or -1 for "gone"
        self.saved: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator and note its outputs."""
        given = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.native_batch_norm.default and not args[5]:
            # With stored statistics a CPU saves none of the batch; the meta device would.
            given = (given[0], *(statistics.new_empty(0) for statistics in given[1:]))
        for tensor in tree_leaves(given):
            if isinstance(tensor, torch.Tensor):
                self.number(tensor)
        return given

    def number(self, tensor: torch.Tensor) -> int:
        """Number of the storage that a tensor lies in; a new one is noted."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.alive:
            number = self.alive[key] = len(self.sizes)
            self.sizes.append(storage.nbytes())
            self.events.append((number, 1))
            weakref.finalize(storage, self._gone, key, number).atexit = False
        return self.alive[key]

    def _gone(self, key: int, number: int) -> None:
        self.events.append((number, -1))
        if self.alive.get(key) == number:
            del self.alive[key]

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        """Note what is saved for the backward pass, and save it."""
        self.saved.add(self.number(tensor))
        return tensor

    def bytes_of(self, numbers: set[int]) -> int:
        """Sum over storages."""
        return sum(self.sizes[number] for number in numbers)

    def most_alive(self, but: set[int]) -> int:
        """Largest sum at one moment over all storages but these."""
        now = most = 0
        for number, sign in self.events:
            if number not in but:
                now += sign * self.sizes[number]
                most = max(most, now)
        return most
