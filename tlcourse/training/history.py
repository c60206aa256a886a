"""What a training did, epoch by epoch."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Epoch:
    """One pass over the training pictures."""

    epoch: int  # its number, from 1
    train_loss: float  # mean over the pictures during the epoch
    val_loss: float  # afterwards, on the validation pictures, in evaluation mode; NaN without any
    val_accuracy: float  # likewise
    seconds: float  # for all of it
    frozen_until: str | None  # last frozen layer in it


@dataclass(frozen=True, eq=False)
class History:
    """What a training did."""

    epochs: tuple[Epoch, ...]  # the finished ones
    best_epoch: int  # the one whose weights were kept; 0 for those of the start
    stopped: str  # why it ended early; empty if it did not
    seconds: float  # for all of it, what was computed beforehand included
    prepare_seconds: (
        float  # of it, for the frozen part's output, also where that was stored already
    )
    memory: Callable[[], int] = field(repr=False)  # counts the bytes of the largest step
    batch_size: int  # pictures per step
    cached_until: str | None  # layer whose output was computed once per picture

    @cached_property
    def peak_bytes(self) -> int:
        """Memory that the largest step needs (`tlcourse.cost`), counted when you ask for it."""
        return self.memory()

    @property
    def table(self) -> "pd.DataFrame":
        """One row for each epoch."""
        import pandas as pd

        names = [field.name for field in fields(Epoch)]
        return pd.DataFrame([vars(e) for e in self.epochs], columns=names).set_index("epoch")

    def __getstate__(self) -> dict[str, Any]:  # a pickle holds the number, not the network
        return vars(self) | {"memory": partial(int, self.peak_bytes)}

    def __repr__(self) -> str:
        text = f"{len(self.epochs)} epochs in {self.seconds:.1f} s, batch {self.batch_size}"
        if self.best_epoch:
            best = self.epochs[self.best_epoch - 1]
            text += f"; kept: epoch {best.epoch}, validation accuracy {best.val_accuracy:.3f}"
        return text + (f"; {self.stopped}" if self.stopped else "")
