"""Every figure of the course.

Each function returns a `Figure`, which shows itself in a notebook together with an alternative
text made from the data. `alt=` replaces that text.
"""

from tlcourse.plots.calibration import coverage, reliability
from tlcourse.plots.cost import bytes_by_owner, growth, seconds_by_device, tradeoffs
from tlcourse.plots.examples import examples, nearest_neighbours, top_pictures
from tlcourse.plots.figure import Described, Figure, show
from tlcourse.plots.layers import activation_maps, filters, layer_differences, layer_probes
from tlcourse.plots.networks import scatter, similarity
from tlcourse.plots.numbers import accuracy_by_layer, bars, confusion, lines
from tlcourse.plots.pictures import attribution, explanations, predictions
from tlcourse.plots.training import history, learning_rates

__all__ = [
    "Described",
    "Figure",
    "accuracy_by_layer",
    "activation_maps",
    "attribution",
    "bars",
    "bytes_by_owner",
    "confusion",
    "coverage",
    "examples",
    "explanations",
    "filters",
    "growth",
    "history",
    "layer_differences",
    "layer_probes",
    "learning_rates",
    "lines",
    "nearest_neighbours",
    "predictions",
    "reliability",
    "scatter",
    "seconds_by_device",
    "show",
    "similarity",
    "top_pictures",
    "tradeoffs",
]
