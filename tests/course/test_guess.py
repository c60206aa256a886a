"""Prediction questions: a guess is kept, and compared with what a figure's data say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import tlcourse as tl
from tlcourse.course import guess as guess_module
from tlcourse.course import progress_file
from tlcourse.course.question import Question
from tlcourse.errors import UnknownNameError

LAYER = Question(
    "98.A", "Which layer?", "Figure 2", "Look at the ring.", options=("stem", "stage3", "Embedding")
)
TIMES = Question("98.B", "How many?", "Table 1", "Compare.", unit="times", within=1.5)
SECONDS = Question("98.C", "How long?", "Figure 1", "Compare.", unit="seconds")


@pytest.fixture(autouse=True)
def _questions(tmp_path, monkeypatch):
    monkeypatch.setenv("TLCOURSE_PROGRESS", str(tmp_path / "progress.jsonl"))
    monkeypatch.setattr(guess_module, "all_questions", lambda: {p.id: p for p in (LAYER, TIMES)})


@pytest.mark.parametrize("nothing", [..., None, "", "...", " … "])
def test_no_guess_is_met_kindly_and_the_answer_shows_all_the_same(nothing):
    reply = tl.guess("98.A", nothing)
    assert reply.status == "open"
    assert repr(reply) == (
        'No guess yet. In place of the three dots write "stem", "stage3" or "Embedding", and run '
        "the cell again. You can also go on without: Figure 2 will tell."
    )
    assert repr(tl.reveal("98.A", "stem")) == "The answer. Figure 2 says: stem. Look at the ring."


def test_a_guess_is_compared_with_the_answer():
    assert repr(tl.guess("98.A", " embedding ")) == (
        "Noted. You say: Embedding. Figure 2 will tell."
    )
    assert repr(tl.reveal("98.A", "stem")) == (
        "Not as you said. You said: Embedding. Figure 2 says: stem. Look at the ring."
    )
    right = tl.reveal("98.A", "embedding")
    assert (right.status, right.guess, right.answer) == ("as you said", "Embedding", "Embedding")


def test_what_cannot_be_told_apart_from_the_answer_is_right_too():
    tl.guess("98.A", "stage3")
    reply = tl.reveal("98.A", "Embedding", also=["Embedding", "stage3"])
    assert reply.status == "as you said"
    assert "Figure 2 says: Embedding. Its data also allow: stage3." in reply.text
    assert tl.reveal("98.A", "Embedding", also=["stem"]).status == "not as you said"


@pytest.mark.parametrize(
    ("guess", "answer", "status"),
    [
        (3, 4.4, "as you said"),
        (4.4, 3, "as you said"),
        (3, 4.6, "not as you said"),
        (np.float32(4), torch.tensor(4.5), "as you said"),
        ("4.0", 4.5, "as you said"),
        ("4 times", 4.5, "as you said"),
    ],
)
def test_a_number_is_right_within_its_factor(guess, answer, status):
    tl.guess("98.B", guess)
    assert tl.reveal("98.B", answer).status == status


def test_numbers_are_told_with_their_unit():
    tl.guess("98.B", 3)
    assert tl.reveal("98.B", 12.345).text.startswith("You said: 3 times. Table 1 says: 12 times.")
    assert SECONDS.in_words(12345.6) == "12,346 seconds"
    assert SECONDS.expects == "a number of seconds"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("stage 3", "stage3"),
        ("EMBED", "Embedding"),
        ("ste", None),
        ("stage", "stage3"),
        ("stem or stage3", None),
    ],
)
def test_spaces_and_the_rest_of_a_long_option_may_be_missing(said, meant):
    assert LAYER.parse(said) == meant


def test_a_part_of_two_options_is_none_of_them():
    asked = Question("98.D", "More?", "Figure 1", "Look.", options=("worse now", "worse later"))
    assert asked.parse("worse") is None
    assert asked.parse("later") == "worse later"


def test_several_equal_answers_and_several_figures_are_one_sentence():
    assert (
        "also allow: stem and stage3."
        in tl.reveal("98.A", "Embedding", also=["stem", "stage3"]).text
    )
    two = replace(LAYER, id="98.B", figure="Figures 4 and 5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guess_module, "all_questions", lambda: {"98.B": two})
        assert tl.reveal("98.B", "stem").text.startswith("Figures 4 and 5 say: stem.")


def test_a_number_can_be_an_option():
    """Options are texts, but whoever writes the number means it."""
    asked = Question("98.D", "How many?", "Figure 1", "Count.", options=("1", "2"))
    assert asked.parse("2") == "2"
    assert asked.parse(2) == "2"


@pytest.mark.parametrize("guess", ["stge3", 7, ["stem"], lambda: 1, True, torch.zeros(3)])
def test_what_is_none_of_the_answers_is_told_and_not_kept(guess):
    reply = tl.guess("98.A", guess)
    assert reply.status == "unclear"
    assert 'Write "stem", "stage3" or "Embedding".' in reply.text
    assert progress_file.entries() == {}
    if guess == "stge3":
        assert reply.text.endswith('Nearest: "stage3".')


@pytest.mark.parametrize("guess", ["many", -1, float("nan"), "inf", float("inf"), False])
def test_a_number_must_not_be_below_0(guess):
    assert tl.guess("98.B", guess).text.endswith("Write a number, such as 0.5, 5 or 500.")


def test_none_at_all_is_a_fair_guess():
    tl.guess("98.B", 0)
    assert tl.reveal("98.B", 4).status == "not as you said"


def test_a_count_is_right_or_not():
    exact = Question("98.D", "How many?", "Figure 1", "Count.", unit="tensors", within=1.0)
    assert exact.agrees(2, 2)
    assert not exact.agrees(3, 2)
    assert [exact.in_words(n) for n in (0, 1, 2, 12.0)] == [
        "0 tensors",
        "1 tensor",
        "2 tensors",
        "12 tensors",
    ]


def test_a_guess_may_change_until_the_answer_was_seen():
    tl.guess("98.A", "stem")
    tl.guess("98.A", "stage3")
    assert tl.reveal("98.A", "stage3").status == "as you said"
    kept = tl.guess("98.A", "stem")
    assert kept.status == "kept"
    assert "what you said before it counts: stage3" in kept.text
    assert tl.guess("98.A", "stage3").status == "noted"
    assert tl.reveal("98.A", "stage3").guess == "stage3"


def test_an_answer_seen_without_a_guess_leaves_the_question_open():
    tl.reveal("98.A", "stem")
    assert tl.guess("98.A", "stage3").status == "noted"
    assert tl.reveal("98.A", "stem").status == "not as you said"


def test_a_guess_of_last_week_stands_where_the_cell_has_three_dots():
    tl.guess("98.A", "stage3")
    assert repr(tl.guess("98.A", ...)) == "Kept. You said before: stage3. Figure 2 will tell."
    assert tl.reveal("98.A", "stage3").status == "as you said"


def test_the_first_comparison_is_the_one_that_counts():
    tl.guess("98.B", 3)
    tl.reveal("98.B", 9)
    tl.reveal("98.B", 3)  # measured again
    assert progress_file.entry("98.B")["right"] is False


def test_a_guess_of_an_older_course_that_is_no_option_any_more_does_not_count():
    progress_file.change("98.A", lambda _: {"guess": "stage9"})
    assert tl.guess("98.A", ...).status == "open"
    assert tl.reveal("98.A", "stem").status == "no guess"


def test_an_answer_that_nobody_thought_of_is_shown():
    tl.guess("98.A", "stem")
    reply = tl.reveal("98.A", "stage9")
    assert reply.status == "not as you said"
    assert "Figure 2 says: stage9." in reply.text


@pytest.mark.parametrize("name", ["98.C", 98, None])
def test_an_unknown_question_is_an_error_with_the_nearest(name):
    with pytest.raises(UnknownNameError, match=r"no prediction question .*98\.A"):
        tl.guess(name, 1)
    with pytest.raises(UnknownNameError, match="no prediction question"):
        tl.reveal(name, 1)


def test_html_says_in_words_what_the_sign_says():
    shown = tl.guess("98.A", "<b>")._repr_html_()
    assert 'role="status"' in shown
    assert "Not one of the answers." in shown
    assert "<b>" not in shown
