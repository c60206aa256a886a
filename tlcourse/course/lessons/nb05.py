"""Questions of notebook 05: few labels, forgetting, parameter groups, weights as a start."""

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.answers import Trained, scored
from tlcourse.course.lessons.tries05 import (
    DIGITS,
    PHOTOGRAPHS,
    all_twice_and_swapped,
    body_only_of_a_name,
    looked_at,
    reached,
    says_nothing,
    start_at_once,
    start_copied,
    start_nothing,
    start_other,
    start_parameters,
    start_shapes,
    start_silently,
    started,
    swapped,
    with_header,
    wrong_rates,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="05.A",
        question="With five pictures of each digit, which training is right most often?",
        options=("linear probe", "frozen body", "fine-tuning", "from scratch"),
        figure="Figure 1",
        where="Look for the highest point above 5.",
    ),
    Question(
        id="05.B",
        question="How good is the network that may move everything at a rate of 0.01?",
        options=("the best of all", "worse, but better than chance", "chance"),
        figure="Figure 2",
        where="Look at the last column; one digit in ten is chance.",
    ),
    Question(
        id="05.C",
        question="How many photographs does the old head still name right after the rate 0.001?",
        options=("nearly all", "two thirds", "a third", "none"),
        figure="Figure 3",
        where="Follow the line of the photographs to the rate 0.001.",
    ),
)


EXERCISES = (
    Exercise(
        id="05.1",
        question="Train something that reads at least 95 % of the test digits from ten of each.",
        right=lambda a: scored(a) >= 0.95,
        praise="Ten of each are enough. A head on maps still sees where each stroke lies.",
        misconceptions=(
            Misconception(
                "fine-tuned",
                lambda a: scored(a) < 0.95 and a.pattern == "fine_tune",
                "That is not enough. Which line of Figure 1 is higher with 10 labels?",
                lambda: Trained("fine_tune", 0.93),
            ),
            Misconception(
                "a probe",
                lambda a: scored(a) < 0.95 and a.pattern == "standalone_extractor",
                "A stored vector has lost where the strokes lie. Keep the maps.",
                lambda: Trained("standalone_extractor", 0.90),
            ),
            Misconception(
                "a linear head, or too short",
                lambda a: scored(a) < 0.95 and a.pattern == "frozen_extractor",
                "The right pattern. Take the head on maps, which is its default, all 20 epochs, and "
                "no random views.",
                lambda: Trained("frozen_extractor", 0.88),
            ),
            Misconception(
                "from scratch",
                lambda a: scored(a) < 0.95 and a.pattern == "from_scratch",
                "From scratch 100 pictures are far too few. Reuse the body.",
                lambda: Trained("from_scratch", 0.63),
            ),
            Misconception(
                "validation pictures only",
                lambda a: a.task == "digits" and scored(a) != scored(a),
                "There are no test digits in it. Use `task`, not `small`.",
                lambda: Trained("frozen_extractor", float("nan")),
            ),
            Misconception(
                "a number",
                lambda a: number(a) > 0,
                "That is a number. Give the whole result: `answer = result`.",
                0.97,
            ),
        ),
        hints=(
            "Which line of Figure 1 lies above .95 with 10 labels?",
            "`tl.patterns.frozen_extractor(backbone, task, ...)`. Do upright digits need random views?",
        ),
        otherwise="It should be a result of `tl.patterns` for `task`, with at least 95 % of the test "
        "digits right.",
        expects="the result of a training",
    ),
    Exercise(
        id="05.2",
        question="Fine-tune so that the digits are read and the photographs are not forgotten.",
        right=lambda a: reached(a) == "right",
        praise="Both at once. What stays frozen cannot forget, and small steps forget little.",
        misconceptions=(
            Misconception(
                "forgot",
                lambda a: reached(a) == "forgot",
                "The digits are fine. But the old head has lost its features: take a smaller rate.",
                (0.93, 0.66),
            ),
            Misconception(
                "not learned",
                lambda a: reached(a) == "not learned",
                "It has forgotten little, but learned too little. At so small a rate it needs more "
                "epochs.",
                (0.87, 1.0),
            ),
            Misconception(
                "neither",
                lambda a: reached(a) == "neither",
                "Neither of the two. The rate is too high.",
                (0.10, 0.29),
            ),
            Misconception(
                "one number",
                lambda a: 0 <= number(a) <= 1,
                "Two numbers, please: `answer = (result.val_accuracy, photographs_right(result))`.",
                0.92,
            ),
            Misconception(
                "counts",
                lambda a: all(number(part) > 1 for part in a),
                "Give both as numbers from 0 to 1.",
                (92, 93),
            ),
        ),
        hints=(
            "Figure 3 has four epochs. Which rate forgets nothing, and what would help it to learn?",
            "Try a rate between 0.0001 and 0.001, and twice the epochs, in batches of 10.",
        ),
        otherwise=f"At least {DIGITS} of the digits and at least {PHOTOGRAPHS} of the photographs, in "
        "this order.",
        expects="a tuple of two numbers from 0 to 1",
    ),
    Exercise(
        id="05.3",
        question="Find and fix both faults of the parameter groups.",
        right=lambda a: looked_at(a) == "right",
        praise="Each parameter is in exactly one group, and `header` is part of the body.",
        misconceptions=(
            Misconception(
                "the header",
                lambda a: looked_at(a) == "header",
                '`header.weight` begins with "head", too, so it still learns at the head\'s rate.',
                lambda: with_header,
            ),
            Misconception(
                "header left out",
                lambda a: looked_at(a) == "missing",
                "Some parameters are in no group and never learn. Everything that is not the head "
                "belongs into the second one.",
                lambda: body_only_of_a_name,
            ),
            Misconception(
                "twice",
                lambda a: looked_at(a) == "twice",
                "Some parameters are still in both groups. Leave the head out of the second one.",
                lambda: all_twice_and_swapped,
            ),
            Misconception(
                "order",
                lambda a: looked_at(a) == "order",
                "The right groups in the wrong order: first the head.",
                lambda: swapped,
            ),
            Misconception(
                "rates",
                lambda a: looked_at(a) in ("rates", "same rate"),
                "The right groups. But the head gets `rate`, and the others a tenth of it.",
                lambda: wrong_rates,
            ),
            Misconception(
                "returns nothing",
                lambda a: looked_at(a) == "nothing",
                "Your function returned nothing. Write `return` before the list.",
                lambda: says_nothing,
            ),
        ),
        hints=(
            'Which parameters stand in both groups? Which names begin with "head"?',
            '`name.startswith("head.")`, with the dot. The second group takes the names that do not.',
        ),
        otherwise="The check calls your function with a small network that has a `body`, a `header` "
        "and a `head`.",
        expects="a function of net and rate that returns a list of two dictionaries",
    ),
    Exercise(
        id="05.4",
        question="Write a function that starts a network from those weights that fit.",
        right=lambda a: started(a) == "right",
        praise="So weights can be given to a network that is not quite the same, and you know which "
        "tensors still start from random numbers.",
        misconceptions=(
            Misconception(
                "copied, but returns nothing",
                lambda a: started(a) == "nothing",
                "The right tensors were copied. But your function returns nothing.",
                lambda: start_silently,
            ),
            Misconception(
                "another shape",
                lambda a: started(a) == "another shape",
                "`strict=False` forgives missing names, but not other shapes. Leave out what has "
                "another shape before you load.",
                lambda: start_at_once,
            ),
            Misconception(
                "nothing copied",
                lambda a: started(a) == "nothing copied",
                "The network is what it was. A changed dictionary does not change the network: load "
                "it with `net.load_state_dict(...)`.",
                lambda: start_nothing,
            ),
            Misconception(
                "no averages",
                lambda a: started(a) == "no averages",
                "BatchNorm's stored averages were not copied. They are in `net.state_dict()`, but "
                "not among the parameters.",
                lambda: start_parameters,
            ),
            Misconception(
                "copied ones",
                lambda a: started(a) == "copied ones",
                "The right tensors were copied. But you return their names: which ones got nothing?",
                lambda: start_copied,
            ),
            Misconception(
                "the other network",
                lambda a: started(a) == "the other network",
                "Those are tensors of `weights` that found no place. Which tensors of `net` got "
                "nothing?",
                lambda: start_other,
            ),
            Misconception(
                "shapes only",
                lambda a: started(a) == "shapes only",
                "The right tensors were copied. But your list misses tensors of `net` whose name is "
                "not in `weights`.",
                lambda: start_shapes,
            ),
        ),
        hints=(
            "`own = net.state_dict()` and `weights` are dictionaries: name to tensor.",
            "Make a third one of what fits: `name in own and tensor.shape == own[name].shape`.",
            "`net.load_state_dict(fits, strict=False)` loads it. Return the names of `own` that are "
            "not in `fits`.",
        ),
        otherwise="Copy where name and shape are the same. Return a list of the other names of `net`.",
        expects="a function of net and weights that returns a list of names",
    ),
)
