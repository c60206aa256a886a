"""Photographs, and the network that the figures are about."""

import pytest
from PIL import Image
from skimage import data

import tlcourse as tl


@pytest.fixture(scope="module")
def backbone():
    return tl.load_backbone(device="cpu")


@pytest.fixture(scope="module")
def coffee():
    return Image.fromarray(data.coffee())


@pytest.fixture(scope="module")
def cat():
    return Image.fromarray(data.chelsea())


@pytest.fixture(scope="module")
def crops(coffee, cat):
    """Six pictures: three of a cat, three of a cup."""
    return [p.crop((x, 20, x + 200, 220)) for p in (cat, coffee) for x in (0, 80, 160)]
