"""What a comparison leaves in a folder: a report, two tables, and the recommended model."""

import tempfile
from datetime import date
from pathlib import Path

from markupsafe import Markup

from tlcourse import plots
from tlcourse.base.durations import in_words
from tlcourse.base.files import whole_folder
from tlcourse.base.html import page, render
from tlcourse.base.machine import describe
from tlcourse.comparison.comparison import Comparison
from tlcourse.errors import CourseError
from tlcourse.metrics import p_in_words
from tlcourse.plots.figure import Figure, mime_bundle

FILES = {"report.html", "results.csv", "skipped.csv", "model"}
_MODEL = {"model.json", "model.safetensors"}
_MOST_CLASSES = 25  # in a confusion matrix; with more it cannot be read

_BODY = """
<p>{{ task.name }}: {{ task.classes | length }} classes; pictures used: {{ counts }}.
{{ today }}, {{ in_words(comparison.seconds) }}.</p>
<p class="advice">{{ comparison.recommendation }}</p>
<p>Accuracy on the {{ comparison.labels | length }} {{ comparison.split }} pictures, with its 95 %
interval. Balanced accuracy is the mean over the classes. Against the best: how many pictures only
this pattern gets right, and how many only the best one does; p is that of the exact McNemar test,
below 0.05 where the two are told apart. Memory is what the largest step needs.</p>
<div class="scroll" role="region" aria-label="Results" tabindex="0"><table>
<thead><tr><th scope="col">Pattern</th>
{% for head in heads %}
<th scope="col" class="number">{{ head }}</th>
{% endfor %}
</tr></thead><tbody>
{% for pattern, cells in rows.items() %}
<tr><th scope="row"{% if pattern == comparison.recommended %} class="good"{% endif %}>
{{ pattern }}</th>
{% for lines in cells %}
<td class="number">{{ lines[0] }}{% for line in lines[1:] %}<br>{{ line }}{% endfor %}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody></table></div>
<p>{{ tradeoffs }}</p>
<p>Each point is a pattern, the line its 95 % interval. A small point is another seed. A ring marks
the pattern that is recommended. To the left is quicker, or needs less memory; higher is better.</p>
{% if comparison.notes %}
<h2>What was shortened or not run</h2>
<ul>{% for note in comparison.notes %}<li>{{ note }}</li>{% endfor %}</ul>
{% endif %}
{% if confusion %}
<h2>Which classes {{ comparison.recommended }} takes for which</h2>
<p>{{ confusion }}</p>
<p>A row for each true class, a column for each predicted one, {{ comparison.split }} pictures.</p>
{% endif %}
{% if trainings %}
<h2>The trainings</h2>
<p>{{ trainings }}</p>
<p>Loss and accuracy on the validation pictures after each epoch; the weights of the best epoch
were kept.</p>
{% endif %}
<h2>The plan</h2>
<pre>{{ comparison.plan }}</pre>
{% if task.skipped %}
<h2>Files that were left out: {{ task.skipped | length }}</h2>
<ul>{% for s in task.skipped %}<li>{{ s.name }}: {{ s.reason }}</li>{% endfor %}</ul>
{% else %}
<h2>Files that were left out</h2><p>None.</p>
{% endif %}
"""


def check_target(folder: Path) -> Path:
    """Return the folder to write to; it is new, empty, or holds an earlier comparison.

    Raises:
        CourseError: It holds something else, is a file, or nothing can be written there.
    """
    target = folder.expanduser()
    target = target if target.name else target.resolve()  # "." has no name to replace
    if target.exists() and not target.is_dir():
        raise CourseError(f"{target} is a file; name a folder for the results.")
    if target.is_dir() and (other := _foreign(target)):
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


def _foreign(target: Path) -> str:
    """Name of something that no comparison has written; empty if there is nothing such."""
    names = {path.name for path in target.iterdir()}
    model = target / "model"
    inside = {path.name for path in model.iterdir()} if model.is_dir() else set()
    if names and not (names == FILES and inside == _MODEL):
        return min(names - FILES or {f"model/{name}" for name in inside - _MODEL} or names)
    return ""


def write(comparison: Comparison, folder: Path) -> Path:
    """Write all files, whole or not at all; see `Comparison.save`."""
    import pandas as pd

    target = check_target(folder)
    skipped = [(s.name, s.reason) for s in comparison.task.skipped]
    try:
        with whole_folder(target) as part:
            text = to_html(comparison)
            (part / "report.html").write_text(text, "utf-8", errors="backslashreplace")
            comparison.table.to_csv(part / "results.csv")
            pd.DataFrame(skipped, columns=["picture", "reason"]).to_csv(
                part / "skipped.csv", index=False, errors="backslashreplace"
            )
            comparison.results[comparison.recommended].save(part / "model")
    except OSError as error:
        raise CourseError(f"The results cannot be written to {target} ({error}).") from error
    return target


def to_html(comparison: Comparison) -> str:
    """Make one HTML page that needs no other file."""
    task, chosen = comparison.task, comparison.results[comparison.recommended]
    counts = ", ".join(f"{name} {n}" for name, n in comparison.plan.counts.items())
    confusion = trainings = None
    if chosen.confusion is not None and len(task.classes) <= _MOST_CLASSES:
        confusion = _image(plots.confusion(chosen.confusion, task.classes))
    # All patterns are named, so that each has the same colour in both figures.
    epochs = {p: r.history.epochs if r.history else () for p, r in comparison.results.items()}
    if any(epochs.values()):
        trainings = _image(plots.history(epochs))
    rows = _rows(comparison)
    body = render(
        _BODY,
        comparison=comparison,
        task=task,
        counts=counts,
        today=f"{date.today():%d %B %Y}",
        in_words=in_words,
        heads=next(iter(rows.values())).keys(),
        rows={pattern: cells.values() for pattern, cells in rows.items()},
        tradeoffs=_image(plots.tradeoffs(comparison)),
        confusion=confusion,
        trainings=trainings,
    )
    return page(f"Which pattern for {task.name}?", body, describe())


def _image(figure: Figure) -> Markup:
    return Markup(mime_bundle(figure, figure.alt)["text/html"])


def _rows(comparison: Comparison) -> dict[str, dict[str, tuple[str, ...]]]:
    """Pattern -> head of a column -> the lines of its cell."""
    rows = {}
    for pattern, row in comparison.table.iterrows():
        counts = f"{row['only this one']:.0f} : {row['only the best']:.0f}"
        p = f"p {p_in_words(row.p)}"
        seeds = (f"{row.runs:.0f}", f"{row.lowest:.3f} to {row.highest:.3f}")
        rows[pattern] = {
            "Accuracy": (f"{row.accuracy:.3f}", f"{row.low:.3f} to {row.high:.3f}"),
            "Balanced accuracy": (f"{row.balanced:.3f}",),
            "Validation": (f"{row.validation:.3f}",),
            "Against the best": ("the best",) if pattern == comparison.best else (counts, p),
            "Time": (in_words(row.seconds),),
            "Memory": (f"{row.MiB:.0f} MiB",),
            "Parameters trained": (f"{row.trained:,.0f}",),
            "Seeds": seeds if row.runs > 1 else ("1",),
        }
    return rows
