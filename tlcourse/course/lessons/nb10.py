"""Questions of notebook 10: letters before digits, negative transfer, a network of your own."""

from tlcourse.course.exercise import Exercise, Misconception, number, same_text
from tlcourse.course.lessons.tries10 import (
    Named,
    Reader,
    begun,
    own,
    read_with_own,
    start_afresh,
    start_in_place,
    start_letters,
    start_on_scores,
    start_shared,
    start_silently,
    start_unfit,
    two_shares,
)
from tlcourse.course.question import Question

READ = 0.92  # exercise 10.1
IMPROVED, TOO_GOOD = 0.86, 0.985  # exercise 10.5
REVERSED = (0.30, 0.65)  # exercise 10.4: between which accuracies the letters are read

QUESTIONS = (
    Question(
        id="10.A",
        question="With one labelled picture of each digit, which source is right most often?",
        options=("letters", "ImageNet", "pixels", "random weights", "from scratch"),
        figure="Figure 4",
        where="Look for the highest point above 1.",
    ),
    Question(
        id="10.B",
        question="With one label of each digit, how far is your network ahead of ImageNet's whole maps?",
        options=("more than ten points", "a few points", "hardly", "it is behind"),
        figure="Figure 5",
        where="Look for the line of the whole maps above 1; below zero your network would be behind.",
    ),
)


EXERCISES = (
    Exercise(
        id="10.1",
        question="Read the digits from five of each, with a network that you pre-trained yourself.",
        right=lambda a: read_with_own(a) >= READ,
        praise="Fifty labelled digits and a minute of letters are enough.",
        misconceptions=(
            Misconception(
                "another backbone",
                lambda a: a.task == "digits" and not own(a),
                "That is another backbone. Take `mine`, the one that you loaded from your folder.",
                lambda: Reader(0.95, Named("efficientnet_lite0")),
            ),
            Misconception(
                "too low",
                lambda a: own(a) and read_with_own(a) < READ,
                "Your network, but too few are right. Did you average the maps of a stage? The "
                "default layer keeps where each stroke lies.",
                lambda: Reader(0.71),
            ),
            Misconception(
                "a number",
                lambda a: number(a) > 0,
                "That is a number. Give the whole result: `answer = result`.",
                0.95,
            ),
        ),
        hints=(
            "Which pattern keeps the features once and fits a linear probe?",
            "`tl.patterns.standalone_extractor(mine, few, progress=False)`.",
        ),
        otherwise="It should be a result of `tl.patterns` for `few`, with `mine` as the backbone.",
        expects="the result of a training",
    ),
    Exercise(
        id="10.2",
        question="Choose the layer of your network on the validation digits.",
        right=lambda a: same_text(a, "embedding"),
        praise="The whole last map. To average it over positions would lose where the strokes lie.",
        misconceptions=(
            Misconception(
                "the last stage",
                lambda a: same_text(a, "stage3"),
                "The right depth. But its map is averaged over positions here. Which layer keeps the "
                "same map whole?",
                "stage3",
            ),
            Misconception(
                "an early stage",
                lambda a: same_text(a, "stage1") or same_text(a, "stage2"),
                "Averaged over positions, an early map says little: which strokes there are, but not "
                "where. Compare the accuracies on the validation digits.",
                "stage1",
            ),
            Misconception(
                "the scores",
                lambda a: same_text(a, "logits"),
                "The scores speak of 26 letters. They were not among the candidates.",
                "logits",
            ),
            Misconception(
                "an accuracy",
                lambda a: 0 <= number(a) <= 1,
                "That is an accuracy. Which layer has it?",
                0.95,
            ),
        ),
        hints=(
            '`found = tl.extract_features(mine, few, mine.layers[:-1])`, then `found.of("train", layer)`.',
            'Fit `tl.fit_probe` to each layer and count on `found.of("val", layer)`.',
        ),
        otherwise="Answer with one of the names in `mine.layers[:-1]`.",
        expects="the name of a layer",
    ),
    Exercise(
        id="10.3",
        question="Find and fix both faults of a function that starts from your weights.",
        right=lambda a: begun(a) == "right",
        praise="A new head on a copy of the body. The letters' network stays what it was.",
        misconceptions=(
            Misconception(
                "shared",
                lambda a: begun(a) == "shared",
                "The head fits now. But both networks hold the same layers: train one, and the other "
                "changes too.",
                lambda: start_shared,
            ),
            Misconception(
                "does not fit",
                lambda a: begun(a) == "does not fit",
                "The new head does not fit: how many numbers does the old one take?",
                lambda: start_unfit,
            ),
            Misconception(
                "on the scores",
                lambda a: begun(a) == "on the scores",
                "Your new head reads the scores of the letters. It should read what the old head read.",
                lambda: start_on_scores,
            ),
            Misconception(
                "other weights",
                lambda a: begun(a) == "other weights",
                "The new body gives something else than the old one. Did you make it with random "
                "weights?",
                lambda: start_afresh,
            ),
            Misconception(
                "changed",
                lambda a: begun(a) == "changed",
                "Your function changes `own` itself. Copy first.",
                lambda: start_in_place,
            ),
            Misconception(
                "outputs",
                lambda a: begun(a) == "outputs",
                "It does not give `n_classes` numbers for each picture. The old head has to go.",
                lambda: start_letters,
            ),
            Misconception(
                "returns nothing",
                lambda a: begun(a) == "nothing",
                "Your function returned nothing. Write `return` before the network.",
                lambda: start_silently,
            ),
        ),
        hints=(
            "What does a slice of a network hold: copies of the layers, or the layers themselves?",
            "`copy.deepcopy(own[:-1])`, and a head with as many inputs as `own[-1]` has.",
        ),
        otherwise="The check calls your function with a small network and another number of classes.",
        expects="a function of own and n_classes that returns a network",
    ),
    Exercise(
        id="10.4",
        question="Turn the experiment round: pre-train on digits, and read letters.",
        right=lambda a: (
            all(REVERSED[0] <= part <= REVERSED[1] for part in two_shares(a))
            and two_shares(a)[0] > two_shares(a)[1]
        ),
        praise="It helps in this direction too.",
        misconceptions=(
            Misconception(
                "the other order",
                lambda a: (
                    all(REVERSED[0] <= part <= REVERSED[1] for part in two_shares(a))
                    and two_shares(a)[0] <= two_shares(a)[1]
                ),
                "Random weights are not ahead here. Is the order right, first the network that has "
                "learned the digits? And is it in evaluation mode?",
                lambda: (REVERSED[0], REVERSED[1]),
            ),
            Misconception(
                "accuracies of digits",
                lambda a: min(two_shares(a)) > REVERSED[1],
                "That is too good for letters with five labels. Did you count on digits, or train on "
                "more letters?",
                (0.98, 0.95),
            ),
            Misconception(
                "near chance",
                lambda a: min(two_shares(a)) < REVERSED[0],
                "That is too low. Fit the probe to the features of `few_letters.train`, and take the "
                "whole map of the third stage, not the ten scores.",
                (0.2, 0.1),
            ),
            Misconception(
                "one number",
                lambda a: 0 <= number(a) <= 1,
                "Two numbers, please: `answer = (from_digits, from_random_weights)`.",
                0.5,
            ),
        ),
        hints=(
            "`train(small_network(10).train(), *tensors(digits.train), steps=300, rate=4e-3, batch=128)` "
            "and the same without any training.",
            "`body = network[:4]` ends with the flattened map. Call `body.eval()` before you use it.",
        ),
        otherwise="Two accuracies on `letters.test` from 0 to 1, first the one with pre-training.",
        expects="a tuple of two numbers from 0 to 1",
    ),
    Exercise(
        id="10.5",
        question="Improve on one labelled picture of each digit, without another label.",
        right=lambda a: IMPROVED <= number(a) <= TOO_GOOD,
        praise="Pictures without labels say where the classes lie. Pseudo-labels only work where the "
        "features already group what belongs together, and yours do.",
        misconceptions=(
            Misconception(
                "no better",
                lambda a: 0 <= number(a) < IMPROVED,
                "Not yet. Changed copies of the ten labelled digits bring a little. More is in the "
                "training digits whose labels you do not look at: of which is your probe quite sure?",
                0.83,
            ),
            Misconception(
                "more labels",
                lambda a: TOO_GOOD < number(a) <= 1,
                "That is more than one label of each can give here. Did you learn from other labels, "
                "or count on the digits that you learned from?",
                0.99,
            ),
            Misconception(
                "percent",
                lambda a: 1 < number(a) <= 100,
                "As a share, please: `answer = 0.5` for one half.",
                90.0,
            ),
        ),
        hints=(
            "The probe guesses the class of each digit in `digits.train`. Take the ten of each class "
            "of which it is most sure as if they were labelled, and fit again.",
            "How sure: the difference between the two highest scores. Repeat with 20 and 30 of each.",
        ),
        otherwise="It should be the share of the test digits that are right.",
        expects="a number from 0 to 1",
    ),
)
