"""Questions of notebook 07: where to freeze, the largest batch, time, a fault, bytes of learning."""

from tlcourse.course.exercise import (
    Exercise,
    Misconception,
    close,
    number,
    same_text,
    wrong_number,
)
from tlcourse.course.lessons.tries07 import (
    all_move,
    all_stored,
    freezes_all,
    freezes_head,
    freezes_nothing,
    gradients_only,
    head_only,
    learning_bytes,
    moves,
    numbers,
    same_as,
    says_nothing,
)
from tlcourse.course.question import Question

EXERCISES = (
    Exercise(
        id="07.1",
        question="Which is the shallowest layer to freeze up to, so that a step fits 160 MiB?",
        right=lambda a: same_text(a, "stage3"),
        praise="150 MiB, from 277. The first stages are small in parameters and large in maps.",
        misconceptions=(
            Misconception(
                "deeper than needed",
                lambda a: same_text(a, "stage4", "stage5", "stage6", "stage7", "embedding"),
                "It fits, but you freeze more than you must. Try the layer before it.",
                "stage5",
            ),
            Misconception(
                "the last that does not fit",
                lambda a: same_text(a, "stage2"),
                "182 MiB: that is the last one that does not fit.",
                "stage2",
            ),
            Misconception(
                "too shallow",
                lambda a: same_text(a, "stem", "stage1"),
                "That step takes well over 200 MiB. Go deeper.",
                "stem",
            ),
            Misconception(
                "the number of bytes",
                lambda a: number(a) > 0,
                "That is a number. Answer with the name of the last frozen layer.",
                150.4,
            ),
        ),
        hints=(
            "`backbone.layer_names` lists the layers from the picture to the answer.",
            'In MiB: `account(8, 128, "stem").bytes.total / 2**20`. Now the next layers.',
        ),
        otherwise="Count the bytes for one layer after the other, and stop at the first that fits.",
        expects="the name of a layer",
    ),
    Exercise(
        id="07.2",
        question="What is the largest batch of 224 x 224 pixels that fits the card?",
        right=lambda a: close(a, 165, absolute=0.1),
        praise="Too few? Freeze more, take smaller pictures, or learn from parts of a batch one "
        "after the other, as `tl.fit` does when memory runs out.",
        misconceptions=(
            Misconception(
                "rounded up",
                lambda a: 165.1 < number(a) < 166.1,
                "The division is right. But half a picture is none, and one more does not fit.",
                166,
            ),
            Misconception(
                "reserve forgotten",
                lambda a: 177 <= number(a) <= 178,
                "You used the whole card. 1 GiB was to be kept free.",
                177,
            ),
            Misconception(
                "small pictures",
                lambda a: 500 <= number(a) <= 545,
                "That is for 128 x 128 pixels. These are 224 x 224.",
                504,
            ),
            Misconception(
                "frozen",
                lambda a: 600 <= number(a) <= 1300,
                "That is with a frozen body. Here everything moves: `until` is `None`.",
                1069,
            ),
            Misconception(
                "power of two",
                lambda a: number(a) == 128,
                "It fits, and many people take powers of two. But it is not the largest one.",
                128,
            ),
        ),
        hints=(
            "`account(64, 224, None).bytes.total` counts a batch of 64. Try larger ones.",
            "Each picture adds the same. How much do 64 more pictures add?",
            "(<bytes that are free> - <bytes of 64>) / <bytes of one picture>, rounded down, plus 64.",
        ),
        otherwise="Find the bytes of one more picture, and how many of these fit. What does not depend "
        "on the batch is there once.",
        expects="a whole number of pictures",
    ),
    Exercise(
        id="07.3",
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
            Misconception(
                "one side of it",
                lambda a: any(close(a, n, rel=0.005) for n in (360, 10, 350)),
                "These are seconds. Divide those of the one way by those of the other.",
                360,
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
        id="07.4",
        question="Fix the function that trains only a head and saves no memory.",
        right=lambda a: moves(a) == (False, True),
        praise="Now the backward pass ends at the head: 0.04 MiB of activations instead of 199.",
        misconceptions=(
            Misconception(
                "nothing frozen",
                lambda a: moves(a) == (True, True),
                "The body may still move, so its activations are kept. `net.eval()`, or what the "
                "optimiser gets, does not change that: ask `p.requires_grad`.",
                lambda: freezes_nothing,
            ),
            Misconception(
                "the head frozen, too",
                lambda a: moves(a) == (False, False),
                "Now nothing can learn: the head is frozen, too.",
                lambda: freezes_all,
            ),
            Misconception(
                "the head instead",
                lambda a: moves(a) == (True, False),
                "You froze the head. It is the body that has to stand still.",
                lambda: freezes_head,
            ),
            Misconception(
                "called already",
                lambda a: hasattr(a, "param_groups"),
                "You gave an optimiser. Give the function itself, without brackets.",
                head_only,
            ),
        ),
        hints=(
            "Which tensors does the backward pass need if the body may move? Who forbids it?",
            "`net.requires_grad_(False)` freezes every parameter. Which ones must move again?",
        ),
        otherwise="The check calls your function with a small network that has a `classifier`, and "
        "asks which parameters may move.",
        expects="a function of net",
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
                "everything that is stored",
                same_as(all_stored),
                "`net.state_dict()` holds buffers and frozen parameters, too. Take "
                "`net.parameters()`.",
                lambda: all_stored,
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
        question="How many times as many bytes of activations does it keep?",
        unit="times",
        within=3,
        figure="Figure 1",
        where="In the bar of the frozen body the light blue part is too thin to be seen.",
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
        figure="Table 3",
        where="Compare the two rows in the column of the operations.",
    ),
)
