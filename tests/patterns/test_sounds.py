"""The patterns work on sounds with the networks for speech, or say why not."""

import pytest
import torch
from tiny_sounds import fill, sound

import tlcourse as tl
from tlcourse import proofs
from tlcourse.comparison import plan as plan_module
from tlcourse.errors import CourseError
from tlcourse.patterns.export import Exported

QUIET = {"progress": False, "live": False, "epochs": 1}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Low and high tones, six of each."""
    place = tmp_path_factory.mktemp("sounds") / "tones"
    for name, pitch in {"low": 300.0, "high": 900.0}.items():
        fill(place / name, 6, pitch)
    return tl.load_task(place)


@pytest.fixture(scope="module", params=["speech_embedding", "ge2e"])
def backbone(request):
    return tl.load_backbone(request.param, device="cpu").at_size(80)


def test_pattern_1_is_not_applicable_where_a_network_has_no_classes(backbone, task):
    result = tl.patterns.classifier(backbone, task)
    assert not result.applicable
    assert "knows no classes of its own" in result.note
    assert "mapping" not in result.note


def test_features_of_sounds_tell_tones_apart_and_a_result_can_be_kept(backbone, task, tmp_path):
    result = tl.patterns.standalone_extractor(backbone, task, progress=False)
    assert result.test_accuracy == 1
    again = tl.load_result(result.save(tmp_path / "kept"), device="cpu")
    assert again.backbone.preprocess.size == 80
    other = sound(320.0, seed=9)
    assert again.predict(other)["class"][0] == "low"
    assert again.predict(other).equals(result.predict(other))


@pytest.mark.parametrize("options", [{}, {"augment": True}, {"move": "lora"}])
def test_fine_tuning_moves_what_is_not_frozen(backbone, task, options):
    until = backbone.layers[2]
    options = {"freeze_until": until, "head_first": False, **options, **QUIET}
    result = tl.patterns.fine_tune(backbone, task, **options)
    before, after = backbone.model.state_dict(), result.backbone.model.body.state_dict()
    names = [name for name in after if "parametrizations" not in name]
    changed = {name.split(".")[0] for name in names if not torch.equal(before[name], after[name])}
    assert changed == set(backbone.layers[3:])


def test_a_head_on_maps_needs_maps(backbone, task):
    if backbone.name == "ge2e":
        with pytest.raises(CourseError, match=r"no maps for a convolutional head"):
            tl.patterns.frozen_extractor(backbone, task, **QUIET)
    else:
        result = tl.patterns.frozen_extractor(backbone, task, **QUIET)
        assert result.layer == "stage4"


def test_a_network_cut_at_a_layer_is_proved(backbone, task):
    network = tl.Network(backbone, 2, layer=backbone.layers[1])
    assert "2 outputs" in str(proofs.head_fits(network, task))


def test_patterns_on_sounds_are_compared(backbone, task, tmp_path, capsys):
    patterns = ("classifier", "standalone_extractor")
    comparison = tl.compare(backbone, task, budget="1m", patterns=patterns, progress=False)
    assert any("knows no classes of its own" in note for note in comparison.notes)
    printed = capsys.readouterr().out
    assert "12 sounds" in printed
    assert "at 80 frames" in printed
    assert "pictures" not in printed + repr(comparison)
    assert "high" in (comparison.save(tmp_path / "out") / "report.html").read_text("utf-8")


def test_the_plan_puts_a_head_on_maps_that_are_there(backbone, task):
    options = plan_module._options(backbone, "frozen_extractor", "embedding", None, 4)
    wanted = ("embedding", "linear") if backbone.name == "ge2e" else ("stage4", "conv")
    assert (options["layer"], options["head"]) == wanted


def test_an_exported_file_for_sounds_says_sounds(tmp_path):
    about = {"shape": [1, 80, 40], "classes": ["low", "high"], "holds": "sounds"}
    exported = Exported(tmp_path / "model.pt2", about, lambda batch: batch)
    with pytest.raises(
        CourseError, match=r"takes preprocessed sounds of the shape \(N, 1, 80, 40\)"
    ):
        exported(torch.zeros(1, 1, 20, 40))
