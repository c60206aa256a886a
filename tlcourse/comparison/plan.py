"""A plan of runs: which patterns, with which seeds and options, on how many of the pictures.

A plan is fixed before anything is trained, so that a slow moment does not change a result. Time
only decides, later, whether a whole run is dropped.
"""

from dataclasses import dataclass
from typing import Any

from tlcourse.base.durations import in_words


@dataclass(frozen=True)
class PlannedRun:
    """One pattern with one seed.

    Attributes:
        pattern: Name of a function in `tlcourse.patterns`.
        seed: Decides first weights and order; None where nothing is random.
        options: What else the function is called with.
        seconds: How long it should take.
    """

    pattern: str
    seed: int | None
    options: dict[str, Any]
    seconds: float

    @property
    def name(self) -> str:
        """Pattern and seed, as they stand in a sentence."""
        return self.pattern if self.seed is None else f"{self.pattern} with seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """What `compare` runs, in order; `compare(plan=...)` runs it again.

    Attributes:
        runs: One for each pattern and seed.
        share: Of the pictures of each class that are used; 1 for all.
        counts: Split -> how many pictures that are.
        size: Side of the pictures that go in, in pixels.
        budget: Seconds that it was made for.
        left_out: What did not fit into the time, or only in part, in sentences.
    """

    runs: tuple[PlannedRun, ...]
    share: float
    counts: dict[str, int]
    size: int
    budget: float
    left_out: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long all runs should take."""
        return sum(run.seconds for run in self.runs)

    def __repr__(self) -> str:
        used = ", ".join(f"{split} {n}" for split, n in self.counts.items())
        lines = [
            f"Plan for {in_words(self.budget)}: {sum(self.counts.values())} pictures ({used}) "
            f"at {self.size} px, about {in_words(self.seconds)} of work"
        ]
        for pattern in dict.fromkeys(run.pattern for run in self.runs):
            runs = [run for run in self.runs if run.pattern == pattern]
            seeds = [str(run.seed) for run in runs if run.seed is not None]
            parts = [f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}"] * bool(seeds)
            parts += [_in_words(*option) for option in runs[0].options.items()]
            seconds = in_words(sum(run.seconds for run in runs))
            line = f"  {pattern:21} {'about ' + seconds:18} {'; '.join(filter(None, parts))}"
            lines.append(line.rstrip())
        return "\n".join([*lines, *(f"  {sentence}" for sentence in self.left_out)])


def _in_words(option: str, value: Any) -> str:
    """An option for a reader; nothing for what goes without saying."""
    words = {
        "epochs": f"{value} epochs",
        "batch_size": f"batch {value}",
        "freeze_until": f"frozen up to {value}" if value else "all layers",
        "layer": f"cut at {value}" if value != "embedding" else "",
        "augment": "random crops" if value else "",
    }
    return words.get(option, "")
