"""Vectors of texts: the shipped ones fit their texts and the network; the rest is told plainly."""

import subprocess
import sys

import numpy as np
import pytest

import tlcourse as tl
from tlcourse.errors import CourseError, UnknownNameError
from tlcourse.features import text


def test_every_text_of_the_course_has_a_vector_of_length_one():
    known = text.shipped_texts()
    vectors = tl.text_vectors(known)
    assert vectors.shape == (len(known), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(np.unique(vectors, axis=0)) == len(known)


def test_the_names_are_those_of_the_drawings():
    task = tl.load_task("emoji")
    names = tl.texts("emoji")
    assert tuple(names) == task.classes
    for split in (task.train, task.val, task.test):
        for name, label in zip(split.names, split.labels, strict=True):
            kind, _, word = name.partition("/")
            assert kind == task.classes[label]
            assert word in names[kind]


def test_each_kind_has_as_many_descriptions_and_its_own_name_is_the_first():
    descriptions = tl.texts("descriptions")
    assert [some[0] for some in descriptions.values()] == list(tl.load_task("emoji").classes)
    assert {len(some) for some in descriptions.values()} == {11}


def test_no_paragraph_stands_twice():
    some = [text for texts in tl.texts("paragraphs").values() for text in texts]
    assert len(some) == len(set(some)) > 250


def test_what_means_the_same_is_near_though_no_word_is_shared():
    dog, poodle, coat = tl.text_vectors(["dog", "poodle", "lab coat"])
    assert dog @ poodle > dog @ coat + 0.2


def test_vectors_come_in_the_order_of_the_texts_however_often_one_stands():
    cat, dog, again = tl.text_vectors(["cat", "dog", "cat"])
    assert np.array_equal(cat, again)
    assert not np.array_equal(cat, dog)
    assert tl.text_vectors([]).shape == (0, 384)


def test_a_lesson_that_changes_its_vectors_changes_no_other():
    first = tl.text_vectors(["cat", "dog"])
    first[:] = 0
    assert tl.text_vectors(["cat"]).any()


def test_a_text_without_a_vector_is_named_with_near_ones(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # as if not installed
    with pytest.raises(CourseError, match=r"'orang utan' has no vector.*orangutan.*pip install"):
        tl.text_vectors(["dog", "orang utan"])
    with pytest.raises(CourseError, match=r"'a1', 'b2', 'c3', \.\.\. have no vectors \(4 texts\)"):
        tl.text_vectors(["a1", "b2", "c3", "d4", "a1"])


def test_without_being_asked_nothing_is_downloaded(monkeypatch):
    class Module:
        @staticmethod
        def SentenceTransformer(name, *, device, local_files_only):
            assert local_files_only
            raise OSError("not on this disk")

    monkeypatch.setitem(sys.modules, "sentence_transformers", Module)
    with pytest.raises(CourseError, match=r"not on this machine: .*download=True"):
        tl.text_vectors(["no such name"])


@pytest.mark.parametrize("wrong", ["dog", 3, None, ["dog", 3], ["dog", " "], [None]])
def test_what_is_no_list_of_texts_is_refused(wrong):
    with pytest.raises(CourseError, match="needs a list of texts"):
        tl.text_vectors(wrong)


def test_another_collection_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Nearest: paragraphs"):
        tl.texts("paragraph")


def test_shipped_vectors_need_no_network_package():
    program = (
        "import sys, tlcourse as tl; tl.text_vectors(['dog']);"
        "assert not {'transformers', 'sentence_transformers', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.filterwarnings("default")  # those of another package
def test_the_network_itself_gives_the_shipped_vectors():
    """Half precision keeps three digits. Runs where the package and its weights are."""
    pytest.importorskip("sentence_transformers")
    some = ["orangutan", "sport and games", "lady beetle", text.shipped_texts()[-1]]
    try:
        live = text._live(some, download=False)
    except CourseError as error:
        pytest.skip(str(error))
    assert np.allclose(live, tl.text_vectors(some), atol=1e-3)
