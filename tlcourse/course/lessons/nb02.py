"""Questions of notebook 02: cats, a temperature, a loader with a fault, a threshold."""

import numpy as np

from tlcourse.course.exercise import (
    Exercise,
    Misconception,
    close,
    number,
    same_set,
    wrong_number,
)
from tlcourse.course.lessons.tries02 import (
    BIG_CATS,
    CATS,
    EXACT,
    by_preprocess,
    calls_preprocess,
    classes,
    gives,
    linear,
    log_loss,
    lowest_threshold,
    names,
    on_black,
    without_return,
)
from tlcourse.course.question import Question

EXERCISES = (
    Exercise(
        id="02.1",
        question="Which five classes of the network mean a house cat?",
        right=lambda a: same_set(a, CATS),
        praise="Add their probabilities, and you have a detector of cats.",
        misconceptions=(
            Misconception(
                "big cats",
                lambda a: bool({str(name).lower() for name in a} & BIG_CATS),
                "Cats of the wild are in your list. The question asks for house cats.",
                [*CATS, "cougar", "lynx"],
            ),
            Misconception(
                "the word cat",
                lambda a: bool(names(a) & {"polecat", "madagascar cat", "catamaran"}),
                "Having `cat` in the name does not make it one. And is one of them missing that "
                "does not have the word in its name?",
                ["tiger cat", "Persian cat", "Siamese cat", "Egyptian cat", "polecat"],
            ),
            Misconception(
                "not a class",
                lambda a: bool(names(a) - classes()),
                "Your list has a name that is no class of the network. Look into `backbone.classes` "
                "and copy the names from there.",
                ["cat", "tabby cat"],
            ),
            Misconception(
                "some are missing",
                lambda a: bool(names(a)) and names(a) < {n.lower() for n in CATS},
                "All of these are right, but there are five.",
                ["tabby", "tiger cat", "Egyptian cat"],
            ),
            Misconception(
                "a neighbour too many",
                lambda a: (
                    names(a) > {n.lower() for n in CATS}
                    and not names(a) & BIG_CATS
                    and names(a) <= classes()
                ),
                "All five are there. So is something that is no cat at all.",
                ["grey fox", *CATS],
            ),
        ),
        hints=(
            "`backbone.classes.index('tiger cat')` is the place of one of them.",
            "Print the neighbours of that place: `backbone.classes[278:290]`.",
            "Stop before the first wild one. And one house cat has no `cat` in its name.",
        ),
        otherwise="Look at the classes around `tiger cat` in `backbone.classes`.",
        expects="a list of five names",
    ),
    Exercise(
        id="02.2",
        question="Which temperature makes the probabilities of the two scores honest?",
        right=lambda a: number(a) > 0 and log_loss(number(a)) < 0.0445,
        praise="The log loss of the held-out photographs falls from .052 to .044, and no answer "
        "changes.",
        misconceptions=(
            wrong_number(
                "that of all 1000 classes",
                0.754,
                "That is the temperature of all 1000 scores. Fit it on the two columns.",
            ),
            wrong_number("nothing changed", 1, "A temperature of 1 changes nothing.", rel=0),
            Misconception(
                "upside down",
                lambda a: 1 < number(a) < 2.5,
                "Above 1 it gets less sure. Is this network too sure, or not sure enough?",
                1.41,
            ),
            Misconception(
                "far too sure",
                lambda a: 0 < number(a) < 0.4,
                "Now it is too sure. Find the lowest log loss of the training photographs.",
                0.1,
            ),
            Misconception(
                "scores instead of a temperature",
                lambda a: np.ndim(a) > 0,
                "Those are many numbers. Answer with the temperature, one number.",
                lambda: np.zeros((195, 2)),
            ),
        ),
        hints=(
            "`tl.metrics.fit_temperature(logits, labels)` needs two columns and labels 0 and 1.",
            "`two = shipped.logits[:, [ant, bee]]`. Which rows may choose? Those of `train`.",
        ),
        otherwise="Fit it on the training rows of the two columns.",
        expects="a number above 0",
    ),
    Exercise(
        id="02.3",
        question="Turn values from 0 to 255 into what this network expects.",
        right=lambda a: gives(a, -1.0, 1.0, EXACT),
        praise="0 becomes -1 and 255 becomes 1, as in the network's training.",
        misconceptions=(
            Misconception(
                "nothing",
                lambda a: on_black(a) is None,
                "Your function returns nothing. Does it end with `return`?",
                lambda: without_return,
            ),
            Misconception(
                "only divided by 255",
                lambda a: gives(a, 0.0, 1.0),
                "Now the values go from 0 to 1. One step is missing: print `backbone.preprocess`.",
                lambda: linear(255, 0, 1),
            ),
            Misconception(
                "mean without std",
                lambda a: gives(a, -0.5, 0.5),
                "The middle is right, the range is too small. What comes after the mean?",
                lambda: linear(255, 0.5, 1),
            ),
            Misconception(
                "numbers of another network",
                lambda a: gives(a, -1.985, 2.441),
                "Those are the mean and standard deviation of many other networks. Which does "
                "this one have?",
                lambda: linear(255, 0.449, 0.2260),
            ),
            Misconception(
                "not divided",
                lambda a: gives(a, -1.0, 509.0),
                "Mean and standard deviation are meant for values from 0 to 1. What comes first?",
                lambda: linear(1, 0.5, 0.5),
            ),
            Misconception(
                "made for pictures",
                by_preprocess,
                "`backbone.preprocess` is made for pictures (PIL images). It would also resize and "
                "divide by 255. Look at its mean and std, and write the steps.",
                lambda: calls_preprocess,
            ),
            Misconception(
                "called already",
                lambda a: hasattr(a, "ndim"),
                "That is a tensor. Give the function itself, without brackets: `answer = fix`.",
                lambda: np.zeros((3, 224, 224)),
            ),
        ),
        hints=(
            "Two steps: first bring the values to 0 to 1, then normalise.",
            "`backbone.preprocess` shows mean and standard deviation of this network.",
            "To normalise: subtract the mean, then divide by the standard deviation.",
        ),
        otherwise="Try your function on a tensor of zeros and one of 255. What should come out?",
        expects="a function that takes a tensor (3, 224, 224) and returns one",
    ),
    Exercise(
        id="02.4",
        question="Which is the lowest threshold with at most 5 % wrong answers?",
        right=lambda a: close(a, lowest_threshold(), absolute=0.002),
        praise="It answers seven in ten. On held-out photographs look again: a promise about "
        "pictures that chose the threshold is a little too good.",
        misconceptions=(
            Misconception(
                "with a temperature",
                lambda a: close(a, 0.849, absolute=0.005),
                "That is with the temperature of section 3. Here take the scores as they are.",
                0.849,
            ),
            Misconception(
                "held-out photographs",
                lambda a: any(
                    close(a, lowest_threshold(s), absolute=0.002) for s in ("val", "rest")
                ),
                "That threshold was chosen on photographs that should test it. Take `train`.",
                lambda: lowest_threshold("val"),
            ),
            wrong_number(
                "the accuracy",
                0.95,
                "A threshold of 95 % is not an accuracy of 95 %.",
                absolute=0.001,
            ),
            Misconception(
                "the coverage",
                lambda a: close(a, 0.718, absolute=0.002),
                "That is the coverage. Answer with the threshold of that row.",
                0.718,
            ),
            Misconception(
                "too high",
                lambda a: 0.72 < number(a) < 0.84,
                "It holds the promise, but a lower threshold does, too.",
                0.75,
            ),
            Misconception(
                "too low",
                lambda a: 0 <= number(a) < 0.43,
                "With it more than 5 in 100 answers are wrong.",
                0.4,
            ),
        ),
        hints=(
            "The right places: `np.where(shipped.y == 1, bee, ant)`.",
            "`curve = tl.metrics.coverage_risk(shipped.logits[train], labels[train])`",
            "Keep the rows with `curve.risk <= 0.05`. Which of them has the lowest threshold?",
        ),
        otherwise="Look at the column `risk`: from which threshold on is it at most 0.05?",
        expects="a number from 0 to 1",
    ),
)

QUESTIONS = (
    Question(
        id="02.A",
        question="How many digits does a classifier of fish, monuments and tools answer with over 90 %?",
        options=("hardly any", "about a third", "more than half"),
        figure="Figure 5",
        where="Look at the bar of the digits.",
    ),
    Question(
        id="02.B",
        question="What share of the photographs of ants and bees is right, without any training?",
        options=("below 60 %", "60 % to 75 %", "75 % to 90 %", "above 90 %"),
        figure="Figure 1",
        where="Look at the upper bar on the left.",
    ),
    Question(
        id="02.C",
        question="Is the network too sure, about right, or not sure enough?",
        options=("too sure", "about right", "not sure enough"),
        figure="Figure 3",
        where="On the left, most bars end above the broken line.",
    ),
)
