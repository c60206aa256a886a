"""Features of a tiny task, and the thumbnails of its maps."""

import numpy as np
from sklearn.preprocessing import StandardScaler
from tiny_tasks import make_task

from tlcourse.widgets.neighbours_map import thumbnail

LAYERS = {"shallow": 5, "middle": 3, "deep": 8}
SPLIT = make_task().train
N = len(SPLIT)


def made_features():
    """Numbers that tell the classes apart, the deeper the layer the better."""
    random = np.random.default_rng(1)
    return {
        name: random.normal(size=(N, size)) + depth * SPLIT.labels[:, None]
        for depth, (name, size) in enumerate(LAYERS.items())
    }


def thumbnails(pictures, labels, side):
    return [thumbnail(p, label, side) for p, label in zip(pictures, labels, strict=True)]


def standardised(values):
    return StandardScaler().fit_transform(values)
