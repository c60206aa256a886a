"""Notebook 14: voices and words, a leak between speakers; what a name says, and where words count."""

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.answers import predicted, share_right
from tlcourse.course.lessons.tries14 import (
    BANDS,
    DESCRIBED,
    ENOUGH,
    MIXED,
    allison_in_both,
    always_ten,
    answered,
    as_good_as,
    by_text,
    described,
    farthest_names,
    form,
    mixed,
    new_numbers,
    no_vector,
    not_all_kinds,
    one_form,
    one_more,
    only_kinds,
    only_labels,
    only_test_names,
    parted,
    places_of_names,
    read,
    searched,
    voices_heard,
    without_russian,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="14.A",
        question="After the speaker network, which way knows the voices best?",
        options=("ImageNet network", "keyword network", "no network"),
        figure="Figure 2",
        where="Which points lie furthest to the right?",
    ),
    Question(
        id="14.B",
        question="On how many of the new voices' announcements is the speaker network right about the "
        "language?",
        options=("nearly all", "about half", "about one in five"),
        figure="Figure 4",
        where="Compare the two bars of the speaker network with the line of chance.",
    ),
    Question(
        id="14.C",
        question="Which is right on more of the test emoji?",
        options=("the drawing, with 277 labels", "the name, with no label"),
        figure="Figure 5",
        where="Compare the broken line with the right end of the curve of the drawings.",
    ),
    Question(
        id="14.D",
        question="Which is better at finding a paragraph's notebook, with 20 labels of each?",
        options=("MiniLM", "word counts"),
        figure="Figure 6",
        where="Look at the right end: which curve is higher, and do the bands overlap?",
    ),
)


EXERCISES = (
    Exercise(
        id="14.1",
        question="Get 70 % of the numbers of a voice right without labels.",
        right=lambda a: ENOUGH <= read(a) < 1,
        praise="What all sounds of one voice share is the voice, so you can take it away.",
        misconceptions=(
            Misconception(
                "the lesson's",
                lambda a: 0.4 <= read(a) < ENOUGH,
                "That is no better than in Figure 2. What have all 28 sounds of the new voice in "
                "common? It can be computed without a label.",
                lambda: predicted(new_numbers(), 12),
            ),
            Misconception(
                "another order",
                lambda a: read(a) < 0.4,
                "That is less than in Figure 2. `y[carlo]` is in the order of Carlo's sounds: do you turn "
                "the place of the nearest sound into its class?",
                lambda: predicted(new_numbers(), 27),
            ),
            Misconception(
                "all right",
                lambda a: read(a) == 1,
                "All 28 are right. It seems that Menardi's labels were used somewhere. Leave them out.",
                lambda: new_numbers().copy(),
            ),
        ),
        hints=(
            "Take the mean of all numbers that one voice says. What does it tell you about: the "
            "numbers or the voice?",
            "The lesson takes the mean of the *known* voice away from both. But each voice has a mean "
            "of its own.",
            "`x[menardi] - x[menardi].mean(axis=0)`",
        ),
        otherwise="Hand in an array with one class for each of the 28 sounds.",
        expects="an array of 28 classes, one for each number that Menardi says",
    ),
    Exercise(
        id="14.2",
        question="Split the voices so that no speaker stands in two splits.",
        right=lambda a: parted(a) == "right",
        praise="Only two of the five languages can be tested. That is worth knowing before you "
        "train.",
        misconceptions=(
            Misconception(
                "Allison",
                lambda a: parted(a) == "Allison",
                "One speaker is left in both splits. She has two names in the data.",
                lambda: allison_in_both,
            ),
            Misconception(
                "in both",
                lambda a: parted(a) == "in both",
                "Some speakers stand in both splits. Use only the second part of the name, the "
                "speaker.",
                lambda: by_text,
            ),
            Misconception(
                "untaught",
                lambda a: parted(a) == "untaught",
                "The test holds a language that is not in training. Which languages have two speakers?",
                lambda: answered(Ivrvoice="test"),
            ),
            Misconception(
                "too little",
                lambda a: parted(a) == "too little",
                "No speaker is in both. But a language that could be tested is missing in the test.",
                lambda: answered(Carlo="test"),
            ),
            Misconception(
                "left out",
                lambda a: parted(a) == "left out",
                "Some names get None. Every sound is to be used.",
                lambda: without_russian,
            ),
        ),
        hints=(
            'A name is "it/Carlo/vm-goodbye": language, speaker, text.',
            "Which languages have two speakers? Train with one of the two, and test with the other.",
            '`name.startswith(("fr/Armelle", "it/Carlo"))`',
        ),
        otherwise='For each name your function has to give "train", "val" or "test".',
        expects="a function of a name",
    ),
    Exercise(
        id="14.3",
        question="Tell seven voices apart without any network.",
        right=lambda a: share_right(a, voices_heard()) >= BANDS,
        praise="So this is what a network has to beat. Try the simplest method before you trust a "
        "network.",
        misconceptions=(
            Misconception(
                "not enough",
                lambda a: 0.5 <= share_right(a, voices_heard()) < BANDS,
                "Not enough yet. Are all bands equally important? `tl.fit_probe` finds their "
                "weights.",
                lambda: predicted(voices_heard(), 13),
            ),
            Misconception(
                "chance",
                lambda a: share_right(a, voices_heard()) < 0.5,
                "Most are wrong. Is your array in the order of `who.test`?",
                lambda: predicted(voices_heard(), 90),
            ),
            Misconception(
                "the accuracy",
                lambda a: number(a) >= 0,
                "That is one number. Hand in the predicted class of each test sound.",
                0.94,
            ),
        ),
        hints=(
            "The features are good. The classifier can be better.",
            "`tl.fit_probe(x_train, who.train.labels)` learns from 35 sounds.",
            "`probe.logits(x_test).argmax(axis=1)`",
        ),
        otherwise="Hand in an array with one class for each of the 105 sounds.",
        expects="an array of 105 classes, one for each sound of `who.test`",
    ),
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
