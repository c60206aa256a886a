"""What people move: a slider with words, and a choice of pictures with an upload button."""

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets
from PIL.Image import Image

from tlcourse._pictures import open_picture
from tlcourse.errors import CourseError

LARGEST_SIDE = 1024  # pixels of an uploaded picture that are kept
_STATIC = files("tlcourse") / "static"


class Steps(anywidget.AnyWidget):
    """A slider over named positions.

    It is a native range control of the browser: the slider of ipywidgets has no name that a
    screen reader could read out.

    Attributes:
        labels: What each position is called.
        value: The position, from 0.
        description: Its name.
        disabled: Whether it is greyed out.
    """

    _esm = (_STATIC / "steps.js").read_text("utf-8")
    _css = (_STATIC / "steps.css").read_text("utf-8")
    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    value = traitlets.Int(0).tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, description: str, labels: Sequence[object], value: int = 0, **options: Any
    ) -> None:
        names = [str(label) for label in labels]
        super().__init__(description=description, labels=names, value=value, **options)

    @property
    def label(self) -> str:
        """What the position is called."""
        return self.labels[self.value]

    @traitlets.validate("value")
    def _inside(self, proposal: Any) -> int:
        return min(max(proposal["value"], 0), max(len(self.labels) - 1, 0))


class PictureChoice(widgets.HBox):
    """A list of pictures, and a button to add one of your own.

    An uploaded picture stays in memory, shrunk, until the next one comes or the widget is closed;
    nothing is written to disk.

    Args:
        pictures: Name -> picture.
        changed: Called when another picture is chosen.
        failed: Called with a sentence about a file that is no picture.
    """

    def __init__(
        self,
        pictures: Mapping[str, Image],
        changed: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        if not pictures:
            raise CourseError("There is no picture. Pass at least one: name -> picture.")
        self._pictures = dict(pictures)
        self._changed, self._failed = changed, failed
        self.names = widgets.Dropdown(
            options=[(name.replace("_", " "), name) for name in pictures],
            description="Picture",
            style={"description_width": "8em"},
            layout={"width": "24em", "max_width": "100%"},
        )
        self.upload = upload_button()
        self.names.observe(lambda _: self._changed(), names="value")
        self.upload.observe(self._take, names="value")
        super().__init__([self.names, self.upload], layout={"flex_flow": "row wrap"})

    @property
    def name(self) -> str:
        """Name of the chosen picture."""
        return self.names.value

    @property
    def picture(self) -> Image:
        """The chosen picture."""
        return self._pictures[self.names.value]

    def close(self) -> None:
        """Forget the pictures, too."""
        self._pictures.clear()
        super().close()

    def _take(self, change: Any) -> None:
        taken = take_upload(self.upload, self._failed)
        if taken is None:
            return
        name, picture = taken
        own = f"yours: {name}"
        kept = {n: p for n, p in self._pictures.items() if not n.startswith("yours: ")}
        self._pictures = kept | {own: picture}
        with self.names.hold_trait_notifications():
            self.names.options = [(n.replace("_", " "), n) for n in kept] + [(own, own)]
            self.names.value = own


def upload_button() -> widgets.FileUpload:
    """Make a button that asks for one picture file."""
    return widgets.FileUpload(
        accept="image/*",
        multiple=False,
        description="Choose a picture",
        layout={"width": "16em"},
        tooltip="Choose a picture file of your own; it stays on your machine",
    )


def take_upload(
    button: widgets.FileUpload, failed: Callable[[str], None]
) -> tuple[str, Image] | None:
    """Open what was uploaded, upright and shrunk, and let go of the file's content.

    Returns:
        File name and picture; None where there was no file, or none that could be read: then
        `failed` was called with a sentence.
    """
    if not button.value:
        return None
    name, content = button.value[0]["name"], bytes(button.value[0]["content"])
    button.value = ()  # the same file can be chosen again, and its bytes are not kept
    try:
        return name, open_picture(content, max_side=LARGEST_SIDE)
    except CourseError as error:
        failed(f"{name}: {error}")
        return None
