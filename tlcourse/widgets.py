"""Interactive parts of the notebooks (ipywidgets)."""

from typing import Any

import ipywidgets as widgets
from IPython.display import display

from tlcourse import plots
from tlcourse._pictures import open_picture
from tlcourse.backbones import Backbone
from tlcourse.errors import CourseError


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
