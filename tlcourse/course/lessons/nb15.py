"""Notebook 15: a file that runs without the course, fewer bits, a card, and a page that serves."""

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.answers import Trained
from tlcourse.course.lessons.tries15 import (
    LEAST,
    MOST,
    SHORT,
    File,
    Saved,
    card_of,
    channels_last,
    cut_off,
    each_input,
    levels,
    no_batch,
    not_cropped,
    not_normalised,
    one_scale,
    prepared,
    right_of,
    rounded,
    size_of,
    to_255,
    weight,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="15.A",
        question="With its weights in 8 bits, how many of 1,000 answers change?",
        options=("none", "about 20", "about 100", "about 300"),
        figure="Figure 1",
        where="Look at the point of .pt2 with 8 bits, and how far it lies below 1.",
    ),
    Question(
        id="15.B",
        question="In which format do 8 bits make an answer faster?",
        options=("both", "only .pt2", "only .onnx", "neither"),
        figure="Figure 2",
        where="Compare the bar of int8 with that of float32 in each format.",
    ),
)


EXERCISES = (
    Exercise(
        id="15.1",
        question="Export a file of at most 500 kB that is right on .84 of the test clothes.",
        right=lambda a: right_of(a) >= LEAST and size_of(a) <= MOST,
        praise="A smaller network, fewer bits, and more labels to make up for both.",
        misconceptions=(
            Misconception(
                "too large",
                lambda a: right_of(a) >= LEAST and size_of(a) > MOST,
                "It is right often enough, but has too many bytes. Fewer bits are one way. A "
                "smaller network, or an earlier layer, is another one.",
                lambda: File(1_220_000, 0.846),
            ),
            Misconception(
                "wrong too often",
                lambda a: right_of(a) < LEAST and size_of(a) <= MOST,
                "Small enough, but it is wrong too often. Did you take all training pictures? And "
                "at which layer do you read the network?",
                lambda: File(400_000, 0.826),
            ),
            Misconception(
                "neither",
                lambda a: right_of(a) < LEAST and size_of(a) > MOST,
                "It is too large and wrong too often. Begin with another layer and more labels, in "
                "float32.",
                lambda: File(3_000_000, 0.8),
            ),
            Misconception(
                "the bytes",
                lambda a: number(a) >= 0,
                "That is one number. Hand in what `tl.export` returns.",
                450_000,
            ),
        ),
        hints=(
            "SqueezeNet is smaller than Lite0. Notebook 12 says at which layer it reads clothes well.",
            "All 1,600 training pictures of `fashion`, then `tl.export` with fewer bits.",
            'SqueezeNet at `stage5`, `precision="int8"`.',
        ),
        otherwise="Hand in what `tl.export` returns, for a result on `fashion`.",
        expects="what `tl.export` returns",
    ),
    Exercise(
        id="15.2",
        question="Write the function that rounds a weight to 8 bits, with a scale for each channel.",
        right=lambda a: rounded(a) == "right",
        praise="The smallest channel is now as exact, for its size, as the largest.",
        misconceptions=(
            Misconception(
                "one scale",
                lambda a: rounded(a) == "one scale",
                "That is one scale for the whole weight: the channels with small weights become "
                "zeros. Take the largest weight of each output channel.",
                lambda: one_scale,
            ),
            Misconception(
                "cut off",
                lambda a: rounded(a) == "cut off",
                "You cut the decimals off, as a conversion to int8 does. Call `.round()` first: the "
                "error halves.",
                lambda: cut_off,
            ),
            Misconception(
                "levels",
                lambda a: rounded(a) == "levels",
                "These are the whole numbers. Multiply them by their scales again.",
                lambda: levels,
            ),
            Misconception(
                "inputs",
                lambda a: rounded(a) == "inputs",
                "That is a scale for each input channel. The output channels are axis 0, so the "
                "largest weight is taken over axes 1, 2 and 3.",
                lambda: each_input,
            ),
            Misconception(
                "called already",
                lambda a: hasattr(a, "shape"),
                "Give the function itself, without calling it: `answer = eight_bits`.",
                lambda: one_scale(weight()),
            ),
        ),
        hints=(
            "The five lines of section 2 do it with one scale. What has one value for each channel?",
            "`weight.abs().amax(dim=(1, 2, 3), keepdim=True)` has the shape (out, 1, 1, 1).",
        ),
        otherwise="The check calls your function with a weight of shape (6, 4, 3, 3).",
        expects="a function of a tensor",
    ),
    Exercise(
        id="15.3",
        question="Prepare a picture with what the file says, without the course.",
        right=lambda a: prepared(a) == "right",
        praise="Now the file runs anywhere: the preprocessing is the half that people forget.",
        misconceptions=(
            Misconception(
                "not normalised",
                lambda a: prepared(a) == "not normalised",
                "Values from 0 to 1 are not yet what goes in: subtract `mean`, divide by `std`.",
                lambda: not_normalised,
            ),
            Misconception(
                "to 255",
                lambda a: prepared(a) == "to 255",
                "A white pixel is 255 here. `mean` and `std` are for values up to `scale`, which is 1.",
                lambda: to_255,
            ),
            Misconception(
                "not cropped",
                lambda a: prepared(a) == "not cropped",
                "The shorter side becomes `resize_size`, 110 pixels. Then the square of `crop_size` "
                "pixels in the middle is cut out.",
                lambda: not_cropped,
            ),
            Misconception(
                "channels last",
                lambda a: prepared(a) == "channels last",
                "The channels come before height and width: `transpose(2, 0, 1)`.",
                lambda: channels_last,
            ),
            Misconception(
                "no batch",
                lambda a: prepared(a) == "no batch",
                "That is one picture. The file takes several: add an axis with `[None]`.",
                lambda: no_batch,
            ),
        ),
        hints=(
            "In this order: RGB, resize the shorter side, cut the middle, divide by 255, normalise.",
            "`picture.resize((width, height), Image.Resampling.BICUBIC)` and `picture.crop(...)`.",
            "`np.asarray(picture)` has the shape (H, W, 3). The file wants (N, 3, H, W).",
        ),
        otherwise="The check calls your function with a picture of 240 x 150 pixels.",
        expects="a function of a PIL picture",
    ),
    Exercise(
        id="15.4",
        question="Save a network for photographs with a card that says its purpose and its groups.",
        right=lambda a: (
            card_of(a).task == "things"
            and len(card_of(a).purpose) >= SHORT
            and card_of(a).groups >= 2
        ),
        praise="Whoever gets this folder knows for what it was made, and where it is weaker.",
        misconceptions=(
            Misconception(
                "no purpose",
                lambda a: card_of(a).task == "things" and len(card_of(a).purpose) < SHORT,
                "The card does not say what the network is for, or only in a word. Pass a sentence "
                "as `purpose=`.",
                lambda: Saved(purpose="photos"),
            ),
            Misconception(
                "no groups",
                lambda a: (
                    card_of(a).task == "things"
                    and len(card_of(a).purpose) >= SHORT
                    and card_of(a).groups < 2
                ),
                "The card has no groups. Pass a name for each test picture as `groups=`.",
                lambda: Saved(groups=0),
            ),
            Misconception(
                "another task",
                lambda a: card_of(a).task != "things",
                "This card is about other pictures. Train on `things`.",
                lambda: Saved(task="fashion"),
            ),
            Misconception(
                "the result",
                lambda a: hasattr(a, "test_accuracy"),
                "Save the result, and hand in the folder: `answer = result.save(...)`.",
                lambda: Trained("standalone_extractor", 0.9, "things"),
            ),
        ),
        hints=(
            "`tl.patterns.standalone_extractor(backbone, things)` takes a few seconds.",
            "A group of a photograph: whether it is wider than high. `picture.size` says it.",
            '`result.save("my_models/things", purpose="...", groups=[...])` returns the folder.',
        ),
        otherwise="Hand in the folder that `result.save` wrote.",
        expects="a folder, as `result.save` returns it",
    ),
)
