"""The command for a classroom without a network: `tlcourse wheels`."""

from pathlib import Path
from typing import Annotated

import typer


def wheels(
    folder: Annotated[Path, typer.Argument(help="The stick, or a folder on it.", file_okay=False)],
    system: Annotated[
        list[str] | None,
        typer.Option(
            help="windows, macos or linux; may be given several times. By default this machine's."
        ),
    ] = None,
    python: Annotated[
        list[str] | None,
        typer.Option(
            help="Version, such as 3.12; may be given several times. By default the one that runs."
        ),
    ] = None,
    cuda: Annotated[
        bool,
        typer.Option(
            "--cuda", help="On Linux, PyTorch with CUDA for NVIDIA cards: several GB more."
        ),
    ] = False,
    course: Annotated[
        Path | None,
        typer.Option(help="The course's wheel or its sources. By default what is installed here."),
    ] = None,
) -> None:
    """Fill a stick, from which learners install the course without a network.

    Makes a folder of wheels for each system and Python, verifies it, and puts install.py beside
    them, for example: tlcourse wheels E:/ --system windows --system macos --python 3.12
    """
    from tlcourse._wheel_targets import targets
    from tlcourse._wheels import make_stick

    wanted = targets(system or [], python or [], cuda=cuda)
    made = []
    for found in make_stick(folder, wanted, course=course):
        made.append(found)
        typer.echo(f"{'Kept' if found.reused else 'Made'} and verified: {found.path.name}")
    width = max(len(found.path.name) for found in made)
    typer.echo(f"\n{'Folder':{width}}  Wheels       MB   Installed MB")
    for found in made:
        sizes = f"{found.size / 1e6:7,.0f}   {found.installed_size / 1e6:12,.0f}"
        typer.echo(f"{found.path.name:{width}}  {found.wheels:6}  {sizes}")
    typer.echo(f"{'Total':{width}}  {'':6}  {sum(found.size for found in made) / 1e6:7,.0f}")
    if all(found.tested for found in made):
        typer.echo("\nThe versions are those that the course's tests run with.")
    else:
        typer.echo("\nThe versions are the newest; with --course SOURCES they are the tested ones.")
    typer.echo(f"Next, on a learner's machine: python {folder / 'install.py'}")
