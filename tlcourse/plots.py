"""Every figure of the course.

Each function returns a `Figure`, which shows itself in a notebook together with an alternative
text made from the data. `alt=` replaces that text.
"""

from tlcourse._figures import Described, Figure, show
from tlcourse._plots_comparison import tradeoffs
from tlcourse._plots_cost import bytes_by_owner, growth, seconds_by_device
from tlcourse._plots_depth import layer_differences, layer_probes
from tlcourse._plots_examples import examples, nearest_neighbours, top_pictures
from tlcourse._plots_layers import activation_maps, filters
from tlcourse._plots_numbers import accuracy_by_layer, bars, confusion, lines
from tlcourse._plots_pictures import attribution, explanations, predictions
from tlcourse._plots_training import history, learning_rates

__all__ = [
    "Described",
    "Figure",
    "accuracy_by_layer",
    "activation_maps",
    "attribution",
    "bars",
    "bytes_by_owner",
    "confusion",
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
    "seconds_by_device",
    "show",
    "top_pictures",
    "tradeoffs",
]
