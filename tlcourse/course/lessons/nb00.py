"""Questions of notebook 00: the least sure answer, days, a better box, and a first function."""

from tlcourse.course.exercise import (
    Exercise,
    Misconception,
    close,
    number,
    same_text,
    wrong_number,
)
from tlcourse.course.lessons.tries00 import (
    CAT,
    DAYS,
    always_says,
    fits,
    names_both,
    scores,
    surest,
    takes_one,
    try_on,
    whole,
    without_return,
)
from tlcourse.course.question import Question

EXERCISES = (
    Exercise(
        id="00.1",
        question="About which of five photographs is the network least sure?",
        right=lambda a: same_text(a, "astronaut"),
        praise='16 %, for a football helmet. There is no class for people, and none for "I do not '
        'know".',
        misconceptions=(
            Misconception(
                "the surest",
                lambda a: same_text(a, "coffee"),
                "That is where it is surest: espresso, 95 %. The least sure one is asked.",
                "coffee",
            ),
            Misconception(
                "a wrong answer",
                lambda a: same_text(a, "clock"),
                "A clock is no bubble, so the answer is wrong. But the network is rather sure of it.",
                "clock",
            ),
            Misconception(
                "the next one",
                lambda a: same_text(a, "rocket", "flower"),
                "Nearly: there is one of which it is still less sure. Did you try all five?",
                "rocket",
            ),
            Misconception(
                "the class",
                lambda a: same_text(a, "football helmet"),
                "That is what the network says about it. What is the photograph called?",
                "football helmet",
            ),
            Misconception(
                "the probability",
                lambda a: number(a) >= 0,
                "That is a number. Answer with the name of the photograph.",
                0.16,
            ),
        ),
        hints=(
            "`tl.top_k(backbone, picture)` is a table. Its first row is the most probable class.",
            "Call it for each of the five, for example in a loop, and compare the first probabilities.",
        ),
        otherwise="Compare the highest probability of each of the five photographs.",
        expects="the name of a photograph",
    ),
    Exercise(
        id="00.2",
        question="How many days does the training take at 2000 pictures per second?",
        right=lambda a: close(a, DAYS, rel=0.02),
        praise="A GPU turns years into days. It is still you who pays for each of them.",
        misconceptions=(
            wrong_number(
                "one epoch only",
                DAYS / 300,
                "That is one look at the pictures. How many times are they all looked at?",
                rel=0.02,
            ),
            Misconception(
                "another unit",
                lambda a: any(close(a, DAYS * n, rel=0.02) for n in (86_400, 1440, 24)),
                "Those are seconds, minutes or hours. The question asks for days.",
                DAYS * 86_400,
            ),
            wrong_number(
                "without the speed",
                DAYS * 2000,
                "That is one picture per second. Where is the speed of this GPU?",
                rel=0.02,
            ),
            wrong_number(
                "pictures, not time",
                1_280_000 * 300,
                "That is how many pictures the network sees. How long does that take?",
                rel=0.02,
            ),
            Misconception(
                "rounded",
                lambda a: number(a) == 2,
                "Nearly. Give at least one decimal.",
                2,
            ),
        ),
        hints=(
            "First: how many pictures does the network see in all 300 epochs together?",
            "Divide by the pictures per second. That gives seconds.",
            "A day has 60 * 60 * 24 seconds.",
        ),
        otherwise="Write down the unit after each step: pictures, seconds, days. What was measured on "
        "your own machine is not needed here.",
        expects="a number of days",
    ),
    Exercise(
        id="00.3",
        question="For which part of the photograph does one kind of cat get at least 60 %?",
        right=lambda a: fits(a) and surest(a)[0] in CAT and surest(a)[1] >= 0.6,
        praise="The same cat, and a surer answer: the network sees only what you give it.",
        misconceptions=(
            Misconception(
                "the picture",
                lambda a: hasattr(a, "crop"),
                "You gave a picture. Answer with the four numbers of its box.",
                whole,
            ),
            Misconception(
                "width and height",
                lambda a: len(a) == 4 and (a[2] <= a[0] or a[3] <= a[1]),
                "Right must be larger than left, and lower larger than upper: a box holds two "
                "corners, not a width and a height.",
                (225, 125, 150, 150),
            ),
            Misconception(
                "outside",
                lambda a: len(a) == 4 and a[2] > a[0] and a[3] > a[1] and not fits(a),
                "A part of this box lies outside the photograph, where there is only black.",
                (300, 100, 600, 300),
            ),
            Misconception(
                "no cat",
                lambda a: fits(a) and surest(a)[0] not in CAT,
                "Now the network sees no cat at all: its surest answer is something else.",
                (75, 0, 200, 125),
            ),
            Misconception(
                "not sure enough",
                lambda a: fits(a) and surest(a)[0] in CAT and surest(a)[1] < 0.6,
                "It is a cat, but no kind of it gets 60 %. Move the box, or make it smaller.",
                (0, 0, 451, 300),
            ),
        ),
        hints=(
            "`tl.plots.predictions(backbone, cat.crop(box))` shows what a box does.",
            "Begin with the face of the cat, and cut away what lies around it.",
            "A square of about 150 pixels is enough. Try the right half of the photograph.",
        ),
        otherwise="Give four whole numbers: left, upper, right, lower.",
        expects="a box of four numbers, such as `(0, 0, 451, 300)`",
    ),
    Exercise(
        id="00.4",
        question="Write a function: picture -> name of the most probable class.",
        right=names_both,
        praise="This is pattern 1, a pre-trained network used as it is, in your own words.",
        misconceptions=(
            Misconception(
                "called already",
                lambda a: isinstance(a, str),
                "That is one name. Give the function itself, without brackets: `answer = most_probable`.",
                "tiger cat",
            ),
            Misconception(
                "no argument",
                lambda a: callable(a) and not takes_one(a),
                "The check calls your function with one argument, a picture. Yours does not take one.",
                lambda: lambda: "tiger cat",
            ),
            Misconception(
                "nothing",
                lambda a: try_on(a, "chelsea") is None,
                "Your function returns nothing. Does it end with `return`?",
                lambda: without_return,
            ),
            Misconception(
                "the index",
                lambda a: number(try_on(a, "chelsea")) == 282,
                "Your function returns the number of the class. Whose list turns it into a name?",
                lambda: lambda picture: 282 if picture.size == (451, 300) else 967,
            ),
            Misconception(
                "scores or a table",
                lambda a: hasattr(try_on(a, "chelsea"), "shape") and try_on(a, "chelsea").shape,
                "Your function returns scores or a table. Which entry is the best one, and what is "
                "its name?",
                lambda: scores,
            ),
            Misconception(
                "always the same",
                lambda a: same_text(try_on(a, "chelsea"), "tiger cat"),
                "Right for the cat, but not for another picture. Does your function use its own "
                "argument, or the variable of an earlier cell?",
                lambda: always_says("tiger cat"),
            ),
        ),
        hints=(
            "Begin with `def most_probable(picture):` and copy what you need from *by hand*.",
            "`logits.argmax()` is the number of the largest score.",
            "End with `answer = most_probable`, without brackets, so that the check can call it.",
        ),
        otherwise="Try your function on `cat` yourself: it should return the top name of Figure 1. Does "
        "it use `backbone.model`? The `network` of section 3 has random weights.",
        expects="a function that takes a picture and returns a text",
    ),
)

QUESTIONS = (
    Question(
        id="00.A",
        question="How long would this machine need to train the network from random weights?",
        options=("hours", "days", "weeks", "months", "years"),
        figure="Figure 2",
        where="The number stands beside the uppermost bar.",
    ),
    Question(
        id="00.B",
        question="One picture in the batch: what takes more memory in a training step?",
        options=("the activations", "the other three together"),
        figure="Table 1",
        where="The share of the activations stands at the end of the first row: compare it with one "
        "half.",
    ),
)
