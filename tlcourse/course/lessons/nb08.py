"""Questions of notebook 08: train for turned digits, the rule, a fair choice, balance."""

import numpy as np

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.answers import Trained, scored
from tlcourse.course.lessons.tries08 import (
    LABELS,
    PATTERNS,
    PREDICTED,
    TRIED,
    all_of,
    balanced,
    by_test,
    empty_class,
    first_of,
    gives,
    gives_what,
    its_accuracy,
    kept,
    listed,
    nothing,
    nothing_kept,
    pattern,
    plain_text,
    precision,
    shares_of,
)
from tlcourse.course.question import Question

EXERCISES = (
    Exercise(
        id="08.1",
        question="Train a pattern on ten of each digit that gets .75 of the turned ones right.",
        right=lambda a: scored(a) >= 0.75,
        praise="Ten upright pictures of each were enough, since every epoch turned them anew.",
        misconceptions=(
            Misconception(
                "stored features",
                lambda a: a.pattern == "standalone_extractor",
                "A stored vector of an upright digit does not know the turned one. Which pattern "
                "sees each picture anew in every epoch?",
                lambda: Trained("standalone_extractor", 0.55),
            ),
            Misconception(
                "no fresh views",
                lambda a: a.pattern == "frozen_extractor" and not a.test_accuracy > 0.7,
                "The right pattern. Does its head see maps, and fresh views of them, for long "
                'enough? Leave `augment` and `head` as they are, and try `layer="stage5"`.',
                lambda: Trained("frozen_extractor", 0.6),
            ),
            Misconception(
                "everything moves",
                lambda a: a.pattern in ("fine_tune", "from_scratch"),
                "All layers move here, on 100 pictures. A frozen body needs fewer of them.",
                lambda: Trained("fine_tune", 0.66),
            ),
            Misconception(
                "a number",
                lambda a: number(a) <= 1,
                "That is an accuracy. Answer with the `Result` that the pattern returns.",
                0.8,
            ),
        ),
        hints=(
            "Which pattern won on the turned digits in Figure 1?",
            "`tl.patterns.frozen_extractor(backbone, hundred, ...)` with eight epochs or more.",
        ),
        otherwise="Below .75. More epochs, or another layer?",
        expects="the result of one of `tl.patterns`",
    ),
    Exercise(
        id="08.2",
        question="Which pattern does the rule take?",
        right=lambda a: pattern(a) == "standalone_extractor",
        praise="Simple enough, and these pictures do not show that anything is better.",
        misconceptions=(
            Misconception(
                "highest accuracy",
                lambda a: pattern(a) == "fine_tune",
                "It has the most right. But is it significantly better than simpler ones?",
                "fine_tune",
            ),
            Misconception(
                "nearest to the best, or quickest",
                lambda a: pattern(a) == "frozen_extractor",
                "It may stay. But a simpler one may stay, too. (The rule asks what is simple, not "
                "what is quick.)",
                "frozen_extractor",
            ),
            Misconception(
                "simplest of all",
                lambda a: pattern(a) == "classifier",
                "It is the simplest and quickest. But look at its p-value.",
                "classifier",
            ),
            Misconception(
                "not compared",
                lambda a: pattern(a) == "from_scratch",
                "Training from scratch is not in the table.",
                "from_scratch",
            ),
        ),
        hints=(
            "First cross out each pattern that is significantly worse: p below 0.05.",
            "Of those that are left, take the one that stands first in the list of section 3.",
        ),
        otherwise="Answer with one of the four names in the table.",
        expects="the name of a pattern",
    ),
    Exercise(
        id="08.3",
        question="Fix the function that keeps one of ten trained networks.",
        right=lambda a: kept(a) is TRIED[1],
        praise="Validation pictures choose, test pictures judge.",
        misconceptions=(
            Misconception(
                "the test chooses",
                lambda a: kept(a) is TRIED[2],
                "The test pictures still choose. Which pictures are there for choices?",
                lambda: by_test,
            ),
            Misconception(
                "the first",
                lambda a: kept(a) is TRIED[0],
                "You keep the first one. That is fair, but the validation pictures know a better one.",
                lambda: first_of,
            ),
            Misconception(
                "an accuracy",
                lambda a: number(kept(a)) <= 1,
                "Your function gives an accuracy. It has to give one of the results.",
                lambda: its_accuracy,
            ),
            Misconception(
                "returns nothing",
                lambda a: kept(a) is None,
                "Your function returns nothing. Does it end with `return`?",
                lambda: nothing_kept,
            ),
            Misconception(
                "a list",
                lambda a: isinstance(kept(a), list | tuple),
                "Your function gives several. It has to keep one.",
                lambda: all_of,
            ),
        ),
        hints=(
            "How many times do the test pictures have a say here?",
            "A result has `val_accuracy`, too.",
        ),
        otherwise="Keep the result that the validation pictures prefer.",
        expects="a function of a list of results",
    ),
    Exercise(
        id="08.4",
        question="Write a function that gives the balanced accuracy.",
        right=lambda a: gives_what(a, balanced),
        praise="Now each class counts the same, however few pictures it has.",
        misconceptions=(
            Misconception(
                "returns nothing",
                lambda a: gives(a) is None,
                "Your function returns nothing. Does it end with `return`?",
                lambda: nothing,
            ),
            Misconception(
                "plain accuracy",
                lambda a: gives_what(a, plain_text),
                "That is the plain accuracy: a large class counts more than a small one.",
                lambda: plain_text,
            ),
            Misconception(
                "predicted classes",
                lambda a: gives_what(a, precision),
                "You grouped by what is predicted. Group by the true class.",
                lambda: precision,
            ),
            Misconception(
                "shares",
                lambda a: np.allclose(listed(gives(a)), shares_of(PREDICTED, LABELS)),
                "These are the shares, one for each class. Return their mean.",
                lambda: shares_of,
            ),
            Misconception(
                "division by nothing",
                lambda a: np.isnan(gives(a)),
                "Your function returns NaN: it asks for the share of a class that has no picture. "
                "Take the classes from `np.unique(labels)`.",
                lambda: empty_class,
            ),
        ),
        hints=(
            "`np.unique(labels)` gives the classes.",
            "`labels == label` picks the pictures of one class.",
            "For one class: `(predicted[labels == label] == label).mean()`.",
        ),
        otherwise="For each true class one share, then the mean of the shares.",
        expects="a function of predicted and labels",
    ),
)

QUESTIONS = (
    Question(
        id="08.A",
        question="Which pattern will the rule take for turned digits?",
        options=PATTERNS,
        figure="Figure 2",
        where="The ring marks it. Section 4 shows why.",
    ),
    Question(
        id="08.B",
        question="In how many of the two digit tasks is fine-tuning best on average?",
        options=("none", "one", "both"),
        figure="Figure 1",
        where="Look for a blue bar that is named fine-tuning.",
    ),
)
