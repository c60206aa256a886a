"""The neighbour explorer shows the neighbours and the map that its controls ask for."""

import gc
import re
import threading
import weakref

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from tiny_maps import LAYERS, SPLIT, N, made_features, standardised, thumbnails
from tiny_tasks import CLASSES, make_task

import tlcourse as tl
from tlcourse.features.neighbours import nearest
from tlcourse.plots.figure import COLOURS
from tlcourse.widgets import neighbours, neighbours_map
from tlcourse.widgets.neighbours import NeighbourExplorer
from tlcourse.widgets.neighbours_map import draw_map, places
from tlcourse.widgets.tiles import webp_uri


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


def test_the_tsne_map_is_that_of_sklearn_turned_and_computed_once(explorer, monkeypatch):
    counted, real = [], neighbours_map._tsne
    monkeypatch.setattr(neighbours_map, "_tsne", lambda x: counted.append(1) or real(x))
    sent = alts_of_maps(explorer)
    move(explorer, way="t-SNE")
    x = standardised(made_features()["deep"])
    expected = TSNE(2, init="pca", perplexity=(N - 1) / 3, random_state=0).fit_transform(x)
    found = explorer._held.points("deep", "t-SNE")
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
    share = f"By all features it is {explorer._held.shares['shallow']:.0%}"
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
    known = weakref.ref(explorer._held)
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
        ({"features": {"a": np.ones((N, 4, 2, 2))}}, r"features of shape \(N, C\)"),
        ({"features": {"a": np.ones((N, 4))}}, "a, .* make no map .* rows that differ"),
        ({"features": {"a": np.arange(N)[:, None]}}, "a, .* make no map .* 2 numbers or more"),
        ({"features": {"a": np.full((N, 4), np.nan)}}, "need finite features"),
        ({"features": {"a": np.full((N, 4), np.inf)}}, "need finite features"),
        ({"pictures": [SPLIT[i][0] for i in range(N)]}, "class of each of the 18 pictures"),
        ({"labels": [0, 1]}, "class of each of the 18 pictures"),
        ({"labels": ["x"] * N}, "whole number from 0 to 9999"),
        ({"labels": [-1] * N}, "whole number from 0 to 9999"),
        ({"labels": [3] * N}, "name for each class from 0 to 3"),
        ({"pictures": SPLIT.take([0, 1])}, "list of 4 to 1000 pictures, .* got 2"),
        ({"features": np.ones((N, 4))}, "must be a dict .* got ndarray"),
        ({"features": None}, "must be a dict .* got NoneType"),
        ({"features": {"a": 3}}, r"features of shape \(N, C\)"),
        ({"features": {"a": np.array(3.0)}}, r"features of shape \(N, C\)"),
        ({"pictures": {i: SPLIT[i][0] for i in range(N)}}, "needed as a PIL image, .* int"),
        ({"pictures": "a folder"}, "needed as a PIL image, .* str"),
        ({"pictures": SPLIT[0][0]}, "list of .* pictures, .* got Image"),
        ({"pictures": make_task()}, "list of .* pictures, .* got Task"),
        ({"pictures": (SPLIT[i][0] for i in range(N))}, "list of .* pictures, .* got generator"),
        ({"pictures": np.zeros((N, 8, 8, 3), np.uint8)}, "needed as a PIL image, .* ndarray"),
        ({"labels": 3}, "class of each of the 18 pictures"),
        ({"labels": "ants"}, "class of each of the 18 pictures"),
        ({"labels": [[0, 1]] * N}, "whole number from 0 to 9999"),
        ({"labels": [0.5] * N}, "whole number from 0 to 9999"),
        ({"labels": [20_240_101] * N}, "whole number from 0 to 9999"),
        ({"classes": CLASSES[:2]}, "name for each class from 0 to 2"),
        ({"classes": "ants"}, "Class names must be a list"),
        ({"classes": {0: "ants", 1: "bees", 2: "goldfishes"}}, "must be a list"),
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
