"""A figure that brings its alternative text along, and what the figures have in common."""

import base64
import functools
import html
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image, features

from tlcourse.errors import CourseError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from PIL.Image import Image

# Okabe and Ito's colours: they stay apart for colour-blind readers and in grey print.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, BLACK = "#56B4E9", "#D55E00", "#000000"
COLOURS = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, BLACK)
MARKERS = "osD^vP*"
WIDTH = 10.0  # inches; with DPI this is the width of a notebook's output area
DPI = 90

_STYLE = {
    "font.size": 11,
    "axes.titlesize": 11,
    "figure.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
}
_Drawing = TypeVar("_Drawing", bound=Callable[..., Any])


class Figure(MatplotlibFigure):
    """A matplotlib figure that shows itself in a notebook, once, with its alternative text.

    It is not known to `matplotlib.pyplot`, so it needs no closing.

    Attributes:
        alt: What the figure shows, in words.
    """

    alt: str = ""

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(mime_bundle(self, self.alt), raw=True)

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"


class Described:
    """A figure drawn by hand, with the alternative text that it was given."""

    def __init__(self, figure: MatplotlibFigure, alt: str) -> None:
        self.figure = figure
        self.alt = alt

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(mime_bundle(self.figure, self.alt), raw=True)

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"


def show(figure: MatplotlibFigure, alt: str) -> Described:
    """Show a figure that you drew with matplotlib, with an alternative text.

    The figure is closed for `matplotlib.pyplot`, so that the notebook does not show it twice. Make
    this the last line of the cell, or pass what it returns to `display`.

    Args:
        figure: Any matplotlib figure.
        alt: What it shows, in a sentence, for readers who do not see it.

    Raises:
        CourseError: The text is empty, or the first argument is not a figure.
    """
    if not isinstance(figure, MatplotlibFigure):
        raise CourseError(
            f"show() needs a matplotlib figure, got {type(figure).__name__}. "
            "Take the first of `figure, axes = plt.subplots()`, or `plt.gcf()`."
        )
    if not isinstance(alt, str) or not alt.strip():
        raise CourseError('A figure needs a text: show(figure, alt="what one sees, in a sentence")')
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)
    return Described(figure, alt.strip())


def mime_bundle(figure: MatplotlibFigure, alt: str) -> dict[str, str]:
    """Return a notebook output: one image element with its alternative text, or the text alone.

    JupyterLab drops the alternative text of an `image/png` output, but keeps the one of an image
    element in HTML; nbconvert keeps both. So this is the one way that serves all, and the picture
    is stored once.
    """
    kind, data, width = encode(figure)
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    element = f'<img alt="{html.escape(alt)}" width="{width}" src="{source}">'
    return {"text/html": element, "text/plain": alt}


def encode(figure: MatplotlibFigure) -> tuple[str, bytes, int]:
    """Draw a figure on white into a small file; returns its kind, its bytes, its width in pixels.

    Curves and maps become a PNG of 256 colours, figures with photographs a WebP.
    """
    from PIL import Image

    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=DPI, facecolor="white", transparent=False)
    picture = Image.open(raw).convert("RGB")
    small = io.BytesIO()
    if not _has_photograph(figure):
        kind = "png"
        picture.quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    elif features.check("webp"):
        kind = "webp"
        picture.save(small, "webp", quality=75, method=6)
    else:
        kind = "jpeg"
        picture.save(small, "jpeg", quality=75, optimize=True)
    return kind, small.getvalue(), picture.width


def drawing(function: _Drawing) -> _Drawing:
    """Draw in the course's style, whatever the learner has set, and leave that as it is."""

    @functools.wraps(function)
    def styled(*args: Any, **options: Any) -> Any:
        with rc_context(_STYLE):
            return function(*args, **options)

    return styled  # type: ignore[return-value]


def new_figure(height: float, *, width: float = WIDTH, title: str | None = None) -> Figure:
    """Make an empty figure (inches) whose parts never overlap."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title)
    return figure


def pixels(picture: "Image", side: int | None = None) -> np.ndarray:
    """Return the (H, W, 3) uint8 array of a picture, made smaller to `side` pixels if it is larger.

    A copy is made smaller; the picture itself stays as it is.
    """
    from tlcourse.tasks.pictures import to_rgb

    rgb = to_rgb(picture)
    if side is not None and max(rgb.size) > side:
        rgb = rgb.copy()
        rgb.thumbnail((side, side))
    return np.asarray(rgb)


def draw_picture(
    axes: "Axes", picture: Any, title: str = "", *, frame: bool = False, **options: Any
) -> None:
    """Draw an array without ticks, and with a thin grey frame or none."""
    axes.imshow(picture, **options)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=frame, color="0.75", linewidth=0.8)
    if title:
        axes.set_title(title)


def horizontal_bars(
    axes: "Axes", labels: Sequence[str], values: Sequence[float], texts: Sequence[str] | None
) -> None:
    """Bars from top to bottom, names on the left, numbers at their ends."""
    rows = np.arange(len(labels))
    drawn = axes.barh(rows, list(values), color=SKY, height=0.62)
    axes.set_yticks(rows, labels)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    if texts:
        axes.bar_label(drawn, texts, padding=4)


def place(values: np.ndarray) -> str:
    """Say in words where in an (H, W) map the largest values lie, such as "upper left"."""
    strong = np.clip(values - np.quantile(values, 0.9), 0, None)
    if strong.sum() == 0:
        return "nowhere in particular"
    rows, columns = np.indices(values.shape)
    down = (rows * strong).sum() / strong.sum() / max(values.shape[0] - 1, 1)
    right = (columns * strong).sum() / strong.sum() / max(values.shape[1] - 1, 1)
    vertical = ("upper", "middle", "lower")[min(int(down * 3), 2)]
    horizontal = ("left", "middle", "right")[min(int(right * 3), 2)]
    return "centre" if vertical == horizontal else f"{vertical} {horizontal}"


def where(values: np.ndarray) -> str:
    """The same with its preposition, such as "at the upper left"."""
    found = place(values)
    return found if found.startswith("nowhere") else f"at the {found}"


def _has_photograph(figure: MatplotlibFigure) -> bool:
    return any(image.get_array().ndim == 3 for axes in figure.axes for image in axes.images)


def check_curves(caller: str, x: Sequence[Any], series: Mapping[str, Sequence[float]]) -> None:
    """Refuse curves that have not one number for each `x`, or none at all."""
    if not series or any(len(y) != len(x) for y in series.values()):
        raise CourseError(
            f"{caller}() needs at least one curve, each with {len(x)} numbers, one for each x."
        )


def plain_numbers(axis: "Axis") -> None:
    """Write the numbers of a logarithmic axis as 1, 2, 5, 10, ..., not as powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def block_means(values: np.ndarray, side: int) -> np.ndarray:
    """Average an (H, W) map over squares; what does not fill a square at the end is left out."""
    height, width = (length // side for length in values.shape)
    blocks = values[: height * side, : width * side].reshape(height, side, width, side)
    return blocks.mean(axis=(1, 3))


def washed_out(array: np.ndarray) -> np.ndarray:
    """Turn a picture (H, W, 3) from 0 to 1 into light grey, so that a map can lie over it."""
    return 0.35 + 0.5 * array.mean(axis=2, keepdims=True).repeat(3, axis=2)
