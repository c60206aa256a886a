"""Notebook 14: sounds and words; what a network was trained to ignore, and what a name says."""

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.tries14 import (
    DESCRIBED,
    MIXED,
    always_ten,
    as_good_as,
    described,
    farthest_names,
    form,
    mixed,
    no_vector,
    not_all_kinds,
    one_form,
    one_more,
    only_kinds,
    only_labels,
    only_test_names,
    places_of_names,
    searched,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="14.C",
        question="Which is right about more of the test emoji?",
        options=("the drawing, with 277 labels", "the name, with no label"),
        figure="Figure 3",
        where="Compare the broken line with the right end of the curve of the drawings.",
    ),
    Question(
        id="14.D",
        question="Which tells better which notebook a paragraph is from, with 20 labels of each?",
        options=("MiniLM", "word counts"),
        figure="Figure 4",
        where="Look at the right end: which curve is higher, and do the bands overlap?",
    ),
)


EXERCISES = (
    Exercise(
        id="14.4",
        question="Describe the seven kinds so that .80 of the names find theirs.",
        right=lambda a: described(a) >= DESCRIBED,
        praise="Not a single label of these 184 names was used, and no weight was moved.",
        misconceptions=(
            Misconception(
                "not all kinds",
                not_all_kinds,
                "The dictionary needs the seven kinds of `emoji.classes`, and no others.",
                {"food": "food and drink"},
            ),
            Misconception(
                "no vector",
                no_vector,
                "One of these descriptions has no vector here. Take those of "
                '`tl.texts("descriptions")`.',
                lambda: form(0) | {"food": "what my grandmother cooks on Sundays"},
            ),
            Misconception(
                "one form",
                lambda a: described(a) < DESCRIBED and one_form(a),
                "All kinds have the same form of description. Choose for each kind by itself: what "
                "suits animals need not suit games.",
                lambda: form(9),
            ),
            Misconception(
                "too little",
                lambda a: described(a) < DESCRIBED and not one_form(a),
                "Not enough yet. Go from kind to kind. Take the description that is right on most "
                "training names while the other six stay as they are.",
                lambda: form(0) | {"animals": "wildlife"},
            ),
            Misconception(
                "the accuracy",
                lambda a: number(a) >= 0,
                "That is one number. Hand in the dictionary: kind to description.",
                0.82,
            ),
        ),
        hints=(
            "Begin with the plain names. Which of the eleven descriptions of animals helps most on "
            "the training names?",
            "Keep it, and go on with clothing. Two rounds over the seven kinds are enough.",
        ),
        otherwise="Hand in a dictionary with a description for each of the seven kinds.",
        expects="a dictionary: kind to description",
    ),
    Exercise(
        id="14.5",
        question="Sort names by five labels of each kind together with the names of the kinds.",
        right=lambda a: mixed(a) >= MIXED,
        praise="Each alone is weaker: .75 with five labels, .78 with the names of the kinds.",
        misconceptions=(
            Misconception(
                "only the kinds",
                lambda a: as_good_as(a, only_kinds),
                "That is right on .78, without any label. Now use `x` and `y`, too.",
                lambda: only_kinds,
            ),
            Misconception(
                "only the labels",
                lambda a: as_good_as(a, only_labels),
                "That is right on .75: the labels alone. Now use `kinds`, too.",
                lambda: only_labels,
            ),
            Misconception(
                "one more example",
                lambda a: as_good_as(a, one_more),
                "Near. The name of a kind counts as much as one of five examples. It knows more: give "
                "it more weight.",
                lambda: one_more,
            ),
            Misconception(
                "called already",
                lambda a: not callable(a) and len(a) > 0,
                "Give the function itself, without calling it: `answer = sort`.",
                lambda: [0, 3, 2],
            ),
        ),
        hints=(
            "A direction for each kind: the mean of its labelled names, brought to length 1.",
            "Add the vector of the kind's own name to this direction.",
        ),
        otherwise="Your function gets `x, y, kinds, new` and returns a whole number from 0 to 6 for "
        "each row of `new`. .80 have to be right, in the mean of 20 draws.",
        expects="a function of x, y, kinds and new",
    ),
    Exercise(
        id="14.6",
        question="Write a search among all emoji names, by meaning.",
        right=lambda a: searched(a) == "right",
        praise="Search by meaning, in two lines. With more than a million texts you would want an "
        "index.",
        misconceptions=(
            Misconception(
                "farthest",
                lambda a: searched(a) == "farthest",
                "These are the names that fit least: `np.argsort` begins with the smallest.",
                lambda: farthest_names,
            ),
            Misconception(
                "only test names",
                lambda a: searched(a) == "only test",
                "You search among the test names only. Take all names: `everything`.",
                lambda: only_test_names,
            ),
            Misconception(
                "places",
                lambda a: searched(a) == "places",
                "These are places in the list. Return the names that stand there.",
                lambda: places_of_names,
            ),
            Misconception(
                "another number",
                lambda a: searched(a) == "another number",
                "Return `n` names, as many as the caller wants.",
                lambda: always_ten,
            ),
            Misconception(
                "called already",
                lambda a: not callable(a) and len(a) > 0,
                "Give the function itself, without calling it: `answer = search`.",
                lambda: ["dress"],
            ),
        ),
        hints=(
            "`tl.text_vectors([query])[0]` is the vector of the query. All vectors have length 1.",
            "`np.argsort(-cosines)[:n]` are the places of the n largest.",
        ),
        otherwise="The check compares the names that your function finds for three queries, nearest "
        "first.",
        expects="a function of query and n",
    ),
)
