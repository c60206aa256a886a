"""Notebook 03: numbers to learn, megabytes, a probe in the middle, nearest class mean."""

import numpy as np

from tlcourse.course.exercise import Exercise, Misconception, close, number, wrong_number
from tlcourse.course.lessons.tries03 import (
    N_CLASSES,
    N_FEATURES,
    OTHER_LAYERS,
    called,
    centred,
    column,
    cosine,
    distances,
    does_not_fit,
    farthest_mean,
    gives,
    largest_product,
    names_of_rows,
    nearest_mean,
    nearest_median,
    nearest_picture,
    nearest_sum,
    number_means,
    one_class_less,
    one_label,
    other_distance,
    points,
    probe_accuracy,
    says_nothing,
    seven_classes,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="03.A",
        question="Which classifier is right on more test drawings?",
        options=("the probe", "the neighbours", "a tie"),
        figure="Table 1",
        where="Compare the two counts in the last line, of drawings that only one of them gets right.",
    ),
    Question(
        id="03.B",
        question="How many labels do raw pixels need to do as well as the embedding with 4 per class?",
        options=("as many", "twice as many", "four times as many", "even more"),
        figure="Figure 4",
        where="Start at the embedding's point for 4 pictures and go right at the same height. Does the "
        "line of the pixels reach it, and where?",
    ),
    Question(
        id="03.C",
        question="How many times as long as fifty probes do two networks from random weights take?",
        unit="times",
        within=3,
        figure="Table 2",
        where="Divide the last row by the row above it.",
    ),
)


EXERCISES = (
    Exercise(
        id="03.1",
        question="How many numbers does a linear probe on 320 features learn for 5 classes?",
        right=lambda a: close(a, N_FEATURES * N_CLASSES + N_CLASSES, absolute=0.5),
        praise="Not even two thousand, while the network keeps its millions as they are.",
        misconceptions=(
            wrong_number(
                "no bias",
                N_FEATURES * N_CLASSES,
                "Nearly. A linear layer also learns one number per class that is always added.",
                absolute=0.5,
            ),
            wrong_number(
                "one bias only",
                N_FEATURES * N_CLASSES + 1,
                "Each class has its own number that is added, not one for all.",
                absolute=0.5,
            ),
            wrong_number(
                "scaler too",
                7 * N_FEATURES + N_CLASSES,
                "That counts the scaler's mean and spread of each feature, too. Count what the "
                "probe learns.",
                absolute=0.5,
            ),
            Misconception(
                "embedding",
                lambda a: number(a) in (1280 * N_CLASSES + N_CLASSES, 1280 * 7 + 7),
                "That is a probe on the embedding. `stage7` gives 320 numbers per picture.",
                1280 * N_CLASSES + N_CLASSES,
            ),
            wrong_number(
                "seven classes",
                N_FEATURES * 7 + 7,
                "That is for the seven classes of the drawings. Here there are five.",
                absolute=0.5,
            ),
            wrong_number(
                "plus",
                N_FEATURES + N_CLASSES,
                "Each class has a weight of its own for each feature, so multiply.",
                absolute=0.5,
            ),
            wrong_number(
                "one class",
                N_FEATURES + 1,
                "That is enough for one class. How many classes are there?",
                absolute=0.5,
            ),
            Misconception(
                "the whole network",
                lambda a: number(a) > 1e6,
                "That counts the network too. It is frozen: only the probe learns.",
                3_379_975,
            ),
        ),
        hints=(
            "For one class: one weight per feature, and one number that is added.",
            "Do that for each of the 5 classes: `5 * (320 + 1)`.",
        ),
        otherwise="Count the weights of one class first, then all classes.",
        expects="a whole number",
    ),
    Exercise(
        id="03.2",
        question="How many megabytes do 10,000 embeddings of 1280 float32 numbers take?",
        right=lambda a: close(a, 51.2, rel=0.03),
        praise="Nearly small enough for one e-mail. The photographs take many times as much.",
        misconceptions=(
            Misconception(
                "bytes",
                lambda a: close(a, 51.2e6, rel=0.03),
                "That is right in bytes. A megabyte is a million bytes.",
                51_200_000,
            ),
            wrong_number(
                "one byte per number",
                12.8,
                "That would be one byte for each number. `float32` takes four.",
                rel=0.03,
            ),
            Misconception(
                "bits",
                lambda a: close(a, 51.2 * 8, rel=0.03),
                "You counted bits. The 32 of `float32` are bits, and a byte has 8 of them.",
                409.6,
            ),
            Misconception(
                "units of 1024",
                lambda a: close(a, 51.2e6 / 1024**2, rel=0.01),
                "That is right in units of 1024 x 1024 bytes. Here a megabyte is a million bytes.",
                48.8,
            ),
            wrong_number(
                "two bytes",
                25.6,
                "That would be two bytes for each number, as in `float16`. `float32` takes four.",
                rel=0.03,
            ),
            wrong_number(
                "eight bytes",
                102.4,
                "That would be eight bytes for each number, as in `float64`. `float32` takes four.",
                rel=0.03,
            ),
            wrong_number(
                "kilobytes",
                51_200,
                "That is right in thousands of bytes. A megabyte is a million bytes.",
                rel=0.03,
            ),
            wrong_number(
                "one picture", 0.00512, "That is one photograph. There are 10,000.", rel=0.03
            ),
            Misconception(
                "pixels",
                lambda a: close(a, 1505, rel=0.03) or close(a, 6021, rel=0.03),
                "Those are the pixels. Only the embedding goes into the file.",
                1505,
            ),
            wrong_number(
                "gigabytes",
                0.0512,
                "That is right in gigabytes. How many megabytes is that?",
                rel=0.03,
            ),
        ),
        hints=(
            "How many numbers does one photograph give? And all of them?",
            "`10_000 * 1280` numbers, times 4 bytes, divided by a million.",
        ),
        otherwise="Pictures, times numbers per picture, times bytes per number, in millions.",
        expects="a number of megabytes",
    ),
    Exercise(
        id="03.3",
        question="How accurate is a linear probe on stage5 of the ants and bees?",
        right=lambda a: close(a, probe_accuracy("stage5"), absolute=0.015),
        praise="Below the embedding: these photographs want the deep layers.",
        misconceptions=(
            Misconception(
                "embedding",
                lambda a: close(a, probe_accuracy("embedding"), absolute=0.01),
                "That is the embedding. Name the layer: `of('train', 'stage5')`.",
                lambda: probe_accuracy("embedding"),
            ),
            Misconception(
                "another layer",
                lambda a: any(close(a, probe_accuracy(n), absolute=0.003) for n in OTHER_LAYERS),
                "That is another layer's accuracy. The question is about `stage5`.",
                lambda: probe_accuracy("stage7"),
            ),
            Misconception(
                "training pictures",
                lambda a: close(a, probe_accuracy("stage5", "train"), absolute=0.002),
                "That is the accuracy on the pictures that it was trained with.",
                lambda: probe_accuracy("stage5", "train"),
            ),
            Misconception(
                "chosen on the counted pictures",
                lambda a: close(a, probe_accuracy("stage5", chosen_on_val=True), absolute=0.005),
                "You gave `tl.fit_probe` the `val` pictures, too, so it chose `C` on the pictures "
                "that you count. Give it only the `train` split.",
                lambda: probe_accuracy("stage5", chosen_on_val=True),
            ),
            Misconception(
                "wrong ones",
                lambda a: close(a, 1 - probe_accuracy("stage5"), absolute=0.015),
                "That is the share that is wrong. How large is the share that is right?",
                lambda: 1 - probe_accuracy("stage5"),
            ),
            Misconception(
                "a count",
                lambda a: 100 < number(a) <= 153,
                "That looks like a count of photographs. Divide it by their number.",
                132,
            ),
            Misconception(
                "random weights",
                lambda a: any(
                    close(a, probe_accuracy(layer, weights="random0"), absolute=0.003)
                    for layer in ("stage5", "embedding")
                ),
                'Those are random weights. Take `shipped["imagenet"]`.',
                lambda: probe_accuracy("stage5", weights="random0"),
            ),
            Misconception(
                "per cent",
                lambda a: 1 < number(a) <= 100,
                "Give it as a number from 0 to 1.",
                86.9,
            ),
        ),
        hints=(
            'Begin with `table = shipped["imagenet"]`.',
            "`tl.fit_probe(*table.of('train', 'stage5'))` trains the probe.",
            "`probe.logits(x).argmax(axis=1) == y` tells which are right; take the mean.",
        ),
        otherwise="Train on `of('train', 'stage5')`, count on `of('val', 'stage5')`.",
        expects="a number from 0 to 1",
    ),
    Exercise(
        id="03.4",
        question="Write a nearest class mean classifier.",
        right=lambda a: gives(a, nearest_mean(*points())),
        praise="Now try it on the drawings, with few labels per class.",
        misconceptions=(
            Misconception(
                "returns nothing",
                lambda a: called(a) is None,
                "Your function returns nothing. Does it end with `return`?",
                lambda: says_nothing,
            ),
            Misconception(
                "nearest picture",
                lambda a: gives(a, nearest_picture(*points())),
                "That is the class of the nearest single picture. Take the mean of a class first.",
                lambda: nearest_picture,
            ),
            Misconception(
                "farthest",
                lambda a: gives(a, farthest_mean(*points())),
                "That picks the mean that is farthest away. `argmin`, not `argmax`.",
                lambda: farthest_mean,
            ),
            Misconception(
                "number of classes",
                lambda a: gives(a, one_class_less(*points())) or gives(a, seven_classes(*points())),
                "How many classes are there? Count them from `y`: `y.max() + 1`.",
                lambda: seven_classes,
            ),
            Misconception(
                "one number for all features",
                lambda a: does_not_fit(a) or gives(a, number_means(*points())),
                "Has each mean as many numbers as a picture has features? `mean()` without `axis=0` "
                "gives one number for all features.",
                lambda: number_means,
            ),
            Misconception(
                "only the training features moved",
                lambda a: gives(a, centred(*points())),
                "You subtracted a mean from the training features, but not from the queries. Leave "
                "both as they are.",
                lambda: centred,
            ),
            Misconception(
                "sums",
                lambda a: gives(a, nearest_sum(*points())),
                "That compares with the sum of each class, which grows with its pictures. Take "
                "the mean.",
                lambda: nearest_sum,
            ),
            Misconception(
                "product",
                lambda a: gives(a, largest_product(*points())),
                "That takes the largest product of query and mean, which prefers long means. Take "
                "the smallest distance.",
                lambda: largest_product,
            ),
            Misconception(
                "median",
                lambda a: gives(a, nearest_median(*points())),
                "That takes the median of each class. Take the mean.",
                lambda: nearest_median,
            ),
            Misconception(
                "another distance",
                lambda a: gives(a, other_distance(*points())) or gives(a, cosine(*points())),
                "That is another distance. The Euclidean one is the root of the sum of the squared "
                "differences.",
                lambda: other_distance,
            ),
            Misconception(
                "a column",
                lambda a: np.asarray(called(a)).shape == (6, 1),
                "The labels stand in a table of one column, (M, 1). Return them in a row, (M,).",
                lambda: column,
            ),
            Misconception(
                "rows",
                lambda a: gives(a, names_of_rows(*points())),
                "Those are row numbers of the nearest training pictures, not classes.",
                lambda: names_of_rows,
            ),
            Misconception(
                "one label",
                lambda a: called(a) is not None and np.asarray(called(a)).size == 1,
                "Your function returns one value. It should return a label for each query.",
                lambda: one_label,
            ),
            Misconception(
                "distances",
                lambda a: np.asarray(called(a)).shape == (6, 3),
                "Those are the distances to all means. Which class is the nearest?",
                lambda: distances,
            ),
        ),
        hints=(
            "Two steps: the means of the classes, then the distances to them.",
            "`x[y == c].mean(axis=0)` is the mean of class `c`.",
            "`np.linalg.norm(queries[:, None] - means[None], axis=2)` gives all distances (M, classes).",
        ),
        otherwise="Try it on two classes of two points each, where you know the answer: which mean "
        "is nearest to each query?",
        expects="a function of x, y and queries that returns labels",
    ),
)
