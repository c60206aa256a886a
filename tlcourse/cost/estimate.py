"""What a graphics card could do at best, from its data sheet: a lower bound on time."""

from dataclasses import dataclass

from tlcourse.base.machine import GIB, MIB
from tlcourse.cost.records import Cost
from tlcourse.errors import CourseError, UnknownNameError


@dataclass(frozen=True)
class Card:
    """A graphics card as its maker describes it.

    Attributes:
        name: Its name.
        operations_per_second: Largest rate in 32-bit arithmetic.
        bytes_per_second: Largest rate between the chip and its memory.
        memory_bytes: Its memory.
        source: Document of the maker.
    """

    name: str
    operations_per_second: float
    bytes_per_second: float
    memory_bytes: float
    source: str


CARDS = {
    card.name: card
    for card in (
        # The card of free Colab sessions. NVIDIA's data sheet says 300 GB/s, the product brief "up
        # to 320 GB/s" (256 lines at 10 billion transfers a second): the larger one is the bound.
        Card("NVIDIA T4", 8.1e12, 320e9, 16e9, 'NVIDIA, "T4 Tensor Core GPU", product brief'),
    )
}
RESERVE = GIB  # for CUDA itself, cuDNN's workspaces, and what the allocator cannot use


@dataclass(frozen=True)
class Estimate:
    """What a card needs at least, and how many pictures fit. Nothing here was measured.

    Attributes:
        card: Name of the card.
        of: The cost that it was computed from.
        arithmetic_seconds: Its operations at the card's largest rate.
        traffic_seconds: The least traffic with its memory at the largest rate.
        largest_batch: Pictures at once that would fit; 0 if not even one.
        source: Where the card's figures are from.
    """

    card: str
    of: Cost
    arithmetic_seconds: float
    traffic_seconds: float
    largest_batch: int
    source: str

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
    longer, at the rates of the data sheet. As traffic counts what cannot be spared: parameters are
    read, gradients and AdamW's state are written and read, what moves is written, and each
    activation that is saved is written once and read once. Real networks with many small layers
    stay well above it: every layer is a program of its own that must be started, and few of them
    reach the largest rates. `tlcourse.fit` computes in mixed precision on a CUDA GPU, which has
    higher rates and half as large activations.

    Args:
        cost: From a forward pass, a training step or an epoch, measured anywhere.
        card: Name from `tlcourse.cost.CARDS`.

    Raises:
        UnknownNameError: There is no data sheet of this card.
    """
    if card not in CARDS:
        raise UnknownNameError("card", card, CARDS)
    if not isinstance(cost, Cost):
        raise CourseError(
            f"estimate() needs a cost, such as tl.cost.training_step(backbone), got "
            f"{type(cost).__name__}."
        )
    sheet, b = CARDS[card], cost.bytes
    learning = 3 * b.gradients + 2 * b.optimiser_state  # gradients twice, new parameters once
    passes = max(cost.steps, 1)
    traffic = passes * (b.parameters + b.buffers + learning + 2 * b.activations)
    fixed = b.parameters + b.buffers + b.gradients + b.optimiser_state
    each = (b.activations + b.working) / cost.batch
    return Estimate(
        card=card,
        of=cost,
        arithmetic_seconds=cost.operations / sheet.operations_per_second,
        traffic_seconds=traffic / sheet.bytes_per_second,
        largest_batch=max(0, int((sheet.memory_bytes - RESERVE - fixed) / max(each, 1))),
        source=sheet.source,
    )
