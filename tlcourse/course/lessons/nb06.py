"""Questions of notebook 06: reading a table of layers, paired counts, nested choices, depth."""

from tlcourse.course.exercise import Exercise, Misconception, close, number
from tlcourse.course.lessons.tries06 import (
    COMPARED,
    LAYERS,
    Result,
    chi_square,
    chooses_on_scored,
    gives_accuracy,
    gives_nothing,
    gives_pair,
    gives_place,
    gives_worst,
    is_named,
    learns_from_scored,
    linear,
    looked_at,
    module,
    p,
    table,
    tries_on_a_list,
    tries_on_learned,
    unpaired,
    whole,
)
from tlcourse.course.question import Question

EXERCISES = (
    Exercise(
        id="06.1",
        question="Which is the shallowest layer that cannot be told apart from the best one?",
        right=lambda a: is_named(a, "stage4"),
        praise="It does not matter that stage5, which is deeper, can be told apart.",
        misconceptions=(
            Misconception(
                "best",
                lambda a: is_named(a, "stage6"),
                "That is the best layer itself. Is there a shallower one that the test cannot tell "
                "apart from it?",
                "stage6",
            ),
            Misconception(
                "deepest",
                lambda a: is_named(a, "embedding"),
                "It cannot be told apart, but it is the deepest one. We look for the shallowest.",
                "embedding",
            ),
            Misconception(
                "most alike",
                lambda a: is_named(a, "stage7"),
                "That has the largest p-value, so it is the most alike. But it is not the "
                "shallowest of those with a p-value of 0.05 or more.",
                "stage7",
            ),
            Misconception(
                "p-value read backwards",
                lambda a: is_named(a, "stem", "stage2"),
                "Its p-value is below 0.05. A small p-value means that it *can* be told apart.",
                "stem",
            ),
            Misconception(
                "just below the border",
                lambda a: is_named(a, "stage5"),
                "Its p-value is only just below 0.05, but it is below: told apart. It also stands "
                "deeper than another layer that is not told apart.",
                "stage5",
            ),
            Misconception(
                "not in the table",
                lambda a: is_named(a, "stage1", "stage3"),
                "This layer was not probed: it has no row in the table.",
                "stage3",
            ),
            Misconception(
                "a number of the table",
                lambda a: number(a) >= 0,
                "That is a number. Answer with the name at the left of its row.",
                0.08,
            ),
        ),
        hints=(
            "Told apart means: p-value below 0.05.",
            "Cross out the layers that are told apart. Then take the one nearest to the input.",
        ),
        otherwise="Answer with the name of one of the seven layers of the table.",
        expects='the name of a layer, such as "stage2"',
    ),
    Exercise(
        id="06.2",
        question="How large is the paired p-value of the two probes?",
        right=lambda a: close(a, p(40, 60), rel=0.04),
        praise="Their separate intervals overlap, and yet the paired test tells them apart.",
        misconceptions=(
            Misconception(
                "one side",
                lambda a: any(
                    close(a, p(40, 60, alternative=side), rel=0.04) for side in ("greater", "less")
                ),
                "That is one side only. Chance could also have favoured the second probe: leave "
                "`alternative` as it is.",
                lambda: p(40, 60, alternative="greater"),
            ),
            Misconception(
                "approximation",
                lambda a: any(close(a, chi_square(c), rel=0.008) for c in (0, 1)),
                "That is the chi-square approximation of the same test. Use `binomtest`, which is "
                "exact.",
                lambda: chi_square(1),
            ),
            Misconception(
                "percent",
                lambda a: close(a, 100 * p(40, 60), rel=0.04),
                "Right as a percentage. A p-value is written as a number from 0 to 1.",
                lambda: 100 * p(40, 60),
            ),
            Misconception(
                "one digit",
                lambda a: number(a) in (0.01, 0.02),
                "The size is right. Give two digits that are not 0, or do not round at all.",
                0.01,
            ),
            Misconception(
                "the border",
                lambda a: number(a) == 0.05,
                "That is the border between told apart and not. Which p-value do these two have?",
                0.05,
            ),
            Misconception(
                "whole result",
                lambda a: hasattr(a, "pvalue") and hasattr(a, "proportion_ci"),
                "That is the whole result of the test. Its p-value is the attribute `pvalue`.",
                lambda: whole(40, 60),
            ),
            Misconception(
                "what compare returns",
                lambda a: len(a) == 3 and (number(a[0]), number(a[1])) == (40, 20),
                "The counts are right, and the p-value is in it: the last of the three.",
                lambda: (40, 20, p(40, 60)),
            ),
            Misconception(
                "unpaired",
                lambda a: close(a, unpaired(), rel=0.04),
                "That test treats them as two groups of different pictures. Look at the same "
                "pictures in pairs.",
                unpaired,
            ),
            Misconception(
                "all pictures",
                lambda a: 0 <= a < 1e-6,
                "The pictures that both get right, or both wrong, say nothing. Count out of those "
                "that only one gets right.",
                lambda: p(40, 300),
            ),
            Misconception(
                "difference",
                lambda a: close(abs(a), 20 / 300, rel=0.02),
                "That is the difference of the two accuracies. Could chance explain it?",
                20 / 300,
            ),
            Misconception(
                "count",
                lambda a: any(close(a, n) for n in (40, 20, 60, 30, 50, 270, 250)),
                "That is a count of pictures. Put the two counts that matter into `binomtest`.",
                40,
            ),
        ),
        hints=(
            "Count the pictures that only the first one gets right, and only the second one.",
            "`(first & ~second).sum()` is one of the counts.",
            "`binomtest(only_first, only_first + only_second).pvalue`",
        ),
        otherwise="As in section 3: `binomtest` of the pictures that only one gets right.",
        expects="a number from 0 to 1",
    ),
    Exercise(
        id="06.3",
        question="Which module is VGG-16's last fully connected layer before the output layer?",
        right=lambda a: module(a) == "classifier.3",
        praise="It gives 4096 numbers, and 1000 classes are told from them.",
        misconceptions=(
            Misconception(
                "output",
                lambda a: module(a) == "classifier.6",
                "That is the output layer itself: it gives the 1000 classes. Go one back.",
                "classifier.6",
            ),
            Misconception(
                "first",
                lambda a: module(a) == "classifier.0",
                "That is a fully connected layer, but another one follows before the output.",
                "classifier.0",
            ),
            Misconception(
                "not a layer with weights",
                lambda a: module(a) in ("classifier.1", "classifier.2", "classifier.5"),
                "That is an activation or a dropout: it has no weights. Look for `Linear`.",
                "classifier.5",
            ),
            Misconception(
                "AlexNet's",
                lambda a: module(a) == "classifier.4",
                "That is the name in AlexNet. VGG-16 counts its modules differently: in it, this "
                "one has no weights. List those of VGG-16.",
                "classifier.4",
            ),
            Misconception(
                "all of them",
                lambda a: module(a) == "classifier",
                "That is the part with all three fully connected layers. Which one of them?",
                "classifier",
            ),
            Misconception(
                "this course's network",
                lambda a: module(a) in ("embedding", "global_pool", "conv_head"),
                "That is a name in this course's network. VGG-16 has other ones.",
                "embedding",
            ),
            Misconception(
                "module itself",
                lambda a: hasattr(a, "named_modules"),
                "That is a module itself. Answer with its dotted name, a text.",
                linear,
            ),
            Misconception(
                "several",
                lambda a: "classifier.3" in list(a) and not isinstance(a, str),
                "It is among them. Which one of these is the last before the output layer?",
                lambda: ["classifier.0", "classifier.3", "classifier.6"],
            ),
            Misconception(
                "size",
                lambda a: number(a) in (4096, 1000, 25088),
                "That is how many numbers a layer takes or gives. Answer with its name.",
                4096,
            ),
            Misconception(
                "convolution",
                lambda a: module(a).startswith(("features", "avgpool")),
                "That belongs to the convolutions and their pooling. Fully connected layers are "
                "called `Linear`.",
                "features.28",
            ),
        ),
        hints=(
            "`vgg.named_modules()` gives each module with its dotted name.",
            "Keep those of type `torch.nn.Linear`. There are three.",
            "The last of the three gives the 1000 classes. Take the name of the one before it.",
        ),
        otherwise="The dotted name of a module, as `vgg.named_modules()` gives it.",
        expects='a text such as "features.0"',
    ),
    Exercise(
        id="06.4",
        question="Write a function that chooses a strength without looking at the scored fold.",
        right=lambda a: looked_at(a) == "right",
        praise="The scored fold took no part, neither in learning nor in choosing.",
        misconceptions=(
            Misconception(
                "scored fold",
                lambda a: looked_at(a) == "scored fold",
                "You tried strengths on fold `k`. That fold will be scored, so its accuracy would "
                "be too good.",
                lambda: chooses_on_scored,
            ),
            Misconception(
                "learned from scored fold",
                lambda a: looked_at(a) == "learned from scored fold",
                "Fold `k` is in `learn`. It must be left out there, too.",
                lambda: learns_from_scored,
            ),
            Misconception(
                "tried on what was learned",
                lambda a: looked_at(a) == "tried on what was learned",
                "You tried a probe on a fold that it has learned from, or it learned from nothing. "
                "Leave `try_on` out of `learn`.",
                lambda: tries_on_learned,
            ),
            Misconception(
                "another form",
                lambda a: looked_at(a) == "another form",
                "`try_on` is one fold, such as `2`, not a list. `learn` is a list of folds, such as "
                "`[0, 1, 4]`.",
                lambda: tries_on_a_list,
            ),
            Misconception(
                "accuracy",
                lambda a: looked_at(a) == "accuracy",
                "Your function returns a number that is no strength. Is it the accuracy?",
                lambda: gives_accuracy,
            ),
            Misconception(
                "place",
                lambda a: looked_at(a) == "place",
                "Your function returns the place of a strength in the list. Return the strength: "
                "`strengths[place]`.",
                lambda: gives_place,
            ),
            Misconception(
                "pair",
                lambda a: looked_at(a) == "pair",
                "Your function returns several things. Return the strength alone.",
                lambda: gives_pair,
            ),
            Misconception(
                "worst",
                lambda a: looked_at(a) == "worst",
                "The folds are right, but this strength is not the one with the highest accuracy.",
                lambda: gives_worst,
            ),
            Misconception(
                "nothing",
                lambda a: looked_at(a) == "nothing",
                "Your function returns nothing. Does it end with `return`?",
                lambda: gives_nothing,
            ),
        ),
        hints=(
            "Which folds may you use at all? All but `k`.",
            "Let each of them be `try_on` once, and the other ones without `k` be `learn`.",
            "For each strength take the mean of the accuracies; return the strength of the "
            "largest one.",
        ),
        otherwise="Call `score` with folds other than `k` only, and return one of the strengths.",
        expects="a function of score, k and strengths that returns a strength",
    ),
    Exercise(
        id="06.5",
        question="How deep must you tap to tell faces from other patches?",
        right=lambda a: is_named(a, "stage2"),
        praise="Going deeper brings nothing more that these pictures show, and it costs more.",
        misconceptions=(
            Misconception(
                "too shallow",
                lambda a: is_named(a, "stem", "stage1"),
                "Good, but not as good: the paired test can tell it apart from the best layer.",
                "stem",
            ),
            Misconception(
                "deepest",
                lambda a: is_named(a, "embedding", "stage7", "stage6"),
                "Is there really no shallower layer that cannot be told apart from the best?",
                "embedding",
            ),
            Misconception(
                "middle",
                lambda a: is_named(a, "stage3", "stage4", "stage5"),
                "That one cannot be told apart from the best layer. But neither can a shallower one.",
                "stage4",
            ),
            Misconception(
                "result itself",
                lambda a: hasattr(a, "shallowest"),
                "That is the whole result. It has an attribute `shallowest`.",
                lambda: Result(),
            ),
            Misconception(
                "raw pixels",
                lambda a: is_named(a, "pixels", "rawpixels"),
                "Raw pixels are no layer of the network. Probe the `layers` of `backbone`.",
                "pixels",
            ),
            Misconception(
                "its table",
                lambda a: "told_apart" in a.columns,
                "The answer stands in this table: the first row that is not told apart.",
                lambda: table(),
            ),
            Misconception(
                "an accuracy",
                lambda a: number(a) > 0,
                "That is a number. Which layer does it belong to?",
                0.99,
            ),
        ),
        hints=(
            "Three steps: `tl.load_task`, `tl.extract_features`, `tl.probe_layers`.",
            "`tl.extract_features(backbone, faces, layers)` gives the features of all layers.",
            "Give these to `tl.probe_layers`. The attribute `shallowest` of what it returns is the "
            "answer.",
        ),
        otherwise='Answer with the name of a layer, such as "stem".',
        expects="the name of a layer",
    ),
)

QUESTIONS = (
    Question(
        id="06.A",
        question="At which layer does a probe tell ants from bees best?",
        options=LAYERS,
        figure="Figure 1",
        where="In the first panel the star marks the best layer, the ring the shallowest one that "
        "cannot be told apart from it.",
    ),
    Question(
        id="06.B",
        question="At which layer does a probe tell the kinds of drawings apart best?",
        options=LAYERS,
        figure="Figure 1",
        where="The middle panel shows it: look for the star and the ring there.",
    ),
    Question(
        id="06.C",
        question="At which layer does a probe tell handwritten digits apart best?",
        options=LAYERS,
        figure="Figure 1",
        where="See the right panel, and what the blue line does after its star.",
    ),
    Question(
        id="06.D",
        question="On digits, how good are random weights at the embedding, compared with trained "
        "ones?",
        options=COMPARED,
        figure="Figure 1",
        where="Compare blue and orange at the right end of the right panel.",
    ),
    Question(
        id="06.E",
        question="On digits, how good are raw pixels, compared with the network's best layer?",
        options=COMPARED,
        figure="Figure 2",
        where="Look at the green circle of the digits: filled means told apart, to the left of 0 "
        "means worse.",
    ),
)
