import base64
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from figures import nothing_is_cut_off, texts
from matplotlib import pyplot as plt
from matplotlib import rcParams
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from skimage import data

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.explain.excitation import effective_receptive_field, excitations
from tlcourse.features.neighbours import nearest
from tlcourse.plots.figure import WIDTH, Figure, encode, mime_bundle, place

plots = tl.plots


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


def photographs_in(figure):
    return [i for a in figure.axes for i in a.images if i.get_array().ndim == 3]


# --- what every figure has in common ---


def one_of_each(backbone, cat, crops):
    square = np.linspace(-1, 1, 224 * 224, dtype=np.float32).reshape(224, 224)
    features = {"stem": np.eye(6) + np.arange(6)[:, None], "embedding": np.eye(6)}
    yield plots.filters(backbone)
    yield plots.activation_maps(backbone, cat, ["stem", "stage3", "stage7"], channels=2)
    yield plots.top_pictures(backbone, crops, "stage2", [0, 3], n=3)
    yield plots.nearest_neighbours(features, crops, [0, 5], n=2, labels=[0, 0, 0, 1, 1, 1])
    yield plots.predictions(backbone, {"a cat": cat, "half of it": crops[0], "end": crops[2]})
    yield plots.attribution(backbone, cat, {"grad_cam": square, "occlusion": -square}, 282)
    yield plots.bars({"one": 1.0, "another": 2.0}, reference=("chance", 0.5), title="Bars")
    yield plots.lines([1, 2], {"a": [1.0, 2.0], "b": [2.0, 1.0]}, xlabel="x")


def test_each_figure_has_its_text_fits_the_notebook_and_is_small(backbone, cat, crops):
    before = dict(rcParams)
    for figure in one_of_each(backbone, cat, crops):
        assert isinstance(figure, Figure)
        assert len(figure.alt) > 30
        assert figure.get_figwidth() <= WIDTH + 0.5
        nothing_is_cut_off(figure)
        _, content, width = encode(figure)
        assert len(content) < 80_000
        assert width <= 950
    assert dict(rcParams) == before
    assert not plt.get_fignums()


def test_the_text_of_each_figure_can_be_replaced(backbone, cat, crops):
    assert plots.bars({"a": 1.0}, alt="My words.").alt == "My words."
    assert plots.filters(backbone, alt="My words.").alt == "My words."
    assert plots.predictions(backbone, cat, alt="My words.").alt == "My words."


def test_the_output_is_one_opaque_picture_with_its_text_escaped():
    figure = plots.bars({"a": 1.0}, alt='1 < 2 & "so"')
    bundle = mime_bundle(figure, figure.alt)
    assert bundle["text/plain"] == '1 < 2 & "so"'
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/html"].startswith('<img alt="1 &lt; 2 &amp; &quot;so&quot;" width="')
    (encoded,) = re.findall(r"base64,([^\"]+)\"", bundle["text/html"])
    picture = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
    assert picture.getpixel((0, 0)) == (255, 255, 255, 255)


def test_a_notebook_shows_each_figure_once_and_its_html_carries_the_text(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    by_hand = (
        "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\naxes.plot([1, 2])\n"
        "plots.show(figure, alt='A line that rises.')"
    )
    cells = [
        "from tlcourse import plots\nplots.bars({'a': 1.0}, alt='One < two.')",
        by_hand,
        "display(plots.bars({'b': 1.0}, alt='In the middle.'))\nlater = 1",
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    assert [len(cell.outputs) for cell in notebook.cells] == [1, 1, 1]
    nbformat.validate(notebook)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert re.findall(r'<img alt="([^"]*)"', page) == [
        "One &lt; two.",
        "A line that rises.",
        "In the middle.",
    ]
    assert page.count("<img") == 3


def test_show_closes_a_figure_drawn_by_hand_and_wants_a_text():
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    with pytest.raises(CourseError, match="needs a text"):
        plots.show(figure, alt=" ")
    with pytest.raises(CourseError, match="matplotlib figure, got Axes"):
        plots.show(axes, alt="A line.")
    assert repr(plots.show(figure, alt="A line.")) == "Figure: A line."
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [(0, 0, "upper left"), (9, 5, "lower middle"), (5, 5, "centre"), (4, 9, "middle right")],
)
def test_a_place_is_said_in_words(row, column, words):
    values = np.zeros((10, 10))
    values[row, column] = 1
    assert place(values) == words
    assert place(-values) == "nowhere in particular"


# --- the network ---


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


def test_excitations_are_the_maxima_of_the_maps_and_their_places(backbone, crops):
    found = excitations(backbone, [(p, 0) for p in crops], ["stage2", "stage5"], batch=4)
    maps = tl.activations(backbone, crops, ["stage5"])["stage5"]
    got = found["stage5"]
    # Another batch size may round differently.
    np.testing.assert_allclose(got.strongest, maps.amax(dim=(2, 3)).numpy(), rtol=1e-3, atol=1e-4)
    row, column = (got.where[4, 7] * 14 - 0.5).round().astype(int)
    assert maps[4, 7, row, column].item() == pytest.approx(maps[4, 7].max().item(), rel=1e-3)
    assert list(got.top(7, 2)) == maps[:, 7].amax(dim=(1, 2)).argsort(descending=True)[:2].tolist()
    assert found["stage2"].patch < got.patch


def test_a_patch_is_what_a_position_of_the_layer_looks_at(backbone, crops):
    assert effective_receptive_field(backbone, crops[:1], "conv_stem", share=0.999) == 3
    assert effective_receptive_field(backbone, crops[:1], "stage7") > 50


def test_the_pictures_that_excite_a_channel_most_are_shown_with_their_patches(backbone, crops):
    found = excitations(backbone, crops, "stage2")["stage2"]
    figure = plots.top_pictures(backbone, crops, "stage2", 3, n=2, found=found)
    first, patch, second, _ = (np.asarray(i.get_array()) for i in photographs_in(figure)[:4])
    for picture, index in zip((first, second), found.top(3, 2), strict=True):
        seen = backbone.preprocess.undo(backbone.preprocess(crops[index]))
        np.testing.assert_allclose(picture, seen.permute(1, 2, 0), atol=1e-6)
    assert patch.shape == (found.patch, found.patch, 3)
    assert (
        len(
            photographs_in(
                plots.top_pictures(backbone, crops, "stage2", 3, n=2, patches=False, found=found)
            )
        )
        == 2
    )
    with pytest.raises(CourseError, match="channels 0 to 23"):
        plots.top_pictures(backbone, crops, "stage2", 24, found=found)
    with pytest.raises(CourseError, match="no maps"):
        excitations(backbone, crops, "embedding")
    with pytest.raises(CourseError, match="no picture"):
        excitations(backbone, [], "stem")


# --- neighbours ---


def test_neighbours_are_compared_by_standardised_features():
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e3, 1, 1])
    indices, alike = nearest(x, [0, 3], n=2)
    z = ((x - x.mean(0)) / x.std(0, correction=0)).double()
    z = z / z.norm(dim=1, keepdim=True)
    cosine = (z @ z.T).fill_diagonal_(-2)
    expected = cosine[[0, 3]].topk(2)
    assert indices.tolist() == expected.indices.tolist()
    np.testing.assert_allclose(alike, expected.values, atol=1e-5)


def test_a_picture_is_not_its_own_neighbour_even_among_twins():
    indices, _ = nearest(np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]]), [0, 1, 2], n=2)
    for query, found in enumerate(indices):
        assert sorted(found) == sorted({0, 1, 2} - {query})


@pytest.mark.parametrize(
    ("features", "queries", "n", "message"),
    [
        (np.zeros((4, 3, 2, 2)), [0], 1, r"shape \(N, C\), got \(4, 3, 2, 2\)"),
        (np.zeros((4, 3)), [4], 1, "from 0 to 3"),
        (np.zeros((4, 3)), [], 1, "from 0 to 3"),
        (np.zeros((4, 3)), [0], 4, "3 others"),
    ],
)
def test_neighbours_refuse_what_does_not_fit(features, queries, n, message):
    with pytest.raises(CourseError, match=message):
        nearest(features, queries, n)


def test_neighbours_are_shown_by_layer_with_their_classes(crops):
    deep = np.repeat(np.eye(2), 3, axis=0) + 0.01 * np.random.default_rng(0).random((6, 2))
    shallow = np.tile(np.eye(3), (2, 1)) + 0.01 * np.random.default_rng(1).random((6, 3))
    labels = np.array([0, 0, 0, 1, 1, 1])
    figure = plots.nearest_neighbours(
        {"stem": shallow, "embedding": deep},
        crops,
        [0, 4],
        n=2,
        labels=labels,
        classes=["cat", "cup"],
    )
    assert len(photographs_in(figure)) == 2 * (1 + 2 * 2)
    assert "embedding (4 of 4 of the same class)" in figure.alt
    assert texts(figure).count("cup") >= 3
    framed = [a for a in figure.axes if a.spines["left"].get_visible()]
    same = int(re.search(r"stem \((\d) of 4", figure.alt)[1])
    assert len(framed) == same + 4
    with pytest.raises(CourseError, match="features of 5 pictures, but there are 6"):
        plots.nearest_neighbours({"stem": shallow[:5]}, crops, [0])


# --- results ---


def test_predictions_name_the_most_probable_class(backbone, coffee):
    figure = plots.predictions(backbone, coffee, k=3)
    table = tl.top_k(backbone, coffee, 3)
    bars = figure.axes[1].patches
    np.testing.assert_allclose([b.get_width() for b in bars], table["probability"])
    labels = [t.get_text() for t in figure.axes[1].get_yticklabels()]
    assert labels == table["class"].tolist()
    assert labels[0] in figure.alt
    assert f"{table['probability'][0]:.0%}" in figure.alt
    assert figure.axes[1].yaxis_inverted()  # the most probable is on top
    with pytest.raises(CourseError, match="no picture"):
        plots.predictions(backbone, {})


def test_a_tensor_is_shown_as_the_network_sees_it(backbone, coffee):
    tensor = backbone.preprocess(coffee)
    swapped = plots.predictions(backbone, {"blue first": tensor.flip(0)}, k=2)
    shown = photographs_in(swapped)[0].get_array() / 255
    seen = backbone.preprocess.undo(tensor).flip(0).permute(1, 2, 0)
    np.testing.assert_allclose(shown, seen, atol=1 / 255)
    assert tl.top_k(backbone, tensor.flip(0), 1)["class"][0] in swapped.alt


def test_attributions_share_one_symmetric_scale(backbone, cat):
    left = np.zeros((224, 224), dtype=np.float32)
    left[80:140, :60] = 1
    figure = plots.attribution(backbone, cat, {"grad_cam": left, "occlusion": 0 * left}, 282)
    assert "Grad-CAM points to the middle left" in figure.alt
    assert "tiger cat" in figure.alt
    maps = [i for a in figure.axes[1:3] for i in a.images if i.get_array().ndim == 2]
    assert len(maps) == 2
    assert all(i.get_clim() == (-1, 1) for i in maps)
    assert np.asarray(maps[0].get_array())[25, 5] == 1
    assert not np.asarray(maps[1].get_array()).any()
    with pytest.raises(CourseError, match=r"shape \(7, 7\)"):
        plots.attribution(backbone, cat, {"grad_cam": np.zeros((7, 7))}, 282)
    with pytest.raises(CourseError, match="no map"):
        plots.attribution(backbone, cat, {}, 282)


def test_bars_take_a_dictionary_or_a_series():
    figure = plots.bars(
        pd.Series({"frozen": 0.66, "fine-tuned": 0.7}),
        intervals={"frozen": (0.6, 0.72)},
        xlabel="accuracy",
        reference=("chance", 0.25),
    )
    assert [p.get_width() for p in figure.axes[0].patches] == [0.66, 0.7]
    interval, reference = figure.axes[0].lines
    assert list(interval.get_xdata()) == [0.6, 0.72]
    assert list(reference.get_xdata()) == [0.25, 0.25]
    assert figure.alt == (
        "Bars of accuracy: frozen 0.66 (0.6 to 0.72), fine-tuned 0.7; a line marks chance at 0.25."
    )
    with pytest.raises(CourseError, match="nothing to compare"):
        plots.bars({})


def test_curves_differ_by_colour_and_marker():
    figure = plots.accuracy_by_layer(
        {"photographs": {"stem": 0.6, "embedding": 0.9}, "digits": {"stem": 0.7, "embedding": 0.5}},
        intervals={"digits": {"stem": (0.6, 0.8), "embedding": (0.4, 0.6)}},
        chance=0.5,
    )
    first, second, chance = figure.axes[0].lines
    assert list(first.get_ydata()) == [0.6, 0.9]
    assert first.get_color() != second.get_color()
    assert first.get_marker() != second.get_marker()
    assert list(chance.get_ydata()) == [0.5, 0.5]
    assert len(figure.axes[0].collections) == 1  # one band
    assert figure.alt == (
        "Curves of accuracy by layer, from input to output (stem, embedding): "
        "photographs 0.6, 0.9; digits 0.7 (0.6 to 0.8), 0.5 (0.4 to 0.6); a broken line marks chance at 0.5."
    )

    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "photographs",
        "digits",
        "chance",
    ]
    with pytest.raises(CourseError, match="each with 2 numbers"):
        plots.lines([1, 2], {"a": [1.0]})


def test_a_curve_of_many_points_is_told_by_its_ends_and_its_top():
    figure = plots.lines(range(30), {"hill": [*range(20), *range(10)]}, xlabel="step")
    assert figure.alt == "Curves by step: hill from 0 to 9, largest 19 at 19."
