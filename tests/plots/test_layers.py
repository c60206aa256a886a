"""Filters and maps are the network's own values. Figures of probes are tested with the probes."""

import numpy as np
import pytest
from figures import photographs_in, texts

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError

plots = tl.plots


def test_filters_are_the_weights_sorted_from_grey_to_colour(backbone):
    figure = plots.filters(backbone, limit=5)
    shown = [np.asarray(i.get_array()) for i in photographs_in(figure)]
    assert len(shown) == 5
    weights = backbone.model.conv_stem.weight.detach().numpy()
    scaled = 0.5 + weights / np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / 2
    for picture in shown:
        assert min(np.abs(scaled - picture.transpose(2, 0, 1)).max(axis=(1, 2, 3))) < 1e-6
    spread = [picture.std(axis=2).mean() / np.abs(picture - 0.5).mean() for picture in shown]
    assert spread[0] < spread[-1]
    with pytest.raises(CourseError, match="no convolution"):
        plots.filters(backbone, layer="conv_head")


def test_filters_of_a_network_that_reads_blue_first_have_their_own_colours():
    squeezenet = tl.load_backbone("squeezenet1_1", device="cpu")
    first = squeezenet.model.features[0].weight.detach().numpy()
    shown = np.asarray(photographs_in(plots.filters(squeezenet, limit=1))[0].get_array())
    scaled = 0.5 + first / np.abs(first).max(axis=(1, 2, 3), keepdims=True) / 2
    red_first = scaled[:, ::-1].transpose(0, 2, 3, 1)
    assert np.abs(red_first - shown).max(axis=(1, 2, 3)).min() < 1e-6


def test_maps_are_the_most_varied_channels_of_each_layer(backbone, cat):
    figure = plots.activation_maps(backbone, cat, ["stem", "stage7"], channels=3)
    found = tl.activations(backbone, cat, ["stage7"])["stage7"][0]
    best = found.std(dim=(1, 2)).argmax().item()
    shown = [np.asarray(i.get_array()) for a in figure.axes for i in a.images]
    assert len(shown) == 1 + 2 * 3
    assert any(np.array_equal(map_, found[best].numpy()) for map_ in shown)
    assert "320 x 7 x 7" in figure.alt
    assert any("320 x 7 x 7" in text for text in texts(figure))
    with pytest.raises(CourseError, match="no maps"):
        plots.activation_maps(backbone, cat, ["embedding"])
    with pytest.raises(UnknownNameError, match="stage7"):
        plots.activation_maps(backbone, cat, ["stage_7"])
