"""Interactive parts of the notebooks (ipywidgets)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tlcourse.networks.backbone import Backbone
from tlcourse.widgets.layers import LayerExplorer
from tlcourse.widgets.neighbours import NeighbourExplorer
from tlcourse.widgets.own_pictures import OwnFolder, OwnPicture
from tlcourse.widgets.predictions import PredictionExplorer
from tlcourse.widgets.training import TrainingExplorer

if TYPE_CHECKING:
    from PIL.Image import Image

    from tlcourse.explain.excitation import Excitation
    from tlcourse.features.features import Features
    from tlcourse.tasks.task import Task
    from tlcourse.training.history import History


def own_picture(backbone: Backbone) -> OwnPicture:
    """Show an upload button; each picture chosen is classified at once.

    Args:
        backbone: The network that classifies it.

    Returns:
        The widget. A file that cannot be read gives a sentence instead of a prediction.
    """
    return OwnPicture(backbone)


def own_folder(backbone: Backbone) -> OwnFolder:
    """Show a form that compares the patterns on your own pictures.

    Args:
        backbone: The network to reuse. Smaller pictures are faster: `backbone.at_size(128)`.

    Returns:
        The widget; its `comparison` is what `tlcourse.compare` returned.
    """
    return OwnFolder(backbone)


def explore_layers(
    backbone: Backbone,
    pictures: "Mapping[str, Image]",
    reference: Sequence[Any],
    *,
    found: "Mapping[str, Excitation] | None" = None,
) -> LayerExplorer:
    """Move through a network: a picture, a layer, a channel; its map, and what excites it most.

    The activations of all layers are computed once for each picture.

    Args:
        backbone: The network.
        pictures: Name -> picture to choose from; one of your own can be uploaded.
        reference: Pictures, or (picture, label) pairs such as a `Split`, among which are looked
            for those that excite a channel most.
        found: What `tlcourse.explain.excitation.excitations` gave for them, to save time; its layers are
            those that can be chosen. By default all that give maps.

    Raises:
        CourseError: There is no picture, or a layer gives no maps.
    """
    return LayerExplorer(backbone, pictures, reference, found)


def explore_predictions(backbone: Backbone, pictures: "Mapping[str, Image]") -> PredictionExplorer:
    """Crop, blur, turn or cover a picture; the five first classes and what speaks for them follow.

    Args:
        backbone: The network.
        pictures: Name -> picture to choose from; one of your own can be uploaded.

    Raises:
        CourseError: There is no picture.
    """
    return PredictionExplorer(backbone, pictures)


def explore_neighbours(
    features: "Mapping[str, Any] | Features",
    pictures: Sequence[Any],
    *,
    labels: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    credit: str = "",
) -> NeighbourExplorer:
    """See the neighbours of a picture at two layers, and a map of all pictures at a third.

    Args:
        features: Layer name -> (N, C), from shallow to deep, or what `extract_features` gave.
        pictures: The N pictures, or (picture, label) pairs such as a `Split`.
        labels: The N class numbers; by default those of the `Split`.
        classes: Class names.
        credit: Who made the pictures; shown below them.

    Raises:
        CourseError: Shapes and numbers do not fit together.
    """
    return NeighbourExplorer(features, pictures, labels=labels, classes=classes, credit=credit)


def explore_training(
    backbone: Backbone,
    task: "Task",
    *,
    runs: "Mapping[str, History | Sequence[float]] | None" = None,
    batch_size: int = 8,
    reference: tuple[str, float] | None = None,
    seed: int = 0,
) -> TrainingExplorer:
    """Fine-tune with settings of your choice, beside the curves of earlier trainings.

    The training runs in a thread and works on a copy of the network; the button "Stop" ends it
    within one batch.

    Args:
        backbone: The network to start from.
        task: Its train split is learned; after each epoch its val split is looked at.
        runs: Name -> what `fit` returned, or validation accuracies, one for each epoch: the curves
            that are there from the beginning.
        batch_size: Pictures per step.
        reference: Name and validation accuracy of something to compare with, drawn as a line.
        seed: Decides the head's first weights and the order of the pictures.

    Raises:
        CourseError: The task has no training or no validation pictures, or an argument is of a wrong
            kind.
    """
    return TrainingExplorer(
        backbone, task, runs=runs, batch_size=batch_size, reference=reference, seed=seed
    )
