"""Which epochs and rates `tl.patterns.fine_tune` should have by default, chosen on validation pictures.

    TLCOURSE_DATA=folder/that/holds/hymenoptera_data python benchmarks/fine_tuning.py

Four tasks, each with its own start: the probe that `fine_tune` fits before the first step. For each
number of epochs and each rate of the body the table shows the validation accuracy at the end, for
all seeds, and the mean gain over the start. No test picture is opened. With the default lists it
takes about two hours on 2 slow cores; `--tasks`, `--epochs`, `--rates` and `--seeds` choose less.
"""

import argparse
import statistics
import time

import pandas as pd

import tlcourse as tl
from tlcourse.base.machine import describe

# Name -> side of the pictures in pixels, labels per class (None for all), options of `load_task`.
TASKS: dict[str, tuple[int, int | None, dict[str, float]]] = {
    "fashion": (96, 60, {"val_fraction": 0.5}),
    "digits": (96, 30, {"val_fraction": 0.6}),
    "hymenoptera": (128, None, {}),
    "emoji": (96, None, {"val_fraction": 0.3}),
}


def task_of(name: str) -> tl.Task:
    """Load a task without its test pictures: nothing is chosen by them."""
    _, per_class, options = TASKS[name]
    return tl.load_task(name, **options).few_of_each(train=per_class, test=0)


def main() -> None:
    """Run every setting on every task, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--epochs", nargs="+", type=int, default=[6, 12])
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-4, 3e-4, 1e-3])
    parser.add_argument("--decays", nargs="+", type=float, default=[0.8])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    print(describe())
    backbone = tl.load_backbone()
    rows = []
    for name in arguments.tasks:
        small, task = backbone.at_size(TASKS[name][0]), task_of(name)
        start = tl.patterns.standalone_extractor(small, task, progress=False).val_accuracy
        print(f"{name}: {len(task.train)} training, {len(task.val)} validation; start {start:.3f}")
        for epochs in arguments.epochs:
            for rate in arguments.rates:
                for decay in arguments.decays:
                    options = {"epochs": epochs, "body_rate": rate, "layer_decay": decay}
                    began, reached = time.perf_counter(), []
                    for seed in arguments.seeds:
                        result = tl.patterns.fine_tune(
                            small, task, seed=seed, progress=False, live=False, **options
                        )
                        reached.append(result.val_accuracy)
                    seconds = (time.perf_counter() - began) / len(reached)
                    gain = statistics.mean(reached) - start
                    rows.append({"task": name, **options, "gain": gain, "seconds": seconds})
                    shown = " ".join(f"{accuracy:.3f}" for accuracy in reached)
                    print(f"  {options}: {shown} ({gain:+.3f}), {seconds:.0f} s", flush=True)
    table = pd.DataFrame(rows).pivot(
        index=["epochs", "body_rate", "layer_decay"], columns="task", values="gain"
    )
    table["worst"], table["mean"] = table.min(axis=1), table.mean(axis=1)
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
