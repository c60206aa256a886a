"""What a pass costs: the records that `tlcourse.cost` returns, and how they are compared."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tlcourse.base.files import read_json
from tlcourse.base.machine import MIB
from tlcourse.errors import CourseError, check_choice
from tlcourse.networks.account import OWNERS, Bytes

if TYPE_CHECKING:
    import pandas as pd

SHIPPED = Path(str(files("tlcourse"))) / "data" / "recorded_device.json"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a forward pass, a training step or an epoch costs on one device."""

    what: str  # "forward pass", "training step" or "epoch"
    device: str  # where it ran, such as "cpu" or "cuda:0"
    device_name: str  # what that is
    batch: int  # pictures at once
    size: int  # side of a picture in pixels
    freeze_until: str | None = None  # last frozen layer
    cached: bool = False  # whether it begins from the stored output of the frozen part
    trainable_parameters: int = 0  # how many parameters it moves
    times: tuple[float, ...] = ()  # each measurement; those of an epoch follow from measured steps
    pictures: int  # in one measurement: a batch, or an epoch's training pictures
    operations: int  # of matrix products and convolutions, two per multiply-add, backward included
    bytes: Bytes  # by owner, in float32, whatever else the process holds
    steps: int = 1  # training steps in one measurement; 0 for a forward pass
    prepare_seconds: float = 0.0  # once before the first epoch: the pass through the frozen part
    allocator_bytes: int | None = None  # of PyTorch: the peak on CUDA, the present figure on MPS

    @property
    def seconds(self) -> float:
        """Median of the measurements."""
        return statistics.median(self.times)

    @property
    def spread(self) -> tuple[float, float]:
        """The shortest and the longest measurement, in seconds."""
        return min(self.times), max(self.times)

    @property
    def pictures_per_second(self) -> float:
        """Throughput, from the median."""
        return self.pictures / self.seconds

    @property
    def peak_bytes(self) -> int:
        """Sum of the bytes by owner: never this process's high-water mark."""
        return self.bytes.total

    def __repr__(self) -> str:
        low, high = self.spread
        frozen = f", frozen up to {self.freeze_until}" if self.freeze_until else ""
        sizes = {name.replace("_", " "): n / MIB for name, n in self.bytes.as_dict().items() if n}
        owners = ", ".join(f"{name} {size:.1f}" for name, size in sizes.items())
        text = (
            f"{self.what.capitalize()}, batch {self.batch}, {self.size} px, on "
            f"{self.device} ({self.device_name}){frozen}{', cached' if self.cached else ''}\n"
            f"  {self.seconds:.3g} s ({low:.3g} to {high:.3g} in {len(self.times)} measurements), "
            f"{_short(self.pictures_per_second)} pictures/s, {self.operations / 1e9:.3g} billion "
            f"operations\n  memory {self.peak_bytes / MIB:.1f} MiB: {owners}"
        )
        if self.prepare_seconds:
            text += f"\n  once before: {self.prepare_seconds:.3g} s"
        if self.allocator_bytes is not None:
            text += f"\n  PyTorch's allocator: {self.allocator_bytes / MIB:.1f} MiB"
        return text


class Ratio(NamedTuple):
    """How many times as much; the extremes are those of the single rounds."""

    median: float
    lowest: float
    highest: float
    rounds: int

    def __repr__(self) -> str:
        text = f"{_short(self.median)} times as much"
        if self.lowest == self.highest:
            return text
        return f"{text} ({_short(self.lowest)} to {_short(self.highest)} in {self.rounds} rounds)"


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Costs of several settings that were measured in turn, A B C A B C.

    So a ratio within a round does not suffer if the machine was slower for a while.
    """

    costs: Mapping[str, Cost]  # name of the setting -> its cost; its n-th time is the n-th round's

    @property
    def table(self) -> "pd.DataFrame":
        """One row for each setting."""
        import pandas as pd

        rows = {
            name: {
                "device": cost.device,
                "batch": cost.batch,
                "seconds": cost.seconds,
                "fastest": cost.spread[0],
                "slowest": cost.spread[1],
                "pictures_per_second": cost.pictures_per_second,
                "billion_operations": cost.operations / 1e9,
                "trainable_parameters": cost.trainable_parameters,
                "memory_mib": cost.peak_bytes / MIB,
            }
            for name, cost in self.costs.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("setting")

    def ratio(self, first: str, second: str, *, of: str = "seconds") -> Ratio:
        """Say how many times as much the first setting costs as the second.

        Args:
            first: Name of a setting.
            second: Name of another one.
            of: "seconds", "peak_bytes", "operations", "trainable_parameters", or an owner of bytes
                such as "activations". Only seconds differ from round to round.
        """
        a, b = (self.costs[check_choice("setting", n, self.costs)] for n in (first, second))
        known = ("seconds", "peak_bytes", "operations", "trainable_parameters", *OWNERS)
        if check_choice("figure to compare called", of, known) == "seconds":
            rounds = [x / y for x, y in zip(a.times, b.times, strict=True)]
        else:
            x, y = (getattr(cost.bytes if of in OWNERS else cost, of) for cost in (a, b))
            rounds = [x / y if y else float("inf") if x else float("nan")]
        return Ratio(statistics.median(rounds), min(rounds), max(rounds), len(rounds))

    def __repr__(self) -> str:
        return self.table.round(3).to_string()

    def _repr_html_(self) -> str:
        return self.table.round(3).to_html()


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 99.5 else f"{number:.3g}"


@dataclass(frozen=True)
class Recorded:
    """A cost that was measured once, on another machine: with which card, driver, torch, and when."""

    setting: str
    cost: Cost
    card: str
    driver: str
    torch: str
    date: str

    def __repr__(self) -> str:
        return (
            f"Recorded on {self.date}, {self.card}, driver {self.driver}, torch {self.torch}: "
            f"{self.setting}\n  {self.cost!r}"
        )


def recorded(path: Path | None = None) -> tuple[Recorded, ...]:
    """Return the measurements in a file that `benchmarks/device.py` wrote.

    Args:
        path: The file; by default the one that the package ships, if there is one.
    """
    if path is None and not SHIPPED.is_file():
        return ()
    where = Path(path or SHIPPED)
    try:
        content = read_json(where)
        about = [str(content[name]) for name in ("card", "driver", "torch", "date")]
        rows = [(row["setting"], row["cost"]) for row in content["rows"]]
        for _, cost in rows:
            cost |= {"times": tuple(cost["times"]), "bytes": Bytes(**cost["bytes"])}
        return tuple(Recorded(setting, Cost(**cost), *about) for setting, cost in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{where.name} holds no recorded measurement ({error}).") from error
