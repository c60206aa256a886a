"""Notebook 04: numbers that learn, freezing, stored features, BatchNorm's averages."""

from tlcourse.course.exercise import (
    Exercise,
    Misconception,
    close,
    number,
    same_set,
    wrong_number,
)
from tlcourse.course.lessons.tries04 import (
    BATCHES,
    State,
    a_copy,
    all_but_the_classifier,
    called_already,
    is_network,
    letters,
    names,
    neither,
    only_gradients,
    only_mode,
    returns_nothing,
    state,
    still_averages,
    without_return,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="04.A",
        question="What does a body in training mode do to the accuracy?",
        options=(
            "higher",
            "about the same",
            "lower by up to 5 points",
            "lower by more than 5 points",
        ),
        figure="Figure 2",
        where="Compare the two lines: if they overlap, three trainings do not tell the two apart.",
    ),
    Question(
        id="04.B",
        question="At which cut is the network right on most test drawings?",
        options=("stage3", "stage5", "stage7", "embedding"),
        figure="Figure 3",
        where="Each line of counts below the figure compares the best cut with another one, picture by "
        "picture.",
    ),
    Question(
        id="04.C",
        question="How many times as long does an epoch take with augmentation?",
        unit="times",
        within=3,
        figure="Figure 4",
        where="Divide the last number by the second.",
    ),
)


EXERCISES = (
    Exercise(
        id="04.1",
        question="How many numbers does a linear head on 80 channels learn for 12 classes?",
        right=lambda a: close(a, 80 * 12 + 12, absolute=0.5),
        praise="Less than a thousand numbers, on top of frozen ones.",
        misconceptions=(
            Misconception(
                "no bias",
                lambda a: close(a, 80 * 12, absolute=0.5),
                "Nearly. Each class also has one number that is added.",
                960,
            ),
            Misconception(
                "one bias only",
                lambda a: close(a, 80 * 12 + 1, absolute=0.5),
                "Each class has its own number that is added, not one for all.",
                961,
            ),
            Misconception(
                "seven classes",
                lambda a: close(a, 80 * 7 + 7, absolute=0.5),
                "That is for the seven classes of the drawings. Here there are twelve.",
                567,
            ),
            Misconception(
                "plus",
                lambda a: close(a, 80 + 12, absolute=0.5),
                "Each class has a weight of its own for each channel, so multiply.",
                92,
            ),
            Misconception(
                "embedding",
                lambda a: close(a, 1280 * 12 + 12, absolute=0.5),
                "That is a head on the embedding. At `stage4` there are 80 channels.",
                15_372,
            ),
            Misconception(
                "positions counted",
                lambda a: number(a) in (80 * 64 * 12 + 12, 80 * 14 * 14 * 12 + 12),
                "The maps are averaged over their positions, so a channel gives one number.",
                80 * 64 * 12 + 12,
            ),
            Misconception(
                "body counted",
                lambda a: number(a) > 200_000,
                "That counts the body too. It is frozen.",
                254_956,
            ),
        ),
        hints=(
            "After averaging, how many numbers does the head get for a picture?",
            "One weight per number and class, and one more number per class: `12 * (80 + 1)`.",
        ),
        otherwise="Weights: channels times classes. Then one more number for each class.",
        expects="a whole number",
    ),
    Exercise(
        id="04.2",
        question="Write a function that freezes a whole network.",
        right=lambda a: state(a) == State(same=True, learns=0, still=True, evaluates=True),
        praise="No gradients, no average moves, and a picture's answer is always the same.",
        misconceptions=(
            Misconception(
                "called already",
                is_network,
                "You gave a network. Give the function itself, without calling it: `answer = freeze`.",
                called_already,
            ),
            Misconception(
                "returns nothing",
                lambda a: not is_network(a) and returns_nothing(a),
                "Your function returns nothing. End it with `return net`.",
                lambda: without_return,
            ),
            Misconception(
                "gradients only",
                lambda a: state(a)[:3] == (True, 0, False),
                "No gradients, good. But a BatchNorm average moved when pictures went through. (There "
                "is more than one kind of BatchNorm layer.)",
                lambda: only_gradients,
            ),
            Misconception(
                "mode only",
                lambda a: state(a)[:3] == (True, 1, True),
                "The averages stand still, good. But the parameters may still learn.",
                lambda: only_mode,
            ),
            Misconception(
                "some parameters",
                lambda a: state(a).same and 0 < state(a).learns < 1,
                "Some parameters may still learn. Freeze all of them, whatever their names are.",
                lambda: all_but_the_classifier,
            ),
            Misconception(
                "training mode",
                lambda a: state(a) == (True, 0, True, False),
                "The averages stand still, but the answer for a picture still depends on its batch, or "
                "on chance. Use evaluation mode, for the whole network.",
                lambda: still_averages,
            ),
            Misconception(
                "a copy",
                lambda a: not state(a).same,
                "You froze a copy. The network that your function was given is as free as before.",
                lambda: a_copy,
            ),
            Misconception(
                "neither",
                lambda a: state(a)[:3] == (True, 1, False),
                "Parameters may still learn, and BatchNorm averages still move.",
                lambda: neither,
            ),
        ),
        hints=(
            "Two things move: parameters by gradients, averages by training mode.",
            "`parameter.requires_grad_(False)` for each of `net.parameters()`.",
            "`net.eval()` switches to evaluation mode and returns the network.",
        ),
        otherwise="Your function has to freeze the network that it was given, and return it.",
        expects="a function that takes a network and returns it",
    ),
    Exercise(
        id="04.3",
        question="For which trainings can the head learn from stored embeddings?",
        right=lambda a: same_set(letters(a), ["A", "D"]),
        praise="The body gives the same numbers each time; what comes behind it does not matter.",
        misconceptions=(
            Misconception(
                "dropout forgotten",
                lambda a: same_set(letters(a), ["D"]),
                "D is right. Look at A again: where is the dropout, before or behind the features?",
                ["D"],
            ),
            Misconception(
                "random crops",
                lambda a: names(a, "B"),
                "With random crops the picture is another one each time. Which features would you "
                "store?",
                ["A", "B", "D"],
            ),
            Misconception(
                "training mode",
                lambda a: names(a, "C") and not names(a, "B"),
                "In training mode BatchNorm looks at the other pictures of the batch.",
                ["A", "C", "D"],
            ),
            Misconception(
                "a moving stage",
                lambda a: names(a, "E") and not names(a, "B") and not names(a, "C"),
                "If stage7 learns, what comes out behind it changes after each step.",
                ["A", "D", "E"],
            ),
            Misconception(
                "no such letter",
                lambda a: bool(set(letters(a)) - set("ABCDE")) and not set(letters(a)) & set("BCE"),
                "One of your letters is none of the five. They go from A to E: there is no F.",
                ["A", "D", "F"],
            ),
            Misconception(
                "epochs",
                lambda a: same_set(letters(a), ["A"]),
                "A is right. Does the body give something else in a later epoch?",
                ["A"],
            ),
        ),
        hints=(
            "Ask for each one: does the body give the same numbers for a picture every time?",
            "Crops change the picture. A moving stage changes the body.",
            "Training mode looks at the other pictures of a batch. Two letters are left.",
        ),
        otherwise="Go through the five, one by one. Does the body give the same numbers each time?",
        expects="a list of letters",
    ),
    Exercise(
        id="04.4",
        question="After how many batches has a BatchNorm's mean gone 90 % of the way?",
        right=lambda a: close(a, BATCHES, absolute=1e-3),
        praise="An epoch of our drawings in batches of 4 has three times as many.",
        misconceptions=(
            Misconception(
                "linear",
                lambda a: close(a, 9.5, absolute=0.6),
                "It would be so if each batch moved it by the same amount. But each one moves it by "
                "a tenth of what is left.",
                9,
            ),
            wrong_number(
                "half of the way",
                7,
                "After so many batches it has gone about half of the way.",
                absolute=0.5,
            ),
            wrong_number(
                "one too few",
                21,
                "After 21 batches a little more than a tenth is still left.",
                absolute=0.01,
            ),
            Misconception(
                "not rounded",
                lambda a: 21.01 < number(a) < 21.99,
                "Nearly: a batch is whole, so round up.",
                21.85,
            ),
            wrong_number(
                "the other way round",
                1,
                "That would be a momentum of 0.9. With 0.1 a batch moves the mean by a tenth of the "
                "way.",
                absolute=0.5,
            ),
            wrong_number(
                "one too many",
                23,
                "That is enough, but one batch fewer is enough as well.",
                absolute=0.5,
            ),
            wrong_number(
                "an epoch",
                77,
                "That is a whole epoch of our drawings. Much fewer are enough.",
                absolute=0.5,
            ),
            wrong_number("ninety-nine", 44, "That is 99 % of the way.", absolute=1.5),
        ),
        hints=(
            "After each batch, nine tenths of the distance are left.",
            "Find the smallest n for which `0.9 ** n` is at most 0.1.",
        ),
        otherwise="Start with a distance of 1 and multiply by 0.9 until at most 0.1 is left.",
        expects="a whole number",
    ),
)
