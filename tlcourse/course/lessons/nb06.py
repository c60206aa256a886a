"""Questions of notebook 06: which layer, how to choose it, and what it is worth."""

import numpy as np

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.answers import Trained, predicted, share_right
from tlcourse.course.lessons.tries06 import (
    LAYERS,
    Probes,
    digits,
    is_named,
    module,
    trained,
)
from tlcourse.course.question import Question

# Exercise 06.2: the embedding reaches 0.83, the best layers 0.89.
BEATS = 0.87
# Exercise 06.4: the whole network has 3.4 million parameters, a probe at stage5 reaches 0.96.
SMALL, TRAINED = 1_000_000, 0.97

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
        question="Which classes do the test digits of `moved(3)` have? Beat the embedding.",
        right=lambda a: BEATS <= share_right(a, digits()) < 1,
        praise="You chose without the test pictures, and the gain is there on 1,078 of them.",
        misconceptions=(
            Misconception(
                "the labels themselves",
                lambda a: share_right(a, digits()) == 1,
                "All are right. Are these the labels? Hand in what your probe predicts.",
                digits,
            ),
            Misconception(
                "as the embedding",
                lambda a: 0.6 <= share_right(a, digits()) < BEATS,
                "That is hardly better than the embedding. Which layer is the best on the "
                "validation pictures?",
                lambda: predicted(digits(), 185),
            ),
            Misconception(
                "raw pixels, or other pictures",
                lambda a: share_right(a, digits()) < 0.6,
                "Few of these are right. Do you use features of the network, and predict the test "
                "pictures of `moved(3)` in their order?",
                lambda: digits()[::-1],
            ),
            Misconception(
                "scores",
                lambda a: np.shape(a) == (len(digits()), 10),
                "These are ten scores for each picture. The largest one says the class: "
                "`.argmax(axis=1)`.",
                lambda: np.eye(10)[digits()],
            ),
            Misconception(
                "another split",
                lambda a: len(a) in (359, 360, 719, 1797),
                "As many pictures have other splits, or all. Predict the 1,078 test pictures: "
                '`features.of("test", layer)`.',
                lambda: [0] * 359,
            ),
            Misconception(
                "the accuracy",
                lambda a: number(a) >= 0,
                "That is one number. Hand in the predicted classes. They are counted here.",
                0.89,
            ),
        ),
        hints=(
            "Choose by the validation pictures. Then open the test pictures once.",
            "`tl.extract_features(backbone, moved(3), layers)` gives all three splits. "
            '`features.of("train", layer)` gives x and y of one.',
            "`probe = tl.fit_probe(x, y, x_val, y_val)`, then `probe.logits(x_test).argmax(axis=1)`.",
        ),
        otherwise="Hand in one whole number from 0 to 9 for each of the 1,078 test pictures.",
        expects="an array of 1,078 predicted classes",
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
        question="Fine-tune a network for the digits that is good and has under a million parameters.",
        right=lambda a: (
            trained(a) and a.trainable_parameters < SMALL and a.test_accuracy >= TRAINED
        ),
        praise="The stages beyond the right layer were not needed, and the training was shorter.",
        misconceptions=(
            Misconception(
                "the whole network",
                lambda a: trained(a) and a.trainable_parameters >= SMALL,
                "This network has more than a million parameters. Cut it at the layer that the digits "
                "have chosen: `layer=`.",
                lambda: Trained("fine_tune", 0.98, trainable_parameters=3_383_818),
            ),
            Misconception(
                "too low a rate, or too shallow",
                lambda a: trained(a) and a.test_accuracy < TRAINED,
                "It is small enough, but not good enough. Which layer did section 3 find? Leave the "
                "rates as they are, and train for six epochs.",
                lambda: Trained("fine_tune", 0.93, trainable_parameters=701_898),
            ),
            Misconception(
                "not fine-tuned",
                lambda a: a.pattern != "fine_tune",
                "In this one the body did not move. Use `tl.patterns.fine_tune`.",
                lambda: Trained("standalone_extractor", 0.96),
            ),
            Misconception(
                "another task",
                lambda a: a.task != "digits",
                "That network was trained for another task. Take the `digits`.",
                lambda: Trained("fine_tune", 0.98, "fashion"),
            ),
            Misconception(
                "the accuracy",
                lambda a: number(a) >= 0,
                "That is a number. Hand in the whole result: it knows its accuracy and its parameters.",
                0.98,
            ),
        ),
        hints=(
            "The layers beyond the right one hold most of the parameters.",
            "`tl.patterns.fine_tune(backbone, digits, layer=...)` puts the head behind that layer.",
            "Section 3 chose the layer: `stage5`. Six epochs are the default.",
        ),
        otherwise="Hand in what `tl.patterns.fine_tune` returns for the digits.",
        expects="a result of `tl.patterns.fine_tune`",
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
                Probes,
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
