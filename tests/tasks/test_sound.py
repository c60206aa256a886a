"""Sounds of every kind are read as one channel; what is not one is refused in a sentence."""

import struct
import tracemalloc
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import tiny_sounds
import torch
from damaged import damaged
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_sounds import RATE, encoded, sound, tone

import tlcourse as tl
from tlcourse.errors import CourseError, SoundError
from tlcourse.tasks import voices
from tlcourse.tasks.pictures import to_rgb
from tlcourse.tasks.sound import Sound, SoundChange, open_sound
from tlcourse.tasks.task import Task

SAMPLES = tone()


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_of_any_depth_gives_the_same_samples(subtype):
    opened = open_sound(encoded(SAMPLES, subtype=subtype))
    assert (opened.rate, opened.samples.dtype) == (RATE, np.float32)
    np.testing.assert_allclose(opened.samples, SAMPLES, atol=1 / 127)


@pytest.mark.parametrize(("kind", "off"), [("FLAC", 1e-4), ("OGG", 0.1), ("AIFF", 1e-4)])
def test_other_kinds_are_read_too(kind, off):
    np.testing.assert_allclose(open_sound(encoded(SAMPLES, kind=kind)).samples, SAMPLES, atol=off)


def test_two_channels_become_their_mean():
    both = np.stack([SAMPLES, 0.5 * SAMPLES], axis=1)
    opened = open_sound(encoded(both, 32_000, subtype="FLOAT"))
    assert opened.rate == 32_000
    np.testing.assert_allclose(opened.samples, 0.75 * SAMPLES, atol=1e-6)


def test_values_beyond_the_range_are_scaled_down_together():
    opened = open_sound(encoded(1000 * SAMPLES, subtype="FLOAT"))
    np.testing.assert_allclose(opened.samples, SAMPLES / np.abs(SAMPLES).max(), atol=1e-6)


def test_of_an_hour_only_the_beginning_is_read(tmp_path):
    path, seconds, rate = tmp_path / "hour.wav", 3600, 48_000
    size = seconds * rate * 4  # two channels of 16 bit
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 2, rate,
                       4 * rate, 4, 16, b"data", size)  # fmt: skip
    with path.open("wb") as file:
        file.write(head)
        file.write((np.repeat(tone(rate=rate), 2) * 32767).astype("<i2").tobytes())
        file.truncate(size + 44)  # the rest is a hole: no bytes on the disk
    tracemalloc.start()
    opened = open_sound(path, max_seconds=2)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert opened.seconds == 2
    assert most < 5e6


def broken():
    with_nan = SAMPLES.copy()
    with_nan[5] = np.nan
    flac = encoded(SAMPLES, kind="FLAC")
    return {
        "nothing": (b"", "it is empty"),
        "text": (b"This is a text." * 40, "it is not a sound"),
        "picture": (b"\x89PNG\r\n\x1a\n" + bytes(60), "it is not a sound"),
        "only a head": (encoded(SAMPLES)[:44], "too short: 0.000 s"),
        "cut flac": (flac[: len(flac) // 8], "cut off|too short"),
        "silent": (encoded(np.zeros(RATE)), "it is silent"),
        "constant": (encoded(np.full(RATE, 0.5)), "it is silent"),
        "short": (encoded(SAMPLES[:400]), "too short: 0.050 s"),
        "not finite": (encoded(with_nan, subtype="FLOAT"), "not finite"),
        "many channels": (encoded(np.tile(SAMPLES[:1000, None], 100)), "100 channels"),
        "fast": (encoded(SAMPLES, 900_000), "900,000 samples per second"),
    }


@pytest.mark.parametrize(("content", "said"), broken().values(), ids=broken())
def test_what_is_no_sound_is_one_sentence(content, said, tmp_path):
    path = tmp_path / "mine.wav"
    path.write_bytes(content)
    with pytest.raises(SoundError, match=rf"^mine\.wav cannot be read: .*({said})") as caught:
        open_sound(path)
    assert caught.value.reason in str(caught.value)
    with pytest.raises(SoundError, match=r"^The sound cannot be read"):
        open_sound(content)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_loudest_numbers_of_a_file_do_not_overflow(channels):
    # Warnings are errors in these tests, those of numpy about an overflow, too.
    samples = np.full((1000, channels), 3e38, np.float32)
    with pytest.raises(SoundError, match="silent"):
        open_sound(encoded(samples, subtype="FLOAT"))
    samples[::2] *= -1
    assert np.abs(open_sound(encoded(samples, subtype="FLOAT")).samples).max() == 1


def wav(kind=1, channels=1, rate=RATE, block=2, depth=16, size=2000, riff=2036):
    """A WAV file of 1,000 samples of 16 bit, whose header may lie."""
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", riff, b"WAVE", b"fmt ", 16, kind, channels,
                       rate, rate * block % 2**32, block, depth, b"data", size)  # fmt: skip
    return head + np.sin(np.arange(1000)).astype(np.float16).tobytes()


words, longs = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "kind": st.sampled_from([0, 1, 2, 3, 6, 7, 0x11, 0x31, 0xFFFE]) | words,
            "channels": st.integers(0, 3) | words,
            "rate": st.sampled_from([0, 1, 999, 1000, 1009, 383_999]) | longs,
            "block": words,
            "depth": st.sampled_from([0, 1, 8, 24, 32, 64]) | words,
            "size": longs,
            "riff": longs,
        },
    )
)
@example({"channels": 0})
@example({"depth": 0})
@example({"size": 2**32 - 1})
@settings(max_examples=150)
def test_a_header_that_lies_is_a_sound_or_one_sentence(lies):
    try:
        opened = open_sound(wav(**lies), max_seconds=1)
    except SoundError:
        return
    assert 0.1 <= opened.seconds <= 1.001
    assert np.abs(opened.samples).max() <= 1


def test_a_file_that_leads_to_before_its_start_prints_nothing(capfd, tmp_path):
    # What a callback of libsndfile raises would be printed as a traceback.
    content = encoded(SAMPLES, kind="AIFF")
    content = content[:40] + b"\x80" + content[41:]
    (tmp_path / "a.aiff").write_bytes(content)
    for source in (content, tmp_path / "a.aiff"):
        with suppress(SoundError):
            open_sound(source)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("lost", [0, 20])
def test_a_length_in_a_list_of_notes_that_leads_backwards_is_refused_at_once(lost):
    # libsndfile 1.2.2 would not come back.
    notes = bytearray(b"\xff" * 153)
    notes[124] = 0x7F
    content = wav(size=2)[:46] + b"LIST" + struct.pack("<I", 153) + notes
    with pytest.raises(SoundError, match="it is cut off or damaged"):
        open_sound(content[: len(content) - lost])
    whole = wav() + b"LIST" + struct.pack("<I", 16) + b"INFOICRD" + struct.pack("<I", 4) + b"2026"
    assert open_sound(whole).seconds > 0.1


@given(damaged("sounds"))
@settings(max_examples=100)
def test_a_damaged_file_is_a_sound_or_one_sentence(content):
    try:
        opened = open_sound(content)
    except SoundError:
        return
    assert np.isfinite(opened.samples).all()


def test_wrong_sources_are_one_sentence(tmp_path):
    with pytest.raises(SoundError, match=r"cannot be opened: No such file"):
        open_sound(tmp_path / "none.wav")
    with pytest.raises(SoundError, match=r"cannot be opened: it is a folder"):
        open_sound(tmp_path)
    with pytest.raises(SoundError, match="not from int"):
        open_sound(7)
    with pytest.raises(CourseError, match="max_seconds is 0"):
        open_sound(encoded(SAMPLES), max_seconds=0)


def test_another_rate_keeps_the_pitch():
    other = sound(440, rate=44_100).at_rate(16_000)
    pitches = np.fft.rfftfreq(len(other.samples), 1 / other.rate)
    assert abs(other.seconds - 0.5) < 1e-3
    assert abs(pitches[np.abs(np.fft.rfft(other.samples)).argmax()] - 440) <= 2


def test_rates_without_a_common_divisor_take_no_long_filter(monkeypatch):
    ratios, real = [], scipy.signal.resample_poly

    def resample(samples, up, down):
        ratios.append((up, down))
        return real(samples, up, down)

    monkeypatch.setattr(scipy.signal, "resample_poly", resample)
    assert abs(sound(440, rate=383_999).at_rate(16_000).seconds - 0.5) < 1e-3
    sound(440, rate=44_100).at_rate(16_000)
    assert ratios == [(1, 24), (160, 441)]


def test_a_spectrogram_has_a_tone_in_its_band_and_loudness_does_not_matter():
    mel = sound(2000).log_mel(80)
    assert (mel.max(), mel.min()) == (0, -80)
    middles = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 82) / 2595) - 1)
    assert int(mel.mean(dim=1).argmax()) == np.abs(middles[1:-1] - 2000).argmin()
    softer = Sound(0.1 * tone(2000), RATE).log_mel(80)
    torch.testing.assert_close(softer, mel, atol=1e-2, rtol=0)
    assert Sound(np.zeros(RATE, np.float32), RATE).log_mel().max() == -80


def test_a_picture_shows_time_from_the_left_and_low_pitches_at_the_bottom():
    picture = np.asarray(sound(500, seconds=1.5).picture())
    assert picture.shape == (160, 160, 3)
    loud = picture[..., 0] > 200
    assert loud[80:, 5:70].any()
    assert not loud[:40].any()
    assert picture[:, 90:].max() == 0  # what follows a sound of 1.5 s
    assert np.array_equal(np.asarray(to_rgb(sound(500, seconds=1.5))), picture)


def test_a_file_is_written_as_it_is_read(tmp_path):
    sound().save(tmp_path / "a.wav")
    np.testing.assert_allclose(open_sound(tmp_path / "a.wav").samples, SAMPLES, atol=1e-4)
    with pytest.raises(CourseError, match="cannot be written"):
        sound().save(tmp_path / "a.wav" / "b.wav")


def test_a_cell_shows_a_player():
    heard = replace(sound(rate=16_000), caption="<tone> & noise").at_rate(8000)
    player = heard._repr_html_()
    assert 'aria-label="&lt;tone&gt; &amp; noise, 0.50 s"' in player
    assert "<figcaption>&lt;tone&gt; &amp; noise, 0.50 s</figcaption>" in player
    assert "<figcaption>Sound, 0.50 s<" in sound()._repr_html_()


def test_a_change_moves_a_sound_as_its_numbers_say():
    whole = Sound(np.linspace(0.1, 0.5, RATE, dtype=np.float32), RATE)
    later = SoundChange(shift=0.1, gain=0, noise=0).drawn(whole, [1, 0.5, 0])
    assert np.array_equal(later.samples[800:], whole.samples[:-800])
    assert not later.samples[:800].any()
    earlier = SoundChange(shift=0.1, gain=0, noise=0).drawn(whole, [0, 0.5, 0])
    assert np.array_equal(earlier.samples[:-800], whole.samples[800:])
    louder = SoundChange(shift=0, gain=6, noise=0).drawn(whole, [0.5, 0, 0])
    np.testing.assert_allclose(louder.samples, whole.samples * 10**-0.3, rtol=1e-5)
    noisy = SoundChange(shift=0, gain=0, noise=0.1).drawn(whole, [0.5, 0.5, 1])
    assert 0.02 < np.std(noisy.samples - whole.samples) < 0.05
    assert not SoundChange(shift=5).drawn(whole, [0, 0.5, 0]).samples.any()


def test_a_change_follows_pytorchs_seed_and_refuses_nonsense():
    torch.manual_seed(3)
    first = SoundChange()(sound())
    torch.manual_seed(3)
    assert np.array_equal(first.samples, SoundChange()(sound()).samples)
    assert not np.array_equal(first.samples, SoundChange()(sound()).samples)
    with pytest.raises(CourseError, match="gain is -1"):
        SoundChange(gain=-1)
    with pytest.raises(SoundError, match="changes a Sound"):
        SoundChange()(sound().picture())


@pytest.mark.parametrize(
    ("name", "classes", "n"),
    [("voices", 7, 539), ("spoken_digits", 10, 70), ("spoken_numbers", 28, 196)],
)
def test_the_voices_that_come_along(name, classes, n):
    task = tl.load_task(name)
    assert len(task.classes) == classes
    assert sum(len(getattr(task, split)) for split in ("train", "val", "test")) == n
    assert f"{n} sounds" in repr(task)
    opened, label = task.test[0]
    assert (opened.rate, opened.samples.dtype) == (8000, np.float32)
    assert np.abs(opened.samples).max() > 0.05
    voice, said = task.test.names[0].rsplit("/", 1)
    assert task.classes[label] in (voice.replace("/", " "), said)
    assert list(task.credits) == list(voices.about()["voices"])
    digests = [d for split in (task.train, task.val, task.test) for d in split.digests()]
    assert len(set(digests)) == n


def test_the_two_sets_of_one_speaker_are_named():
    told = voices.about()["voices"]
    assert told["en Allison"]["author"] == told["es Allison"]["author"]
    assert "one speaker" in voices.about()["note"]
    assert "one speaker" in tl.load_task("voices").source


def test_the_voices_have_their_credits_in_the_notice():
    from pathlib import Path

    notice = (Path(__file__).parents[2] / "NOTICE").read_text("utf-8").splitlines()
    for voice, credit in voices.credits_of_voices().items():
        assert f"    {voice}  {credit}" in notice


def test_names_can_decide_the_splits():
    def choose(name):
        language, voice, _ = name.split("/")
        return None if language == "ru" else "test" if voice == "Menardi" else "train"

    task = tl.load_task("spoken_digits").split_by(choose)
    assert (len(task.train), len(task.val), len(task.test)) == (50, 0, 10)
    assert all(name.startswith("it/Menardi/") for name in task.test.names)
    assert sorted(task.test.labels) == list(range(10))
    with pytest.raises(CourseError, match=r"'0/0000'.*got 'Test'|got 'Test'"):
        tl.load_task("digits").split_by(lambda name: "Test")
    with pytest.raises(CourseError, match="Split it first"):
        tl.load_task("digits").corrupted("noise", 1).split_by(lambda name: "train")


def test_splits_of_stored_values_stay_so():
    task = tl.load_task("digits").split_by(lambda name: "test" if name < "5" else "train")
    assert task.train.raw.shape[1:] == (8, 8)
    assert len(task.train) + len(task.test) == 1797


def test_sounds_are_not_blurred_or_turned():
    task = tl.load_task("spoken_digits")
    with pytest.raises(CourseError, match="holds sounds, which are not turned"):
        task.changed(turn=10)
    with pytest.raises(CourseError, match="holds sounds, which are not blurred"):
        task.corrupted("noise", 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("my") / "sounds"
    tiny_sounds.fill(path / "low", 6, 300)
    tiny_sounds.fill(path / "high", 6, 1500, kind="FLAC")
    (path / "low" / "silent.wav").write_bytes(encoded(np.zeros(RATE)))
    (path / "low" / "text.wav").write_bytes(b"no sound")
    opened = open_sound(path / "low" / "0.wav").samples
    same = (opened * 2**15).astype(np.int16)
    (path / "low" / "copy.flac").write_bytes(encoded(same, kind="FLAC"))
    (path / "high" / "notes.txt").write_text("notes")
    sound().picture().save(path / "high" / "picture.png")
    return path


def test_a_folder_of_sounds_is_a_task(folder):
    task = tl.load_task(folder)
    assert isinstance(task, Task)
    assert (task.classes, task.holds) == (("high", "low"), "sounds")
    assert [len(getattr(task, s)) for s in ("train", "val", "test")] == [8, 2, 2]
    assert isinstance(task.change, SoundChange)
    assert isinstance(task.train[0][0], Sound)
    assert {s.name: s.reason for s in task.skipped} == {
        "high/notes.txt": ".txt is not read, as it is no kind of sound",
        "high/picture.png": "it is a picture, and most files are sounds",
        "low/copy.flac": "the same sound as low/0.wav, which is kept",
        "low/silent.wav": "it is silent",
        "low/text.wav": "it is not a sound, or of a kind that is not read; save it as WAV",
    }


def test_a_folder_with_more_pictures_is_a_task_of_pictures(tmp_path):
    for label, colour in (("a", 10), ("b", 200)):
        tiny_sounds.fill(tmp_path / label, 1)
        for i in range(3):
            picture = sound().picture()
            picture.paste((colour + i, 0, 0), (0, 0, 160, 160))
            picture.save(tmp_path / label / f"{i}.png")
    task = tl.load_task(tmp_path)
    assert (task.holds, task.change) == ("pictures", None)
    assert [s.reason for s in task.skipped] == ["it is a sound, and most files are pictures"] * 2


def test_too_few_sounds_are_called_sounds(tmp_path):
    tiny_sounds.fill(tmp_path / "a", 5)
    tiny_sounds.fill(tmp_path / "b", 1, 900)
    with pytest.raises(CourseError, match=r"'b' has 1 usable sound, .* Add sounds"):
        tl.load_task(tmp_path)


def test_a_task_of_sounds_is_written_as_a_folder_and_read_again(folder, tmp_path):
    task = tl.load_task(folder)
    again = tl.load_task(tl.write_folder(task, tmp_path / "copy"))
    assert [len(again.train), len(again.val), len(again.test)] == [8, 2, 2]
    first = {round(float(np.abs(s.samples).sum()), 0) for s, _ in task.test}
    assert {round(float(np.abs(s.samples).sum()), 0) for s, _ in again.test} == first


def test_the_pixels_of_a_sound_are_those_of_its_spectrogram():
    task = tl.load_task("spoken_digits")
    x = tl.raw_pixels(task.test, side=8).x["pixels"]
    assert x.shape == (10, 192)
    assert x.std(axis=0).max() > 0.05


def test_a_loud_sound_at_another_rate_can_be_played():
    loud = Sound(np.sign(tone(rate=44_100)), 44_100).at_rate(16_000)
    assert np.abs(loud.samples).max() > 1  # the peaks have moved
    assert "<audio" in loud._repr_html_()


def test_samples_of_double_precision_have_a_spectrogram():
    single, double = sound(rate=16_000), Sound(tone(rate=16_000).astype(np.float64), 16_000)
    assert torch.equal(single.log_mel(), double.log_mel())
