"""Exercises of notebook 01: find a layer, tensors that do not fit, silent channels, evidence."""

from functools import cache

from tlcourse._exercise import Exercise, Misconception, close, number, same_set, same_text


@cache
def _silent() -> int:
    """Channels of the embedding of the cat that are exactly zero."""
    from tlcourse.backbones import load_backbone
    from tlcourse.tap import activations
    from tlcourse.tasks import photographs

    cat = photographs("chelsea")["chelsea"]
    embedding = activations(load_backbone(device="cpu"), cat, "embedding")["embedding"]
    return int((embedding == 0).sum())


EXERCISES = (
    Exercise(
        id="01.1",
        question="Which layer gives 112 channels of 14 x 14 positions?",
        right=lambda a: same_text(a, "stage5", "stage 5"),
        praise="Its maps are 16 times smaller than the picture in each direction.",
        misconceptions=(
            Misconception(
                "right size, wrong channels",
                lambda a: same_text(a, "stage4"),
                "Its maps have 14 x 14 positions, but count the channels: the first number.",
                "stage4",
            ),
            Misconception(
                "112 positions instead of channels",
                lambda a: same_text(a, "stem", "stage1"),
                "There 112 is the height and width. We look for 112 channels: the first number.",
                "stem",
            ),
            Misconception(
                "module path",
                lambda a: same_text(a, "blocks.4"),
                "That is the right module by its path. Give the name of the layer, in the leftmost column.",
                "blocks.4",
            ),
        ),
        hints=(
            "Look at the table at the top: `tl.layer_table(backbone)`.",
            "In the column `output` the channels come first: (112, 14, 14).",
        ),
        otherwise="Go through the column `output` of the table and find (112, 14, 14).",
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
                lambda a: any("classifier" in name for name in ([a] if isinstance(a, str) else a)),
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
                lambda a: len(list(a)) > 100,
                "So many? Compare the *shapes*, not the values.",
                lambda: [f"blocks.{i}" for i in range(245)],
            ),
            Misconception(
                "none",
                lambda a: len(list(a)) == 0,
                "One of them does not fit. Compare the shapes in the two dictionaries.",
                [],
            ),
            Misconception(
                "BatchNorm too",
                lambda a: any("bn" in name for name in a),
                "BatchNorm has one number per *output* channel of the layer before. Does that "
                "change with the colours of the picture?",
                ["conv_stem.weight", "bn1.weight"],
            ),
        ),
        hints=(
            "Make both networks and compare `state_dict()` name by name.",
            "A list comprehension helps: `[name for name, t in ... if ... != ...]`.",
            "Which layer touches the colours of the picture directly?",
        ),
        otherwise="Compare `t.shape` of both networks for every name in `state_dict()`.",
        expects="a list of names of tensors",
    ),
    Exercise(
        id="01.3",
        question="How many of the 1280 numbers of the cat's embedding are exactly zero?",
        right=lambda a: close(a, _silent(), absolute=3),
        praise="For these channels the answer was no, at every position of the picture.",
        misconceptions=(
            Misconception(
                "the others",
                lambda a: close(a, 1280 - _silent(), absolute=3),
                "Those are the numbers that are *not* zero.",
                lambda: 1280 - _silent(),
            ),
            Misconception(
                "a share",
                lambda a: 0 < number(a) < 1,
                "That is a share. The question asks how many.",
                0.3,
            ),
            Misconception(
                "all",
                lambda a: number(a) == 1280,
                "1280 is how many there are in all. How many of them are zero?",
                1280,
            ),
        ),
        hints=(
            "`tl.activations(backbone, cat, 'embedding')` gives a dictionary.",
            "`(tensor == 0)` is a tensor of True and False.",
            "`.sum()` counts the True ones; `int(...)` makes a plain number of it.",
        ),
        otherwise="Take the embedding of `cat`, compare it with 0, and count.",
        expects="a whole number",
    ),
    Exercise(
        id="01.4",
        question="Which experiment shows that the network has learned something for a task?",
        right=lambda a: same_text(a, "b"),
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
)
