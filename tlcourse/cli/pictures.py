"""The commands for your own pictures or sounds: `tlcourse compare` and `tlcourse predict`."""

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tlcourse.base.messages import printable
from tlcourse.errors import CourseError

if TYPE_CHECKING:
    from tlcourse.networks.backbone import Backbone
    from tlcourse.tasks.task import Task

_MAX_SIDE = 1024  # pixels; larger photographs are read at a reduced size, which is faster
_SHOWN = 20  # files left out that are printed

NetworkName = Annotated[
    str | None, typer.Option(help="Name of a network; by default the one of the course.")
]
PictureSize = Annotated[
    int | None, typer.Option(help="Side of the pictures in pixels; smaller is faster.")
]


def compare(
    folder: Annotated[
        str,
        typer.Argument(help="Folder that holds a folder of pictures, or sounds, for each class."),
    ],
    budget: Annotated[str, typer.Option(help="Time for everything, such as 90s, 5m or 1h.")] = "5m",
    backbone: NetworkName = None,
    size: PictureSize = None,
    out: Annotated[
        Path, typer.Option(help="Where report, tables and model go.", file_okay=False)
    ] = Path("tlcourse-comparison"),
) -> None:
    """Try all patterns on a folder of pictures or sounds, and keep the one to take.

    Prints a table and a recommendation. Leaves report.html, results.csv, skipped.csv and model/.
    """
    from tlcourse import compare as run_all
    from tlcourse.base.durations import in_words, to_seconds
    from tlcourse.comparison.report import check_target

    started, seconds = time.monotonic(), to_seconds(budget)
    check_target(out)
    task, network = _task_and_network(folder, backbone, size)
    left = seconds - (time.monotonic() - started)
    if left <= 0:
        raise CourseError(f"Reading {folder} took longer than {in_words(seconds)}; give more time.")
    comparison = run_all(network, task, budget=left)
    print(f"\n{comparison!r}")
    print(f"\nReport: {comparison.save(out) / 'report.html'}")
    print(f"Next:   tlcourse predict {out / 'model'} PICTURE...")
    print(f"Or:     tlcourse serve {out / 'model'}")


def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a saved result, such as DIR/model.")],
    pictures: Annotated[list[Path], typer.Argument(help="Picture or sound files.")],
) -> None:
    """Classify pictures or sounds with a saved result: one line for each, with name, class, probability.

    Exit status 1 if a file could not be read.
    """
    from scipy.special import softmax

    from tlcourse import load_result
    from tlcourse.engines.engine import make_engine
    from tlcourse.engines.stream import stream
    from tlcourse.errors import UnreadableError

    result, failed = load_result(model), []

    def report(place: int, error: UnreadableError) -> None:
        print(
            f"tlcourse: {printable(pictures[place])} cannot be read: {error.reason}.",
            file=sys.stderr,
        )
        failed.append(place)

    opened = _Files(pictures, sounds=result.backbone.preprocess.kind == "sounds")
    engine = make_engine(result.backbone, ["logits"], n=len(pictures))
    with closing(stream(engine, opened, unreadable=report)) as batches:
        for places, rows in batches:
            for place, row in zip(places, softmax(rows["logits"], axis=1), strict=True):
                best = row.argmax()
                print(
                    f"{printable(pictures[place])}\t{result.classes[best]}\t{row[best]:.3f}",
                    flush=True,
                )
    if failed:
        raise typer.Exit(1)


class _Files(Sequence[tuple[Any, None]]):
    """Files that are opened when they are asked for."""

    def __init__(self, paths: list[Path], sounds: bool) -> None:
        self.paths, self.sounds = paths, sounds

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: Any) -> Any:
        from tlcourse.errors import PictureError
        from tlcourse.tasks.folder import open_either
        from tlcourse.tasks.sound import Sound

        opened = open_either(self.paths[place], max_side=_MAX_SIDE)
        if self.sounds and not isinstance(opened, Sound):
            reason = "it is a picture, and this model takes sounds"
            raise PictureError(f"{self.paths[place]} cannot be used: {reason}.", reason)
        return opened, None


def _task_and_network(
    folder: str, backbone: str | None, size: int | None
) -> tuple["Task", "Backbone"]:
    """Load both; say which files were left out."""
    from tlcourse import load_backbone, load_task

    network = load_backbone(backbone) if backbone else load_backbone()
    network = network.at_size(size) if size else network
    max_side = max(_MAX_SIDE, 2 * getattr(network.preprocess, "resize_size", 0))
    task = load_task(folder, max_side=max_side, progress=True)
    print(task)
    print_left_out(task.skipped, "skipped.csv")
    return task, network


def print_left_out(files: Sequence[object], listed: str) -> None:
    """Print the first files that were left out, and name the list of all."""
    for file in files[:_SHOWN]:
        print(f"  left out: {file}")
    if len(files) > _SHOWN:
        print(f"  and {len(files) - _SHOWN} more; {listed} lists all")
