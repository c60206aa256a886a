"""Questions of notebook 00: shapes, days, megabytes, and a first function."""

from tlcourse.course.exercise import (
    Exercise,
    Misconception,
    close,
    number,
    same_sequence,
    same_text,
    wrong_number,
)
from tlcourse.course.lessons.tries00 import (
    DAYS,
    MEGABYTES,
    always_says,
    column,
    entries,
    names_both,
    scores,
    several,
    table,
    takes_one,
    try_on,
    without_return,
)
from tlcourse.course.question import Question

EXERCISES = (
    Exercise(
        id="00.1",
        question="What is the shape of the network's output for a batch of 8 pictures?",
        right=lambda a: same_sequence(a, (8, 1000)),
        praise="One row for each picture, one score for each of the 1000 classes.",
        misconceptions=(
            Misconception(
                "one picture",
                lambda a: same_sequence(a, (1, 1000)),
                "That is the shape for one picture. What changes when eight go in together?",
                (1, 1000),
            ),
            Misconception(
                "the input",
                lambda a: same_sequence(a, (8, 3, 224, 224)),
                "That is what goes in. Look at the line that begins with `comes out`.",
                (8, 3, 224, 224),
            ),
            Misconception(
                "only the best five",
                lambda a: same_sequence(a, (8, 5)),
                "Five is how many we chose to print. How many scores does the network give?",
                (8, 5),
            ),
            Misconception(
                "swapped",
                lambda a: same_sequence(a, (1000, 8)),
                "Both numbers are there. Which comes first in PyTorch: pictures or classes?",
                (1000, 8),
            ),
            Misconception(
                "one number only",
                lambda a: a in (1000, 8, (1000,), (8,), [1000], [8]),
                "That is one of the two numbers. A shape is a tuple, such as `(2, 3)`.",
                (1000,),
            ),
            Misconception(
                "all numbers together",
                lambda a: a in (8000, (8000,), [8000]),
                "So many numbers come out, yes. But in which shape: how many rows, how many columns?",
                8000,
            ),
            Misconception(
                "the output itself",
                lambda a: tuple(a.shape) in ((8, 1000), (1, 1000)),
                "You gave the output itself. Its shape is asked: add `.shape`.",
                lambda: scores(None),
            ),
        ),
        hints=(
            "The cell *by hand* prints both shapes for one picture.",
            "In PyTorch the first number of a shape counts the pictures of the batch.",
            "The second number is the number of classes, `len(backbone.classes)`.",
        ),
        otherwise="Run the cell *by hand* again and read what each number of the shape means.",
        expects="a tuple of two whole numbers, such as `(2, 3)`",
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
            wrong_number(
                "seconds", DAYS * 86_400, "Those are seconds. The question asks for days.", rel=0.02
            ),
            wrong_number(
                "hours", DAYS * 24, "Those are hours. The question asks for days.", rel=0.02
            ),
            wrong_number(
                "minutes", DAYS * 1440, "Those are minutes. The question asks for days.", rel=0.02
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
            Misconception(
                "one epoch, another unit",
                lambda a: any(close(a, 640 / unit, rel=0.02) for unit in (1, 60, 3600)),
                "That is one epoch, and not in days. Two steps are missing.",
                640,
            ),
            wrong_number(
                "millions left out",
                DAYS / 1e6,
                "1.28 *million* pictures: write `1_280_000`.",
                rel=0.02,
            ),
            Misconception(
                "too short a day",
                lambda a: any(close(a, DAYS * 86_400 / n, rel=0.02) for n in (43_200, 14_400)),
                "Nearly. How many seconds has a day? Count hours, minutes and seconds again.",
                DAYS * 2,
            ),
            Misconception(
                "multiplied by the speed",
                lambda a: number(a) > 1e9 or close(a, 1_280_000 * 300 * 2000 / 86_400),
                "That is very long. Is a faster machine a reason to multiply or to divide?",
                1_280_000 * 300 * 2000 / 86_400,
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
        question="How many MB do weights, gradients and Adam's numbers take?",
        right=lambda a: close(a, 4 * MEGABYTES, rel=0.01),
        praise="Four times the weights, and no picture has come in yet.",
        misconceptions=(
            wrong_number(
                "weights only",
                MEGABYTES,
                "That is the size of the weights alone, as in the file. What else is kept? (Or you "
                "counted all numbers, and forgot that each takes 4 bytes.)",
                rel=0.01,
            ),
            wrong_number(
                "one optimiser number",
                3 * MEGABYTES,
                "That would be right for one remembered number per weight. How many has Adam?",
                rel=0.01,
            ),
            wrong_number(
                "no gradients or no weights",
                2 * MEGABYTES,
                "Something is missing. Count again how many numbers belong to each weight.",
                rel=0.01,
            ),
            wrong_number(
                "mebibytes",
                4 * MEGABYTES * 1e6 / 2**20,
                "You divided by 1024 twice. Here 1 MB is 1,000,000 bytes.",
                rel=0.01,
            ),
            wrong_number(
                "bytes", 4 * MEGABYTES * 1e6, "Those are bytes. Divide to get megabytes.", rel=0.01
            ),
            Misconception(
                "numbers, not bytes",
                lambda a: any(close(a, n, rel=0.01) for n in (4.652008, 4_652_008, 18_608_032)),
                "That counts numbers, or a part of them. Each number takes 4 bytes, and a megabyte is "
                "1,000,000 of these.",
                4.652008,
            ),
            Misconception(
                "another unit",
                lambda a: any(close(a, 4 * MEGABYTES * f, rel=0.01) for f in (1e3, 1e-3)),
                "The digits are right, the unit is not. Megabytes: divide the bytes by 1,000,000.",
                4 * MEGABYTES / 1e3,
            ),
            wrong_number(
                "one number too many",
                5 * MEGABYTES,
                "You counted five numbers for each weight. Adam's two replace the momentum, they do "
                "not come on top of it.",
                rel=0.01,
            ),
            wrong_number(
                "eight bytes",
                8 * MEGABYTES,
                "That would be right for numbers of 8 bytes. Here each takes 4.",
                rel=0.01,
            ),
        ),
        hints=(
            "For each weight, list what is stored: the weight itself, its gradient, ...",
            "Adam stores two numbers for each weight. So how many numbers are there in all?",
            "Number of weights * numbers for each * 4 bytes / 1,000,000.",
        ),
        otherwise="Count the numbers that are kept for each weight, then the bytes. Activations do not "
        "count here.",
        expects="a number of megabytes",
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
                "one in a list",
                lambda a: (
                    same_text(try_on(a, "chelsea")[0], "tiger cat")
                    and len(try_on(a, "chelsea")) == 1
                ),
                "Your function returns a list with the name in it. Return the name itself.",
                lambda: lambda picture: ["tiger cat"],
            ),
            Misconception(
                "the index",
                lambda a: number(try_on(a, "chelsea")) == 282,
                "Your function returns the number of the class. Whose list turns it into a name?",
                lambda: lambda picture: 282 if picture.size == (451, 300) else 967,
            ),
            Misconception(
                "the probability",
                lambda a: 0 < number(try_on(a, "chelsea")) < 1,
                "Your function returns how probable the class is. The question asks which one.",
                lambda: lambda picture: 0.39,
            ),
            Misconception(
                "the largest score",
                lambda a: (score := number(try_on(a, "chelsea"))) > 1 and score != round(score),
                "That is the largest score. Which class has it?",
                lambda: lambda picture: 8.25,
            ),
            Misconception(
                "a column or a row",
                lambda a: any(isinstance(v, str) for v in entries(try_on(a, "chelsea"))),
                "Your function returns several entries of the table. Take the first name: "
                "`table['class'][0]`.",
                lambda: column,
            ),
            Misconception(
                "a table",
                lambda a: hasattr(try_on(a, "chelsea"), "columns"),
                "Your function returns a table. Take the first entry of its column `class`.",
                lambda: table,
            ),
            Misconception(
                "the scores",
                lambda a: 1000 in try_on(a, "chelsea").shape,
                "Your function returns all 1000 scores. Which is the largest, and what is its name?",
                lambda: scores,
            ),
            Misconception(
                "several",
                lambda a: several(try_on(a, "chelsea")),
                "Your function returns several values. Return only the first name.",
                lambda: lambda picture: ["tiger cat", "Egyptian cat"],
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
        "it use `backbone.model`? The `network` of section 4 has random weights.",
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
