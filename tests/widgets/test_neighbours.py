"""The neighbour explorer shows the neighbours and the map that its controls ask for."""

import gc
import re
import threading
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist, pdist
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler
from tiny_tasks import CLASSES, make_task

import tlcourse as tl
from tlcourse.features.neighbours import nearest
from tlcourse.plots.figure import COLOURS
from tlcourse.widgets import neighbours, neighbours_map
from tlcourse.widgets.neighbours import NeighbourExplorer
from tlcourse.widgets.neighbours_data import KnownTask
from tlcourse.widgets.neighbours_map import (
    MARGIN,
    FlatMaps,
    draw_map,
    laid_on,
    marked_thumbnails,
    places,
    share_on_map,
    thumbnail,
)
from tlcourse.widgets.tiles import webp_uri

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


@pytest.fixture
def explorer():
    explorer = NeighbourExplorer(made_features(), SPLIT, classes=CLASSES, credit="By <us>")
    yield explorer
    explorer.close()


def move(explorer, **values):
    for name, value in values.items():
        getattr(explorer, name).value = value
    assert explorer.wait(30)
    assert explorer.problem.value == ""


def words(panel):
    return " ".join(re.sub("<[^>]*>", " ", panel.value).split())


def pictures_in(panel):
    """Indices of the pictures that a panel shows."""
    own = [webp_uri(picture) for picture, _ in SPLIT]
    return [own.index(uri) for uri in re.findall('src="([^"]*)"', panel.value)]


def alts_of_maps(explorer):
    """Texts of the maps that are sent from now on."""
    sent = []
    explorer.map.observe(
        lambda change: sent.append(re.search('alt="([^"]*)"', change.new)[1]), names="value"
    )
    return sent


def thumbnails(pictures, labels, side):
    return [thumbnail(p, label, side) for p, label in zip(pictures, labels, strict=True)]


def standardised(values):
    return StandardScaler().fit_transform(values)


def test_the_neighbours_are_those_of_the_chosen_picture_and_layers(explorer):
    features, names = made_features(), list(LAYERS)
    for label, number, shallow, deep in ((0, 0, 0, 2), (2, 3, 1, 0), (1, 5, 2, 1)):
        move(explorer, kind=label)
        move(explorer, number=number, shallow=shallow, deep=deep)
        index = np.flatnonzero(SPLIT.labels == label)[number]
        assert pictures_in(explorer.chosen) == [index]
        for panel, layer in ((explorer.near_shallow, shallow), (explorer.near_deep, deep)):
            expected = nearest(features[names[layer]], [index], 6)[0][0].tolist()
            assert pictures_in(panel) == expected
            assert f"Nearest by {names[layer]}:" in words(panel)


def test_neighbours_of_the_same_class_are_ticked_and_counted(explorer):
    move(explorer, kind=1, number=2)
    said = re.findall("<figcaption[^>]*>(.*?)</figcaption>", explorer.near_deep.value)
    labels = [SPLIT.labels[i] for i in pictures_in(explorer.near_deep)]
    assert said == [f"<b>✓\u00a0{CLASSES[i]}</b>" if i == 1 else CLASSES[i] for i in labels]
    assert 0 < labels.count(1) < 6
    assert f"{labels.count(1)} of 6 of the same class" in words(explorer.near_deep)


def test_a_layer_for_the_neighbours_changes_its_own_row_only(explorer):
    shallow, deep = explorer.near_shallow.value, explorer.near_deep.value
    move(explorer, shallow=1)
    assert explorer.near_shallow.value != shallow
    assert explorer.near_deep.value == deep
    move(explorer, shallow=0, deep=1)
    assert explorer.near_shallow.value == shallow
    assert explorer.near_deep.value != deep


def test_the_picture_slider_has_as_many_positions_as_the_class_has_pictures():
    some = [i for i in range(N) if i not in (0, 1)]
    features = {name: values[some] for name, values in made_features().items()}
    explorer = NeighbourExplorer(features, SPLIT.take(some), classes=CLASSES)
    assert explorer.number.labels == [f"{i} of 4" for i in (1, 2, 3, 4)]
    move(explorer, kind=2, number=5)
    assert explorer.number.label == "6 of 6"
    move(explorer, kind=0)
    assert explorer.number.label == "1 of 4"
    explorer.close()


def test_the_map_is_drawn_and_sent_only_when_it_is_another_one(explorer, monkeypatch):
    drawn = []
    monkeypatch.setattr(neighbours, "draw_map", lambda *a: drawn.append(1) or draw_map(*a))
    sent = alts_of_maps(explorer)
    move(explorer, kind=1)
    move(explorer, number=2, shallow=1, deep=1)
    assert sent == drawn == []
    move(explorer, depth=0)
    assert len(sent) == len(drawn) == 1
    assert "Map by PCA of shallow" in sent[0]


def test_a_map_of_many_bytes_is_sent_with_fewer(explorer, monkeypatch):
    usual = len(explorer.map.value)
    move(explorer, depth=0)
    monkeypatch.setattr(neighbours, "_MOST_BYTES", 0.8 * usual)
    move(explorer, depth=2)
    assert len(explorer.map.value) < 0.9 * usual


def test_the_chosen_picture_and_its_neighbours_lie_where_the_map_has_them(explorer):
    features = made_features()
    move(explorer, kind=2, number=1, depth=0, deep=1)
    index = np.flatnonzero(SPLIT.labels == 2)[1]
    where = places(PCA(2).fit_transform(standardised(features["shallow"])))
    expected = [*nearest(features["middle"], [index], 6)[0][0][::-1], index]
    found = re.findall(r"left:([\d.]+)%;top:([\d.]+)%", explorer.marks.value)
    assert np.allclose(np.array(found, dtype=float), 100 * where[expected], atol=0.01)
    assert "its 6 nearest by middle" in words(explorer.words)


def test_the_sentence_counts_the_pictures_whose_nearest_one_is_of_their_class(explorer):
    move(explorer, depth=1)
    features, hits, on_map = made_features()["middle"], 0, 0
    x = standardised(features)
    angles, points = cdist(x, x, "cosine"), PCA(2).fit_transform(x)
    flat = cdist(points, points)
    for i in range(N):
        others = [j for j in range(N) if j != i]
        hits += SPLIT.labels[min(others, key=lambda j: angles[i, j])] == SPLIT.labels[i]
        on_map += SPLIT.labels[min(others, key=lambda j: flat[i, j])] == SPLIT.labels[i]
    said = words(explorer.words)
    assert hits != on_map
    assert f"Map by PCA of middle: for {on_map / N:.0%} of the 18 pictures the nearest" in said
    assert f"of the same class ({5 / 17:.0%} by chance)" in said  # 5 of the 17 others
    assert f"By all 3 features it is {hits / N:.0%} ." in said
    assert f"for {on_map / N:.0%} of the 18 pictures" in explorer.map.value
    kept = PCA(2).fit(x).explained_variance_ratio_.sum()
    assert f"{kept:.0%} of the variance" in said


def test_shares_by_hand():
    points = np.array([[0.0, 0], [1, 0], [1.5, 0], [9, 9]])  # the nearest are 1, 2, 1, 2
    assert share_on_map(points, np.array([0, 0, 1, 1])) == 0.5
    x = {"a": np.arange(8.0).reshape(4, 2) ** 2}
    known = KnownTask(x, [SPLIT[i][0] for i in range(4)], [0, 0, 0, 1], None)
    assert known.chance == pytest.approx(0.5)  # 2/3, 2/3, 2/3 and 0


def test_a_pca_map_has_the_distances_of_sklearn_and_lies_on_the_one_before():
    layers = {name: standardised(values) for name, values in made_features().items()}
    maps, before = FlatMaps(layers), None
    for name, x in layers.items():
        points = maps.points(name, "PCA")
        assert np.allclose(pdist(points), pdist(PCA(2).fit_transform(x)))
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


def test_the_tsne_map_is_that_of_sklearn_turned_and_computed_once(explorer, monkeypatch):
    counted, real = [], neighbours_map._tsne
    monkeypatch.setattr(neighbours_map, "_tsne", lambda x: counted.append(1) or real(x))
    sent = alts_of_maps(explorer)
    move(explorer, way="t-SNE")
    x = standardised(made_features()["deep"])
    expected = TSNE(2, init="pca", perplexity=(N - 1) / 3, random_state=0).fit_transform(x)
    found = explorer._known.maps.points("deep", "t-SNE")
    assert np.allclose(pdist(found), pdist(expected), rtol=1e-3)
    move(explorer, way="PCA")
    move(explorer, way="t-SNE", number=3)
    assert counted == [1]
    assert [alt.split()[2] for alt in sent] == ["t-SNE", "PCA", "t-SNE"]
    assert "says little" in explorer.words.value


def test_a_tsne_map_that_is_no_longer_wanted_is_not_shown(explorer, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(x):
        begun.set()
        go_on.wait(10)
        return x[:, :2]

    monkeypatch.setattr(neighbours_map, "_tsne", slow)
    sent = alts_of_maps(explorer)
    explorer.way.value = "t-SNE"
    assert begun.wait(10)
    assert "some seconds" in explorer.status.value
    explorer.way.value = "PCA"
    explorer.depth.value = 0
    go_on.set()
    move(explorer)
    assert len(sent) == 1
    assert sent[0].startswith("Map by PCA")
    assert "of shallow" in sent[0]
    assert "some seconds" not in explorer.status.value


def test_an_error_is_shown_and_the_explorer_works_afterwards(explorer, monkeypatch):
    def broken(x):
        raise MemoryError("no room")

    monkeypatch.setattr(neighbours_map, "_tsne", broken)
    explorer.way.value = "t-SNE"
    assert explorer.wait(10)
    assert "no room" in explorer.problem.value
    sent = alts_of_maps(explorer)
    move(explorer, way="PCA", depth=1)
    assert "of middle" in sent[-1]


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


def test_marked_pictures_have_a_double_frame_also_where_their_class_is_black(explorer):
    white, black = (255, 255, 255), (0, 0, 0)
    labels = SPLIT.labels.copy()
    labels[[3, 4]] = 6
    pictures = explorer._known.pictures
    assert COLOURS[6] == "#000000"
    plain = thumbnail(pictures[3], 6, 40)
    assert rings(plain, plain.height // 2)[:2] == [(white, 1), (black, 3)]
    marked = marked_thumbnails(pictures, labels, [3, 4], 40)
    for picture, own in ((marked[3], 5), (marked[4], 3)):
        expected = [(white, 2), (black, 5), (white, 3 + 1), (black, own)]
        assert rings(picture, picture.height // 2)[:4] == expected


def test_the_chosen_picture_is_the_largest_on_the_map(explorer):
    for side in (30, 39, 60):
        plain = thumbnail(explorer._known.pictures[0], 0, side)
        marked = marked_thumbnails(explorer._known.pictures, SPLIT.labels, [5, 2, 9], side)
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


def test_the_map_and_the_static_figure_say_how_pictures_are_marked(explorer):
    said = words(explorer.words)
    assert "In a double frame: the chosen picture, large, and its 6 nearest" in said
    figure = explorer._static()
    assert "In a double frame: a picture of the class ants and its 6 nearest" in figure.alt
    said = figure.legends[0].get_title().get_text()
    assert said.startswith("In a double frame: a picture, large, and its 6 nearest by deep")
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == [f"{i} {name}" for i, name in enumerate(CLASSES)]


def test_beyond_seven_classes_numbers_tell_equal_colours_apart():
    labels = np.arange(N) % 9
    features, names = made_features(), [f"kind{i}" for i in range(9)]
    explorer = NeighbourExplorer(features, SPLIT, labels=labels, classes=names)
    said = words(explorer.legend)
    assert "0 kind0" in said
    assert "8 kind8" in said
    assert "Colours repeat, numbers do not" in said
    first, eighth = thumbnails([SPLIT[0][0]] * 2, np.array([0, 7]), 40)
    assert first.getpixel((20, 2)) == eighth.getpixel((20, 2))
    assert np.any(np.asarray(first) != np.asarray(eighth))
    explorer.close()


def test_the_legend_says_which_class_has_which_colour_and_number(explorer):
    legend = explorer.legend.value
    found = re.findall(r'background:(#\w+)"></span> ([^<]*)<', legend)
    numbered = [f"{i} {name}" for i, name in enumerate(CLASSES)]
    assert found == list(zip(COLOURS, numbered, strict=False))
    assert "Colours repeat" not in legend


def test_long_names_do_not_make_the_legend_of_the_figure_too_wide():
    names = [f"plants and {'animals ' * (i % 3)}{i}" for i in range(9)]
    explorer = NeighbourExplorer(made_features(), SPLIT, labels=np.arange(N) % 9, classes=names)
    figure = explorer._static()
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    explorer.close()


def test_the_status_line_says_what_was_found_below_the_controls_of_the_map(explorer):
    at = explorer.children.index(explorer.way)
    assert explorer.children[at + 1 : at + 3] == (explorer.status, explorer.problem)
    move(explorer, kind=1, number=5)

    def counted(panel):
        return [SPLIT.labels[i] for i in pictures_in(panel)].count(1)

    deep, shallow = counted(explorer.near_deep), counted(explorer.near_shallow)
    assert deep != shallow
    said = f"{deep} of 6 nearest by deep, {shallow} of 6 by shallow are of the same class."
    assert explorer.status.value == said
    move(explorer, shallow=2)
    assert explorer.status.value == f"{deep} of 6 nearest by deep are of the same class."
    move(explorer, depth=0)
    share = re.search("Map by PCA of shallow: for (.*?%)", explorer.words.value)[1]
    said = f"Map by PCA of shallow: for {share} of the 18 pictures the nearest one"
    assert explorer.status.value == f"{said} is of the same class (29% by chance)."


def test_where_no_kernel_runs_the_two_maps_stand_in(explorer):
    element = explorer._repr_mimebundle_()["text/html"]
    share = f"By all features it is {explorer._known.shares['shallow']:.0%}"
    assert re.match(f'<img alt="Map by PCA of shallow.*{share}.*Map by PCA of deep', element)
    assert len(element) < 150_000
    figure = explorer._static()
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.get_figwidth()
    assert box.y1 <= figure.get_figheight()


def test_the_credit_stands_below_the_map_and_is_text(explorer):
    assert explorer.children[-1].value == "<small>By &lt;us&gt;</small>"
    assert explorer._static().legends[0].get_title().get_text().endswith("By <us>")


def test_nothing_is_kept_after_it_is_closed(explorer):
    known = weakref.ref(explorer._known)
    move(explorer, depth=1)
    explorer.close()
    explorer._latest._thread.join(10)
    gc.collect()
    assert known() is None


def test_many_moves_keep_nothing(explorer):
    def kept():
        gc.collect()
        return len(gc.get_objects())

    def moves():
        for i in range(30):
            move(explorer, kind=i % 3)
            move(explorer, number=i % 6, depth=i % 3, deep=i % 2)

    moves()
    before = kept()
    moves()
    assert kept() - before < 30


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"features": {}}, "must be a dict with at least one layer"),
        (
            {"features": {"a": np.ones((3, 4))}},
            rf"a, of shape \(3, 4\), make no map of {N} pictures",
        ),
        ({"features": {"a": np.ones((N, 4, 2, 2))}}, r"features of a .* shape \(N, C\)"),
        ({"features": {"a": np.ones((N, 4))}}, "a, .* make no map .* rows that differ"),
        ({"features": {"a": np.arange(N)[:, None]}}, "a, .* make no map .* 2 numbers or more"),
        ({"features": {"a": np.full((N, 4), np.nan)}}, "features of a .* finite"),
        ({"features": {"a": np.full((N, 4), np.inf)}}, "features of a .* finite"),
        ({"pictures": [SPLIT[i][0] for i in range(N)]}, "class of each of the 18 pictures"),
        ({"labels": [0, 1]}, "class of each of the 18 pictures"),
        ({"labels": ["x"] * N}, "whole number from 0 to 9999"),
        ({"labels": [-1] * N}, "whole number from 0 to 9999"),
        ({"labels": [3] * N}, "name for each class from 0 to 3, got 3"),
        ({"pictures": SPLIT.take([0, 1])}, "list of 4 to 1000 pictures, .* got 2"),
        ({"features": np.ones((N, 4))}, "must be a dict .* got ndarray"),
        ({"features": None}, "must be a dict .* got NoneType"),
        ({"features": {"a": 3}}, r"features of a .* shape \(N, C\)"),
        ({"features": {"a": None}}, "features of a cannot be used"),
        ({"features": {"a": ["x"] * N}}, "features of a cannot be used"),
        ({"features": {"a": [[1, 2], [3]] * (N // 2)}}, "features of a cannot be used"),
        ({"features": {"a": np.array(3.0)}}, r"features of a .* shape \(N, C\)"),
        ({"pictures": {i: SPLIT[i][0] for i in range(N)}}, "list of .* pictures, .* got dict"),
        ({"pictures": "a folder"}, "list of .* pictures, .* got str"),
        ({"pictures": SPLIT[0][0]}, "list of .* pictures, .* got Image"),
        ({"pictures": make_task()}, "list of .* pictures, .* got Task"),
        ({"pictures": (SPLIT[i][0] for i in range(N))}, "list of .* pictures, .* got generator"),
        ({"pictures": ["a.png"] * N, "labels": SPLIT.labels}, "Picture 0 is no picture but a str"),
        (
            {"pictures": np.zeros((N, 8, 8, 3), np.uint8), "labels": SPLIT.labels},
            "Picture 0 is no picture but a ndarray",
        ),
        ({"labels": 3}, "class of each of the 18 pictures"),
        ({"labels": "ants"}, "class of each of the 18 pictures"),
        ({"labels": [[0], [1, 2]] * (N // 2)}, "whole number from 0 to 9999"),
        ({"labels": [[0, 1]] * N}, "whole number from 0 to 9999"),
        ({"labels": [0.5] * N}, "whole number from 0 to 9999"),
        ({"labels": [20_240_101] * N}, "whole number from 0 to 9999"),
        ({"classes": CLASSES[:2]}, "name for each class from 0 to 2, got 2"),
        ({"classes": []}, "name for each class from 0 to 2, got list"),
        ({"classes": "ants"}, "Class names must be a list, .* got str"),
        ({"classes": 3}, "Class names must be a list, .* got int"),
        ({"classes": {0: "ants", 1: "bees", 2: "goldfishes"}}, "must be a list, .* got dict"),
    ],
)
def test_what_does_not_fit_is_one_sentence(options, sentence):
    right = {"features": made_features(), "pictures": SPLIT, "labels": None, "classes": CLASSES}
    options = right | options
    features, pictures = options.pop("features"), options.pop("pictures")
    with pytest.raises(tl.CourseError, match=sentence):
        NeighbourExplorer(features, pictures, **options)


def test_the_features_themselves_will_do_as_well_as_their_x(explorer):
    x = made_features()
    features = tl.Features(
        x, SPLIT.labels, np.full(N, "train"), CLASSES, tuple(SPLIT.names), None, "made up"
    )
    other = NeighbourExplorer(features, SPLIT, classes=CLASSES)
    assert other.deep.labels == list(LAYERS)
    assert other.near_deep.value == explorer.near_deep.value
    other.close()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_features_may_be_tensors_and_layers_numbers(kind):
    x = {i: torch.tensor(values).to(kind) for i, values in enumerate(made_features().values())}
    explorer = NeighbourExplorer(x, SPLIT, labels=torch.tensor(SPLIT.labels), classes=CLASSES)
    assert explorer.deep.labels == ["0", "1", "2"]
    expected = nearest(x[2].double(), [0], 6)[0][0].tolist()
    assert pictures_in(explorer.near_deep) == expected
    explorer.close()
