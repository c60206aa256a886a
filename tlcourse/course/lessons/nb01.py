"""Questions of notebook 01: find a layer, tensors that do not fit, neighbours, a transplant."""

from tlcourse.course.exercise import Exercise, Misconception, number, same_set, same_text
from tlcourse.course.lessons.tries01 import (
    Operation,
    copies,
    loads_into_the_whole,
    loads_long_names,
    makes_another,
    near,
    refused,
    shares_modules,
    shares_of,
    small_network,
    takes_two,
    two,
)
from tlcourse.course.question import Question

EXERCISES = (
    Exercise(
        id="01.1",
        question="Which layer gives 112 channels of 28 x 28 for a picture of 448 x 448 pixels?",
        right=lambda a: same_text(a, "stage5", "stage 5", "stage_5"),
        praise="Twice the side in, twice the side out. The number of channels is a matter of the "
        "weights, so it stays: the same filters move over more positions.",
        misconceptions=(
            Misconception(
                "the table as it is",
                lambda a: same_text(a, "stage3", "stage 3"),
                "The table has 28 x 28 there, but it is made for pictures of 224 x 224. And count the "
                "channels: the first number.",
                "stage3",
            ),
            Misconception(
                "right size, wrong channels",
                lambda a: same_text(a, "stage4", "stage 4"),
                "Its maps would have the right height and width. But count the channels: the first "
                "number.",
                "stage4",
            ),
            Misconception(
                "112 positions instead of channels",
                lambda a: same_text(a, "stem", "stage1", "stage 1"),
                "There 112 is the height and width. We look for 112 channels: the first number.",
                "stem",
            ),
            Misconception(
                "halved instead of doubled",
                lambda a: same_text(
                    a, "stage6", "stage7", "stage 6", "stage 7", "stage2", "stage 2"
                ),
                "If the picture has twice the side, do the maps become larger or smaller? And which "
                "row of the table has 112 channels?",
                "stage6",
            ),
            Misconception(
                "no maps",
                lambda a: same_text(a, "embedding", "logits"),
                "That layer gives a plain list of numbers, without height and width.",
                "embedding",
            ),
            Misconception(
                "module path",
                lambda a: same_text(a, "blocks.4"),
                "That is the right module by its path. Give the name of the layer, in the leftmost "
                "column.",
                "blocks.4",
            ),
            Misconception(
                "number only",
                lambda a: str(a).strip() == "5",
                "Give the whole name in quotes, as in the leftmost column of the table.",
                5,
            ),
        ),
        hints=(
            "The table `tl.layer_table(backbone)` is made for pictures of 224 x 224 pixels.",
            "A filter moves over the whole picture. Twice the side of the picture: twice the side "
            "of every map. The number of channels stays.",
            "So look for 112 channels of 14 x 14 in the column `output`. The channels come first.",
        ),
        otherwise="Look for the number of channels first, in the column `output` of the table.",
        expects="the name of a layer, such as `'stage1'`",
    ),
    Exercise(
        id="01.2",
        question="Which tensors of the trained network do not fit into one for grey pictures?",
        right=lambda a: same_set([a] if isinstance(a, str) else a, ["conv_stem.weight"]),
        praise="Only the first layer reads the colours. All the others do not know what came in.",
        misconceptions=(
            Misconception(
                "name in the file",
                lambda a: "_conv_stem.weight" in a,
                "That is its name in the file. What does `backbone.model.state_dict()` call it?",
                ["_conv_stem.weight"],
            ),
            Misconception(
                "the classifier",
                lambda a: (
                    len(list(a)) < 100
                    and any("classifier" in name for name in ([a] if isinstance(a, str) else a))
                ),
                "The classifier depends on the number of classes, and that is still 1000. What "
                "depends on the number of colours?",
                ["classifier.weight", "classifier.bias"],
            ),
            Misconception(
                "a whole layer",
                lambda a: "conv_stem" in a,
                "The right place. But name the tensor in it, as `state_dict()` does.",
                ["conv_stem"],
            ),
            Misconception(
                "all",
                lambda a: len(list(a)) > 100 and "conv_stem.weight" in a,
                "So many? Compare the *shapes*, not the values.",
                lambda: ["conv_stem.weight", *(f"blocks.{i}" for i in range(245))],
            ),
            Misconception(
                "those that fit",
                lambda a: len(list(a)) > 100 and "conv_stem.weight" not in a,
                "So many? Those seem to be the tensors that *do* fit. Turn the condition round.",
                lambda: [f"blocks.{i}" for i in range(245)],
            ),
            Misconception(
                "a bias that is not there",
                lambda a: "conv_stem.bias" in a,
                "The first convolution has no bias: BatchNorm after it has one. Let Python list the "
                "names.",
                ["conv_stem.weight", "conv_stem.bias"],
            ),
            Misconception(
                "the course's name",
                lambda a: same_set([a] if isinstance(a, str) else a, ["stem"]),
                "The right place: `stem` is what this course calls the layer. What is the tensor in "
                "it called in `state_dict()`?",
                ["stem"],
            ),
            Misconception(
                "with a prefix",
                lambda a: any(
                    name.endswith(".conv_stem.weight")
                    for name in ([a] if isinstance(a, str) else a)
                ),
                "The right tensor. Give its name as in `state_dict()`, without what stands before.",
                ["backbone.model.conv_stem.weight"],
            ),
            Misconception(
                "none",
                lambda a: len(list(a)) == 0,
                "One of them does not fit. Compare the shapes in the two dictionaries.",
                [],
            ),
            Misconception(
                "BatchNorm too",
                lambda a: len(list(a)) < 100 and any("bn" in name for name in a),
                "BatchNorm has one number per *output* channel of the layer before. Does that "
                "change with the colours of the picture?",
                ["conv_stem.weight", "bn1.weight"],
            ),
        ),
        hints=(
            "Make both networks and compare `state_dict()` name by name.",
            "Which layer touches the colours of the picture directly?",
            "A list comprehension helps: `[name for name, t in trained.items() if grey[name].shape "
            "!= t.shape]`.",
        ),
        otherwise="Compare `t.shape` of both networks for every name in `state_dict()`. A classifier of "
        "1000 classes is in both.",
        expects="a list of names of tensors",
    ),
    Exercise(
        id="01.3",
        question="On what share of the ants and bees is the nearest photograph of the same kind, by "
        "stage1 and by the embedding?",
        right=lambda a: near(a, *shares_of()),
        praise="By lines and colours, ants and bees are mixed almost as by chance. Deep in the network "
        "they lie apart, and nobody has trained anything on these labels.",
        misconceptions=(
            Misconception(
                "swapped",
                lambda a: near(a, *shares_of()[::-1]),
                "Both numbers are right. First comes stage1, then the embedding.",
                lambda: shares_of()[::-1],
            ),
            Misconception(
                "per cent",
                lambda a: near(a, *shares_of(), factor=100),
                "Right, in per cent. Give two numbers from 0 to 1.",
                lambda: [100 * share for share in shares_of()],
            ),
            Misconception(
                "counts",
                lambda a: near(a, *shares_of(), factor=397),
                "Those are how many. Divide by the number of photographs.",
                lambda: [397 * share for share in shares_of()],
            ),
            Misconception(
                "the other kind",
                lambda a: near(a, *(1 - share for share in shares_of())),
                "Those are the shares of neighbours of the *other* kind.",
                lambda: [1 - share for share in shares_of()],
            ),
            Misconception(
                "four neighbours",
                lambda a: near(a, *shares_of(n=4), within=0.004),
                "That is with four neighbours each. Take only the nearest: `n = 1`.",
                lambda: shares_of(n=4),
            ),
            Misconception(
                "one split",
                lambda a: any(
                    near(a, *shares_of(split=split), within=0.004) for split in ("train", "val")
                ),
                "That is one split only. Take all 397 photographs.",
                lambda: shares_of(split="val"),
            ),
            Misconception(
                "random weights",
                lambda a: near(a, *shares_of(weights="random0")),
                "Those are the features of random weights, as `shipped` of section 8 has them at its end. "
                "Load the features again: `tl.load_features('hymenoptera')`.",
                lambda: shares_of(weights="random0"),
            ),
            Misconception(
                "themselves",
                lambda a: min(two(a)) == max(two(a)) == 1,
                "Every photograph is nearest to itself. Leave it out, as `nearest` does.",
                (1.0, 1.0),
            ),
            Misconception(
                "one of the two",
                lambda a: (
                    [abs(x - y) < 0.01 for x, y in zip(two(a), shares_of(), strict=True)]
                    in ([True, False], [False, True])
                    and not near(a, *shares_of(weights="random0"), within=0.004)
                    and not any(
                        near(a, *options, within=0.004)
                        for options in (
                            shares_of(n=4),
                            shares_of(split="train"),
                            shares_of(split="val"),
                        )
                    )
                ),
                "One of your two numbers is right. Do the same for the other layer: only its name "
                "changes.",
                lambda: (shares_of()[0], 0.5),
            ),
            Misconception(
                "one number",
                lambda a: number(a) >= 0,
                "Two numbers are asked for: `(share at stage1, share at the embedding)`.",
                0.9,
            ),
        ),
        hints=(
            "`found, _ = nearest(shipped.x['stage1'], range(len(shipped.y)), 1)`: row i of `found` "
            "holds the number of the photograph nearest to photograph i.",
            "`shipped.y[found[:, 0]]` are the labels of these neighbours.",
            "`(shipped.y[found[:, 0]] == shipped.y).mean()` is the share at one layer. Do the same "
            "with `'embedding'`.",
        ),
        otherwise="Do it for one layer first: find the neighbours, compare their labels with `shipped.y`, "
        "take the mean.",
        expects="two numbers from 0 to 1, such as `(0.25, 0.75)`",
    ),
    Exercise(
        id="01.4",
        question="Which experiment shows that the network has learned something for a task?",
        right=lambda a: same_text(a, "b", "b)", "(b)"),
        praise="A number on held-back pictures, beside the same number for random weights.",
        misconceptions=(
            Misconception(
                "more maps",
                lambda a: same_text(a, "a"),
                "Would the maps of a network with random weights look bad? Look at Figure 8.",
                "a",
            ),
            Misconception(
                "deeper maps",
                lambda a: same_text(a, "c"),
                "They are harder to read, but they are still only pictures. What would a "
                "sceptical reader ask for?",
                "c",
            ),
            Misconception(
                "heat map",
                lambda a: same_text(a, "d"),
                "A heat map explains one answer. Does it say how often the answers are right?",
                "d",
            ),
        ),
        hints=(
            "Which of the four gives a number?",
            "Which of the four compares with a network that has learned nothing?",
        ),
        otherwise="Answer with one of the letters a, b, c, d, in quotes.",
        expects="one letter in quotes",
    ),
    Exercise(
        id="01.5",
        question="Write a function that copies the stem of one network into another.",
        right=lambda a: (did := Operation(a)).clean and not did.missing,
        praise="The stem of the receiver now computes what the donor's does, and the two stay apart. "
        "Any part can be transplanted like this.",
        misconceptions=(
            Misconception(
                "not yet a function",
                lambda a: hasattr(a, "state_dict"),
                "That is a network. Give the function, without brackets: `answer = transplant`.",
                lambda: small_network(0),
            ),
            Misconception(
                "other arguments",
                lambda a: callable(a) and not hasattr(a, "state_dict") and not takes_two(a),
                "The check calls your function with two networks: first the donor, then the receiver. "
                "Yours does not take two.",
                lambda: lambda donor: donor,
            ),
            Misconception(
                "the whole network loads a part",
                lambda a: "Missing key" in (said := refused(a)) and "EfficientNet" in said,
                "`load_state_dict` of the whole network wants all names. Use that of each module.",
                lambda: loads_into_the_whole,
            ),
            Misconception(
                "a module loads long names",
                lambda a: "Missing key" in (said := refused(a)) and "EfficientNet" not in said,
                "A module calls its tensors by shorter names, such as `weight`. Take the `state_dict()` "
                "of the same module of the donor.",
                lambda: loads_long_names,
            ),
            Misconception(
                "shared",
                lambda a: Operation(a).shared,
                "The two networks now share the same tensors: train one, and the other changes with "
                "it. Copy the *values*.",
                lambda: shares_modules,
            ),
            Misconception(
                "the wrong way",
                lambda a: (did := Operation(a)).donor_moved and not did.shared,
                "Your function changed the donor. Which of the two is to receive?",
                lambda: lambda donor, receiver: copies("conv_stem", "bn1")(receiver, donor),
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
                "without the convolution",
                lambda a: (did := Operation(a)).clean and did.missing == ["conv_stem.weight"],
                "BatchNorm is copied, the convolution before it is not.",
                lambda: copies("bn1"),
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
                "another network",
                lambda a: Operation(a).other,
                "Your function returns another network. Change `receiver` itself; nothing has to be "
                "returned.",
                lambda: makes_another,
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
        question="How many of the 296 tensors do not fit into the network for 10 classes?",
        unit="tensors",
        within=1.0,
        figure="Table 1",
        where="Compare the two numbers of each row: where do they differ?",
    ),
    Question(
        id="01.B",
        question="Are neighbours by stage 1 of the drawing's own kind more often than by chance?",
        options=("less often", "as often as by chance", "more often"),
        figure="Explorer 2",
        where="Put the map at stage 1: the bold line below it tells the share by all features of the "
        "layer, and the share by chance.",
    ),
    Question(
        id="01.C",
        question="At which layer is the probe on the trained network for the first time clearly better?",
        options=("stem", "stage2", "stage4", "stage6", "embedding", "none of them"),
        figure="Figure 9",
        where="Go from left to right, with the counts above: where is p below 0.05 for the first "
        "time?",
    ),
)
