"""Trainings that run longer than a notebook allows: recorded once, and shipped with the course."""

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from tlcourse.errors import check_choice

if TYPE_CHECKING:
    import pandas as pd

SHIPPED = Path(str(files("tlcourse"))) / "data" / "runs.json"


def recorded_runs(experiment: str) -> "pd.DataFrame":
    """Return what a program in `benchmarks` has measured in one experiment.

    Args:
        experiment: A name of the file `tlcourse/data/runs.json`, such as "turned_digits".

    Returns:
        One row per run: what ran, its seed, accuracies from 0 to 1, and seconds where they were
        measured. `table.attrs` says how it was made: "command", "commit", "date", "machine" and
        "versions".

    Raises:
        UnknownNameError: There is no such experiment; the nearest names are offered.
    """
    import pandas as pd

    recorded = json.loads(SHIPPED.read_text("utf-8"))
    check_choice("recorded experiment", experiment, sorted(recorded))
    table = pd.DataFrame(recorded[experiment]["runs"])
    table.attrs = recorded[experiment]["about"]
    return table
