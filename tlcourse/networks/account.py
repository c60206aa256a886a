"""Bytes and operations of one pass, counted on PyTorch's "meta" device (notebook 07).

There, tensors have shapes but no values: it takes next to no memory, and nothing disturbs the count.
Each tensor counts in its own type; in mixed precision the activations take about half. Operators
count as on a CPU, attention in its ordinary form, which saves its whole table. Not counted is what
PyTorch's kernels allocate inside, nor PyTorch and Python.
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
    gradients: int = 0
    optimiser_state: int = 0
    activations: int = 0
    working: int = 0

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
    """What one pass over one batch takes: bytes by owner, and operations.

    Operations are those of matrix products and convolutions, two per multiply-add, with the
    backward pass where there is one.
    """

    bytes: Bytes
    operations: int


def forward_account(network: nn.Module, shape: tuple[int, ...], batch: int) -> Account:
    """Account a forward pass of a batch (B, *shape), without gradients, in the modules' own modes."""
    twin, inputs = _without_numbers(network, shape, batch)
    with _explained(shape):
        with _counted() as counter:
            twin(inputs)
        with torch.no_grad(), Storages() as storages:
            parameters, buffers = storages.of(twin.parameters()), storages.of(twin.buffers())
            storages.of([inputs])
            twin(inputs)
    owned = storages.owned_by(parameters=parameters, buffers=buffers)
    return Account(owned, counter.get_total_flops())


def training_account(network: nn.Module, shape: tuple[int, ...], batch: int) -> Account:
    """Account one training step: forward, backward, and AdamW's step on what requires gradients.

    The optimiser's temporaries are those of a CPU; on a GPU it takes more of them at once.
    """
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise CourseError(
            "All parameters are frozen, so there is no training step. Unfreeze some, or ask for a "
            "forward pass."
        )
    twin, inputs = _without_numbers(network, shape, batch)
    labels = torch.empty(batch, dtype=torch.int64, device="meta")
    optimiser = torch.optim.AdamW(twin.parameters())
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)  # as in `tlcourse.fit`
    with _explained(shape), torch.enable_grad():
        with _counted() as counter:  # its hooks could disturb the count of bytes
            logits = twin(inputs)
            given = tuple(getattr(logits, "shape", ()))
            if len(given) != 2 or len(logits) != batch:
                raise CourseError(
                    f"The network gives {given or type(logits).__name__}, but a training step needs "
                    "logits: (batch, classes)."
                )
            loss_of(logits, labels).backward()
        del logits
        optimiser.zero_grad()
        with Storages() as storages:
            parameters, buffers = storages.of(twin.parameters()), storages.of(twin.buffers())
            storages.of([inputs, labels])
            with torch.autograd.graph.saved_tensors_hooks(storages.save, lambda tensor: tensor):
                loss = loss_of(twin(inputs), labels)
            loss.backward()
            optimiser.step()
            gradients = storages.of(p.grad for p in twin.parameters() if p.grad is not None)
            state = storages.of(tree_leaves(list(optimiser.state.values())))
    activations = storages.saved - parameters - buffers - gradients - state
    owners = {"parameters": parameters, "buffers": buffers, "gradients": gradients}
    owned = storages.owned_by(**owners, optimiser_state=state, activations=activations)
    return Account(owned, counter.get_total_flops())


def _without_numbers(
    network: nn.Module, shape: tuple[int, ...], batch: int
) -> tuple[nn.Module, torch.Tensor]:
    """Copy a network to the meta device, and make a batch there."""
    check_whole("batch", batch)
    return meta_copy(network), torch.empty(batch, *shape, device="meta")


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


@contextmanager
def _explained(shape: tuple[int, ...]) -> Iterator[None]:
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


class Storages(TorchDispatchMode):
    """Notes when each storage is made and when it is gone, and which ones autograd saves."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}  # address of a storage -> its number
        self.sizes: list[int] = []  # by number
        self.events: list[tuple[int, int]] = []  # number, and 1 for "made" or -1 for "gone"
        self.saved: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator and note its outputs."""
        output = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.native_batch_norm.default:
            *_, training, _momentum, _eps = args
            if not training:  # with stored statistics a CPU saves none of the batch's
                output = (output[0], *(statistics.new_empty(0) for statistics in output[1:]))
        self.of(leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor))
        return output

    def of(self, tensors: Iterable[torch.Tensor]) -> set[int]:
        """Numbers of the storages that tensors lie in; a new one is noted."""
        return {self._number(tensor.untyped_storage()) for tensor in tensors}

    def _number(self, storage: torch.UntypedStorage) -> int:
        key = storage._cdata
        if key not in self.alive:
            number = self.alive[key] = len(self.sizes)
            self.sizes.append(storage.nbytes())
            self.events.append((number, 1))
            weakref.finalize(storage, self._gone, key).atexit = False
        return self.alive[key]

    def _gone(self, key: int) -> None:
        self.events.append((self.alive.pop(key), -1))

    def save(self, tensor: torch.Tensor) -> torch.Tensor:
        """Note what is saved for the backward pass, and save it."""
        self.saved |= self.of([tensor])
        return tensor

    def owned_by(self, **owners: set[int]) -> Bytes:
        """Sum the sizes of each owner's storages; all the others are working memory."""
        sums = {owner: sum(self.sizes[n] for n in numbers) for owner, numbers in owners.items()}
        owned = set().union(*owners.values())
        changes = (sign * self.sizes[n] for n, sign in self.events if n not in owned)
        return Bytes(**sums, working=max(accumulate(changes), default=0))
