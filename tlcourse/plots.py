"""Every figure of the course.

Each function returns a `Figure`, which shows itself in a notebook together with an alternative
text made from the data. `alt=` replaces that text.
"""

from tlcourse._figures import Described, Figure, show
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
    "confusion",
    "examples",
    "explanations",
    "filters",
    "history",
    "learning_rates",
    "lines",
    "nearest_neighbours",
    "predictions",
    "show",
    "top_pictures",
]
