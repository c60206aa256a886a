"""Interactive parts of the notebooks (ipywidgets): each one is a class, called like a function."""

from tlcourse.widgets.layers import LayerExplorer as explore_layers
from tlcourse.widgets.neighbours import NeighbourExplorer as explore_neighbours
from tlcourse.widgets.own_pictures import OwnFolder as own_folder
from tlcourse.widgets.own_pictures import OwnPicture as own_picture
from tlcourse.widgets.own_sound import OwnSound as own_sound
from tlcourse.widgets.predictions import PredictionExplorer as explore_predictions
from tlcourse.widgets.shift import ShiftExplorer as explore_shift
from tlcourse.widgets.training import TrainingExplorer as explore_training

__all__ = [
    "explore_layers",
    "explore_neighbours",
    "explore_predictions",
    "explore_shift",
    "explore_training",
    "own_folder",
    "own_picture",
    "own_sound",
]
