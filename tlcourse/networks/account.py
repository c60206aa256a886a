"""Bytes and operations of one pass, counted on PyTorch's "meta" device (notebook 07).

There, tensors have shapes but no values. Operators count as on a CPU, attention in its ordinary form,
which saves its whole table. Not counted is what PyTorch's kernels allocate inside, nor PyTorch itself.
"""

import math
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tlcourse.errors import CourseError, check_whole
from tlcourse.networks.trace import meta_copy, tensors_in


@dataclass(frozen=True)
class Bytes:
    """Bytes of one pass, by owner. No byte has two owners."""

    parameters: int  # all of the network's, frozen ones too
    buffers: int  # what it keeps but does not learn, such as BatchNorm statistics
    gradients: int = 0  # of the parameters that get one
    optimiser_state: int = 0  # AdamW's two averages for each of these, and a counter of 4 bytes
    activations: int = 0  # saved by the forward pass for the backward pass, and none of the above
    working: int = 0  # the largest sum of everything else that is alive at one moment

    @property
    def total(self) -> int:
        """The sum over the owners; the peak of a step is less, where they peak at other moments."""
        return sum(self.as_dict().values())

    def as_dict(self) -> dict[str, int]:
        """Owner -> bytes, in the order of the attributes."""
        return asdict(self)


OWNERS = tuple(field.name for field in fields(Bytes))


@dataclass(frozen=True)
class Account:
    """What one pass over one batch takes."""

    bytes: Bytes
    operations: int  # of matrix products and convolutions, two per multiply-add, backward included


def forward_account(network: nn.Module, shape: tuple[int, ...], batch: int) -> Account:
    """Account a forward pass of a batch (B, *shape), without gradients, in the modules' own modes."""
    with _without_numbers(network, shape, batch) as (twin, inputs):
        with _counted() as counter:
            twin(inputs)
        with torch.no_grad(), Storages(twin, inputs) as storages:
            twin(inputs)
    return Account(storages.by_owner(), counter.get_total_flops())


def training_account(network: nn.Module, shape: tuple[int, ...], batch: int) -> Account:
    """Account one training step: forward, backward, and AdamW's step on what requires gradients.

    The optimiser's temporaries are those of a CPU; on a GPU it takes more of them at once.
    """
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise CourseError("All parameters are frozen, so there is no training step. Unfreeze some.")
    with _without_numbers(network, shape, batch) as (twin, inputs), torch.enable_grad():
        labels = torch.empty(batch, dtype=torch.int64, device="meta")
        optimiser = torch.optim.AdamW(twin.parameters())
        with _counted() as counter:  # its hooks could disturb the count of bytes
            _loss(twin, inputs, labels).backward()
        optimiser.zero_grad()
        with Storages(twin, inputs, labels) as storages:
            with torch.autograd.graph.saved_tensors_hooks(storages.save, lambda tensor: tensor):
                loss = _loss(twin, inputs, labels)
            loss.backward()
            optimiser.step()
            gradients = (p.grad for p in twin.parameters() if p.grad is not None)
            storages.own("gradients", gradients)
            storages.own("optimiser_state", tree_leaves(list(optimiser.state.values())))
    return Account(storages.by_owner(), counter.get_total_flops())


def _loss(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits = network(inputs)
    given = tuple(getattr(logits, "shape", ()))
    if len(given) != 2 or len(logits) != len(labels):
        raise CourseError(
            f"The network gives {given or type(logits).__name__}, but a training step needs "
            "logits: (batch, classes)."
        )
    return nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)  # as `tlcourse.fit`


@contextmanager
def _without_numbers(
    network: nn.Module, shape: tuple[int, ...], batch: int
) -> Iterator[tuple[nn.Module, torch.Tensor]]:
    """Copy a network to the meta device, make a batch there, and explain what goes wrong."""
    check_whole("batch", batch)
    twin, inputs = meta_copy(network), torch.empty(batch, *shape, device="meta")
    try:
        yield twin, inputs
    except CourseError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise CourseError(
            f"The network could not be run without numbers on inputs of shape {tuple(shape)} "
            f"({reason}). It must take such a batch, and not look at the numbers in it."
        ) from error


@contextmanager
def _counted() -> Iterator[FlopCounterMode]:
    """Count operations; with gradients, since attention then runs in its ordinary form."""
    rule = {torch.ops.aten.convolution_backward: _convolution_backward}
    with torch.enable_grad(), FlopCounterMode(display=False, custom_mapping=rule) as counter:
        yield counter


def _convolution_backward(*arguments: Any, **_options: Any) -> int:
    """Operations of a convolution's backward pass: as many as forward for each of its two results.

    PyTorch's own rule multiplies those of the weight's gradient by the number of groups.
    """
    gradient, inputs, weight, *_, transposed, _padding, _groups, output_mask = arguments
    places = math.prod((inputs if transposed else gradient)[2:])
    return 2 * gradient[0] * places * math.prod(weight) * sum(output_mask[:2])


class Storages(TorchDispatchMode):
    """Notes when each storage is made and when it is gone, who owns it, and what autograd saves."""

    def __init__(self, network: nn.Module, *given: torch.Tensor) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}  # address of a storage -> its number
        self.sizes: list[int] = []  # by number
        self.events: list[tuple[int, int]] = []  # number, and 1 for "made" or -1 for "gone"
        self.saved: set[int] = set()
        self.owners: dict[str, set[int]] = {}
        self.own("parameters", network.parameters())
        self.own("buffers", network.buffers())
        self._numbers(given)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator and note its outputs."""
        output = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.native_batch_norm.default:
            *_, training, _momentum, _eps = args
            if not training:  # with stored statistics a CPU saves none of the batch's
                output = (output[0], *(statistics.new_empty(0) for statistics in output[1:]))
        self._numbers(tensors_in(output))
        return output

    def own(self, owner: str, tensors: Iterable[torch.Tensor]) -> None:
        """Give an owner the storages of these tensors."""
        self.owners[owner] = self._numbers(tensors)

    def save(self, tensor: torch.Tensor) -> torch.Tensor:
        """Note what is saved for the backward pass, and save it."""
        self.saved |= self._numbers([tensor])
        return tensor

    def by_owner(self) -> Bytes:
        """Sum the sizes of each owner's storages; all the others are working memory."""
        activations = self.saved.difference(*self.owners.values())
        owners = self.owners | {"activations": activations}
        sums = {owner: sum(self.sizes[n] for n in numbers) for owner, numbers in owners.items()}
        owned = set().union(*owners.values())
        changes = (sign * self.sizes[n] for n, sign in self.events if n not in owned)
        return Bytes(**sums, working=max(accumulate(changes), default=0))

    def _numbers(self, tensors: Iterable[torch.Tensor]) -> set[int]:
        """Numbers of the storages that tensors lie in; a new one is noted."""
        numbers = set()
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self.alive:
                self.alive[key] = len(self.sizes)
                self.events.append((len(self.sizes), 1))
                self.sizes.append(storage.nbytes())
                weakref.finalize(storage, self._gone, key).atexit = False
            numbers.add(self.alive[key])
        return numbers

    def _gone(self, key: int) -> None:
        self.events.append((self.alive.pop(key), -1))
