"""The two speech networks give what the originals give, and are backbones like any other."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError, WeightsError
from tlcourse.networks import load
from tlcourse.networks.mel import MelPreprocess
from tlcourse.networks.network import Network
from tlcourse.networks.speech import speech_network
from tlcourse.tasks.sound import Sound

NAMES = ("speech_embedding", "ge2e")
# Recorded once from the programs that the two packages bring, for one sound that is computed.
ORIGINALS = json.loads((Path(__file__).parent / "speech_originals.json").read_text("utf-8"))
EXAMPLE = MelPreprocess.for_keywords().example()


@pytest.fixture(scope="module", params=NAMES)
def backbone(request):
    return tl.load_backbone(request.param, device="cpu")


@pytest.fixture(scope="module")
def keywords():
    return tl.load_backbone("speech_embedding", device="cpu").at_size(76)


@pytest.fixture(scope="module")
def speakers():
    return tl.load_backbone("ge2e", device="cpu")


def tone(seconds, rate=8000):
    t = np.arange(int(seconds * rate), dtype=np.float32) / rate
    return Sound(np.sin(2 * np.pi * (200 + 300 * t) * t) / 3, rate)


def test_log_mels_and_embedding_of_the_keyword_network_are_those_of_the_original(keywords):
    mels = keywords.preprocess(EXAMPLE)
    expected = ORIGINALS["speech_embedding"]
    np.testing.assert_allclose(mels[0, ::10, ::4], expected["mels"], atol=1e-3)
    given = tl.activations(keywords, mels, "embedding")["embedding"]
    np.testing.assert_allclose(given[0, ::8], expected["embedding"], atol=0.02)  # of up to 50


def test_mels_and_embedding_of_the_speaker_network_are_those_of_the_original(speakers):
    quiet = Sound(EXAMPLE.samples / 50, EXAMPLE.rate)  # is raised to -30 dBFS
    mels = speakers.preprocess(quiet)
    expected = ORIGINALS["ge2e"]
    np.testing.assert_allclose(mels[0, :151:10, ::4], expected["mels"], rtol=1e-3, atol=1e-5)
    given = tl.activations(speakers, mels, "embedding")["embedding"]
    np.testing.assert_allclose(given[0, ::8], expected["embedding"], atol=1e-3)  # half precision


def test_a_louder_sound_is_not_made_quieter_for_the_speaker_network(speakers):
    twice = speakers.preprocess(Sound(2 * EXAMPLE.samples, EXAMPLE.rate))
    torch.testing.assert_close(twice, 4 * speakers.preprocess(EXAMPLE))


def test_a_short_sound_is_repeated_and_of_a_long_one_the_beginning_is_read(backbone):
    short = tone(0.5, 16_000)
    three = Sound(np.tile(short.samples, 6), short.rate)
    longer = Sound(np.concatenate([three.samples, -three.samples / 9]), short.rate)
    expected = backbone.preprocess(three)
    torch.testing.assert_close(backbone.preprocess(short), expected)
    torch.testing.assert_close(backbone.preprocess(longer), expected)


def test_layers_have_names_and_costs(keywords, speakers):
    stages = tuple(f"stage{i}" for i in range(1, 6))
    assert keywords.layers == ("stem", *stages, "embedding")
    assert speakers.layers == ("lstm1", "lstm2", "lstm3", "embedding")
    assert keywords.n_parameters == 328_224
    assert speakers.n_parameters == 1_423_616
    lstm = 160 * 2 * 4 * 256 * (40 + 256)  # frames, multiply-adds of four gates
    assert speakers.trace["lstm1"].operations == lstm
    assert tl.layer_table(speakers).loc["embedding", "output"] == (256,)


def test_embeddings_are_what_the_papers_say(keywords, speakers):
    taken = tl.activations(keywords.at_size(160), tone(1), ["stage3", "embedding"])
    assert taken["stage3"].shape[:3] == (1, 72, 4)  # channels, bands; then frames
    assert taken["embedding"].shape == (1, 96)  # the mean over the steps
    voice = tl.activations(speakers, tone(1), ["lstm2", "embedding"])
    assert voice["lstm2"].shape == (1, 160, 256)
    assert float(voice["embedding"].norm()) == pytest.approx(1, abs=1e-5)
    assert (voice["embedding"] >= 0).all()


def test_size_is_the_length_in_frames(backbone):
    longer = backbone.at_size(240)
    assert longer.preprocess(tone(1)).shape == (1, 240, backbone.preprocess.bands)
    assert longer.model is backbone.model
    with pytest.raises(CourseError, match="size is 8, but must be"):
        backbone.at_size(8)


def test_what_does_not_fit_is_told_in_a_sentence(backbone):
    with pytest.raises(CourseError, match=f"{backbone.name} takes sounds, but you gave"):
        tl.activations(backbone, Image.new("RGB", (32, 32)), "embedding")
    with pytest.raises(CourseError, match=r"is not a sound. Expected \(1, frames, bands\)"):
        tl.activations(backbone, torch.zeros(3, 96, 96), "embedding")
    with pytest.raises(CourseError, match="knows no classes of its own"):
        tl.top_k(backbone, tone(1))
    with pytest.raises(UnknownNameError, match="logits"):
        tl.activations(backbone, tone(1), "logits")


def test_without_training_the_weights_are_random_and_follow_the_seed(backbone):
    first, second, other = (
        (tl.seed_everything(seed), tl.load_backbone(backbone.name, pretrained=False))[1]
        for seed in (0, 0, 1)
    )
    name = backbone.layers[0]
    values = [tl.activations(b, tone(1), name)[name] for b in (first, second, other)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])
    assert first.source == "random weights"


@pytest.mark.parametrize("name", NAMES)
def test_altered_weights_are_not_read(name, monkeypatch, tmp_path):
    shutil.copy(load._DATA / f"{name}.safetensors", tmp_path)
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  {name}.safetensors\n")
    monkeypatch.setattr(load, "_DATA", tmp_path)
    with pytest.raises(WeightsError, match=rf"{name}\.safetensors was altered"):
        tl.load_backbone(name)
    speech_network(name)  # the architecture alone needs no file


def test_a_cut_network_computes_what_the_layer_gives(backbone):
    layer = backbone.layers[1]
    network = Network(backbone, 3, layer=layer)
    batch = backbone.preprocess(tone(1))[None]
    with torch.no_grad():
        own = network.value(batch)
        torch.testing.assert_close(own, tl.activations(backbone, batch, layer)[layer])
        assert network(batch).shape == (1, 3)


def test_fresh_views_differ_and_stay_close(backbone):
    torch.manual_seed(0)
    first, second = (backbone.augment(tone(1)) for _ in range(2))
    assert first.shape == second.shape == backbone.preprocess.shape
    assert not torch.equal(first, second)


def test_each_layer_that_could_be_meant_is_named_once(speakers):
    with pytest.raises(CourseError, match=r"Known: lstm1, lstm2, lstm3, embedding\.$"):
        speakers.layer("x")
