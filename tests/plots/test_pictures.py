"""Figures of what a network answers, and of what speaks for it."""

import numpy as np
import pytest
from figures import photographs_in, shown
from tiny_sounds import sound
from tiny_tasks import CLASSES, make_task, tiny_backbone, without

import tlcourse as tl
from tlcourse.errors import CourseError

plots = tl.plots


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


@pytest.fixture
def task():
    return make_task()


def test_explanations_have_a_row_for_each_network_and_a_column_for_each_picture(task):
    backbone = tiny_backbone()
    networks = {
        name: tl.Network(backbone, 3, seed=seed).as_backbone(CLASSES)
        for seed, name in enumerate(("before", "after"))
    }
    pictures = task.test.take([0, 4])
    figure = tl.plots.explanations(networks, pictures, layer="stage2")
    assert len(shown(figure)) == 3 * 2
    assert [axes.get_title() for axes in figure.axes[:2]] == [CLASSES[0], CLASSES[1]]
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == [
        "picture",
        "before",
        "after",
    ]
    for name, row in (("before", 1), ("after", 2)):
        expected = tl.attribute(networks[name], pictures[1][0], CLASSES[1], layer="stage2")
        drawn = figure.axes[2 * row + 1].images[1].get_array()
        # Drawn on a scale of its own, cut off at the strongest hundredth.
        scale = np.quantile(np.abs(expected), 0.99)
        np.testing.assert_allclose(drawn, np.clip(expected / scale, -1, 1), atol=1e-5)
    assert "before" in figure.alt


def test_explanations_need_a_network_and_a_picture(task):
    with pytest.raises(CourseError, match="at least one network"):
        tl.plots.explanations({}, task.test)
    network = tl.Network(tiny_backbone(), 3).as_backbone(CLASSES)
    with pytest.raises(CourseError, match="at least one network"):
        tl.plots.explanations({"it": network}, without(task, "test").test)


def test_what_speaks_for_a_class_of_sounds_lies_over_the_spectrogram_as_it_is_drawn():
    speech = tl.load_backbone("ge2e", pretrained=False, device="cpu")
    backbone = tl.Network(speech, 2).as_backbone(("low", "high"))
    values = np.zeros((160, 40), dtype=np.float32)  # (frames, bands)
    values[120:, :10] = 1  # late, and low
    figure = plots.attribution(backbone, sound(), {"occlusion": values}, "low")
    assert "points to the lower right" in figure.alt
    many = plots.explanations({"it": backbone}, [(sound(), 0)], method="occlusion")
    sizes = {image.get_array().shape[:2] for axes in many.axes for image in axes.images}
    assert (160, 40) not in sizes
