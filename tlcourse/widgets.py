"""Interactive parts of the notebooks (ipywidgets)."""

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from tlcourse import plots
from tlcourse._archive import unpack
from tlcourse._pictures import open_picture
from tlcourse.backbones import Backbone
from tlcourse.comparison import Comparison, compare
from tlcourse.errors import CourseError
from tlcourse.tasks import load_task


class OwnPicture(widgets.VBox):
    """An upload button, and below it what the network says of the picture.

    The picture stays in memory: nothing is written to disk. Where no kernel runs, the notebook
    shows the sentence of `__repr__`.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.button = widgets.FileUpload(
            accept="image/*",
            multiple=False,
            description="Choose a picture",
            layout=widgets.Layout(width="16em"),
            tooltip="Choose a picture file of your own; it stays on your machine",
        )
        self.answer = widgets.Output()
        self.button.observe(self._show, names="value")
        super().__init__([self.button, self.answer])

    def _show(self, change: dict[str, Any]) -> None:
        if not change["new"]:
            return
        upload = change["new"][0]
        self.answer.clear_output(wait=True)
        with self.answer:
            try:
                picture = open_picture(bytes(upload["content"]), max_side=1024)
                display(plots.predictions(self.backbone, picture))
            except CourseError as error:
                display(_Sentence(f"{upload['name']}: {error}"))

    def __repr__(self) -> str:
        return "[Upload button: run this notebook to use it.]"


class OwnFolder(widgets.VBox):
    """A form that compares the patterns on the learner's own pictures.

    Attributes:
        comparison: What came out last; None before.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.comparison: Comparison | None = None
        wide = widgets.Layout(width="32em")
        self.path = widgets.Text(
            description="Folder",
            placeholder="path of a folder with one folder per class",
            layout=wide,
        )
        self.upload = widgets.FileUpload(
            accept=".zip", multiple=False, description="or a ZIP file", layout={"width": "12em"}
        )
        self.budget = widgets.Dropdown(
            options=["1m", "2m", "5m", "10m"], value="2m", description="Time"
        )
        self.button = widgets.Button(description="Compare", button_style="primary")
        self.answer = widgets.Output()
        self.button.on_click(self._run)
        first = widgets.HBox([self.path, self.upload])
        super().__init__([first, widgets.HBox([self.budget, self.button]), self.answer])

    def _run(self, _: Any) -> None:
        self.button.disabled = True
        self.answer.clear_output()
        with self.answer:
            try:
                self._compare()
            except CourseError as error:
                display(_Sentence(str(error)))
            finally:
                self.button.disabled = False

    def _compare(self) -> None:
        task = load_task(self._folder(), max_side=1024)
        for skipped in task.skipped[:20]:
            display(_Sentence(f"left out: {skipped.name}: {skipped.reason}"))
        if len(task.skipped) > 20:
            display(_Sentence(f"and {len(task.skipped) - 20} more; see task.skipped"))
        self.comparison = compare(self.backbone, task, budget=self.budget.value)
        display(plots.tradeoffs(self.comparison), self.comparison)

    def _folder(self) -> Path:
        if self.path.value.strip():
            return Path(self.path.value.strip())
        if not self.upload.value:
            raise CourseError("Write the path of a folder, or choose a ZIP file with it.")
        place = tempfile.mkdtemp(prefix="tlcourse-")
        weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)  # it stays with the form
        return unpack(bytes(self.upload.value[0]["content"]), Path(place))

    def __repr__(self) -> str:
        return "[Form for your own folder: run this notebook to use it.]"


class _Sentence:
    """A sentence that a notebook shows as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def own_picture(backbone: Backbone) -> OwnPicture:
    """Show an upload button; each picture chosen is classified at once.

    Args:
        backbone: The network that classifies it.

    Returns:
        The widget. A file that cannot be read gives a sentence instead of a prediction.
    """
    return OwnPicture(backbone)


def own_folder(backbone: Backbone) -> OwnFolder:
    """Show a form that compares the patterns on your own pictures.

    Args:
        backbone: The network to reuse. Smaller pictures are faster: `backbone.at_size(128)`.

    Returns:
        The widget; its `comparison` is what `tlcourse.compare` returned.
    """
    return OwnFolder(backbone)
