"""Questions of notebook 11: few parameters, a merged product, memory, what an adapter holds."""

from tlcourse.course.exercise import Exercise, Misconception, number, wrong_number
from tlcourse.course.lessons.answers import Trained, scored
from tlcourse.course.lessons.tries11 import (
    LEAST_RIGHT,
    LORA,
    MOST_PARAMETERS,
    ROOM,
    a_network,
    all_of_it,
    changed,
    changes_of_parameters,
    changes_silently,
    fits,
    merge_in_place,
    merge_silently,
    merge_without_scale,
    merge_without_shape,
    merge_without_weight,
    merged,
    names_only,
    values_from_before,
    what_stayed,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="11.A",
        question="How much of the gain does LoRA at rank 4 bring, with 3 % of the parameters?",
        options=("a quarter", "half", "three quarters", "all"),
        figure="Figure 1",
        where="Look for the mean of LoRA at rank 4.",
    ),
    Question(
        id="11.B",
        question="Which owner takes most of the memory of a training step with LoRA?",
        options=("parameters", "gradients", "optimiser state", "activations"),
        figure="Figure 2",
        where="Look for the longest part of the bar of LoRA.",
    ),
)

EXERCISES = (
    Exercise(
        id="11.1",
        question="Train with at most 40,000 moving parameters and read 93 % of the test digits.",
        right=lambda a: scored(a) >= LEAST_RIGHT and 0 < a.trainable_parameters <= MOST_PARAMETERS,
        praise="A hundredth of the parameters is enough for that, the head included.",
        misconceptions=(
            Misconception(
                "too many",
                lambda a: scored(a) >= LEAST_RIGHT and a.trainable_parameters > MOST_PARAMETERS,
                "Enough digits, too many parameters. `answer.trainable_parameters` counts them.",
                lambda: Trained("fine_tune", 0.95, trainable_parameters=104_182),
            ),
            Misconception(
                "a probe",
                lambda a: scored(a) < LEAST_RIGHT and a.pattern != "fine_tune",
                "Here the body must move a little. Which rows of Figure 1 have so few parameters?",
                lambda: Trained("standalone_extractor", 0.91, trainable_parameters=12_810),
            ),
            Misconception(
                "too few digits",
                lambda a: scored(a) < LEAST_RIGHT and a.pattern == "fine_tune",
                "Not enough digits. Let another small part move, for six epochs, at the helper's own "
                "rate.",
                lambda: Trained("fine_tune", 0.92, trainable_parameters=35_000),
            ),
            Misconception(
                "a number",
                lambda a: number(a) > 0,
                "That is a number. Give the whole result: `answer = result`.",
                0.95,
            ),
        ),
        hints=(
            "Which rows of Figure 1 lie left of 40,000 parameters, and which of them is higher?",
            '`tl.patterns.fine_tune(backbone, task, move="...")`, with one of two words.',
        ),
        otherwise="It should be a result of `tl.patterns` for `task`, with at least 93 % of the test "
        "digits right and at most 40,000 parameters that moved.",
        expects="the result of a training",
    ),
    Exercise(
        id="11.2",
        question="Find the faults of a function that merges LoRA into a weight.",
        right=lambda a: merged(a) == "right",
        praise="Shape and scale, and the weight that you were given is as it was.",
        misconceptions=(
            Misconception(
                "no scale",
                lambda a: merged(a) == "no scale",
                "The shape is right. But which argument does your function never use?",
                lambda: merge_without_scale,
            ),
            Misconception(
                "the shape",
                lambda a: merged(a) == "shape",
                "The product is a matrix of (outputs, inputs x 3 x 3), and the weight has four axes.",
                lambda: merge_without_shape,
            ),
            Misconception(
                "in place",
                lambda a: merged(a) == "changed",
                "The weight that you were given has changed. Return a new one: another task needs it.",
                lambda: merge_in_place,
            ),
            Misconception(
                "no weight",
                lambda a: merged(a) == "no weight",
                "That is what was learned, alone. Where is the pre-trained weight?",
                lambda: merge_without_weight,
            ),
            Misconception(
                "returns nothing",
                lambda a: merged(a) == "nothing",
                "Your function returned nothing. Write `return` before the sum.",
                lambda: merge_silently,
            ),
        ),
        hints=(
            "Try it with a weight of shape (6, 4, 3, 3) and with `scale` 0.5.",
            "`.view_as(weight)` gives the product the weight's axes. `+=` changes its argument.",
        ),
        otherwise="It should return the weight plus scale times the product of up and down.",
        expects="a function of weight, up, down and scale that returns a weight",
    ),
    Exercise(
        id="11.3",
        question="Choose what moves so that a step with LoRA needs at most 150 MiB.",
        right=lambda a: fits(a) == "right",
        praise="The frozen part in front keeps no activations. That is what saves memory.",
        misconceptions=(
            Misconception(
                "too much",
                lambda a: fits(a) == "too much",
                f"That step needs more than {ROOM} MiB. A smaller rank saves next to nothing. What "
                "do the activations depend on?",
                lambda: a_network("lora"),
            ),
            Misconception(
                "the head alone",
                lambda a: fits(a) == "head only",
                "Only the head moves in it. Freeze less of the body.",
                lambda: a_network("head only"),
            ),
            Misconception(
                "another way",
                lambda a: fits(a) == "no lora",
                "It should have LoRA in what is not frozen.",
                lambda: a_network("norms"),
            ),
        ),
        hints=(
            "Which row of Figure 2 is the shortest? Nothing before its moving layers is kept.",
            "First `tl.finetune.freeze(network, layer)`, then `tl.finetune.add_lora(network)`.",
        ),
        otherwise=f"It should be a tl.Network at 96 pixels with LoRA whose step needs {ROOM} MiB.",
        expects="a network, as tl.finetune.add_lora returns it",
    ),
    Exercise(
        id="11.4",
        question="How many parameters does LoRA at rank 4 add to a 1x1 convolution from 112 to 672?",
        right=lambda a: number(a) == LORA,
        praise="3,136 for a weight of 75,264: a twenty-fourth.",
        misconceptions=(
            wrong_number("the weight", 112 * 672, "That is the weight itself. It stays."),
            wrong_number(
                "one matrix", 4 * 672, "One of the two matrices. The other one has 112 inputs."
            ),
            wrong_number(
                "the other matrix", 4 * 112, "One of the two matrices. The other has 672 outputs."
            ),
            wrong_number("rank 1", 112 + 672, "That is rank 1."),
        ),
        hints=("A is (4, 112) and B is (672, 4).", "Add their sizes."),
        otherwise="Two matrices: (rank, inputs) and (outputs, rank).",
        expects="a number",
    ),
    Exercise(
        id="11.5",
        question="Write a function that finds what must be in an adapter's file.",
        right=lambda a: changed(a) == "right",
        praise="With that you can save an adapter of any kind, also one that somebody else trained.",
        misconceptions=(
            Misconception(
                "no statistics",
                lambda a: changed(a) == "no statistics",
                "BatchNorm's stored mean changed, too. It is in `net.state_dict()`, but is no "
                "parameter.",
                lambda: changes_of_parameters,
            ),
            Misconception(
                "everything",
                lambda a: changed(a) == "everything",
                "That is the whole network. Leave out what is as it was.",
                lambda: all_of_it,
            ),
            Misconception(
                "the others",
                lambda a: changed(a) == "the others",
                "Those are the tensors that stayed.",
                lambda: what_stayed,
            ),
            Misconception(
                "old values",
                lambda a: changed(a) == "old values",
                "The right names, with the values from before. The file needs the new ones.",
                lambda: values_from_before,
            ),
            Misconception(
                "no dictionary",
                lambda a: changed(a) == "no dictionary",
                "The right idea. Return a dictionary: name to tensor.",
                lambda: names_only,
            ),
            Misconception(
                "returns nothing",
                lambda a: changed(a) == "nothing",
                "Your function returned nothing. Write `return` before the dictionary.",
                lambda: changes_silently,
            ),
        ),
        hints=(
            "Walk through `net.state_dict().items()` and compare with `before[name]`.",
            "`torch.equal` compares exactly. A small change counts.",
        ),
        otherwise="Return a dictionary of those tensors of `net.state_dict()` that are not exactly "
        "what they were.",
        expects="a function of net and before that returns a dictionary",
    ),
)
