"""Run experiments, print each as a table, and keep them in the file that ships with the course."""

import argparse
import datetime
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import pandas as pd

from tlcourse.base.files import whole_file
from tlcourse.base.machine import describe
from tlcourse.course.recorded import SHIPPED

Row = dict[str, Any]
Experiments = Mapping[str, Callable[..., Iterator[Row]]]
_PACKAGES = ("torch", "torchvision", "timm", "scikit-learn", "numpy")


def record(
    program: str,
    about: str,
    experiments: Experiments,
    packages: Mapping[str, Sequence[str]] | None = None,
    rounds: int | None = None,
) -> None:
    """Read the command line, run the experiments that it names, and keep them with `--save`.

    Args:
        program: How it is started, such as "python -m benchmarks.letters".
        about: Its docstring, whose first line is shown as help.
        experiments: Name -> function that yields a row for each run.
        packages: Name of an experiment -> further packages whose versions count.
        rounds: For speeds: how often each is measured, which each experiment takes as an argument,
            and `--rounds` changes.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(experiments), choices=list(experiments))
    parser.add_argument("--save", action="store_true", help="write tlcourse/data/runs.json")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds)
    arguments = parser.parse_args()
    given = () if rounds is None else (arguments.rounds,)
    print(describe(), flush=True)
    for name in arguments.only:
        rows = []
        for row in experiments[name](*given):
            print(" ", row, flush=True)
            rows.append(row)
        table = pd.DataFrame(rows)
        print(f"\n{name}\n{table.round(3).to_string()}\n", flush=True)
        if arguments.save:
            _save(name, table, f"{program} --save --only {name}", (packages or {}).get(name, ()))


def _save(experiment: str, table: pd.DataFrame, command: str, packages: Sequence[str]) -> None:
    """Write the runs of an experiment into the shipped file, and keep all others."""
    recorded = json.loads(SHIPPED.read_text("utf-8")) if SHIPPED.exists() else {}
    git = ["git", "describe", "--always", "--dirty"]
    about = {
        "command": command,
        "commit": subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "machine": describe(),
        "versions": {name: version(name) for name in (*_PACKAGES, *packages)},
    }
    rows = [row.dropna().to_dict() for _, row in table.astype(object).iterrows()]
    recorded[experiment] = {"about": about, "runs": rows}
    with whole_file(SHIPPED) as part:
        part.write_text(json.dumps(recorded, indent=1, allow_nan=False) + "\n", "utf-8")
