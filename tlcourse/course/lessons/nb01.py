"""Questions of notebook 01: train a probe, a network for grey pictures, a faulty transplant."""

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.tries01 import (
    COLOURS,
    Operation,
    a_mean,
    added,
    colour_network,
    copies,
    fresh_stem,
    grey_network,
    is_network,
    mostly_random,
    predicted,
    shares_modules,
    stem_is,
)
from tlcourse.course.question import Question

EXERCISES = (
    Exercise(
        id="01.1",
        question="Train a probe that gets .92 of the validation ants and bees right.",
        right=lambda a: predicted(a) >= 0.92,
        praise="You trained, and you chose without the pictures that you were judged by. The deep "
        "layers of a trained network make the difference.",
        misconceptions=(
            Misconception(
                "the accuracy",
                lambda a: number(a) >= 0,
                "That is a number. Hand in the predicted classes, one for each photograph.",
                0.95,
            ),
            Misconception(
                "all photographs",
                lambda a: len(a) in (397, 244),
                "Not the photographs that were asked for. Take those with `shipped.split == 'val'`.",
                lambda: [0] * 397,
            ),
            Misconception(
                "classes exchanged",
                lambda a: predicted(a) <= 0.08,
                "Nearly all are wrong, so your two classes are exchanged.",
                lambda: 1 - mostly_random("embedding", "imagenet"),
            ),
            Misconception(
                "random weights",
                lambda a: 0.08 < predicted(a) < 0.7,
                "That is no more than random weights or a very shallow layer give. Take a deeper "
                "layer of the trained network.",
                lambda: mostly_random("embedding", "random0"),
            ),
            Misconception(
                "too shallow",
                lambda a: 0.7 <= predicted(a) < 0.92,
                "Better than random weights. Which layers did Figure 1 show to be best?",
                lambda: mostly_random("stage4", "imagenet"),
            ),
        ),
        hints=(
            "`train = shipped.split == 'train'`, and `shipped.x[layer][train]` are its features.",
            "`cross_val_score(LogisticRegression(max_iter=3000), x, y, cv=3).mean()` on the training "
            "split compares layers.",
            "`tl.fit_probe(x, y).logits(x_val).argmax(axis=1)` are predicted classes.",
        ),
        otherwise="Hand in an array of classes, 0 or 1, one for each validation photograph.",
        expects="an array of predicted classes",
    ),
    Exercise(
        id="01.2",
        question="Build the network for grey pictures that keeps what the colour network learned.",
        right=lambda a: stem_is(a, added),
        praise="For a grey picture it gives the same answer, without any training. What comes after "
        "the first layer does not know how many colours came in.",
        misconceptions=(
            Misconception(
                "a dictionary",
                lambda a: isinstance(a, dict),
                "That is a dictionary of tensors. Load it into the network for grey pictures, and "
                "hand in the network.",
                lambda: dict(fresh_stem().state_dict()),
            ),
            Misconception(
                "three channels",
                lambda a: is_network(a) and a.conv_stem.weight.shape[1] == 3,
                "This network still reads three channels. Make one with `in_chans=1`.",
                colour_network,
            ),
            Misconception(
                "the mean",
                lambda a: stem_is(a, a_mean),
                "The mean gives a third of what the colour network computes. The three results are "
                "added there.",
                lambda: grey_network(a_mean),
            ),
            Misconception(
                "one colour",
                lambda a: any(stem_is(a, colour) for colour in COLOURS),
                "Those are the weights of one colour only. What happens to the other two?",
                lambda: grey_network(COLOURS[0]),
            ),
            Misconception(
                "a random first layer",
                lambda a: (
                    is_network(a)
                    and a.conv_stem.weight.shape[1] == 1
                    and not any(stem_is(a, change) for change in (added, a_mean, *COLOURS))
                ),
                "Something in this network is still random, or was changed. Only the first layer "
                "needs new weights, and they come from the trained ones.",
                fresh_stem,
            ),
        ),
        hints=(
            "Only `conv_stem.weight` does not fit: (32, 3, 3, 3) against (32, 1, 3, 3).",
            "A filter adds up what its three colours give. In a grey picture all three see the same "
            "values.",
            "`weight.sum(dim=1, keepdim=True)` has the shape that fits. Then `load_state_dict`.",
        ),
        otherwise="Make the network with `in_chans=1`, and load all tensors that fit.",
        expects="a network",
    ),
    Exercise(
        id="01.3",
        question="What is wrong with this transplant of a stem? Fix it.",
        right=lambda a: (did := Operation(a)).clean and not did.missing,
        praise="The stem of the receiver computes what the donor's does, and no tensor is shared. "
        "Any part can be carried away like this.",
        misconceptions=(
            Misconception(
                "shared",
                lambda a: Operation(a).shared,
                "The two networks still share the same tensors: train one, and the other changes with "
                "it. Copy the *values*.",
                lambda: shares_modules,
            ),
            Misconception(
                "everything",
                lambda a: (did := Operation(a)).beyond and not did.missing,
                "More than the stem has changed. Copy `conv_stem` and `bn1` only.",
                lambda: copies(""),
            ),
            Misconception(
                "without BatchNorm",
                lambda a: (did := Operation(a)).clean and did.taken == ["conv_stem.weight"],
                "The convolution is copied. But the stem has a second module.",
                lambda: copies("conv_stem"),
            ),
            Misconception(
                "without the averages",
                lambda a: (
                    (did := Operation(a)).clean
                    and did.missing == ["bn1.running_mean", "bn1.running_var"]
                ),
                "Two tensors of BatchNorm are missing. `parameters()` does not list what was collected "
                "as an average; `state_dict()` does.",
                lambda: copies("conv_stem", "bn1", only=("weight", "bias")),
            ),
            Misconception(
                "nothing happened",
                lambda a: (did := Operation(a)).clean and not did.taken,
                "The receiver is as before. `load_state_dict()` and `copy_()` change a network; "
                "`state_dict()` alone only reads it.",
                lambda: lambda donor, receiver: donor.state_dict(),
            ),
        ),
        hints=(
            "Begin with `def transplant(donor, receiver):`. Each module, such as `donor.conv_stem`, has "
            "a `state_dict()` of its own.",
            "The same module of the receiver has `load_state_dict(...)`. It copies values.",
            "`receiver.conv_stem.load_state_dict(donor.conv_stem.state_dict())` is the first half. "
            "Then the same for `bn1`. End with `answer = transplant`.",
        ),
        otherwise="Try it on two fresh networks, and compare their `state_dict()` name by name.",
        expects="a function of two networks, `transplant(donor, receiver)`",
    ),
)

QUESTIONS = (
    Question(
        id="01.A",
        question="At which layer is the probe on the trained network for the first time clearly better?",
        options=(
            "stem",
            *(f"stage{n}" for n in range(1, 8)),
            "embedding",
        ),
        figure="Figure 1",
        where="Go from left to right: where do the two curves part?",
    ),
    Question(
        id="01.B",
        question="On how many of 100 photographs is the nearest neighbour by the embedding of the same "
        "class?",
        unit="photographs",
        within=1.1,
        figure="Explorer 2",
        where="Put the map at the embedding: the bold line below it tells the share.",
    ),
    Question(
        id="01.C",
        question="How many of the 296 tensors do not fit into the network for 10 classes?",
        unit="tensors",
        within=1.0,
        figure="Table 1",
        where="Compare the two numbers of each row: where do they differ?",
    ),
)
