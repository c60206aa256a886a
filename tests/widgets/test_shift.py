"""The shift explorer shows what `tl.corrupt` makes, and answers what the network answers."""

import gc
import html
import re
import threading
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_tasks import made_backbone, make_task, tiny_backbone

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.widgets.shift import ShiftExplorer
from tlcourse.widgets.tiles import photo_uri


def noise(seed=0, size=(90, 70)):
    values = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.fixture(scope="module")
def result(backbone):
    task = make_task(counts={"train": (4, 4, 4), "val": (6, 6, 6), "test": (1, 1, 1)})
    return tl.patterns.standalone_extractor(backbone, task, progress=False)


@pytest.fixture
def explorer(backbone, result):
    made = ShiftExplorer(
        {"as it was": backbone, "trained": result}, {"one": noise(1), "the_other": noise(2)}
    )
    yield made
    made.close()


def put(explorer, **values):
    for name, value in values.items():
        getattr(explorer, name).value = value
    assert explorer.wait(60)
    assert explorer.problem.value == ""


def rows(explorer):
    """What the answer shows: (class, now, unaltered) for each row."""
    found = re.findall(r"<tr><th scope=\"row\".*?</tr>", explorer.answer.value, re.DOTALL)
    texts = [re.findall(r">([^<>]+)</t[hd]>", row) for row in found]
    return [tuple(html.unescape(text) for text in row) for row in texts]


def percent(share):
    return "< 1%" if share < 0.005 else f"{share:.0%}"


@pytest.mark.parametrize(
    ("kind", "position", "strength"), [("noise", 4, 2.0), ("blur", 10, 5.0), ("turn", 1, 0.5)]
)
def test_the_controls_say_what_goes_in_and_so_the_answer(
    backbone, explorer, kind, position, strength
):
    put(explorer, kind=kind, strength=position)
    inside = backbone.preprocess(tl.corrupt(noise(1), kind, strength))
    assert photo_uri(backbone.preprocess.to_array(inside)) in explorer.seen.value
    assert f"{kind}, strength {strength:g}" in explorer.seen.value
    with torch.no_grad():
        now = backbone.model(inside[None]).softmax(1)[0]
        before = backbone.model(backbone.preprocess(noise(1))[None]).softmax(1)[0]
    best = now.topk(5).indices
    expected = [(backbone.classes[i], percent(now[i]), percent(before[i])) for i in best]
    assert rows(explorer) == expected


def test_at_strength_0_it_is_the_picture_itself(backbone, explorer):
    assert explorer._request()[2:] == ("noise", 0)
    assert "unaltered" in explorer.seen.value
    expected = tl.top_k(backbone, noise(1))
    assert [row[0] for row in rows(explorer)] == list(expected["class"])
    assert all(now == before for _, now, before in rows(explorer))


def test_a_results_probabilities_are_calibrated(explorer, result):
    put(explorer, network="trained", strength=6)
    assert result.temperature != 1
    expected = result.predict(tl.corrupt(noise(1), "noise", 3), calibrated=True)
    shown = [(name, percent(p)) for name, p in expected.itertuples(index=False)]
    assert [row[:2] for row in rows(explorer)] == shown


def test_another_picture_can_be_chosen_and_one_of_yours_added(explorer):
    put(explorer, strength=2)
    before = explorer.seen.value
    explorer.choice.names.value = "the_other"
    assert explorer.wait(60)
    other = explorer.seen.value
    explorer.choice._add("mine.png", noise(9))
    assert explorer.wait(60)
    assert len({before, other, explorer.seen.value}) == 3


def test_one_network_needs_no_list_of_networks(backbone):
    explorer = ShiftExplorer(backbone, {"one": noise(1)}, kind="scale")
    assert explorer.network not in explorer.children
    assert explorer.kind.value == "scale"
    assert "scale of strength 0 to 5" in explorer._static().alt
    explorer.close()


def test_where_no_kernel_runs_a_figure_shows_each_strength_for_each_network(explorer, result):
    explorer.choice._add("secret.png", noise(9))
    put(explorer, kind="blur")
    bundle = explorer._repr_mimebundle_()
    alt = html.unescape(re.match(r'<img alt="([^"]+)"', bundle["text/html"])[1])
    assert "The picture 'one' with noise" in alt  # neither what was uploaded nor what was chosen
    expected = result.predict(tl.corrupt(noise(1), "noise", 5), calibrated=True)
    name, share = expected.iloc[0]
    assert f"{name} ({share:.0%}) at 5" in alt.partition("trained: ")[2]


def test_the_notebooks_own_network_is_neither_used_nor_touched(backbone, explorer):
    def fail(*_):
        raise AssertionError("the thread used the notebook's network")

    handle = backbone.model.register_forward_pre_hook(fail)
    try:
        put(explorer, strength=3)
    finally:
        handle.remove()


def test_after_closing_nothing_heavy_is_held(backbone):
    explorer = ShiftExplorer(backbone, {"one": noise(1)})
    (network,) = explorer._held.networks.values()
    heavy = [weakref.ref(network.backbone.model), weakref.ref(explorer._held.first[1])]
    del network
    put(explorer, strength=1)
    explorer.close()
    for thread in threading.enumerate():
        if thread is explorer._latest._thread:
            thread.join(60)
    gc.collect()
    assert [thing() for thing in heavy] == [None] * 2
    assert not explorer.seen.value + explorer.answer.value
    assert explorer._static() is None


def test_messages_stay_small(explorer):
    put(explorer, strength=10)
    assert len(explorer.seen.value) + len(explorer.answer.value) < 60_000


def test_what_does_not_fit_is_refused_in_a_sentence(backbone):
    pictures = {"one": noise(1)}
    with pytest.raises(CourseError, match="no picture"):
        ShiftExplorer(backbone, {})
    with pytest.raises(UnknownNameError, match="no corruption 'nois'"):
        ShiftExplorer(backbone, pictures, kind="nois")
    with pytest.raises(CourseError, match="There is no network"):
        ShiftExplorer({}, pictures)
    with pytest.raises(CourseError, match="not str"):
        ShiftExplorer({"a": "b"}, pictures)
    mute = made_backbone()
    mute.classes = ()
    with pytest.raises(CourseError, match="has no classes"):
        ShiftExplorer(mute, pictures)
