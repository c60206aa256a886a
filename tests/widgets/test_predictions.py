"""The prediction explorer does what its controls say, and answers what the network answers."""

import copy
import gc
import html
import re
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tasks import made_backbone, tiny_backbone

import tlcourse as tl
from tlcourse.plots.figure import place
from tlcourse.widgets import predictions as module
from tlcourse.widgets.predictions import Change, PredictionExplorer, alter, class_table, grey
from tlcourse.widgets.tiles import map_uri, photo_uri

PLACES = ("across", "down")


def noise(seed=0, size=(90, 70)):
    """Large coloured spots, so that shifts and turns are visible."""
    values = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def backbone():
    """A tiny network that is as sure of its answers as a trained one."""
    tiny = tiny_backbone()
    model = copy.deepcopy(tiny.model)
    model.get_classifier().weight.data *= 60
    return replace(tiny, model=model)


@pytest.fixture
def explorer(backbone):
    made = PredictionExplorer(backbone, {"one": noise(1), "the_other": noise(2)})
    yield made
    made.close()


def table(explorer):
    """What the answer shows: (class, now, unaltered) for each row."""
    rows = re.findall(r"<tr><th scope=\"row\".*?</tr>", explorer.answer.value, re.DOTALL)
    texts = [re.findall(r">([^<>]+)</t[hd]>", row) for row in rows]
    return [tuple(html.unescape(text) for text in row) for row in texts]


def percents(probabilities):
    return ["< 1%" if p < 0.005 else f"{p:.0%}" for p in probabilities]


def answered(explorer):
    assert explorer.wait(60)
    assert explorer.problem.value == ""


def put(explorer, **positions):
    for name, position in positions.items():
        getattr(explorer, name).value = position
    answered(explorer)


def test_the_answer_for_the_unaltered_picture_is_top_k(backbone, explorer):
    expected = tl.top_k(backbone, noise(1))
    assert [row[0] for row in table(explorer)] == list(expected["class"])
    assert [row[1] for row in table(explorer)] == percents(expected["probability"])
    assert [row[2] for row in table(explorer)] == [row[1] for row in table(explorer)]
    before = explorer._held.before.sort(descending=True).values[:5]
    assert before.tolist() == expected["probability"].tolist()


def test_nothing_to_do_is_exactly_the_picture(backbone, explorer):
    picture, change, _ = explorer._request()
    assert change == Change() == Change(across=0.5, down=0.5)
    assert alter(picture, backbone.preprocess, change) is picture
    assert np.array_equal(picture, noise(1))


@pytest.mark.parametrize(
    ("positions", "change"),
    [
        ({"zoom": 5}, Change(zoom=0.5)),
        ({"blur": 3}, Change(blur=3)),
        ({"turn": 8}, Change(degrees=-60)),
        ({"cover": 4}, Change(cover=0.4)),
        ({"cover": 2, "across": 0, "down": 9}, Change(cover=0.2, across=0.0, down=0.9)),
        ({"zoom": 1, "turn": 18}, Change(zoom=0.9, degrees=90)),
    ],
)
def test_each_slider_changes_what_goes_in_and_so_the_answer(backbone, explorer, positions, change):
    before = explorer.seen.value, explorer.answer.value, explorer.pixels.value
    put(explorer, **positions)
    inside = backbone.preprocess(alter(noise(1), backbone.preprocess, change))
    assert photo_uri(backbone.preprocess.to_array(inside)) in explorer.seen.value
    assert html.escape(str(change)) in explorer.seen.value
    with torch.no_grad():
        now = backbone.model(inside[None]).softmax(1)[0]
        unaltered = backbone.model(backbone.preprocess(noise(1))[None]).softmax(1)[0]
    best = now.topk(5).indices
    assert table(explorer) == list(
        zip(
            [backbone.classes[i] for i in best],
            percents(now[best]),
            percents(unaltered[best]),
            strict=True,
        )
    )
    values = tl.attribute(backbone, inside, int(best[0]))
    strongest = np.quantile(values, 0.99)
    over = map_uri(values, limit=strongest, clear=True, side=56)
    assert over in explorer.pixels.value
    after = explorer.seen.value, explorer.answer.value, explorer.pixels.value
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_the_labels_of_the_sliders_say_what_is_done(explorer):
    put(explorer, zoom=7, blur=12, turn=0, cover=5, across=10, down=0)
    sliders = (explorer.zoom, explorer.blur, explorer.turn, explorer.cover)
    assert [s.label for s in sliders] == ["30%", "12 pixels", "180° left", "50% wide"]
    assert [explorer.across.label, explorer.down.label] == ["right", "top"]
    assert explorer._request()[1] == Change(12, -180, 0.3, 0.5, 1.0, 0.0)


def test_another_picture_brings_its_own_unaltered_answer(backbone, explorer):
    put(explorer, blur=4)
    explorer.choice.names.value = "the_other"
    answered(explorer)
    altered = alter(noise(2), backbone.preprocess, Change(blur=4))
    assert [row[0] for row in table(explorer)] == list(tl.top_k(backbone, altered)["class"])
    logits = backbone.model(backbone.preprocess(noise(2))[None])
    unaltered = dict(zip(backbone.classes, percents(logits.softmax(1)[0]), strict=True))
    assert [row[2] for row in table(explorer)] == [unaltered[row[0]] for row in table(explorer)]


def test_the_table_says_what_became_of_the_first_answer():
    said = class_table(("cat", "<dog>"), torch.tensor([0.2, 0.8]), torch.tensor([0.7, 0.3]))
    assert "<b>cat</b> with 70%.\nNow it has 20%." in said
    assert said.index("&lt;dog&gt;") < said.index("cat")  # the most probable first
    assert "width:80.0%" in said


def test_occlusion_is_that_of_the_library(backbone, explorer, monkeypatch):
    given = []

    def keep(pixels, values, name, method):
        given.append((values, name, method))
        return name

    monkeypatch.setattr(module, "map_tile", keep)
    put(explorer, turn=14, why="occlusion")
    inside = backbone.preprocess(alter(noise(1), backbone.preprocess, Change(degrees=30)))
    values, name, method = given[-1]
    assert method == "occlusion"
    assert name == table(explorer)[0][0]
    expected = tl.attribute(backbone, inside, name, method="occlusion", window=18)
    # The fast copy differs by rounding.
    np.testing.assert_allclose(values, expected, atol=1e-3 * np.abs(expected).max())


def test_the_map_can_be_left_out(explorer):
    put(explorer, why="")
    assert explorer.pixels.value == ""
    assert len(table(explorer)) == 5


def test_the_answer_comes_first_and_no_old_map_stands_beside_it(explorer, monkeypatch):
    old, before = explorer.pixels.value, explorer.answer.value
    reached, go_on = threading.Event(), threading.Event()

    def slow(*args, **options):
        reached.set()
        assert go_on.wait(60)
        return tl.attribute(*args, **options)

    monkeypatch.setattr(module, "attribute", slow)
    explorer.blur.value = 5
    assert reached.wait(60)
    try:
        assert explorer.answer.value != before
        assert "blurred by 5 pixels" in explorer.seen.value
        assert f"Computing what speaks for <b>{table(explorer)[0][0]}</b>" in explorer.pixels.value
        assert "image/png" not in explorer.pixels.value
        assert "image/png" in old
    finally:
        go_on.set()
    answered(explorer)
    assert "image/png" in explorer.pixels.value


def test_a_newer_request_ends_an_attribution_between_two_passes(backbone, explorer):
    put(explorer, why="occlusion")
    model = explorer._held.fast.model
    reached, go_on, passes = threading.Event(), threading.Event(), []

    def stop(*_):
        passes.append(explorer.seen.value)
        if len(passes) == 2:
            reached.set()
            assert go_on.wait(60)

    handle = model.register_forward_hook(stop)
    explorer.blur.value = 1
    assert reached.wait(60)
    explorer.blur.value = 2
    explorer.blur.value = 3
    go_on.set()
    answered(explorer)
    handle.remove()
    assert len([seen for seen in passes if "by 1 pixels" in seen]) == 2
    assert not [seen for seen in passes if "by 2 pixels" in seen]
    assert "blurred by 3 pixels" in explorer.seen.value
    assert "image/png" in explorer.pixels.value
    assert not model._forward_pre_hooks


def test_an_error_is_shown_and_the_explorer_works_afterwards(explorer, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("out of <luck>")

    with monkeypatch.context() as patch:
        patch.setattr(module, "attribute", fail)
        explorer.blur.value = 2
        assert explorer.wait(60)
    assert "out of &lt;luck&gt;" in explorer.problem.value
    assert explorer.pixels.value == ""
    assert "blurred by 2 pixels" in explorer.seen.value
    put(explorer, blur=3)
    assert "image/png" in explorer.pixels.value


def test_the_button_brings_the_original_back_with_one_request(explorer, monkeypatch):
    original = explorer.seen.value, explorer.answer.value, explorer.pixels.value
    put(explorer, zoom=3, blur=2, turn=3, cover=2, across=1, down=2)
    asked = []
    request = explorer._request
    monkeypatch.setattr(explorer, "_request", lambda: asked.append(1) or request())
    explorer.back.click()
    answered(explorer)
    assert (explorer.seen.value, explorer.answer.value, explorer.pixels.value) == original
    assert len(asked) == 1
    put(explorer, blur=2)  # the sliders still work
    assert len(asked) == 2


def test_where_the_square_lies_can_be_moved_only_if_there_is_one(explorer):
    assert all(getattr(explorer, name).disabled for name in PLACES)
    put(explorer, cover=1)
    assert not any(getattr(explorer, name).disabled for name in PLACES)
    explorer.back.click()
    assert all(getattr(explorer, name).disabled for name in PLACES)


def test_a_transformer_gets_occlusion_and_a_sentence_instead_of_grad_cam():
    backbone = tiny_backbone("vit")
    explorer = PredictionExplorer(backbone, {"one": noise(1)})
    assert explorer.why.value == "occlusion"
    assert "Occlusion" in explorer.pixels.value
    explorer.why.value = "grad_cam"
    assert explorer.wait(60)
    assert "occlusion" in explorer.problem.value
    assert "works for every network" in explorer.problem.value
    assert explorer.pixels.value == ""
    put(explorer, why="occlusion")
    assert "Occlusion" in explorer.pixels.value
    assert "Grad-CAM" not in explorer._static().alt
    explorer.close()


def test_a_network_of_two_classes_shows_two():
    explorer = PredictionExplorer(made_backbone(), {"one": noise(1)})
    assert sorted(row[0] for row in table(explorer)) == ["a", "b"]
    assert "unaltered: " in explorer._static().alt
    explorer.close()


def test_the_notebooks_own_network_is_not_touched_in_the_thread(backbone, explorer, monkeypatch):
    def fail(*_):
        raise AssertionError("the thread used the notebook's network")

    handle = backbone.model.register_forward_pre_hook(fail)
    try:
        put(explorer, blur=2)
        put(explorer, why="occlusion")
    finally:
        handle.remove()


def test_after_closing_nothing_heavy_is_held(backbone):
    explorer = PredictionExplorer(backbone, {"one": noise(1)})
    held = explorer._held
    heavy = [
        weakref.ref(thing)
        for thing in (held.backbone.model, held.fast.model, held.picture, held.before)
    ]
    del held
    put(explorer, blur=1)
    explorer.close()
    for thread in threading.enumerate():
        if thread is explorer._latest._thread:
            thread.join(60)
    gc.collect()
    assert [thing() for thing in heavy] == [None] * 4
    assert not any(p.value for p in (explorer.seen, explorer.pixels, explorer.answer))
    assert explorer._static() is None


def test_where_no_kernel_runs_a_figure_shows_the_same_story(backbone, explorer):
    explorer.choice._add("secret.png", noise(9))
    answered(explorer)
    assert explorer.choice.picture.tobytes() == noise(9).tobytes()
    bundle = explorer._repr_mimebundle_()
    alt = html.unescape(re.match(r'<img alt="([^"]+)"', bundle["text/html"])[1])
    assert "The picture 'one'" in alt  # and not the one that was uploaded
    turned = alter(noise(1), backbone.preprocess, Change(degrees=90))
    best = tl.top_k(backbone, turned, 1)["class"][0]
    assert f"rotated 90° to the right: {best} (" in alt
    heat = tl.attribute(backbone, turned, best)
    assert f"most speaks at the {place(heat)};" in alt.partition("rotated")[2].partition("half")[0]


def test_what_is_no_picture_is_refused(backbone):
    with pytest.raises(tl.CourseError, match="'two' -> ndarray is not a name with a PIL picture"):
        PredictionExplorer(backbone, {"one": noise(1), "two": np.zeros((4, 4, 3))})
    with pytest.raises(tl.CourseError, match="no picture"):
        PredictionExplorer(backbone, {})


def test_large_pictures_are_shrunk_and_the_callers_own_are_not(backbone):
    large = Image.new("L", (2048, 1000), 90)
    explorer = PredictionExplorer(backbone, {"large": large})
    assert explorer.choice.picture.size == (1024, 500)
    assert large.size == (2048, 1000)
    assert large.mode == "L"
    explorer.close()


def test_moving_leaves_nothing_behind():
    explorer = PredictionExplorer(made_backbone(), {"one": noise(1)})

    def held(moves):
        for position in range(moves):
            put(explorer, turn=position % 25)
        gc.collect()
        return sum(
            issubclass(type(thing), torch.Tensor | Image.Image) for thing in gc.get_objects()
        )

    assert held(10) == held(100)
    explorer.close()


# What the operations do, for a preprocessing of 64 pixels.


def inside(backbone, picture, change):
    return backbone.preprocess(alter(picture, backbone.preprocess, change))


def test_zooming_in_keeps_the_middle(backbone):
    picture = noise(3, (200, 120))
    kept = alter(picture, backbone.preprocess, Change(zoom=0.5))
    assert np.array_equal(kept, np.asarray(picture)[30:90, 50:150])


@pytest.mark.parametrize(("degrees", "turns"), [(90, 3), (180, 2), (-90, 1)])
def test_rotating_to_the_right_is_clockwise(backbone, degrees, turns):
    picture = noise(3, (80, 80))
    turned = alter(picture, backbone.preprocess, Change(degrees=degrees))
    assert np.array_equal(turned, np.rot90(picture, turns))  # which turns the other way


def test_rotating_fills_corners_with_what_becomes_0(backbone):
    white = Image.new("RGB", (80, 80), "white")
    turned = inside(backbone, white, Change(degrees=45))
    assert turned[:, 0, 0].abs().max() < 0.02  # 8 bit cannot hold the mean exactly
    assert turned[:, 32, 32].min() > 1
    assert alter(white, backbone.preprocess, Change(degrees=45)).getpixel((0, 0)) == grey(
        backbone.preprocess
    )


def test_rotating_a_wide_picture_brings_in_what_was_cut_off(backbone):
    wide = Image.new("RGB", (400, 80), "white")
    turned = inside(backbone, wide, Change(degrees=15, zoom=0.5))
    assert turned.min() > 1


def test_blur_is_a_gaussian_in_pixels_of_the_input(backbone):
    from scipy.ndimage import gaussian_filter

    resize = backbone.preprocess.resize_size
    picture = noise(3, (resize, resize))
    blurred = alter(picture, backbone.preprocess, Change(blur=4))
    expected = gaussian_filter(np.asarray(picture, float), (4, 4, 0), mode="nearest")
    assert np.abs(np.asarray(blurred) - expected).mean() < 2  # Pillow approximates it by boxes
    twice = noise(3, (resize, resize)).resize((2 * resize, 2 * resize))
    large = alter(twice, backbone.preprocess, Change(blur=4)).resize((resize, resize))
    assert np.abs(np.asarray(blurred, float) - np.asarray(large)).mean() < 2


@pytest.mark.parametrize("size", [(90, 70), (300, 700)])
@pytest.mark.parametrize("place", [(0, 0), (1, 0), (0.5, 1)])
@pytest.mark.parametrize("zoom", [1.0, 0.5])
def test_the_square_covers_that_part_of_what_the_network_sees(backbone, size, place, zoom):
    white = Image.new("RGB", size, "white")
    across, down = place
    covered = inside(backbone, white, Change(0, 0, zoom, 0.25, across, down))
    gone = covered.mean(dim=0) < 1  # halfway between grey, 0, and white
    left, top = round(48 * across), round(48 * down)  # 16 of 64 pixels are covered
    expected = torch.zeros(64, 64, dtype=torch.bool)
    expected[top : top + 16, left : left + 16] = True
    assert (gone != expected).sum() <= 2 * 16  # one pixel along two sides: edges are rounded
    middle = covered[:, top + 4 : top + 12, left + 4 : left + 12]
    assert middle.abs().max() < 0.02  # 8 bit cannot hold the mean exactly
    assert white.getextrema() == ((255, 255),) * 3  # the picture itself stays as it is


def test_small_and_long_pictures_can_be_altered(backbone):
    everything = Change(12, 45, 0.3, 0.5, 0.0, 1.0)
    for size in ((1, 1), (3, 200), (200, 3)):
        assert inside(backbone, Image.new("RGB", size), everything).shape == (3, 64, 64)
