"""Measurements on a GPU that were made once and kept, for readers who have none.

`benchmarks/device.py` makes such a file on any machine; the package ships it if it is there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from tlcourse.base.files import whole_file
from tlcourse.cost.records import Cost
from tlcourse.errors import CourseError

SHIPPED = Path(str(files("tlcourse"))) / "data" / "recorded_device.json"


@dataclass(frozen=True)
class Recorded:
    """A cost that was measured elsewhere, some time ago.

    Attributes:
        setting: Name of the setting.
        cost: What was measured.
        card: Name of the device.
        driver: Version of its driver.
        torch: Version of PyTorch.
        date: Day of the measurement, year-month-day.
    """

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


def write(path: Path, recorded: Sequence[Recorded]) -> None:
    """Write measurements of one machine and day; the file appears whole or not at all."""
    if not recorded:
        raise CourseError("There is no measurement to write.")
    first = recorded[0]
    content = {
        "card": first.card,
        "driver": first.driver,
        "torch": first.torch,
        "date": first.date,
        "rows": [{"setting": r.setting, "cost": r.cost.as_dict()} for r in recorded],
    }
    text = json.dumps(content, indent=1) + "\n"
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def read(path: Path | None = None) -> tuple[Recorded, ...]:
    """Return the measurements in a file; by default those that the package ships, if any.

    Raises:
        CourseError: The file named is not there, or is not one of these.
    """
    where = SHIPPED if path is None else Path(path)
    if path is None and not where.is_file():
        return ()
    try:
        content = json.loads(where.read_text(encoding="utf-8"))
        about = {name: str(content[name]) for name in ("card", "driver", "torch", "date")}
        return tuple(
            Recorded(row["setting"], Cost.from_dict(row["cost"]), **about)
            for row in content["rows"]
        )
    except OSError as error:
        raise CourseError(f"{where.name} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CourseError(
            f"{where.name} holds no recorded measurement. Make one: python benchmarks/device.py"
        ) from error
