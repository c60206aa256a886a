"""Accessible controls: a slider with words, a status line, a choice of pictures with an upload."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets
from PIL.Image import Image

from tlcourse.base.messages import printable
from tlcourse.errors import CourseError, PictureError
from tlcourse.tasks.pictures import open_picture

LARGEST_SIDE = 1024  # pixels of an uploaded picture that are kept
LARGEST_FILE = 2**28  # bytes of an uploaded file
_STATIC = files("tlcourse.widgets") / "static"


def _script(name: str) -> str:
    return (_STATIC / "keys.js").read_text("utf-8") + (_STATIC / name).read_text("utf-8")


class Steps(anywidget.AnyWidget):
    """A slider over named positions; `value` is the position, from 0, and `labels` names each.

    It is a native range control of the browser: the slider of ipywidgets has no name that a
    screen reader could read out.
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

    def count_to(self, n: int) -> None:
        """Offer the positions from "1 of n" to "n of n", and go to the first."""
        with self.hold_trait_notifications():
            self.labels = [f"{i} of {n}" for i in range(1, n + 1)]
            self.value = 0

    @traitlets.validate("value")
    def _inside(self, proposal: Any) -> int:
        return min(max(proposal["value"], 0), max(len(self.labels) - 1, 0))


class Status(anywidget.AnyWidget):
    """A line of text that a screen reader reads out when it changes.

    The element stays and only its text is new, as such a reader needs it; `widgets.HTML` makes a
    new element each time.
    """

    _esm = _script("status.js")
    value = traitlets.Unicode().tag(sync=True)


class Upload(anywidget.AnyWidget):
    """A button that asks for one file and hands its content over.

    The file comes in pieces, so it may be larger than what Jupyter lets through at once (the upload
    button of ipywidgets loses its connection above 10 MB). It is never written to disk and not kept
    here. `taken` is called with its name and content, or `failed` with a sentence about it.
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
        name, size, offset = printable(said["name"]), said.get("size", 0), said.get("offset", 0)
        if offset == 0:
            self._content, self._comes = bytearray(), (name, size)
        problem = ""
        if "failed" in said:
            problem = f"could not be read: {said['failed']}. Choose it again"
        elif size > LARGEST_FILE:
            problem = f"is too large: at most {LARGEST_FILE // 2**20} MiB can be taken"
        elif (name, size, offset) != (*self._comes, len(self._content)):  # two views send at once
            problem = "came in disorder. Choose it again"
        if problem:
            self.send({"done": True})
            self._failed(f"{name} {problem}.")
            return
        self._content += bytes(pieces[0])
        if len(self._content) < size:
            self.send({"next": len(self._content)})
            return
        content, self._content = bytes(self._content), bytearray()
        self.send({"done": True})
        try:
            self._taken(name, content)
        except Exception as error:  # Jupyter would only write it into a log
            self._failed(f"Something went wrong: {type(error).__name__}: {error}")


class PictureChoice(widgets.HBox):
    """A list of pictures, and a button to add one of your own.

    An uploaded picture stays in memory, shrunk, until the next one comes or the widget is closed.
    `changed` is called when another picture is chosen, `failed` with a sentence about a bad file.
    """

    def __init__(
        self,
        pictures: Mapping[str, Image],
        changed: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        check_pictures(pictures)
        self._pictures = dict(pictures)
        self._changed = changed
        self.names = dropdown("Picture", _options(pictures))
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
        self._changed()

    def _add(self, name: str, picture: Image) -> None:
        own = f"yours: {name}"
        kept = {n: p for n, p in self._pictures.items() if not n.startswith("yours: ")}
        self._pictures = kept | {own: picture}
        self.names.unobserve(self._chosen, "value")  # new options choose the first for a moment
        self.names.options = [*_options(kept), (own, own)]
        self.names.value = own
        self.names.observe(self._chosen, "value")
        self._changed()


def dropdown(description: str, options: Sequence[Any]) -> widgets.Dropdown:
    """Make a list to choose from, as wide as the others; see `ipywidgets.Dropdown`."""
    return widgets.Dropdown(
        options=options,
        description=description,
        style={"description_width": "8em"},
        layout={"width": "24em", "max_width": "100%"},
    )


def check_pictures(pictures: Any) -> None:
    """Refuse what is not name -> PIL picture, or is empty, in one sentence."""
    given = pictures if isinstance(pictures, Mapping) else {None: pictures}
    if not given:
        raise CourseError("There is no picture. Pass at least one: name -> PIL picture.")
    for name, picture in given.items():
        if not isinstance(name, str) or not isinstance(picture, Image):
            raise CourseError(
                f"{name!r} -> {type(picture).__name__} is not a name with a PIL picture. Pass a "
                'dictionary, as tl.photographs("chelsea", "coffee") gives it; tl.open_picture(path) '
                "opens a file."
            )


def picture_upload(taken: Callable[[str, Image], None], failed: Callable[[str], None]) -> Upload:
    """Make a button that asks for a picture; `taken` gets it upright, shrunk to `LARGEST_SIDE`."""

    def read(name: str, content: bytes) -> None:
        try:
            picture = open_picture(content, max_side=LARGEST_SIDE)
        except PictureError as error:
            failed(f"{name} cannot be read: {error.reason}.")
            return
        taken(name, picture)

    return Upload("Choose a picture of yours", read, failed)


def _options(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), name) for name in names]
