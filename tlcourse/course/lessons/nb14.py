"""Notebook 14: voices and words, a leak between speakers, sounds of one's own; texts."""

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.answers import predicted, share_right
from tlcourse.course.lessons.tries14 import (
    BANDS,
    ENOUGH,
    allison_in_both,
    answered,
    by_text,
    new_numbers,
    parted,
    read,
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
        question="How many announcements of new voices does the speaker network give to the right "
        "language?",
        options=("more than 80 %", "about half", "less than 25 %"),
        figure="Figure 4",
        where="Compare the two bars of the speaker network with the line of chance.",
    ),
)


EXERCISES = (
    Exercise(
        id="14.1",
        question="Read 70 % of the numbers of a voice without labels.",
        right=lambda a: ENOUGH <= read(a) < 1,
        praise="What all sounds of one voice share is the voice, so you can take it away.",
        misconceptions=(
            Misconception(
                "the lesson's",
                lambda a: 0.4 <= read(a) < ENOUGH,
                "That is what Figure 2 has reached. What have all 28 sounds of the new voice in "
                "common? It can be computed without a label.",
                lambda: predicted(new_numbers(), 12),
            ),
            Misconception(
                "another order",
                lambda a: read(a) < 0.4,
                "These are hardly more right than chance. `y[carlo]` is in the order of Carlo's "
                "sounds: is the place of the nearest one turned into its class?",
                lambda: predicted(new_numbers(), 27),
            ),
            Misconception(
                "all right",
                lambda a: read(a) == 1,
                "All 28 are right, so Menardi's labels were used somewhere. Leave them out.",
                lambda: new_numbers().copy(),
            ),
        ),
        hints=(
            "What is the mean of all numbers that one voice says? What does it know?",
            "The lesson takes the mean of the *known* voice from both. Each voice has one of its "
            "own.",
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
                "Some speakers stand in both splits. Look at the second part of the name only.",
                lambda: by_text,
            ),
            Misconception(
                "untaught",
                lambda a: parted(a) == "untaught",
                "The test holds a language that nobody teaches. Which languages have two speakers?",
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
            "Which languages have two speakers? One of them teaches, the other one tests.",
            '`name.startswith(("fr/Armelle", "it/Carlo"))`',
        ),
        otherwise='For each name your function has to give "train", "val" or "test".',
        expects="a function of a name",
    ),
    Exercise(
        id="14.3",
        question="Tell seven voices apart without any network.",
        right=lambda a: share_right(a, voices_heard()) >= BANDS,
        praise="So this is what a network has to beat. Ask for the simplest rival before you believe "
        "in a network.",
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
)
