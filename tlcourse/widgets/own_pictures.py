"""The upload button of notebook 00 and the form of notebook 08: the learner's own pictures."""

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython.display import display
from PIL.Image import Image

from tlcourse import plots
from tlcourse.base.messages import printable
from tlcourse.comparison.compare import compare
from tlcourse.comparison.comparison import Comparison
from tlcourse.errors import CourseError
from tlcourse.networks.backbone import Backbone
from tlcourse.plots.figure import mime_bundle
from tlcourse.tasks.folder import children
from tlcourse.tasks.load import load_task
from tlcourse.widgets.controls import Upload, picture_upload
from tlcourse.widgets.explorer import Explorer, panel

_MOST_BYTES = 2**31
_MOST_FILES = 20_000  # to make 100,000 would take a minute


class OwnPicture(Explorer):
    """Show an upload button; each picture that you choose is classified at once.

    The picture stays in memory: nothing is written to disk. A file that cannot be read gives a
    sentence instead of a prediction.

    Args:
        backbone: The network that classifies it.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.button = picture_upload(self._show, self._refuse)
        self.answer = panel()
        super().__init__([self.button, self.answer], "Upload button")

    def _show(self, _: str, picture: Image) -> None:
        self._say("Computing ...")
        self._tell("")
        with self.showing_problems():
            figure = plots.predictions(self.backbone, picture)
            self.answer.value = mime_bundle(figure, figure.alt)["text/html"]
            self._tell(figure.alt.partition(". ")[2])
        self._say(self._summary)

    def _refuse(self, sentence: str) -> None:
        self.answer.value = ""
        self.show_problem(sentence)


class OwnFolder(Explorer):
    """Show a form that compares the patterns on your own pictures.

    Args:
        backbone: The network to reuse. Smaller pictures are faster: `backbone.at_size(128)`.

    Attributes:
        comparison: What `tlcourse.compare` returned last; None before.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.comparison: Comparison | None = None
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None
        self._folder: Path | None = None
        self.path = widgets.Text(
            description="Folder",
            placeholder="path of a folder with one folder per class",
            layout={"width": "32em", "max_width": "100%"},
        )
        self.upload = Upload("or a ZIP file", self._take, self.show_problem, accept=".zip")
        times = ["1m", "2m", "5m", "10m"]
        self.budget = widgets.Dropdown(options=times, value="2m", description="Time")
        self.button = widgets.Button(description="Compare", button_style="primary")
        self.answer = widgets.Output()
        self.button.on_click(self._run)
        rows = [self.path, self.upload], [self.budget, self.button]
        boxes = [widgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in rows]
        super().__init__([*boxes, self.answer], "Form for your own folder", at=len(boxes))

    def close(self) -> None:
        """Delete the unpacked ZIP file, too."""
        self._forget()
        super().close()

    def _take(self, name: str, content: bytes) -> None:
        self._forget()
        self.path.value = ""
        self._unpacked = tempfile.TemporaryDirectory(prefix="tlcourse-", ignore_cleanup_errors=True)
        folder = Path(self._unpacked.name) / "your pictures"  # the task is called so
        folder.mkdir()
        with self.showing_problems():
            try:
                self._folder = unpack(content, folder)
            except CourseError as error:
                self._forget()
                raise CourseError(f"{name}: {error}") from error
            self._say(f"{name} is unpacked. Press the button 'Compare'.")

    def _forget(self) -> None:
        if self._unpacked is not None:
            self._unpacked.cleanup()
        self._unpacked = self._folder = None
        self._say("")

    def _run(self, _: Any) -> None:
        self.button.disabled = True
        self._say("Computing ...")
        self.answer.clear_output()
        with self.answer, self.showing_problems():
            self._compare()
        self._say("")
        self.button.disabled = False

    def _compare(self) -> None:
        written = self.path.value.strip()
        folder = Path(written) if written else self._folder
        if folder is None:
            raise CourseError("Write the path of a folder, or choose a ZIP file with it.")
        task = load_task(folder, max_side=1024)
        left_out = [f"left out: {skipped}" for skipped in task.skipped]
        if len(left_out) > 20:
            left_out[20:] = [f"and {len(left_out) - 20} more; see task.skipped"]
        if left_out:
            display({"text/plain": "\n".join(left_out)}, raw=True)
        self.comparison = compare(self.backbone, task, budget=self.budget.value)
        display(plots.tradeoffs(self.comparison), self.comparison)


def unpack(content: bytes, folder: Path) -> Path:
    """Unpack into a folder; return it, or the only folder in it, which many programs pack, too."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > _MOST_BYTES or len(members) > _MOST_FILES:
                raise CourseError(
                    f"The ZIP file would unpack to {size / 1e9:.1f} GB in {len(members):,} files. "
                    "Copy the folder to this machine instead, and give its path."
                )
            for member in members:
                member.filename = member.filename.replace("\\", "/")  # some programs write so
                archive.extract(member, folder)  # it keeps names such as "../x" inside the folder
    except CourseError:
        raise
    except Exception as error:  # `zipfile` raises nearly anything on damaged files
        raise CourseError(
            f"The ZIP file cannot be unpacked ({printable(error)}). "
            "Pack the folder again, without a password."
        ) from error
    inside = children(folder)
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
