"""Questions of notebook 08: four patterns, the rule, the paired test, intervals, balance."""

import numpy as np

from tlcourse.course.exercise import Exercise, Misconception, close, number
from tlcourse.course.lessons.tries08 import (
    FOUR,
    LABELS,
    PATTERNS,
    PREDICTED,
    STEPS,
    balanced,
    c_moves,
    chi_square,
    empty_class,
    four,
    gives,
    gives_what,
    listed,
    needed,
    nothing,
    over_all,
    p,
    pattern,
    percent,
    plain_text,
    precision,
    shares_of,
    sum_of,
    whole,
    wrong,
)
from tlcourse.course.question import Question

EXERCISES = (
    Exercise(
        id="08.1",
        question="Which pattern does each of four people use?",
        right=lambda a: wrong(a) == set(),
        praise="The four differ in what is learned, and in what has to run again: nothing; only a "
        "small classifier; a head on a body that runs each time; the body too.",
        misconceptions=(
            Misconception(
                "numbers",
                lambda a: len(a) > 0 and all(number(part) >= 0 for part in a),
                "Use the names of the patterns, not numbers.",
                lambda: [1, 2, 3, 4],
            ),
            Misconception(
                "C moves",
                c_moves,
                "A, B and D are right. Look at C again: do any old weights change?",
                lambda: [*FOUR[:2], "fine_tune", "fine_tune"],
            ),
            Misconception(
                "B and C mixed up",
                lambda a: set() < wrong(a) <= {1, 2} and not c_moves(a),
                "A and D are right. Of B and C: for which one does the network run once for each "
                "picture, and for which one in every epoch?",
                lambda: [FOUR[0], FOUR[2], FOUR[1], FOUR[3]],
            ),
            Misconception(
                "D",
                lambda a: wrong(a) == {3},
                "A, B and C are right. Does the body stay as it is, for D?",
                lambda: [*FOUR[:3], "frozen_extractor"],
            ),
            Misconception(
                "C and D mixed up",
                lambda a: {3} < wrong(a) <= {1, 2, 3},
                "A is right. Of the others: for whom do weights of the body change?",
                lambda: [*FOUR[:2], "fine_tune", "frozen_extractor"],
            ),
            Misconception(
                "A",
                lambda a: 0 in wrong(a),
                "Look at A again: is anything learned there at all?",
                lambda: ["standalone_extractor", *FOUR[1:]],
            ),
            Misconception(
                "another name",
                lambda a: len(four(a)) == 4 and not set(four(a)) <= set(PATTERNS),
                "At least one of these is not the name of a pattern. Copy the four names from the "
                "question.",
                lambda: ["classifier", "extractor", "frozen", "fine_tune"],
            ),
            Misconception(
                "not four",
                lambda a: len(four(a)) != 4,
                "Give four names, one for each person: A, B, C, D.",
                lambda: ["classifier", "fine_tune"],
            ),
        ),
        hints=(
            "Ask for each person: what is learned? And how often does the network run?",
            "One person learns nothing. One changes weights of the body. Of the other two, one "
            "lets the body run in every epoch.",
            "A is the classifier, D fine-tunes. B computes the numbers once.",
        ),
        otherwise="Give the pattern of A, then of B, C and D.",
        expects="a list of four names of patterns",
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
                "It has the most right. But is it told apart from simpler ones?",
                "fine_tune",
            ),
            Misconception(
                "nearest to the best, or quickest",
                lambda a: pattern(a) == "frozen_extractor",
                "It is not told apart from the best one. But there is a simpler one of that kind. "
                "(The rule asks what is simple, not what is quick.)",
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
            Misconception(
                "its number",
                lambda a: str(a).casefold().split()[-1] in ("1", "2", "3", "4"),
                "Patterns are easy to mix up by their numbers. Answer with the name.",
                "pattern 3",
            ),
            Misconception(
                "more than one",
                lambda a: len(four(a)) > 0,
                "The rule takes exactly one pattern. Answer with one name.",
                lambda: ["standalone_extractor", "frozen_extractor", "fine_tune"],
            ),
        ),
        hints=(
            "First cross out each pattern that is told apart from the best: p below 0.05.",
            "Three are left. Seconds and accuracy do not matter any more.",
            "Of those that are left, take the one that stands first in the list of section 3.",
        ),
        otherwise="Answer with one of the four names in the table.",
        expects="the name of a pattern",
    ),
    Exercise(
        id="08.3",
        question="What is the p-value of the exact McNemar test for 14 against 4?",
        right=lambda a: close(a, p(14, 18), rel=0.04),
        praise="Below 0.05: these two are told apart, although they agree on most pictures.",
        misconceptions=(
            Misconception(
                "all pictures",
                lambda a: 0 <= number(a) < 1e-9,
                "You tested 14 of all 200. The pictures on which both agree say nothing.",
                lambda: p(14, 200),
            ),
            Misconception(
                "one side",
                lambda a: any(close(a, p(14, 18, s), rel=0.04) for s in ("greater", "less")),
                "That is one side only. The second method might as well have been the better one.",
                lambda: p(14, 18, "greater"),
            ),
            Misconception(
                "a share",
                lambda a: close(a, 14 / 18, rel=0.02) or close(a, 4 / 18, rel=0.02),
                "That is a share of the pictures on which they differ. How often would a coin fall "
                "at least as unevenly?",
                14 / 18,
            ),
            Misconception(
                "14 of 14",
                lambda a: close(a, p(4, 14), rel=0.02),
                "You took 4 of 14. On how many pictures do the two differ, altogether?",
                lambda: p(4, 14),
            ),
            Misconception(
                "approximation",
                lambda a: any(close(a, chi_square(c), rel=0.02) for c in (0, 1)),
                "That is the chi-square approximation. Use `binomtest`, which is exact.",
                lambda: chi_square(1),
            ),
            Misconception(
                "percent",
                lambda a: close(a, 100 * p(14, 18), rel=0.04),
                "Right as a percentage. A p-value is written as a number from 0 to 1.",
                lambda: 100 * p(14, 18),
            ),
            Misconception(
                "whole result",
                lambda a: hasattr(a, "pvalue") and hasattr(a, "proportion_ci"),
                "That is the whole result of the test. Its p-value is the attribute `pvalue`.",
                whole,
            ),
            Misconception(
                "difference",
                lambda a: number(a) == 0.05,
                "That is the border, and by chance also the difference of the two accuracies. How "
                "often would a coin fall like this?",
                0.05,
            ),
            Misconception(
                "a count",
                lambda a: number(a) in (4, 10, 14, 18, 182, 200),
                "That is a count of pictures. Put two counts into `binomtest`.",
                18,
            ),
        ),
        hints=(
            "On how many pictures do the two differ?",
            "They differ on 14 + 4 pictures. For a coin, 9 of them would fall on each side.",
            "`binomtest(k, n).pvalue` with n the number of these pictures.",
        ),
        otherwise="Use `binomtest` as in section 1, with the two counts.",
        expects="a number from 0 to 1",
    ),
    Exercise(
        id="08.4",
        question="How many test pictures make the interval of 90 % at most 0.04 wide?",
        right=lambda a: number(a) == needed(0.04),
        praise="So many, to know an accuracy to two points in either direction.",
        misconceptions=(
            Misconception(
                "half the width",
                lambda a: number(a) == needed(0.08),
                "With so many, each half is 0.04 wide. The whole interval shall be 0.04.",
                lambda: needed(0.08),
            ),
            Misconception(
                "twice too strict",
                lambda a: number(a) == needed(0.02),
                "With so many, the whole interval is 0.02 wide. Twice that is enough.",
                lambda: needed(0.02),
            ),
            Misconception(
                "one step short",
                lambda a: number(a) == needed(0.04) - 100,
                "Nearly: with so many it is still a little wider than 0.04.",
                lambda: needed(0.04) - 100,
            ),
            Misconception(
                "no multiple",
                lambda a: needed(0.04) - 90 < number(a) < needed(0.04),
                "Close. Round up to the next multiple of 100.",
                lambda: needed(0.04) - 50,
            ),
            Misconception(
                "not the smallest",
                lambda a: needed(0.04) < number(a) <= needed(0.04) + 200,
                "That is enough, but a smaller multiple of 100 is enough, too.",
                lambda: needed(0.04) + 100,
            ),
            Misconception(
                "worst accuracy",
                lambda a: 2300 <= number(a) <= 2500,
                "So many are needed at an accuracy of 50 %, where the interval is the widest. This "
                "model is right on 90 %.",
                2400,
            ),
            Misconception(
                "only the right ones",
                lambda a: number(a) == 0.9 * needed(0.04),
                "So many of them are right. How many test pictures are there in all?",
                lambda: 0.9 * needed(0.04),
            ),
            Misconception(
                "a width",
                lambda a: 0 < number(a) < 1,
                "That is a width or an accuracy. The question asks for a number of pictures.",
                0.04,
            ),
        ),
        hints=(
            '`binomtest(90, 100).proportion_ci(method="wilson")` has a `low` and a `high`.',
            "Write a loop: n = 100, 200, 300, ... until `high - low` is at most 0.04.",
            "Take `round(0.9 * n)` right pictures of n.",
        ),
        otherwise="Try multiples of 100, and compare `high - low` with 0.04.",
        expects="a whole number",
    ),
    Exercise(
        id="08.5",
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
                "percent",
                lambda a: gives_what(a, percent),
                "Right as a percentage. Return a share from 0 to 1.",
                lambda: percent,
            ),
            Misconception(
                "sum",
                lambda a: gives_what(a, sum_of),
                "The shares are right, but you added them up. Take their mean.",
                lambda: sum_of,
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
            Misconception(
                "too many classes",
                lambda a: gives_what(a, over_all),
                "A class that is predicted but never true counts, too. Only true classes should.",
                lambda: over_all,
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
        question="Which pattern will the rule take for these drawings?",
        options=PATTERNS,
        figure="Figure 1",
        where="The ring marks it. Section 3 shows why.",
    ),
    Question(
        id="08.B",
        question="From the quickest to the slowest way of reuse: where does more time bring more "
        "accuracy?",
        options=STEPS,
        figure="Figure 1",
        where="Go from left to right in the left panel, without training from scratch; section 3 "
        "has the p-values.",
    ),
)
