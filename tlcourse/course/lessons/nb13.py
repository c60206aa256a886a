"""Questions of notebook 13: other pictures than those of the training, and who pays for them."""

from tlcourse.course.exercise import Exercise, Misconception, number
from tlcourse.course.lessons.tries13 import (
    COVERAGE,
    RISK,
    TURNED,
    UPRIGHT,
    cleaned,
    cleans_silently,
    cooked,
    named,
    of_all_splits,
    of_validation_too,
    reached,
    refused,
    second_column_only,
    second_widest,
    soup_in_place,
    soup_of_all,
    soup_of_weights,
    soup_silently,
    soup_summed,
    soup_two_by_two,
    soup_without_averages,
    steadiest,
    twins_themselves,
    with_the_index,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="13.A",
        question="Which network reads most digits under noise of strength 3?",
        options=("probe", "frozen body", "fine-tuned"),
        figure="Figure 1",
        where="Look at the panel of noise, above 3.",
    ),
    Question(
        id="13.B",
        question="Does a head that saw turned digits read more noisy ones than one without views?",
        options=("more in each seed", "no clear difference", "fewer in each seed"),
        figure="Figure 2",
        where="Compare the rows of none and of turn in the column of noise.",
    ),
    Question(
        id="13.C",
        question="How sure is the fine-tuned network under noise of strength 5, on average?",
        options=("below 40 %", "40 to 70 %", "above 70 %"),
        figure="Figure 4",
        where="Follow its dashed line to 5.",
    ),
)


EXERCISES = (
    Exercise(
        id="13.1",
        question="Train a head that reads turned digits and still reads upright ones.",
        right=lambda a: reached(a) == "right",
        praise="Views of that very change cost ten seconds, and hardly an upright digit.",
        misconceptions=(
            Misconception(
                "not turned",
                lambda a: reached(a) == "not turned",
                "Upright it is fine. But has it seen digits that turn? Which row of Figure 2 has?",
                (0.99, 0.63),
            ),
            Misconception(
                "not upright",
                lambda a: reached(a) == "not upright",
                "It reads turned digits, but not enough upright ones. Weak turns belong to the "
                "views, too.",
                (0.90, 0.93),
            ),
            Misconception(
                "neither",
                lambda a: reached(a) == "neither",
                "Neither of the two. Mirrored digits and crops do not help here: which views do?",
                (0.94, 0.55),
            ),
            Misconception(
                "one number",
                lambda a: 0 <= number(a) <= 1,
                "Two numbers, please: `answer = (read(result, task), read(result, turned))`.",
                0.98,
            ),
            Misconception(
                "percent",
                lambda a: all(number(part) > 1 for part in a),
                "Give both as numbers from 0 to 1.",
                (98, 97),
            ),
        ),
        hints=(
            "What is `augment=` in section 2, and what would it be for turns?",
            '`tl.Corruption("turn")` draws turns up to strength 5. Eight epochs are enough.',
        ),
        otherwise=f"At least {UPRIGHT} of the upright digits and {TURNED} of the turned ones, in this "
        "order.",
        expects="a tuple of two numbers from 0 to 1",
    ),
    Exercise(
        id="13.2",
        question="Find the network and the change at strength 3 where one seed misleads most.",
        right=lambda a: named(a) == "right",
        praise="Whoever had run one seed there could have reported either end. Under shift the spread "
        "is far larger than inside.",
        misconceptions=(
            Misconception(
                "order",
                lambda a: named(a) == "order",
                "The right kind of answer in the wrong order: first the network.",
                lambda: steadiest()[::-1],
            ),
            Misconception(
                "the smallest range",
                lambda a: named(a) == "steady",
                "There the three seeds nearly agree. Where is the difference largest?",
                steadiest,
            ),
            Misconception(
                "another one",
                lambda a: named(a) == "other",
                "They differ much there, and more elsewhere. Take the largest minus the smallest of "
                "the three accuracies.",
                second_widest,
            ),
        ),
        hints=(
            'Keep the rows with `strength["strength"] == 3`, and group them by network and kind.',
            '`grouped = ...groupby(["network", "kind"])["accuracy"]`, then '
            "`(grouped.max() - grouped.min()).idxmax()`.",
        ),
        otherwise='Answer with a network and a kind, such as `("probe", "blur")`.',
        expects="a tuple of two names",
    ),
    Exercise(
        id="13.3",
        question="Find and fix four faults of a function that removes test pictures with a twin.",
        right=lambda a: cleaned(a) == "right",
        praise="What is left are test pictures that the training has not seen.",
        misconceptions=(
            Misconception(
                "the index",
                lambda a: cleaned(a) == "index",
                "`place in pairs[...]` asks for the row numbers of a Series, not for its values. Make "
                "a set of it.",
                lambda: with_the_index,
            ),
            Misconception(
                "all splits",
                lambda a: cleaned(a) == "all splits",
                "There are places among them that are no test pictures.",
                lambda: of_all_splits,
            ),
            Misconception(
                "one column",
                lambda a: cleaned(a) == "one column",
                "One test picture with a twin is still there. It stands in the other column.",
                lambda: second_column_only,
            ),
            Misconception(
                "validation too",
                lambda a: cleaned(a) == "val too",
                "You removed too many. A twin among the validation pictures was not learned.",
                lambda: of_validation_too,
            ),
            Misconception(
                "the twins",
                lambda a: cleaned(a) == "the twins",
                "Those are the ones to remove. Return the others.",
                lambda: twins_themselves,
            ),
            Misconception(
                "returns nothing",
                lambda a: cleaned(a) == "nothing",
                "Your function returned nothing. Write `return` before the list.",
                lambda: cleans_silently,
            ),
        ),
        hints=(
            "Try `3 in pd.Series([7, 3])`. What does it ask?",
            "A test picture may stand in the first or in the second column. And which split is its "
            "twin of?",
            "`{split[a], split[b]} == {'train', 'test'}` says which pairs matter.",
        ),
        otherwise="The check calls your function with ten pictures, of which one test picture has no "
        "twin in the training split.",
        expects="a function of pairs and split that returns a list of places",
    ),
    Exercise(
        id="13.4",
        question="Choose a threshold on noisy validation pictures, and measure it on noisy test ones.",
        right=lambda a: refused(a) == "right",
        praise="Chosen where you may look, measured where you may not. It holds for this noise only.",
        misconceptions=(
            Misconception(
                "too risky",
                lambda a: refused(a) == "too risky",
                "Too many answers are wrong. A threshold for clean pictures is too low for noisy "
                "ones: choose it on noisy validation pictures, and leave some room.",
                (0.75, 0.08),
            ),
            Misconception(
                "too careful",
                lambda a: refused(a) == "too careful",
                "Safe, but it hardly answers. Take the lowest threshold that keeps the promise.",
                (0.2, 0.0),
            ),
            Misconception(
                "one number",
                lambda a: 0 <= number(a) <= 1,
                "Two numbers, please: `answer = (coverage, risk)`.",
                0.95,
            ),
            Misconception(
                "percent",
                lambda a: all(number(part) > 1 for part in a),
                "Give both as numbers from 0 to 1.",
                (75, 4),
            ),
        ),
        hints=(
            '`replace(task, test=task.val).corrupted("noise", 2)` has noisy validation pictures as '
            "its test.",
            "`tl.metrics.coverage_risk(scores, labels)` has a row for each threshold. Aim at a risk of "
            "0.03.",
        ),
        otherwise=f"At most {RISK} of the given answers wrong, and at least {COVERAGE} of the pictures "
        "answered.",
        expects="a tuple of two numbers from 0 to 1",
    ),
    Exercise(
        id="13.5",
        question="Write a function that averages the weights of several networks.",
        right=lambda a: cooked(a) == "right",
        praise="That is a model soup. It works for trainings that began at the same weights.",
        misconceptions=(
            Misconception(
                "the sum",
                lambda a: cooked(a) == "sum",
                "That is the sum. Divide by how many they are.",
                lambda: soup_summed,
            ),
            Misconception(
                "the count",
                lambda a: cooked(a) == "count",
                "The weights are right. But the count of batches is a whole number: keep that of the "
                "first network.",
                lambda: soup_of_all,
            ),
            Misconception(
                "changed",
                lambda a: cooked(a) == "changed",
                "One of the networks that you were given is changed. Make new tensors.",
                lambda: soup_in_place,
            ),
            Misconception(
                "no averages",
                lambda a: cooked(a) == "no averages",
                "BatchNorm's averages are those of one network. They are decimal numbers, too.",
                lambda: soup_without_averages,
            ),
            Misconception(
                "two by two",
                lambda a: cooked(a) == "two by two",
                "The last network counts half. Each of them should count the same.",
                lambda: soup_two_by_two,
            ),
            Misconception(
                "some left out",
                lambda a: cooked(a) == "some left out",
                "Some tensors are missing, or there are too many. Take all names of the first one.",
                lambda: soup_of_weights,
            ),
            Misconception(
                "returns nothing",
                lambda a: cooked(a) == "nothing",
                "Your function returned nothing. Write `return` before the dictionary.",
                lambda: soup_silently,
            ),
        ),
        hints=(
            "`torch.stack([state[name] for state in states])` has one network more in front.",
            "`value.is_floating_point()` says which tensors can be averaged.",
        ),
        otherwise="Return a dictionary with all names. Decimal numbers are averaged over all networks; "
        "others are the first one's.",
        expects="a function of a list of state dictionaries that returns one",
    ),
)
