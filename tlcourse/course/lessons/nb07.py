"""Questions of notebook 07: bytes of learning, scaling, the largest batch, time, what may move."""

from tlcourse.course.exercise import Exercise, Misconception, close, number, wrong_number
from tlcourse.course.lessons.tries07 import (
    all_move,
    all_stored,
    and_parameters,
    buffers_too,
    gradients_only,
    in_mib,
    in_millions,
    learning_bytes,
    numbers,
    one_average,
    same_as,
    says_nothing,
)
from tlcourse.course.question import Question

EXERCISES = (
    Exercise(
        id="07.1",
        question="How many million bytes do parameters, gradients and AdamW's state take?",
        right=lambda a: close(a, 48, rel=0.02),
        praise="Four numbers for each parameter, four bytes for each number. That holds whatever the batch is.",
        misconceptions=(
            wrong_number(
                "parameters only",
                12,
                "12 million bytes are the parameters alone: what else is there for each of them when "
                "it learns? (Or did you count 12 million *numbers*? Each has 4 bytes.)",
                rel=0.02,
            ),
            wrong_number(
                "no state",
                24,
                "That is two numbers for each parameter. There are four: itself, its gradient, and "
                "AdamW's two.",
                rel=0.02,
            ),
            wrong_number(
                "three of four",
                36,
                "Three numbers for each parameter. One of these is missing: the parameter, its "
                "gradient, AdamW's first average, its second one.",
                rel=0.02,
            ),
            Misconception(
                "in bytes",
                lambda a: close(a, 48e6, rel=0.02),
                "Right in bytes. The question asks for million bytes.",
                48_000_000,
            ),
            Misconception(
                "in MiB",
                lambda a: close(a, 48e6 / 2**20, rel=0.01),
                "Right in MiB, which are a little larger. The question asks for million bytes: "
                "1 000 000 each.",
                45.8,
            ),
            wrong_number(
                "in GB",
                0.048,
                "Right in thousand million bytes. The question asks for million bytes.",
                rel=0.05,
            ),
            wrong_number(
                "in bits", 384, "You multiplied by 32: these are bits. 8 bits are a byte.", rel=0.02
            ),
            wrong_number(
                "one parameter",
                16,
                "That is the number of bytes for one parameter. The network has 3 million of them.",
                rel=0.02,
            ),
            wrong_number(
                "eight bytes",
                96,
                "That is twice too much. Are there 8 bytes in a 32-bit number?",
                rel=0.02,
            ),
            wrong_number(
                "one too many",
                60,
                "Five numbers for each parameter. AdamW keeps two, the gradient is one, the "
                "parameter itself is one.",
                rel=0.02,
            ),
        ),
        hints=(
            "Count how many numbers there are for one parameter: itself, and three more.",
            "Each number has 4 bytes: 3 x 4 x <how many numbers> million bytes.",
        ),
        otherwise="Count the numbers that belong to one parameter, then multiply by their bytes.",
        expects="a number of million bytes",
    ),
    Exercise(
        id="07.2",
        question="How many times as large are the activations at 3 times the side, half the batch?",
        right=lambda a: close(a, 4.5, rel=0.02),
        praise="Nine times for the area, a half for the batch. A smaller batch did not make up "
        "for it.",
        misconceptions=(
            wrong_number(
                "batch forgotten",
                9,
                "Each picture takes nine times as much. But there are fewer pictures at once.",
                rel=0.02,
            ),
            wrong_number(
                "side counted once",
                1.5,
                "The batch is right. But a picture has two sides, and both grew.",
                rel=0.02,
            ),
            wrong_number(
                "side only",
                3,
                "That is how many times as long one side is. Count all pixels, and all pictures.",
                rel=0.02,
            ),
            wrong_number(
                "batch multiplied",
                18,
                "The pictures are right. Does a smaller batch need more, or less?",
                rel=0.02,
            ),
            wrong_number(
                "batch only",
                1 / 2,
                "That is what the batch does. What does the size of the pictures do?",
                rel=0.02,
            ),
            Misconception(
                "colours counted",
                lambda a: close(a, 13.5, rel=0.02) or close(a, 27, rel=0.02),
                "Three colours there were before, too. What is different are the two sides and the "
                "number of pictures.",
                13.5,
            ),
            wrong_number(
                "upside down",
                1 / 4.5,
                "That is before divided by after. The question asks for after divided by before.",
                rel=0.02,
            ),
            Misconception(
                "percent",
                lambda a: close(a, 450, rel=0.02) or close(a, 350, rel=0.02),
                "That is a percentage. Answer how many *times* as large: 2 means twice.",
                450,
            ),
        ),
        hints=(
            "How many times as many pixels has one picture? How many times as many pictures are "
            "there?",
            "A picture has 3 times the width and 3 times the height.",
            "Multiply the two factors: 3 x 3 for the pixels, <factor> for the batch.",
        ),
        otherwise="Activations grow with the number of pixels of a picture, and with the batch.",
        expects="a number",
    ),
    Exercise(
        id="07.3",
        question="What is the largest batch that fits the card?",
        right=lambda a: close(a, 297, absolute=0.1),
        praise="And if that is too few, freeze more, take smaller pictures, or learn from parts of "
        "a batch one after the other, as `tl.fit` does when memory runs out.",
        misconceptions=(
            Misconception(
                "rounded up",
                lambda a: 297.1 < a < 298.1,
                "The division is right. But half a picture is none, and one more does not fit.",
                298,
            ),
            wrong_number(
                "fixed part forgotten",
                300,
                "Parameters, gradients and the optimiser's state are there before the first "
                "picture.",
                absolute=0.1,
            ),
            Misconception(
                "reserve forgotten",
                lambda a: 330 <= a <= 331,
                "You used the whole card. A part was to be kept free.",
                330,
            ),
            Misconception(
                "nothing subtracted",
                lambda a: 333 <= a <= 334,
                "Two things take room before the first picture does.",
                333,
            ),
            Misconception(
                "not divided",
                lambda a: number(a) in (7140, 7200, 7940),
                "That is what is left, in MiB. How many pictures is it enough for?",
                7140,
            ),
            Misconception(
                "fixed part for each picture",
                lambda a: 85 <= number(a) <= 86 or 94 <= number(a) <= 96,
                "You counted the parameters and what belongs to them again for each picture. They "
                "are there once.",
                85,
            ),
            Misconception(
                "power of two",
                lambda a: number(a) == 256,
                "It fits, and many people take powers of two. But it is not the largest one.",
                256,
            ),
            Misconception(
                "one less",
                lambda a: number(a) == 296,
                "It fits, but one more fits, too.",
                296,
            ),
        ),
        hints=(
            "Which memory is left for pictures, once everything else has its place?",
            "Two things are subtracted, once each: what you keep free, and the 60 MiB.",
            "(8000 - 800 - <fixed part>) / 24, rounded down to a whole number.",
        ),
        otherwise="Subtract what does not depend on the batch; divide the rest by one picture's "
        "share; round down.",
        expects="a whole number of pictures",
    ),
    Exercise(
        id="07.4",
        question="How many times as long does fine-tuning take as training on stored features?",
        right=lambda a: close(a, 36, rel=0.02),
        praise="Six minutes against ten seconds. Storing took 4 of the ten, but it is done once, "
        "however often you train the head afterwards.",
        misconceptions=(
            wrong_number(
                "storing forgotten",
                60,
                "That is the ratio of the steps. The features must be computed once before.",
                rel=0.02,
            ),
            wrong_number(
                "storing in each epoch",
                12 / 4.2,
                "You counted the storing once for each epoch (or only one epoch of each). It is "
                "done once for all 30 epochs.",
                rel=0.03,
            ),
            wrong_number(
                "not stored",
                3,
                "You compared with a frozen body that runs in each step. With stored features it "
                "does not run any more.",
                rel=0.02,
            ),
            wrong_number(
                "frozen against stored",
                12,
                "That compares the frozen body with the stored features. The question begins with "
                "everything moving.",
                rel=0.02,
            ),
            Misconception(
                "one side of it",
                lambda a: any(close(a, n, rel=0.005) for n in (360, 10, 120, 6)),
                "These are the seconds of one way, or a part of them. Divide those of the one by "
                "those of the other.",
                360,
            ),
            Misconception(
                "difference",
                lambda a: close(a, 350, rel=0.005) or close(a, 354, rel=0.005),
                "That is how many seconds are saved. The question asks how many *times* as long.",
                350,
            ),
            wrong_number(
                "epochs without steps",
                18 / 4.3,
                "You counted one step for each epoch. How many steps are 320 pictures, 16 at once?",
                rel=0.02,
            ),
            Misconception(
                "a step for each picture",
                lambda a: close(a, 5760 / 100, rel=0.005),
                "You counted a step for each picture. One step takes 16 of them.",
                57.6,
            ),
            wrong_number(
                "upside down",
                1 / 36,
                "That is the short time divided by the long one. Turn it around.",
                rel=0.03,
            ),
        ),
        hints=(
            "How many steps does each of the two make in 30 epochs?",
            "An epoch has 320 / 16 = 20 steps, so there are 600 steps.",
            "600 x 0.6 seconds, divided by (4 seconds once + 600 x <seconds of a stored step>).",
        ),
        otherwise="Add up the seconds of each of the two ways, then divide.",
        expects="a number",
    ),
    Exercise(
        id="07.5",
        question="Write a function that returns the bytes of gradients and AdamW's averages.",
        right=same_as(learning_bytes),
        praise="It asks each parameter whether it may move. For a frozen body almost nothing is "
        "left.",
        misconceptions=(
            Misconception(
                "frozen ones counted",
                same_as(all_move),
                "In the network that was tried, one layer is frozen. It gets no gradient. Ask "
                "`p.requires_grad`.",
                lambda: all_move,
            ),
            Misconception(
                "numbers instead of bytes",
                same_as(numbers),
                "You counted numbers. Each one has several bytes: `p.nbytes`.",
                lambda: numbers,
            ),
            Misconception(
                "gradients only",
                same_as(gradients_only),
                "The gradients are right. AdamW's two averages are missing.",
                lambda: gradients_only,
            ),
            Misconception(
                "one average",
                same_as(one_average),
                "Nearly. AdamW keeps two averages, one of the gradients and one of their squares.",
                lambda: one_average,
            ),
            Misconception(
                "parameters too",
                same_as(and_parameters),
                "The parameters themselves are in it too. They are there without any learning.",
                lambda: and_parameters,
            ),
            Misconception(
                "in larger units",
                lambda a: same_as(in_mib)(a) or same_as(in_millions)(a),
                "Right, but not in bytes. Return the bytes, without a division.",
                lambda: in_mib,
            ),
            Misconception(
                "buffers too",
                same_as(buffers_too),
                "Buffers are in it, too. They are kept, but not learned: no gradient.",
                lambda: buffers_too,
            ),
            Misconception(
                "everything that is stored",
                same_as(all_stored),
                "`net.state_dict()` holds buffers and frozen parameters, too. Take "
                "`net.parameters()`.",
                lambda: all_stored,
            ),
            Misconception(
                "a number",
                lambda a: number(a) >= 0,
                "That is a number of one network. Give the function itself: write its name without "
                "brackets after it.",
                10_140_000,
            ),
            Misconception(
                "nothing returned",
                same_as(says_nothing),
                "Your function returned nothing. Write `return` before the result.",
                lambda: says_nothing,
            ),
        ),
        hints=(
            "Go through `net.parameters()` and keep those with `p.requires_grad`.",
            "Add up `p.nbytes` of these. How many numbers does learning add to each parameter?",
            "`return <how many> * sum(p.nbytes for p in net.parameters() if p.requires_grad)`",
        ),
        otherwise="Sum the bytes of the parameters that may move, and multiply by what there is for "
        "each of them: a gradient and two averages.",
        expects="a function of net that returns a number of bytes",
    ),
)

QUESTIONS = (
    Question(
        id="07.A",
        question="How many times as many seconds does a step take if everything moves?",
        unit="times",
        within=2,
        figure="Table 1",
        where="The ratios of the single turns say how sure this is.",
    ),
    Question(
        id="07.B",
        question="How many times as many bytes does it take at its peak?",
        unit="times",
        within=1.5,
        figure="Figure 1",
        where="Compare the whole length of the first bar with that of the third one.",
    ),
    Question(
        id="07.C",
        question="If only the head moves, what takes the most memory?",
        options=("parameters", "optimiser state", "activations", "working memory"),
        figure="Figure 1",
        where="Look for the longest part of the third bar.",
    ),
    Question(
        id="07.D",
        question="Which of the two makes more operations: twice the layers, or twice the channels?",
        options=("twice the layers", "both the same", "twice the channels"),
        figure="Figures 4 and 5",
        where="In each of them, look at the line of the operations: how far does its first step to the "
        "right go up?",
    ),
)
