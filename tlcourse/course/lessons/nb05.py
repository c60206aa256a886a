"""Notebook 05: rates by layer, stored outputs, parameter groups, intervals, weights as a start."""

from tlcourse.course.exercise import Exercise, Misconception, close, number, wrong_number
from tlcourse.course.lessons.tries05 import (
    all_twice_and_swapped,
    body_only_of_a_name,
    both,
    by_value,
    interval,
    looked_at,
    names_only,
    one_rate,
    other,
    rounded,
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
    wrong_rates,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="05.A",
        question="Does fine-tuning get more of the test digits right than the frozen body?",
        options=("more", "fewer", "cannot be told apart"),
        figure="Figure 5",
        where="Compare the two counts above the figure, of digits that only one of the two gets right.",
    ),
    Question(
        id="05.B",
        question="How good is the network that is trained with a rate thirty times as high?",
        options=("about as good", "worse, but better than guessing", "no better than guessing"),
        figure="Table 2",
        where="Look at the best number of the column `val_accuracy`; one digit in ten is guessing. "
        "The counts above this answer compare it with section 2, picture by picture.",
    ),
    Question(
        id="05.C",
        question="How long is the change of the weights, in the stage that moves most?",
        options=("as long", "a tenth", "a hundredth", "a thousandth"),
        figure="Figure 3",
        where="Look at the highest point of the line of the low rate.",
    ),
)


EXERCISES = (
    Exercise(
        id="05.1",
        question="Which rate does stage4 get with a factor of one half per stage?",
        right=lambda a: close(a, 1.25e-5, rel=0.05),  # two digits are enough
        praise="Eight times less than stage7, and eighty times less than the head.",
        misconceptions=(
            wrong_number(
                "tenth forgotten",
                1.25e-4,
                "The steps are right. But the deepest stage gets only a tenth of the head's rate.",
                rel=0.02,
            ),
            wrong_number(
                "one step too many",
                6.25e-6,
                "One step too many: stage7 itself gets the tenth, without a half.",
                rel=0.02,
            ),
            wrong_number("one step too few", 2.5e-5, "That is stage5. One more step.", rel=0.02),
            wrong_number("stage6", 5e-5, "That is stage6. Two more steps.", rel=0.01),
            wrong_number(
                "stage7",
                1e-4,
                "That is stage7, the deepest stage. Go three steps towards the input.",
                rel=0.02,
            ),
            Misconception(
                "the factor of section 5",
                lambda a: close(a, 1e-4 * 0.8**3, rel=0.01),
                "0.8 is the factor of section 5. Here each stage gets *half*.",
                5.12e-5,
            ),
            wrong_number(
                "a tenth each time",
                1e-7,
                "Only stage7 gets a tenth. From there on each stage gets half.",
                rel=0.02,
            ),
            wrong_number(
                "larger towards the input",
                8e-4,
                "You doubled the rate at each step. Towards the input it becomes smaller.",
                rel=0.02,
            ),
        ),
        hints=(
            "Begin at stage7: a tenth of 0.001.",
            "stage6, stage5, stage4: each has half of the one before.",
            "`0.0001`, then three times `/ 2`.",
        ),
        otherwise="Write down the rates of stage7, stage6, stage5 and stage4, one by one.",
        expects="a number",
    ),
    Exercise(
        id="05.2",
        question="How many seconds do 20 epochs take with the frozen part's output stored?",
        right=lambda a: close(a, 206, rel=0.01),
        praise="The frozen part costs almost nothing, because it runs once.",
        misconceptions=(
            wrong_number(
                "not stored", 320, "That is without storing: both parts in every epoch.", rel=0.01
            ),
            wrong_number(
                "frozen part forgotten", 200, "The frozen part has to run once, too.", rel=0.01
            ),
            wrong_number("one epoch", 16, "That is a single epoch.", rel=0.01),
            wrong_number(
                "one picture", 0.206, "That is for one picture. There are 1,000.", rel=0.01
            ),
            Misconception(
                "minutes",
                lambda a: close(a, 206 / 60, rel=0.02),
                "That is right in minutes. How many seconds is that?",
                3.43,
            ),
            wrong_number(
                "the other part stored",
                130,
                "You ran the frozen part 20 times and the rest once. It is the other way round.",
                rel=0.01,
            ),
            wrong_number(
                "the gain", 114, "That is how much time storing saves. How much is left?", rel=0.01
            ),
            wrong_number("milliseconds", 206_000, "That is right in milliseconds.", rel=0.01),
        ),
        hints=(
            "What runs once? What runs 20 times?",
            "Once: 1000 pictures times 6 ms. 1 ms is 0.001 s.",
            "Then 20 times: 1000 pictures times 10 ms. Add the two.",
        ),
        otherwise="Add the frozen part once and the rest 20 times, for 1000 pictures.",
        expects="a number of seconds",
    ),
    Exercise(
        id="05.3",
        question="Write two parameter groups: the head, and the rest with a tenth of its rate.",
        right=lambda a: looked_at(a) == "right",
        praise="Each parameter is in exactly one group.",
        misconceptions=(
            Misconception(
                "returns nothing",
                lambda a: looked_at(a) == "nothing",
                "Your function returns nothing. Does it end with `return`?",
                lambda: says_nothing,
            ),
            Misconception(
                "order",
                lambda a: looked_at(a) == "order",
                "The groups are right, but the head comes first.",
                lambda: swapped,
            ),
            Misconception(
                "twice",
                lambda a: looked_at(a) == "twice",
                "At least one parameter is in both groups. PyTorch refuses that: each belongs to one.",
                lambda: all_twice_and_swapped,
            ),
            Misconception(
                "by value",
                lambda a: looked_at(a) == "by value",
                "`in` and `==` compare tensors by their values, and that fails if the shapes differ. "
                "Compare names, or `id(p)`.",
                lambda: by_value,
            ),
            Misconception(
                "no parameters",
                lambda a: looked_at(a) == "no parameters",
                "A group holds parameters: not layers, not names, and not pairs of both.",
                lambda: names_only,
            ),
            Misconception(
                "missing",
                lambda a: looked_at(a) == "missing",
                "Some parameters are in the wrong group, or in none: those would never learn. The "
                "test network also has a layer called `header`.",
                lambda: body_only_of_a_name,
            ),
            Misconception(
                "rates",
                lambda a: looked_at(a) == "rates",
                "The groups are right. Look at the two rates again.",
                lambda: wrong_rates,
            ),
            Misconception(
                "same rate",
                lambda a: looked_at(a) == "same rate",
                "Both groups have the same rate. The body gets a tenth.",
                lambda: one_rate,
            ),
        ),
        hints=(
            "`net.named_parameters()` gives each parameter with its name.",
            'The names of the head\'s parameters begin with `"head."`.',
            "Everything that does not begin so belongs to the second group.",
        ),
        otherwise="Two dictionaries, each with the keys `params` and `lr`.",
        expects="a function of net and rate that returns a list of two dictionaries",
    ),
    Exercise(
        id="05.4",
        question="Where do the 95 % intervals of 148 and of 145 right out of 153 begin and end?",
        right=lambda a: both(a, interval(148)[0], interval(145)[1]),
        praise="They overlap widely, so these counts alone do not tell the two methods apart.",
        misconceptions=(
            Misconception(
                "order",
                lambda a: both(a, interval(145)[1], interval(148)[0]),
                "The right numbers in the wrong order: first the better one's lower end.",
                lambda: (interval(145)[1], interval(148)[0]),
            ),
            Misconception(
                "the better one's interval",
                lambda a: both(a, *interval(148)),
                "Those are both ends of the better one's interval. Take one end of each.",
                lambda: interval(148),
            ),
            Misconception(
                "the worse one's interval",
                lambda a: both(a, *interval(145)),
                "Those are both ends of the worse one's interval. Take one end of each.",
                lambda: interval(145),
            ),
            Misconception(
                "the far ends",
                lambda a: (
                    both(a, interval(148)[1], interval(145)[0])
                    or both(a, interval(145)[0], interval(148)[1])
                ),
                "Those are the far ends. The ends that face each other decide whether they overlap.",
                lambda: (interval(148)[1], interval(145)[0]),
            ),
            Misconception(
                "two digits",
                lambda a: rounded(a) == (0.93, 0.97),
                "As far as two digits tell, that is right. Give the numbers without rounding.",
                (0.93, 0.97),
            ),
            Misconception(
                "exact",
                lambda a: both(a, *other("exact")),
                "Those are exact intervals, which `proportion_ci()` gives if you do not name a "
                "method. Ask for Wilson's.",
                lambda: other("exact"),
            ),
            Misconception(
                "plus and minus",
                lambda a: both(a, *other("normal")),
                "Those are the simple intervals, accuracy plus and minus 1.96 standard errors. Near "
                "1 they go wrong. Take Wilson's.",
                lambda: other("normal"),
            ),
            Misconception(
                "the accuracies",
                lambda a: both(a, 148 / 153, 145 / 153) or both(a, 145 / 153, 148 / 153),
                "Those are the accuracies. Where do their intervals begin and end?",
                (148 / 153, 145 / 153),
            ),
            Misconception(
                "both intervals",
                lambda a: len(a) == 2 and all(len(part) == 2 for part in a),
                "Those are four numbers, both ends of both. Take one end of each.",
                lambda: (interval(148), interval(145)),
            ),
            Misconception(
                "one number",
                lambda a: number(a) < 1,
                "Two numbers, please, as a tuple: `answer = (lower, upper)`.",
                0.926,
            ),
            Misconception(
                "per cent",
                lambda a: all(1 < number(part) <= 100 for part in a),
                "Give them as numbers from 0 to 1.",
                (92.6, 97.3),
            ),
        ),
        hints=(
            "`binomtest(148, 153)` holds what you need for the better one.",
            '`.proportion_ci(method="wilson")` gives `low` and `high`.',
            "Do it for both, then `answer = (better.low, worse.high)`.",
        ),
        otherwise="The lower end for 148 of 153 first, then the upper end for 145 of 153.",
        expects="a tuple of two numbers from 0 to 1",
    ),
    Exercise(
        id="05.5",
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
