"""What a graphics card could do at best, from its data sheet: a lower bound on time."""

from dataclasses import dataclass

from tlcourse.base.machine import GIB, MIB
from tlcourse.cost.records import Cost
from tlcourse.errors import CourseError, check_choice

RESERVE = GIB  # for CUDA itself, cuDNN's workspaces, and what the allocator cannot use


@dataclass(frozen=True)
class Card:
    """A graphics card as its maker describes it."""

    name: str
    operations_per_second: float  # in 32-bit arithmetic
    bytes_per_second: float  # between the chip and its memory
    memory_bytes: float
    source: str  # the maker's document


# The card of free Colab sessions. NVIDIA's data sheet says 300 GB/s, the product brief "up to 320
# GB/s" (256 lines at 10 billion transfers a second): the larger one is the bound.
_T4 = Card("NVIDIA T4", 8.1e12, 320e9, 16e9, 'NVIDIA, "T4 Tensor Core GPU", product brief')
CARDS = {_T4.name: _T4}


@dataclass(frozen=True)
class Estimate:
    """What a card needs at least, and how many pictures fit. Nothing here was measured."""

    card: str  # its name
    of: Cost  # what it was computed from
    arithmetic_seconds: float  # its operations at the card's largest rate
    traffic_seconds: float  # the least traffic with the card's memory at the largest rate
    largest_batch: int  # pictures at once that would fit; 0 if not even one
    source: str  # where the card's figures are from

    @property
    def seconds(self) -> float:
        """Lower bound: the longer of the two, as if the other one went on at the same time."""
        return max(self.arithmetic_seconds, self.traffic_seconds)

    def __repr__(self) -> str:
        return (
            f"Estimate for one {self.card}, not measured: {self.of.what}, batch {self.of.batch}, "
            f"{self.of.size} px\n"
            f"  at least {self.seconds:.2g} s (arithmetic {self.arithmetic_seconds:.2g} s, traffic "
            f"with its memory {self.traffic_seconds:.2g} s), in 32-bit numbers\n"
            f"  largest batch that would fit: about {self.largest_batch:,}, with "
            f"{RESERVE / MIB:.0f} MiB kept free\n"
            f"  source: {self.source}"
        )


def estimate(cost: Cost, *, card: str = "NVIDIA T4") -> Estimate:
    """Estimate what a card would need at least for a pass whose operations and bytes are known.

    The time is a **lower bound** in 32-bit arithmetic: operations or traffic, whichever takes
    longer, at the rates of the data sheet. Traffic is what cannot be spared: parameters are read,
    gradients, AdamW's state and saved activations are written and read. Networks with many small
    layers stay well above it. `tlcourse.fit` computes in mixed precision on a CUDA GPU.

    Args:
        cost: From a forward pass, a training step or an epoch, measured anywhere.
        card: Name from `tlcourse.cost.CARDS`.
    """
    sheet = CARDS[check_choice("card", card, CARDS)]
    if not isinstance(cost, Cost):
        given = type(cost).__name__
        raise CourseError(f"estimate() needs a cost, as tl.cost.training_step gives, got {given}.")
    b = cost.bytes
    learning = 3 * b.gradients + 2 * b.optimiser_state  # gradients twice, new parameters once
    each_step = b.parameters + b.buffers + learning + 2 * b.activations
    lasting = b.parameters + b.buffers + b.gradients + b.optimiser_state
    room = sheet.memory_bytes - RESERVE - lasting
    return Estimate(
        card=card,
        of=cost,
        arithmetic_seconds=cost.operations / sheet.operations_per_second,
        traffic_seconds=max(cost.steps, 1) * each_step / sheet.bytes_per_second,
        largest_batch=max(0, int(room * cost.batch / max(b.activations + b.working, 1))),
        source=sheet.source,
    )
