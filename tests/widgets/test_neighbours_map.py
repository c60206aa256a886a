"""Flat maps of a task: where pictures lie, and how thumbnails are drawn."""

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from tiny_maps import SPLIT, made_features, standardised, thumbnails

from tlcourse.plots.figure import COLOURS
from tlcourse.widgets.neighbours_map import (
    MARGIN,
    KnownTask,
    draw_map,
    laid_on,
    places,
    share_on_map,
    thumbnail,
)


@pytest.fixture
def known():
    return KnownTask(made_features(), SPLIT, None, None)


def test_shares_by_hand():
    points = np.array([[0.0, 0], [1, 0], [1.5, 0], [9, 9]])  # the nearest are 1, 2, 1, 2
    assert share_on_map(points, np.array([0, 0, 1, 1])) == 0.5
    x = {"a": np.arange(8.0).reshape(4, 2) ** 2}
    known = KnownTask(x, [SPLIT[i][0] for i in range(4)], [0, 0, 0, 1], None)
    assert known.chance == pytest.approx(0.5)  # 2/3, 2/3, 2/3 and 0


def test_a_pca_map_has_the_distances_of_sklearn_and_lies_on_the_one_before():
    known, before = KnownTask(made_features(), SPLIT, None, None), None
    for name, values in made_features().items():
        points = known.points(name, "PCA")
        assert np.allclose(pdist(points), pdist(PCA(2).fit_transform(standardised(values))))
        if before is not None:
            turned = [
                points @ [[np.cos(a), mirror * np.sin(a)], [-np.sin(a), mirror * np.cos(a)]]
                for a in np.linspace(0, 2 * np.pi, 73)
                for mirror in (1, -1)
            ]
            away = [((other - before) ** 2).sum() for other in turned]
            assert ((points - before) ** 2).sum() <= min(away) + 1e-9
        before = points


def test_a_turned_and_mirrored_map_is_laid_back():
    points = np.random.default_rng(0).normal(size=(9, 2))
    turned = (points - points.mean(axis=0)) @ [[0.6, 0.8], [0.8, -0.6]] + [3, 5]
    assert np.allclose(laid_on(turned, points), points - points.mean(axis=0))


def test_a_map_has_each_thumbnail_at_its_place_upright_and_to_scale():
    points = np.array([[0.0, 0], [4, 0], [4, 2], [1, 1]])
    size = (4 * 50 + 2 * MARGIN, 300)  # 50 pixels for 1
    where = places(points, size)
    middle = np.array([size[0] / 2, 150])
    assert np.allclose(where * size, middle + 50 * (points - [2, 1]) * [1, -1])
    pictures = [SPLIT[i][0] for i in range(4)]
    labels = np.array([0, 1, 2, 0])
    picture = draw_map(where, thumbnails(pictures, labels, 30), size)
    for (x, y), label in zip(where * size, labels, strict=True):
        across = np.asarray(picture)[round(y), round(x) - 16 : round(x) + 16]
        framed = (across == [int(COLOURS[label][i : i + 2], 16) for i in (1, 3, 5)]).all(axis=1)
        assert framed.sum() == 4  # the frame, 2 pixels wide, on both sides
    assert (np.asarray(picture)[:40] == 255).all()


def rings(picture, row):
    """Colours from the left edge of a picture to what it shows, each with its width in pixels."""
    colours = [tuple(colour) for colour in np.asarray(picture)[row]]
    found = []
    for colour in colours[: len(colours) // 2]:
        if not found or found[-1][0] != colour:
            found.append([colour, 0])
        found[-1][1] += 1
    return [tuple(ring) for ring in found[:5]]


def test_marked_pictures_have_a_double_frame_also_where_their_class_is_black(known):
    white, black = (255, 255, 255), (0, 0, 0)
    known.labels[[3, 4]] = 6
    assert COLOURS[6] == "#000000"
    plain = thumbnail(known.pictures[3], 6, 40)
    assert rings(plain, plain.height // 2)[:2] == [(white, 1), (black, 3)]
    marked = known.marked_thumbnails([3, 4], 40)
    for picture, own in ((marked[3], 5), (marked[4], 3)):
        expected = [(white, 2), (black, 5), (white, 3 + 1), (black, own)]
        assert rings(picture, picture.height // 2)[:4] == expected


def test_the_chosen_picture_is_the_largest_on_the_map(known):
    for side in (30, 39, 60):
        plain = thumbnail(known.pictures[0], 0, side)
        marked = known.marked_thumbnails([5, 2, 9], side)
        assert list(marked) == [5, 2, 9]
        assert marked[5].width >= marked[2].width + 20
        assert marked[2].width == marked[9].width == plain.width + 20
        assert marked[5].width / 2 <= MARGIN  # so it is not cut off at the edge


def test_marked_pictures_lie_on_top_the_first_above_all():
    small = [Image.new("RGB", (30, 30), "red")] * 3
    where = np.array([[0.25, 0.5], [0.75, 0.5], [0.75, 0.5]])
    green, blue = (Image.new("RGB", (20, 20), name) for name in ("lime", "blue"))
    at = (300, 100)
    assert draw_map(where, small, (400, 200)).getpixel(at) == (255, 0, 0)
    assert draw_map(where, small, (400, 200), {2: green, 1: blue}).getpixel(at) == (0, 255, 0)
    assert draw_map(where, small, (400, 200), {1: blue, 2: green}).getpixel(at) == (0, 0, 255)


def test_each_thumbnail_has_the_number_of_its_class():
    grey = Image.new("RGB", (48, 48), "#808080")
    for side in (30, 60):
        pictures = [
            np.asarray(p).astype(int) for p in thumbnails([grey] * 2, np.array([0, 1]), side)
        ]
        for picture in pictures:
            badge = picture[:10, :7]
            assert (badge.max(axis=2) < 60).any()
            assert (badge == 255).all(axis=2).any()
            assert (picture[side // 2, side // 2] == 0x80).all()
        digits = [(picture[1:10, 1:6].max(axis=2) < 60).sum() for picture in pictures]
        assert digits[0] != digits[1]  # a zero is not a one
