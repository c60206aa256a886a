"""The command for features of many pictures, on one machine or many: `tlcourse extract`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tlcourse.base.messages import printable
from tlcourse.cli.pictures import NetworkName, PictureSize, print_left_out

_SOURCES = "Folder of pictures, or shards of them: tar files as WebDataset writes them, Parquet files, patterns such as 'data/*.tar'."


class SeveralLayers(TyperCommand):
    """A command whose option `--layers` takes all the names behind it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write `--layers a b` as `--layers a --layers b`, which is what Click reads."""
        written, option = list[str](), ""
        for arg in args:
            if option == "--layers" and written[-1] != "--layers" and not arg.startswith("-"):
                written.append("--layers")
            option = arg if arg.startswith("-") else option
            written.append(arg)
        return super().parse_args(ctx, written)


def extract(
    sources: Annotated[list[str], typer.Argument(metavar="FOLDER_OR_SHARDS", help=_SOURCES)],
    out: Annotated[Path, typer.Option(help="Folder for the features.", file_okay=False)],
    layers: Annotated[list[str], typer.Option(help="Names, such as --layers stage5 embedding.")],
    address: Annotated[str | None, typer.Option(help="HOST:PORT of a Ray cluster.")] = None,
    backbone: NetworkName = None,
    size: PictureSize = None,
    engine: Annotated[str, typer.Option(help="auto, pytorch or openvino.")] = "auto",
    shard_size: Annotated[int, typer.Option(help="Pictures per shard cut from a folder.")] = 1000,
) -> None:
    """Compute the features of many pictures, one Parquet file per shard, on one machine or many.

    A shard whose file is there is skipped, so after any accident you start the same command again.
    All machines of a cluster must see the pictures and the folder for the features under the same
    paths, and have the same tlcourse. left_out.csv lists what has no features. Exit status 1 if
    whole shards are among it.
    """
    from tlcourse.cluster import extract as cluster
    from tlcourse.cluster.shards import find_shards
    from tlcourse.networks.load import DEFAULT

    name = str(Path(backbone).absolute()) if backbone and Path(backbone).is_dir() else backbone
    plan = cluster.Plan(out.absolute(), tuple(layers), name or DEFAULT, size, engine=engine)  # type: ignore[arg-type]  # checked there
    done = cluster.extract(plan, find_shards(sources, shard_size), address=address)
    missing = [(record.shard, *what) for record in done for what in record.left_out]
    lines = [f"{shard}, {name}".removesuffix(", ") + f": {why}" for shard, name, why in missing]
    print_left_out(list(map(printable, lines)), "left_out.csv")
    whole = [record.pictures for record in done if record.pictures is not None]
    what = f"{sum(whole):,} pictures in {len(whole)} of {len(done)} shards"
    print(f"{what}, {len(missing)} left out: {printable(out)}")
    if len(whole) < len(done):
        raise typer.Exit(1)
