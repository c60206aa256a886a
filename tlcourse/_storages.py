"""Which storages a computation makes, how long they live, and which are saved for gradients."""

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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
