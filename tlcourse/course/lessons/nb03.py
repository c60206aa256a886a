"""Questions of notebook 03: wrong labels, a layer for clothes, a probe for few labels, a p-value."""

import numpy as np

from tlcourse.course.exercise import Exercise, Misconception, close, number, wrong_number
from tlcourse.course.lessons.answers import predicted, share_right
from tlcourse.course.lessons.tries03 import (
    BASELINE,
    ENOUGH,
    HURRIED,
    always_first,
    clothes,
    first_try,
    places,
    says_nothing,
    scores,
    share_on_ants_and_bees,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="03.A",
        question="What share of the 88 new photographs does the classifier of six labels get right?",
        options=("one in three", "two in three", "four in five", "nineteen in twenty"),
        figure="Figure 2",
        where="The line above Figure 2 says how many of the 88 are right; its curve, at two labels, "
        "says that this was not luck.",
    ),
    Question(
        id="03.B",
        question="On clothes, how far are the features ahead of the pixels with ten labels per class?",
        options=("0 to 10 points", "10 to 20 points", "over 20 points"),
        figure="Figure 3",
        where="Compare the right ends of the two curves of clothes.",
    ),
    Question(
        id="03.C",
        question="How many times as long as one probe does a short training from random weights take?",
        unit="times",
        within=5,
        figure="Table 2",
        where="Divide the last row by the row above it.",
    ),
)


EXERCISES = (
    Exercise(
        id="03.1",
        question="Which photographs have a wrong label? Name at most ten places.",
        right=lambda a: len(places(a)) <= 10 and places(a) >= HURRIED,
        praise="You looked at a handful of pictures instead of 94.",
        misconceptions=(
            Misconception(
                "too many",
                lambda a: len(places(a)) > 10 and places(a) >= HURRIED,
                "All six are among them, but so are too many others. Hand in at most ten places.",
                lambda: list(range(94)),
            ),
            Misconception(
                "new labels",
                lambda a: len(list(a)) == 94 and places(a) <= {0, 1, 2},
                "Those are labels. Which places have a label that does not fit?",
                lambda: [0] * 28 + [1] * 27 + [2] * 39,
            ),
            Misconception(
                "a mask",
                lambda a: all(isinstance(v, bool | np.bool_) for v in a),
                "That says true or false for each photograph. `np.flatnonzero` gives the places.",
                lambda: [place in HURRIED for place in range(94)],
            ),
            Misconception(
                "names",
                lambda a: all(isinstance(v, str) for v in a),
                "Those are names. Hand in the places, whole numbers from 0 to 93.",
                lambda: ["fish/fish4.webp"],
            ),
            Misconception(
                "some of them",
                lambda a: 0 < len(places(a) & HURRIED) < len(HURRIED),
                "Some of the six are among them, but not all. Where do most of the five nearest "
                "neighbours have another label?",
                lambda: sorted(HURRIED)[:4],
            ),
        ),
        hints=(
            "A wrong label stands alone among its neighbours. `tl.nearest(x, range(len(x)), n=5)[0]` "
            "gives the places of five neighbours of each photograph.",
            "`hurried[those_places]` are the neighbours' labels. Which label is the most frequent?",
            "`np.flatnonzero(<most frequent label> != hurried)`",
        ),
        otherwise="Compare each label in `hurried` with the labels of the most alike photographs.",
        expects="a list of at most ten places",
    ),
    Exercise(
        id="03.2",
        question=f"Get at least {ENOUGH} of 1,000 test pictures of clothes right from 200 labels.",
        right=lambda a: share_right(a, clothes()) >= ENOUGH / 1000,
        praise="A layer before the last one, and the validation pictures chose it.",
        misconceptions=(
            Misconception(
                "not better than the embedding",
                lambda a: (BASELINE - 60) / 1000 <= share_right(a, clothes()) <= BASELINE / 1000,
                f"That is no more than the embedding's {BASELINE}. Try the other layers.",
                lambda: predicted(clothes(), 1000 - BASELINE),
            ),
            Misconception(
                "nearly",
                lambda a: BASELINE / 1000 < share_right(a, clothes()) < ENOUGH / 1000,
                "Better than the embedding, but not enough yet. Give `tl.fit_probe` the validation "
                "pictures, too: they choose its strength. Is another layer better on them?",
                lambda: predicted(clothes(), 1000 - ENOUGH + 3),
            ),
            Misconception(
                "near chance",
                lambda a: share_right(a, clothes()) < 0.2,
                "Hardly better than chance. Do features and labels come from the same pictures, and "
                "both probe and test features from the same layer?",
                lambda: predicted(clothes(), 900),
            ),
            Misconception(
                "scores",
                lambda a: scores(a),
                "Those are scores of all ten classes. Take the largest: `.argmax(axis=1)`.",
                lambda: [[0.0] * 10] * 1000,
            ),
            Misconception(
                "an accuracy",
                lambda a: number(a) >= 0,
                "That is one number. Hand in the predicted class of each test picture.",
                0.75,
            ),
        ),
        hints=(
            "`tl.fit_probe(of_clothes.of('train', layer)[0][labelled], y_clothes[labelled])` fits a "
            "probe to one layer.",
            "Compare `(probe.logits(x_val).argmax(axis=1) == y_val).mean()` for the four layers.",
            "Then only the best one sees `of_clothes.of('test', layer)[0]`.",
        ),
        otherwise="Fit a probe to each of the four layers, and choose by the validation pictures.",
        expects="an array of 1,000 predicted classes",
    ),
    Exercise(
        id="03.3",
        question="Write a probe that is good with two labels of each class.",
        right=lambda a: share_on_ants_and_bees(a) >= 0.84,
        praise="From .65 to more than .84 without one label more.",
        misconceptions=(
            Misconception(
                "nothing returned",
                lambda a: callable(a) and share_on_ants_and_bees(a) == -1,
                "Your function returns nothing. Does it end with `return`?",
                lambda: says_nothing,
            ),
            Misconception(
                "no better",
                lambda a: 0.6 < share_on_ants_and_bees(a) < 0.7,
                "As good as the first try. Does it still divide each feature by its deviation?",
                lambda: first_try,
            ),
            Misconception(
                "one class",
                lambda a: 0.3 < share_on_ants_and_bees(a) < 0.6,
                "That is near chance. Does it give the same class to every query, or the class that "
                "is farthest away?",
                lambda: always_first,
            ),
            Misconception(
                "called already",
                lambda a: getattr(a, "shape", None) is not None,
                "You called the function. Hand in the function itself, without brackets.",
                lambda: predicted(clothes(), 0),
            ),
        ),
        hints=(
            "Leave the scaler out first. How much better is that?",
            "For each class take the mean of its rows: `x[y == c].mean(axis=0)`.",
            "Divide each row by its length `np.linalg.norm(x, axis=1, keepdims=True)`, and take the "
            "largest of `queries @ means.T`.",
        ),
        otherwise="Try it on `ants_x` with `draw(ants_y, 2, seed)`, for some seeds.",
        expects="a function of x, y and queries that returns labels",
    ),
    Exercise(
        id="03.4",
        question="What is the p-value of 850 against 830 right, where both are right on 820?",
        right=lambda a: close(a, 0.00222, rel=0.02),
        praise="Far below .05, although the intervals overlap: the pairs decide.",
        misconceptions=(
            wrong_number(
                "850 against 830",
                0.6434,
                "You compared 850 with 830. Most of these pictures are the same ones. Count those "
                "that only one program gets right.",
                rel=0.02,
            ),
            Misconception(
                "not paired",
                lambda a: any(close(a, p, rel=0.03) for p in (0.2226, 0.2444)),
                "That is the test for two different sets of pictures. These are the same pictures.",
                0.2226,
            ),
            wrong_number(
                "one side only",
                0.00111,
                "That counts one side only. It could have fallen to B as well: both sides.",
                rel=0.02,
            ),
            Misconception(
                "approximation",
                lambda a: any(close(a, p, rel=0.02) for p in (0.00157, 0.00266)),
                "That is the approximation by chi-square. Use the exact one: `binomtest`.",
                0.00266,
            ),
            Misconception(
                "counts",
                lambda a: number(a) in (10, 20, 30, 40),
                "That is a count of pictures. What is the p-value of these counts?",
                30,
            ),
        ),
        hints=(
            "On how many pictures is only A right? And only B?",
            "`binomtest(<only A>, <only A> + <only B>).pvalue`",
        ),
        otherwise="Only the pictures count on which one program is right and the other is wrong.",
        expects="a number from 0 to 1",
    ),
)
