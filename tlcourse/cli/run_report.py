"""The page that `tlcourse run` writes: what came of each notebook, at what cost."""

import copy
import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from tlcourse.base.html import facts, page
from tlcourse.base.machine import MEMORY_LIMIT, MIB
from tlcourse.course.notebooks import drop_live_views

if TYPE_CHECKING:
    from tlcourse.cli.execute import Outcome

_WORDS = {"passed": "Passed", "failed": "Failed", "stopped": "Stopped", "not run": "Not run"}


def render(outcomes: Sequence["Outcome"], machine: Mapping[str, str]) -> str:
    """Make one HTML page that needs no other file.

    Args:
        outcomes: One per notebook, in order.
        machine: Facts to print below, name -> value.
    """
    passed = sum(outcome.status == "passed" for outcome in outcomes)
    summary = f"{passed} of {len(outcomes)} notebooks passed"
    over = sum(outcome.over_time or outcome.over_memory for outcome in outcomes)
    if over:
        summary += f"; {over} took more time or memory than planned"
    failures = "\n".join(_failure(o) for o in outcomes if o.failure)
    body = f"<p>{summary}. {date.today():%d %B %Y}.</p>\n{_table(outcomes)}\n{failures}\n"
    return page("The notebooks of tlcourse, executed", body + facts("Machine", machine))


def summary_line(outcome: "Outcome") -> str:
    """What came of a notebook, in one line for the terminal."""
    word = _WORDS[outcome.status].upper() if outcome.status != "passed" else "OK"
    line = f"{word:8}{outcome.name}"
    if outcome.status != "not run":
        line += f": {_seconds(outcome)}, {_memory(outcome)}"
    if outcome.failure:
        line += f"\n        cell {outcome.failure.cell}: {outcome.failure.error}"
    return line


def write_html(outcome: "Outcome", folder: Path) -> Path:
    """Write an executed notebook, with its outputs, as one HTML file.

    Widgets are dead there; what they show without a kernel stands in their place.
    """
    from nbconvert import HTMLExporter

    shown = copy.deepcopy(outcome.executed)
    drop_live_views(shown)
    page, _ = HTMLExporter().from_notebook_node(
        shown, resources={"metadata": {"name": outcome.name}}
    )
    target = folder / f"{outcome.name}.html"
    target.write_text(page, encoding="utf-8")
    return target


def _table(outcomes: Iterable["Outcome"]) -> str:
    heads = ["Notebook", "Result", "Seconds", "Peak memory of the kernel", "First figure"]
    head = "".join(
        f'<th scope="col"{_CLASS_NUMBER if i > 1 else ""}>{name}</th>'
        for i, name in enumerate(heads)
    )
    return (
        '<div class="scroll" role="region" aria-label="Results" tabindex="0"><table>'
        "<caption>Each notebook ran in a kernel of its own. In brackets: what is planned, "
        "on 2 slow cores. Peak memory is the largest resident set of the kernel.</caption>"
        f"<thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(_row(outcome) for outcome in outcomes)}</tbody></table></div>"
    )


_CLASS_NUMBER = ' class="number"'


def _row(outcome: "Outcome") -> str:
    name = html.escape(outcome.name)
    if outcome.failure:
        name = f'<a href="#{name}">{name}</a>'
    kind = {"passed": ' class="good"', "failed": ' class="bad"'}.get(outcome.status, "")
    cells = [f"<td{kind}>{_WORDS[outcome.status]}</td>"]
    if outcome.status == "not run":
        cells += ["<td></td>"] * 3
    else:
        figure = outcome.first_figure_seconds
        cells += [
            _number(_seconds(outcome), outcome.over_time),
            _number(_memory(outcome), outcome.over_memory),
            _number("none" if figure is None else f"after {figure:.0f} s", False),
        ]
    return f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>'


def _number(text: str, over: bool) -> str:
    text = html.escape(text)
    return f'<td class="number">{f"<span class=bad>{text}</span>" if over else text}</td>'


def _seconds(outcome: "Outcome") -> str:
    text = f"{outcome.seconds:.0f} s"
    if outcome.budget_seconds is None:
        return text
    return f"{text} ({'over ' if outcome.over_time else ''}{outcome.budget_seconds:g})"


def _memory(outcome: "Outcome") -> str:
    if not outcome.peak_bytes:
        return "memory not measured"
    over = "over " if outcome.over_memory else ""
    return f"{outcome.peak_bytes / MIB:.0f} MiB ({over}{MEMORY_LIMIT / MIB:.0f})"


def _failure(outcome: "Outcome") -> str:
    failure = outcome.failure
    where = f"cell {failure.cell}" if failure.cell else "before the first cell"
    parts = [
        f'<section id="{html.escape(outcome.name)}">',
        f"<h2>{html.escape(outcome.name)}: {where}</h2>",
        f"<p>{html.escape(failure.error)}</p>",
    ]
    if failure.source:
        parts.append(f"<pre><code>{html.escape(failure.source)}</code></pre>")
    if failure.traceback:
        parts.append(
            "<details><summary>Where it happened</summary>"
            f"<pre>{html.escape(failure.traceback)}</pre></details>"
        )
    return "\n".join([*parts, "</section>"])
