"""Probes by layer: nothing that is scored has a say, and the layers that they name are right."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_info, threadpool_limits
from tiny_tasks import make_task, tiny_backbone, without

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.features.features import Features
from tlcourse.features.layerwise import LayerProbes, cross_validate, draw_folds, rotated
from tlcourse.metrics import compare_paired
from tlcourse.plots.figure import WIDTH

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


def clouds(n=60, wide=150, n_classes=3, distance=2.0, seed=0):
    """Features (n, wide) of overlapping classes, each feature with a scale of its own."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    centres = rng.normal(size=(n_classes, wide)) * distance / np.sqrt(wide)
    scales = rng.uniform(0.2, 3, size=wide)
    return (centres[y] + rng.normal(size=(n, wide))) * scales + 5, y


def made(x, y):
    """Features as `extract_features` gives them."""
    n_classes = int(y.max()) + 1
    names = tuple(f"{label}/{i}" for i, label in enumerate(y))
    classes = tuple("abcdefghij"[:n_classes])
    return Features(x, y, np.full(len(y), "all"), classes, names, None, "made")


def probes_of(right, y=None):
    """Probes whose answers are given: layer -> which pictures are right."""
    right = {layer: np.asarray(answers, dtype=bool) for layer, answers in right.items()}
    n = len(next(iter(right.values())))
    y = np.arange(n) % 2 if y is None else y
    ones, strengths = dict.fromkeys(right, 1), dict.fromkeys(right, (1.0,) * 5)
    return LayerProbes(right, y, ("a", "b"), ones, strengths, 5, 0.0)


# --- nested cross-validation ---


def test_folds_have_their_share_of_each_class_and_follow_the_seed():
    y = np.repeat([0, 1, 2], [50, 25, 10])
    fold = draw_folds(y, 5, 0)
    assert [np.bincount(y[fold == k]).tolist() for k in range(5)] == [[10, 5, 2]] * 5
    assert np.array_equal(fold, draw_folds(y, 5, 0))
    assert not np.array_equal(fold, draw_folds(y, 5, 1))


def test_turning_keeps_all_distances_in_at_most_as_many_numbers_as_pictures():
    x, _ = clouds(n=20, wide=100)
    turned = rotated(x.astype(np.float32))
    assert turned.shape == (20, 19)  # one less: they are seen from their mean
    np.testing.assert_allclose(pdist(turned), pdist(x), rtol=1e-5)
    assert rotated(np.ones((4, 3))).shape == (4, 1)


def slow_nested(x, y, fold):
    """The same in plain scikit-learn: all strengths, each inner fold anew, features not turned."""
    chosen, predicted = [], np.zeros(len(y), dtype=int)
    n_needed = np.linalg.matrix_rank(x - x.mean(axis=0))  # numbers that hold a picture

    def fit(rows, strength):
        centre, spread = x[rows].mean(axis=0), np.sqrt(x[rows].var(axis=0).sum() / n_needed)
        model = LogisticRegression(C=strength, max_iter=500, tol=1e-3)
        model.fit((x[rows] - centre) / spread, y[rows])
        return lambda others: model.predict_proba((x[others] - centre) / spread)

    for k in range(fold.max() + 1):
        losses = []
        for strength in STRENGTHS:
            inner = [j for j in range(fold.max() + 1) if j != k]
            found = [fit((fold != k) & (fold != j), strength)(fold == j) for j in inner]
            losses.append(
                sum(
                    log_loss(y[fold == j], p, labels=np.unique(y), normalize=False)
                    for j, p in zip(inner, found, strict=True)
                )
            )
        chosen.append(STRENGTHS[int(np.argmin(losses))])
        predicted[fold == k] = fit(fold != k, chosen[-1])(fold == k).argmax(axis=1)
    return predicted, tuple(chosen)


@pytest.mark.parametrize(("wide", "n_classes"), [(150, 3), (8, 3), (150, 2)])
def test_the_answers_are_those_of_a_plain_nested_cross_validation(wide, n_classes):
    x, y = clouds(wide=wide, n_classes=n_classes)
    fold = draw_folds(y, 4, 0)
    found, strengths = cross_validate(x, y, fold, STRENGTHS)
    predicted, chosen = slow_nested(x, y, fold)
    assert strengths == chosen
    assert np.array_equal(found, predicted)
    assert 1 / n_classes < (predicted == y).mean() < 1  # a task on which choices matter


def test_labels_of_the_scored_fold_have_no_say():
    x, y = clouds()
    fold = draw_folds(y, 4, 0)
    before, chosen = cross_validate(x, y, fold, STRENGTHS)
    for k in range(4):
        other = np.where(fold == k, (y + 1) % 3, y)
        after, strengths = cross_validate(x, other, fold, STRENGTHS)
        assert np.array_equal(after[fold == k], before[fold == k])
        assert strengths[k] == chosen[k]
        assert not np.array_equal(after, before)  # the others learned from it


def test_a_scored_picture_has_no_say_for_the_others_of_its_fold():
    x, y = clouds()
    fold = draw_folds(y, 4, 0)
    before = cross_validate(x, y, fold, STRENGTHS)[0]
    first, *others = np.flatnonzero(fold == 2)
    x[first] += 1000
    after = cross_validate(x, y, fold, STRENGTHS)[0]
    assert np.array_equal(after[others], before[others])


def test_features_that_are_turned_shifted_or_padded_give_the_same_answers():
    x, y = clouds(wide=30)
    axes, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(50, 50)))
    other = np.pad(x, ((0, 0), (0, 20))) @ axes - 7
    fold = draw_folds(y, 4, 0)
    found, again = (cross_validate(each, y, fold, STRENGTHS) for each in (x, other))
    assert found[1] == again[1]
    assert np.array_equal(found[0], again[0])


def test_with_fewer_features_than_pictures_it_fits_what_fit_probe_fits():
    x, y = clouds(n=60, wide=20)
    fold = draw_folds(y, 3, 0)
    found = cross_validate(x, y, fold, (1e-2,))[0]
    for k in range(3):
        probe = tl.fit_probe(x[fold != k], y[fold != k], kind="logistic", strengths=(0.01,))
        assert np.array_equal(found[fold == k], probe.logits(x[fold == k]).argmax(axis=1))


def test_the_number_of_threads_is_put_back():
    def threads():
        return [library["num_threads"] for library in threadpool_info()]

    x, y = clouds(n=20)
    with threadpool_limits(2):
        before = threads()
        cross_validate(x, y, draw_folds(y, 3, 0), (1.0,))
        assert threads() == before


# --- probes by layer ---


def test_layers_are_counted_on_pictures_that_the_probe_did_not_see():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    noise = rng.normal(size=(200, 500))  # enough to learn any labels by heart
    found = tl.probe_layers(made({"noise": noise}, y), strengths=[10.0], progress=False)
    assert 0.35 < found.accuracy["noise"] < 0.65


def test_each_layer_gets_its_own_row_in_the_order_asked_for():
    x, y = clouds(distance=4)
    features = made({"a": x[:, :3], "b": x, "c": x[:, :20]}, y)
    found = tl.probe_layers(features, ["a", "c", "b"], progress=False)
    assert found.layers == ("a", "c", "b")
    assert list(found.table.index) == ["a", "c", "b"]
    assert found.n_features == {"a": 3, "c": 20, "b": 150}
    assert tl.probe_layers(features, "a", progress=False).accuracy["a"] == found.accuracy["a"]
    for layer in found.layers:
        row = found.table.loc[layer]
        assert row["accuracy"] == found.right[layer].mean()
        assert (row["low"], row["high"]) == found.intervals[layer]
        pair = compare_paired(found.right[layer], found.right[found.best])
        assert (row["to_best"], row["p_value"]) == (pair.difference, pair.p_value)
        assert row["significant"] == pair.significant
        assert row["features"] == found.n_features[layer]
        assert len(found.strengths[layer]) == 5


def test_the_same_seed_gives_the_same_result_and_another_one_other_folds():
    x, y = clouds()
    features = made({"a": x}, y)
    first, again, other = (tl.probe_layers(features, seed=s, progress=False) for s in (3, 3, 4))
    assert np.array_equal(first.right["a"], again.right["a"])
    assert first.strengths == again.strengths
    assert not np.array_equal(first.right["a"], other.right["a"])


def test_the_order_of_strengths_does_not_matter():
    x, y = clouds()
    orders = [(100.0, 1e-4, 0.1), (1e-4, 0.1, 100.0)]
    found = [tl.probe_layers(made({"a": x}, y), strengths=o, progress=False) for o in orders]
    assert found[0].strengths == found[1].strengths
    assert 0.1 in found[0].strengths["a"]


def test_the_best_of_equals_is_the_shallowest():
    ten = np.arange(10)
    found = probes_of({"a": ten > 5, "b": ten > 0, "c": ten < 9})
    assert found.best == "b"
    assert found.accuracy == {"a": 0.4, "b": 0.9, "c": 0.9}


def test_the_shallowest_is_the_first_that_pairing_cannot_tell_apart_from_the_best():
    n = np.arange(100)
    right = {
        "a": n >= 8,  # significant: seven to nil happens once in 64 times
        "b": n >= 6,  # 5 fewer than the best: five to nil is not rare enough
        "c": n >= 12,  # significant, although deeper
        "best": n >= 1,
    }
    found = probes_of(right)
    assert found.best == "best"
    assert [found.paired_with_best[layer].significant for layer in right] == [1, 0, 1, 0]
    assert found.shallowest == "b"
    assert "best: best" in repr(found)
    assert "not significantly worse: b, difference -0.050" in repr(found)


def test_where_all_others_are_significantly_worse_the_shallowest_is_the_best():
    n = np.arange(100)
    found = probes_of({"a": n >= 30, "b": n >= 1, "c": n >= 40})
    assert found.shallowest == found.best == "b"
    assert "every shallower layer is significantly worse" in repr(found)


def test_chance_is_the_most_frequent_class():
    y = np.array([0, 0, 0, 1])
    assert probes_of({"a": [True] * 4}, y).chance == 0.75


def test_features_of_a_network_can_be_probed_at_every_layer():
    task, backbone = make_task(), tiny_backbone()
    layers = backbone.layers[:-1]
    features = tl.extract_features(backbone, task, layers, progress=False)
    found = tl.probe_layers(features, folds=3, progress=False)
    assert found.layers == layers
    assert found.accuracy[found.best] > found.chance  # the classes differ by colour
    assert len(found.y) == sum(len(getattr(task, name)) for name in ("train", "val", "test"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": ["stage9"]}, "no layer among these features"),
        ({"layers": []}, "No layer was named"),
        ({"folds": 2}, "folds is .* 3 or larger"),
        ({"folds": 2.5}, "folds is .* 3 or larger"),
        ({"folds": 21}, "each with 21 pictures or more; here the classes have 20, 20, 20"),
        ({"strengths": []}, "at least one number, all above 0"),
        ({"strengths": [0.0, 1.0]}, "at least one number, all above 0"),
    ],
)
def test_what_cannot_be_probed_is_refused_with_what_to_do(options, said):
    x, y = clouds()
    with pytest.raises(CourseError, match=said):
        tl.probe_layers(made({"stage1": x}, y), progress=False, **options)


def test_unknown_layers_maps_and_broken_numbers_are_refused():
    x, y = clouds()
    with pytest.raises(UnknownNameError, match="Nearest: stage1"):
        tl.probe_layers(made({"stage1": x}, y), "stage_1")
    with pytest.raises(CourseError, match='pool="mean"'):
        tl.probe_layers(made({"maps": x.reshape(60, 6, 5, 5)}, y))
    with pytest.raises(CourseError, match="NaN or infinity"):
        tl.probe_layers(made({"a": np.where(x == x.max(), np.nan, x)}, y))
    with pytest.raises(CourseError, match="not on ndarray"):
        tl.probe_layers(x)
    with pytest.raises(CourseError, match="at least two classes"):
        tl.probe_layers(made({"a": x}, np.zeros(60, dtype=int)))


# --- raw pixels ---


def test_stored_values_are_taken_as_they_are_in_the_order_of_extracted_features():
    task = tl.load_task("digits")
    small = replace(task, train=task.train[:20], val=task.val[:5], test=task.test[:7])
    found = tl.raw_pixels(small)
    expected = np.concatenate(
        [s.raw.reshape(len(s), 64) for s in (small.train, small.val, small.test)]
    )
    np.testing.assert_array_equal(found.x["pixels"], (expected / 16).astype(np.float32))
    assert found.y.tolist() == [*small.train.labels, *small.val.labels, *small.test.labels]
    assert found.names == (*small.train.names, *small.val.names, *small.test.names)
    assert [(found.split == name).sum() for name in ("train", "val", "test")] == [20, 5, 7]
    assert found.classes == task.classes


def test_pictures_are_made_smaller_to_red_green_and_blue_from_0_to_1():
    task = make_task()
    found = tl.raw_pixels(task, side=8).x["pixels"]
    assert found.shape == (18 + 6 + 9, 3 * 8 * 8)
    assert found.dtype == np.float32
    by_hand = np.asarray(task.val[1][0].resize((8, 8), 3)) / 255  # 3: bicubic
    np.testing.assert_allclose(found[18 + 1].reshape(8, 8, 3), by_hand, atol=1e-6)
    assert tl.raw_pixels(task).x["pixels"].shape[1] == 3 * 32 * 32


def test_pixels_of_one_split():
    found = tl.raw_pixels(make_task().val, side=4)
    assert set(found.split) == {"all"}
    assert found.x["pixels"].shape == (6, 48)


def test_pixels_of_nothing_are_refused():
    task = make_task()
    with pytest.raises(CourseError, match="no picture"):
        tl.raw_pixels(without(task, "train", "val", "test"))
    with pytest.raises(CourseError, match="side is 0"):
        tl.raw_pixels(task, side=0)
    with pytest.raises(CourseError, match="not from str"):
        tl.raw_pixels("digits")


# --- figures ---


@pytest.fixture
def three():
    n = np.arange(100)
    right = {"stem": n >= 40, "stage1": n >= 12, "stage2": n >= 9, "embedding": n >= 30}
    return {
        "one": probes_of(right),
        "two": probes_of({layer: answers[::-1] for layer, answers in right.items()}),
    }


def starts():
    n = np.arange(100)
    return [
        probes_of({"stem": n >= 60, "stage2": n >= wrong, "embedding": n >= 50})
        for wrong in (40, 50, 60)
    ]


def drawn(axes, label):
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return line


def nothing_is_cut_off(figure):
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    for box in [axes.get_tightbbox() for axes in figure.axes] + [
        legend.get_window_extent() for legend in figure.legends
    ]:
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1


def test_the_curves_mark_the_best_and_the_shallowest_layer(three):
    figure = tl.plots.layer_probes(three)
    assert [axes.get_title() for axes in figure.axes] == [
        "one (100 pictures)",
        "two (100 pictures)",
    ]
    for axes, found in zip(figure.axes, three.values(), strict=True):
        best, first = found.layers.index(found.best), found.layers.index(found.shallowest)
        assert (best, first) == (2, 1)
        assert drawn(axes, "best layer").get_xdata() == [best]
        assert drawn(axes, "shallowest, difference could be chance").get_xdata() == [first]
        assert list(drawn(axes, "trained weights").get_ydata()) == [0.6, 0.88, 0.91, 0.7]
        assert set(drawn(axes, "always the most frequent class").get_ydata()) == {0.5}
    assert "best 0.91 at stage2, shallowest whose difference could be chance stage1" in figure.alt
    assert figure.get_figwidth() <= WIDTH
    nothing_is_cut_off(figure)


def test_random_weights_are_drawn_at_their_layers_from_lowest_to_highest(three):
    pixels = {"one": probes_of({"pixels": np.arange(100) >= 45})}
    figure = tl.plots.layer_probes(three, random={"one": starts()}, pixels=pixels)
    line = drawn(figure.axes[0], "random weights")
    assert list(line.get_xdata()) == [0, 2, 3]
    np.testing.assert_allclose(line.get_ydata(), [0.4, 0.5, 0.5])
    band = figure.axes[0].collections[-1].get_paths()[0].vertices
    at_stage2 = band[band[:, 0] == 2, 1]
    assert (at_stage2.min(), at_stage2.max()) == (0.4, 0.6)
    assert set(drawn(figure.axes[0], "raw pixels").get_ydata()) == {0.55}
    assert not [
        x for x in figure.axes[1].lines if x.get_label() in ("random weights", "raw pixels")
    ]
    assert "raw pixels 0.55" in figure.alt
    assert re.search(
        r"random weights 0\.\d\d at \w+, 0\.\d\d at \w+, at most 0\.50 \(mean of 3 starts\)",
        figure.alt,
    )
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert len(names) == len(set(names)) == 6
    nothing_is_cut_off(figure)


def test_open_symbols_are_the_layers_that_cannot_be_told_apart(three):
    pixels = {"one": probes_of({"pixels": np.arange(100) >= 10})}
    figure = tl.plots.layer_differences(three, pixels=pixels)
    for axes, name, extra in zip(figure.axes, three, (["raw pixels"], []), strict=True):
        labels = [text.get_text() for text in axes.get_yticklabels()]
        assert labels == [*extra, "stem", "stage1", "stage2 (best)", "embedding"]
        pairs = list(three[name].paired_with_best.values())
        if extra:
            pairs.insert(0, compare_paired(np.arange(100) >= 10, three[name].right["stage2"]))
        intervals, symbols = axes.lines[0 : 2 * len(pairs) : 2], axes.lines[1 : 2 * len(pairs) : 2]
        for pair, interval, symbol in zip(pairs, intervals, symbols, strict=True):
            assert tuple(interval.get_xdata()) == pair.interval
            assert list(symbol.get_xdata()) == [pair.difference]
            assert (symbol.get_markerfacecolor() == "white") == (not pair.significant)
    near = "one: best is stage2; could be chance: raw pixels, stage1, stage2; "
    assert f"{near}significant: stem -0.31, embedding -0.21." in figure.alt
    nothing_is_cut_off(figure)


def test_a_figure_needs_a_task_and_takes_another_text(three):
    with pytest.raises(CourseError, match="nothing to show"):
        tl.plots.layer_probes({})
    with pytest.raises(CourseError, match="nothing to show"):
        tl.plots.layer_differences({})
    assert tl.plots.layer_probes(three, alt="My words.").alt == "My words."
    assert tl.plots.layer_differences(three, alt="My words.").alt == "My words."


def test_the_shipped_layers_rise_with_depth_for_photographs_like_imagenets():
    features = tl.load_features("hymenoptera")
    some = ["stem", "stage3", "stage5", "embedding"]
    found = tl.probe_layers(features, some, folds=3, progress=False)
    for shallow, deep in pairwise(some):
        assert found.accuracy[shallow] < found.accuracy[deep]
    assert found.best == found.shallowest == "embedding"
