"""Everyday words find ImageNet's classes, and only those that they mean."""

import json
from importlib.resources import files

import pytest
from torchvision.models import ResNet18_Weights

from tlcourse.networks.words import classes_called

IMAGENET = ResNet18_Weights.DEFAULT.meta["categories"]
TABLE = json.loads((files("tlcourse") / "data" / "imagenet_words.json").read_text("utf-8"))
CATS = ["tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("ant", ["ant"]),
        ("Bees", ["bee"]),
        ("school_buses", ["school bus"]),
        ("strawberries", ["strawberry"]),
        ("red foxes", ["red fox"]),
        ("golden-retriever", ["golden retriever"]),
        ("wolves", ["timber wolf", "white wolf", "red wolf"]),
        ("buses", ["minibus", "school bus", "trolleybus"]),
        ("geese", ["goose"]),
        ("oxen", ["ox"]),
        ("fish", [*IMAGENET[:7], *IMAGENET[389:398]]),
        ("fishes", [*IMAGENET[:7], *IMAGENET[389:398]]),
        ("Cats", CATS),
        ("dogs", IMAGENET[151:269]),
        ("birds", [*IMAGENET[7:25], *IMAGENET[80:101], *IMAGENET[127:147]]),
        ("Polar bear", ["ice bear"]),
        ("sunglasses", ["sunglass", "sunglasses"]),
        ("sofa", ["studio couch"]),
    ],
)
def test_a_word_finds_its_classes_in_singular_and_plural(word, expected):
    assert classes_called(word, IMAGENET) == (expected, "")


@pytest.mark.parametrize("word", ["tulips", "roses", "cherries", "gnome", "person", "s", "es", ""])
def test_what_imagenet_has_not_matches_nothing(word):
    assert classes_called(word, IMAGENET) == ([], "")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("mice", "The network's class 'mouse' is a computer mouse."),
        ("Planes", "The network's class 'plane' is a carpenter's tool."),
        ("cardigans", "is a dog or a garment."),
    ],
)
def test_a_doubtful_name_matches_nothing_and_says_what_the_class_is(word, said):
    classes, why = classes_called(word, IMAGENET)
    assert classes == []
    assert why.endswith(said)


def test_the_words_are_only_for_imagenet():
    own = ("cat", "mouse", "tabby")
    assert classes_called("cats", own) == (["cat"], "")
    assert classes_called("mice", own) == (["mouse"], "")
    assert classes_called("dogs", own) == ([], "")


def test_a_plural_of_two_classes_is_not_guessed():
    classes, why = classes_called("axes", ("ax", "axe", "saw"))
    assert classes == []
    assert why == "'axes' could be 'ax' or 'axe'."
    assert classes_called("axes", ("ax", "axe", "axes")) == (["axes"], "")


def test_each_word_of_the_table_is_one_that_is_found_and_means_several_or_another_name():
    for word, listed in TABLE["words"].items():
        classes, why = classes_called(word, IMAGENET)
        assert classes, (word, why)
        assert set(classes) <= set(IMAGENET)
        assert listed != [word]  # the name itself needs no entry
    names = {name.casefold() for name in IMAGENET}
    assert all(word in names or word == "crane" for word in TABLE["doubtful"])
    assert not TABLE["doubtful"].keys() & TABLE["words"].keys()
