"""Questions of notebook 06: which layer, how to choose it, and what it is worth."""

import numpy as np

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.tries06 import (
    LAYERS,
    Result,
    chooser,
    is_named,
    labels,
    looked_at,
    module,
    predicted,
    share_right,
    without,
)
from tlcourse.course.question import Question

# Share of the test clothes that must be right in exercise 06.2; the embedding stays below it.
BEATS = 0.85

EXERCISES = (
    Exercise(
        id="06.1",
        question="Which is the shallowest layer that is not significantly worse than the best one?",
        right=lambda a: is_named(a, "stage4"),
        praise="It does not matter that stage5, which is deeper, is significantly worse.",
        misconceptions=(
            Misconception(
                "best",
                lambda a: is_named(a, "stage6"),
                "That is the best layer itself. Is there a shallower one that is not significantly "
                "worse?",
                "stage6",
            ),
            Misconception(
                "most alike",
                lambda a: is_named(a, "stage7", "embedding"),
                "Its difference could be chance, but a shallower layer passes too.",
                "stage7",
            ),
            Misconception(
                "p-value read backwards",
                lambda a: is_named(a, "stem", "stage2"),
                "A small p-value means that chance hardly explains the difference. So this layer is "
                "significantly worse.",
                "stem",
            ),
            Misconception(
                "just below the border",
                lambda a: is_named(a, "stage5"),
                "Its p-value is only just below 0.05, but it is below: significantly worse.",
                "stage5",
            ),
            Misconception(
                "not in the table",
                lambda a: is_named(a, "stage1", "stage3"),
                "This layer was not probed: it has no row in the table.",
                "stage3",
            ),
        ),
        hints=(
            "Significantly worse means: p-value below 0.05.",
            "Cross out the layers that are significantly worse. Of the rest, take the one nearest "
            "to the input.",
        ),
        otherwise="Answer with the name of one of the seven layers of the table.",
        expects='the name of a layer, such as "stage2"',
    ),
    Exercise(
        id="06.2",
        question="Which classes do the test pictures of `clothes` have? Beat the embedding.",
        right=lambda a: BEATS <= share_right(a) < 1,
        praise="You chose without the test pictures, and the gain is still there on 1,000 of them.",
        misconceptions=(
            Misconception(
                "the labels themselves",
                lambda a: share_right(a) == 1,
                "All are right. Are these the labels? Hand in what your probe predicts.",
                labels,
            ),
            Misconception(
                "as the embedding",
                lambda a: 0.7 <= share_right(a) < BEATS,
                "That is no better than the embedding with 1,000 labels. Which layer was the best in "
                "Figure 2? Learn from all 1,600 training pictures.",
                lambda: predicted(190),
            ),
            Misconception(
                "other pictures or another order",
                lambda a: share_right(a) < 0.7,
                "Few of these are right. Are they predictions of a trained probe for `clothes.test`, "
                "in its order?",
                lambda: predicted(0)[::-1],
            ),
            Misconception(
                "scores",
                lambda a: np.shape(a) == (len(labels()), 10),
                "These are ten scores for each picture. The largest one says the class: "
                "`.argmax(axis=1)`.",
                lambda: np.eye(10)[labels()],
            ),
            Misconception(
                "another split",
                lambda a: len(a) in (400, 1600, 2000),
                "As many pictures have the validation or the training part. Predict the 1,000 test "
                "pictures: `features.of('test', layer)`.",
                lambda: [0] * 1600,
            ),
            Misconception(
                "the accuracy",
                lambda a: number(a) >= 0,
                "That is one number. Hand in the predicted classes. They are counted here.",
                0.86,
            ),
        ),
        hints=(
            "Choose by the validation pictures. Then open the test pictures once.",
            "`tl.extract_features(backbone, clothes, layer)` gives all three splits. "
            "`features.of('train', layer)` gives x and y of one.",
            "`probe = tl.fit_probe(x, y, x_val, y_val)`, then `probe.logits(x_test).argmax(axis=1)`.",
        ),
        otherwise="Hand in one whole number from 0 to 9 for each of the 1,000 test pictures.",
        expects="an array of 1,000 predicted classes",
    ),
    Exercise(
        id="06.3",
        question="Which module is VGG-16's last fully connected layer before the output layer?",
        right=lambda a: module(a) == "classifier.3",
        praise="It gives 4096 features, from which the output layer makes 1000 classes.",
        misconceptions=(
            Misconception(
                "output",
                lambda a: module(a) == "classifier.6",
                "That is the output layer itself: it gives the 1000 classes. Go one back.",
                "classifier.6",
            ),
            Misconception(
                "not the last, or no weights",
                lambda a: module(a) in {f"classifier.{n}" for n in (0, 1, 2, 5)},
                "That is the first of the three, or it has no weights. List only modules of type "
                "`Linear`, and take the last but one.",
                "classifier.0",
            ),
            Misconception(
                "AlexNet's",
                lambda a: module(a) == "classifier.4",
                "That is the name in AlexNet. VGG-16 counts its modules differently: list those of "
                "VGG-16.",
                "classifier.4",
            ),
            Misconception(
                "this course's network",
                lambda a: module(a) in ("embedding", "global_pool", "conv_head", "classifier"),
                "That is a name in this course's network, or a whole part of VGG-16. Give the dotted "
                "name of one layer.",
                "embedding",
            ),
            Misconception(
                "size",
                lambda a: number(a) in (4096, 1000, 25088),
                "That is how many numbers a layer takes or gives. Answer with its name.",
                4096,
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
                lambda: chooser(lambda k, j: without(k), lambda k: [k]),
            ),
            Misconception(
                "learned from scored fold",
                lambda a: looked_at(a) == "leak",
                "Fold `k` is in `learn`. It must be left out there, too.",
                lambda: chooser(lambda k, j: without(j), lambda k: without(k)),
            ),
            Misconception(
                "tried on what was learned",
                lambda a: looked_at(a) == "tried on what was learned",
                "You tried a probe on a fold that it has learned from, or it learned from nothing. "
                "Leave `try_on` out of `learn`.",
                lambda: chooser(lambda k, j: without(k), lambda k: without(k)),
            ),
            Misconception(
                "worst",
                lambda a: looked_at(a) == "worst",
                "The folds are right, but this strength is not the one with the highest accuracy.",
                lambda: chooser(without, without, lambda s, means: s[np.argmin(means)]),
            ),
            Misconception(
                "not a strength",
                lambda a: looked_at(a) == "other",
                "Your function returns no strength of the list. Is it the accuracy, or a place in the "
                "list?",
                lambda: chooser(without, without, lambda s, means: max(means)),
            ),
            Misconception(
                "nothing",
                lambda a: looked_at(a) == "nothing",
                "Your function returns nothing. Does it end with `return`?",
                lambda: chooser(without, without, lambda s, means: None),
            ),
        ),
        hints=(
            "Which folds may you use at all? All but `k`.",
            "Let each of them be `try_on` once, and the other ones without `k` be `learn`.",
            "For each strength take the mean of the accuracies. Return the strength of the largest.",
        ),
        otherwise="Call `score` with folds other than `k` only, and return one of the strengths.",
        expects="a function of score, k and strengths that returns a strength",
    ),
    Exercise(
        id="06.5",
        question="How deep must you tap to separate faces from other patches?",
        right=lambda a: is_named(a, "stage2"),
        praise="Going deeper brings nothing more that these pictures show, and it costs more.",
        misconceptions=(
            Misconception(
                "too shallow",
                lambda a: is_named(a, "stem", "stage1"),
                "Good, but not as good: it is significantly worse than the best layer.",
                "stem",
            ),
            Misconception(
                "too deep",
                lambda a: is_named(a, *LAYERS[3:]),
                "Is there really no shallower layer that is not significantly worse than the best?",
                "embedding",
            ),
            Misconception(
                "result itself",
                lambda a: hasattr(a, "shallowest"),
                "That is the whole result. It has an attribute `shallowest`.",
                Result,
            ),
            Misconception(
                "raw pixels",
                lambda a: is_named(a, "pixels", "rawpixels"),
                "Raw pixels are no layer of the network. Probe the `layers` of `backbone`.",
                "pixels",
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
        question="Each digit is moved by up to two pixels. How many does a probe on raw pixels get "
        "right?",
        options=("nine in ten", "six in ten", "three in ten"),
        figure="Figure 1",
        where="Follow the line of the raw pixels to the right.",
    ),
    Question(
        id="06.B",
        question="At which layer does a probe read handwritten digits best?",
        options=LAYERS,
        figure="Figure 2",
        where="See the right panel, and what the blue line does after its star.",
    ),
    Question(
        id="06.C",
        question="On digits, how good are random weights at the embedding, compared with trained "
        "ones?",
        options=("worse", "about as good", "better"),
        figure="Figure 2",
        where="Compare blue and orange at the right end of the right panel.",
    ),
)
