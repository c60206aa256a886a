"""A map keeps its positions and colours, and no text can break the page."""

import base64
import io

import matplotlib as mpl
import numpy as np
from PIL import Image

from tlcourse.base.html import render
from tlcourse.widgets.tiles import map_uri, photo_uri, row, tile


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_map_keeps_its_positions_and_its_ends_take_the_ends_of_the_palette():
    values = np.arange(12.0).reshape(3, 4)
    image = decoded(map_uri(values))
    assert image.size == (4, 3)
    colours = np.asarray(image.convert("RGB")) / 255
    viridis = mpl.colormaps["viridis"]
    assert np.abs(colours[0, 0] - viridis(0.0)[:3]).max() < 0.01
    assert np.abs(colours[-1, -1] - viridis(1.0)[:3]).max() < 0.01
    assert decoded(map_uri(np.zeros((300, 300)))).size == (150, 150)


def test_with_a_limit_purple_is_below_0_and_orange_above():
    values = np.array([[-9.0, -2, 0, 2, 9]])
    colours = np.asarray(decoded(map_uri(values, limit=2)).convert("RGB"))[0] / 255
    expected = mpl.colormaps["PuOr_r"]([0.0, 0, 0.5, 1, 1])[:, :3]
    assert np.abs(colours - expected).max() < 0.02


def test_a_clear_map_shines_through_where_it_is_low_or_in_the_middle_of_two_colours():
    def alpha(limit):
        values = np.array([[-1.0, 0.0, 1.0]])
        image = decoded(map_uri(values, limit=limit, clear=True)).convert("RGBA")
        return np.asarray(image)[0, :, 3].tolist()

    low, middle, high = alpha(None)
    assert low == 0
    assert low < middle < high
    left, middle, right = alpha(1)
    assert middle < 5
    assert left == right > 200


def test_a_picture_is_shrunk_only_if_it_is_larger():
    values = np.random.default_rng(0).random((40, 20, 3))
    assert decoded(photo_uri(values, 10)).size == (5, 10)
    shown = decoded(photo_uri(values, 100))
    assert shown.size == (20, 40)
    levels = np.rint(values * 255).astype(np.uint8)
    assert photo_uri(levels) == photo_uri(values)


def test_what_is_said_about_a_picture_cannot_break_the_page():
    uri = photo_uri(np.zeros((2, 2, 3)))
    said = tile(uri, 'a "<b>', render("<b>{{ bold }}</b> {{ text }}", bold="<p>", text="<i>"))
    assert 'alt="a &#34;&lt;b&gt;"' in said
    assert f'src="{uri}"' in said
    assert "<b>&lt;p&gt;</b> &lt;i&gt;</figcaption>" in said
    assert "<figcaption" not in tile(uri, "no caption")
    assert "&lt;h" in row([said], "<h>")
    assert said in row([said])
