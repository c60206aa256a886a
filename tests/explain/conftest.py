"""Photographs, and the network that is explained."""

import pytest
from PIL import Image
from skimage import data

import tlcourse as tl


@pytest.fixture(scope="module")
def backbone():
    return tl.load_backbone(device="cpu")


@pytest.fixture(scope="module")
def crops():
    """Six pictures: three of a cat, three of a cup."""
    photographs = [Image.fromarray(data.chelsea()), Image.fromarray(data.coffee())]
    return [p.crop((x, 20, x + 200, 220)) for p in photographs for x in (0, 80, 160)]
