"""The command `tlcourse`: look at the machine, open the course, run it, compare patterns."""

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from tlcourse import __version__
from tlcourse.base.messages import no_formula, printable
from tlcourse.cli import extract, pictures, server
from tlcourse.errors import CourseError

app = typer.Typer(
    name="tlcourse",
    help="A course on transfer learning from pre-trained models, in notebooks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command; what you can put right yourself is one sentence and exit status 2."""
    try:
        app(prog_name="tlcourse")
    except (CourseError, OSError) as error:
        said = "\n".join(map(printable, str(error).splitlines()))  # it may quote a name
        print(f"tlcourse: {said}", file=sys.stderr)
        sys.exit(2)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tlcourse {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


@app.command()
def doctor() -> None:
    """Check packages, weights, pictures, cache folder, devices and memory.

    Exit status 1 if something that the course needs is missing.
    """
    from tlcourse.cli.doctor import examine

    to_do = 0
    for finding in examine():
        print(finding, flush=True)
        to_do += finding.level == "TO DO"
    if to_do:
        print(f"\n{to_do} to do. The lines above say what.")
        raise typer.Exit(1)
    print("\nAll that the course needs is here. Start it with: tlcourse lab")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(
    context: typer.Context,
    outputs: Annotated[
        bool, typer.Option("--outputs", help="Copy them with the course's figures and numbers.")
    ] = False,
) -> None:
    """Copy the notebooks here, where they are not yet, and open them in JupyterLab.

    Copies have no outputs: you make them yourself, and the questions keep their answers. In the
    course's own folder they go to my_notebooks. Files that are there stay as they are. Further
    arguments go to JupyterLab, for example:
    tlcourse lab --no-browser --port 8899
    """
    from jupyterlab.labapp import main as open_lab

    from tlcourse.course.notebooks import FIRST, copy_notebooks

    _share_the_cores()
    here = Path.cwd()
    folder, copied = copy_notebooks(here, outputs=outputs)
    if copied:
        print(f"Copied {len(copied)} files to {folder}. They are yours to change.")
    else:
        print(f"The notebooks are in {folder}. To get a fresh one, rename yours and start again.")
    first = folder / FIRST
    if any("notebook-dir" in a or "root_dir" in a for a in context.args):
        opening = [str(first)]  # the learner wants another folder; JupyterLab finds the address
    else:
        address = f"/lab/tree/{first.relative_to(here).as_posix()}"
        opening = [f"--ServerApp.root_dir={here}", f"--LabApp.default_url={address}"]
    sys.exit(open_lab([*opening, *context.args]))


@app.command()
def run(
    notebook: Annotated[
        list[str] | None,
        typer.Option(help="Number or name of a notebook; may be given several times."),
    ] = None,
    report: Annotated[
        Path, typer.Option(help="Where the report goes.", dir_okay=False, writable=True)
    ] = Path("tlcourse-report.html"),
    html: Annotated[
        Path | None,
        typer.Option(help="Folder for the executed notebooks as HTML.", file_okay=False),
    ] = None,
    save: Annotated[
        bool, typer.Option(help="Write the outputs into the notebook files, where all cells pass.")
    ] = False,
) -> None:
    """Execute the notebooks without a browser and write one HTML report.

    Exit status 1 if a notebook failed. Without --save your notebook files are not changed.
    """
    from tqdm import tqdm

    from tlcourse.base.files import make_folder
    from tlcourse.base.machine import describe
    from tlcourse.cli import run_report
    from tlcourse.cli.execute import Outcome, code_cells, execute, read_notebook
    from tlcourse.course.notebooks import (
        choose,
        copy_notebooks,
        find_notebooks,
        package_folder,
        save_outputs,
    )

    _share_the_cores()
    folder = find_notebooks(Path.cwd())
    is_installed = folder.parent == package_folder()
    if save and is_installed:
        raise CourseError("--save needs notebooks of your own here. Get them with: tlcourse lab")
    paths = choose(folder, notebook or [])
    n_cells = sum(len(code_cells(read_notebook(path))) for path in paths)
    for target in filter(None, (report.parent, html)):
        make_folder(target, "Name another one.")
        if not os.access(target, os.W_OK):
            raise CourseError(f"Nothing can be written to the folder {target}. Name another one.")
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(prefix="tlcourse-") as place,
        tqdm(total=n_cells, unit="cell") as bar,
    ):
        working = copy_notebooks(Path(place))[0] if is_installed else folder
        if html and (working / "images").is_dir():
            shutil.copytree(working / "images", html / "images", dirs_exist_ok=True)
        with suppress(KeyboardInterrupt):
            for path in paths:
                bar.set_description(path.stem)
                outcome = execute(path, folder=working, on_cell=bar.update)
                outcomes.append(outcome)
                bar.write(run_report.summary_line(outcome))
                if html:
                    run_report.write_html(outcome, html)
                if save and outcome.executed and outcome.status == "passed":
                    save_outputs(outcome.executed, path)
                if outcome.status == "stopped":
                    break
    outcomes += [Outcome(path.stem, "not run") for path in paths[len(outcomes) :]]
    run_report.write_report(outcomes, describe(), report)
    print(f"Report: {report}")
    statuses = {outcome.status for outcome in outcomes}
    if statuses & {"stopped", "not run"}:
        raise typer.Exit(130)
    if "failed" in statuses:
        raise typer.Exit(1)


app.command()(pictures.compare)
app.command()(pictures.predict)
app.command(cls=extract.SeveralLayers)(extract.extract)
app.command()(server.serve)


@app.command()
def cache(
    empty: Annotated[
        bool, typer.Option("--empty", help="Delete all stored features; downloads stay.")
    ] = False,
) -> None:
    """Show what is stored in the cache folder, or delete the stored features.

    Features are computed again when they are needed. Downloads are in the same folder and stay.
    Of a shared cache (TLCOURSE_SHARED_CACHE) you see the sum, and nothing in it is deleted.
    """
    from tlcourse.features.store import empty_store, entries, shared_store, store_folder

    def show(size: int, text: str) -> None:
        print(f"{size / 1e6:10.1f} MB  {text}")

    stored = entries()
    print(f"Stored features in {store_folder()}")
    for about, size in stored:
        text = "{task}: {pictures} pictures, {backbone}, layer {layer}, pool {pool}"
        no_text = "not finished, or of version 1.0"
        show(size, no_text if about["unfinished"] else text.format_map(about))
    show(sum(size for _, size in stored), f"in {len(stored)} entries")
    if shared := shared_store():
        sizes = [size for about, size in entries(shared) if not about["unfinished"]]
        print(f"Shared with others, only read: {shared}")
        show(sum(sizes), f"in {len(sizes)} finished entries")
    if empty:
        empty_store()
        print("Deleted.")


@app.command()
def progress(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="For --csv: progress files of a class, or folders with them."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Write a table with a row for each learner and exercise.", dir_okay=False
        ),
    ] = None,
    begin_again: Annotated[
        bool, typer.Option("--begin-again", help="Set the file aside, as if nothing was answered.")
    ] = False,
) -> None:
    """Show which exercises you have solved and what you have guessed, in all notebooks.

    It is kept in one file on this machine, and nothing of it is sent anywhere. A teacher collects
    these files and makes one table of them: tlcourse progress collected/ --csv class.csv
    """
    from tlcourse.course import progress_file
    from tlcourse.course.progress import progress as read_progress

    if files and not csv:
        raise CourseError("Say where the table goes: tlcourse progress FILES --csv class.csv")
    if csv:
        _export_progress(files or [], csv)
        return
    if begin_again:
        aside = progress_file.begin_again()
        print(f"Your progress until now is in {aside}." if aside else "Nothing was answered yet.")
        return
    print(read_progress())
    print(f"Kept in {progress_file.progress_path()}")


def _export_progress(places: list[Path], csv: Path) -> None:
    """Write the progress of everyone whose file is named, or of you, into one table."""
    from tlcourse.base.files import save_file
    from tlcourse.course.progress import progress_files, progress_table

    files = progress_files(places)
    if csv.exists() and any(csv.samefile(path) for path in files.values()):
        raise CourseError(f"{csv} is a progress file. Name another file for the table.")
    table = progress_table(files)
    # A file that a learner sends is called as the learner likes.
    table["learner"] = [no_formula(printable(name), "'") for name in table["learner"]]
    text = table.to_csv(index=False)
    save_file(csv, text.encode("utf-8-sig", "backslashreplace"))  # so that Excel reads all names
    people = f"{len(files)} learner{'s'[: len(files) != 1]}"
    print(f"Wrote {len(table)} rows of {people} to {csv}.")


def _share_the_cores() -> None:
    """Let a kernel's idle threads sleep: on two busy cores, spinning may take ten times as long."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
