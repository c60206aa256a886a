"""What a comparison leaves in a folder: a report, two tables, and the recommended model."""

import tempfile
from datetime import date
from pathlib import Path

from markupsafe import Markup

from tlcourse import plots
from tlcourse.base.durations import in_words
from tlcourse.base.files import whole_folder
from tlcourse.base.html import render_template
from tlcourse.base.machine import describe
from tlcourse.base.messages import no_formula
from tlcourse.comparison.comparison import Comparison
from tlcourse.errors import CourseError
from tlcourse.metrics import p_in_words
from tlcourse.plots.figure import mime_bundle

_MODEL = {"model", "model/model.json", "model/model.safetensors", "model/README.md"}
_FILES = {"report.html", "results.csv", "skipped.csv"} | _MODEL
_MOST_CLASSES = 25  # in a confusion matrix; with more it cannot be read


def check_target(folder: Path) -> Path:
    """Return the folder to write to; it is new, empty, or holds an earlier comparison."""
    target = folder.expanduser()
    target = target if target.name else target.resolve()  # "." has no name to replace
    if target.exists() and not target.is_dir():
        raise CourseError(f"{target} is a file; name a folder for the results.")
    if target.is_dir():
        paths = (*target.iterdir(), *target.glob("model/*"))
        files = {path.relative_to(target).as_posix() for path in paths}
        # Version 1.0 wrote no model card.
        if files and files | {"model/README.md"} != _FILES:
            raise CourseError(
                f"{target} holds something else than an earlier comparison, such as "
                f"{min(files - _FILES or files)}. Name another folder."
            )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.").cleanup()
    except OSError as error:
        raise CourseError(f"The results cannot be written to {target} ({error}).") from error
    return target


def write(comparison: Comparison, folder: Path) -> Path:
    """Write all files, whole or not at all; see `Comparison.save`."""
    import pandas as pd

    target = check_target(folder)
    skipped = [(no_formula(s.name, "./"), s.reason) for s in comparison.task.skipped]
    try:
        with whole_folder(target) as part:
            # A file name need not be proper text.
            text = to_html(comparison)
            (part / "report.html").write_text(text, "utf-8", errors="backslashreplace")
            comparison.table.to_csv(part / "results.csv")
            # As objects: a name may hold bytes that are no text, which pandas' strings refuse.
            table = pd.DataFrame(skipped, columns=["picture", "reason"], dtype=object)
            table.to_csv(part / "skipped.csv", index=False, errors="backslashreplace")
            comparison.results[comparison.recommended].save(part / "model")
    except OSError as error:
        raise CourseError(f"The results cannot be written to {target} ({error}).") from error
    except CourseError as error:  # of the model, whose folder has a temporary name until the end
        raise CourseError(str(error).replace(str(part), str(target))) from error
    return target


def to_html(comparison: Comparison) -> str:
    """Make one HTML page that needs no other file."""
    task, chosen = comparison.task, comparison.results[comparison.recommended]
    figures = {"tradeoffs": plots.tradeoffs(comparison)}
    if chosen.confusion is not None and len(task.classes) <= _MOST_CLASSES:
        figures["confusion"] = plots.confusion(chosen.confusion, task.classes)
    # All patterns are named, so that each has the same colour in both figures.
    epochs = {p: r.history.epochs if r.history else () for p, r in comparison.results.items()}
    if any(epochs.values()):
        figures["trainings"] = plots.history(epochs)
    return render_template(
        "comparison_report",
        title=f"Which pattern for {task.name}?",
        machine=describe(),
        comparison=comparison,
        task=task,
        counts=", ".join(f"{name} {n}" for name, n in comparison.plan.counts.items()),
        today=f"{date.today():%d %B %Y}",
        seconds=in_words(comparison.seconds),
        rows=_rows(comparison),
        figures={name: Markup(mime_bundle(f, f.alt)["text/html"]) for name, f in figures.items()},
    )


def _rows(comparison: Comparison) -> dict[str, dict[str, str]]:
    """Pattern -> head of a column -> its cell."""
    rows = {}
    for pattern, row in comparison.table.iterrows():
        against = f"{row['only this one']:.0f} : {row['only the best']:.0f}, p {p_in_words(row.p)}"
        several = len(comparison.accuracies(pattern)) > 1
        rows[pattern] = {
            "Accuracy": f"{row.accuracy:.3f} ({row.low:.3f} to {row.high:.3f})",
            "Each seed": f"{row.seeds}, mean {row['mean']:.3f}" if several else row.seeds,
            "Balanced accuracy": f"{row.balanced:.3f}",
            "Validation": f"{row.validation:.3f}",
            "Against the best": "the best" if pattern == comparison.best else against,
            "Time": in_words(row.seconds),
            "Memory": f"{row.MiB:.0f} MiB",
            "Parameters trained": f"{row.trained:,.0f}",
        }
    return rows
