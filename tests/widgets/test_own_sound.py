"""A sound that is uploaded is played, drawn and classified; bad files get a sentence."""

import numpy as np
import pandas as pd
import pytest
from tiny_sounds import encoded, tone
from tiny_uploads import upload

import tlcourse as tl
from tlcourse.errors import CourseError
from tlcourse.widgets.own_sound import SECONDS

HEARD = []


def loudness(sound):
    HEARD.append(sound)
    share = float(np.abs(sound.samples).max())
    return pd.DataFrame({"class": ["loud", "<soft>"], "probability": [share, 1 - share]})


def test_an_upload_is_played_drawn_and_answered():
    widget = tl.widgets.own_sound({"how loud": loudness})
    upload(widget.button, "me & you.wav", encoded(tone(rate=48_000, seconds=8), 48_000))
    assert HEARD[-1].seconds == SECONDS
    assert widget.problem.value == ""
    html = widget.answer.value
    for part in ("<audio", "<img", "how loud", "me &amp; you.wav", "&lt;soft&gt;", "%"):
        assert part in html
    assert len(html) < 400_000


def test_a_result_is_asked(tmp_path):
    import tiny_sounds
    from tiny_tasks import tiny_backbone

    for label, pitch in (("low", 300), ("high", 2000)):
        tiny_sounds.fill(tmp_path / label, 6, pitch)
    task = tl.load_task(tmp_path)
    result = tl.patterns.standalone_extractor(tiny_backbone(), task, layer="embedding")
    assert result.predict(tmp_path / "low" / "0.wav")["class"].tolist() in (
        ["low", "high"],
        ["high", "low"],
    )
    widget = tl.widgets.own_sound({"which pitch": result})
    upload(widget.button, "a.wav", encoded(tone(300)))
    assert "high" in widget.answer.value
    assert widget.problem.value == ""


def test_a_bad_file_is_not_swallowed_and_takes_the_old_answer_away():
    widget = tl.widgets.own_sound({"how loud": loudness})
    upload(widget.button, "a.wav", encoded(tone()))
    upload(widget.button, "notes.txt", b"no sound at all, just words")
    assert widget.answer.value == ""
    assert "notes.txt cannot be read: it is not a sound" in widget.problem.value
    upload(widget.button, "b.wav", encoded(np.zeros(8000)))
    assert "b.wav cannot be read: it is silent" in widget.problem.value


def test_an_answer_that_fails_is_a_sentence():
    widget = tl.widgets.own_sound({"broken": lambda sound: 1 / 0})
    upload(widget.button, "a.wav", encoded(tone()))
    assert "ZeroDivisionError" in widget.problem.value
    assert widget.answer.value == ""


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(CourseError, match="'a' -> int cannot be asked"):
        tl.widgets.own_sound({"a": 1})
    with pytest.raises(CourseError, match="needs a dictionary"):
        tl.widgets.own_sound(loudness)


def test_without_a_kernel_a_sentence_stands_in_for_the_button():
    assert "run this notebook" in repr(tl.widgets.own_sound({}))
