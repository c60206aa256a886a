"""What people move: a slider with words, and a choice of pictures with an upload button."""

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets
from PIL.Image import Image

from tlcourse.errors import CourseError, PictureError
from tlcourse.tasks.pictures import open_picture

LARGEST_SIDE = 1024  # pixels of an uploaded picture that are kept
LARGEST_FILE = 2**28  # bytes of an uploaded file
_STATIC = files("tlcourse.widgets") / "static"


def _script(name: str) -> str:
    return (_STATIC / "keys.js").read_text("utf-8") + (_STATIC / name).read_text("utf-8")


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

    _esm = _script("steps.js")
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


class Status(anywidget.AnyWidget):
    """A line of text that a screen reader reads out when it changes.

    The element stays and only its text is new, as such a reader needs it; `widgets.HTML` makes a
    new element each time.

    Attributes:
        value: The text.
    """

    _esm = _script("status.js")
    value = traitlets.Unicode().tag(sync=True)


class Upload(anywidget.AnyWidget):
    """A button that asks for one file and hands its content over.

    The file comes in pieces, so that it may be larger than what Jupyter lets through at once (the
    upload button of ipywidgets loses its connection above 10 MB). It is never written to disk and
    not kept here.

    Args:
        description: What the button says.
        taken: Called with the file's name and content.
        failed: Called with a sentence about a file that is too large.
        accept: Kinds of files, as in HTML.
    """

    _esm = _script("upload.js")
    description = traitlets.Unicode().tag(sync=True)
    accept = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        description: str,
        taken: Callable[[str, bytes], None],
        failed: Callable[[str], None],
        accept: str = "image/*",
    ) -> None:
        super().__init__(description=description, accept=accept)
        self._taken, self._failed = taken, failed
        self._content, self._comes = bytearray(), ("", 0)
        self.on_msg(self._receive)

    def _receive(self, _: Any, said: dict[str, Any], pieces: Sequence[Any]) -> None:
        if "failed" in said:
            self._content.clear()
            self._failed(f"{said['name']} could not be read: {said['failed']}. Choose it again.")
            return
        if said["size"] > LARGEST_FILE:
            self.send({"done": True})
            most = LARGEST_FILE // 2**20
            self._failed(f"{said['name']} is too large: at most {most} MiB can be taken.")
            return
        if said["offset"] == 0:
            self._content.clear()
            self._comes = said["name"], said["size"]
        due = (*self._comes, len(self._content))
        if (said["name"], said["size"], said["offset"]) != due:  # another view sends one, too
            self.send({"done": True})
            self._failed(f"{said['name']} came in disorder. Choose it again.")
            return
        self._content += bytes(pieces[0])
        if len(self._content) < said["size"]:
            self.send({"next": len(self._content)})
            return
        content = bytes(self._content)
        self._content.clear()
        self.send({"done": True})
        try:
            self._taken(said["name"], content)
        except Exception as error:  # Jupyter would only write it into a log
            self._failed(f"Something went wrong: {type(error).__name__}: {error}")


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
        check_pictures(pictures)
        self._pictures = dict(pictures)
        self._changed, self._silent = changed, False
        self.names = widgets.Dropdown(
            options=[(name.replace("_", " "), name) for name in pictures],
            description="Picture",
            style={"description_width": "8em"},
            layout={"width": "24em", "max_width": "100%"},
        )
        self.upload = picture_upload(self._add, failed)
        self.names.observe(self._chosen, names="value")
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
        self._pictures = {}
        super().close()

    def _chosen(self, _: Any) -> None:
        if not self._silent:
            self._changed()

    def _add(self, name: str, picture: Image) -> None:
        own = f"yours: {name}"
        kept = {n: p for n, p in self._pictures.items() if not n.startswith("yours: ")}
        self._pictures = kept | {own: picture}
        if own == self.names.value:  # another file of the same name
            self._changed()
            return
        self._silent = True  # new options choose the first one for a moment
        self.names.options = [(n.replace("_", " "), n) for n in kept] + [(own, own)]
        self._silent = False
        self.names.value = own


def dropdown(description: str, options: Sequence[Any]) -> widgets.Dropdown:
    """Make a list to choose from, as wide as the others; see `ipywidgets.Dropdown`."""
    return widgets.Dropdown(
        options=options,
        description=description,
        style={"description_width": "8em"},
        layout={"width": "24em", "max_width": "100%"},
    )


def check_pictures(pictures: Any) -> None:
    """Refuse what is not name -> PIL picture.

    Raises:
        CourseError: It is something else, or empty.
    """
    if not isinstance(pictures, Mapping):
        raise CourseError(
            f"The pictures are a {type(pictures).__name__}. Pass a dictionary, name -> PIL picture, "
            'as tl.photographs("chelsea", "coffee") gives it.'
        )
    if not pictures:
        raise CourseError("There is no picture. Pass at least one: name -> PIL picture.")
    for name, picture in pictures.items():
        if not isinstance(name, str) or not isinstance(picture, Image):
            raise CourseError(
                f"{name!r} -> {type(picture).__name__} is not a name with a PIL picture. Open a "
                'file with tl.open_picture("cup.jpg").'
            )


def picture_upload(taken: Callable[[str, Image], None], failed: Callable[[str], None]) -> Upload:
    """Make a button that asks for a picture file.

    Args:
        taken: Called with the file's name and the picture, upright, shrunk to `LARGEST_SIDE`.
        failed: Called with a sentence about a file that cannot be read.
    """

    def read(name: str, content: bytes) -> None:
        try:
            picture = open_picture(content, max_side=LARGEST_SIDE)
        except PictureError as error:
            failed(f"{name} cannot be read: {error.reason}.")
            return
        taken(name, picture)

    return Upload("Choose a picture of yours", read, failed)
