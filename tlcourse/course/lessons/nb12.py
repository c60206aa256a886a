"""Notebook 12: what a bigger network buys, scores without training, and layers that are alike."""

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.answers import Trained, scored
from tlcourse.course.lessons.tries12 import (
    BEATS,
    CHEATED,
    LEAST,
    MOST,
    Small,
    all_rows,
    chosen,
    compared,
    fault,
    h_of,
    in_place,
    knows_labels,
    little_noise,
    only_first,
    parameters,
    read,
    with_labels,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="12.A",
        question="Which network's probe is right on most of the test clothes?",
        options=("SqueezeNet", "Lite0", "Lite1", "Lite2"),
        figure="Figure 1",
        where="Look for the highest point on the left, and at the ranges beside it.",
    ),
    Question(
        id="12.B",
        question="Which score orders the networks most like their accuracy on the test clothes?",
        options=("LogME", "H-score", "probe"),
        figure="Figure 2",
        where="In which panel do points further to the right also lie higher?",
    ),
    Question(
        id="12.C",
        question="Which embedding is that of the trained Lite0 more like?",
        options=("SqueezeNet", "random weights"),
        figure="Figure 3",
        where="Compare the upper right corners of the two maps.",
    ),
)


EXERCISES = (
    Exercise(
        id="12.1",
        question="Find a network of at most 300,000 parameters that reads .95 of the digits.",
        right=lambda a: read(a) >= LEAST and parameters(a) <= MOST,
        praise="It is a fifteenth of Lite0, and reads digits as well.",
        misconceptions=(
            Misconception(
                "too large",
                lambda a: read(a) >= LEAST and parameters(a) > MOST,
                "It reads enough, but has too many parameters up to the cut. "
                '`tl.layer_table(backbone)["parameters"]` counts them. Try a smaller network, or an '
                "earlier layer.",
                lambda: Small(0.965, 700_768),
            ),
            Misconception(
                "reads too little",
                lambda a: read(a) < LEAST and parameters(a) <= MOST,
                "Small enough. But it reads too few digits. Which layers are nearest to the limit "
                "from below, in both networks?",
                lambda: Small(0.91, 100_000),
            ),
            Misconception(
                "neither",
                lambda a: read(a) < LEAST and parameters(a) > MOST,
                "It is too large and reads too little. The embedding speaks about ImageNet's classes: "
                "cut earlier.",
                lambda: Small(0.885, 722_496),
            ),
            Misconception(
                "another task",
                lambda a: a.task != "digits",
                "That one was made for other pictures. Take `digits`.",
                lambda: Small(0.96, 225_296, "fashion"),
            ),
            Misconception(
                "the accuracy",
                lambda a: number(a) >= 0,
                "That is one number. Hand in the whole `Result`, as the pattern returns it.",
                0.97,
            ),
        ),
        hints=(
            "Which of the two networks is smaller up to the same depth? Look at `tl.layer_table`.",
            "Notebook 06: for digits the middle layers are best.",
            'SqueezeNet, `layer="stage5"`.',
        ),
        otherwise="Hand in a `Result` for `digits`, as `tl.patterns.standalone_extractor` returns it.",
        expects="a `Result`, as `tl.patterns.standalone_extractor` returns it",
    ),
    Exercise(
        id="12.2",
        question="Fix the function that finds all layers alike.",
        right=lambda a: compared(a) == "right",
        praise="The mean of each feature is the same for all pictures, so it tells nothing of them.",
        misconceptions=(
            Misconception(
                "unchanged",
                lambda a: compared(a) == "unchanged",
                "It still computes the same. What have features behind a ReLU in common, whatever "
                "the picture is?",
                lambda: fault,
            ),
            Misconception(
                "mean of a row",
                lambda a: compared(a) == "all rows",
                "You took away the mean of each picture. Take away the mean of each feature, over "
                "the pictures.",
                lambda: all_rows,
            ),
            Misconception(
                "only one",
                lambda a: compared(a) == "one",
                "One of the two is centred. The other one has a mean, too.",
                lambda: only_first,
            ),
            Misconception(
                "in place",
                lambda a: compared(a) == "changed",
                "The value is right. But `-=` changes the arrays of the caller. Write "
                "`a = a - ...`.",
                lambda: in_place,
            ),
            Misconception(
                "called already",
                lambda a: isinstance(a, float),
                "Give the function itself, without calling it: `answer = alike`.",
                0.53,
            ),
        ),
        hints=(
            "Compare it with the function of section 3, line by line.",
            "`a - a.mean(axis=0)` has mean 0 in each column.",
        ),
        otherwise="The check calls your function with two arrays of 60 rows.",
        expects="a function of two arrays",
    ),
    Exercise(
        id="12.3",
        question="Which network and which layer does LogME put first on the digits?",
        right=lambda a: chosen(a) == ("squeezenet", "stage6"),
        praise="On the embedding it would be last. The right layer comes before the right network.",
        misconceptions=(
            Misconception(
                "the embedding",
                lambda a: chosen(a)[1] == "embedding",
                "That is the order on the embedding. Let each network try all its layers: "
                "`layer=None`.",
                ("Lite0", "embedding"),
            ),
            Misconception(
                "the second",
                lambda a: chosen(a)[0] == "lite0" and chosen(a)[1] != "embedding",
                "Near. But another network scores higher at its own best layer.",
                ("Lite0", "stage6"),
            ),
            Misconception(
                "the layer of the probe",
                lambda a: (
                    chosen(a)[0] == "squeezenet" and chosen(a)[1] not in ("stage6", "embedding")
                ),
                "The network is right. The column `layer` of the ranking says another layer.",
                ("SqueezeNet", "stage5"),
            ),
            Misconception(
                "one name",
                lambda a: isinstance(a, str),
                'Answer with two names, such as `("Lite0", "stage2")`.',
                "SqueezeNet",
            ),
        ),
        hints=(
            "`tl.rank_backbones(digits, three, layer=None)` returns a table, best first.",
            "Its index names the networks, its column `layer` the layers.",
        ),
        otherwise="Answer with the name of a network and the name of a layer.",
        expects='a network and a layer, such as `("Lite0", "stage2")`',
    ),
    Exercise(
        id="12.4",
        question="Make SqueezeNet right on .83 of the test clothes, with more labels.",
        right=lambda a: scored(a, "fashion") >= BEATS,
        praise="Labels buy more than a larger network, if the layer is right.",
        misconceptions=(
            Misconception(
                "not enough",
                lambda a: scored(a, "fashion") < BEATS,
                "Not enough yet. Did you take all 1,600 training pictures? And at which layer do you "
                "read the network?",
                lambda: Trained("standalone_extractor", 0.808, "fashion"),
            ),
            Misconception(
                "another task",
                lambda a: a.task != "fashion",
                "This network was trained for other pictures. Train it on `fashion`.",
                lambda: Trained("fine_tune", 0.96),
            ),
            Misconception(
                "the accuracy",
                lambda a: number(a) >= 0,
                "That is one number. Hand in the whole `Result`, as the pattern returns it.",
                0.81,
            ),
        ),
        hints=(
            "`tl.patterns.standalone_extractor` with all of `fashion` takes seconds.",
            "On the embedding it reaches .81. Notebook 06 says where to look.",
            '`layer="stage5"`.',
        ),
        otherwise="Hand in the `Result` of SqueezeNet on `fashion`.",
        expects="a `Result`, as a pattern returns it",
    ),
    Exercise(
        id="12.5",
        question="Raise the H-score of features without telling it more about the classes.",
        right=lambda a: h_of(a) > CHEATED and not knows_labels(a),
        praise="More columns, a higher H-score: so it favours wide embeddings.",
        misconceptions=(
            Misconception(
                "labels",
                lambda a: h_of(a) > CHEATED and knows_labels(a),
                "That score is high because the labels are in it. Leave them out: it can be done "
                "with random numbers alone.",
                with_labels,
            ),
            Misconception(
                "too little",
                lambda a: h_of(a) <= CHEATED,
                "Not yet above 8.75. With how many columns can 300 pictures be parted by chance? "
                "And noise that is too strong hides what there is.",
                little_noise,
            ),
            Misconception(
                "the score",
                lambda a: number(a) >= 0,
                "That is one number. Hand in the features, (300, C).",
                8.7,
            ),
        ),
        hints=(
            "Why was the H-score of section 2 the same for all networks?",
            "`np.hstack([x, noise])` adds columns. Thousands of them, and weaker than `x`.",
        ),
        otherwise="Hand in an array with 300 rows, made of `x`.",
        expects="an array of shape (300, C)",
    ),
)
