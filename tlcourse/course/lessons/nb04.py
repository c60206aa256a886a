"""Notebook 04: a frozen body with a head of your own, freezing, stored features, where to cut."""

from tlcourse.course.exercise import Exercise, Misconception, number, same_set, same_text
from tlcourse.course.lessons.answers import Trained, scored
from tlcourse.course.lessons.tries04 import (
    BEATS,
    begun,
    called_already,
    fault,
    freezes_both,
    frozen_and_evaluated,
    letters,
    names,
    no_gradient_is_stopped,
    norms_only,
)
from tlcourse.course.question import Question

QUESTIONS = (
    Question(
        id="04.A",
        question="On how many of 100 turned digits is a probe on the stored vector right?",
        options=("about 95", "about 80", "about 60"),
        figure="Figure 2",
        where="Look for the stored vector without views.",
    ),
    Question(
        id="04.B",
        question="What does a body in training mode do to the accuracy?",
        options=(
            "higher",
            "about the same",
            "lower by up to 5 points",
            "lower by more than 5 points",
        ),
        figure="Figure 3",
        where="Compare the two bars, and the lines that show three seeds.",
    ),
    Question(
        id="04.C",
        question="How many times as long does an epoch take with fresh views as from stored maps?",
        unit="times",
        within=3,
        figure="Figure 4",
        where="Divide the last bar by the one above it.",
    ),
)


EXERCISES = (
    Exercise(
        id="04.1",
        question="Train a network that reads at least .70 of the turned clothes.",
        right=lambda a: a.pattern == "frozen_extractor" and scored(a, "fashion") >= BEATS,
        praise="From 200 labels. The stored vector reaches .61, and the body is the same.",
        misconceptions=(
            Misconception(
                "fine-tuned",
                lambda a: a.pattern in ("fine_tune", "from_scratch") and scored(a, "fashion") >= 0,
                "Here the body moved. It can be done with a frozen body, and faster.",
                lambda: Trained("fine_tune", 0.76, "fashion"),
            ),
            Misconception(
                "stored vector",
                lambda a: a.pattern == "standalone_extractor" and scored(a, "fashion") >= 0,
                "That is pattern 2: its features were stored before it could see a turned picture. "
                "Make the body part of a network: `tl.patterns.frozen_extractor`.",
                lambda: Trained("standalone_extractor", 0.605, "fashion"),
            ),
            Misconception(
                "vector, or no views",
                lambda a: a.pattern == "frozen_extractor" and scored(a, "fashion") < BEATS,
                'Not enough. Does your head read maps (`head="conv"`), and does it see fresh views '
                "in each of 8 epochs (`augment=True`)?",
                lambda: Trained("frozen_extractor", 0.585, "fashion"),
            ),
            Misconception(
                "another task",
                lambda a: a.task != "fashion",
                "This network was trained for other pictures. Train it on `clothes`.",
                lambda: Trained("frozen_extractor", 0.965),
            ),
            Misconception(
                "the accuracy",
                lambda a: number(a) >= 0,
                "That is one number. Hand in the whole `Result`, as the pattern returns it.",
                0.75,
            ),
        ),
        hints=(
            "Which row of the table in section 2 is the highest? Do the same with the clothes.",
            "`tl.patterns.frozen_extractor(backbone, clothes, ...)` returns a `Result`.",
            "`augment=True, epochs=8`. The head on maps is what it takes by default.",
        ),
        otherwise="Hand in the `Result` of a frozen body with a new head, trained on `clothes`.",
        expects="a `Result`, as `tl.patterns.frozen_extractor` returns it",
    ),
    Exercise(
        id="04.2",
        question="Fix the function: the body stands still, and the head learns.",
        right=lambda a: begun(a) == "right",
        praise="The order decides: `train()` switches the body, too, so `eval()` comes after it.",
        misconceptions=(
            Misconception(
                "unchanged",
                lambda a: begun(a) == "training mode",
                "The body, or a part of it, is still in training mode. What does `net.train()` do to "
                "`net.body`?",
                lambda: fault,
            ),
            Misconception(
                "only BatchNorm",
                lambda a: begun(a) == "dropout",
                "BatchNorm stands still, good. But dropout in the body still acts. Put the whole body "
                "into evaluation mode.",
                lambda: norms_only,
            ),
            Misconception(
                "all evaluates",
                lambda a: begun(a) == "head evaluates",
                "The body stands still. But the head has to be in training mode: it may hold dropout "
                "or a BatchNorm of its own.",
                lambda: frozen_and_evaluated,
            ),
            Misconception(
                "gradients",
                lambda a: begun(a) == "body learns",
                "The mode is right now. But the body's weights may still learn.",
                lambda: no_gradient_is_stopped,
            ),
            Misconception(
                "head frozen",
                lambda a: begun(a) == "head frozen",
                "Now the head cannot learn either. Freeze `net.body`, not `net`.",
                lambda: freezes_both,
            ),
            Misconception(
                "called already",
                lambda a: a is None or hasattr(a, "parameters"),
                "Give the function itself, without calling it: `answer = begin_epoch`.",
                called_already,
            ),
        ),
        hints=(
            "Two things move: parameters by gradients, averages by training mode.",
            "`net.train()` switches everything inside `net`. Which line does it undo?",
        ),
        otherwise="The check calls your function with a network that has a `body` and a `head`.",
        expects="a function of net",
    ),
    Exercise(
        id="04.3",
        question="For which trainings can the head learn from stored features?",
        right=lambda a: same_set(letters(a), ["A", "D"]),
        praise="The body gives the same output each time; what comes behind it does not matter.",
        misconceptions=(
            Misconception(
                "dropout forgotten",
                lambda a: same_set(letters(a), ["D"]),
                "D is right. Look at A again: where is the dropout, before or behind the features?",
                ["D"],
            ),
            Misconception(
                "random crops",
                lambda a: names(a, "B"),
                "With random crops the picture is another one each time. Which features would you "
                "store?",
                ["A", "B", "D"],
            ),
            Misconception(
                "training mode",
                lambda a: names(a, "C") and not names(a, "B"),
                "In training mode BatchNorm looks at the other pictures of the batch.",
                ["A", "C", "D"],
            ),
            Misconception(
                "a moving stage",
                lambda a: names(a, "E") and not names(a, "B") and not names(a, "C"),
                "If a stage of the body learns, what comes out behind it changes after each step.",
                ["A", "D", "E"],
            ),
            Misconception(
                "no such letter",
                lambda a: bool(set(letters(a)) - set("ABCDE")) and not set(letters(a)) & set("BCE"),
                "One of your letters is none of the five. They go from A to E: there is no F.",
                ["A", "D", "F"],
            ),
            Misconception(
                "epochs",
                lambda a: same_set(letters(a), ["A"]),
                "A is right. Does the body give something else in a later epoch?",
                ["A"],
            ),
        ),
        hints=(
            "Ask for each one: does the body give the same output for a picture every time?",
            "Crops change the picture. A moving stage changes the body.",
            "Training mode looks at the other pictures of a batch. Two letters are left.",
        ),
        otherwise="Go through the five, one by one. Does the body give the same output each time?",
        expects="a list of letters",
    ),
    Exercise(
        id="04.4",
        question="At which layer do you cut the body for upright digits, with a head on maps?",
        right=lambda a: same_text(a, "stage5"),
        praise="Its maps are larger than those of stage7, and closer to lines than to things.",
        misconceptions=(
            Misconception(
                "the deepest",
                lambda a: same_text(a, "stage7"),
                "That is the deepest one, and the worst of the three here. Did you train all three?",
                "stage7",
            ),
            Misconception(
                "the middle",
                lambda a: same_text(a, "stage6"),
                "Near, but another one is right on more validation digits. Did each head train for "
                "8 epochs?",
                "stage6",
            ),
            Misconception(
                "a usual layer",
                lambda a: same_text(a, "embedding", "logits"),
                "An embedding is a vector. A head on maps needs positions.",
                "embedding",
            ),
            Misconception(
                "not among them",
                lambda a: same_text(a, "stem", "stage1", "stage2", "stage3", "stage4"),
                "It may be good, but choose among the three: stage5, stage6 and stage7.",
                "stage4",
            ),
            Misconception(
                "the accuracy",
                lambda a: number(a) >= 0,
                "That is a number. Answer with the name of the layer.",
                0.99,
            ),
        ),
        hints=(
            "A loop over the three names, with `layer=layer, augment=False, epochs=8`.",
            "Compare `result.val_accuracy`.",
        ),
        otherwise="Answer with one of the three names.",
        expects='the name of a layer, such as "stage6"',
    ),
)
