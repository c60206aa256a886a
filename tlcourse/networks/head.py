"""A head that reads the maps of a body, in place of a linear layer on the pooled vector."""

import math

from torch import nn

from tlcourse.errors import CourseError, check_whole
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import are_maps

WIDTH = 128  # channels
_STRIDE = 16  # pixels of the picture per position of a map


class ConvHead(nn.Sequential):
    """A small convolutional network on maps (B, C, H, W), which gives logits (B, n_classes).

    Two 3 x 3 convolutions with BatchNorm, max-pooling between them, the mean over the positions, and
    a linear layer. A linear head on pooled features knows what is in a picture. This head also
    knows where it is, and what is beside it. Its BatchNorms learn, as they are new.
    """

    takes_maps = True  # so that `Network` pools nothing before it

    def __init__(self, channels: int, n_classes: int, *, width: int = WIDTH) -> None:
        """Make the layers with random weights.

        Args:
            channels: C of the maps.
            n_classes: Outputs.
            width: Channels of both convolutions.

        Raises:
            CourseError: A number is not whole, or below 1.
        """
        for name, value in (("channels", channels), ("n_classes", n_classes), ("width", width)):
            check_whole(name, value)
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),  # so that a map of one position stays as it is
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, n_classes),
        )


def map_layer(backbone: Backbone) -> str:
    """Name the layer for a head on maps: the deepest one of stride 16 or less, behind the stem.

    Deeper maps have few positions left, and shallower ones know only simple patterns.

    Raises:
        CourseError: The network has no maps behind its stem.
    """
    side, found = backbone.preprocess.size, ""
    for layer in backbone.named_layers:
        record = backbone.trace.get(layer.path) if layer.path else None
        shape = record.output_shape if record and layer.side == "output" else None
        if not shape or not are_maps(shape) or layer.name in ("stem", "embedding"):
            continue
        # Maps without padding are a little smaller, so the stride is the nearest power of two.
        if 2 ** round(math.log2(side / shape[-1])) <= _STRIDE:
            found = layer.name
    if not found:
        raise CourseError(
            f'{backbone.name} has no maps for a convolutional head. Take head="linear".'
        )
    return found
