"""A figure that brings its alternative text along, and what the figures have in common."""

import base64
import html
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image, features

from tlcourse.errors import CourseError
from tlcourse.tasks.pictures import to_rgb
from tlcourse.tasks.sound import Sound

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.container import BarContainer

# Okabe and Ito's colours: they stay apart for colour-blind readers and in grey print.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, BLACK = "#56B4E9", "#D55E00", "#000000"
COLOURS = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, BLACK)
MARKERS = "osD^vP*"
WIDTH = 10.0  # inches; with DPI this is the width of a notebook's output area
DPI = 90

# What is decorated with this draws in the course's style, and leaves the learner's own as it is.
drawing = rc_context(
    {
        "font.size": 11,
        "axes.titlesize": 11,
        "figure.titlesize": 13,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "text.parse_math": False,  # a dollar sign in a name begins no formula
    }
)


class _ShowsItself:
    """What a notebook shows as a picture with an alternative text."""

    figure: Any
    alt: str = ""  # what one sees, in words

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(mime_bundle(self.figure, self.alt), raw=True)

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"


class Figure(_ShowsItself, MatplotlibFigure):
    """A matplotlib figure that shows itself in a notebook, once, with its alternative text `alt`.

    It is not known to `matplotlib.pyplot`, so it needs no closing.
    """


class Described(_ShowsItself):
    """A figure drawn by hand, with the alternative text that it was given."""

    def __init__(self, figure: MatplotlibFigure, alt: str) -> None:
        self.figure, self.alt = figure, alt


def show(figure: MatplotlibFigure, alt: str) -> Described:
    """Show a figure that you drew with matplotlib, with an alternative text.

    The figure is closed for `matplotlib.pyplot`, so that the notebook does not show it twice. Make
    this the last line of the cell, or pass what it returns to `display`.

    Args:
        figure: Any matplotlib figure.
        alt: What one sees in it, in a sentence, for readers who cannot see it.

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
    """Return a notebook output; JupyterLab keeps an alternative text only in an HTML element."""
    kind, data, width = encode(figure)
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    element = f'<img alt="{html.escape(alt)}" width="{width}" src="{source}">'
    return {"text/html": element, "text/plain": alt}


def encode(figure: MatplotlibFigure) -> tuple[str, bytes, int]:
    """Draw a figure on white as a small PNG, or as a WebP if it has photographs in colour.

    Returns the kind, the bytes, and the width in pixels.
    """
    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=DPI, facecolor="white", transparent=False)
    picture = Image.open(raw).convert("RGB")
    arrays = [image.get_array() for axes in figure.axes for image in axes.images]
    if any(array is not None and array.ndim == 3 for array in arrays):
        kind = "webp" if features.check("webp") else "jpeg"
        picture.save(small, kind, quality=75, method=6)
    else:
        kind = "png"
        picture.quantize(256, dither=Image.Dither.NONE).save(small, kind, optimize=True)
    return kind, small.getvalue(), picture.width


def new_figure(height: float, *, width: float = WIDTH, title: str | None = None) -> Figure:
    """Make an empty figure (inches) whose parts never overlap."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title)
    return figure


def style(number: int) -> dict[str, Any]:
    """Colour and marker of the curve with this number; after seven they begin again."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


def pixels(picture: Image.Image | Sound, side: int | None = None) -> np.ndarray:
    """Return the (H, W, 3) uint8 array of a picture, shrunk to at most `side` pixels a side."""
    rgb = to_rgb(picture)
    if side is not None and max(rgb.size) > side:
        rgb = rgb.copy()
        rgb.thumbnail((side, side))
    return np.asarray(rgb)


def draw_picture(
    axes: "Axes", picture: Any, title: str = "", *, frame: bool = False, **options: Any
) -> None:
    """Draw an array without ticks, with a thin grey frame or none."""
    axes.imshow(picture, **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=frame, color="0.75", linewidth=0.8)
    if title:
        axes.set_title(title)


def lay_over(axes: "Axes", values: np.ndarray, size: tuple[int, ...], *, faintest: float) -> None:
    """Lay a map, scaled to its strongest hundredth, over a picture of `size` (H, W)."""
    scaled = np.clip(values / (np.quantile(np.abs(values), 0.99) or 1.0), -1, 1)
    axes.imshow(
        scaled,
        cmap="PuOr_r",
        vmin=-1,
        vmax=1,
        alpha=faintest + 0.7 * np.abs(scaled),
        extent=(-0.5, size[1] - 0.5, size[0] - 0.5, -0.5),
    )


def write_beside(axes: "Axes", text: str, **options: Any) -> None:
    """Write a text at the right end of axes that show nothing else."""
    axes.set_axis_off()
    axes.text(0.95, 0.5, text, ha="right", va="center", **options)


def horizontal_bars(axes: "Axes", labels: Sequence[str], values: Sequence[float]) -> "BarContainer":
    """Draw bars from top to bottom, with their names on the left."""
    rows = np.arange(len(labels))
    drawn = axes.barh(rows, list(values), color=SKY, height=0.62)
    axes.set_yticks(rows, labels)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    return drawn


def add_legend(figure: Figure, **options: Any) -> None:
    """Explain each name once, whichever of the panels it stands in."""
    handles = {
        name: handle
        for axes in figure.axes
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    options.setdefault("loc", "outside right upper")
    figure.legend(handles.values(), handles.keys(), frameon=False, **options)


def plain_numbers(axis: "Axis") -> None:
    """Write the numbers of a logarithmic axis as 1, 2, 5, 10, ..., not as powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


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
    """Say the same with its preposition, such as "at the upper left"."""
    words = place(values)
    return words if words.startswith("nowhere") else f"at the {words}"


def block_means(values: np.ndarray, side: int) -> np.ndarray:
    """Average an (H, W) map over squares; what does not fill a square at the end is left out."""
    height, width = (length // side for length in values.shape)
    blocks = values[: height * side, : width * side].reshape(height, side, width, side)
    return blocks.mean(axis=(1, 3))


def washed_out(array: np.ndarray) -> np.ndarray:
    """Turn a picture (H, W, 3) from 0 to 1 into light grey, so that a map can lie over it."""
    return 0.35 + 0.5 * array.mean(axis=2, keepdims=True).repeat(3, axis=2)
