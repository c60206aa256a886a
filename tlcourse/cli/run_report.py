"""The page that `tlcourse run` writes: what came of each notebook, at what cost."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from tlcourse.base.files import save_file
from tlcourse.base.html import render_template
from tlcourse.base.machine import MEMORY_LIMIT, MIB
from tlcourse.cli.execute import Outcome


def report(outcomes: Sequence[Outcome], machine: Mapping[str, str]) -> str:
    """Make one HTML page that needs no other file and ends with the facts of the machine."""
    return render_template(
        "run_report",
        title="The notebooks of tlcourse, executed",
        machine=machine,
        outcomes=outcomes,
        passed=sum(outcome.status == "passed" for outcome in outcomes),
        over=sum(outcome.over_time or outcome.over_memory for outcome in outcomes),
        today=f"{date.today():%d %B %Y}",
        cells=_cells,
    )


def write_report(outcomes: Sequence[Outcome], machine: Mapping[str, str], path: Path) -> None:
    """Write that page, whole or not at all."""
    save_file(path, report(outcomes, machine).encode("utf-8", "backslashreplace"))


def summary_line(outcome: Outcome) -> str:
    """What came of a notebook, in one line for the terminal."""
    word = "OK" if outcome.status == "passed" else outcome.status.upper()
    line = f"{word:8}{outcome.name}: {_seconds(outcome)}, {_memory(outcome)}"
    if outcome.failure:
        line += f"\n        cell {outcome.failure.cell}: {outcome.failure.error}"
    return line


def write_html(outcome: Outcome, folder: Path) -> Path:
    """Write an executed notebook, with its outputs, as one HTML file."""
    from nbconvert import HTMLExporter

    assert outcome.executed is not None, "a notebook that was not run has no page"
    resources = {"metadata": {"name": outcome.name}}
    html, _ = HTMLExporter().from_notebook_node(outcome.executed, resources=resources)
    target = folder / f"{outcome.name}.html"
    save_file(target, html.encode("utf-8", "backslashreplace"))
    return target


def _cells(outcome: Outcome) -> list[str]:
    if outcome.status == "not run":
        return ["", "", ""]
    figure = outcome.first_figure_seconds
    after = "none" if figure is None else f"after {figure:.0f} s"
    return [_seconds(outcome), _memory(outcome), after]


def _seconds(outcome: Outcome) -> str:
    text = f"{outcome.seconds:.0f} s"
    if outcome.budget_seconds is None:
        return text
    return f"{text} ({'over ' if outcome.over_time else ''}{outcome.budget_seconds:g})"


def _memory(outcome: Outcome) -> str:
    if not outcome.peak_bytes:
        return "memory not measured"
    over = "over " if outcome.over_memory else ""
    return f"{outcome.peak_bytes / MIB:.0f} MiB ({over}{MEMORY_LIMIT / MIB:.0f})"
