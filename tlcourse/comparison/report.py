"""What a comparison leaves in a folder: a report, two tables, and the recommended model."""

import html
import shutil
import tempfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlcourse import plots
from tlcourse.base.durations import in_words
from tlcourse.base.html import facts, page
from tlcourse.base.machine import describe
from tlcourse.errors import CourseError
from tlcourse.metrics import p_in_words
from tlcourse.plots.figure import mime_bundle

if TYPE_CHECKING:
    from tlcourse.comparison.compare import Comparison

FILES = {"report.html", "results.csv", "skipped.csv", "model"}
_MODEL = {"model.json", "model.safetensors"}
_MOST_CLASSES = 25  # in a confusion matrix; with more it cannot be read


def check_target(folder: Path) -> Path:
    """Return the folder to write to; it is new, empty, or holds an earlier comparison.

    Raises:
        CourseError: It holds something else, is a file, or nothing can be written there.
    """
    target = folder.expanduser()
    target = target if target.name else target.resolve()  # "." has no name to replace
    if target.exists() and not target.is_dir():
        raise CourseError(f"{target} is a file; name a folder for the results.")
    if target.is_dir() and (other := _not_ours(target)):
        raise CourseError(
            f"{target} holds something else than an earlier comparison, such as "
            f"{other}. Name another folder."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.").cleanup()
    except OSError as error:
        raise CourseError(f"The results cannot be written to {target} ({error}).") from error
    return target


def _not_ours(target: Path) -> str:
    """Name of something that no comparison has written; empty if there is nothing such."""
    there = {path.name for path in target.iterdir()}
    model = target / "model"
    inside = {path.name for path in model.iterdir()} if model.is_dir() else set()
    if there and not (there == FILES and inside == _MODEL):
        return min(there - FILES or {f"model/{name}" for name in inside - _MODEL} or there)
    return ""


def write(comparison: "Comparison", folder: Path) -> Path:
    """Write all files, whole or not at all; see `Comparison.save`."""
    import pandas as pd

    target = check_target(folder)
    part: Path | None = None
    try:
        part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
        (part / "report.html").write_text(render(comparison), "utf-8", errors="backslashreplace")
        comparison.table().to_csv(part / "results.csv")
        skipped = [(s.name, s.reason) for s in comparison.task.skipped]
        pd.DataFrame(skipped, columns=["picture", "reason"]).to_csv(
            part / "skipped.csv", index=False, errors="backslashreplace"
        )
        comparison.results[comparison.recommended].save(part / "model")
        part.chmod(0o755)
        if target.exists():
            aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
            earlier = target.replace(aside / target.name)
            try:
                part.replace(target)
            except BaseException:
                earlier.replace(target)
                raise
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        else:
            part.replace(target)
    except OSError as error:
        raise CourseError(f"The results cannot be written to {target} ({error}).") from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return target


def render(comparison: "Comparison") -> str:
    """Make one HTML page that needs no other file."""
    task, chosen = comparison.task, comparison.results[comparison.recommended]
    counts = ", ".join(f"{name} {n}" for name, n in comparison.plan.counts.items())
    parts = [
        f"<p>{html.escape(task.name)}: {len(task.classes)} classes; pictures used: {counts}. "
        f"{date.today():%d %B %Y}, {in_words(comparison.seconds)}.</p>",
        f'<p class="advice">{html.escape(comparison.recommendation)}</p>',
        _table(comparison),
        _figure(plots.tradeoffs(comparison)),
        "<p>Each point is a pattern, the line its 95 % interval. A small point is another seed. "
        "A ring marks the pattern that is recommended. To the left is quicker, or needs less "
        "memory; higher is better.</p>",
    ]
    if comparison.notes:
        parts += ["<h2>What was not run</h2>", _list(comparison.notes)]
    if len(task.classes) <= _MOST_CLASSES:
        figure = plots.confusion(chosen.confusion, task.classes)
        parts += [
            f"<h2>Which classes {chosen.pattern} takes for which</h2>",
            _figure(figure),
            f"<p>A row for each true class, a column for each predicted one, {comparison.split} "
            "pictures.</p>",
        ]
    # All patterns are named, so that each has the same colour in both figures.
    histories = {p: r.history or [] for p, r in comparison.results.items()}
    if any(r.history and r.history.epochs for r in comparison.results.values()):
        parts += ["<h2>The trainings</h2>", _figure(plots.history(histories))]
        parts.append(
            "<p>Loss and accuracy on the validation pictures after each epoch; the weights of the "
            "best epoch were kept.</p>"
        )
    parts += ["<h2>The plan</h2>", f"<pre>{html.escape(repr(comparison.plan))}</pre>"]
    parts += [_skipped(comparison), facts("Machine", describe())]
    return page(f"Which pattern for {task.name}?", "\n".join(parts))


def _figure(figure: Any) -> str:
    return f"<p>{mime_bundle(figure, figure.alt)['text/html']}</p>"


def _list(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in sentences)}</ul>"


def _table(comparison: "Comparison") -> str:
    heads = (
        "Pattern",
        "Accuracy",
        "Balanced accuracy",
        "Validation",
        "Against the best",
        "Time",
        "Memory",
        "Numbers learned",
        "Seeds",
    )
    rows = []
    for pattern, row in comparison.table().iterrows():
        told = f"{row['only this one']:.0f} : {row['only the best']:.0f}<br>p {p_in_words(row.p)}"
        seeds = f"{row.runs:.0f}<br>{row.lowest:.3f} to {row.highest:.3f}"
        cells = (
            f"{row.accuracy:.3f}<br>{row.low:.3f} to {row.high:.3f}",
            f"{row.balanced:.3f}",
            f"{row.validation:.3f}",
            "the best" if pattern == comparison.best else told,
            in_words(row.seconds),
            f"{row.MiB:.0f} MiB",
            f"{row.trained:,.0f}",
            seeds if row.runs > 1 else "1",
        )
        mark = ' class="good"' if pattern == comparison.recommended else ""
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
        rows.append(f'<tr><th scope="row"{mark}>{pattern}</th>{numbers}</tr>')
    head = "".join(
        f'<th scope="col"{" class=number" if i else ""}>{name}</th>' for i, name in enumerate(heads)
    )
    n = len(comparison.labels)
    return (
        f"<p>Accuracy on the {n} {comparison.split} pictures, with its 95 % interval. Balanced "
        "accuracy is the mean over the classes. Against the best: how many pictures only this "
        "pattern gets right, and how many only the best one does; p is that of the exact McNemar "
        "test, below 0.05 where the two are told apart. Memory is what the largest step needs.</p>"
        '<div class="scroll" role="region" aria-label="Results" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _skipped(comparison: "Comparison") -> str:
    skipped = comparison.task.skipped
    if not skipped:
        return "<h2>Files that were left out</h2><p>None.</p>"
    told = _list(f"{s.name}: {s.reason}" for s in skipped)
    return f"<h2>Files that were left out: {len(skipped)}</h2>{told}"
