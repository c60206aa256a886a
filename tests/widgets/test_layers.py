"""The layer explorer shows the map, the patches and the channels that its controls ask for."""

import base64
import gc
import io
import re
import weakref

import numpy as np
import pytest
from PIL import Image
from tiny_tasks import make_task, tiny_backbone
from tiny_uploads import upload

import tlcourse as tl
from tlcourse.explain.excitation import excitations
from tlcourse.widgets import layers
from tlcourse.widgets.tiles import photo_uri

LAYERS = ["stem", "stage1", "stage2"]


@pytest.fixture
def explorer():
    backbone, task = tiny_backbone(), make_task()
    found = excitations(backbone, task.train, LAYERS)
    pictures = {"first": task.val[0][0], "second": task.val[5][0]}
    explorer = tl.widgets.explore_layers(backbone, pictures, task.train, found=found)
    yield explorer
    explorer.close()


def moved(explorer, **values):
    """Move controls, wait, and return the caption of the map."""
    for name, value in values.items():
        getattr(explorer, name).value = value
    assert explorer.wait(20)
    assert explorer.problem.value == ""
    return re.sub("<[^>]*>", "", explorer.detail.value)


def shown_map(explorer):
    """Grey levels of the map that is shown."""
    source = re.findall(r'src="data:image/png;base64,([^"]*)"', explorer.detail.value)[0]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))


def expected_maps(explorer, layer):
    return tl.activations(explorer._held.backbone, explorer.choice.picture, layer)[layer][0].numpy()


def test_the_map_is_the_one_of_the_chosen_layer_and_channel(explorer):
    for depth, channel in ((0, 3), (2, 0), (1, 2)):
        moved(explorer, depth=depth)
        said = moved(explorer, channel=channel)
        explorer.order.value = "by number"
        said = moved(explorer)
        values = expected_maps(explorer, LAYERS[depth])[channel]
        assert f"channel {channel} of {LAYERS[depth]}" in said
        assert f"Largest value {values.max():.2f}" in said
        scaled = (values - values.min()) / (values.max() - values.min()) * 255
        assert np.abs(shown_map(explorer) - scaled).max() <= 0.51
        explorer.order.value = "strongest first"


def test_strongest_first_begins_with_what_stands_out_from_the_reference_pictures(explorer):
    moved(explorer, depth=1)
    highest = expected_maps(explorer, "stage1").max(axis=(1, 2))
    usual = explorer._held.excitation["stage1"].strongest
    score = (highest - np.median(usual, axis=0)) / usual.std(axis=0)
    order = np.argsort(-score)
    for position in (0, 1, len(order) - 1):
        said = moved(explorer, channel=position)
        assert f"channel {order[position]} of" in said
        assert f"it is number {position + 1} of {len(order)}" in said
    numbers = re.findall(r"<figcaption[^>]*>(\d+)</figcaption>", explorer.overview.value)
    assert [int(n) for n in numbers] == order[: len(numbers)].tolist()


def test_the_patches_are_cut_from_the_pictures_that_excite_the_channel_most(explorer):
    explorer.order.value = "by number"
    moved(explorer, depth=2, channel=1)
    found = explorer._held.excitation["stage2"]
    best = int(np.argmax(found.strongest[:, 1]))
    assert f"{found.strongest[best, 1]:.2f}</figcaption>" in explorer.patches.value
    whole = explorer._held.reference_pixels(best)
    rows, columns = found.box(best, 1, whole.shape)
    assert photo_uri(whole[rows, columns], 96) in explorer.patches.value


def test_another_picture_is_another_map_and_activations_are_computed_once_for_each(
    explorer, monkeypatch
):
    counted = []
    real = layers.activations
    monkeypatch.setattr(layers, "activations", lambda *a: counted.append(1) or real(*a))
    before = shown_map(explorer)
    explorer.choice.names.value = "second"
    moved(explorer)
    assert not np.array_equal(before, shown_map(explorer))
    for channel in range(3):
        moved(explorer, channel=channel)
        moved(explorer, depth=channel)
    assert len(counted) == 1


def test_the_channel_slider_has_as_many_positions_as_the_layer_has_channels(explorer):
    for depth, layer in enumerate(LAYERS):
        moved(explorer, depth=depth)
        count = len(expected_maps(explorer, layer))
        assert len(explorer.channel.labels) == count
        assert explorer.channel.value == 0
        moved(explorer, channel=count - 1)


def test_an_uploaded_picture_is_looked_at(explorer):
    packed = io.BytesIO()
    Image.new("RGB", (300, 200), "orange").save(packed, "PNG")
    upload(explorer.choice.upload, "mine.png", packed.getvalue())
    assert explorer.wait(20)
    assert explorer._held.seen.picture.getpixel((0, 0)) == (255, 165, 0)
    assert explorer._held.first.picture is explorer.choice._pictures["first"]
    upload(explorer.choice.upload, "mine.txt", b"nothing")
    assert "mine.txt cannot be read" in explorer.problem.value


def test_where_no_kernel_runs_a_figure_stands_in(explorer):
    bundle = explorer._repr_mimebundle_()
    assert re.match('<img alt="One picture in 3 layers.*stem.*stage2', bundle["text/html"])
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "stem" in bundle["text/plain"]


def test_nothing_is_kept_after_it_is_closed(explorer):
    moved(explorer, depth=0)
    held = explorer._held
    heavy = [weakref.ref(thing) for thing in (held, held.backbone.model, held.seen)]
    del held
    explorer.close()
    explorer._latest._thread.join(20)
    gc.collect()
    assert [thing() for thing in heavy] == [None] * 3
    assert explorer.choice._pictures == {}
    assert explorer._static() is None


def test_without_a_picture_there_is_one_sentence():
    with pytest.raises(tl.CourseError, match="no picture"):
        tl.widgets.explore_layers(tiny_backbone(), {}, make_task().train)


def test_the_notebooks_own_network_is_not_touched_in_the_thread(explorer):
    backbone = tiny_backbone()
    assert explorer._held.backbone.model is not backbone.model
    used = []
    handle = backbone.model.register_forward_pre_hook(lambda *_: used.append(1))
    explorer.choice.names.value = "second"
    moved(explorer)
    handle.remove()
    assert used == []


def test_one_reference_picture_is_enough_also_for_the_static_figure():
    task = make_task()
    explorer = tl.widgets.explore_layers(
        tiny_backbone(), {"a": task.val[0][0]}, task.train.take([0])
    )
    assert "<img" in explorer._repr_mimebundle_()["text/html"]
    explorer.close()


def test_what_was_found_for_another_network_or_other_pictures_is_refused():
    backbone, task = tiny_backbone(), make_task()
    pictures = {"a": task.val[0][0]}
    found = excitations(backbone, task.train, LAYERS)
    cases = [(task.val, found), (task.train, {}), (task.train, found["stem"]), (task.train, [1])]
    other = excitations(tiny_backbone("resnet"), task.train, ["stem"])
    for reference, given in [*cases, (task.train, other)]:
        with pytest.raises(tl.CourseError, match="found"):
            tl.widgets.explore_layers(backbone, pictures, reference, found=given)
